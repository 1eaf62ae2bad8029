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
	CHECK(net_recv(&net.a, &got, 5000));
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

static void packet_that_does_not_fit_is_reported(void)
{
	struct psp_dp_event event;
	struct pair pair;
	uint8_t data[64];

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &net.a, &net.b, i, 1440 - 28 + 1);
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
	CHECK(!graph_event(net.a.dp, PSP_DP_EVENT_PATH_MTU, &event, NULL, 0));

	graph_egr_acl(&e, &net.a, &net.b, &pair.ab);
	e.actions.path_mtu = 1300;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair.ab.egr_acl, &e), 0);
	net_udp(&sent, &net.a, &net.b, 1, 1240 - 28 + 1);
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
	RUN_CLOSED(packet_that_does_not_fit_is_reported);
	RUN_CLOSED(a_path_carries_less_than_the_uplink);
	RUN_CLOSED(other_traffic_is_left_to_the_kernel);
	RUN_CLOSED(any_thread_may_inject);
}

int main(void)
{
	return run_with_each_backend(run);
}
