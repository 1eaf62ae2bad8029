/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab.h: memory for very many things of one size that are met at random: expanded keys, entries, rules. They lie side by
 * side, in whole cache lines, and in huge pages from the second chunk on: a processor that walks its page tables for each
 * part of a tunnel spends more on that than on the packet. The first chunk has small pages: few things take little memory.
 *
 * Threads: a slab belongs to whoever takes and gives; there is no lock.
 */
#ifndef PSP_SLAB_H
#define PSP_SLAB_H

#include <stdint.h>

struct psp_slab_chunk;

struct psp_slab {
	uint32_t size; /* of each thing */
	uint32_t chunks;
	struct psp_slab_chunk *roomy; /* those that have room */
};

/* size: octets, at most half a huge page, rounded up to half lines. Takes no memory yet. */
void psp_slab_init(struct psp_slab *slab, uint32_t size);
/* Zeroed; at the beginning of a line, where sizes are whole lines. NULL: out of memory. */
void *psp_slab_take(struct psp_slab *slab);
/* Wipes the thing. NULL is allowed. The slab that it was taken from is still there. */
void psp_slab_give(void *thing);
/* Chunks that hold nothing any more; every thing has been given back. */
void psp_slab_free(struct psp_slab *slab);

#endif
