/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../psp/pages.h"

/* Before the windows of a chunk, on a page of its own: theirs stay untouched. */
#define HEAD_LEN 4096u

/* Windows of a size, aligned to its length. */
struct soft_replay_chunk {
	struct soft_replay_size *of;
	struct soft_replay_chunk *next;
	size_t used; /* octets that were given out, from the beginning */
};

_Static_assert(sizeof(struct soft_replay_chunk) <= HEAD_LEN, "the head has room");
_Static_assert((sizeof(uint64_t) << SOFT_REPLAY_SLOTS_LOG2_MAX) <= PSP_PAGES_HUGE - HEAD_LEN,
	       "the longest window has room");

/* IVs behind the highest that are surely told apart: the last of a block and the first of that a turn later. */
static uint64_t reach(uint32_t slots_log2)
{
	return ((UINT64_C(1) << slots_log2) - 1) * SOFT_REPLAY_BLOCK + 1;
}

static bool chunk_add(struct soft_replay_size *of)
{
	struct soft_replay_chunk *chunk = psp_pages_map(PSP_PAGES_HUGE, false);

	if (chunk == NULL)
		return false;
	/* The first packet of one SA is not to take the memory of two thousand. */
	(void)madvise(chunk, PSP_PAGES_HUGE, MADV_NOHUGEPAGE);
	chunk->of = of;
	chunk->used = HEAD_LEN;
	chunk->next = of->chunks;
	of->chunks = chunk;
	return true;
}

static struct soft_replay_chunk *chunk_of(const _Atomic uint64_t *slots)
{
	return (struct soft_replay_chunk *)((uintptr_t)slots & ~(uintptr_t)(PSP_PAGES_HUGE - 1));
}

bool soft_replay_make(struct soft_replays *replays, struct soft_replay *replay, uint32_t size)
{
	struct soft_replay_size *of;
	uint32_t slots_log2 = 1;
	size_t len;

	while (slots_log2 < SOFT_REPLAY_SLOTS_LOG2_MAX && reach(slots_log2) < size)
		slots_log2++;
	of = &replays->sizes[slots_log2];
	len = sizeof(*replay->slots) << slots_log2;
	replay->slots = NULL;
	replay->size = size;
	replay->slots_log2 = slots_log2;
	if (of->n > 0) {
		replay->slots = of->spare[--of->n];
		return true;
	}
	if ((of->chunks == NULL || of->chunks->used + len > PSP_PAGES_HUGE) && !chunk_add(of))
		return false;
	replay->slots = (_Atomic uint64_t *)((uint8_t *)of->chunks + of->chunks->used);
	of->chunks->used += len;
	return true;
}

/* What no packet has touched is read, and stays as untouched as it is. */
static void clear(_Atomic uint64_t *slots, uint32_t slots_log2)
{
	for (size_t i = 0; i < (size_t)1 << slots_log2; i++) {
		if (atomic_load_explicit(&slots[i], memory_order_relaxed) != 0)
			atomic_store_explicit(&slots[i], 0, memory_order_relaxed);
	}
}

/* False: out of memory. */
static bool spare_room(struct soft_replay_size *of)
{
	size_t room = of->room == 0 ? 64 : 2 * of->room;
	_Atomic uint64_t **longer;

	if (of->n < of->room)
		return true;
	longer = realloc(of->spare, room * sizeof(*longer));
	if (longer == NULL)
		return false;
	of->spare = longer;
	of->room = room;
	return true;
}

void soft_replay_free(struct soft_replay *replay)
{
	struct soft_replay_size *of;

	if (replay->slots == NULL)
		return;
	of = chunk_of(replay->slots)->of;
	/* Without a place to remember it it stays away until the end. */
	if (spare_room(of)) {
		clear(replay->slots, replay->slots_log2);
		of->spare[of->n++] = replay->slots;
	}
	replay->slots = NULL;
}

void soft_replays_free(struct soft_replays *replays)
{
	for (uint32_t i = 0; i <= SOFT_REPLAY_SLOTS_LOG2_MAX; i++) {
		struct soft_replay_size *of = &replays->sizes[i];
		struct soft_replay_chunk *next;

		for (struct soft_replay_chunk *chunk = of->chunks; chunk != NULL; chunk = next) {
			next = chunk->next;
			psp_pages_unmap(chunk, PSP_PAGES_HUGE);
		}
		free(of->spare);
	}
	memset(replays, 0, sizeof(*replays));
}
