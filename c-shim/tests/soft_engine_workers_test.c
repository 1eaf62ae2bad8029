/* SPDX-License-Identifier: Apache-2.0 */
/* Four workers on however many processors: what many flows send arrives once each, in order, and no IV is used twice. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

#define WORKERS 4u
#define FLOWS 16u
#define ROUNDS 20u
#define EACH 50u /* datagrams of a flow in a round */
#define OCTETS 64u
#define TOTAL (ROUNDS * FLOWS * EACH)
#define PORT_FIRST 4000u

static uint8_t used[TOTAL / 8 + 1]; /* a bit for each IV */
static uint32_t next[FLOWS];

/* Datagrams of a flow, numbered: one, or a super-frame of them. */
static void make(uint32_t flow, uint32_t first, uint32_t n)
{
	uint8_t *ip = sent.buf + DP_HEADROOM + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	struct dp_packet *packet = &sent.packet;

	net_udp(&sent, &net.a, &net.b, 0, n * OCTETS);
	psp_put16(udp + NET_UDP_SRC, (uint16_t)(PORT_FIRST + flow));
	for (uint32_t i = 0; i < n; i++)
		psp_put32(udp + NET_UDP_LEN + i * OCTETS, first + i);
	psp_put16(udp + NET_UDP_CSUM,
		  dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_UDP, NET_UDP_LEN + n * OCTETS)));
	packet->needs_csum = true;
	packet->csum_start = NET_ETH_LEN + NET_IP4_LEN;
	packet->csum_offset = NET_UDP_CSUM;
	packet->l3_off = NET_ETH_LEN;
	packet->l4_off = packet->csum_start;
	packet->payload_off = (uint16_t)(packet->l4_off + NET_UDP_LEN);
	if (n > 1) {
		packet->gso = DP_GSO_UDP;
		packet->gso_size = OCTETS;
	}
}

/* Every second flow sends super-frames, the others a datagram at a time, in turn. */
static bool send_round(uint32_t round)
{
	for (uint32_t flow = 0; flow < FLOWS; flow += 2) {
		make(flow, round * EACH, EACH);
		if (!net_send(&net.a, &sent))
			return false;
	}
	for (uint32_t i = 0; i < EACH; i++) {
		for (uint32_t flow = 1; flow < FLOWS; flow += 2) {
			make(flow, round * EACH + i, 1);
			if (!net_send(&net.a, &sent))
				return false;
		}
	}
	return true;
}

/* What a round has sent, and nothing else: each flow goes on where it was. */
static void expect_round(void)
{
	for (uint32_t have = 0; have < FLOWS * EACH;) {
		uint32_t flow, n;

		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
		flow = got.packet.fields.outer_l4_src_port - PORT_FIRST;
		CHECK(flow < FLOWS);
		n = dp_segments(&got.packet);
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ(psp_get32(got.packet.frame + got.packet.payload_off + i * OCTETS),
				 next[flow]++);
		have += n;
	}
	CHECK(!net_recv(&net.b, &got, 0));
}

/* As many packets on the wire, each with an IV that none had before. */
static void expect_new_ivs(struct soft_port *wire, uint64_t first)
{
	for (uint32_t have = 0; have < FLOWS * EACH;) {
		const struct dp_packet *packet = &got.packet;
		uint32_t n;

		CHECK(net_recv_port(wire, &got, 10000));
		if (packet->fields.outer_l4_dst_port != PSP_UDP_PORT)
			continue;
		n = dp_segments(packet);
		for (uint32_t i = 0; i < n; i++) {
			const uint64_t iv = psp_get64(packet->frame + packet->payload_off +
						      i * packet->gso_size + 8) -
					    first;

			CHECK(iv < TOTAL);
			CHECK(((uint32_t)used[iv / 8] >> iv % 8 & 1u) == 0);
			used[iv / 8] |= (uint8_t)(1u << iv % 8);
		}
		have += n;
	}
}

static void nothing_is_lost_doubled_or_out_of_order_and_no_iv_comes_twice(void)
{
	const struct psp_dp_config config = {.workers = WORKERS};
	struct soft_port *wire = NULL;
	struct pair pair;
	char err[200];

	memset(used, 0, sizeof(used));
	memset(next, 0, sizeof(next));
	CHECK(pair_open(&pair, -1, &config));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK(net_enter(&net.b));
	CHECK_EQ(soft_port_open("b_up", PSP_DP_PORT_UPLINK, 0, &wire, err, sizeof(err)), 0);
	CHECK(net_enter(&net.a));
	for (uint32_t round = 0; round < ROUNDS; round++) {
		CONTEXT("round %u", round);
		CHECK(send_round(round));
		SUB(expect_round());
		SUB(expect_new_ivs(wire, 1));
	}
	soft_port_close(wire);
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), TOTAL);
	SUB(expect_accounts());
	CHECK_EQ(graph_count(net.b.dp, DP_HOST_TX_PACKETS), TOTAL);
	/* The kernel has dealt the flows out. */
	for (uint32_t i = 0, busy = 0; i < WORKERS; i++) {
		busy += atomic_load(&net.a.dp->base.counters.block[i][DP_TX_PACKETS]) != 0;
		CHECK(i + 1 < WORKERS || busy > 1);
	}
}

static void run(void)
{
	RUN_CLOSED(nothing_is_lost_doubled_or_out_of_order_and_no_iv_comes_twice);
}

int main(void)
{
	return run_with_each_backend(run);
}
