/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "soft.h"

/* A pipe id: generation above, index below. */
#define INDEX_BITS 8u
_Static_assert(SOFT_PIPES_MAX == 1u << INDEX_BITS, "the index of a pipe fills its bits");

struct soft_pipe *soft_pipe_of(struct psp_dp *dp, uint32_t id)
{
	struct soft_pipe *pipe =
		atomic_load_explicit(&dp->pipes[id & (SOFT_PIPES_MAX - 1)], memory_order_acquire);

	return pipe != NULL && pipe->id == id ? pipe : NULL;
}

struct soft_entry *soft_pipe_find(const struct soft_pipe *pipe, const struct psp_dp_match *fields)
{
	uint64_t words[SOFT_MATCH_WORDS];

	if (pipe->type == PSP_DP_PIPE_CONTROL)
		return soft_list_find(atomic_load_explicit(&pipe->list, memory_order_acquire),
				      fields);
	soft_shape_apply(&pipe->shape, fields, words);
	return soft_table_find(&pipe->table, words, pipe->shape.words);
}

int32_t soft_fwd_resolve(struct psp_dp *dp, const char *what, const struct psp_dp_fwd *fwd,
			 struct soft_fwd *out)
{
	memset(out, 0, sizeof(*out));
	if (fwd->size != sizeof(*fwd))
		return soft_fail(dp, PSP_DP_EINVAL, "%s: the forward has size %u, not %zu", what,
				 fwd->size, sizeof(*fwd));
	out->type = fwd->type;
	switch (fwd->type) {
	case PSP_DP_FWD_NONE:
	case PSP_DP_FWD_DROP:
	case PSP_DP_FWD_KERNEL:
		return 0;
	case PSP_DP_FWD_PORT:
		if (fwd->target > PSP_DP_PORT_HOST)
			return soft_fail(dp, PSP_DP_EINVAL, "%s: there is no port %u", what,
					 fwd->target);
		break;
	case PSP_DP_FWD_RSS:
		if (fwd->target > PSP_DP_RSS_EXCEPTION)
			return soft_fail(dp, PSP_DP_EINVAL, "%s: there is no RSS target %u", what,
					 fwd->target);
		break;
	case PSP_DP_FWD_PIPE:
		out->pipe = soft_pipe_of(dp, fwd->target);
		if (out->pipe == NULL)
			return soft_fail(dp, PSP_DP_EINVAL, "%s: there is no pipe %u to forward to",
					 what, fwd->target);
		break;
	default:
		return soft_fail(dp, PSP_DP_EINVAL, "%s: there is no forward type %u", what,
				 fwd->type);
	}
	out->target = fwd->target;
	return 0;
}

static int32_t check_sizes(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc)
{
	if (desc->monitor.size != sizeof(desc->monitor))
		return soft_fail(dp, PSP_DP_EINVAL, "%s: the monitor has size %u, not %zu", what,
				 desc->monitor.size, sizeof(desc->monitor));
	/* The mask of a CONTROL pipe is unused, and so is its size. */
	if (desc->type == PSP_DP_PIPE_BASIC && desc->match_mask.size != sizeof(desc->match_mask))
		return soft_fail(dp, PSP_DP_EINVAL, "%s: the match mask has size %u, not %zu", what,
				 desc->match_mask.size, sizeof(desc->match_mask));
	return soft_actions_check(dp, what, &desc->actions);
}

static int32_t check(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, char *what, size_t cap)
{
	if (desc->size != sizeof(*desc))
		return soft_fail(dp, PSP_DP_EINVAL,
				 "Cannot create pipe: the descriptor has size %u, not %zu",
				 desc->size, sizeof(*desc));
	if (desc->name[0] == 0 || memchr(desc->name, 0, sizeof(desc->name)) == NULL)
		return soft_fail(dp, PSP_DP_EINVAL,
				 "Cannot create pipe: it has no name, or one without an end");
	(void)snprintf(what, cap, "Cannot create pipe \"%s\"", desc->name);
	if (desc->type > PSP_DP_PIPE_CONTROL)
		return soft_fail(dp, PSP_DP_EINVAL, "%s: there is no pipe type %u", what,
				 desc->type);
	if (desc->domain > PSP_DP_DOMAIN_SECURE_EGRESS)
		return soft_fail(dp, PSP_DP_EINVAL, "%s: there is no domain %u", what,
				 desc->domain);
	return check_sizes(dp, what, desc);
}

static void count_refs(struct soft_pipe *pipe, bool add)
{
	struct soft_pipe *targets[2] = {pipe->fwd.pipe, pipe->fwd_miss.pipe};

	for (uint32_t i = 0; i < 2; i++) {
		if (targets[i] != NULL)
			targets[i]->refs += add ? 1u : UINT32_MAX; /* - 1 */
	}
}

static void pipe_free(struct soft_pipe *pipe)
{
	if (pipe == NULL)
		return;
	soft_table_free(&pipe->table);
	free(atomic_load_explicit(&pipe->list, memory_order_relaxed));
	free(pipe);
}

static int32_t pipe_fill(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
			 struct soft_pipe *pipe)
{
	uint32_t expected = desc->nr_entries;
	uint64_t seed[2];
	int32_t status;

	memcpy(pipe->name, desc->name, sizeof(pipe->name));
	pipe->type = desc->type;
	pipe->miss_counter = desc->miss_counter != 0;
	pipe->count = desc->monitor.counter != 0;
	pipe->actions = desc->actions;
	pipe->monitor = desc->monitor;
	status = soft_fwd_resolve(dp, what, &desc->fwd, &pipe->fwd);
	if (status == 0)
		status = soft_fwd_resolve(dp, what, &desc->fwd_miss, &pipe->fwd_miss);
	if (status != 0)
		return status;
	if (pipe->fwd_miss.type == PSP_DP_FWD_NONE)
		return soft_fail(dp, PSP_DP_EINVAL, "%s: it does not say where a miss goes", what);
	if (pipe->type == PSP_DP_PIPE_CONTROL)
		return 0;
	atomic_store_explicit(&pipe->random, desc->match_mask.parser_meta_random != 0,
			      memory_order_relaxed);
	soft_shape_make(&pipe->shape, &desc->match_mask);
	if (dp_random(seed, sizeof(seed)) != 0)
		return soft_fail(dp, PSP_DP_EIO, "%s: the kernel gives no random octets", what);
	if (expected > dp->config.max_entries)
		expected = dp->config.max_entries;
	status = soft_table_init(&pipe->table, seed, expected);
	return status == 0 ? 0 : soft_fail(dp, status, "%s: out of memory", what);
}

/* An index that is free, or SOFT_PIPES_MAX. PSP_DP_EEXIST when the name or the root is there already. */
static int32_t find_place(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
			  uint32_t *index)
{
	*index = SOFT_PIPES_MAX;
	for (uint32_t i = SOFT_PIPES_MAX; i-- > 0;) {
		const struct soft_pipe *pipe =
			atomic_load_explicit(&dp->pipes[i], memory_order_relaxed);

		if (pipe == NULL)
			*index = i;
		else if (strcmp(pipe->name, desc->name) == 0)
			return soft_fail(dp, PSP_DP_EEXIST, "%s: a pipe of this name is there",
					 what);
	}
	if (*index == SOFT_PIPES_MAX)
		return soft_fail(dp, PSP_DP_ENOSPC, "%s: there are %u pipes already", what,
				 SOFT_PIPES_MAX);
	if (desc->is_root != 0 && atomic_load_explicit(&dp->root, memory_order_relaxed) != NULL)
		return soft_fail(dp, PSP_DP_EEXIST, "%s: there is a root pipe already", what);
	return 0;
}

int32_t psp_dp_pipe_create(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, uint32_t *pipe)
{
	char what[80] = "Cannot create pipe";
	struct soft_pipe *fresh = NULL;
	uint32_t index;
	int32_t status;

	if (dp == NULL || desc == NULL || pipe == NULL)
		return PSP_DP_EINVAL;
	*pipe = 0;
	pthread_mutex_lock(&dp->writer);
	soft_rcu_reclaim(&dp->rcu);
	status = check(dp, desc, what, sizeof(what));
	if (status == 0)
		status = find_place(dp, what, desc, &index);
	if (status != 0)
		goto out;
	fresh = calloc(1, sizeof(*fresh));
	if (fresh == NULL) {
		status = soft_fail(dp, PSP_DP_ENOMEM, "%s: out of memory", what);
		goto out;
	}
	status = pipe_fill(dp, what, desc, fresh);
	if (status != 0)
		goto out;
	dp->pipe_generation[index]++;
	if (dp->pipe_generation[index] >> (32u - INDEX_BITS) != 0)
		dp->pipe_generation[index] = 1;
	fresh->id = (dp->pipe_generation[index] << INDEX_BITS) | index;
	count_refs(fresh, true);
	atomic_store_explicit(&dp->pipes[index], fresh, memory_order_release);
	if (desc->is_root != 0)
		atomic_store_explicit(&dp->root, fresh, memory_order_release);
	*pipe = fresh->id;
	fresh = NULL;
out:
	pipe_free(fresh);
	pthread_mutex_unlock(&dp->writer);
	return status;
}

static void hide(struct psp_dp *dp, const struct soft_pipe *pipe)
{
	if (atomic_load_explicit(&dp->root, memory_order_relaxed) == pipe)
		atomic_store_explicit(&dp->root, NULL, memory_order_release);
	atomic_store_explicit(&dp->pipes[pipe->id & (SOFT_PIPES_MAX - 1)], NULL,
			      memory_order_release);
}

/* No worker is in the pipe or can come to it. */
static void empty(struct psp_dp *dp, struct soft_pipe *pipe)
{
	free(atomic_exchange_explicit(&pipe->list, NULL, memory_order_relaxed));
	while (pipe->entries != NULL)
		(void)soft_entry_unlink(dp, pipe->entries);
	count_refs(pipe, false);
	pipe->fwd.pipe = NULL;
	pipe->fwd_miss.pipe = NULL;
}

int32_t psp_dp_pipe_destroy(struct psp_dp *dp, uint32_t id)
{
	struct soft_pipe *pipe;
	int32_t status = 0;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	pipe = soft_pipe_of(dp, id);
	if (pipe == NULL)
		status = soft_fail(dp, PSP_DP_ENOENT, "Cannot remove pipe %u: there is none", id);
	else if (pipe->refs != 0)
		status = soft_fail(dp, PSP_DP_EBUSY,
				   "Cannot remove pipe \"%s\": %u pipes or entries forward to it",
				   pipe->name, pipe->refs);
	if (status == 0) {
		hide(dp, pipe);
		soft_rcu_wait(&dp->rcu);
		empty(dp, pipe);
		dp_hold_drop_pipe(&dp->hold, id);
		pipe_free(pipe);
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

/* At close: no worker is left. Pipes count on one another, so all are emptied before one is freed. */
void soft_pipes_free(struct psp_dp *dp)
{
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < SOFT_PIPES_MAX; i++) {
			struct soft_pipe *pipe =
				atomic_load_explicit(&dp->pipes[i], memory_order_relaxed);

			if (pipe == NULL)
				continue;
			if (pass == 0) {
				empty(dp, pipe);
			} else {
				hide(dp, pipe);
				pipe_free(pipe);
			}
		}
	}
}
