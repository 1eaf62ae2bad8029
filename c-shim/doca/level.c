/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"

#include <stddef.h>

bool dpu_disjoint(const struct dpu_ranked *a, const struct dpu_ranked *b)
{
	const uint8_t *va = (const uint8_t *)a->match, *vb = (const uint8_t *)b->match;
	const uint8_t *ma = (const uint8_t *)a->mask, *mb = (const uint8_t *)b->mask;

	/* The first member is a size, the last is reserved: neither is matched. */
	for (size_t i = sizeof(uint32_t); i < offsetof(struct psp_dp_match, reserved); i++) {
		if (((va[i] ^ vb[i]) & ma[i] & mb[i]) != 0)
			return true;
	}
	return false;
}

uint32_t dpu_level(const struct dpu_ranked *others, uint32_t n, const struct dpu_ranked *fresh)
{
	uint32_t low = 0, high = DPU_LEVELS;

	for (uint32_t i = 0; i < n; i++) {
		if (dpu_disjoint(&others[i], fresh))
			continue;
		if (others[i].priority < fresh->priority && others[i].level >= low)
			low = others[i].level + 1;
		if (others[i].priority > fresh->priority && others[i].level < high)
			high = others[i].level;
	}
	return low < high ? low : DPU_LEVELS;
}
