/* SPDX-License-Identifier: Apache-2.0 */
/* query.c: statistics and counters for the ABI. */
#include "dpu.h"

static void fill(struct psp_dp_stats *stats, const struct dpu_total *total, uint64_t last_used_ns)
{
	stats->packets = total->packets;
	stats->bytes = total->bytes;
	stats->last_used_ns = last_used_ns;
}

void plane_entry_query(struct psp_dp *dp, struct dp_entry *base, struct psp_dp_stats *stats)
{
	struct dpu_entry *entry = dpu_entry(base);

	dpu_entry_settle(dp, entry);
	fill(stats, &entry->total, entry->last_used_ns);
}

void plane_pipe_query(struct psp_dp *dp, struct dp_pipe *base, struct psp_dp_stats *stats)
{
	struct dpu_pipe *pipe = dpu_pipe(base);
	struct dpu_total hits, misses;

	dpu_pipe_settle(dp, pipe, &misses);
	hits = pipe->hits;
	for (struct dp_entry *at = base->entries; at != NULL; at = at->next) {
		hits.packets += dpu_entry(at)->total.packets;
		hits.bytes += dpu_entry(at)->total.bytes;
	}
	fill(stats, &hits, pipe->last_used_ns);
	stats->miss_packets = misses.packets;
	stats->miss_bytes = misses.bytes;
}

void plane_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	const struct dpu_slot *slot = &dp->slots[id];

	for (struct dpu_entry *user = slot->users; user != NULL; user = user->slot_next)
		dpu_entry_settle(dp, user);
	fill(stats, &slot->sealed, slot->last_used_ns);
}

void plane_count(struct psp_dp *dp)
{
	struct dpu_total misses;

	dp_lock(dp);
	for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
		struct dp_pipe *pipe =
			atomic_load_explicit(&dp->base.pipes[i], memory_order_relaxed);

		if (pipe != NULL)
			dpu_pipe_settle(dp, dpu_pipe(pipe), &misses);
	}
	dpu_detours_lost(dp);
	dp_unlock(dp);
}
