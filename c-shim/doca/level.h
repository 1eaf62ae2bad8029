/* SPDX-License-Identifier: Apache-2.0 */
/*
 * level.h: priorities of a control pipe's entries as hardware has them. The ABI gives any 32-bit priority, and
 * topologies give each entry its own; hardware is asked for as few as will do, because what it offers is small and
 * not documented (samples use 0 to 4). Entries that can never both match share a level.
 */
#ifndef PSP_DPU_LEVEL_H
#define PSP_DPU_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

#include "../psp_dp.h"

#define DPU_LEVELS 6u          /* 0 to 5 for entries */
#define DPU_LEVEL_CATCH_ALL 6u /* what misses */

struct dpu_ranked {
	const struct psp_dp_match *match, *mask; /* match is masked */
	uint32_t priority;
	uint32_t level;
};

/* No packet matches both. */
bool dpu_disjoint(const struct dpu_ranked *a, const struct dpu_ranked *b);

/* The level for `fresh` among the others, as low as can be; DPU_LEVELS: there is none. */
uint32_t dpu_level(const struct dpu_ranked *others, uint32_t n, const struct dpu_ranked *fresh);

#endif
