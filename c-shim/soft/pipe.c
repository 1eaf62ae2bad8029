/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "soft.h"

struct soft_entry *soft_pipe_find(const struct soft_pipe *pipe, const struct psp_dp_match *fields)
{
	uint64_t words[SOFT_MATCH_WORDS];

	if (pipe->base.type == PSP_DP_PIPE_CONTROL)
		return soft_list_find(atomic_load_explicit(&pipe->list, memory_order_acquire),
				      fields);
	soft_shape_apply(&pipe->shape, fields, words);
	return soft_table_find(&pipe->table, words, pipe->shape.words);
}

void soft_stats_read(const struct soft_stats *from, struct psp_dp_stats *to)
{
	to->packets = atomic_load_explicit(&from->packets, memory_order_relaxed);
	to->bytes = atomic_load_explicit(&from->bytes, memory_order_relaxed);
	to->last_used_ns = atomic_load_explicit(&from->last_used_ns, memory_order_relaxed);
}

/* Everything that a descriptor can say. */
int32_t plane_pipe_check(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc)
{
	(void)dp;
	(void)what;
	(void)desc;
	return 0;
}

struct dp_pipe *plane_pipe_alloc(void)
{
	struct soft_pipe *pipe = calloc(1, sizeof(*pipe));

	return pipe != NULL ? &pipe->base : NULL;
}

int32_t plane_pipe_up(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
		      struct dp_pipe *base)
{
	struct soft_pipe *pipe = soft_pipe(base);
	uint32_t expected = desc->nr_entries;
	uint64_t seed[2];
	int32_t status;

	soft_rcu_reclaim(&dp->rcu);
	if (base->type == PSP_DP_PIPE_CONTROL)
		return 0;
	atomic_store_explicit(&pipe->random, desc->match_mask.parser_meta_random != 0,
			      memory_order_relaxed);
	soft_shape_make(&pipe->shape, &desc->match_mask);
	if (dp_random(seed, sizeof(seed)) != 0)
		return dp_fail(dp, PSP_DP_EIO, "%s: the kernel gives no random octets", what);
	if (expected > dp->base.config.max_entries)
		expected = dp->base.config.max_entries;
	status = soft_table_init(&pipe->table, seed, expected);
	return status == 0 ? 0 : dp_fail(dp, status, "%s: out of memory", what);
}

/* No worker is in the pipe or can come to it. */
static void empty(struct psp_dp *dp, struct soft_pipe *pipe)
{
	free(atomic_exchange_explicit(&pipe->list, NULL, memory_order_relaxed));
	while (pipe->base.entries != NULL)
		(void)soft_entry_unlink(dp, soft_entry(pipe->base.entries));
}

int32_t plane_pipe_down(struct psp_dp *dp, struct dp_pipe *pipe)
{
	dp_pipe_hide(dp, pipe);
	soft_rcu_wait(&dp->rcu);
	empty(dp, soft_pipe(pipe));
	return 0;
}

void plane_pipe_free(struct psp_dp *dp, struct dp_pipe *base)
{
	struct soft_pipe *pipe = soft_pipe(base);

	(void)dp;
	soft_table_free(&pipe->table);
	free(atomic_load_explicit(&pipe->list, memory_order_relaxed));
	free(pipe);
}

void plane_pipe_query(struct psp_dp *dp, struct dp_pipe *base, struct psp_dp_stats *stats)
{
	const struct soft_pipe *pipe = soft_pipe(base);

	(void)dp;
	soft_stats_read(&pipe->hits, stats);
	stats->miss_packets = atomic_load_explicit(&pipe->misses.packets, memory_order_relaxed);
	stats->miss_bytes = atomic_load_explicit(&pipe->misses.bytes, memory_order_relaxed);
}

/* At close: no worker is left. Pipes count on one another, so all are emptied before one is freed. */
void soft_pipes_free(struct psp_dp *dp)
{
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
			struct dp_pipe *pipe =
				atomic_load_explicit(&dp->base.pipes[i], memory_order_relaxed);

			if (pipe == NULL)
				continue;
			if (pass == 0) {
				empty(dp, soft_pipe(pipe));
			} else {
				dp_pipe_hide(dp, pipe);
				plane_pipe_free(dp, pipe);
			}
		}
	}
}
