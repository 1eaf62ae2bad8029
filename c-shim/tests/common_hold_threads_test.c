/* SPDX-License-Identifier: Apache-2.0 */
/* The hold under a worker and an agent at once: what is held is released or dropped, to the packet. */
#include <pthread.h>

#include "../common/plane.h"
#include "../common/random.h"
#include "common_hold.h"

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
			while ((chain = dp_hold_next(&bench->hold, 0)) != NULL)
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
	struct race race = {.bench = bench_new(&limits, PSP_DP_RING_BYTES_MIN)};
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
	while ((chain = dp_hold_next(&bench->hold, 0)) != NULL)
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
	RUN(held_is_released_or_dropped_to_the_packet);
	return test_summary();
}
