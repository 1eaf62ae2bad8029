/* SPDX-License-Identifier: Apache-2.0 */
/* The replay window: nothing passes twice, and nothing within the window is lost, in any order, on any thread. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/random.h"
#include "../soft/replay.h"
#include "test.h"

#define IV(n) ((uint64_t)(n) << SOFT_REPLAY_RUN_SHIFT)
#define THREADS 4u

static struct soft_replays all;

static struct soft_replay *window_of(struct soft_replay *window, uint32_t size)
{
	return soft_replay_make(&all, window, size) ? window : NULL;
}

static void packet_passes_once_however_often_it_comes(void)
{
	struct soft_replay window, *replay = window_of(&window, 4096);

	for (uint64_t iv = IV(7); iv < IV(7) + 100; iv++) {
		CHECK(soft_replay_take(replay, iv));
		for (uint32_t i = 0; i < 1000; i++)
			CHECK(!soft_replay_take(replay, iv));
	}
	/* Long after, too. */
	for (uint64_t iv = IV(7) + 100; iv < IV(7) + 100000; iv++)
		CHECK(soft_replay_take(replay, iv));
	for (uint64_t iv = IV(7); iv < IV(7) + 100000; iv++)
		CHECK(!soft_replay_take(replay, iv));
	soft_replay_free(replay);
}

/* However the highest lies in its block: what is `size` - 1 behind it passes, once. */
static void window_has_its_size_at_each_place_of_the_ring(void)
{
	static const uint32_t sizes[] = {1, 2, 33, 34, 35, 1024, 1025, 4096, 4097, 65536};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		const uint64_t size = sizes[s];

		CONTEXT("size %llu", (unsigned long long)size);
		for (uint64_t top = size; top < size + 3 * SOFT_REPLAY_BLOCK; top++) {
			struct soft_replay window, *replay = window_of(&window, sizes[s]);

			CHECK_EQ(replay->size, size);
			CHECK(soft_replay_take(replay, IV(1) + top));
			CHECK(soft_replay_take(replay, IV(1) + top - (size - 1)) == (size != 1));
			CHECK(!soft_replay_take(replay, IV(1) + top - (size - 1)));
			/* Two turns behind is too late, come or not come. */
			CHECK(soft_replay_take(replay, IV(2) + top));
			CHECK(!soft_replay_take(replay, IV(1) + top));
			soft_replay_free(replay);
		}
	}
}

/* All of them that are within the window arrive, in an order as bad as can be. */
static void no_order_within_the_window_loses_a_packet(void)
{
	enum { SIZE = 4096, TOTAL = 64 * SIZE };
	struct soft_replay window, *replay = window_of(&window, SIZE);
	struct dp_rng rng = {{1, 2, 3, 4}};
	static uint64_t late[SIZE];
	uint64_t next = IV(3), passed = 0;
	uint32_t n = 0;

	/* Backwards, block by block of the window's size: the first of them is the highest. */
	for (uint64_t base = IV(2); base < IV(2) + TOTAL; base += SIZE) {
		for (uint64_t i = SIZE; i-- > 0;)
			CHECK(soft_replay_take(replay, base + i));
	}
	/* At random: SIZE are under way at most, and none is overtaken by more. */
	while (passed < TOTAL) {
		uint32_t i;

		while (n < SIZE / 2 && next < IV(3) + TOTAL)
			late[n++] = next++;
		i = (uint32_t)(dp_rng_next(&rng) % n);
		/* Whatever waits longest goes before it falls out. */
		for (uint32_t j = 0; j < n; j++) {
			if (next - late[j] >= SIZE - 1)
				i = j;
		}
		CHECK(soft_replay_take(replay, late[i]));
		CHECK(!soft_replay_take(replay, late[i]));
		late[i] = late[--n];
		passed++;
	}
	soft_replay_free(replay);
}

static void ends_of_a_run_and_of_all_ivs(void)
{
	const uint64_t counter_end = UINT64_C(1) << SOFT_REPLAY_COUNTER_BITS;
	struct soft_replay window, *replay = window_of(&window, 4096);

	/* A sender that counts by itself begins at 0 or 1. */
	CHECK(soft_replay_take(replay, 1));
	CHECK(soft_replay_take(replay, 0));
	CHECK(!soft_replay_take(replay, 0));
	/* A gap of any size: to the last packet that a key may seal, and beyond what one can. */
	CHECK(soft_replay_take(replay, UINT64_C(1) << 34));
	CHECK(soft_replay_take(replay, (UINT64_C(1) << 34) - 4095));
	/* Late, but it never came, and nothing has its place: once. */
	CHECK(soft_replay_take(replay, 2));
	CHECK(!soft_replay_take(replay, 2));
	CHECK(soft_replay_take(replay, counter_end - 1));
	CHECK(!soft_replay_take(replay, counter_end));
	CHECK(!soft_replay_take(replay, IV(1) - 1));
	/* The same key in a later run of its sender; the earlier ones are over. */
	for (uint64_t run = 1; run < 1000; run++) {
		CHECK(soft_replay_take(replay, IV(run) + 5));
		CHECK(soft_replay_take(replay, IV(run)));
		CHECK(!soft_replay_take(replay, IV(run) + 5));
		CHECK(run == 1 || !soft_replay_take(replay, IV(run - 1) + 5));
	}
	CHECK(soft_replay_take(replay, IV(1050)));
	soft_replay_free(replay);
	/* The last run that there is, in a window that has seen nothing. */
	replay = window_of(&window, 1024);
	CHECK(soft_replay_take(replay, IV(0xffffff) + 3));
	CHECK(!soft_replay_take(replay, IV(0xffffff) + 3));
	CHECK(!soft_replay_take(replay, UINT64_MAX));
	soft_replay_free(replay);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { CROWD = 400000, CHUNK = 512 };

struct crowd {
	struct soft_replay replay;
	_Atomic uint32_t next, passed;
	_Atomic uint8_t *seen;
	pthread_barrier_t start;
};

/* Each takes the next packets, and gives them in twice, backwards, beside the others. */
static void *give_in(void *arg)
{
	struct crowd *crowd = arg;
	uint32_t from;

	pthread_barrier_wait(&crowd->start);
	while ((from = atomic_fetch_add(&crowd->next, CHUNK)) < CROWD) {
		for (uint32_t i = 2 * CHUNK; i-- > 0;) {
			const uint32_t at = from + i % CHUNK;

			if (at < CROWD && soft_replay_take(&crowd->replay, IV(9) + at)) {
				atomic_fetch_add(&crowd->seen[at], 1);
				atomic_fetch_add(&crowd->passed, 1);
			}
		}
	}
	return NULL;
}

/* All give the very same packets in. */
static void *give_in_the_same(void *arg)
{
	struct crowd *crowd = arg;

	pthread_barrier_wait(&crowd->start);
	for (uint32_t at = 0; at < CROWD; at++) {
		if (soft_replay_take(&crowd->replay, IV(9) + at)) {
			atomic_fetch_add(&crowd->seen[at], 1);
			atomic_fetch_add(&crowd->passed, 1);
		}
	}
	return NULL;
}

static void with_threads(struct crowd *crowd, uint32_t size, void *(*run)(void *))
{
	pthread_t threads[THREADS];

	memset(crowd, 0, sizeof(*crowd));
	crowd->seen = calloc(CROWD, sizeof(*crowd->seen));
	CHECK(soft_replay_make(&all, &crowd->replay, size) && crowd->seen != NULL);
	pthread_barrier_init(&crowd->start, NULL, THREADS);
	for (uint32_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, run, crowd), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&crowd->start);
	for (uint32_t at = 0; at < CROWD; at++)
		CHECK(crowd->seen[at] <= 1);
}

static void crowd_free(struct crowd *crowd)
{
	free((void *)crowd->seen);
	soft_replay_free(&crowd->replay);
}

static void threads_pass_no_packet_twice(void)
{
	struct crowd crowd;

	/* A thread may sleep for longer than a window lasts, so some may be late; none passes twice. */
	SUB(with_threads(&crowd, 4096, give_in));
	CHECK(crowd.passed > 0);
	crowd_free(&crowd);
	SUB(with_threads(&crowd, 4096, give_in_the_same));
	/* Whoever is ahead has given in all: each passes exactly once. */
	CHECK_EQ(crowd.passed, CROWD);
	crowd_free(&crowd);
}

static void threads_lose_no_packet_within_the_window(void)
{
	struct crowd crowd;

	/* However long one of them sleeps, nothing falls out of this window. */
	SUB(with_threads(&crowd, CROWD, give_in));
	CHECK_EQ(crowd.passed, CROWD);
	crowd_free(&crowd);
}

/* Whether the page of a window is there. */
static bool is_there(const struct soft_replay *replay)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	unsigned char there = 0;

	return mincore((void *)((uintptr_t)replay->slots & ~(page - 1)), 1, &there) == 0 &&
	       (there & 1) != 0;
}

/* Pages of this process that are there; the one that reads of untouched memory find is none. */
static long resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long all = 0, there = -1;

	if (file != NULL && fscanf(file, "%ld %ld", &all, &there) != 2)
		there = -1;
	if (file != NULL)
		(void)fclose(file);
	return there;
}

static void window_without_packets_takes_no_memory(void)
{
	enum { N = 10000 };
	static struct soft_replay windows[N];
	struct soft_replays own = {0};
	uint32_t there = 0;
	long before;

	for (uint32_t i = 0; i < N; i++)
		CHECK(soft_replay_make(&own, &windows[i], 4096));
	CHECK(soft_replay_take(&windows[N / 2], IV(1)));
	for (uint32_t i = 0; i < N; i++)
		there += is_there(&windows[i]);
	/* Those that lie on the same page as the one with a packet. */
	CHECK(is_there(&windows[N / 2]) && there <= 8);
	/* Given back they are looked at, and stay as they are: together they would be 2,500 pages. */
	before = resident();
	for (uint32_t i = 0; i < N; i++)
		soft_replay_free(&windows[i]);
	CHECK(before > 0 && resident() - before < 500);
	soft_replays_free(&own);
}

static void window_that_was_given_back_is_as_new(void)
{
	enum { N = 3000 };
	static struct soft_replay windows[N], copy;
	struct soft_replays own = {0};

	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < N; i++) {
			/* Of two sizes, and none is another's. */
			CHECK(soft_replay_make(&own, &windows[i], i % 2 == 0 ? 4096 : 65536));
			CHECK(soft_replay_take(&windows[i], IV(1) + i));
			CHECK(soft_replay_take(&windows[i], IV(1) + i + 900));
		}
		for (uint32_t i = 0; i < N; i++) {
			CHECK(!soft_replay_take(&windows[i], IV(1) + i));
			copy = windows[i];
			CHECK(!soft_replay_take(&copy, IV(1) + i + 900));
			soft_replay_free(&windows[i]);
			soft_replay_free(&windows[i]);
		}
	}
	/* The second round took what the first one had: no more chunks than it. */
	CHECK_EQ(own.sizes[7].n + own.sizes[11].n, N);
	soft_replays_free(&own);
}

int main(void)
{
	RUN(packet_passes_once_however_often_it_comes);
	RUN(window_has_its_size_at_each_place_of_the_ring);
	RUN(no_order_within_the_window_loses_a_packet);
	RUN(ends_of_a_run_and_of_all_ivs);
	RUN(threads_pass_no_packet_twice);
	RUN(threads_lose_no_packet_within_the_window);
	RUN(window_without_packets_takes_no_memory);
	RUN(window_that_was_given_back_is_as_new);
	soft_replays_free(&all);
	return test_summary();
}
