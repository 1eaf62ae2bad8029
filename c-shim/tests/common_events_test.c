/* SPDX-License-Identifier: Apache-2.0 */
/* The event ring and its limiter, without a plane. */
#include <pthread.h>

#include "../common/events.h"
#include "test.h"

#define PRODUCED 20000u

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

	CHECK_EQ(dp_events_init(&events, 1u << 14), 0);
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
	uint32_t len;

	CHECK_EQ(dp_events_init(&events, 1u << 14), 0);
	CHECK(dp_events_push(&events, &event, data, sizeof(data)));
	CHECK_EQ(dp_events_take(&events, buf, 100, 0, &len), PSP_DP_ERANGE);
	CHECK_EQ(len, 184);
	/* It has not said so yet: nobody closes now. */
	CHECK(dp_events_is_read(&events));
	dp_events_done(&events);
	CHECK(!dp_events_is_read(&events));
	len = 184;
	CHECK_EQ(dp_events_take(&events, buf, len, 0, &len), 0);
	CHECK_EQ(dp_events_take(&events, buf, len, 0, &len), PSP_DP_EBUSY);
	dp_events_done(&events);
	dp_events_stop(&events);
	CHECK_EQ(dp_events_take(&events, buf, len, 0, &len), PSP_DP_ECLOSED);
	dp_events_free(&events);
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
	RUN(limit_allows_one_a_second_for_a_key);
	return test_summary();
}
