/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that take another way: to the agent, to the kernel, back to the sender. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

/* ---- exceptions and limits ------------------------------------------------------------------- */

static void arp_goes_to_the_agent_and_the_reply_comes_back(void)
{
	struct psp_dp_event event;
	struct pair pair;
	uint8_t arp[60] = {0}, data[60];

	CHECK(pair_open(&pair, -1, NULL));
	memset(arp, 0xff, 6);
	memcpy(arp + 6, net.a.end_mac, 6);
	psp_put16(arp + 12, NET_TYPE_ARP);
	memset(&sent.packet, 0, sizeof(sent.packet));
	sent.packet.frame = sent.buf + DP_HEADROOM;
	sent.packet.len = sizeof(arp);
	memcpy(sent.packet.frame, arp, sizeof(arp));
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_EXCEPTION, &event, data, sizeof(data)));
	CHECK_EQ(event.data_len, sizeof(arp));
	CHECK_EQ(event.packet_len, sizeof(arp));
	CHECK_EQ(event.port, HOST);
	CHECK_MEM(data, arp, sizeof(arp));
	memcpy(arp, net.a.end_mac, 6);
	CHECK_EQ(psp_dp_inject(net.a.dp, HOST, arp, sizeof(arp)), 0);
	CHECK(net_recv(&net.a, &got, NET_HANG_MS));
	CHECK_MEM(got.packet.frame, arp, sizeof(arp));
	CHECK_EQ(psp_dp_inject(net.a.dp, 3, arp, sizeof(arp)), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_inject(net.a.dp, 1, arp, 13), PSP_DP_EINVAL);
	SUB(expect_accounts());
}

/* Two thousand ARP requests of one MAC, and as many flows that miss and more: what the agent gets has a bound. */
static void storms_of_one_workload_do_not_reach_the_agent(void)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	struct pair pair;
	uint64_t exceptions;

	CHECK(pair_open(&pair, -1, NULL));
	memset(&sent.packet, 0, sizeof(sent.packet));
	sent.packet.frame = sent.buf + DP_HEADROOM;
	sent.packet.len = 60;
	memset(sent.packet.frame, 0, 60);
	memset(sent.packet.frame, 0xff, 6);
	memcpy(sent.packet.frame + 6, net.a.end_mac, 6);
	psp_put16(sent.packet.frame + 12, NET_TYPE_ARP);
	for (uint32_t i = 0; i < 2000; i++)
		CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, DP_HOST_RX_PACKETS, 2000));
	SUB(expect_accounts());
	exceptions = graph_count(net.a.dp, DP_EXCEPTIONS);
	CHECK(exceptions >= PSP_DP_EXCEPTION_PER_MAC_BURST);
	CHECK_EQ(graph_count(net.a.dp, DP_EXCEPTIONS_LIMITED), 2000 - exceptions);
	CHECK(exceptions < 2000);
	CHECK_EQ(psp_dp_port_query(net.a.dp, HOST, &info), 0);
	CHECK_EQ(info.exceptions_limited, 2000 - exceptions);
	/* A host that starts: none of its first thousand flows is lost. */
	for (uint32_t i = 0; i < 20000; i++) {
		struct net_side to = net.b;

		to.vip[2] = (uint8_t)(i >> 8);
		to.vip[3] = (uint8_t)i;
		net_udp(&sent, &net.a, &to, i, 64);
		CHECK(net_send(&net.a, &sent));
		if (i == 999) {
			CHECK(graph_wait(net.a.dp, DP_HELD_PACKETS, 1000));
			CHECK_EQ(graph_count(net.a.dp, DP_MISSES_LIMITED), 0);
		}
	}
	CHECK(graph_wait(net.a.dp, DP_HOST_RX_PACKETS, 22000));
	SUB(expect_accounts());
	CHECK(graph_count(net.a.dp, DP_MISSES_LIMITED) > 0);
	CHECK_EQ(psp_dp_port_query(net.a.dp, HOST, &info), 0);
	CHECK_EQ(info.misses_limited, graph_count(net.a.dp, DP_MISSES_LIMITED));
}

/* What B is to hand to its agent, for it knows no workload there yet. */
static bool undelivered(const struct net_side *from, const struct tunnel *t)
{
	struct psp_dp_entry_desc e;

	graph_ingr_acl(&e, from, &net.b, t);
	graph_fwd(&e.fwd, PSP_DP_FWD_RSS, PSP_DP_RSS_EXCEPTION);
	return psp_dp_entry_update(net.b.dp, t->ingr_acl, &e) == 0;
}

/* One workload behind A sends two thousand packets to somebody whom B looks for; another's one is not lost for that. */
static void a_scan_costs_another_nothing_where_it_arrives(void)
{
	struct psp_dp_event event;
	struct pair pair;
	struct net_side other;
	struct tunnel of_other;
	uint8_t data[64] = {0};
	bool came = false;

	CHECK(pair_open(&pair, -1, NULL));
	other = net.a;
	other.vip[3] = 77;
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK(tunnel_up(&other, &net.b, &pair.ga, &pair.gb, 2, &of_other));
	CHECK(undelivered(&net.a, &pair.ab));
	CHECK(undelivered(&other, &of_other));
	for (uint32_t i = 0; i < 2000; i++) {
		net_udp(&sent, &net.a, &net.b, i, 64);
		CHECK(net_send(&net.a, &sent));
	}
	CHECK(graph_wait(net.b.dp, DP_RX_PACKETS, 2000));
	SUB(expect_accounts());
	CHECK(graph_count(net.b.dp, DP_EXCEPTIONS_LIMITED) >= 1000);
	net_udp(&sent, &other, &net.b, 0, 64);
	CHECK(net_send(&net.a, &sent));
	while (!came && graph_event(net.b.dp, PSP_DP_EVENT_EXCEPTION, &event, data, sizeof(data)))
		came = data[NET_ETH_LEN + NET_IP4_SRC + 3] == 77;
	CHECK(came);
	SUB(expect_accounts());
}

/* Connections go on, and nothing misses: what a workload sends shows that its interface is another one now. */
static void a_workload_with_another_mac_is_seen(void)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 9, 9};
	struct psp_dp_event event;
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	SUB(expect_delivery(&net.a, &net.b, 3, 64));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_SOURCE, &event, NULL, 0));
	/* At most one a second for an address. */
	usleep(1100 * 1000);
	for (uint32_t i = 0; i < 5; i++) {
		net_udp(&sent, &net.a, &net.b, i, 64);
		memcpy(sent.packet.frame + 6, other, 6);
		CHECK(net_send(&net.a, &sent));
	}
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_SOURCE, &event, NULL, 0));
	CHECK_MEM(event.eth_src, other, 6);
	CHECK_MEM(event.src + 12, net.a.vip, 4);
	CHECK_EQ(event.port, HOST);
	SUB(expect_accounts());
}

/* Its interface was made anew while its packets waited: nobody has told the agent, and the entry knows no MAC yet. */
static void the_first_packet_of_an_entry_shows_its_mac(void)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 9, 9};
	struct psp_dp_event event;
	struct pair pair;
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	net_udp(&sent, &net.a, &net.b, 0, 64);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &event, NULL, 0));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK_EQ(psp_dp_held_release(net.a.dp, event.flow, &packets), 0);
	CHECK(graph_wait(net.b.dp, DP_HOST_TX_PACKETS, 1));
	net_udp(&sent, &net.a, &net.b, 1, 64);
	memcpy(sent.packet.frame + 6, other, 6);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_SOURCE, &event, NULL, 0));
	CHECK_MEM(event.eth_src, other, 6);
}

/* DF */
static void must_stay_whole(struct net_frame *f)
{
	uint8_t *ip = f->packet.frame + NET_ETH_LEN;

	psp_put16(ip + NET_IP4_FRAG, 0x4000);
	dp_csum_ipv4(ip);
}

/* The pieces that arrive at B make the packet that A sent, none of them longer than max_ip. */
static void expect_pieces(uint32_t n, uint32_t max_ip)
{
	static uint8_t whole[DP_FRAME_MAX];
	const uint8_t *ip = sent.packet.frame + NET_ETH_LEN;
	const uint32_t own = (uint32_t)(ip[0] & 15u) * 4u,
		       len = sent.packet.len - NET_ETH_LEN - own;
	uint32_t have = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *at;
		uint32_t word, off, head;

		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
		at = got.packet.frame + NET_ETH_LEN;
		head = (uint32_t)(at[0] & 15u) * 4u;
		word = psp_get16(at + NET_IP4_FRAG);
		off = (word & 0x1fffu) * 8u;
		CHECK(got.packet.len - NET_ETH_LEN <= max_ip);
		CHECK_EQ((word & 0x2000u) != 0, i + 1 < n);
		CHECK_EQ(off, have);
		CHECK_EQ(head, i == 0 ? own : 24u);
		CHECK_EQ(psp_get16(at + 4), psp_get16(ip + 4));
		/* The option that is copied, and not the one before it. */
		CHECK_EQ(at[NET_IP4_LEN], i == 0 ? 7 : 0x94);
		memcpy(whole + off, at + head, got.packet.len - NET_ETH_LEN - head);
		have += got.packet.len - NET_ETH_LEN - head;
	}
	CHECK_EQ(have, len);
	CHECK_MEM(whole, ip + own, len);
}

/* With two options: record route (7, not copied) and router alert (0x94, copied). */
static void add_options(struct net_frame *f)
{
	static const uint8_t options[8] = {7, 3, 4, 0x94, 4, 0, 0, 0};
	uint8_t *ip = f->packet.frame + NET_ETH_LEN;

	memmove(ip + NET_IP4_LEN + 8, ip + NET_IP4_LEN, f->packet.len - NET_ETH_LEN - NET_IP4_LEN);
	memcpy(ip + NET_IP4_LEN, options, 8);
	ip[0] = 0x47;
	f->packet.len += 8;
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(f->packet.len - NET_ETH_LEN));
	psp_put16(ip + 4, 0x1234);
	dp_csum_ipv4(ip);
}

static void packet_that_may_be_cut_is_cut(void)
{
	struct psp_dp_entry_desc e;
	struct pair pair;
	uint64_t before;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	graph_egr_acl(&e, &net.a, &net.b, &pair.ab);
	e.actions.path_mtu = 1000;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair.ab.egr_acl, &e), 0);
	net_udp(&sent, &net.a, &net.b, 1, 1400);
	add_options(&sent);
	CHECK(net_send(&net.a, &sent));
	SUB(expect_pieces(2, 940));
	CHECK_EQ(graph_count(net.a.dp, DP_FRAGMENTS), 1);
	CHECK_EQ(graph_count(net.a.dp, DP_TOO_BIG), 0);
	/* A fragment that is too long itself: the pieces go on where it begins. */
	net_udp(&sent, &net.a, &net.b, 1, 1400);
	psp_put16(sent.packet.frame + NET_ETH_LEN + NET_IP4_FRAG, 0x2000u | 100u);
	dp_csum_ipv4(sent.packet.frame + NET_ETH_LEN);
	CHECK(net_send(&net.a, &sent));
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
		/* 940 octets of IP carry 920 of data, whole units of eight. */
		CHECK_EQ(psp_get16(got.packet.frame + NET_ETH_LEN + NET_IP4_FRAG),
			 0x2000u | (100u + i * 115u));
	}
	SUB(expect_accounts());
	/* Without a key nothing leaves, in pieces neither. */
	before = graph_count(net.a.dp, DP_TX_PACKETS);
	CHECK_EQ(psp_dp_crypto_clear(net.a.dp, 1), 0);
	net_udp(&sent, &net.a, &net.b, 1, 1400);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, DP_TX_KEY_EXPIRED, 1));
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), before);
	SUB(expect_accounts());
}

static void packet_that_does_not_fit_is_reported(void)
{
	struct psp_dp_event event;
	struct pair pair;
	uint8_t data[64];

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &net.a, &net.b, i, 1440 - 28 + 1);
		must_stay_whole(&sent);
		CHECK(net_send(&net.a, &sent));
	}
	CHECK(graph_wait(net.a.dp, DP_TOO_BIG, 3));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_TOO_BIG, &event, data, sizeof(data)));
	CHECK_EQ(event.mtu, 1440);
	CHECK_EQ(event.packet_len, 1441);
	CHECK_EQ(event.data_len, DP_TOO_BIG_BYTES);
	CHECK_MEM(data, sent.packet.frame + 14, 28);
	SUB(expect_delivery(&net.a, &net.b, 1, 1440 - 28));
	SUB(expect_accounts());
}

/* A router between A and B carries less than A's uplink: it says so, and the entry is told. */
static void a_path_carries_less_than_the_uplink(void)
{
	struct psp_dp_event event;
	struct psp_dp_entry_desc e;
	struct pair pair;
	uint8_t *icmp, *quote, data[64];
	const uint32_t quoted = NET_IP4_LEN + NET_UDP_LEN + PSP_HEADER_LEN;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	/* From B's uplink to A's, as a frame of a router. */
	net_udp(&sent, &net.b, &net.a, 0, quoted);
	memcpy(sent.packet.frame, net.a.up_mac, 6);
	icmp = sent.packet.frame + NET_ETH_LEN;
	icmp[NET_IP4_PROTO] = NET_PROTO_ICMP;
	dp_csum_ipv4(icmp);
	icmp += NET_IP4_LEN;
	quote = icmp + 8;
	memset(icmp, 0, 8 + quoted);
	icmp[0] = 3;
	icmp[1] = 4;
	psp_put16(icmp + 6, 1300);
	quote[0] = 0x45;
	quote[NET_IP4_PROTO] = NET_PROTO_UDP;
	memcpy(quote + NET_IP4_SRC, net.a.pip, 4);
	memcpy(quote + NET_IP4_DST, net.b.pip, 4);
	psp_put16(quote + NET_IP4_LEN + NET_UDP_DST, PSP_UDP_PORT);
	psp_put32(quote + NET_IP4_LEN + NET_UDP_LEN + 4, pair.ab.key.spi);
	psp_put16(icmp + 2, (uint16_t)~dp_csum_fold(dp_csum_add(0, icmp, 8 + quoted)));
	for (uint32_t i = 0; i < 20; i++)
		CHECK_EQ(psp_dp_inject(net.b.dp, UPLINK, sent.packet.frame, sent.packet.len), 0);
	CHECK(graph_wait(net.a.dp, DP_UPLINK_KERNEL, 20));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_PATH_MTU, &event, NULL, 0));
	CHECK_EQ(event.mtu, 1300);
	CHECK_EQ(event.spi, pair.ab.key.spi);
	CHECK_MEM(event.dst + 12, net.b.pip, 4);
	CHECK_MEM(event.src + 12, net.a.pip, 4);
	/* One a second, however many come. */
	CHECK(!graph_event_within(net.a.dp, 300, PSP_DP_EVENT_PATH_MTU, &event, NULL, 0));

	graph_egr_acl(&e, &net.a, &net.b, &pair.ab);
	e.actions.path_mtu = 1300;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair.ab.egr_acl, &e), 0);
	net_udp(&sent, &net.a, &net.b, 1, 1240 - 28 + 1);
	must_stay_whole(&sent);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_TOO_BIG, &event, data, sizeof(data)));
	CHECK_EQ(event.mtu, 1240);
	SUB(expect_delivery(&net.a, &net.b, 1, 1240 - 28));
	/* More than the uplink carries is what the uplink carries. */
	e.actions.path_mtu = 9000;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair.ab.egr_acl, &e), 0);
	SUB(expect_delivery(&net.a, &net.b, 1, 1440 - 28));
	SUB(expect_accounts());
}

static void other_traffic_is_left_to_the_kernel(void)
{
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	net_udp(&sent, &net.a, &net.b, 0, 64);
	memcpy(sent.packet.frame, net.b.up_mac, 6);
	CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, sent.packet.frame, sent.packet.len), 0);
	CHECK(graph_wait(net.b.dp, DP_UPLINK_KERNEL, 1));
	CHECK(!net_recv(&net.b, &got, 50));
	SUB(expect_accounts());
}

static void *inject(void *arg)
{
	uint8_t frame[60] = {0};
	uintptr_t failed = 0;

	memcpy(frame, net.a.end_mac, 6);
	psp_put16(frame + 12, NET_TYPE_ARP);
	for (uint32_t i = 0; i < 2000; i++)
		failed += psp_dp_inject(net.a.dp, HOST, frame, sizeof(frame)) != 0;
	(void)arg;
	return (void *)failed;
}

/* Beside the worker, which sends there too. */
static void any_thread_may_inject(void)
{
	struct pair pair;
	pthread_t threads[3];
	void *failed;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.b, &net.a, &pair.gb, &pair.ga, 1, &pair.ba));
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, inject, NULL), 0);
	for (uint32_t i = 0; i < 200; i++) {
		net_udp(&sent, &net.b, &net.a, i, 64);
		CHECK(net_send(&net.b, &sent));
	}
	for (uint32_t i = 0; i < 3; i++) {
		pthread_join(threads[i], &failed);
		CHECK_EQ((uintptr_t)failed, 0);
	}
	CHECK(graph_wait(net.a.dp, DP_HOST_TX_PACKETS, 200));
	SUB(expect_accounts());
}

static void run(void)
{
	RUN_CLOSED(arp_goes_to_the_agent_and_the_reply_comes_back);
	RUN_CLOSED(storms_of_one_workload_do_not_reach_the_agent);
	RUN_CLOSED(a_scan_costs_another_nothing_where_it_arrives);
	RUN_CLOSED(a_workload_with_another_mac_is_seen);
	RUN_CLOSED(the_first_packet_of_an_entry_shows_its_mac);
	RUN_CLOSED(packet_that_may_be_cut_is_cut);
	RUN_CLOSED(packet_that_does_not_fit_is_reported);
	RUN_CLOSED(a_path_carries_less_than_the_uplink);
	RUN_CLOSED(other_traffic_is_left_to_the_kernel);
	RUN_CLOSED(any_thread_may_inject);
}

int main(void)
{
	return run_with_each_backend(run);
}
