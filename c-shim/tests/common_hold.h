/* SPDX-License-Identifier: Apache-2.0 */
/* common_hold.h: a hold without a plane, misses of numbered packets, and what became of them. */
#ifndef PSP_COMMON_HOLD_TEST_H
#define PSP_COMMON_HOLD_TEST_H

#include <stdlib.h>

#include "../common/hold.h"
#include "ports.h"
#include "test.h"

#define FRAME_LEN 100u

struct bench {
	struct dp_counters counters;
	struct dp_events events;
	struct dp_hold hold;
	struct dp_share *share; /* NULL: what there is */
	uint8_t frame[FRAME_LEN];
};

static inline struct bench *bench_new(const struct dp_hold_limits *limits, uint32_t ring_bytes)
{
	const uint32_t caps[PSP_DP_EVENT_CLASSES] = {ring_bytes, ring_bytes, ring_bytes, ring_bytes,
						     ring_bytes};
	struct bench *bench = NULL;

	if (posix_memalign((void **)&bench, 64, sizeof(*bench)) != 0)
		return NULL;
	memset(bench, 0, sizeof(*bench));
	if (dp_events_init(&bench->events, caps) != 0 ||
	    dp_hold_init(&bench->hold, limits, &bench->counters, &bench->events) != 0)
		return NULL;
	return bench;
}

static inline void bench_free(struct bench *bench)
{
	dp_hold_free(&bench->hold);
	dp_events_free(&bench->events);
	free(bench);
}

/* A packet of flow `flow`, with a number in it, that came in by a port. */
static inline void miss_at(struct bench *bench, uint16_t port, uint32_t flow, uint32_t number,
			   uint64_t now)
{
	struct dp_packet packet = {.frame = bench->frame,
				   .len = FRAME_LEN,
				   .port = PSP_DP_PORT_HOST,
				   .handle = port,
				   .l3_off = 14,
				   .l4_off = 34,
				   .payload_off = 42};

	memcpy(packet.fields.outer_ip_src + 8, &flow, 4);
	memcpy(bench->frame + 50, &number, 4);
	dp_hold_add(&bench->hold, 7, &packet, bench->share, now);
}

static inline void miss(struct bench *bench, uint32_t flow, uint32_t number, uint64_t now)
{
	miss_at(bench, HOST, flow, number, now);
}

static inline uint64_t count(const struct bench *bench, enum dp_counter counter)
{
	return dp_counter_sum(&bench->counters, counter);
}

static inline uint64_t dropped(const struct bench *bench)
{
	uint64_t sum = 0;

	for (uint32_t i = DP_DROP_NO_PEER; i <= DP_DROP_HOLD_FLOWS; i++)
		sum += count(bench, (enum dp_counter)i);
	return sum;
}

static inline uint32_t held_now(const struct bench *bench)
{
	uint32_t n = 0;

	for (const struct dp_share *share = bench->hold.shares; share != NULL;
	     share = share->next) {
		for (const struct dp_held *h = share->oldest; h != NULL; h = h->younger)
			n += h->segments;
	}
	return n;
}

/* Frees a chain as the worker does; checks that its numbers rise; returns how many. */
static inline uint32_t run_chain(struct bench *bench, struct dp_held *chain, bool *in_order)
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
static inline uint32_t read_misses(struct bench *bench, uint32_t *flows, uint32_t cap)
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

#endif
