/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* soft_engine_net.h */
/* The cache of flows is only a cache: whatever pipes, entries and packets come, all is as without it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "soft_cache_twins.h"
#pragma GCC diagnostic pop

#define SCRIPTS 100u
#define SCRIPT_LEN 2400u

static void nothing_differs_with_the_cache(void)
{
	struct dp_rng rng = {{1, 2, 3, 4}};
	uint8_t script[SCRIPT_LEN];

	for (uint32_t i = 0; i < SCRIPTS; i++) {
		const char *differ;

		for (uint32_t k = 0; k < SCRIPT_LEN; k++)
			script[k] = (uint8_t)(dp_rng_next(&rng) >> 32);
		differ = twins_play(script, SCRIPT_LEN);
		CONTEXT("script %u: %s", i, differ != NULL ? differ : "");
		CHECK(differ == NULL);
	}
}

int main(void)
{
	RUN(nothing_differs_with_the_cache);
	return test_summary();
}
