/* SPDX-License-Identifier: Apache-2.0 */
/* First packets, held until their tunnel is there, and changes while others go on. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

static void first_packet_waits_for_its_tunnel(void)
{
	struct pair pair;
	struct psp_dp_event miss;
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	uint8_t vip[16];
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	net_udp(&sent, &net.a, &net.b, 7, 100);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	CHECK(miss.flow != 0 && miss.pipe == pair.ga.egr_acl && miss.egress == 1);
	graph_map(vip, net.a.vip);
	CHECK_MEM(miss.src, vip, 16);
	graph_map(vip, net.b.vip);
	CHECK_MEM(miss.dst, vip, 16);
	CHECK_MEM(miss.eth_src, net.a.end_mac, 6);
	CHECK_EQ(miss.packet_len, 128);

	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), 0);
	CHECK_EQ(packets, 1);
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK_MEM(got.packet.frame + 14, sent.packet.frame + 14, sent.packet.len - 14);
	CHECK_EQ(net_number(&got), 7);
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), PSP_DP_ENOENT);

	SUB(expect_accounts());
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 1);
	CHECK_EQ(graph_count(net.a.dp, DP_TX_BYTES), 128);
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), 1);
	CHECK_EQ(graph_count(net.b.dp, DP_RX_BYTES), 128);
	CHECK_EQ(psp_dp_entry_query(net.a.dp, pair.ab.egr_acl, &stats), 0);
	CHECK(stats.packets == 1 && stats.bytes == 128 && stats.last_used_ns != 0);
	CHECK_EQ(psp_dp_pipe_query(net.a.dp, pair.ga.egr_acl, &stats), 0);
	CHECK(stats.entries == 1 && stats.packets == 1 && stats.miss_packets == 1);
	CHECK_EQ(psp_dp_crypto_query(net.a.dp, 1, &stats), 0);
	CHECK(stats.packets == 1 && stats.bytes == 128);
}

static void packets_travel_both_ways(void)
{
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK(tunnel_up(&net.b, &net.a, &pair.gb, &pair.ga, 1, &pair.ba));
	SUB(expect_delivery(&net.a, &net.b, 50, 1000));
	SUB(expect_delivery(&net.b, &net.a, 50, 10));
	SUB(expect_accounts());
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 50);
	CHECK_EQ(graph_count(net.a.dp, DP_RX_PACKETS), 50);
}

/* Entry and release come while packets go on: nothing is lost, and nothing overtakes what was held. */
static void release_amid_traffic_keeps_the_order(void)
{
	struct psp_dp_config config = {.hold_packets_per_flow = PSP_DP_HOLD_PACKETS_PER_FLOW_MAX};
	struct flood f = {.n = 3000, .pause_us = 10};
	struct psp_dp_event miss;
	struct pair pair;
	pthread_t thread;
	uint32_t packets, last = 0, n;
	bool in_order = true;

	CHECK(pair_open(&pair, -1, &config));
	CHECK_EQ(pthread_create(&thread, NULL, flood, &f), 0);
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	while (atomic_load(&f.sent) < f.n / 3)
		usleep(100);
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	usleep(500); /* the entry is in, the release is not yet */
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), 0);
	CHECK(packets > 0);
	n = drain(f.n, &last, &in_order);
	pthread_join(thread, NULL);
	CHECK_EQ(n, f.n);
	CHECK_EQ(last, f.n - 1);
	CHECK(in_order);
	CHECK_EQ(graph_count(net.a.dp, DP_HELD_RELEASED), graph_count(net.a.dp, DP_HELD_PACKETS));
	CHECK_EQ(graph_count(net.a.dp, DP_HELD_RELEASED), packets);
	SUB(expect_accounts());
}

static void refused_flow_is_dropped_for_a_while(void)
{
	struct psp_dp_event miss;
	struct pair pair;
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &net.a, &net.b, i, 64);
		CHECK(net_send(&net.a, &sent));
	}
	CHECK(graph_wait(net.a.dp, DP_HELD_PACKETS, 3));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	CHECK_EQ(psp_dp_held_drop(net.a.dp, miss.flow, PSP_DP_DROP_REASONS, 0, &packets),
		 PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_held_drop(net.a.dp, miss.flow, PSP_DP_DROP_REFUSED, 60000, &packets), 0);
	CHECK_EQ(packets, 3);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, DP_DROP_REFUSED, 4));
	CHECK_EQ(psp_dp_hold_off_clear(net.a.dp), 0);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	/* A pipe that goes takes along what waits at it. */
	CHECK_EQ(psp_dp_pipe_destroy(net.a.dp, pair.ga.root), 0);
	CHECK_EQ(psp_dp_pipe_destroy(net.a.dp, pair.ga.egr_acl), 0);
	CHECK_EQ(graph_count(net.a.dp, DP_DROP_SHUTDOWN), 1);
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), PSP_DP_ENOENT);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, DP_HOST_UNMATCHED, 1));
	SUB(expect_accounts());
}

/* ---- change amid traffic --------------------------------------------------------------------- */

/* Make before break: the sender switches keys over and over, and no packet is lost. */
static void update_amid_traffic_loses_nothing(void)
{
	struct flood f = {.n = 4000, .pause_us = 5};
	struct psp_dp_entry_desc e;
	struct tunnel t[2];
	struct pair pair;
	pthread_t thread;
	uint32_t last = 0, n, updates = 0, stale[2];
	bool in_order = true;

	CHECK(pair_open(&pair, -1, NULL));
	for (uint32_t i = 0; i < 2; i++)
		CHECK(graph_receive(&net.a, &net.b, &pair.gb, PSP_AES_GCM_256, &t[i]));
	CHECK(graph_transmit(&net.a, &net.b, &pair.ga, 1, &t[0]));
	t[1].crypto_id = 2;
	CHECK_EQ(psp_dp_crypto_set(net.a.dp, 2, &t[1].key), 0);
	CHECK_EQ(pthread_create(&thread, NULL, flood, &f), 0);
	while (atomic_load(&f.sent) < f.n) {
		graph_egr_acl(&e, &net.a, &net.b, &t[++updates % 2]);
		CHECK_EQ(psp_dp_entry_update(net.a.dp, t[0].egr_acl, &e), 0);
		/* Others come and go beside it. */
		graph_egr_acl(&e, &net.b, &net.a, &t[0]);
		CHECK(graph_add(net.a.dp, pair.ga.egr_acl, &e, &stale[0]));
		CHECK_EQ(psp_dp_entry_remove(net.a.dp, stale[0]), 0);
		CHECK_EQ(psp_dp_entry_remove(net.a.dp, stale[0]), PSP_DP_ENOENT);
		usleep(200);
	}
	n = drain(f.n, &last, &in_order);
	pthread_join(thread, NULL);
	CHECK(updates > 10);
	CHECK_EQ(n, f.n);
	CHECK(in_order);
	CHECK_EQ(graph_count(net.b.dp, DP_RX_AUTH_FAIL) + graph_count(net.b.dp, DP_RX_NO_SA), 0);
	SUB(expect_accounts());
}

static void run(void)
{
	RUN_CLOSED(first_packet_waits_for_its_tunnel);
	RUN_CLOSED(packets_travel_both_ways);
	RUN_CLOSED(release_amid_traffic_keeps_the_order);
	RUN_CLOSED(refused_flow_is_dropped_for_a_while);
	RUN_CLOSED(update_amid_traffic_loses_nothing);
}

int main(void)
{
	return run_with_each_backend(run);
}
