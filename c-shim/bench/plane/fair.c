/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair.c: what a port that floods costs the others. Four host ports that are memory always have frames; what the worker
 * takes of three of them is counted while the fourth has frames like theirs, and while it has others.
 *
 *   fair ROUNDS MS
 *
 * A line for each round, shape of the three and flood:
 *   fair SHAPE FLOOD EVEN FLOODED      frames of each of the three in a second of CPU time, beside its like and beside the flood
 * and "round N" behind each round's. Of the three the one that got least counts.
 */
#define _GNU_SOURCE /* soft_engine_net.h */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lab.h"

#define PORTS 4u
#define FRAMES 64u /* of a port, which come again and again */

/* What the flooding port sends: by shape, and whether anybody gets it. */
static const struct flood {
	const char *name;
	uint32_t shape, tunnel;
} floods[] = {{"92", 0, 3}, {"1440", 1, 3}, {"44x1440", 2, 3}, {"misses", 0, 1000000}};

static struct memory_frame frames[PORTS][FRAMES];

static int fail(const char *what)
{
	(void)fprintf(stderr, "Cannot measure: %s\n", what);
	return 1;
}

static void lay_out(uint32_t port, const struct shape *shape, uint32_t tunnel)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		make_frame(&frames[port][i], shape, tunnel);
}

/* Has each of the three been served since? */
static bool all_served(const struct side *side, const uint64_t *before)
{
	uint64_t ns;

	for (uint32_t i = 1; i < PORTS; i++) {
		if (memory_port_taken(side->hosts[i], &ns) == before[i])
			return false;
	}
	return true;
}

/* Frames in a second of the worker's CPU time, of whichever of the three gets least. */
static double least(const struct side *side, uint32_t ms)
{
	uint64_t before[PORTS], start[PORTS], end;
	double rate = 0;

	for (uint32_t i = 0; i < PORTS; i++)
		memory_port_flood(side->hosts[i], frames[i], FRAMES);
	/* Until batches have found their sizes. */
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	for (uint32_t i = 0; i < PORTS; i++)
		before[i] = memory_port_taken(side->hosts[i], &start[i]);
	do {
		nanosleep(&(struct timespec){.tv_sec = ms / 1000,
					     .tv_nsec = (long)(ms % 1000) * 1000000},
			  NULL);
	} while (!all_served(side, before));
	for (uint32_t i = 1; i < PORTS; i++) {
		const double n =
			(double)(memory_port_taken(side->hosts[i], &end) - before[i]) * 1e9;

		if (i == 1 || n / (double)(end - start[i]) < rate)
			rate = n / (double)(end - start[i]);
	}
	for (uint32_t i = 0; i < PORTS; i++)
		memory_port_calm(side->hosts[i]);
	return rate;
}

static void measure(const struct side *side, const struct shape *shape, uint32_t ms)
{
	double even;

	for (uint32_t i = 0; i < PORTS; i++)
		lay_out(i, shape, i % side->tunnels);
	even = least(side, ms);
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		if (strcmp(floods[i].name, shape->name) == 0)
			continue;
		lay_out(0, &shapes[floods[i].shape], floods[i].tunnel);
		(void)printf("fair %s %s %.0f %.0f\n", shape->name, floods[i].name, even,
			     least(side, ms));
		(void)fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static struct side side = {.name = "fair", .tunnels = PORTS, .ports = PORTS};
	uint32_t rounds, ms;

	if (argc != 3)
		return fail("usage: fair ROUNDS MS");
	rounds = (uint32_t)strtoul(argv[1], NULL, 10);
	ms = (uint32_t)strtoul(argv[2], NULL, 10);
	for (uint32_t i = 0; i < PORTS * FRAMES; i++) {
		frames[i / FRAMES][i % FRAMES].octets = malloc(FRAME_ROOM);
		if (frames[i / FRAMES][i % FRAMES].octets == NULL)
			return fail("out of memory");
	}
	if (!open_side(&side))
		return fail("the plane does not open");
	for (uint32_t round = 0; round < rounds; round++) {
		measure(&side, &shapes[0], ms);
		measure(&side, &shapes[2], ms);
		(void)printf("round %u\n", round + 1);
		(void)fflush(stdout);
	}
	return psp_dp_close(side.net.dp) == 0 ? 0 : fail("the plane does not close");
}
