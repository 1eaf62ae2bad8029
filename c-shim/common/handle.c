/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c: the index that was freed first is used again first, so that a handle comes back as late as can be. */
#include <stdlib.h>
#include <string.h>

#include "handle.h"

#define NONE UINT32_MAX
#define CAP_MIN 256u

void dp_handles_init(struct dp_handles *handles, uint32_t max)
{
	memset(handles, 0, sizeof(*handles));
	handles->max = max;
	handles->free_first = NONE;
	handles->free_last = NONE;
	handles->index_bits = 1;
	while ((UINT32_C(1) << handles->index_bits) < max)
		handles->index_bits++;
}

void dp_handles_free(struct dp_handles *handles)
{
	free(handles->slots);
	handles->slots = NULL;
}

static uint32_t index_of(const struct dp_handles *handles, uint32_t handle)
{
	return handle & ((UINT32_C(1) << handles->index_bits) - 1);
}

static bool grow(struct dp_handles *handles)
{
	uint32_t cap = handles->cap != 0 ? handles->cap * 2 : CAP_MIN;
	struct dp_handle *slots = realloc(handles->slots, cap * sizeof(*slots));

	if (slots == NULL)
		return false;
	memset(slots + handles->cap, 0, (cap - handles->cap) * sizeof(*slots));
	handles->slots = slots;
	handles->cap = cap;
	return true;
}

uint32_t dp_handle_take(struct dp_handles *handles, void *thing)
{
	uint32_t i = handles->free_first;
	uint32_t generations = UINT32_MAX >> handles->index_bits;
	struct dp_handle *slot;

	if (handles->used >= handles->max)
		return 0;
	if (handles->made < handles->max) {
		if (handles->made == handles->cap && !grow(handles))
			return 0;
		i = handles->made++;
	} else {
		handles->free_first = handles->slots[i].next_free;
		if (handles->free_first == NONE)
			handles->free_last = NONE;
	}
	slot = &handles->slots[i];
	slot->generation = slot->generation >= generations ? 1 : slot->generation + 1;
	slot->thing = thing;
	handles->used++;
	return (slot->generation << handles->index_bits) | i;
}

void dp_handle_give(struct dp_handles *handles, uint32_t handle)
{
	uint32_t i = index_of(handles, handle);

	handles->slots[i].thing = NULL;
	handles->slots[i].next_free = NONE;
	if (handles->free_last != NONE)
		handles->slots[handles->free_last].next_free = i;
	else
		handles->free_first = i;
	handles->free_last = i;
	handles->used--;
}

void *dp_handle_find(const struct dp_handles *handles, uint32_t handle)
{
	uint32_t i = index_of(handles, handle);

	if (i >= handles->made || handles->slots[i].generation != handle >> handles->index_bits)
		return NULL;
	return handles->slots[i].thing;
}
