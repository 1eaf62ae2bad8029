/* SPDX-License-Identifier: Apache-2.0 */
#include "slab.h"

#include <stddef.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

#include "pages.h"

/* At the beginning of a chunk, which is aligned to its size: each thing finds it by its address. */
struct psp_slab_chunk {
	struct psp_slab *slab;
	struct psp_slab_chunk *next, *prev; /* that have room */
	struct vacancy *vacant;             /* that were given back */
	uint32_t begun;                     /* things from the first on that have been taken once */
	uint32_t used;
};

/* What stands in a thing that was given back. */
struct vacancy {
	struct vacancy *next;
};

_Static_assert(sizeof(struct psp_slab_chunk) <= PSP_PAGES_LINE, "things begin on the second line");

static uint32_t room(const struct psp_slab *slab)
{
	return (uint32_t)(PSP_PAGES_HUGE - PSP_PAGES_LINE) / slab->size;
}

static struct psp_slab_chunk *chunk_of(const void *thing)
{
	return (struct psp_slab_chunk *)((uintptr_t)thing & ~(uintptr_t)(PSP_PAGES_HUGE - 1));
}

static void link_first(struct psp_slab_chunk *chunk)
{
	struct psp_slab *slab = chunk->slab;

	chunk->prev = NULL;
	chunk->next = slab->roomy;
	if (slab->roomy != NULL)
		slab->roomy->prev = chunk;
	slab->roomy = chunk;
}

static void unlink_chunk(struct psp_slab_chunk *chunk)
{
	if (chunk->prev != NULL)
		chunk->prev->next = chunk->next;
	else
		chunk->slab->roomy = chunk->next;
	if (chunk->next != NULL)
		chunk->next->prev = chunk->prev;
}

static struct psp_slab_chunk *chunk_new(struct psp_slab *slab)
{
	struct psp_slab_chunk *chunk = psp_pages_map(PSP_PAGES_HUGE, slab->chunks > 0);

	if (chunk == NULL)
		return NULL;
	ASAN_POISON_MEMORY_REGION((uint8_t *)chunk + PSP_PAGES_LINE,
				  PSP_PAGES_HUGE - PSP_PAGES_LINE);
	chunk->slab = slab;
	slab->chunks++;
	link_first(chunk);
	return chunk;
}

static void chunk_free(struct psp_slab_chunk *chunk)
{
	unlink_chunk(chunk);
	chunk->slab->chunks--;
	ASAN_UNPOISON_MEMORY_REGION(chunk, PSP_PAGES_HUGE);
	psp_pages_unmap(chunk, PSP_PAGES_HUGE);
}

void psp_slab_init(struct psp_slab *slab, uint32_t size)
{
	const uint32_t grain = PSP_PAGES_LINE / 2;

	*slab = (struct psp_slab){.size = (size + grain - 1) / grain * grain};
}

void *psp_slab_take(struct psp_slab *slab)
{
	struct psp_slab_chunk *chunk = slab->roomy != NULL ? slab->roomy : chunk_new(slab);
	struct vacancy *vacancy;
	void *thing;

	if (chunk == NULL)
		return NULL;
	vacancy = chunk->vacant;
	thing = vacancy != NULL
			? (void *)vacancy
			: (uint8_t *)chunk + PSP_PAGES_LINE + (size_t)chunk->begun * slab->size;
	ASAN_UNPOISON_MEMORY_REGION(thing, slab->size);
	if (vacancy != NULL) {
		chunk->vacant = vacancy->next;
		vacancy->next = NULL;
	} else {
		chunk->begun++;
	}
	chunk->used++;
	if (chunk->used == room(slab))
		unlink_chunk(chunk);
	return thing;
}

void psp_slab_give(void *thing)
{
	struct psp_slab_chunk *chunk;
	struct psp_slab *slab;
	struct vacancy *vacancy = thing;

	if (thing == NULL)
		return;
	chunk = chunk_of(thing);
	slab = chunk->slab;
	explicit_bzero(thing, slab->size);
	if (chunk->used == room(slab))
		link_first(chunk);
	chunk->used--;
	vacancy->next = chunk->vacant;
	chunk->vacant = vacancy;
	ASAN_POISON_MEMORY_REGION(thing, slab->size);
	/* The last one stays for whoever comes next. */
	if (chunk->used == 0 && slab->chunks > 1)
		chunk_free(chunk);
}

void psp_slab_free(struct psp_slab *slab)
{
	while (slab->roomy != NULL)
		chunk_free(slab->roomy);
}
