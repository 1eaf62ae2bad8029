/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipe.c: pipes and their entries: how an entry is made, published to the workers, updated and taken out again, and what that
 * says to the trails of cache.h.
 */
#include <stdlib.h>
#include <string.h>

#include "../common/net.h"
#include "soft.h"

/* ---- reaches --------------------------------------------------------------------------------- */

/* After a change was published, and before what it replaces is freed: no trail of before is followed any more. */
static void end_trails(struct psp_dp *dp)
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
static void publish_reach(struct psp_dp *dp, struct soft_pipe *pipe)
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
	end_trails(dp);
	if (old != NULL)
		soft_rcu_defer(&dp->rcu, &old->rcu, reach_free);
}

/* The pipe has grown, and with it those that lead to it. It may not be among the plane's yet. */
static void spread(struct psp_dp *dp, struct soft_pipe *grown)
{
	bool more = true;

	(void)take_next(dp, grown);
	publish_reach(dp, grown);
	while (more) {
		more = false;
		for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
			struct soft_pipe *pipe = pipe_at(dp, i);

			if (pipe == NULL || !take_next(dp, pipe))
				continue;
			publish_reach(dp, pipe);
			more = true;
		}
	}
}

/*
 * Before it is published: a pipe's entries are found by a mask (NULL: says nothing new), and packets go on from it to
 * another pipe (`to`; a rule's or a miss's) with the same fields.
 */
static void reach_grow(struct psp_dp *dp, struct soft_pipe *pipe, const struct psp_dp_match *mask,
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

/* A pipe is about to have this index, and nothing forwards to it yet: what the index said before is of one that has gone. */
static void reach_forget(struct psp_dp *dp, uint32_t index)
{
	for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
		struct soft_pipe *pipe = pipe_at(dp, i);

		if (pipe != NULL)
			pipe->looks.next[index / 64] &= ~(UINT64_C(1) << index % 64);
	}
}

/* As reach_grow(), for what a rule does. */
static void reach_rule(struct psp_dp *dp, struct soft_pipe *pipe, const struct psp_dp_match *mask,
		       const struct soft_rule *rule)
{
	const bool keeps = (rule->flags & SOFT_CHANGES_FIELDS) == 0;
	const bool leads = keeps && rule->fwd.type == PSP_DP_FWD_PIPE;

	if (leads && !pipe->looks.leads) {
		pipe->looks.leads = true;
		publish_reach(dp, pipe);
	}
	reach_grow(dp, pipe, mask, keeps ? &rule->fwd : NULL);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void rule_due(struct soft_rcu_head *head)
{
	psp_slab_give((char *)head - offsetof(struct soft_rule, rcu));
}

static void entry_free(struct soft_entry *entry)
{
	if (entry == NULL)
		return;
	psp_slab_give(atomic_load_explicit(&entry->rule, memory_order_relaxed));
	free(entry->shape);
	soft_replay_free(&entry->replay);
	psp_slab_give(entry);
}

static void entry_due(struct soft_rcu_head *head)
{
	entry_free((struct soft_entry *)((char *)head - offsetof(struct soft_entry, rcu)));
}

/* Space for a match compiled by `shape`; CONTROL entries keep the shape. */
static struct soft_entry *entry_new(struct psp_dp *dp, struct soft_pipe *pipe,
				    const struct psp_dp_entry_desc *desc)
{
	bool control = pipe->base.type == PSP_DP_PIPE_CONTROL;
	struct soft_shape shape = pipe->shape;
	uint64_t words[SOFT_MATCH_WORDS];
	struct soft_entry *entry;

	if (control)
		soft_shape_make(&shape, &desc->match_mask);
	soft_shape_apply(&shape, &desc->match, words);
	entry = psp_slab_take(&dp->entries[(sizeof(*entry) + shape.words * sizeof(words[0]) - 1) /
					   PSP_PAGES_LINE]);
	if (entry == NULL)
		return NULL;
	entry->base.pipe = &pipe->base;
	entry->base.priority = desc->priority;
	memcpy(entry->words, words, shape.words * sizeof(words[0]));
	if (!control) {
		entry->hash = soft_table_hash(&pipe->table, words, shape.words);
		return entry;
	}
	entry->shape = malloc(sizeof(shape));
	if (entry->shape == NULL) {
		psp_slab_give(entry);
		return NULL;
	}
	*entry->shape = shape;
	if (desc->match_mask.parser_meta_random != 0)
		atomic_store_explicit(&pipe->random, true, memory_order_relaxed);
	return entry;
}

static bool same_match(const struct soft_entry *a, const struct soft_entry *b)
{
	return a->base.priority == b->base.priority &&
	       memcmp(a->shape, b->shape, sizeof(*a->shape)) == 0 &&
	       memcmp(a->words, b->words, a->shape->words * sizeof(a->words[0])) == 0;
}

static bool is_there(const struct soft_pipe *pipe, const struct soft_entry *entry)
{
	const struct soft_list *list;

	if (pipe->base.type == PSP_DP_PIPE_BASIC)
		return soft_table_find(&pipe->table, entry->words, pipe->shape.words) != NULL;
	list = atomic_load_explicit(&pipe->list, memory_order_relaxed);
	for (uint32_t i = 0; list != NULL && i < list->n; i++) {
		if (same_match(list->entries[i], entry))
			return true;
	}
	return false;
}

static void list_free(struct soft_rcu_head *head)
{
	free(head);
}

static int32_t list_swap(struct psp_dp *dp, struct soft_pipe *pipe, struct soft_list *fresh)
{
	struct soft_list *old;

	if (fresh == NULL)
		return PSP_DP_ENOMEM;
	old = atomic_exchange_explicit(&pipe->list, fresh, memory_order_acq_rel);
	if (old != NULL)
		soft_rcu_defer(&dp->rcu, &old->rcu, list_free);
	return 0;
}

static int32_t publish(struct psp_dp *dp, struct soft_pipe *pipe, struct soft_entry *entry)
{
	if (pipe->base.type == PSP_DP_PIPE_BASIC)
		return soft_table_add(&pipe->table, &dp->rcu, entry);
	return list_swap(
		dp, pipe,
		soft_list_with(atomic_load_explicit(&pipe->list, memory_order_relaxed), entry));
}

/* Unpublishes. PSP_DP_ENOMEM leaves it as it was (CONTROL only). */
static int32_t entry_hide(struct psp_dp *dp, struct soft_entry *entry)
{
	const struct soft_rule *rule = atomic_load_explicit(&entry->rule, memory_order_relaxed);
	struct soft_pipe *pipe = soft_pipe(entry->base.pipe);

	if (pipe->base.type == PSP_DP_PIPE_BASIC) {
		soft_table_remove(&pipe->table, entry);
	} else {
		/* No list: the pipe is going, with all that was in it. */
		struct soft_list *list = atomic_load_explicit(&pipe->list, memory_order_relaxed);

		if (list != NULL && list_swap(dp, pipe, soft_list_without(list, entry)) != 0)
			return PSP_DP_ENOMEM;
	}
	end_trails(dp);
	dp_entry_unlink(&entry->base, &rule->fwd);
	dp_entry_unname(dp, &entry->base);
	return 0;
}

/* The same, and defers the free. */
static int32_t entry_unlink(struct psp_dp *dp, struct soft_entry *entry)
{
	int32_t status = entry_hide(dp, entry);

	if (status == 0)
		soft_rcu_defer(&dp->rcu, &entry->rcu, entry_due);
	return status;
}

/* The window of an entry whose rule checks for replays. */
static int32_t window_fill(struct psp_dp *dp, const char *what, struct soft_entry *entry,
			   const struct psp_dp_actions *actions)
{
	if ((actions->flags & PSP_DP_ACTION_CHECK_REPLAY) == 0)
		return 0;
	if (entry->replay.slots == NULL &&
	    !soft_replay_make(&dp->replays, &entry->replay, actions->replay_window))
		return dp_fail(dp, PSP_DP_ENOMEM, "%s: out of memory", what);
	if (entry->replay.size != actions->replay_window)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: its replay_window is %u, and stays so", what,
			       entry->replay.size);
	return 0;
}

/* In as many octets as it needs. NULL: out of memory. */
static struct soft_rule *rule_compact(struct psp_dp *dp, const struct dp_rule *whole,
				      const struct soft_entry *entry)
{
	const struct psp_dp_actions *actions = &whole->actions;
	const bool encaps = (actions->flags & PSP_DP_ACTION_ENCAP) != 0;
	const size_t octets =
		offsetof(struct soft_rule, encap) + (encaps ? soft_encap_octets(actions) : 0u);
	struct soft_rule *rule = psp_slab_take(&dp->rules[(octets - 1) / SOFT_RULE_GRAIN]);

	if (rule == NULL)
		return NULL;
	rule->fwd = whole->fwd;
	rule->flags = actions->flags;
	rule->crypto_id = actions->crypto_id;
	rule->pkt_meta = actions->pkt_meta;
	rule->count = whole->count;
	rule->mirror = whole->mirror;
	rule->notify = whole->notify;
	rule->strip = soft_strip_of(actions);
	if ((actions->flags & PSP_DP_ACTION_CHECK_REPLAY) != 0)
		rule->replay = entry->replay;
	if (encaps)
		soft_encap_make(&rule->encap, actions);
	return rule;
}

static int32_t rule_new(struct psp_dp *dp, const struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct soft_entry *entry,
			struct soft_rule **out)
{
	struct dp_rule whole = {.count = false};
	char what[DP_WHAT_LEN];
	int32_t status;

	dp_rule_what(pipe, what);
	status = dp_rule_actions(dp, what, pipe, desc, &whole);
	if (status == 0)
		status = window_fill(dp, what, entry, &whole.actions);
	if (status == 0)
		status = dp_rule_forward(dp, what, pipe, desc, &whole);
	if (status != 0)
		return status;
	*out = rule_compact(dp, &whole, entry);
	return *out != NULL ? 0 : dp_fail(dp, PSP_DP_ENOMEM, "%s: out of memory", what);
}

int32_t plane_entry_add(struct psp_dp *dp, struct dp_pipe *base,
			const struct psp_dp_entry_desc *desc, struct dp_entry **out)
{
	struct soft_pipe *pipe = soft_pipe(base);
	struct soft_rule *rule = NULL;
	struct soft_entry *entry;
	int32_t status;

	soft_rcu_reclaim(&dp->rcu);
	entry = entry_new(dp, pipe, desc);
	if (entry == NULL)
		return dp_entry_no_memory(dp, base);
	status = rule_new(dp, base, desc, entry, &rule);
	if (status != 0)
		goto out;
	if (is_there(pipe, entry)) {
		status = dp_entry_is_there(dp, base);
		goto out;
	}
	status = dp_entry_name(dp, &entry->base);
	if (status != 0)
		goto out;
	atomic_store_explicit(&entry->rule, rule, memory_order_relaxed);
	reach_rule(dp, pipe, base->type == PSP_DP_PIPE_CONTROL ? &desc->match_mask : NULL, rule);
	if (publish(dp, pipe, entry) != 0) {
		atomic_store_explicit(&entry->rule, NULL, memory_order_relaxed);
		dp_entry_unname(dp, &entry->base);
		status = dp_entry_no_memory(dp, base);
		goto out;
	}
	end_trails(dp);
	dp_entry_link(&entry->base, &rule->fwd);
	*out = &entry->base;
	entry = NULL;
	rule = NULL;
out:
	entry_free(entry);
	psp_slab_give(rule);
	return status;
}

int32_t plane_entry_update(struct psp_dp *dp, struct dp_entry *base,
			   const struct psp_dp_entry_desc *desc)
{
	struct soft_entry *entry = soft_entry(base);
	struct soft_rule *rule = NULL, *old;
	int32_t status;

	soft_rcu_reclaim(&dp->rcu);
	status = rule_new(dp, base->pipe, desc, entry, &rule);
	if (status != 0)
		return status;
	reach_rule(dp, soft_pipe(base->pipe), NULL, rule);
	old = atomic_exchange_explicit(&entry->rule, rule, memory_order_acq_rel);
	end_trails(dp);
	dp_entry_forward(&old->fwd, &rule->fwd);
	soft_rcu_defer(&dp->rcu, &old->rcu, rule_due);
	return 0;
}

static int32_t cannot_remove(struct psp_dp *dp, uint32_t id)
{
	return dp_fail(dp, PSP_DP_ENOMEM, "Cannot remove entry %u: out of memory", id);
}

int32_t plane_entry_remove(struct psp_dp *dp, struct dp_entry *entry)
{
	uint32_t id = entry->id;

	soft_rcu_reclaim(&dp->rcu);
	return entry_unlink(dp, soft_entry(entry)) == 0 ? 0 : cannot_remove(dp, id);
}

void plane_entries_add(struct psp_dp *dp, struct dp_adding *items, uint32_t n,
		       struct dp_first *first)
{
	for (uint32_t i = 0; i < n; i++) {
		items[i].status =
			plane_entry_add(dp, items[i].pipe, items[i].desc, &items[i].entry);
		dp_first_note(dp, first, items[i].rank, items[i].status);
	}
}

void plane_entries_update(struct psp_dp *dp, struct dp_updating *items, uint32_t n,
			  struct dp_first *first)
{
	for (uint32_t i = 0; i < n; i++) {
		items[i].status = plane_entry_update(dp, items[i].entry, items[i].desc);
		dp_first_note(dp, first, items[i].rank, items[i].status);
	}
}

void plane_entries_take(struct psp_dp *dp, struct dp_taking *items, uint32_t n,
			struct dp_first *first)
{
	for (uint32_t i = 0; i < n; i++) {
		struct soft_entry *entry = soft_entry(items[i].entry);

		items[i].status =
			entry_hide(dp, entry) == 0 ? 0 : cannot_remove(dp, items[i].entry->id);
		if (items[i].status == 0)
			dp->taken[dp->n_taken++] =
				(struct soft_taken){.entry = entry, .last = items[i].last};
		dp_first_note(dp, first, items[i].rank, items[i].status);
	}
}

/* Tells what it has counted and frees it. No worker has it any more. */
static void entry_end(struct soft_entry *entry, struct psp_dp_stats *last)
{
	soft_stats_read(&entry->stats, last);
	entry_free(entry);
}

void plane_settle(struct psp_dp *dp)
{
	if (dp->n_taken == 0)
		return;
	soft_rcu_wait(&dp->rcu);
	for (uint32_t i = 0; i < dp->n_taken; i++) {
		const struct soft_taken *taken = &dp->taken[i];

		if (taken->entry != NULL)
			entry_end(taken->entry, taken->last);
		else
			soft_slot_end(taken->slot, taken->last);
	}
	dp->n_taken = 0;
}

void plane_entry_query(struct psp_dp *dp, struct dp_entry *entry, struct psp_dp_stats *stats)
{
	(void)dp;
	soft_stats_read(&soft_entry(entry)->stats, stats);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

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
	reach_forget(dp, dp_pipe_index(base->id));
	pipe->looks.leads = base->type == PSP_DP_PIPE_CONTROL;
	reach_grow(dp, pipe, base->type == PSP_DP_PIPE_BASIC ? &desc->match_mask : NULL,
		   &base->fwd_miss);
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
		(void)entry_unlink(dp, soft_entry(pipe->base.entries));
}

int32_t plane_pipe_down(struct psp_dp *dp, struct dp_pipe *pipe)
{
	dp_pipe_hide(dp, pipe);
	end_trails(dp);
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
	free(atomic_load_explicit(&pipe->reach, memory_order_relaxed));
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
