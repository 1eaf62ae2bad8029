/* SPDX-License-Identifier: Apache-2.0 */
/* Super-frames, end to end: whole, held, sampled by the packet. */
#define _GNU_SOURCE /* unshare(), setns() */
#include <linux/if_packet.h>

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

/* net_udp()'s have none, and what has none is joined to nothing. */
static void add_checksum(struct net_frame *frame)
{
	uint8_t *ip = frame->packet.frame + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	const uint32_t len = frame->packet.len - NET_ETH_LEN - NET_IP4_LEN;
	const uint32_t sum = dp_csum_add(dp_csum_pseudo(ip, NET_PROTO_UDP, len), udp, len);

	psp_put16(udp + NET_UDP_CSUM, (uint16_t)~dp_csum_fold(sum));
}

/* Frames that have come to a socket since it was asked before. */
static uint32_t come_to(const struct soft_port *port)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	if (port != NULL)
		(void)getsockopt(soft_port_fd(port), SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return stats.tp_packets;
}

/* Waits until so many frames have come to the sockets of B's uplink, which nobody reads yet. */
static bool wait_at_b(uint32_t frames)
{
	uint32_t come = 0;

	for (uint32_t i = 0; i < 5000 && come < frames; i++) {
		for (uint32_t w = 0; w < net.b.dp->n_workers; w++)
			come += come_to(soft_link_port(net.b.dp->uplink, w));
		usleep(1000);
	}
	return come >= frames;
}

/* More of them than one call of the kernel brings. */
static void packets_that_wait_together_leave_as_one_super_frame(void)
{
	const uint32_t n = 60;
	struct pair pair;

	memset(&pair, 0, sizeof(pair));
	CHECK(planes_open(NULL));
	CHECK(graph_build(net.a.dp, &pair.ga, -1) && graph_build(net.b.dp, &pair.gb, -1));
	CHECK(psp_dp_start(net.a.dp) == 0);
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	for (uint32_t i = 0; i < n; i++) {
		net_udp(&sent, &net.a, &net.b, i, 500);
		add_checksum(&sent);
		CHECK(net_send(&net.a, &sent));
		/* One by one on the wire. */
		CHECK(graph_wait(net.a.dp, DP_TX_PACKETS, i + 1));
	}
	CHECK(wait_at_b(n));
	CHECK(psp_dp_start(net.b.dp) == 0);
	CHECK(net_recv(&net.b, &got, 5000));
	CHECK_EQ(got.packet.gso, DP_GSO_UDP);
	CHECK_EQ(dp_segments(&got.packet), n);
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
	RUN_CLOSED(packets_that_wait_together_leave_as_one_super_frame);
	RUN_CLOSED(all_packets_are_sampled_with_an_empty_mask);
	RUN_CLOSED(super_frames_are_sampled_by_the_packet);
}

int main(void)
{
	return run_with_each_backend(run);
}
