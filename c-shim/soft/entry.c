/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "soft.h"

static void rule_free(struct soft_rcu_head *head)
{
	free(head);
}

static void entry_free(struct soft_entry *entry)
{
	if (entry == NULL)
		return;
	free(atomic_load_explicit(&entry->rule, memory_order_relaxed));
	free(entry->shape);
	free(entry);
}

static void entry_due(struct soft_rcu_head *head)
{
	entry_free((struct soft_entry *)head);
}

/* Space for a match compiled by `shape`; CONTROL entries keep the shape. */
static struct soft_entry *entry_new(struct soft_pipe *pipe, const struct psp_dp_entry_desc *desc)
{
	bool control = pipe->type == PSP_DP_PIPE_CONTROL;
	struct soft_shape shape = pipe->shape;
	uint64_t words[SOFT_MATCH_WORDS];
	struct soft_entry *entry;

	if (control)
		soft_shape_make(&shape, &desc->match_mask);
	soft_shape_apply(&shape, &desc->match, words);
	entry = calloc(1, sizeof(*entry) + shape.words * sizeof(words[0]));
	if (entry == NULL)
		return NULL;
	entry->pipe = pipe;
	entry->priority = desc->priority;
	memcpy(entry->words, words, shape.words * sizeof(words[0]));
	if (!control) {
		entry->hash = soft_table_hash(&pipe->table, words, shape.words);
		return entry;
	}
	entry->shape = malloc(sizeof(shape));
	if (entry->shape == NULL) {
		free(entry);
		return NULL;
	}
	*entry->shape = shape;
	if (desc->match_mask.parser_meta_random != 0)
		atomic_store_explicit(&pipe->random, true, memory_order_relaxed);
	return entry;
}

static bool same_match(const struct soft_entry *a, const struct soft_entry *b)
{
	return a->priority == b->priority && memcmp(a->shape, b->shape, sizeof(*a->shape)) == 0 &&
	       memcmp(a->words, b->words, a->shape->words * sizeof(a->words[0])) == 0;
}

static bool is_there(const struct soft_pipe *pipe, const struct soft_entry *entry)
{
	const struct soft_list *list;

	if (pipe->type == PSP_DP_PIPE_BASIC)
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
	if (pipe->type == PSP_DP_PIPE_BASIC)
		return soft_table_add(&pipe->table, &dp->rcu, entry);
	return list_swap(
		dp, pipe,
		soft_list_with(atomic_load_explicit(&pipe->list, memory_order_relaxed), entry));
}

static void link_entry(struct soft_pipe *pipe, struct soft_entry *entry)
{
	const struct soft_rule *rule = atomic_load_explicit(&entry->rule, memory_order_relaxed);

	entry->next = pipe->entries;
	if (pipe->entries != NULL)
		pipe->entries->prev = entry;
	pipe->entries = entry;
	pipe->n_entries++;
	if (rule->fwd.pipe != NULL)
		rule->fwd.pipe->refs++;
}

int32_t soft_entry_unlink(struct psp_dp *dp, struct soft_entry *entry)
{
	const struct soft_rule *rule = atomic_load_explicit(&entry->rule, memory_order_relaxed);
	struct soft_pipe *pipe = entry->pipe;

	if (pipe->type == PSP_DP_PIPE_BASIC) {
		soft_table_remove(&pipe->table, entry);
	} else {
		/* No list: the pipe is going, with all that was in it. */
		struct soft_list *list = atomic_load_explicit(&pipe->list, memory_order_relaxed);

		if (list != NULL && list_swap(dp, pipe, soft_list_without(list, entry)) != 0)
			return PSP_DP_ENOMEM;
	}
	if (entry->prev != NULL)
		entry->prev->next = entry->next;
	else
		pipe->entries = entry->next;
	if (entry->next != NULL)
		entry->next->prev = entry->prev;
	pipe->n_entries--;
	if (rule->fwd.pipe != NULL)
		rule->fwd.pipe->refs--;
	soft_handle_give(&dp->handles, entry->id);
	soft_rcu_defer(&dp->rcu, &entry->rcu, entry_due);
	return 0;
}

static int32_t check(struct psp_dp *dp, const struct soft_pipe *pipe,
		     const struct psp_dp_entry_desc *desc)
{
	if (desc->size != sizeof(*desc))
		return soft_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": the descriptor has size %u, not %zu",
			pipe->name, desc->size, sizeof(*desc));
	if (desc->match.size != sizeof(desc->match) ||
	    (pipe->type == PSP_DP_PIPE_CONTROL &&
	     desc->match_mask.size != sizeof(desc->match_mask)))
		return soft_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": match or mask has a size that is not %zu",
			pipe->name, sizeof(desc->match));
	return 0;
}

int32_t psp_dp_entry_add(struct psp_dp *dp, uint32_t pipe_id, const struct psp_dp_entry_desc *desc,
			 uint32_t *out)
{
	struct soft_entry *entry = NULL;
	struct soft_rule *rule = NULL;
	struct soft_pipe *pipe;
	int32_t status;

	if (dp == NULL || desc == NULL || out == NULL)
		return PSP_DP_EINVAL;
	*out = 0;
	pthread_mutex_lock(&dp->writer);
	soft_rcu_reclaim(&dp->rcu);
	pipe = soft_pipe_of(dp, pipe_id);
	if (pipe == NULL) {
		status = soft_fail(dp, PSP_DP_ENOENT, "Cannot add entry to pipe %u: there is none",
				   pipe_id);
		goto out;
	}
	status = check(dp, pipe, desc);
	if (status != 0)
		goto out;
	rule = calloc(1, sizeof(*rule));
	entry = entry_new(pipe, desc);
	if (rule == NULL || entry == NULL) {
		status = soft_fail(dp, PSP_DP_ENOMEM,
				   "Cannot add entry to pipe \"%s\": out of memory", pipe->name);
		goto out;
	}
	status = soft_rule_fill(dp, pipe, desc, rule);
	if (status != 0)
		goto out;
	if (is_there(pipe, entry)) {
		status = soft_fail(dp, PSP_DP_EEXIST,
				   "Cannot add entry to pipe \"%s\": one with this match is there",
				   pipe->name);
		goto out;
	}
	atomic_store_explicit(&entry->rule, rule, memory_order_relaxed);
	rule = NULL;
	entry->id = soft_handle_take(&dp->handles, entry);
	if (entry->id == 0) {
		status = soft_fail(dp, PSP_DP_ENOSPC,
				   "Cannot add entry to pipe \"%s\": there are %u entries already",
				   pipe->name, dp->handles.used);
		goto out;
	}
	status = publish(dp, pipe, entry);
	if (status != 0) {
		soft_handle_give(&dp->handles, entry->id);
		status = soft_fail(dp, status, "Cannot add entry to pipe \"%s\": out of memory",
				   pipe->name);
		goto out;
	}
	link_entry(pipe, entry);
	*out = entry->id;
	entry = NULL;
out:
	entry_free(entry);
	free(rule);
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_entry_update(struct psp_dp *dp, uint32_t id, const struct psp_dp_entry_desc *desc)
{
	struct soft_entry *entry;
	struct soft_rule *rule = NULL, *old;
	int32_t status;

	if (dp == NULL || desc == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	soft_rcu_reclaim(&dp->rcu);
	entry = soft_handle_entry(&dp->handles, id);
	if (entry == NULL) {
		status = soft_fail(dp, PSP_DP_ENOENT, "Cannot update entry %u: there is none", id);
		goto out;
	}
	status = check(dp, entry->pipe, desc);
	if (status != 0)
		goto out;
	rule = calloc(1, sizeof(*rule));
	if (rule == NULL) {
		status = soft_fail(dp, PSP_DP_ENOMEM, "Cannot update entry %u: out of memory", id);
		goto out;
	}
	status = soft_rule_fill(dp, entry->pipe, desc, rule);
	if (status != 0)
		goto out;
	old = atomic_exchange_explicit(&entry->rule, rule, memory_order_acq_rel);
	if (rule->fwd.pipe != NULL)
		rule->fwd.pipe->refs++;
	if (old->fwd.pipe != NULL)
		old->fwd.pipe->refs--;
	rule = NULL;
	soft_rcu_defer(&dp->rcu, &old->rcu, rule_free);
out:
	free(rule);
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_entry_remove(struct psp_dp *dp, uint32_t id)
{
	struct soft_entry *entry;
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	soft_rcu_reclaim(&dp->rcu);
	entry = soft_handle_entry(&dp->handles, id);
	if (entry == NULL) {
		status = soft_fail(dp, PSP_DP_ENOENT, "Cannot remove entry %u: there is none", id);
	} else {
		status = soft_entry_unlink(dp, entry);
		if (status != 0)
			status = soft_fail(dp, status, "Cannot remove entry %u: out of memory", id);
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}
