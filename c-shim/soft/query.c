/* SPDX-License-Identifier: Apache-2.0 */
/* query.c: what pipes and entries have seen. */
#include <string.h>

#include "soft.h"

void soft_stats_read(const struct soft_stats *from, struct psp_dp_stats *to)
{
	uint32_t size = to->size;

	memset(to, 0, sizeof(*to));
	to->size = size;
	to->packets = atomic_load_explicit(&from->packets, memory_order_relaxed);
	to->bytes = atomic_load_explicit(&from->bytes, memory_order_relaxed);
	to->last_used_ns = atomic_load_explicit(&from->last_used_ns, memory_order_relaxed);
}

int32_t psp_dp_pipe_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	const struct soft_pipe *pipe;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	pipe = soft_pipe_of(dp, id);
	if (pipe == NULL) {
		status = soft_fail(dp, PSP_DP_ENOENT, "Cannot query pipe %u: there is none", id);
	} else {
		soft_stats_read(&pipe->hits, stats);
		stats->entries = pipe->n_entries;
		stats->miss_packets =
			atomic_load_explicit(&pipe->misses.packets, memory_order_relaxed);
		stats->miss_bytes = atomic_load_explicit(&pipe->misses.bytes, memory_order_relaxed);
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_entry_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	const struct soft_entry *entry;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	entry = soft_handle_entry(&dp->handles, id);
	if (entry == NULL)
		status = soft_fail(dp, PSP_DP_ENOENT, "Cannot query entry %u: there is none", id);
	else
		soft_stats_read(&entry->stats, stats);
	pthread_mutex_unlock(&dp->writer);
	return status;
}
