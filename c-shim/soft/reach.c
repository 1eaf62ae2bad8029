/* SPDX-License-Identifier: Apache-2.0 */
/* reach.c: what the pipes behind a pipe look at, kept as pipes and rules come. */
#include "reach.h"

#include <stdlib.h>
#include <string.h>

#include "soft.h"

void soft_cache_end_all(struct psp_dp *dp)
{
	atomic_fetch_add_explicit(&dp->cache_generation, 1, memory_order_acq_rel);
}

/* True: it did not have all of them. */
static bool take_bits(uint64_t *to, const uint64_t *from, uint32_t n)
{
	bool grown = false;

	for (uint32_t i = 0; i < n; i++) {
		grown |= (from[i] & ~to[i]) != 0;
		to[i] |= from[i];
	}
	return grown;
}

static struct soft_pipe *pipe_at(const struct psp_dp *dp, uint32_t index)
{
	return soft_pipe(atomic_load_explicit(&dp->base.pipes[index], memory_order_relaxed));
}

/* What the pipes behind it look at, it looks at too. True: that was more than before. */
static bool take_next(const struct psp_dp *dp, struct soft_pipe *pipe)
{
	struct soft_looks *looks = &pipe->looks;
	bool grown = take_bits(looks->all, looks->own, SOFT_MATCH_WORDS);

	for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
		const struct soft_pipe *next =
			(looks->next[i / 64] >> i % 64 & 1u) != 0 ? pipe_at(dp, i) : NULL;

		if (next != NULL && next != pipe)
			grown |= take_bits(looks->all, next->looks.all, SOFT_MATCH_WORDS);
	}
	return grown;
}

static void reach_free(struct soft_rcu_head *head)
{
	free(head);
}

/* Without memory for a reach there are no trails from the pipe. */
static void publish(struct psp_dp *dp, struct soft_pipe *pipe)
{
	struct soft_reach *fresh = calloc(1, sizeof(*fresh)), *old;
	struct psp_dp_match mask;

	if (fresh != NULL) {
		memset(&mask, 0, sizeof(mask));
		memcpy(&mask, pipe->looks.all, sizeof(pipe->looks.all));
		soft_shape_make(&fresh->shape, &mask);
		fresh->leads = pipe->looks.leads;
	}
	old = atomic_exchange_explicit(&pipe->reach, fresh, memory_order_acq_rel);
	/* Trails are told apart by where they start: no other reach may come to lie there before they have ended. */
	soft_cache_end_all(dp);
	if (old != NULL)
		soft_rcu_defer(&dp->rcu, &old->rcu, reach_free);
}

/* The pipe has grown, and with it those that lead to it. It may not be among the plane's yet. */
static void spread(struct psp_dp *dp, struct soft_pipe *grown)
{
	bool more = true;

	(void)take_next(dp, grown);
	publish(dp, grown);
	while (more) {
		more = false;
		for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
			struct soft_pipe *pipe = pipe_at(dp, i);

			if (pipe == NULL || !take_next(dp, pipe))
				continue;
			publish(dp, pipe);
			more = true;
		}
	}
}

void soft_reach_grow(struct psp_dp *dp, struct soft_pipe *pipe, const struct psp_dp_match *mask,
		     const struct dp_fwd *to)
{
	struct soft_looks *looks = &pipe->looks;
	uint64_t words[SOFT_MATCH_WORDS], next[DP_PIPES_MAX / 64] = {0};
	struct psp_dp_match fields;
	bool grown = atomic_load_explicit(&pipe->reach, memory_order_relaxed) == NULL;

	if (mask != NULL) {
		fields = *mask;
		fields.size = 0;               /* is no part of a packet */
		fields.parser_meta_random = 0; /* drawn, not found */
		memcpy(words, &fields, sizeof(words));
		grown |= take_bits(looks->own, words, SOFT_MATCH_WORDS);
	}
	if (to != NULL && to->type == PSP_DP_FWD_PIPE) {
		const uint32_t index = dp_pipe_index(to->pipe->id);

		next[index / 64] |= UINT64_C(1) << index % 64;
		grown |= take_bits(looks->next, next, DP_PIPES_MAX / 64);
	}
	if (grown)
		spread(dp, pipe);
}

void soft_reach_forget(struct psp_dp *dp, uint32_t index)
{
	for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
		struct soft_pipe *pipe = pipe_at(dp, i);

		if (pipe != NULL)
			pipe->looks.next[index / 64] &= ~(UINT64_C(1) << index % 64);
	}
}

void soft_reach_rule(struct psp_dp *dp, struct soft_pipe *pipe, const struct psp_dp_match *mask,
		     const struct soft_rule *rule)
{
	const bool keeps = (rule->flags & SOFT_CHANGES_FIELDS) == 0;
	const bool leads = keeps && rule->fwd.type == PSP_DP_FWD_PIPE;

	if (leads && !pipe->looks.leads) {
		pipe->looks.leads = true;
		publish(dp, pipe);
	}
	soft_reach_grow(dp, pipe, mask, keeps ? &rule->fwd : NULL);
}
