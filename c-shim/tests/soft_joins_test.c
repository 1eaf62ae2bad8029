/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare() */
/* Packets of several flows that come in turn, as workloads get them: few frames, each flow in its order. */
#include "soft_packet_frames.h"
#include "soft_port_link.h"

#include "../common/net.h"
#include "../soft/soft.h"

#define PACKETS_MAX 256u
#define FLOWS_MAX 64u

static struct psp_dp *dp;
static struct soft_link one, other;
static struct soft_worker worker;
static uint8_t octets[SOFT_QUEUE_OCTETS], bufs[PACKETS_MAX][DP_HEADROOM + 2048];
static uint32_t added;

static bool set_up(void)
{
	dp = plane_alloc();
	if (dp == NULL || !open_both(0, 0))
		return false;
	one = (struct soft_link){.port = a};
	other = one;
	memset(&worker, 0, sizeof(worker));
	worker.dp = dp;
	soft_queue_init(&worker.queue, octets);
	soft_joins_init(&worker);
	added = 0;
	return true;
}

static void tear_down(void)
{
	close_both();
	free(dp);
}

static void add(const struct frame_spec *spec, struct soft_link *to)
{
	struct dp_packet packet;

	make_frame(&packet, bufs[added++ % PACKETS_MAX], spec);
	CHECK(dp_parse(&packet));
	soft_joins_add(&worker, &packet, to);
}

/* The n-th packet of a flow. */
static struct frame_spec nth(uint32_t flow, uint32_t n)
{
	return (struct frame_spec){
		.dst_port = (uint16_t)(6000 + flow), .seq = n * 100, .payload = 100};
}

/* Frames on the wire. Each flow's go on where the one before ended. */
static void expect(uint32_t flows, uint32_t packets_each, uint32_t frames_at_most)
{
	uint32_t next[FLOWS_MAX] = {0}, frames = 0, packets = 0;
	struct dp_packet got;

	soft_joins_flush(&worker);
	soft_queue_flush(&worker);
	while (packets < flows * packets_each) {
		const uint8_t *tcp;
		uint32_t flow;

		CHECK_EQ(receive(b, &got, WAIT_MS), 1);
		CHECK(dp_parse(&got));
		tcp = got.frame + got.l4_off;
		flow = psp_get16(tcp + 2) - 6000u;
		CHECK(flow < flows);
		CHECK_EQ(psp_get32(tcp + NET_TCP_SEQ), next[flow]);
		next[flow] += got.len - got.payload_off;
		packets += dp_segments(&got);
		frames++;
	}
	CHECK_EQ(packets, flows * packets_each);
	CHECK(frames <= frames_at_most);
	for (uint32_t flow = 0; flow < flows; flow++)
		CHECK_EQ(next[flow], packets_each * 100);
}

static void flows_in_turn_are_a_frame_each(void)
{
	CHECK(set_up());
	/* Two that meet in one place are the packets that they were. */
	for (uint32_t n = 0; n < 10; n++) {
		for (uint32_t flow = 0; flow < 4; flow++) {
			const struct frame_spec spec = nth(flow, n);

			SUB(add(&spec, &one));
		}
	}
	SUB(expect(4, 10, 22));
	CHECK_EQ(worker.joins.open, 0);
	CHECK_EQ(worker.joins.parts, 0);
	tear_down();
}

static void more_flows_than_places_keep_their_order(void)
{
	CHECK(set_up());
	for (uint32_t n = 0; n < 3; n++) {
		for (uint32_t flow = 0; flow < 40; flow++) {
			const struct frame_spec spec = nth(flow, n);

			SUB(add(&spec, &one));
			if (!soft_queue_has_room(&worker.queue, SOFT_JOINS, worker.joins.parts)) {
				soft_joins_flush(&worker);
				soft_queue_flush(&worker);
			}
		}
	}
	SUB(expect(40, 3, 120));
	tear_down();
}

/* Its pieces have no ports: what came before them leaves before them. */
static void a_fragment_overtakes_nobody(void)
{
	struct frame_spec spec;
	struct dp_packet got;

	CHECK(set_up());
	for (uint32_t flow = 0; flow < 8; flow++) {
		spec = nth(flow, 0);
		SUB(add(&spec, &one));
	}
	spec = (struct frame_spec){.frag = 100, .payload = 200};
	SUB(add(&spec, &one));
	spec = nth(0, 1);
	SUB(add(&spec, &one));
	soft_joins_flush(&worker);
	soft_queue_flush(&worker);
	for (uint32_t i = 0; i < 10; i++) {
		CONTEXT("frame %u", i);
		CHECK_EQ(receive(b, &got, WAIT_MS), 1);
		CHECK(dp_parse(&got));
		CHECK_EQ(got.fragment, i == 8);
	}
	tear_down();
}

static void what_leaves_by_different_ports_is_not_joined(void)
{
	CHECK(set_up());
	for (uint32_t n = 0; n < 4; n++) {
		const struct frame_spec spec = nth(0, n);

		SUB(add(&spec, n < 2 ? &one : &other));
	}
	SUB(expect(1, 4, 2));
	CHECK_EQ(one.tx.packets, 2);
	CHECK_EQ(other.tx.packets, 2);
	tear_down();
}

int main(void)
{
	if (!link_up())
		return link_missing();
	RUN(flows_in_turn_are_a_frame_each);
	RUN(more_flows_than_places_keep_their_order);
	RUN(a_fragment_overtakes_nobody);
	RUN(what_leaves_by_different_ports_is_not_joined);
	return test_summary();
}
