/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle.h: u32 names for things that come and go, which tell a stale one: generation above, index below. The index that was
 * freed first is used again first, so that a handle comes back as late as can be. Writer only.
 */
#ifndef PSP_COMMON_HANDLE_H
#define PSP_COMMON_HANDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DP_HANDLE_NONE UINT32_MAX /* no index */
#define DP_HANDLES_CAP_MIN 256u

struct dp_handle {
	void *thing; /* NULL: free */
	uint32_t generation, next_free;
};

struct dp_handles {
	struct dp_handle *slots;
	uint32_t cap, made, index_bits, used, max;
	uint32_t free_first, free_last;
};

static inline void dp_handles_init(struct dp_handles *handles, uint32_t max)
{
	memset(handles, 0, sizeof(*handles));
	handles->max = max;
	handles->free_first = DP_HANDLE_NONE;
	handles->free_last = DP_HANDLE_NONE;
	handles->index_bits = 1;
	while ((UINT32_C(1) << handles->index_bits) < max)
		handles->index_bits++;
}

static inline void dp_handles_free(struct dp_handles *handles)
{
	free(handles->slots);
	handles->slots = NULL;
}

static inline uint32_t dp_handle_index(const struct dp_handles *handles, uint32_t handle)
{
	return handle & ((UINT32_C(1) << handles->index_bits) - 1);
}

static inline bool dp_handles_grow(struct dp_handles *handles)
{
	uint32_t cap = handles->cap != 0 ? handles->cap * 2 : DP_HANDLES_CAP_MIN;
	struct dp_handle *slots = realloc(handles->slots, cap * sizeof(*slots));

	if (slots == NULL)
		return false;
	memset(slots + handles->cap, 0, (cap - handles->cap) * sizeof(*slots));
	handles->slots = slots;
	handles->cap = cap;
	return true;
}

/* 0: the limit is reached (used == max) or memory is out. */
static inline uint32_t dp_handle_take(struct dp_handles *handles, void *thing)
{
	uint32_t i = handles->free_first;
	uint32_t generations = UINT32_MAX >> handles->index_bits;
	struct dp_handle *slot;

	if (handles->used >= handles->max)
		return 0;
	if (handles->made < handles->max) {
		if (handles->made == handles->cap && !dp_handles_grow(handles))
			return 0;
		i = handles->made++;
	} else {
		handles->free_first = handles->slots[i].next_free;
		if (handles->free_first == DP_HANDLE_NONE)
			handles->free_last = DP_HANDLE_NONE;
	}
	slot = &handles->slots[i];
	slot->generation = slot->generation >= generations ? 1 : slot->generation + 1;
	slot->thing = thing;
	handles->used++;
	return (slot->generation << handles->index_bits) | i;
}

static inline void dp_handle_give(struct dp_handles *handles, uint32_t handle)
{
	uint32_t i = dp_handle_index(handles, handle);

	handles->slots[i].thing = NULL;
	handles->slots[i].next_free = DP_HANDLE_NONE;
	if (handles->free_last != DP_HANDLE_NONE)
		handles->slots[handles->free_last].next_free = i;
	else
		handles->free_first = i;
	handles->free_last = i;
	handles->used--;
}

/* NULL: there is none, or no longer. */
static inline void *dp_handle_find(const struct dp_handles *handles, uint32_t handle)
{
	uint32_t i = dp_handle_index(handles, handle);

	if (i >= handles->made || handles->slots[i].generation != handle >> handles->index_bits)
		return NULL;
	return handles->slots[i].thing;
}

#endif
