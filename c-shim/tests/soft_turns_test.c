/* SPDX-License-Identifier: Apache-2.0 */
/* Who is served, in which order, and how much. */
#include "../soft/turns.h"
#include "../common/packet.h"
#include "../soft/port.h"

#include <stdlib.h>

#include "test.h"

#define TURN ((uint32_t)SOFT_TURN_COST)

static struct soft_turns turns;

static void begin(uint32_t ports)
{
	memset(&turns, 0, sizeof(turns));
	for (uint32_t port = 1; port <= ports; port++)
		soft_turns_add(&turns, port);
}

static void whoever_has_no_frames_gets_no_turn(void)
{
	begin(0);
	CHECK_EQ(soft_turns_next(&turns), 0);
	soft_turns_add(&turns, 3);
	soft_turns_add(&turns, 3);
	CHECK_EQ(soft_turns_next(&turns), 3);
	soft_turns_end(&turns, TURN, false);
	CHECK_EQ(soft_turns_next(&turns), 0);
}

static void equal_costs_make_turns_in_a_row(void)
{
	begin(4);
	for (uint32_t i = 0; i < 40; i++) {
		CHECK_EQ(soft_turns_next(&turns), 1 + i % 4);
		soft_turns_end(&turns, TURN, true);
	}
}

static void one_that_runs_dry_leaves_the_order_of_the_others(void)
{
	static const uint32_t order[] = {1, 2, 3, 4, 1, 3, 4, 2, 1, 3, 4, 2};

	begin(4);
	for (uint32_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		CONTEXT("turn %u", i);
		CHECK_EQ(soft_turns_next(&turns), order[i]);
		soft_turns_end(&turns, TURN, i != 1);
		if (i == 4)
			soft_turns_add(&turns, 2);
	}
}

/* A turn that cost four has its port pass three times. */
static void larger_frames_have_fewer_turns(void)
{
	static const uint32_t order[] = {1, 2, 3, 2, 3, 2, 3, 2, 3, 1, 2, 3};

	begin(3);
	for (uint32_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const uint32_t port = soft_turns_next(&turns);

		CONTEXT("turn %u", i);
		CHECK_EQ(port, order[i]);
		soft_turns_end(&turns, port == 1 ? 4 * TURN : TURN, true);
	}
}

static void what_a_port_owes_it_owes_when_it_comes_again(void)
{
	begin(2);
	CHECK_EQ(soft_turns_next(&turns), 1);
	soft_turns_end(&turns, 3 * TURN, false);
	soft_turns_add(&turns, 1);
	for (uint32_t i = 0; i < 3; i++) {
		CHECK_EQ(soft_turns_next(&turns), 2);
		soft_turns_end(&turns, TURN, true);
	}
	CHECK_EQ(soft_turns_next(&turns), 1);
	soft_turns_end(&turns, TURN, true);
	/* Alone it need not wait for anybody. */
	CHECK_EQ(soft_turns_next(&turns), 2);
	soft_turns_end(&turns, TURN, false);
	for (uint32_t i = 0; i < 10; i++) {
		CHECK_EQ(soft_turns_next(&turns), 1);
		soft_turns_end(&turns, 5 * TURN, true);
	}
}

/* Nor is what it did not use kept for later. */
static void nobody_saves_up(void)
{
	begin(2);
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(soft_turns_next(&turns), 1 + i % 2);
		soft_turns_end(&turns, i % 2 == 0 ? TURN / 100 : TURN, true);
	}
	for (uint32_t i = 0; i < 8; i++) {
		CHECK_EQ(soft_turns_next(&turns), 1 + i % 2);
		soft_turns_end(&turns, TURN, true);
	}
}

/* Whatever batches it has, always: each of the others gets as much as the flood within two batches, and none waits long. */
static void a_flood_takes_no_more_than_its_share(void)
{
	static const uint32_t ports[] = {2, 4, 16, 256};
	static const uint32_t costs[] = {TURN / 30, TURN, 4 * TURN, 30 * TURN};

	for (uint32_t p = 0; p < 4; p++) {
		for (uint32_t c = 0; c < 4; c++) {
			static uint64_t got[257];
			uint64_t least;

			CONTEXT("%u ports, batches of %u", ports[p], costs[c]);
			memset(got, 0, sizeof(got));
			begin(ports[p]);
			for (uint32_t i = 0; i < 1000 * ports[p]; i++) {
				const uint32_t port = soft_turns_next(&turns);
				const uint32_t cost = port == 1 ? costs[c] : TURN;

				CHECK(port >= 1 && port <= ports[p]);
				got[port] += cost;
				soft_turns_end(&turns, cost, true);
			}
			least = got[2];
			for (uint32_t port = 2; port <= ports[p]; port++)
				least = got[port] < least ? got[port] : least;
			CHECK(got[1] <= least + costs[c] + TURN);
			for (uint32_t port = 2; port <= ports[p]; port++)
				CHECK(got[port] <= least + TURN);
		}
	}
}

/* Random costs, and ports that run dry and come again: those that never do get the same, the others no more. */
static void shares_hold_in_disorder(void)
{
	uint64_t got[9] = {0};
	uint32_t dry = 0;

	srand(1);
	begin(8);
	for (uint32_t i = 0; i < 100000; i++) {
		const uint32_t port = soft_turns_next(&turns);
		const uint32_t cost = TURN + (uint32_t)rand() % (port * TURN);
		const bool more = port < 5 || rand() % 3 != 0;

		got[port] += cost;
		soft_turns_end(&turns, cost, more);
		if (!more)
			dry = port;
		else if (dry != 0)
			soft_turns_add(&turns, dry);
	}
	for (uint32_t port = 1; port <= 8; port++) {
		CONTEXT("port %u", port);
		CHECK(port > 4 || got[port] <= got[1] * 105 / 100);
		CHECK(port > 4 || got[1] <= got[port] * 105 / 100);
		CHECK(got[port] <= got[1] * 105 / 100);
	}
}

/* Whatever comes, the next question is one that a port answers. */
static void a_port_is_asked_for_as_many_frames_as_it_can_give(void)
{
	static const uint32_t lengths[] = {60, 1514, 4096, 4097, 20000, 34000, 45000, DP_FRAME_MAX};
	uint8_t want = SOFT_WANT_FIRST;
	bool full = false;

	srand(7);
	for (uint32_t i = 0; i < 200000; i++) {
		const uint32_t len = lengths[(uint32_t)rand() % 8u];
		const uint32_t rounds = 1u + (uint32_t)rand() % 6u;

		for (uint32_t round = 0; round < rounds; round++) {
			const uint32_t n = rand() % 2 == 0 ? want : (uint32_t)rand() % (want + 1u);

			want = soft_turns_want(want, n, n * len);
			CHECK(want >= 1 && want <= SOFT_PORT_BATCH);
			full = full || want == SOFT_PORT_BATCH;
		}
	}
	CHECK(full);
	CHECK_EQ(soft_turns_want(SOFT_PORT_BATCH, 5, 5 * DP_FRAME_MAX), 4);
}

int main(void)
{
	RUN(whoever_has_no_frames_gets_no_turn);
	RUN(equal_costs_make_turns_in_a_row);
	RUN(one_that_runs_dry_leaves_the_order_of_the_others);
	RUN(larger_frames_have_fewer_turns);
	RUN(what_a_port_owes_it_owes_when_it_comes_again);
	RUN(nobody_saves_up);
	RUN(a_flood_takes_no_more_than_its_share);
	RUN(shares_hold_in_disorder);
	RUN(a_port_is_asked_for_as_many_frames_as_it_can_give);
	return test_summary();
}
