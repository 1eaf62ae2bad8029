/* SPDX-License-Identifier: Apache-2.0 */
/* query.c: what pipes and entries have seen, and the counters of the plane. */
#include <string.h>

#include "plane.h"

static void clear(struct psp_dp_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
}

int32_t psp_dp_pipe_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dp_pipe *pipe;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	dp_lock(dp);
	pipe = dp_pipe_of(dp, id);
	if (pipe == NULL) {
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot query pipe %u: there is none", id);
	} else {
		clear(stats);
		stats->entries = pipe->n_entries;
		plane_pipe_query(dp, pipe, stats);
	}
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_entry_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dp_entry *entry;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	dp_lock(dp);
	entry = dp_handle_find(&dp_plane_of(dp)->entries, id);
	if (entry == NULL) {
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot query entry %u: there is none", id);
	} else {
		clear(stats);
		plane_entry_query(dp, entry, stats);
	}
	dp_unlock(dp);
	return status;
}

/* ---- counters -------------------------------------------------------------------------------- */

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
