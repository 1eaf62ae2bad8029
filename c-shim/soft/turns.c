/* SPDX-License-Identifier: Apache-2.0 */
#include "turns.h"

#include <string.h>

#include "../common/packet.h"
#include "../common/port.h"
#include "port.h"

#define LARGE 4096u /* octets of a frame of which few are asked for at a time */
/* Of those so many octets: what the second-level cache holds beside what is made of them. */
#define LARGE_OCTETS (4u * DP_FRAME_MAX)
#define WANT_LARGE_MAX 8u /* the next ones may be larger */

void soft_turns_add(struct soft_turns *turns, uint32_t handle)
{
	const uint32_t slot = dp_port_slot(handle);

	/* A handle may be that of another port by now, or its slot's: the one before had frames, too. */
	if (turns->is_ready[slot])
		return;
	turns->is_ready[slot] = true;
	turns->ready[turns->n++] = (uint16_t)handle;
}

uint32_t soft_turns_next(struct soft_turns *turns)
{
	while (turns->n > 0) {
		int32_t *credit;

		if (turns->at >= turns->n)
			turns->at = 0;
		credit = &turns->credit[dp_port_slot(turns->ready[turns->at])];
		*credit = *credit < 0 ? *credit + SOFT_TURN_COST : SOFT_TURN_COST;
		if (*credit > 0)
			return turns->ready[turns->at];
		turns->at++;
	}
	return 0;
}

void soft_turns_end(struct soft_turns *turns, uint32_t cost, bool more)
{
	const uint32_t at = turns->at, slot = dp_port_slot(turns->ready[at]);

	turns->credit[slot] -= (int32_t)cost;
	if (more) {
		turns->at++;
		return;
	}
	turns->is_ready[slot] = false;
	turns->n--;
	memmove(&turns->ready[at], &turns->ready[at + 1],
		(turns->n - at) * sizeof(turns->ready[0]));
}

uint8_t soft_turns_want(uint8_t asked, uint32_t n, uint32_t octets)
{
	uint32_t want = asked;

	if (n > 0 && octets > n * LARGE) {
		want = LARGE_OCTETS / (octets / n);
		if (want > WANT_LARGE_MAX)
			want = WANT_LARGE_MAX;
	} else if (n == asked) {
		want = 2u * asked;
	}
	/* For none or too many a port would be asked in vain, for ever. */
	if (want > SOFT_PORT_BATCH)
		want = SOFT_PORT_BATCH;
	return (uint8_t)(want > 0 ? want : 1);
}
