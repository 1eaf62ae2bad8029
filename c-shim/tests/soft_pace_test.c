/* SPDX-License-Identifier: Apache-2.0 */
/* Which ports rest, when, and for how long. */
#include "../soft/pace.h"
#include "../common/port.h"

#include <string.h>

#include "test.h"

#define MS UINT64_C(1000000)
#define BULK 1u
#define SPARSE 2u
#define BULK_TOO 3u

static struct soft_pace pace;
static struct soft_pace_time scheduler;
static uint64_t now;

static void begin(void)
{
	memset(&pace, 0, sizeof(pace));
	memset(&scheduler, 0, sizeof(scheduler));
	now = 1000 * MS;
	soft_pace_look(&pace, &scheduler, now);
}

/* So long, in which the worker ran and waited for these parts of a hundred; then the scheduler is asked. */
static void pass(uint64_t ms, uint64_t ran, uint64_t waited)
{
	now += ms * MS;
	scheduler.ran_ns += ran * ms * MS / 100;
	scheduler.waited_ns += waited * ms * MS / 100;
	soft_pace_look(&pace, &scheduler, now);
}

static bool bulk(uint32_t handle)
{
	return soft_pace_turn(&pace, handle, SOFT_TURN_COST, true, now);
}

static void sparse(void)
{
	CHECK_EQ(soft_pace_turn(&pace, SPARSE, 1000, false, now), false);
}

/* Ten turns in 10 ms, beside a port with few frames, while the worker waits more than it runs. */
static void slow_down(void)
{
	sparse();
	for (uint32_t i = 0; i < 10; i++)
		(void)bulk(BULK);
	pass(10, 20, 70);
}

static void with_a_processor_of_its_own_nobody_rests(void)
{
	begin();
	sparse();
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(bulk(BULK), false);
		pass(10, 100, 0);
	}
	CHECK_EQ(pace.cost_per_ms, 0);
}

static void without_another_port_nobody_rests(void)
{
	begin();
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(bulk(BULK), false);
		CHECK_EQ(bulk(BULK_TOO), false);
		pass(10, 20, 70);
	}
	CHECK_EQ(pace.cost_per_ms, 0);
}

static void whoever_sleeps_or_runs_more_than_it_waits_is_in_nobodys_debt(void)
{
	static const uint64_t parts[][2] = {{30, 35}, {5, 60}, {51, 49}, {90, 10}};

	for (uint32_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		CONTEXT("ran %u, waited %u", (uint32_t)parts[i][0], (uint32_t)parts[i][1]);
		begin();
		for (uint32_t n = 0; n < 100; n++) {
			sparse();
			CHECK_EQ(bulk(BULK), false);
			pass(10, parts[i][0], parts[i][1]);
		}
		CHECK_EQ(pace.cost_per_ms, 0);
	}
}

/* Its queue was full a moment ago: what it brings without one counts as well. */
static void all_that_a_port_brings_counts(void)
{
	begin();
	sparse();
	(void)bulk(BULK);
	for (uint32_t i = 0; i < 9; i++)
		CHECK_EQ(soft_pace_turn(&pace, BULK, SOFT_TURN_COST, false, now), false);
	pass(10, 20, 70);
	CHECK_EQ(pace.cost_per_ms, SOFT_TURN_COST * 3 / 4);
}

static void whoever_waits_too_long_carries_less_than_it_did(void)
{
	begin();
	slow_down();
	CHECK_EQ(pace.cost_per_ms, SOFT_TURN_COST * 3 / 4);
	sparse();
	for (uint32_t i = 0; i < 5; i++)
		(void)bulk(BULK);
	pass(10, 10, 70);
	CHECK_EQ(pace.cost_per_ms, SOFT_TURN_COST * 3 / 8);
}

static void whoever_keeps_the_pace_is_in_nobodys_debt(void)
{
	begin();
	slow_down();
	for (uint32_t n = 0; n < 20; n++) {
		sparse();
		for (uint32_t i = 0; i < 6; i++)
			(void)bulk(BULK);
		pass(10, 10, 80);
		CHECK_EQ(pace.cost_per_ms, SOFT_TURN_COST * 3 / 4);
	}
}

static void it_never_ends_altogether(void)
{
	begin();
	for (uint32_t i = 0; i < 100; i++) {
		sparse();
		(void)bulk(BULK);
		pass(500, 20, 70);
	}
	CHECK_EQ(pace.cost_per_ms, SOFT_TURN_COST / 8);
}

/* At three quarters of a turn in a millisecond. */
static void a_port_rests_until_its_turns_have_come_at_the_pace(void)
{
	uint32_t turns = 0;

	begin();
	slow_down();
	for (const uint64_t end = now + 100 * MS; now < end; now += MS / 10) {
		const uint32_t handle = soft_pace_rested(&pace, now);

		CHECK(handle == 0 || handle == BULK);
		while (pace.resting == 0) {
			(void)bulk(BULK);
			turns++;
		}
	}
	CHECK(turns >= 73 && turns <= 78);
}

static void two_such_ports_share_the_pace(void)
{
	uint32_t turns[4] = {0};

	begin();
	(void)bulk(BULK_TOO);
	slow_down();
	for (const uint64_t end = now + 100 * MS; now < end; now += MS / 10) {
		while (soft_pace_rested(&pace, now) != 0)
			;
		for (uint32_t handle = BULK; handle <= BULK_TOO; handle += BULK_TOO - BULK) {
			if (pace.ports[dp_port_slot(handle)].resting != 0)
				continue;
			(void)bulk(handle);
			turns[handle]++;
		}
	}
	CHECK(turns[BULK] + turns[BULK_TOO] >= 73 && turns[BULK] + turns[BULK_TOO] <= 90);
	CHECK(turns[BULK] >= turns[BULK_TOO] - 2 && turns[BULK] <= turns[BULK_TOO] + 2);
}

static void it_wakes_for_the_first_whose_rest_is_over(void)
{
	begin();
	CHECK_EQ(soft_pace_wait_ms(&pace, now, 1000), 1000);
	slow_down();
	while (!bulk(BULK))
		;
	CHECK_EQ(soft_pace_rested(&pace, now), 0);
	CHECK(soft_pace_wait_ms(&pace, now, 1000) >= 1);
	CHECK(soft_pace_wait_ms(&pace, now, 1000) <= 3);
	CHECK_EQ(soft_pace_wait_ms(&pace, now + 2 * MS, 1000), 1);
	CHECK_EQ(soft_pace_rested(&pace, now + 3 * MS), BULK);
	CHECK_EQ(soft_pace_rested(&pace, now + 3 * MS), 0);
	CHECK_EQ(soft_pace_wait_ms(&pace, now + 3 * MS, 1000), 1000);
}

static void it_becomes_faster_and_faster_until_it_is_free(void)
{
	uint64_t before, step = 0;
	uint32_t looks = 0;

	begin();
	slow_down();
	for (before = pace.cost_per_ms; pace.cost_per_ms != 0; looks++) {
		sparse();
		(void)bulk(BULK);
		pass(10, 30, 10);
		if (pace.cost_per_ms == before || pace.cost_per_ms == 0)
			continue;
		CHECK(pace.cost_per_ms - before > step);
		step = pace.cost_per_ms - before;
		before = pace.cost_per_ms;
	}
	CHECK(looks >= 400 && looks <= 1000);
}

static void whoever_rests_when_it_ends_rests_no_more(void)
{
	begin();
	slow_down();
	while (!bulk(BULK))
		;
	/* The port with few frames has none any more. */
	pass(11000, 10, 0);
	CHECK_EQ(pace.cost_per_ms, 0);
	CHECK_EQ(soft_pace_rested(&pace, now), BULK);
	CHECK_EQ(bulk(BULK), false);
}

int main(void)
{
	RUN(with_a_processor_of_its_own_nobody_rests);
	RUN(without_another_port_nobody_rests);
	RUN(whoever_sleeps_or_runs_more_than_it_waits_is_in_nobodys_debt);
	RUN(all_that_a_port_brings_counts);
	RUN(whoever_waits_too_long_carries_less_than_it_did);
	RUN(whoever_keeps_the_pace_is_in_nobodys_debt);
	RUN(it_never_ends_altogether);
	RUN(a_port_rests_until_its_turns_have_come_at_the_pace);
	RUN(two_such_ports_share_the_pace);
	RUN(it_wakes_for_the_first_whose_rest_is_over);
	RUN(it_becomes_faster_and_faster_until_it_is_free);
	RUN(whoever_rests_when_it_ends_rests_no_more);
	return test_summary();
}
