/* SPDX-License-Identifier: Apache-2.0 */
/* bare_none.c: a processor that ipsec-mb is not for: the engine alone is measured. */
#include <stddef.h>

#include "bare.h"

struct bare *bare_open(uint32_t n, bool is_256)
{
	(void)n;
	(void)is_256;
	return NULL;
}

void bare_close(struct bare *bare)
{
	(void)bare;
}

uint32_t bare_key_octets(void)
{
	return 0;
}

const char *bare_name(void)
{
	return "none";
}

bool bare_run(struct bare *bare, const uint32_t *keys, uint32_t n, uint32_t clear, uint32_t len,
	      uint64_t *seal_ns, uint64_t *open_ns)
{
	(void)bare;
	(void)keys;
	(void)n;
	(void)clear;
	(void)len;
	*seal_ns = *open_ns = 0;
	return false;
}
