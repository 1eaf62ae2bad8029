/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* soft_engine_net.h */
/* libFuzzer: a script of pipes, entries and packets for a plane with the cache of flows and one without, which must agree. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "soft_cache_twins.h"
#pragma GCC diagnostic pop

#define SCRIPT_MAX 2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *differ = size <= SCRIPT_MAX ? twins_play(data, size) : NULL;

	if (differ == NULL)
		return 0;
	(void)fprintf(stderr, "differs: %s\n", differ);
	abort();
}
