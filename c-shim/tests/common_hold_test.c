/* SPDX-License-Identifier: Apache-2.0 */
/* The hold, without a plane. */
#include "common_hold.h"

static const struct dp_hold_limits plenty = {
	.packets_per_flow = 64, .flows = 1024, .bytes = 1u << 20};

static void flow_has_one_event_and_is_released_in_order(void)
{
	struct bench *bench = bench_new(&plenty, 1u << 16);
	uint32_t flows[8], packets;
	bool in_order = true;

	for (uint32_t i = 0; i < 10; i++)
		miss(bench, 1, i, 0);
	CHECK_EQ(read_misses(bench, flows, 8), 1);
	CHECK_EQ(dp_hold_release(&bench->hold, flows[0], &packets), 0);
	CHECK_EQ(packets, 10);
	CHECK_EQ(dp_hold_release(&bench->hold, flows[0], &packets), PSP_DP_ENOENT);
	/* Missed before the entry was seen, came after the release: last in the queue, and no new event. */
	miss(bench, 1, 10, 0);
	CHECK_EQ(read_misses(bench, flows + 1, 7), 0);
	CHECK_EQ(run_chain(bench, dp_hold_next(&bench->hold, 0), &in_order), 11);
	CHECK(in_order);
	CHECK(dp_hold_next(&bench->hold, 0) == NULL);
	CHECK(!dp_hold_is_holding(&bench->hold) && !dp_hold_is_releasing(&bench->hold));
	CHECK_EQ(bench->hold.flows.used, 0);
	miss(bench, 1, 11, 0);
	CHECK_EQ(read_misses(bench, flows + 1, 7), 1);
	CHECK(flows[1] != flows[0]);
	CHECK_EQ(dp_hold_release(&bench->hold, flows[0], &packets), PSP_DP_ENOENT);
	bench_free(bench);
}

static void packet_that_hits_takes_what_waits_first(void)
{
	struct bench *bench = bench_new(&plenty, 1u << 16);
	struct dp_packet packet = {.frame = bench->frame, .len = FRAME_LEN, .handle = HOST};
	uint32_t flow = 1, handle, packets;
	bool in_order = true;

	for (uint32_t i = 0; i < 3; i++)
		miss(bench, flow, i, 0);
	memcpy(packet.fields.outer_ip_src + 8, &flow, 4);
	CHECK_EQ(run_chain(bench, dp_hold_take(&bench->hold, 7, &packet), &in_order), 3);
	CHECK(in_order);
	CHECK(dp_hold_take(&bench->hold, 7, &packet) == NULL);
	CHECK_EQ(read_misses(bench, &handle, 1), 1);
	CHECK_EQ(dp_hold_release(&bench->hold, handle, &packets), 0);
	CHECK_EQ(packets, 3);
	CHECK(dp_hold_next(&bench->hold, 0) == NULL);
	CHECK_EQ(bench->hold.flows.used, 0);
	bench_free(bench);
}

static void drop_counts_under_its_reason_and_holds_off(void)
{
	struct bench *bench = bench_new(&plenty, 1u << 16);
	uint32_t flow, packets;

	for (uint32_t i = 0; i < 4; i++)
		miss(bench, 1, i, 1000);
	CHECK_EQ(read_misses(bench, &flow, 1), 1);
	CHECK_EQ(dp_hold_drop(&bench->hold, flow, PSP_DP_DROP_REFUSED, 5000, &packets), 0);
	CHECK_EQ(packets, 4);
	miss(bench, 1, 4, 4999);
	CHECK_EQ(count(bench, DP_DROP_REFUSED), 5);
	CHECK_EQ(read_misses(bench, &flow, 1), 0);
	miss(bench, 1, 5, 5000);
	CHECK_EQ(read_misses(bench, &flow, 1), 1);
	CHECK_EQ(held_now(bench), 1);
	CHECK_EQ(dp_hold_drop(&bench->hold, flow, PSP_DP_DROP_NO_PEER, 9000, &packets), 0);
	dp_hold_off_clear(&bench->hold);
	miss(bench, 1, 6, 5001);
	CHECK_EQ(read_misses(bench, &flow, 1), 1);
	CHECK_EQ(count(bench, DP_HELD_PACKETS), 7);
	CHECK_EQ(dropped(bench), 6);
	bench_free(bench);
}

static void bounds_drop_the_oldest(void)
{
	const struct dp_hold_limits limits = {
		.packets_per_flow = 3, .flows = 4, .bytes = 8 * FRAME_LEN};
	struct bench *bench = bench_new(&limits, 1u << 16);
	uint32_t flows[8], packets;
	bool in_order = true;

	for (uint32_t i = 0; i < 5; i++)
		miss(bench, 1, i, 0);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOW_FULL), 2);
	for (uint32_t i = 0; i < 6; i++)
		miss(bench, 2 + i / 3, i, 0);
	/* 9 packets are one too many: the oldest of all, of flow 1, is gone. */
	CHECK_EQ(count(bench, DP_DROP_HOLD_BYTES), 1);
	CHECK_EQ(held_now(bench), 8);
	miss(bench, 8, 0, 0);
	miss(bench, 9, 0, 0);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 1);
	CHECK_EQ(read_misses(bench, flows, 8), 4);
	CHECK_EQ(dp_hold_release(&bench->hold, flows[0], &packets), 0);
	CHECK_EQ(packets, 1);
	CHECK_EQ(run_chain(bench, dp_hold_next(&bench->hold, 0), &in_order), 1);
	CHECK_EQ(count(bench, DP_HELD_PACKETS),
		 count(bench, DP_HELD_RELEASED) + dropped(bench) + held_now(bench));
	/* A flow in hold-off that is over makes room. */
	CHECK_EQ(dp_hold_drop(&bench->hold, flows[1], PSP_DP_DROP_BACK_OFF, 10, &packets), 0);
	miss(bench, 10, 0, 5);
	miss(bench, 11, 0, 5);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 2);
	miss(bench, 11, 0, 10);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 2);
	bench_free(bench);
}

static void miss_events_wait_for_room_in_the_ring(void)
{
	const struct dp_hold_limits limits = {
		.packets_per_flow = 4, .flows = 1024, .bytes = 1u << 20};
	struct bench *bench = bench_new(&limits, PSP_DP_RING_BYTES_MIN);
	static uint32_t flows[1024];
	uint32_t n = 0, last = 0, packets;

	for (uint32_t i = 0; i < 1000; i++)
		miss(bench, i, i, 0);
	CHECK(bench->hold.owed_first != NULL);
	/* The agent decides on one whose event it cannot have seen: its event is owed no longer. */
	CHECK_EQ(dp_hold_drop(&bench->hold, bench->hold.owed_last->handle, 0, 0, &packets), 0);
	while ((last = read_misses(bench, flows + n, 1024 - n)) != 0)
		n += last;
	CHECK_EQ(n, 999);
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(dp_hold_drop(&bench->hold, flows[i], 0, 0, &packets), 0);
	CHECK_EQ(bench->hold.flows.used, 0);
	CHECK_EQ(dropped(bench), 1000);
	bench_free(bench);
}

/* A flow that is known is not one more: its packets are held whatever comes. */
static void flows_beyond_the_gate_are_dropped_and_counted(void)
{
	static struct dp_share share;
	const struct psp_dp_rate rate = {.per_s = 10}, none = {.per_s = PSP_DP_RATE_NONE};
	struct bench *bench = bench_new(&plenty, 1u << 16);
	static uint32_t flows[64];
	uint32_t packets;

	dp_gate_init(&share.misses, &rate, &none, 3);
	bench->share = &share;
	for (uint32_t i = 0; i < 30; i++)
		miss(bench, i, i, 1);
	CHECK_EQ(dp_counter_sum(&bench->counters, DP_MISSES_LIMITED), 20);
	CHECK_EQ(read_misses(bench, flows, 64), 10);
	for (uint32_t i = 0; i < 3; i++)
		miss(bench, 0, i, 1);
	CHECK_EQ(dp_counter_sum(&bench->counters, DP_MISSES_LIMITED), 20);
	CHECK_EQ(dp_hold_drop(&bench->hold, flows[0], 0, 0, &packets), 0);
	CHECK_EQ(packets, 4);
	bench_free(bench);
}

static void share_of(struct dp_share *share, uint32_t flows, uint64_t bytes)
{
	const struct psp_dp_rate any = {.per_s = PSP_DP_RATE_NONE};

	memset(share, 0, sizeof(*share));
	dp_gate_init(&share->misses, &any, &any, 3);
	share->max_flows = flows;
	share->max_bytes = bytes;
}

/* The same addresses at two ports are two tenants' flows. */
static void ports_are_kept_apart(void)
{
	struct bench *bench = bench_new(&plenty, 1u << 16);
	uint32_t flows[4], packets;
	bool in_order = true;

	miss_at(bench, HOST, 1, 0, 0);
	miss_at(bench, HOST + 1, 1, 1, 0);
	CHECK_EQ(read_misses(bench, flows, 4), 2);
	CHECK_EQ(dp_hold_release(&bench->hold, flows[0], &packets), 0);
	CHECK_EQ(packets, 1);
	CHECK(dp_hold_next(&bench->hold, HOST + 1) == NULL);
	CHECK_EQ(run_chain(bench, dp_hold_next(&bench->hold, HOST), &in_order), 1);
	CHECK_EQ(held_now(bench), 1);
	bench_free(bench);
}

static void port_has_no_more_than_its_share(void)
{
	const struct dp_hold_limits limits = {
		.packets_per_flow = 64, .flows = 8, .bytes = 10 * FRAME_LEN};
	static struct dp_share small, other;
	struct bench *bench = bench_new(&limits, 1u << 16);
	uint32_t flows[8], packets;

	share_of(&small, 2, 4 * FRAME_LEN);
	share_of(&other, 0, 0);
	bench->share = &small;
	for (uint32_t i = 0; i < 6; i++)
		miss(bench, i % 3, i, 0);
	/* The third flow found none left: four packets of two flows are held. */
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 2);
	CHECK_EQ(held_now(bench), 4);
	miss(bench, 0, 6, 0);
	CHECK_EQ(count(bench, DP_DROP_HOLD_BYTES), 1);
	CHECK_EQ(small.bytes, 4 * FRAME_LEN);
	/* A flow of this port in hold-off that is over makes room for another of it. */
	CHECK_EQ(read_misses(bench, flows, 8), 2);
	CHECK_EQ(dp_hold_drop(&bench->hold, flows[1], PSP_DP_DROP_REFUSED, 10, &packets), 0);
	miss(bench, 5, 0, 5);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 3);
	miss(bench, 5, 0, 10);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 3);
	CHECK_EQ(small.flows, 2);
	bench->share = &other;
	for (uint32_t i = 0; i < 6; i++)
		miss_at(bench, HOST + 1, i, i, 10);
	CHECK_EQ(other.flows, 6);
	dp_hold_drop_share(&bench->hold, &small);
	CHECK_EQ(small.flows + small.bytes, 0);
	CHECK_EQ(held_now(bench), 6);
	CHECK(bench->hold.shares == &other && other.next == NULL);
	bench_free(bench);
}

/* Who holds most gives way, not whoever came first. */
static void full_plane_takes_from_the_fullest_port(void)
{
	const struct dp_hold_limits limits = {
		.packets_per_flow = 64, .flows = 8, .bytes = 10 * FRAME_LEN};
	static struct dp_share quiet, loud;
	struct bench *bench = bench_new(&limits, 1u << 16);

	share_of(&quiet, 0, 0);
	share_of(&loud, 0, 0);
	bench->share = &quiet;
	for (uint32_t i = 0; i < 3; i++)
		miss(bench, 1, i, 0);
	bench->share = &loud;
	for (uint32_t i = 0; i < 20; i++)
		miss_at(bench, HOST + 1, 1, i, 0);
	CHECK_EQ(quiet.bytes, 3 * FRAME_LEN);
	CHECK_EQ(loud.bytes, 7 * FRAME_LEN);
	bench->share = &quiet;
	miss(bench, 1, 3, 0);
	CHECK_EQ(quiet.bytes, 4 * FRAME_LEN);
	CHECK_EQ(loud.bytes, 6 * FRAME_LEN);
	bench_free(bench);
}

static void other_limits_hold_from_then_on(void)
{
	const struct dp_hold_limits few = {.packets_per_flow = 4, .flows = 2, .bytes = 1u << 20};
	const struct dp_hold_limits small = {
		.packets_per_flow = 4, .flows = 4096, .bytes = 3 * FRAME_LEN};
	struct bench *bench = bench_new(&few, 1u << 20);
	static uint32_t flows[4096];
	uint32_t packets;

	for (uint32_t flow = 1; flow <= 3; flow++)
		miss(bench, flow, 0, 0);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 1);
	/* More flows: those that are held are found in the greater table, and their handles are good. */
	CHECK_EQ(dp_hold_limit(&bench->hold, &plenty), 0);
	for (uint32_t flow = 1; flow <= 1000; flow++)
		miss(bench, flow, 1, 0);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 1);
	CHECK_EQ(bench->hold.flows.used, 1000);
	CHECK_EQ(read_misses(bench, flows, 4096), 1000);
	CHECK_EQ(dp_hold_drop(&bench->hold, flows[0], PSP_DP_DROP_REFUSED, 0, &packets), 0);
	CHECK_EQ(packets, 2);
	/* Fewer octets: the oldest go at once. Fewer packets: with the next of their flow. */
	for (uint32_t i = 2; i < 12; i++)
		miss(bench, 1000, i, 0);
	CHECK_EQ(dp_hold_limit(&bench->hold, &small), 0);
	CHECK_EQ(held_now(bench), 3);
	/* Fewer flows than there are: none is lost, and none is new until some are decided about. */
	CHECK_EQ(dp_hold_limit(&bench->hold, &few), 0);
	CHECK_EQ(bench->hold.flows.used, 999);
	miss(bench, 5000, 0, 0);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 2);
	for (uint32_t i = 1; i < 1000; i++)
		CHECK_EQ(dp_hold_drop(&bench->hold, flows[i], PSP_DP_DROP_REFUSED, 0, &packets), 0);
	miss(bench, 5000, 1, 0);
	miss(bench, 5001, 1, 0);
	miss(bench, 5002, 1, 0);
	CHECK_EQ(bench->hold.flows.used, 2);
	CHECK_EQ(count(bench, DP_DROP_HOLD_FLOWS), 3);
	bench_free(bench);
}

int main(void)
{
	RUN(flow_has_one_event_and_is_released_in_order);
	RUN(packet_that_hits_takes_what_waits_first);
	RUN(drop_counts_under_its_reason_and_holds_off);
	RUN(bounds_drop_the_oldest);
	RUN(miss_events_wait_for_room_in_the_ring);
	RUN(flows_beyond_the_gate_are_dropped_and_counted);
	RUN(ports_are_kept_apart);
	RUN(port_has_no_more_than_its_share);
	RUN(full_plane_takes_from_the_fullest_port);
	RUN(other_limits_hold_from_then_on);
	return test_summary();
}
