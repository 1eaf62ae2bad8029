/* SPDX-License-Identifier: Apache-2.0 */
/* counters.c: the counters of the plane by name. */
#include <string.h>

#include "plane.h"

static const char *const names[DP_COUNTER_COUNT] = {
#define X(symbol, name) name,
	DP_COUNTERS(X)
#undef X
};

uint64_t dp_counter_sum(const struct dp_counters *counters, enum dp_counter counter)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < DP_BLOCKS; i++)
		sum += atomic_load_explicit(&counters->block[i][counter], memory_order_relaxed);
	return sum;
}

int32_t psp_dp_counter_names(struct psp_dp *dp, char *buf, uint32_t cap, uint32_t *len)
{
	uint32_t at = 0;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	*len = 0;
	for (uint32_t i = 0; i < DP_COUNTER_COUNT; i++)
		*len += (uint32_t)strlen(names[i]) + 1;
	if (*len > cap)
		return dp_fail(dp, PSP_DP_ERANGE, "Cannot list counters: the names need %u octets",
			       *len);
	for (uint32_t i = 0; i < DP_COUNTER_COUNT; i++) {
		uint32_t n = (uint32_t)strlen(names[i]);

		memcpy(buf + at, names[i], n);
		buf[at + n] = '\n';
		at += n + 1;
	}
	return 0;
}

int32_t psp_dp_counters(struct psp_dp *dp, uint64_t *values, uint32_t cap, uint32_t *n)
{
	if (dp == NULL || n == NULL || (values == NULL && cap > 0))
		return PSP_DP_EINVAL;
	*n = DP_COUNTER_COUNT;
	plane_count(dp);
	for (uint32_t i = 0; i < DP_COUNTER_COUNT && i < cap; i++)
		values[i] = dp_counter_sum(&dp_plane_of(dp)->counters, (enum dp_counter)i);
	return 0;
}
