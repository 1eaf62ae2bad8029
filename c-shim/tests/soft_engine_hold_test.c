/* SPDX-License-Identifier: Apache-2.0 */
/* The hold, without a plane. What is held is released or dropped, to the packet. */
#include <pthread.h>
#include <stdlib.h>

#include "../common/flow.h"
#include "../soft/soft.h"
#include "test.h"

#define FRAME_LEN 100u

struct bench {
	struct dp_counters counters;
	struct dp_events events;
	struct dp_hold hold;
	uint8_t frame[FRAME_LEN];
};

static struct bench *bench_new(const struct dp_hold_limits *limits, uint32_t event_bytes)
{
	struct bench *bench = NULL;

	if (posix_memalign((void **)&bench, 64, sizeof(*bench)) != 0)
		return NULL;
	memset(bench, 0, sizeof(*bench));
	if (dp_events_init(&bench->events, event_bytes) != 0 ||
	    dp_hold_init(&bench->hold, limits, &bench->counters, &bench->events) != 0)
		return NULL;
	return bench;
}

static void bench_free(struct bench *bench)
{
	dp_hold_free(&bench->hold);
	dp_events_free(&bench->events);
	free(bench);
}

static const struct dp_hold_limits plenty = {
	.packets_per_flow = 64, .flows = 1024, .bytes = 1u << 20};

/* A packet of flow `flow`, with a number in it. */
static void miss(struct bench *bench, uint32_t flow, uint32_t number, uint64_t now)
{
	struct dp_packet packet = {.frame = bench->frame,
				   .len = FRAME_LEN,
				   .port = PSP_DP_PORT_HOST,
				   .l3_off = 14,
				   .l4_off = 34,
				   .payload_off = 42};

	memcpy(packet.fields.outer_ip_src + 8, &flow, 4);
	memcpy(bench->frame + 50, &number, 4);
	dp_hold_add(&bench->hold, 7, &packet, now);
}

static uint64_t count(const struct bench *bench, enum dp_counter counter)
{
	return dp_counter_sum(&bench->counters, counter);
}

static uint64_t dropped(const struct bench *bench)
{
	uint64_t sum = 0;

	for (uint32_t i = DP_DROP_NO_PEER; i <= DP_DROP_HOLD_FLOWS; i++)
		sum += count(bench, (enum dp_counter)i);
	return sum;
}

static uint32_t held_now(const struct bench *bench)
{
	uint32_t n = 0;

	for (const struct dp_held *h = bench->hold.oldest; h != NULL; h = h->younger)
		n += h->segments;
	return n;
}

/* Frees a chain as the worker does; checks that its numbers rise; returns how many. */
static uint32_t run_chain(struct bench *bench, struct dp_held *chain, bool *in_order)
{
	uint32_t n = 0, last = 0;

	while (chain != NULL) {
		struct dp_held *held = chain;
		uint32_t number;

		memcpy(&number, held->data + 50, 4);
		*in_order &= n == 0 || number > last;
		last = number;
		chain = held->next;
		dp_held_free(held);
		dp_count(&bench->counters, DP_HELD_RELEASED, 1);
		n++;
	}
	return n;
}

/* The flow handles of all miss events that are there. */
static uint32_t read_misses(struct bench *bench, uint32_t *flows, uint32_t cap)
{
	static uint8_t buf[1u << 20];
	uint32_t len = 0, n = 0;

	if (dp_events_take(&bench->events, buf, sizeof(buf), 0, &len) != 0)
		return 0;
	for (uint32_t at = 0; at < len;) {
		struct psp_dp_event event;

		memcpy(&event, buf + at, sizeof(event));
		if (event.type == PSP_DP_EVENT_MISS && n < cap)
			flows[n++] = event.flow;
		at += event.record_size;
	}
	dp_hold_pay(&bench->hold);
	dp_events_done(&bench->events);
	return n;
}

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
	CHECK_EQ(run_chain(bench, dp_hold_next(&bench->hold), &in_order), 11);
	CHECK(in_order);
	CHECK(dp_hold_next(&bench->hold) == NULL);
	CHECK(!dp_hold_is_holding(&bench->hold) && !dp_hold_is_releasing(&bench->hold));
	CHECK_EQ(bench->hold.flows, 0);
	miss(bench, 1, 11, 0);
	CHECK_EQ(read_misses(bench, flows + 1, 7), 1);
	CHECK(flows[1] != flows[0]);
	CHECK_EQ(dp_hold_release(&bench->hold, flows[0], &packets), PSP_DP_ENOENT);
	bench_free(bench);
}

static void packet_that_hits_takes_what_waits_first(void)
{
	struct bench *bench = bench_new(&plenty, 1u << 16);
	struct dp_packet packet = {.frame = bench->frame, .len = FRAME_LEN};
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
	CHECK(dp_hold_next(&bench->hold) == NULL);
	CHECK_EQ(bench->hold.flows, 0);
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
	CHECK_EQ(run_chain(bench, dp_hold_next(&bench->hold), &in_order), 1);
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
	struct bench *bench = bench_new(&limits, DP_EVENT_BYTES_MIN);
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
	CHECK_EQ(bench->hold.flows, 0);
	CHECK_EQ(dropped(bench), 1000);
	bench_free(bench);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define MISSES 60000u
#define FLOWS 50u

struct race {
	struct bench *bench;
	_Atomic bool stop;
	bool in_order;
	uint64_t released;
};

/* The worker: misses, and between them what was released. */
static void *worker(void *arg)
{
	struct race *race = arg;
	struct bench *bench = race->bench;
	struct dp_rng rng = {{1, 2, 3, 4}};

	race->in_order = true;
	for (uint32_t i = 0; i < MISSES; i++) {
		struct dp_held *chain;

		if (dp_hold_is_releasing(&bench->hold)) {
			while ((chain = dp_hold_next(&bench->hold)) != NULL)
				race->released += run_chain(bench, chain, &race->in_order);
		}
		miss(bench, (uint32_t)(dp_rng_next(&rng) % FLOWS), i, dp_now_ns());
	}
	atomic_store(&race->stop, true);
	return NULL;
}

static void held_is_released_or_dropped_to_the_packet(void)
{
	struct dp_hold_limits limits = {
		.packets_per_flow = 8, .flows = 40, .bytes = 200 * FRAME_LEN};
	struct race race = {.bench = bench_new(&limits, DP_EVENT_BYTES_MIN)};
	struct bench *bench = race.bench;
	struct dp_held *chain;
	uint32_t flows[64], n, packets;
	uint64_t told = 0, dead = 0;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, worker, &race), 0);
	do {
		n = read_misses(bench, flows, 64);
		for (uint32_t i = 0; i < n; i++) {
			int32_t status = i % 3 != 0
						 ? dp_hold_release(&bench->hold, flows[i], &packets)
						 : dp_hold_drop(&bench->hold, flows[i], i % 5,
								dp_now_ns() + 50000, &packets);

			dead += status != 0;
			told += packets;
		}
	} while (!atomic_load(&race.stop) || n != 0);
	pthread_join(thread, NULL);
	while ((chain = dp_hold_next(&bench->hold)) != NULL)
		race.released += run_chain(bench, chain, &race.in_order);
	CHECK(race.in_order);
	CHECK_EQ(dead, 0);
	CHECK(told > 0 && race.released > 0);
	CHECK_EQ(count(bench, DP_HELD_PACKETS), MISSES);
	CHECK_EQ(count(bench, DP_HELD_RELEASED), race.released);
	CHECK_EQ(MISSES, race.released + dropped(bench) + held_now(bench));
	CHECK_EQ(bench->hold.bytes, held_now(bench) * FRAME_LEN);
	bench_free(bench);
}

int main(void)
{
	RUN(flow_has_one_event_and_is_released_in_order);
	RUN(packet_that_hits_takes_what_waits_first);
	RUN(drop_counts_under_its_reason_and_holds_off);
	RUN(bounds_drop_the_oldest);
	RUN(miss_events_wait_for_room_in_the_ring);
	RUN(held_is_released_or_dropped_to_the_packet);
	return test_summary();
}
