/* SPDX-License-Identifier: Apache-2.0 */
/* Host ports that come and go, and interfaces that do, while packets flow. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

#define VIP_C                                                                                      \
	{                                                                                          \
		10, 1, 0, 3                                                                        \
	}

/* Side A has a second workload, "c_v", behind a port that is added. */
static struct net_side c;

static bool make_c(void)
{
	char err[200];

	if (!net_enter(&net.a) || !net_veth("c_host", "c_v") ||
	    soft_port_open("c_v", PSP_DP_PORT_HOST, 0, &c.end, err, sizeof(err)) != 0)
		return false;
	memcpy(c.vip, (uint8_t[])VIP_C, 4);
	memcpy(c.pip, net.a.pip, 4);
	c.ns = net.a.ns;
	c.dp = net.a.dp;
	memcpy(c.host_mac, net.a.host_mac, 6);
	memcpy(c.up_mac, net.a.up_mac, 6);
	return net_mac(c.end, c.end_mac);
}

static void drop_c(void)
{
	if (c.end != NULL)
		soft_port_close(c.end);
	memset(&c, 0, sizeof(c));
	(void)NET_IP("link", "del", "c_host");
}

static int32_t add_c_to(uint32_t network, uint32_t *port)
{
	struct psp_dp_port_desc desc = port_desc(PSP_DP_PORT_HOST, "c_host");

	desc.network = network;
	return psp_dp_port_add(net.a.dp, &desc, port);
}

static int32_t add_c(uint32_t *port)
{
	return add_c_to(0, port);
}

static struct psp_dp_port_info info_of(uint32_t port)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};

	if (psp_dp_port_query(net.a.dp, port, &info) != 0)
		memset(&info, 0xff, sizeof(info));
	return info;
}

/* What comes in at `port` of plane A goes to EGR_ACL, as at the first host port. */
static bool send_on(const struct graph *g, uint32_t port, uint32_t *entry)
{
	struct psp_dp_entry_desc e;

	graph_entry(&e);
	e.priority = 3;
	e.match.parser_meta_port_id = (uint16_t)port;
	e.match_mask.parser_meta_port_id = 0xffff;
	e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
	e.match_mask.parser_meta_outer_l3_type = 0xff;
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, g->egr_acl);
	return graph_add(net.a.dp, g->root, &e, entry);
}

/* All that comes in of a network goes to EGR_ACL. */
static bool send_network_on(const struct graph *g, uint32_t network)
{
	struct psp_dp_entry_desc e;
	uint32_t entry;

	graph_entry(&e);
	e.priority = 2;
	e.match.meta_network = network;
	e.match_mask.meta_network = UINT32_MAX;
	e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
	e.match_mask.parser_meta_outer_l3_type = 0xff;
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, g->egr_acl);
	return graph_add(net.a.dp, g->root, &e, &entry);
}

/* Delivers numbers first to first + n from one workload to another, beside whatever else is under way. */
static bool deliver(const struct net_side *from, const struct net_side *to, uint32_t first,
		    uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		net_udp(&sent, from, to, i, 64);
		if (!net_send(from, &sent) || !net_recv(to, &got, NET_HANG_MS) ||
		    net_number(&got) != i)
			return false;
	}
	return true;
}

static void handles_are_given_once(void)
{
	struct pair pair;
	uint32_t port = 0, next = 0;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK_EQ(info_of(UPLINK).kind, PSP_DP_PORT_UPLINK);
	CHECK_EQ(info_of(HOST).kind, PSP_DP_PORT_HOST);
	CHECK(strcmp(info_of(HOST).name, "a_host") == 0);
	CHECK_EQ(add_c(&port), 0);
	CHECK_EQ(port, 3);
	CHECK_EQ(add_c(&next), PSP_DP_EEXIST);
	CHECK_EQ(psp_dp_port_remove(net.a.dp, port), 0);
	CHECK_EQ(psp_dp_port_remove(net.a.dp, port), PSP_DP_ENOENT);
	CHECK_EQ(add_c(&next), 0);
	CHECK(next > port);
	CHECK_EQ(psp_dp_port_remove(net.a.dp, UPLINK), PSP_DP_ENOTSUP);
	/* The pipes forward there. */
	CHECK_EQ(psp_dp_port_remove(net.a.dp, HOST), PSP_DP_EBUSY);
	CHECK(graph_says(net.a.dp, "Cannot remove port 2: "));
	CHECK_EQ(psp_dp_port_remove(net.a.dp, 0), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_inject(net.a.dp, port, net.a.end_mac, 60), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_stop(net.a.dp), 0);
	CHECK_EQ(psp_dp_port_remove(net.a.dp, next), PSP_DP_ECLOSED);
}

static void as_many_ports_as_there_may_be(void)
{
	struct pair pair;
	struct psp_dp_granted granted = {.size = sizeof(granted)};
	uint32_t ports[PSP_DP_PORTS_MAX] = {0}, n = 2, port;
	char name[16], peer[16];

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(net_enter(&net.a));
	/* Each of their ends is a port. */
	for (uint32_t i = 0; n < PSP_DP_PORTS_MAX + 2; i++) {
		(void)snprintf(name, sizeof(name), "x%u", i);
		(void)snprintf(peer, sizeof(peer), "y%u", i);
		CHECK(net_veth(name, peer));
		for (uint32_t end = 0; end < 2; end++, n++) {
			const struct psp_dp_port_desc desc =
				port_desc(PSP_DP_PORT_HOST, end == 0 ? name : peer);

			CHECK_EQ(psp_dp_port_add(net.a.dp, &desc, &port),
				 n < PSP_DP_PORTS_MAX ? 0 : PSP_DP_ENOSPC);
			if (n < PSP_DP_PORTS_MAX)
				ports[n] = port;
		}
	}
	CHECK_EQ(psp_dp_granted(net.a.dp, &granted), 0);
	CHECK(granted.workers > 0 && granted.workers <= PSP_DP_WORKERS_MAX);
	for (uint32_t i = 2; i < PSP_DP_PORTS_MAX; i++)
		CHECK_EQ(psp_dp_port_remove(net.a.dp, ports[i]), 0);
	for (uint32_t i = 0; i <= (n - 2) / 2; i++) {
		(void)snprintf(name, sizeof(name), "x%u", i);
		(void)NET_IP("link", "del", name);
	}
}

/* A port comes, carries packets both ways and goes, five times, while the first one carries others. */
static void second_host_port_comes_and_goes_under_traffic(void)
{
	struct pair pair;
	struct tunnel there, back;
	uint32_t number = 0;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK(tunnel_up(&c, &net.b, &pair.ga, &pair.gb, 2, &there));
	CHECK(graph_receive(&net.b, &c, &pair.ga, PSP_AES_GCM_256, &back));
	CHECK(graph_transmit(&net.b, &c, &pair.gb, 3, &back));
	for (uint32_t i = 0; i < 5; i++) {
		struct psp_dp_port_info info;
		struct psp_dp_entry_desc e;
		uint32_t port, entry;

		CONTEXT("time %u", i);
		CHECK_EQ(add_c(&port), 0);
		CHECK(send_on(&pair.ga, port, &entry));
		CHECK(deliver(&net.a, &net.b, number, 5));
		CHECK(deliver(&c, &net.b, number + 5, 5));
		/* What comes for it leaves by it, and nothing by the other. */
		graph_ingr_acl(&e, &net.b, &c, &back);
		graph_fwd(&e.fwd, PSP_DP_FWD_PORT, port);
		CHECK_EQ(psp_dp_entry_update(net.a.dp, back.ingr_acl, &e), 0);
		CHECK(deliver(&net.b, &c, number + 10, 5));
		CHECK(!net_recv(&net.a, &got, 0));
		/* One is counted just after it has gone. */
		for (uint32_t j = 0; j < 5000 && info_of(port).tx_packets < 5; j++)
			usleep(1000);
		info = info_of(port);
		CHECK_EQ(info.rx_packets, 5);
		CHECK_EQ(info.tx_packets, 5);
		CHECK_EQ(info.rx_bytes, 5 * (64 + 28));
		CHECK_EQ(info.present, 1);
		CHECK_EQ(psp_dp_port_remove(net.a.dp, port), PSP_DP_EBUSY);
		graph_fwd(&e.fwd, PSP_DP_FWD_PORT, HOST);
		CHECK_EQ(psp_dp_entry_update(net.a.dp, back.ingr_acl, &e), 0);
		CHECK_EQ(psp_dp_port_remove(net.a.dp, port), 0);
		CHECK_EQ(psp_dp_entry_remove(net.a.dp, entry), 0);
		CHECK(deliver(&net.a, &net.b, number + 15, 5));
		number += 20;
	}
	SUB(expect_accounts());
}

/* Held packets go on at the port where they were held, and go with it. */
static void held_packets_belong_to_their_port(void)
{
	struct pair pair;
	struct tunnel there;
	struct psp_dp_event event;
	uint32_t port, entry, packets;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK_EQ(add_c(&port), 0);
	CHECK(send_on(&pair.ga, port, &entry));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &c, &net.b, i, 64);
		CHECK(net_send(&c, &sent));
	}
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK_EQ(event.port, port);
	CHECK(graph_wait(net.a.dp, DP_HELD_PACKETS, 3));
	CHECK(tunnel_up(&c, &net.b, &pair.ga, &pair.gb, 2, &there));
	CHECK_EQ(psp_dp_held_release(net.a.dp, event.flow, &packets), 0);
	CHECK_EQ(packets, 3);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
		CHECK_EQ(net_number(&got), i);
	}
	memcpy(c.vip, (uint8_t[]){10, 1, 0, 77}, 4);
	net_udp(&sent, &c, &net.b, 9, 64);
	CHECK(net_send(&c, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK_EQ(psp_dp_port_remove(net.a.dp, port), 0);
	CHECK_EQ(graph_count(net.a.dp, DP_DROP_SHUTDOWN), 1);
	CHECK_EQ(psp_dp_held_release(net.a.dp, event.flow, &packets), PSP_DP_ENOENT);
	SUB(expect_accounts());
}

/* The network of a port is what its packets and their events are told apart by, and what comes by the uplink has none. */
static void packets_have_the_network_of_their_port(void)
{
	struct pair pair;
	struct tunnel there, back;
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	uint32_t port, flow, packets;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK_EQ(add_c_to(0x80000007u, &port), 0);
	CHECK_EQ(info_of(port).network, 0x80000007u);
	CHECK_EQ(info_of(HOST).network, 0);
	net_udp(&sent, &c, &net.b, 0, 64);
	CHECK(send_network_on(&pair.ga, 7));
	CHECK(net_send(&c, &sent));
	CHECK(graph_wait(net.a.dp, DP_HOST_UNMATCHED, 1));
	CHECK(send_network_on(&pair.ga, 0x80000007u));
	CHECK(net_send(&c, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK_EQ(event.port, port);
	CHECK_EQ(event.network, 0x80000007u);
	flow = event.flow;
	net_udp(&sent, &net.a, &net.b, 0, 64);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK_EQ(event.port, HOST);
	CHECK_EQ(event.network, 0);
	CHECK(tunnel_up(&c, &net.b, &pair.ga, &pair.gb, 2, &there));
	CHECK(graph_receive(&net.b, &c, &pair.ga, PSP_AES_GCM_256, &back));
	CHECK(graph_transmit(&net.b, &c, &pair.gb, 3, &back));
	graph_ingr_acl(&e, &net.b, &c, &back);
	graph_fwd(&e.fwd, PSP_DP_FWD_PORT, port);
	CHECK_EQ(psp_dp_entry_update(net.a.dp, back.ingr_acl, &e), 0);
	CHECK_EQ(psp_dp_held_release(net.a.dp, flow, &packets), 0);
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK(deliver(&c, &net.b, 3, 3));
	CHECK(deliver(&net.b, &c, 3, 3));
}

static void handles_come_again_when_all_were_used(void)
{
	struct dp_plane *plane = calloc(1, sizeof(*plane));
	const struct psp_dp_port_desc desc = port_desc(PSP_DP_PORT_HOST, "x");
	uint8_t *seen = calloc(1, 65536);
	struct dp_port *port, *uplink;

	CHECK(plane != NULL && seen != NULL);
	CHECK_EQ(dp_port_make((struct psp_dp *)plane, &desc, &uplink), 0);
	CHECK_EQ(uplink->handle, 1);
	dp_port_publish((struct psp_dp *)plane, uplink);
	for (uint32_t i = 0; i < 200000; i++) {
		CHECK_EQ(dp_port_make((struct psp_dp *)plane, &desc, &port), 0);
		/* All of the places that are free, before one of them comes again. */
		CHECK(seen[port->handle] == i / (256 * DP_PORT_TURNS));
		CHECK(port->handle > 1 && port->handle != uplink->handle);
		seen[port->handle]++;
		plane_port_free(port);
	}
	plane_port_free(uplink);
	free(seen);
	free(plane);
}

/* The next change of this port after which it is there, or not. */
static bool port_becomes(uint32_t port, bool present)
{
	struct psp_dp_event event;

	while (graph_event(net.a.dp, PSP_DP_EVENT_PORT, &event, NULL, 0)) {
		if (event.port == port && (info_of(port).present != 0) == present)
			return true;
	}
	return false;
}

static void port_follows_its_interface(void)
{
	struct pair pair;
	struct tunnel there;
	struct psp_dp_port_info before, after;
	uint32_t port, entry;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK_EQ(add_c(&port), 0);
	CHECK(send_on(&pair.ga, port, &entry));
	CHECK(tunnel_up(&c, &net.b, &pair.ga, &pair.gb, 2, &there));
	CHECK(deliver(&c, &net.b, 0, 3));
	before = info_of(port);
	CHECK_EQ(before.identity, 1);
	CHECK_EQ(before.link_up, 1);
	drop_c();
	CHECK(port_becomes(port, false));
	after = info_of(port);
	CHECK_EQ(after.ifindex, before.ifindex);
	CHECK_EQ(after.mtu, before.mtu);
	CHECK_MEM(after.mac, before.mac, 6);
	CHECK_EQ(after.link_up, 0);
	CHECK_EQ(after.rx_packets, 3);
	CHECK(make_c());
	CHECK(port_becomes(port, true));
	after = info_of(port);
	CHECK_EQ(after.identity, 2);
	CHECK(after.ifindex != before.ifindex);
	CHECK_EQ(after.guard, PSP_DP_GUARD_STANDS);
	CHECK(deliver(&c, &net.b, 3, 3));
	CHECK_EQ(info_of(port).rx_packets, 6);
	CHECK(net_enter(&net.a));
	CHECK(NET_IP("link", "set", "c_host", "mtu", "1400"));
	CHECK(port_becomes(port, true));
	CHECK_EQ(info_of(port).mtu, 1400);
	CHECK_EQ(info_of(port).identity, 2);
}

#define RUN_PORTS(test)                                                                            \
	do {                                                                                       \
		RUN_CLOSED(test);                                                                  \
		drop_c();                                                                          \
	} while (0)

static void run(void)
{
	static bool counted;

	RUN_PORTS(handles_are_given_once);
	/* It takes the longest, and has nothing to do with ciphers. */
	if (!counted)
		RUN_PORTS(as_many_ports_as_there_may_be);
	counted = true;
	RUN_PORTS(second_host_port_comes_and_goes_under_traffic);
	RUN_PORTS(held_packets_belong_to_their_port);
	RUN_PORTS(packets_have_the_network_of_their_port);
	RUN_PORTS(port_follows_its_interface);
	RUN(handles_come_again_when_all_were_used);
}

int main(void)
{
	return run_with_each_backend(run);
}
