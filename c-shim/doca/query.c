/* SPDX-License-Identifier: Apache-2.0 */
/* query.c: statistics and counters for the ABI. */
#include <string.h>

#include "dpu.h"

static void fill(struct psp_dp_stats *stats, const struct dpu_total *total, uint64_t last_used_ns)
{
	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->packets = total->packets;
	stats->bytes = total->bytes;
	stats->last_used_ns = last_used_ns;
}

int32_t psp_dp_entry_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dpu_entry *entry;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	entry = dpu_handle_entry(&dp->handles, id);
	if (entry == NULL) {
		status = dpu_fail(dp, PSP_DP_ENOENT, "Cannot query entry %u: there is none", id);
	} else {
		dpu_entry_settle(dp, entry);
		fill(stats, &entry->total, entry->last_used_ns);
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_pipe_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dpu_total hits, misses;
	struct dpu_pipe *pipe;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	pipe = dpu_pipe_of(dp, id);
	if (pipe == NULL) {
		status = dpu_fail(dp, PSP_DP_ENOENT, "Cannot query pipe %u: there is none", id);
		goto out;
	}
	dpu_pipe_settle(dp, pipe, &misses);
	hits = pipe->hits;
	for (const struct dpu_entry *entry = pipe->entries; entry != NULL; entry = entry->next) {
		hits.packets += entry->total.packets;
		hits.bytes += entry->total.bytes;
	}
	fill(stats, &hits, pipe->last_used_ns);
	stats->entries = pipe->n_entries;
	stats->miss_packets = misses.packets;
	stats->miss_bytes = misses.bytes;
out:
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dpu_slot *slot;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	slot = id != 0 && id <= dp->config.max_crypto_ids ? &dp->slots[id] : NULL;
	if (slot == NULL || !slot->keyed) {
		status =
			dpu_fail(dp, PSP_DP_ENOENT, "Cannot query crypto id %u: it has no key", id);
	} else {
		for (struct dpu_entry *user = slot->users; user != NULL; user = user->slot_next)
			dpu_entry_settle(dp, user);
		fill(stats, &slot->sealed, slot->last_used_ns);
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

/* ---- counters -------------------------------------------------------------------------------- */

static const char *const names[DP_COUNTER_COUNT] = {
#define X(symbol, name) name,
	DP_COUNTERS(X)
#undef X
};

int32_t psp_dp_counter_names(struct psp_dp *dp, char *buf, uint32_t cap, uint32_t *len)
{
	uint32_t at = 0;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	*len = 0;
	for (uint32_t i = 0; i < DP_COUNTER_COUNT; i++)
		*len += (uint32_t)strlen(names[i]) + 1;
	if (*len > cap)
		return dpu_fail(dp, PSP_DP_ERANGE, "Cannot list counters: the names need %u octets",
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
	struct dpu_total misses;

	if (dp == NULL || n == NULL || (values == NULL && cap > 0))
		return PSP_DP_EINVAL;
	*n = DP_COUNTER_COUNT;
	pthread_mutex_lock(&dp->writer);
	for (uint32_t i = 0; i < DPU_PIPES_MAX; i++) {
		if (dp->pipes[i] != NULL)
			dpu_pipe_settle(dp, dp->pipes[i], &misses);
	}
	dpu_detours_lost(dp);
	for (uint32_t i = 0; i < DP_COUNTER_COUNT && i < cap; i++) {
		values[i] = dp->settled[i];
		for (uint32_t block = 0; block < DP_BLOCKS; block++)
			values[i] += atomic_load_explicit(&dp->counters.block[block][i],
							  memory_order_relaxed);
	}
	pthread_mutex_unlock(&dp->writer);
	return 0;
}
