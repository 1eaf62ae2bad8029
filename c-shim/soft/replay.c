/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <stdlib.h>

/* IVs behind the highest that are surely told apart: the last of a block and the first of that a turn later. */
static uint64_t reach(uint32_t slots_log2)
{
	return ((UINT64_C(1) << slots_log2) - 1) * SOFT_REPLAY_BLOCK + 1;
}

bool soft_replay_make(struct soft_replay *replay, uint32_t size)
{
	uint32_t slots_log2 = 1;

	while (reach(slots_log2) < size)
		slots_log2++;
	replay->slots = calloc(UINT64_C(1) << slots_log2, sizeof(*replay->slots));
	replay->size = size;
	replay->slots_log2 = slots_log2;
	return replay->slots != NULL;
}

void soft_replay_free(struct soft_replay *replay)
{
	free((void *)replay->slots);
	replay->slots = NULL;
}
