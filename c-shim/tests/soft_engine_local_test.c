/* SPDX-License-Identifier: Apache-2.0 */
/* Packets from one workload of a host to another of its own, which never come near the uplink. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

/* Side A has a second workload, "c_v", behind a port of its own. */
static struct net_side c;
static uint32_t c_port, local;

static bool make_c(void)
{
	struct psp_dp_port_desc desc = port_desc(PSP_DP_PORT_HOST, "c_host");
	char err[200];

	if (!net_enter(&net.a) || !net_veth("c_host", "c_v") ||
	    soft_port_open("c_v", PSP_DP_PORT_HOST, 0, &c.end, err, sizeof(err)) != 0)
		return false;
	memcpy(c.vip, (uint8_t[]){10, 1, 0, 3}, 4);
	c.ns = net.a.ns;
	c.dp = net.a.dp;
	memcpy(c.host_mac, net.a.host_mac, 6);
	return net_mac(c.end, c.end_mac) && psp_dp_port_add(net.a.dp, &desc, &c_port) == 0;
}

static void drop_c(void)
{
	if (c.end != NULL)
		soft_port_close(c.end);
	memset(&c, 0, sizeof(c));
	(void)NET_IP("link", "del", "c_host");
}

/* LOCAL before EGR_ACL, and what comes in at a port goes there first. */
static bool make_local(const struct graph *g)
{
	const uint32_t ports[] = {HOST, c_port};
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;

	graph_pipe(&p, "LOCAL", PSP_DP_PIPE_BASIC);
	p.match_mask.parser_meta_port_id = 0xffff;
	memset(p.match_mask.outer_ip_src, 0xff, 16);
	memset(p.match_mask.outer_ip_dst, 0xff, 16);
	graph_fwd(&p.fwd, PSP_DP_FWD_DROP, 0);
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PIPE, g->egr_acl);
	if (psp_dp_pipe_create(net.a.dp, &p, &local) != 0)
		return false;
	for (uint32_t i = 0; i < 2; i++) {
		graph_entry(&e);
		e.priority = 0;
		e.match.parser_meta_port_id = (uint16_t)ports[i];
		e.match_mask.parser_meta_port_id = 0xffff;
		e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
		e.match_mask.parser_meta_outer_l3_type = 0xff;
		graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, local);
		if (!graph_add(net.a.dp, g->root, &e, NULL))
			return false;
		e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV6;
		if (!graph_add(net.a.dp, g->root, &e, NULL))
			return false;
	}
	return true;
}

static void entry_of(struct psp_dp_entry_desc *e, const struct net_side *from, uint32_t port,
		     const struct net_side *to, uint32_t to_port)
{
	graph_entry(e);
	e->match.parser_meta_port_id = (uint16_t)port;
	graph_map(e->match.outer_ip_src, from->vip);
	graph_map(e->match.outer_ip_dst, to->vip);
	e->actions.flags = PSP_DP_ACTION_ROUTE;
	memcpy(e->actions.eth_dst, to->end_mac, 6);
	memcpy(e->actions.eth_src, from->host_mac, 6);
	graph_fwd(&e->fwd, PSP_DP_FWD_PORT, to_port);
}

static const uint8_t *ip_of(const struct net_frame *f)
{
	return f->packet.frame + f->packet.l3_off;
}

static void held_packets_run_from_the_first_pipe_on(void)
{
	struct pair pair;
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(make_local(&pair.ga));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &c, &net.a, i, 64);
		CHECK(net_send(&c, &sent));
	}
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK_EQ(event.port, c_port);
	CHECK(graph_wait(net.a.dp, DP_HELD_PACKETS, 3));
	entry_of(&e, &c, c_port, &net.a, HOST);
	CHECK(graph_add(net.a.dp, local, &e, NULL));
	/* A packet that hits now goes behind those that wait. */
	net_udp(&sent, &c, &net.a, 3, 64);
	CHECK(net_send(&c, &sent));
	CHECK(graph_wait(net.a.dp, DP_HELD_RELEASED, 3));
	CHECK_EQ(psp_dp_held_release(net.a.dp, event.flow, &packets), 0);
	for (uint32_t i = 0; i < 4; i++) {
		CHECK(net_recv(&net.a, &got, NET_HANG_MS));
		CHECK_EQ(net_number(&got), i);
		CHECK(memcmp(got.packet.frame, net.a.end_mac, 6) == 0);
		CHECK(memcmp(got.packet.frame + 6, c.host_mac, 6) == 0);
		CHECK_EQ(ip_of(&got)[NET_IP4_TTL], 63);
	}
	CHECK(graph_wait(net.a.dp, DP_LOCAL_PACKETS, 4));
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 0);
	SUB(expect_accounts());
}

static void a_super_frame_stays_one(void)
{
	struct pair pair;
	struct psp_dp_entry_desc e;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(make_local(&pair.ga));
	entry_of(&e, &c, c_port, &net.a, HOST);
	CHECK(graph_add(net.a.dp, local, &e, NULL));
	net_tso(&sent, &c, &net.a, 20, 1000);
	CHECK(net_send(&c, &sent));
	CHECK(net_recv(&net.a, &got, NET_HANG_MS));
	CHECK_EQ(got.packet.gso, DP_GSO_TCP4);
	CHECK_EQ(got.packet.gso_size, 1000);
	CHECK_EQ(got.packet.len, sent.packet.len);
	CHECK_EQ(ip_of(&got)[NET_IP4_TTL], 63);
	CHECK(graph_wait(net.a.dp, DP_LOCAL_PACKETS, 20));
	SUB(expect_accounts());
}

static void a_packet_whose_time_is_over_is_the_agents(void)
{
	struct pair pair;
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	uint8_t frame[256], *ip;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(make_local(&pair.ga));
	entry_of(&e, &c, c_port, &net.a, HOST);
	CHECK(graph_add(net.a.dp, local, &e, NULL));
	net_udp(&sent, &c, &net.a, 0, 64);
	ip = sent.packet.frame + NET_ETH_LEN;
	ip[NET_IP4_TTL] = 1;
	dp_csum_ipv4(ip);
	CHECK(net_send(&c, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_EXCEPTION, &event, frame, sizeof(frame)));
	CHECK_EQ(event.port, c_port);
	CHECK_EQ(frame[NET_ETH_LEN + NET_IP4_TTL], 1);
	CHECK(memcmp(frame + 6, c.end_mac, 6) == 0);
	CHECK(!net_recv(&net.a, &got, 0));
	SUB(expect_accounts());
}

/* The other workload's port carries less: what may be cut is cut, and of the rest the sender is told. */
static void a_port_that_carries_less_is_respected(void)
{
	struct pair pair;
	struct psp_dp_port_info info = {.size = sizeof(info)};
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	uint8_t *ip = sent.buf + DP_HEADROOM + NET_ETH_LEN, data[64];
	uint32_t have = 0;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(make_local(&pair.ga));
	entry_of(&e, &net.a, HOST, &c, c_port);
	CHECK(graph_add(net.a.dp, local, &e, NULL));
	CHECK(NET_IP("link", "set", "c_host", "mtu", "1000"));
	/* Its worker sees that by itself. */
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_PORT, &event, NULL, 0));
	CHECK_EQ(psp_dp_port_query(net.a.dp, c_port, &info), 0);
	CHECK_EQ(info.mtu, 1000);
	net_udp(&sent, &net.a, &c, 0, 1400);
	CHECK(net_send(&net.a, &sent));
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(net_recv(&c, &got, NET_HANG_MS));
		CHECK(got.packet.len - NET_ETH_LEN <= 1000);
		have += got.packet.len - NET_ETH_LEN - NET_IP4_LEN;
		CHECK_EQ(ip_of(&got)[NET_IP4_TTL], 63);
	}
	CHECK_EQ(have, 1408);
	net_udp(&sent, &net.a, &c, 0, 1400);
	psp_put16(ip + NET_IP4_FRAG, 0x4000);
	dp_csum_ipv4(ip);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_TOO_BIG, &event, data, sizeof(data)));
	CHECK_EQ(event.mtu, 1000);
	CHECK_EQ(event.port, HOST);
	CHECK_MEM(event.eth_src, net.a.end_mac, 6);
	CHECK_EQ(data[NET_IP4_TTL], 64);
	/* A super-frame of segments that fit passes whole. */
	net_tso(&sent, &net.a, &c, 20, 900);
	CHECK(net_send(&net.a, &sent));
	CHECK(net_recv(&c, &got, NET_HANG_MS));
	CHECK_EQ(got.packet.gso_size, 900);
	/* One of segments that do not is cut, packet by packet. */
	net_tso(&sent, &net.a, &c, 20, 1400);
	CHECK(net_send(&net.a, &sent));
	for (uint32_t i = 0; i < 19 * 2 + 1; i++) {
		CHECK(net_recv(&c, &got, NET_HANG_MS));
		CHECK(got.packet.len - NET_ETH_LEN <= 1000);
		CHECK_EQ(psp_get16(ip_of(&got) + NET_IP4_ID), i / 2);
	}
	CHECK(graph_wait(net.a.dp, DP_TOO_BIG, 1));
	SUB(expect_accounts());
}

/* ---- what the kernel of a workload leaves to others, and IPv6 ------------------------------------ */

/* From A's first workload to C, whose port carries `mtu` octets, with entries for both IP versions. */
static bool open_narrow(struct pair *pair, const char *mtu)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;

	if (!pair_open(pair, -1, NULL) || !make_c() || !make_local(&pair->ga))
		return false;
	entry_of(&e, &net.a, HOST, &c, c_port);
	if (!graph_add(net.a.dp, local, &e, NULL))
		return false;
	memset(e.match.outer_ip_src, 0, 16);
	memset(e.match.outer_ip_dst, 0, 16);
	e.match.outer_ip_src[0] = 0xfd;
	e.match.outer_ip_dst[0] = 0xfd;
	e.match.outer_ip_src[15] = 1;
	e.match.outer_ip_dst[15] = 3;
	return graph_add(net.a.dp, local, &e, NULL) &&
	       NET_IP("link", "set", "c_host", "mtu", mtu) &&
	       graph_event(net.a.dp, PSP_DP_EVENT_PORT, &event, NULL, 0) &&
	       psp_dp_port_query(net.a.dp, c_port, &info) == 0 && info.mtu == (uint32_t)atoi(mtu);
}

/* The sum is left to whoever sends the frame on: only that of the pseudo header is there. */
static void leave_udp_sum(struct net_frame *f)
{
	uint8_t *ip = f->buf + DP_HEADROOM + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	uint32_t len = f->packet.len - NET_ETH_LEN - NET_IP4_LEN;

	psp_put16(udp + NET_UDP_CSUM, dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_UDP, len)));
	f->packet.needs_csum = true;
	f->packet.csum_start = NET_ETH_LEN + NET_IP4_LEN;
	f->packet.csum_offset = NET_UDP_CSUM;
}

/* What is behind the IP headers of the next pieces of one packet, put together at C. Its length; 0: something is missing. */
static uint32_t gather(uint8_t *out, uint32_t cap, uint32_t *pieces)
{
	uint32_t have = 0, end = 0;

	for (*pieces = 0; end == 0 || have < end; ++*pieces) {
		const uint8_t *ip;
		uint32_t at, n;

		if (!net_recv(&c, &got, NET_HANG_MS))
			return 0;
		ip = ip_of(&got);
		at = (psp_get16(ip + NET_IP4_FRAG) & 0x1fffu) * 8u;
		n = got.packet.len - NET_ETH_LEN - NET_IP4_LEN;
		if (at + n > cap)
			return 0;
		memcpy(out + at, ip + NET_IP4_LEN, n);
		have += n;
		if ((psp_get16(ip + NET_IP4_FRAG) & 0x2000u) == 0)
			end = at + n;
	}
	return have == end ? end : 0;
}

static void a_sum_that_was_left_open_is_right_behind_the_next_port(void)
{
	static uint8_t whole[DP_FRAME_MAX];
	struct pair pair;
	uint32_t len, pieces;

	CHECK(open_narrow(&pair, "1000"));
	/* Whole: the kernel there may be left to do it, or it is done. */
	net_udp(&sent, &net.a, &c, 0, 500);
	leave_udp_sum(&sent);
	CHECK(net_send(&net.a, &sent));
	CHECK(net_recv(&c, &got, NET_HANG_MS));
	if (got.packet.needs_csum) {
		CHECK_EQ(got.packet.csum_start, NET_ETH_LEN + NET_IP4_LEN);
		dp_csum_complete(&got.packet);
	}
	CHECK(dp_csum_verify(ip_of(&got), NET_PROTO_UDP, ip_of(&got) + NET_IP4_LEN, 508));
	/* In pieces nobody could do it any more. */
	net_udp(&sent, &net.a, &c, 1, 1400);
	leave_udp_sum(&sent);
	CHECK(net_send(&net.a, &sent));
	len = gather(whole, sizeof(whole), &pieces);
	CHECK_EQ(len, 1408);
	CHECK_EQ(pieces, 2);
	CHECK(dp_csum_verify(ip_of(&got), NET_PROTO_UDP, whole, len));
	/* Each packet of a super-frame has its own. */
	net_tso(&sent, &net.a, &c, 3, 1400);
	CHECK(net_send(&net.a, &sent));
	for (uint32_t i = 0; i < 3; i++) {
		CONTEXT("packet %u", i);
		len = gather(whole, sizeof(whole), &pieces);
		CHECK_EQ(len, NET_TCP_LEN + (i < 2 ? 1400 : 700));
		CHECK_EQ(psp_get32(whole + NET_TCP_SEQ), 1000 + i * 1400);
		CHECK(dp_csum_verify(ip_of(&got), NET_PROTO_TCP, whole, len));
	}
	SUB(expect_accounts());
}

/* A fragment that is too long is cut again, and what is behind it stays behind it. */
static void fragments_pass_and_are_cut_again(void)
{
	static uint8_t whole[DP_FRAME_MAX];
	struct pair pair;
	uint8_t *ip = sent.buf + DP_HEADROOM + NET_ETH_LEN;
	uint32_t pieces;

	CHECK(open_narrow(&pair, "1000"));
	/* The second first, which has no ports: the last 408 octets of 1,608. */
	net_udp(&sent, &net.a, &c, 2, 400);
	psp_put16(ip + NET_IP4_FRAG, 1200 / 8);
	dp_csum_ipv4(ip);
	CHECK(net_send(&net.a, &sent));
	net_udp(&sent, &net.a, &c, 1, 1192);
	psp_put16(ip + NET_IP4_FRAG, 0x2000);
	dp_csum_ipv4(ip);
	CHECK(net_send(&net.a, &sent));
	CHECK_EQ(gather(whole, sizeof(whole), &pieces), 1608);
	CHECK_EQ(pieces, 3);
	CHECK_EQ(psp_get32(whole + NET_UDP_LEN), 1);
	CHECK_EQ(psp_get32(whole + 1200 + NET_UDP_LEN), 2);
	SUB(expect_accounts());
}

/* A packet to fd00::3 of so many octets behind its header, which is of this kind. */
static void make_ip6(struct net_frame *f, uint8_t next, uint32_t len)
{
	uint8_t *eth = f->buf + DP_HEADROOM, *ip = eth + NET_ETH_LEN;

	net_udp(f, &net.a, &c, 0, len + 12);
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_IPV6);
	memset(ip, 0, NET_IP6_LEN + len);
	ip[0] = 0x60;
	psp_put16(ip + NET_IP6_PLEN, (uint16_t)len);
	ip[NET_IP6_NEXT] = next;
	ip[NET_IP6_HOPS] = 64;
	ip[NET_IP6_SRC] = 0xfd;
	ip[NET_IP6_SRC + 15] = 1;
	ip[NET_IP6_DST] = 0xfd;
	ip[NET_IP6_DST + 15] = 3;
	f->packet.len = NET_ETH_LEN + NET_IP6_LEN + len;
}

#define NEXT_FRAGMENT 44u

static void ip6_is_not_cut_and_its_fragments_pass(void)
{
	struct pair pair;
	struct psp_dp_event event;
	uint8_t *ip = sent.buf + DP_HEADROOM + NET_ETH_LEN, *tcp = ip + NET_IP6_LEN, data[64];

	CHECK(open_narrow(&pair, "1300"));
	/* A first fragment, and one behind it that names no port. */
	for (uint16_t i = 0; i < 2; i++) {
		make_ip6(&sent, NEXT_FRAGMENT, 808);
		ip[NET_IP6_LEN] = NET_PROTO_UDP;
		psp_put16(ip + NET_IP6_LEN + 2, i == 0 ? 1 : 800);
		psp_put32(ip + NET_IP6_LEN + 4, 77);
		CHECK(net_send(&net.a, &sent));
		CHECK(net_recv(&c, &got, NET_HANG_MS));
		CHECK_EQ(got.packet.len, sent.packet.len);
		CHECK_EQ(ip_of(&got)[NET_IP6_HOPS], 63);
		CHECK_EQ(psp_get16(ip_of(&got) + NET_IP6_LEN + 2), i == 0 ? 1 : 800);
	}
	make_ip6(&sent, NET_PROTO_UDP, 1300);
	psp_put16(ip + NET_IP6_LEN + NET_UDP_LENGTH, 1300);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_TOO_BIG, &event, data, sizeof(data)));
	CHECK_EQ(event.mtu, 1300);
	CHECK_EQ(event.port, HOST);
	CHECK_EQ(event.packet_len, 1340);
	CHECK_EQ(data[NET_IP6_HOPS], 64);
	/* A super-frame: whole where its packets fit, and dropped where they do not. */
	for (uint16_t mss = 1200; mss <= 1400; mss = (uint16_t)(mss + 200)) {
		make_ip6(&sent, NET_PROTO_TCP, NET_TCP_LEN + 10u * mss);
		tcp[NET_TCP_OFFSET] = 5 << 4;
		tcp[NET_TCP_FLAGS] = NET_ACK;
		psp_put16(tcp + NET_TCP_CSUM,
			  dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_TCP, NET_TCP_LEN + 10u * mss)));
		sent.packet.gso = DP_GSO_TCP6;
		sent.packet.gso_size = mss;
		sent.packet.needs_csum = true;
		sent.packet.l3_off = NET_ETH_LEN;
		sent.packet.l4_off = NET_ETH_LEN + NET_IP6_LEN;
		sent.packet.csum_start = NET_ETH_LEN + NET_IP6_LEN;
		sent.packet.csum_offset = NET_TCP_CSUM;
		sent.packet.payload_off = NET_ETH_LEN + NET_IP6_LEN + NET_TCP_LEN;
		CHECK(net_send(&net.a, &sent));
		if (mss > 1240)
			break;
		CHECK(net_recv(&c, &got, NET_HANG_MS));
		CHECK_EQ(got.packet.gso, DP_GSO_TCP6);
		CHECK_EQ(got.packet.gso_size, mss);
		CHECK_EQ(got.packet.len, sent.packet.len);
		CHECK_EQ(ip_of(&got)[NET_IP6_HOPS], 63);
	}
	/* Its flow was told of a moment ago. */
	CHECK(graph_wait(net.a.dp, DP_TOO_BIG, 11));
	CHECK(!net_recv(&c, &got, 0));
	SUB(expect_accounts());
}

static void another_ports_address_is_nothing_here(void)
{
	struct pair pair;
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	struct net_side thief;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(make_local(&pair.ga));
	entry_of(&e, &net.a, HOST, &c, c_port);
	CHECK(graph_add(net.a.dp, local, &e, NULL));
	thief = c;
	memcpy(thief.vip, net.a.vip, 4);
	net_udp(&sent, &thief, &c, 0, 64);
	CHECK(net_send(&c, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK_EQ(event.port, c_port);
	CHECK(!net_recv(&c, &got, 0));
}

static void what_goes_with_nothing_else_is_refused(void)
{
	struct pair pair;
	struct psp_dp_entry_desc e;
	uint32_t entry;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(make_c());
	CHECK(make_local(&pair.ga));
	entry_of(&e, &c, c_port, &net.a, HOST);
	e.actions.flags |= PSP_DP_ACTION_DECAP;
	CHECK_EQ(psp_dp_entry_add(net.a.dp, local, &e, &entry), PSP_DP_EINVAL);
	CHECK(graph_says(net.a.dp, "ROUTE goes with no other action"));
}

#define RUN_LOCAL(test)                                                                            \
	do {                                                                                       \
		RUN_CLOSED(test);                                                                  \
		drop_c();                                                                          \
	} while (0)

static void run(void)
{
	RUN_LOCAL(held_packets_run_from_the_first_pipe_on);
	RUN_LOCAL(a_super_frame_stays_one);
	RUN_LOCAL(a_packet_whose_time_is_over_is_the_agents);
	RUN_LOCAL(a_port_that_carries_less_is_respected);
	RUN_LOCAL(a_sum_that_was_left_open_is_right_behind_the_next_port);
	RUN_LOCAL(fragments_pass_and_are_cut_again);
	RUN_LOCAL(ip6_is_not_cut_and_its_fragments_pass);
	RUN_LOCAL(another_ports_address_is_nothing_here);
	RUN_LOCAL(what_goes_with_nothing_else_is_refused);
}

int main(void)
{
	return run_with_each_backend(run);
}
