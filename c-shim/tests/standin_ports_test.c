/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/*
 * The DOCA shim on its stand-in with two host ports, each of a network of its own, whose workloads have the same
 * addresses: what is one's never reaches the other, and what one of them sends the other goes from port to port.
 */
#include "standin_detour_lab.h"

#define OTHER 3u /* handle of the second host port */
#define RED 7u
#define BLUE 9u
#define LOCAL_TO 0x0a000009u /* at the second port, as the first's workload knows it */
#define NOBODY 0x0a00000au
#define TTL 64u

static struct soft_port *other;
static uint32_t local, ingress, packets;
static const uint8_t router[6] = {2, 1, 1, 1, 1, 1}, neighbour[6] = {2, 2, 2, 2, 2, 2};

/* ---- the plane ------------------------------------------------------------------------------- */

static int32_t add_root_entries(void)
{
	static const uint8_t l3[] = {PSP_DP_L3_IPV4, PSP_DP_L3_IPV6};
	struct psp_dp_entry_desc e = {.size = sizeof(e),
				      .match.size = sizeof(e.match),
				      .match_mask.size = sizeof(e.match_mask),
				      .actions.size = sizeof(e.actions),
				      .monitor = {.size = sizeof(e.monitor), .counter = 1},
				      .fwd = {.size = sizeof(e.fwd), .type = PSP_DP_FWD_RSS}};
	int32_t status = 0;

	e.fwd.target = PSP_DP_RSS_EXCEPTION;
	e.match_mask.parser_meta_port_id = UINT16_MAX;
	for (uint16_t port = HOST; status == 0 && port <= OTHER; port++) {
		e.match.parser_meta_port_id = port;
		e.match.outer_eth_type = NET_TYPE_ARP;
		e.match_mask.outer_eth_type = UINT16_MAX;
		e.fwd.type = PSP_DP_FWD_RSS;
		e.fwd.target = PSP_DP_RSS_EXCEPTION;
		e.priority = 0;
		status = psp_dp_entry_add(dp, root, &e, &root_entry);
		e.match.outer_eth_type = 0;
		e.match_mask.outer_eth_type = 0;
		e.match_mask.parser_meta_outer_l3_type = UINT8_MAX;
		e.fwd.type = PSP_DP_FWD_PIPE;
		e.fwd.target = local;
		e.priority = 1;
		for (uint32_t i = 0; status == 0 && i < 2; i++) {
			e.match.parser_meta_outer_l3_type = l3[i];
			status = psp_dp_entry_add(dp, root, &e, &root_entry);
		}
		e.match.parser_meta_outer_l3_type = 0;
		e.match_mask.parser_meta_outer_l3_type = 0;
	}
	e.match.parser_meta_port_id = UPLINK;
	e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
	e.match_mask.parser_meta_outer_l3_type = UINT8_MAX;
	e.fwd.target = ingress;
	return status == 0 ? psp_dp_entry_add(dp, root, &e, &root_entry) : status;
}

static bool make_all_pipes(void)
{
	struct psp_dp_pipe_desc d;

	describe(&d, "EGR_ACL");
	d.domain = PSP_DP_DOMAIN_SECURE_EGRESS;
	d.match_mask.parser_meta_port_id = UINT16_MAX;
	memset(d.match_mask.outer_ip_src, 0xff, 16);
	memset(d.match_mask.outer_ip_dst, 0xff, 16);
	d.actions.flags = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT;
	d.fwd.type = PSP_DP_FWD_PORT;
	d.fwd.target = UPLINK;
	d.fwd_miss.type = PSP_DP_FWD_RSS;
	if (psp_dp_pipe_create(dp, &d, &egr_acl) != 0)
		return false;
	describe(&d, "LOCAL");
	d.domain = PSP_DP_DOMAIN_DEFAULT;
	d.match_mask.parser_meta_port_id = UINT16_MAX;
	memset(d.match_mask.outer_ip_src, 0xff, 16);
	memset(d.match_mask.outer_ip_dst, 0xff, 16);
	d.fwd.type = PSP_DP_FWD_DROP;
	d.fwd_miss.type = PSP_DP_FWD_PIPE;
	d.fwd_miss.target = egr_acl;
	if (psp_dp_pipe_create(dp, &d, &local) != 0)
		return false;
	describe(&d, "INGRESS");
	d.domain = PSP_DP_DOMAIN_SECURE_INGRESS;
	d.match_mask.parser_meta_outer_l4_type = UINT8_MAX;
	d.fwd.type = PSP_DP_FWD_DROP;
	d.fwd_miss.type = PSP_DP_FWD_RSS;
	d.fwd_miss.target = PSP_DP_RSS_EXCEPTION;
	if (psp_dp_pipe_create(dp, &d, &ingress) != 0)
		return false;
	describe(&d, "ROOT");
	d.type = PSP_DP_PIPE_CONTROL;
	d.is_root = 1;
	d.nr_entries = 8;
	d.fwd_miss.type = PSP_DP_FWD_KERNEL;
	return psp_dp_pipe_create(dp, &d, &root) == 0 && add_root_entries() == 0;
}

static bool open_ports(void)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = 64,
				       .max_crypto_ids = 8,
				       .mss_clamp = 1,
				       .inspect = PSP_DP_INSPECT_ALL,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .mbufs = 512};
	struct psp_dp_port_desc ports[] = {port_desc(PSP_DP_PORT_UPLINK, "up0"),
					   port_desc(PSP_DP_PORT_HOST, "host0"),
					   port_desc(PSP_DP_PORT_HOST, "host2")};
	char why[200] = "";

	ports[1].network = RED;
	ports[2].network = BLUE;
	if (!lab_up() || !LAB_IP("link", "add", "host2", "type", "veth", "peer", "name", "host3") ||
	    !LAB_IP("link", "set", "host2", "up") || !LAB_IP("link", "set", "host3", "up") ||
	    psp_dp_open(&config, ports, 3, &dp, why, sizeof(why)) != 0 ||
	    soft_port_open("host1", PSP_DP_PORT_HOST, 0, &workload, why, sizeof(why)) != 0 ||
	    soft_port_open("host3", PSP_DP_PORT_HOST, 0, &other, why, sizeof(why)) != 0 ||
	    soft_port_open("up1", PSP_DP_PORT_HOST, 0, &wire, why, sizeof(why)) != 0) {
		printf("# %s\n", why);
		return false;
	}
	if (make_all_pipes())
		return psp_dp_start(dp) == 0;
	printf("# %s\n", "the pipes are not made");
	return false;
}

/* What the workload of a port sends to another; mac: NULL: nobody, the sender is to be told. */
static int32_t add_local(uint16_t port, uint32_t to, const uint8_t *mac, uint32_t out)
{
	struct psp_dp_entry_desc e = {.size = sizeof(e),
				      .match.size = sizeof(e.match),
				      .match_mask.size = sizeof(e.match_mask),
				      .actions.size = sizeof(e.actions),
				      .monitor = {.size = sizeof(e.monitor), .counter = 1},
				      .fwd = {.size = sizeof(e.fwd), .type = PSP_DP_FWD_RSS}};
	uint32_t entry;

	e.match.parser_meta_port_id = port;
	put_address(e.match.outer_ip_src, SOURCE);
	put_address(e.match.outer_ip_dst, to);
	e.fwd.target = PSP_DP_RSS_EXCEPTION;
	if (mac != NULL) {
		e.fwd.type = PSP_DP_FWD_PORT;
		e.fwd.target = out;
		e.actions.flags = PSP_DP_ACTION_ROUTE;
		memcpy(e.actions.eth_dst, mac, 6);
		memcpy(e.actions.eth_src, router, 6);
	}
	return psp_dp_entry_add(dp, local, &e, &entry);
}

/* The next packet on the wire is of this SPI, and came from where its tunnel is. */
static uint32_t spi_on_wire(void)
{
	struct dp_packet packet;

	while (receive_at(wire, &packet)) {
		if (packet.fields.tun_psp_spi != 0)
			return packet.fields.tun_psp_spi;
	}
	return 0;
}

static void settle(struct psp_dp_event *miss, struct soft_port *from, const struct dp_packet *data)
{
	CHECK(send_from(from, data));
	CHECK(next_event(PSP_DP_EVENT_MISS, miss));
}

/* ---- what they do ---------------------------------------------------------------------------- */

static void what_misses_is_known_by_its_port_and_network(void)
{
	struct dp_packet data = tcp(PLAIN, 100, 0x10, 0);
	struct psp_dp_event red, blue;

	settle(&red, workload, &data);
	settle(&blue, other, &data);
	CHECK_EQ(red.port, HOST);
	CHECK_EQ(red.network, RED);
	CHECK_EQ(blue.port, OTHER);
	CHECK_EQ(blue.network, BLUE);
	CHECK(red.flow != blue.flow);
	/* The same addresses: a tunnel of each port, and the released packet meets its own. */
	tunnels_of = HOST;
	CHECK_EQ(add_tunnel(PLAIN, 0), 0);
	CHECK_EQ(psp_dp_held_release(dp, red.flow, &packets), 0);
	CHECK_EQ(spi_on_wire(), 1);
	tunnels_of = OTHER;
	CHECK_EQ(add_tunnel(PLAIN, 1), 0);
	CHECK_EQ(psp_dp_held_release(dp, blue.flow, &packets), 0);
	CHECK_EQ(spi_on_wire(), 2);
}

static void each_port_has_the_tunnels_of_its_own(void)
{
	struct dp_packet data = tcp(PLAIN, 100, 0x10, 0), syn = tcp(PLAIN, 44, NET_SYN, 1460);

	for (uint32_t i = 0; i < 3; i++) {
		data = tcp(PLAIN, 100, 0x10, 0);
		CHECK(send_from(other, &data));
		CHECK_EQ(spi_on_wire(), 2);
		CHECK(send_from(workload, &data));
		CHECK_EQ(spi_on_wire(), 1);
	}
	/* And by way of the CPU. */
	syn = tcp(PLAIN, 44, NET_SYN, 1460);
	CHECK(send_from(other, &syn));
	CHECK_EQ(spi_on_wire(), 2);
	CHECK_EQ(counter("mss-clamped"), 1);
}

static void exceptions_are_known_by_their_port(void)
{
	struct dp_packet arp = tcp(PLAIN, 46, 0, 0);
	struct psp_dp_event event;

	psp_put16(arp.frame + NET_ETH_TYPE, NET_TYPE_ARP);
	CHECK(send_from(other, &arp));
	CHECK(next_event(PSP_DP_EVENT_EXCEPTION, &event));
	CHECK_EQ(event.port, OTHER);
	CHECK_EQ(event.network, BLUE);
	CHECK(send_from(workload, &arp));
	CHECK(next_event(PSP_DP_EVENT_EXCEPTION, &event));
	CHECK_EQ(event.port, HOST);
	CHECK_EQ(event.network, RED);
}

/* What the wire brings has no number of a port with it. */
static void what_comes_from_the_wire_is_known_as_that(void)
{
	struct dp_packet data = tcp(PLAIN, 100, 0x10, 0);
	struct psp_dp_event event;

	for (uint32_t i = 0; i < 3; i++) {
		CHECK(send_from(wire, &data));
		CHECK(next_event(PSP_DP_EVENT_EXCEPTION, &event));
		CHECK_EQ(event.pipe, ingress);
		CHECK_EQ(event.port, UPLINK);
		CHECK_EQ(event.network, 0);
	}
}

static void check_routed(void)
{
	struct dp_packet packet;

	CHECK(receive_at(other, &packet));
	CHECK_EQ(packet.len - packet.l3_off, 100);
	CHECK_EQ(packet.frame[packet.l3_off + NET_IP4_TTL], TTL - 1);
	CHECK_EQ(memcmp(packet.frame, neighbour, 6), 0);
	CHECK_EQ(memcmp(packet.frame + 6, router, 6), 0);
}

/* The one that waited for it too. */
static void a_workload_of_this_host_gets_packets_of_another(void)
{
	const uint64_t before = counter("local-packets");
	struct dp_packet data = tcp(LOCAL_TO, 100, 0x10, 0);
	struct psp_dp_event miss;

	settle(&miss, workload, &data);
	CHECK_EQ(add_local(HOST, LOCAL_TO, neighbour, OTHER), 0);
	CHECK_EQ(psp_dp_held_release(dp, miss.flow, &packets), 0);
	check_routed();
	data = tcp(LOCAL_TO, 100, 0x10, 0);
	CHECK(send_from(workload, &data));
	check_routed();
	/* A SYN goes by way of the CPU. */
	data = tcp(LOCAL_TO, 100, NET_SYN, 1460);
	CHECK(send_from(workload, &data));
	check_routed();
	CHECK(reaches("local-packets", before + 3));
	/* The other port's workload has the same address, and no such neighbour. */
	data = tcp(LOCAL_TO, 100, 0x10, 0);
	settle(&miss, other, &data);
	CHECK_EQ(miss.port, OTHER);
	CHECK_EQ(psp_dp_held_drop(dp, miss.flow, PSP_DP_DROP_NO_PEER, 0, &packets), 0);
}

static void who_sends_to_nobody_is_told(void)
{
	struct dp_packet data = tcp(NOBODY, 100, 0x10, 0);
	struct psp_dp_event event;

	settle(&event, other, &data);
	CHECK_EQ(add_local(OTHER, NOBODY, NULL, 0), 0);
	CHECK_EQ(psp_dp_held_release(dp, event.flow, &packets), 0);
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(next_event(PSP_DP_EVENT_EXCEPTION, &event));
		CHECK_EQ(event.pipe, local);
		CHECK_EQ(event.port, OTHER);
		CHECK_EQ(event.packet_len, 100 + NET_ETH_LEN);
		data = tcp(NOBODY, 100, 0x10, 0);
		CHECK(i > 0 || send_from(other, &data));
	}
}

static void frames_leave_by_the_port_that_is_named(void)
{
	struct dp_packet data = tcp(PLAIN, 60, 0x10, 0), packet;

	CHECK_EQ(psp_dp_inject(dp, OTHER, data.frame, data.len), 0);
	CHECK(receive_at(other, &packet));
	CHECK_EQ(packet.len, data.len);
	data = tcp(PLAIN, 61, 0x10, 0);
	CHECK_EQ(psp_dp_inject(dp, HOST, data.frame, data.len), 0);
	CHECK(receive_at(workload, &packet));
	CHECK_EQ(packet.len, data.len);
}

static void pipes_come_again_and_a_closed_plane_leaves_nothing(void)
{
	struct doca_standin_live live;

	CHECK_EQ(psp_dp_pipe_destroy(dp, root), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, local), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, ingress), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, egr_acl), 0);
	CHECK(make_all_pipes());
	CHECK_EQ(psp_dp_close(dp), 0);
	doca_standin_live(&live);
	CHECK_EQ(live.pipes, 0);
	CHECK_EQ(live.entries, 0);
	soft_port_close(workload);
	soft_port_close(other);
	soft_port_close(wire);
}

int main(void)
{
	if (!open_ports())
		return 1;
	RUN(what_misses_is_known_by_its_port_and_network);
	RUN(each_port_has_the_tunnels_of_its_own);
	RUN(exceptions_are_known_by_their_port);
	RUN(what_comes_from_the_wire_is_known_as_that);
	RUN(a_workload_of_this_host_gets_packets_of_another);
	RUN(who_sends_to_nobody_is_told);
	RUN(frames_leave_by_the_port_that_is_named);
	RUN(pipes_come_again_and_a_closed_plane_leaves_nothing);
	return test_summary();
}
