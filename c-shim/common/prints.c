/* SPDX-License-Identifier: Apache-2.0 */
/* prints.c: a set of fingerprints. They are CMACs under a key of the plane's own, so one word serves as hash. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"

#define SLOTS_MIN 64u

static bool is_free(const struct dp_prints *prints, uint32_t i)
{
	return prints->slots[i][0] == 0 && prints->slots[i][1] == 0;
}

/* Where the print is, or where it would be put. */
static uint32_t place(const struct dp_prints *prints, const uint64_t print[2])
{
	uint32_t i = (uint32_t)print[0] & prints->mask;

	while (!is_free(prints, i) && memcmp(prints->slots[i], print, 16) != 0)
		i = (i + 1) & prints->mask;
	return i;
}

static int32_t grow(struct dp_prints *prints)
{
	uint32_t n = prints->slots != NULL ? (prints->mask + 1) * 2 : SLOTS_MIN;
	struct dp_prints fresh = {.used = prints->used, .mask = n - 1};

	fresh.slots = calloc(n, sizeof(*fresh.slots));
	if (fresh.slots == NULL)
		return PSP_DP_ENOMEM;
	for (uint32_t i = 0; prints->slots != NULL && i <= prints->mask; i++) {
		if (!is_free(prints, i))
			memcpy(fresh.slots[place(&fresh, prints->slots[i])], prints->slots[i], 16);
	}
	free(prints->slots);
	*prints = fresh;
	return 0;
}

int32_t dp_prints_add(struct dp_prints *prints, const uint8_t print[16])
{
	uint64_t words[2];
	uint32_t i;

	memcpy(words, print, sizeof(words));
	if (words[0] == 0 && words[1] == 0)
		words[1] = 1;
	if (prints->slots == NULL || prints->used > prints->mask / 2) {
		int32_t status = grow(prints);

		if (status != 0)
			return status;
	}
	i = place(prints, words);
	if (!is_free(prints, i))
		return PSP_DP_EKEY;
	memcpy(prints->slots[i], words, sizeof(words));
	prints->used++;
	return 0;
}

void dp_prints_free(struct dp_prints *prints)
{
	free(prints->slots);
	memset(prints, 0, sizeof(*prints));
}
