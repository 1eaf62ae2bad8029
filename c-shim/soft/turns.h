/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.h: which port's frames a worker carries next: deficit round robin, so that a port that has more frames than it gets
 * carried, or larger ones, takes nothing of what the others are due.
 *
 * A worker's own. Costs are octets, and what a packet and a frame cost beside theirs in octets that cost as much.
 */
#ifndef PSP_SOFT_TURNS_H
#define PSP_SOFT_TURNS_H

#include "../psp_dp.h"

#include <stdbool.h>

/*
 * What carrying takes on the processors of this plane's benches, the kernel's part included: some 0.5 ns an octet, which is
 * copied twice, sealed and summed, 200 ns a packet, 300 ns a frame.
 */
#define SOFT_COST_PACKET 400u
#define SOFT_COST_FRAME 600u
/* Of a turn: what a batch of small frames costs. */
#define SOFT_TURN_COST (32 << 10)

struct soft_turns {
	/* Handles of ports that may have frames, in the order of their turns; `at` is next, if it is no more than n. */
	uint16_t ready[PSP_DP_PORTS_MAX];
	uint32_t n, at;
	/* By slot of a port. Credit stays when a port runs dry: what it owes it still owes when it comes again. */
	bool is_ready[PSP_DP_PORTS_MAX];
	int32_t credit[PSP_DP_PORTS_MAX];
};

/* A port may have frames. That it is ready already is no matter. */
void soft_turns_add(struct soft_turns *turns, uint32_t handle);
/* Whose turn it is, until soft_turns_end(); 0: nobody has frames. */
uint32_t soft_turns_next(struct soft_turns *turns);
/* The turn is over: what its frames cost, and whether the port may have more. */
void soft_turns_end(struct soft_turns *turns, uint32_t cost, bool more);

/* Frames that a port is asked for at first. */
#define SOFT_WANT_FIRST 4u
/*
 * How many frames a port is asked for after `n` of `asked` have come, of so many octets: small ones in numbers, large ones a
 * few at a time. 1 to SOFT_PORT_BATCH.
 */
uint8_t soft_turns_want(uint8_t asked, uint32_t n, uint32_t octets);

#endif
