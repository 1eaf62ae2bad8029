/* SPDX-License-Identifier: Apache-2.0 */
#include "turns.h"

#include <string.h>

#include "../common/port.h"

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
