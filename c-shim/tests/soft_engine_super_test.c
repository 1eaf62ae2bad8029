/* SPDX-License-Identifier: Apache-2.0 */
/* Super-frames, end to end: whole, held, sampled by the packet. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

static void super_frames_stay_whole(void)
{
	struct pair pair;
	uint32_t frames;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	SUB(expect_stream(40, 1400, &frames));
	CHECK(frames <= 2);
	SUB(expect_accounts());
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 40);
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), 40);
	CHECK_EQ(graph_count(net.b.dp, DP_HOST_TX_PACKETS), 40);
}

static void super_frames_are_held_whole(void)
{
	struct pair pair;
	struct psp_dp_event miss;
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	net_tso(&sent, &net.a, &net.b, 30, 1000);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), 0);
	CHECK_EQ(packets, 30);
	CHECK(graph_wait(net.b.dp, DP_HOST_TX_PACKETS, 30));
	SUB(expect_accounts());
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* Reads the samples that are there; *octets: of IP, in all. */
static uint32_t samples(struct psp_dp *dp, uint32_t spi, uint32_t *octets)
{
	static uint8_t buf[1u << 20];
	uint32_t len = 0, n = 0;

	*octets = 0;
	if (psp_dp_event_wait(dp, buf, sizeof(buf), 100, &len) != 0)
		return 0;
	for (uint32_t at = 0; at < len;) {
		struct psp_dp_event event;

		memcpy(&event, buf + at, sizeof(event));
		at += event.record_size;
		if (event.type != PSP_DP_EVENT_SAMPLE || event.spi != spi)
			continue;
		*octets += event.packet_len;
		n++;
	}
	return n;
}

static void all_packets_are_sampled_with_an_empty_mask(void)
{
	struct pair pair;
	struct psp_dp_event event;
	uint8_t data[128], vip[16];
	uint32_t octets, frames;

	CHECK(pair_open(&pair, 0, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 9, &pair.ab));
	SUB(expect_delivery(&net.a, &net.b, 1, 500));
	graph_map(vip, net.a.vip);
	for (uint32_t side = 0; side < 2; side++) {
		CHECK(graph_event(side == 0 ? net.a.dp : net.b.dp, PSP_DP_EVENT_SAMPLE, &event,
				  data, sizeof(data)));
		CHECK_EQ(event.spi, pair.ab.key.spi);
		CHECK_EQ(event.packet_len, 528);
		CHECK_EQ(event.data_len, 128);
		CHECK_EQ(event.egress, side == 0);
		CHECK_MEM(event.src, vip, 16);
		CHECK_MEM(data, sent.packet.frame + 14, 128);
	}
	SUB(expect_stream(20, 1000, &frames));
	CHECK_EQ(samples(net.a.dp, pair.ab.key.spi, &octets), 20);
	CHECK_EQ(octets, 20 * 1000 - 500 + 20 * 40);
	CHECK_EQ(samples(net.b.dp, pair.ab.key.spi, &octets), 20);
	CHECK_EQ(octets, 20 * 1000 - 500 + 20 * 40);
	SUB(expect_accounts());
}

/* One in 4, drawn for each packet of a super-frame; the stream is none the worse for it. */
static void super_frames_are_sampled_by_the_packet(void)
{
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	struct pair pair;
	uint32_t octets, frames, n;

	CHECK(pair_open(&pair, 2, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 9, &pair.ab));
	for (uint32_t i = 0; i < 50; i++) {
		SUB(expect_stream(40, 1400, &frames));
		CHECK(frames <= 2);
	}
	SUB(expect_accounts());
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 2000);
	CHECK_EQ(graph_count(net.b.dp, DP_HOST_TX_PACKETS), 2000);
	n = samples(net.a.dp, pair.ab.key.spi, &octets);
	CHECK(n > 350 && n < 650); /* 500, give or take 8 standard deviations */
	CHECK_EQ(graph_count(net.a.dp, DP_SAMPLES), n);
	CHECK_EQ(samples(net.b.dp, pair.ab.key.spi, &octets), n);
	CHECK_EQ(psp_dp_entry_query(net.a.dp, pair.ga.samp_entry, &stats), 0);
	CHECK_EQ(stats.packets, n);
}

static void run(void)
{
	RUN_CLOSED(super_frames_stay_whole);
	RUN_CLOSED(super_frames_are_held_whole);
	RUN_CLOSED(all_packets_are_sampled_with_an_empty_mask);
	RUN_CLOSED(super_frames_are_sampled_by_the_packet);
}

int main(void)
{
	return run_with_each_backend(run);
}
