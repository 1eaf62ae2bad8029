/* SPDX-License-Identifier: Apache-2.0 */
/* The event ring and its limiter, without a plane. */
#include <pthread.h>

#include "../common/events.h"
#include "../common/gate.h"
#include "test.h"

#define PRODUCED 20000u

static const uint32_t caps[PSP_DP_EVENT_CLASSES] = {1u << 14, 1u << 14, 1u << 14, 1u << 14,
						    1u << 14};

static void *produce(void *arg)
{
	struct dp_events *events = arg;
	uint8_t data[300];
	uintptr_t lost = 0;

	for (uint32_t i = 0; i < PRODUCED; i++) {
		struct psp_dp_event event = {.type = PSP_DP_EVENT_SAMPLE, .spi = i};
		uint32_t len = i % sizeof(data);

		memset(data, (int)(i & 0xff), sizeof(data));
		lost += !dp_events_push(events, &event, data, len);
	}
	return (void *)lost;
}

static void ring_hands_over_whole_records(void)
{
	struct dp_events events;
	static uint8_t buf[5000];
	pthread_t threads[2];
	uint32_t got = 0, len, idle = 0;
	void *lost[2];

	CHECK_EQ(dp_events_init(&events, caps), 0);
	for (uint32_t i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, produce, &events), 0);
	while (idle < 3) {
		CHECK_EQ(dp_events_take(&events, buf, sizeof(buf), 20, &len), 0);
		for (uint32_t at = 0; at < len; got++) {
			struct psp_dp_event event;

			memcpy(&event, buf + at, sizeof(event));
			CHECK_EQ(event.data_len, event.spi % 300);
			CHECK(event.data_len == 0 ||
			      buf[at + sizeof(event) + event.data_len - 1] == (event.spi & 0xff));
			at += event.record_size;
			CHECK_EQ(event.record_size % 8, 0);
		}
		dp_events_done(&events);
		idle = len == 0 ? idle + 1 : 0;
	}
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(threads[i], &lost[i]);
	CHECK_EQ(got + (uintptr_t)lost[0] + (uintptr_t)lost[1], 2 * PRODUCED);
	dp_events_free(&events);
}

static void take_says_what_it_needs(void)
{
	struct dp_events events;
	struct psp_dp_event event = {.type = PSP_DP_EVENT_SAMPLE};
	uint8_t buf[256], data[100] = {1};
	/* Header and data, to the next multiple of 8. */
	const uint32_t needed = (sizeof(event) + sizeof(data) + 7) & ~7u;
	uint32_t len;

	CHECK_EQ(dp_events_init(&events, caps), 0);
	CHECK(dp_events_push(&events, &event, data, sizeof(data)));
	CHECK_EQ(dp_events_take(&events, buf, 100, 0, &len), PSP_DP_ERANGE);
	CHECK_EQ(len, needed);
	/* It has not said so yet: nobody closes now. */
	CHECK(dp_events_is_read(&events));
	dp_events_done(&events);
	CHECK(!dp_events_is_read(&events));
	len = needed;
	CHECK_EQ(dp_events_take(&events, buf, len, 0, &len), 0);
	CHECK_EQ(dp_events_take(&events, buf, len, 0, &len), PSP_DP_EBUSY);
	dp_events_done(&events);
	dp_events_stop(&events);
	CHECK_EQ(dp_events_take(&events, buf, len, 0, &len), PSP_DP_ECLOSED);
	dp_events_free(&events);
}

/* Records of a batch by their type. */
static bool read_batch(struct dp_events *events, uint32_t cap, uint32_t seen[7])
{
	static uint8_t buf[1u << 17];
	uint32_t len;
	int32_t status = dp_events_take(events, buf, cap, 0, &len);

	memset(seen, 0, 7 * sizeof(seen[0]));
	for (uint32_t at = 0; status == 0 && at < len;) {
		struct psp_dp_event event;

		memcpy(&event, buf + at, sizeof(event));
		seen[event.type]++;
		at += event.record_size;
	}
	dp_events_done(events);
	return status == 0;
}

static void full_ring_takes_nothing_from_the_others(void)
{
	const struct psp_dp_event sample = {.type = PSP_DP_EVENT_SAMPLE};
	struct dp_events events;
	uint32_t seen[7], n = 0;

	CHECK_EQ(dp_events_init(&events, caps), 0);
	while (dp_events_push(&events, &sample, NULL, 0))
		n++;
	CHECK_EQ(n, (1u << 14) / sizeof(sample));
	for (uint16_t type = PSP_DP_EVENT_MISS; type <= PSP_DP_EVENT_PORT; type++) {
		const struct psp_dp_event event = {.type = type};

		CHECK_EQ(dp_events_push(&events, &event, NULL, 0), type != PSP_DP_EVENT_SAMPLE);
	}
	CHECK(read_batch(&events, 1u << 17, seen));
	for (uint16_t type = PSP_DP_EVENT_MISS; type <= PSP_DP_EVENT_PORT; type++)
		CHECK_EQ(seen[type], type == PSP_DP_EVENT_SAMPLE ? n : 1);
	dp_events_free(&events);
}

static void no_class_takes_more_than_half_while_another_waits(void)
{
	const uint32_t size = sizeof(struct psp_dp_event);
	struct dp_events events;
	uint32_t seen[7];

	CHECK_EQ(dp_events_init(&events, caps), 0);
	for (uint16_t type = PSP_DP_EVENT_MISS; type <= PSP_DP_EVENT_SYNDROME; type++) {
		const struct psp_dp_event event = {.type = type};

		for (uint32_t i = 0; i < 100; i++)
			CHECK(dp_events_push(&events, &event, NULL, 0));
	}
	CHECK(read_batch(&events, 64 * size, seen));
	CHECK_EQ(seen[PSP_DP_EVENT_SYNDROME], 32);
	CHECK_EQ(seen[PSP_DP_EVENT_MISS], 16);
	CHECK_EQ(seen[PSP_DP_EVENT_EXCEPTION], 8);
	CHECK_EQ(seen[PSP_DP_EVENT_SAMPLE], 8);
	/* With room for one there is always one. */
	CHECK(read_batch(&events, size, seen));
	CHECK_EQ(seen[PSP_DP_EVENT_SYNDROME] + seen[PSP_DP_EVENT_MISS] +
			 seen[PSP_DP_EVENT_EXCEPTION] + seen[PSP_DP_EVENT_SAMPLE],
		 1);
	/* All of it comes. */
	for (uint32_t i = 0; i < 10; i++)
		CHECK(read_batch(&events, 64 * size, seen));
	CHECK_EQ(seen[PSP_DP_EVENT_SAMPLE], 0);
	dp_events_free(&events);
}

static const uint8_t one[6] = {2, 0, 0, 0, 0, 1}, other[6] = {2, 0, 0, 0, 0, 2};

static void gate_lets_in_a_burst_and_then_a_rate(void)
{
	static struct dp_gate gate;
	const struct psp_dp_rate rate = {.per_s = PSP_DP_MISS_PER_S, .burst = PSP_DP_MISS_BURST};
	const struct psp_dp_rate per_mac = {.per_s = PSP_DP_MISS_PER_MAC_PER_S,
					    .burst = PSP_DP_MISS_PER_MAC_BURST};
	uint64_t now = 7 * DP_LIMIT_NS;
	uint32_t in = 0;

	dp_gate_init(&gate, &rate, &per_mac, 5);
	/* A host that starts: a thousand flows of one workload at once. */
	for (uint32_t i = 0; i < 1000; i++)
		CHECK(dp_gate_pass(&gate, one, now));
	for (uint32_t i = 0; i < 5000; i++)
		in += dp_gate_pass(&gate, one, now);
	CHECK_EQ(in, PSP_DP_MISS_PER_MAC_BURST - 1000);
	CHECK_EQ(atomic_load(&gate.limited), 5000 - in);
	/* It has taken nothing from another. */
	CHECK(dp_gate_pass(&gate, other, now));
	now += DP_LIMIT_NS;
	in = 0;
	for (uint32_t i = 0; i < 5000; i++)
		in += dp_gate_pass(&gate, one, now);
	CHECK_EQ(in, PSP_DP_MISS_PER_MAC_PER_S);
}

/* Whatever the seed, and whoever else is there: nobody shares what one has used up. */
static void gate_tells_macs_apart(void)
{
	static struct dp_gate gate;
	const struct psp_dp_rate none = {.per_s = PSP_DP_RATE_NONE},
				 per_mac = {.per_s = 10, .burst = 2};
	const uint64_t now = 7 * DP_LIMIT_NS;

	for (uint64_t seed = 0; seed < 20000; seed++) {
		const uint64_t h = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
		uint8_t another[6];

		memcpy(another, &h, sizeof(another));
		dp_gate_init(&gate, &none, &per_mac, seed);
		for (uint32_t i = 0; i < 4; i++)
			CHECK_EQ(dp_gate_pass(&gate, one, now), i < 2);
		CHECK(dp_gate_pass(&gate, another, now));
		CHECK(!dp_gate_pass(&gate, one, now));
		CHECK(dp_gate_pass(&gate, one, now + DP_LIMIT_NS / 10));
		CHECK(!dp_gate_pass(&gate, one, now + DP_LIMIT_NS / 10));
	}
}

/* 141,000 packets in a second, each from a MAC of its own. */
static void gate_bounds_whoever_takes_other_macs(void)
{
	static struct dp_gate gate;
	const struct psp_dp_rate rate = {.per_s = PSP_DP_MISS_PER_S, .burst = PSP_DP_MISS_BURST};
	const struct psp_dp_rate per_mac = {.per_s = PSP_DP_MISS_PER_MAC_PER_S};
	uint32_t in = 0;

	dp_gate_init(&gate, &rate, &per_mac, 5);
	for (uint32_t i = 0; i < 141000; i++) {
		const uint8_t mac[6] = {2, 0, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};

		in += dp_gate_pass(&gate, mac, 7 * DP_LIMIT_NS + i * (DP_LIMIT_NS / 141000));
	}
	CHECK(in > PSP_DP_MISS_BURST && in <= PSP_DP_MISS_BURST + PSP_DP_MISS_PER_S);
}

static void gate_without_limits_lets_all_in(void)
{
	static struct dp_gate gate;
	const struct psp_dp_rate none = {.per_s = PSP_DP_RATE_NONE};

	dp_gate_init(&gate, &none, &none, 5);
	for (uint32_t i = 0; i < 100000; i++)
		CHECK(dp_gate_pass(&gate, one, DP_LIMIT_NS));
}

static void limit_allows_one_a_second_for_a_key(void)
{
	static struct dp_limit limit = {.seed = 42};
	const uint64_t now = 5 * DP_LIMIT_NS;
	uint32_t allowed = 0;

	CHECK(dp_limit_allows(&limit, 1, now));
	CHECK(!dp_limit_allows(&limit, 1, now + DP_LIMIT_NS - 1));
	CHECK(dp_limit_allows(&limit, 1, now + DP_LIMIT_NS));
	for (uint32_t i = 0; i < 100000; i++)
		allowed += dp_limit_allows(&limit, i, now + DP_LIMIT_NS);
	CHECK(allowed < DP_LIMIT_SLOTS);
}

int main(void)
{
	RUN(ring_hands_over_whole_records);
	RUN(take_says_what_it_needs);
	RUN(full_ring_takes_nothing_from_the_others);
	RUN(no_class_takes_more_than_half_while_another_waits);
	RUN(gate_lets_in_a_burst_and_then_a_rate);
	RUN(gate_tells_macs_apart);
	RUN(gate_bounds_whoever_takes_other_macs);
	RUN(gate_without_limits_lets_all_in);
	RUN(limit_allows_one_a_second_for_a_key);
	return test_summary();
}
