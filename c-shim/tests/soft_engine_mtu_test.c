/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that are too long for their next link, and that a tunnel brought or takes. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

#define PACKETS_MAX 32u
#define OCTETS_MAX 2000u

/* Packets that came in pieces, by their identification. */
static struct {
	uint8_t data[OCTETS_MAX];
	uint32_t have, len; /* octets behind the IP header; len 0: the last piece has not come */
} put_together[PACKETS_MAX];

/* Receives `pieces` frames of at most max_ip octets of IP. */
static void collect(const struct net_side *at, uint32_t pieces, uint32_t max_ip)
{
	memset(put_together, 0, sizeof(put_together));
	for (uint32_t i = 0; i < pieces; i++) {
		const uint8_t *ip;
		uint32_t id, word, off, len;

		CHECK(net_recv(at, &got, NET_HANG_MS));
		ip = got.packet.frame + NET_ETH_LEN;
		len = got.packet.len - NET_ETH_LEN - NET_IP4_LEN;
		id = psp_get16(ip + NET_IP4_ID);
		word = psp_get16(ip + NET_IP4_FRAG);
		off = (word & 0x1fffu) * 8u;
		CHECK(got.packet.len - NET_ETH_LEN <= max_ip);
		CHECK(id < PACKETS_MAX && off + len <= OCTETS_MAX);
		memcpy(put_together[id].data + off, ip + NET_IP4_LEN, len);
		put_together[id].have += len;
		if ((word & 0x2000u) == 0)
			put_together[id].len = off + len;
	}
}

/* They are the TCP packets that the super-frame `sent` stands for. */
static void expect_packets(uint32_t n)
{
	const uint8_t *ip = sent.packet.frame + NET_ETH_LEN;
	const uint8_t *payload = ip + NET_IP4_LEN + NET_TCP_LEN;
	uint32_t at = 0, all = sent.packet.len - sent.packet.payload_off;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *tcp = put_together[i].data;
		const uint32_t len = put_together[i].len;

		CONTEXT("packet %u", i);
		CHECK(len > NET_TCP_LEN);
		CHECK_EQ(put_together[i].have, len);
		CHECK_EQ(psp_get32(tcp + NET_TCP_SEQ), 1000 + at);
		CHECK(dp_csum_verify(ip, NET_PROTO_TCP, tcp, len));
		CHECK(at + len - NET_TCP_LEN <= all);
		CHECK_MEM(tcp + NET_TCP_LEN, payload + at, len - NET_TCP_LEN);
		at += len - NET_TCP_LEN;
	}
	CHECK_EQ(at, all);
}

/* Each of its packets but the last, which is half as long, is longer than the tunnel carries. */
static void a_super_frame_of_packets_that_may_be_cut_is_cut(void)
{
	struct psp_dp_entry_desc e;
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	graph_egr_acl(&e, &net.a, &net.b, &pair.ab);
	e.actions.path_mtu = 1000;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair.ab.egr_acl, &e), 0);
	net_tso(&sent, &net.a, &net.b, 20, 1400);
	CHECK(net_send(&net.a, &sent));
	SUB(collect(&net.b, 19 * 2 + 1, 940));
	SUB(expect_packets(20));
	CHECK_EQ(graph_count(net.a.dp, DP_FRAGMENTS), 19);
	CHECK_EQ(graph_count(net.a.dp, DP_TOO_BIG), 0);
	SUB(expect_accounts());
}

/* The same where they may not be cut: the sender is told, and nothing leaves. */
static void a_super_frame_of_packets_that_may_not_be_cut_is_reported(void)
{
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	struct pair pair;
	uint8_t *ip = sent.buf + DP_HEADROOM + NET_ETH_LEN;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	graph_egr_acl(&e, &net.a, &net.b, &pair.ab);
	e.actions.path_mtu = 1000;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair.ab.egr_acl, &e), 0);
	net_tso(&sent, &net.a, &net.b, 20, 1400);
	psp_put16(ip + NET_IP4_FRAG, 0x4000);
	dp_csum_ipv4(ip);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_TOO_BIG, &event, NULL, 0));
	CHECK_EQ(event.mtu, 940);
	CHECK(graph_wait(net.a.dp, DP_TOO_BIG, 20));
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 0);
	SUB(expect_accounts());
}

/* From A's workload to B's; may it be cut? */
static bool send_udp(uint32_t payload, bool whole)
{
	uint8_t *ip = sent.buf + DP_HEADROOM + NET_ETH_LEN;

	net_udp(&sent, &net.a, &net.b, 0, payload);
	if (whole)
		psp_put16(ip + NET_IP4_FRAG, 0x4000);
	dp_csum_ipv4(ip);
	return net_send(&net.a, &sent);
}

/* The error says it of `sent`, as the far workload, through the tunnel. */
static void expect_error(uint32_t mtu)
{
	const uint8_t *ip = got.packet.frame + NET_ETH_LEN, *icmp = ip + NET_IP4_LEN;
	const uint32_t len = got.packet.len - NET_ETH_LEN;

	CHECK_EQ(len, 576);
	CHECK_MEM(got.packet.frame, net.a.end_mac, 6);
	CHECK_EQ(ip[NET_IP4_PROTO], NET_PROTO_ICMP);
	CHECK_MEM(ip + NET_IP4_SRC, net.b.vip, 4);
	CHECK_MEM(ip + NET_IP4_DST, net.a.vip, 4);
	CHECK_EQ(psp_get16(icmp), 0x0304);
	CHECK_EQ(psp_get16(icmp + 6), mtu);
	CHECK_EQ(dp_csum_fold(dp_csum_add(0, icmp, len - NET_IP4_LEN)), 0xffff);
	CHECK_MEM(icmp + 8, sent.packet.frame + NET_ETH_LEN, len - NET_IP4_LEN - 8);
}

/* B's worker sees by itself what its host port carries. */
static bool sees_mtu(uint32_t mtu)
{
	const struct soft_link *link = soft_link(dp_port_find(&net.b.dp->base.ports, HOST));

	for (uint32_t i = 0; i < 10000 && link->mtu != mtu; i++)
		usleep(1000);
	return link->mtu == mtu;
}

static void a_peer_learns_what_the_port_of_our_workload_carries(void)
{
	struct psp_dp_event event;
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK(tunnel_up(&net.b, &net.a, &pair.gb, &pair.ga, 1, &pair.ba));
	CHECK(net_enter(&net.b));
	CHECK(NET_IP("link", "set", "b_host", "mtu", "1000"));
	CHECK(sees_mtu(1000));
	CHECK(send_udp(1200, true));
	CHECK(net_recv(&net.a, &got, NET_HANG_MS));
	SUB(expect_error(1000));
	CHECK(graph_event(net.b.dp, PSP_DP_EVENT_TOO_BIG, &event, NULL, 0));
	CHECK_EQ(event.mtu, 1000);
	CHECK_EQ(event.port, HOST);
	/* Once, however many come within a moment; the workload got none. */
	for (uint32_t i = 0; i < 20; i++)
		CHECK(send_udp(1200, true));
	CHECK(graph_wait(net.b.dp, DP_TOO_BIG, 21));
	CHECK(graph_count(net.b.dp, DP_TOO_BIG_TOLD) <= 3);
	CHECK(!net_recv(&net.b, &got, 0));
	/* What may be cut is cut, and what fits comes whole. */
	CHECK(send_udp(1200, false));
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
		CHECK(got.packet.len - NET_ETH_LEN <= 1000);
	}
	SUB(expect_delivery(&net.a, &net.b, 1, 1000 - 28));
	SUB(expect_accounts());
	CHECK(net_enter(&net.b));
	CHECK(NET_IP("link", "set", "b_host", "mtu", "1500"));
	CHECK(net_enter(&net.a));
}

static void run(void)
{
	RUN_CLOSED(a_super_frame_of_packets_that_may_be_cut_is_cut);
	RUN_CLOSED(a_super_frame_of_packets_that_may_not_be_cut_is_reported);
	RUN_CLOSED(a_peer_learns_what_the_port_of_our_workload_carries);
}

int main(void)
{
	return run_with_each_backend(run);
}
