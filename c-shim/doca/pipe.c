/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "mark.h"
#include "match.h"

/* A pipe id: generation above, index below. */
#define INDEX_BITS 8u
_Static_assert(DPU_PIPES_MAX == 1u << INDEX_BITS, "the index of a pipe fills its bits");

/*
 * Hardware's tables do not grow. A pipe that expects as many entries as a topology gives to tunnels gets room for all
 * that the configuration allows; others get what they ask for.
 */
#define TUNNELS_FROM 1024u
#define ROOM_MIN 4u

struct dpu_pipe *dpu_pipe_of(struct psp_dp *dp, uint32_t id)
{
	struct dpu_pipe *pipe = dp->pipes[id & (DPU_PIPES_MAX - 1)];

	return pipe != NULL && pipe->id == id ? pipe : NULL;
}

static int32_t check(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, char *what, size_t cap)
{
	const char *wrong = NULL;

	if (desc->size != sizeof(*desc))
		return dpu_fail(dp, PSP_DP_EINVAL,
				"Cannot create pipe: the descriptor has size %u, not %zu",
				desc->size, sizeof(*desc));
	if (desc->name[0] == 0 || memchr(desc->name, 0, sizeof(desc->name)) == NULL)
		return dpu_fail(dp, PSP_DP_EINVAL,
				"Cannot create pipe: it has no name, or one without an end");
	(void)snprintf(what, cap, "Cannot create pipe \"%s\"", desc->name);
	if (desc->type > PSP_DP_PIPE_CONTROL)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no pipe type %u", what,
				desc->type);
	if (desc->domain > PSP_DP_DOMAIN_SECURE_EGRESS)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no domain %u", what, desc->domain);
	if (desc->monitor.size != sizeof(desc->monitor))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: the monitor has size %u, not %zu", what,
				desc->monitor.size, sizeof(desc->monitor));
	/* The mask of a CONTROL pipe is unused, and so is its size. */
	if (desc->type == PSP_DP_PIPE_BASIC && desc->match_mask.size != sizeof(desc->match_mask))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: the match mask has size %u, not %zu", what,
				desc->match_mask.size, sizeof(desc->match_mask));
	if (desc->type == PSP_DP_PIPE_BASIC)
		wrong = dpu_match_check(&desc->match_mask, false);
	if (wrong == NULL && desc->is_root != 0 && desc->type != PSP_DP_PIPE_CONTROL)
		wrong = "in hardware the root is a control pipe";
	if (wrong == NULL && desc->is_root != 0 && desc->domain != PSP_DP_DOMAIN_DEFAULT)
		wrong = "in hardware the root is in the default domain";
	if (wrong != NULL)
		return dpu_fail(dp, PSP_DP_ENOTSUP, "%s: %s", what, wrong);
	return dpu_actions_check(dp, what, &desc->actions);
}

static void count_refs(struct dpu_pipe *pipe, bool add)
{
	struct dpu_pipe *targets[2] = {pipe->fwd.pipe, pipe->fwd_miss.pipe};

	for (uint32_t i = 0; i < 2; i++) {
		if (targets[i] != NULL)
			targets[i]->refs += add ? 1u : UINT32_MAX; /* - 1 */
	}
}

static int32_t pipe_fill(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
			 struct dpu_pipe *pipe)
{
	int32_t status;

	memcpy(pipe->name, desc->name, sizeof(pipe->name));
	pipe->type = desc->type;
	pipe->domain = desc->domain;
	pipe->root = desc->is_root != 0;
	pipe->miss_counter = desc->miss_counter != 0;
	pipe->count = desc->monitor.counter != 0;
	pipe->actions = desc->actions;
	pipe->monitor = desc->monitor;
	if (desc->type == PSP_DP_PIPE_BASIC)
		pipe->mask = desc->match_mask;
	/* Behind decryption a copy is of what is authentic: hardware goes on with the rest as well. */
	pipe->authentic = desc->type == PSP_DP_PIPE_BASIC &&
			  desc->domain == PSP_DP_DOMAIN_SECURE_INGRESS && desc->monitor.mirror != 0;
	if (pipe->authentic)
		pipe->mask.parser_meta_psp_syndrome = UINT8_MAX;
	status = dpu_goto_resolve(dp, what, &desc->fwd, &pipe->fwd);
	if (status == 0)
		status = dpu_goto_resolve(dp, what, &desc->fwd_miss, &pipe->fwd_miss);
	if (status == 0 && pipe->fwd_miss.type == PSP_DP_FWD_NONE)
		status = dpu_fail(dp, PSP_DP_EINVAL, "%s: it does not say where a miss goes", what);
	/* With crypto the samples fix the forward; copies and reports to the CPU change it by entry. */
	pipe->fixed_fwd = pipe->fwd.type != PSP_DP_FWD_NONE && pipe->monitor.mirror == 0 &&
			  pipe->monitor.notify == 0;
	return status;
}

/* An index that is free, or DPU_PIPES_MAX. PSP_DP_EEXIST when the name or the root is there already. */
static int32_t find_place(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
			  uint32_t *index)
{
	*index = DPU_PIPES_MAX;
	for (uint32_t i = DPU_PIPES_MAX; i-- > 0;) {
		if (dp->pipes[i] == NULL)
			*index = i;
		else if (strcmp(dp->pipes[i]->name, desc->name) == 0)
			return dpu_fail(dp, PSP_DP_EEXIST, "%s: a pipe of this name is there",
					what);
	}
	if (*index == DPU_PIPES_MAX)
		return dpu_fail(dp, PSP_DP_ENOSPC, "%s: there are %u pipes already", what,
				DPU_PIPES_MAX);
	if (desc->is_root != 0 && dp->root != NULL)
		return dpu_fail(dp, PSP_DP_EEXIST, "%s: there is a root pipe already", what);
	return 0;
}

/*
 * Released packets come back through the transmit root, which sends them to where they missed; so do those that the
 * CPU has looked at before they are encapsulated.
 */
static int32_t resubmit_up(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	struct psp_dp_match value = {0}, mask = {.meta_pkt_meta = UINT32_MAX};
	const uint16_t ports[2] = {0, 0};
	struct dpu_hw_entry *entry;
	int32_t status;

	if ((pipe->fwd_miss.type != PSP_DP_FWD_RSS || pipe->fwd_miss.target != PSP_DP_RSS_MISS) &&
	    (pipe->actions.flags & PSP_DP_ACTION_ENCAP) == 0)
		return 0;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return dpu_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
				pipe->name);
	value.meta_pkt_meta = dpu_mark(DPU_MARK_RESUBMIT, 0, pipe->id & (DPU_PIPES_MAX - 1));
	dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, ports, &entry->match, &entry->mask);
	entry->to = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = pipe->entrance};
	status = dpu_hw_add(dp, &dp->tx_root, entry, &pipe->resubmit);
	free(entry);
	return status;
}

static void pipe_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	(void)dpu_hw_remove(dp, &dp->tx_root, &pipe->resubmit);
	if (pipe->type == PSP_DP_PIPE_CONTROL)
		dpu_control_down(dp, pipe);
	else
		dpu_legs_down(dp, pipe);
	dpu_taps_free(dp, pipe);
}

static bool is_lost(const struct dpu_pipe *pipe)
{
	bool lost = pipe->resubmit.lost;

	for (uint32_t i = 0; i < 2; i++)
		lost = lost || pipe->catch_all[i].lost || pipe->split_entries[i].lost;
	return lost;
}

static uint32_t room_for(const struct psp_dp *dp, uint32_t expected)
{
	if (expected >= TUNNELS_FROM || expected > dp->config.max_entries)
		return dp->config.max_entries;
	return expected > ROOM_MIN ? expected : ROOM_MIN;
}

static void set_id(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t index)
{
	dp->pipe_generation[index]++;
	if (dp->pipe_generation[index] >> (32u - INDEX_BITS) != 0)
		dp->pipe_generation[index] = 1;
	pipe->id = (dp->pipe_generation[index] << INDEX_BITS) | index;
}

int32_t psp_dp_pipe_create(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, uint32_t *pipe)
{
	char what[80] = "Cannot create pipe";
	struct dpu_pipe *fresh = NULL;
	uint32_t index = 0, room;
	int32_t status;

	if (dp == NULL || desc == NULL || pipe == NULL)
		return PSP_DP_EINVAL;
	*pipe = 0;
	pthread_mutex_lock(&dp->writer);
	status = check(dp, desc, what, sizeof(what));
	if (status == 0)
		status = find_place(dp, what, desc, &index);
	if (status != 0)
		goto out;
	fresh = calloc(1, sizeof(*fresh));
	if (fresh == NULL) {
		status = dpu_fail(dp, PSP_DP_ENOMEM, "%s: out of memory", what);
		goto out;
	}
	status = pipe_fill(dp, what, desc, fresh);
	if (status != 0)
		goto out;
	set_id(dp, fresh, index);
	room = room_for(dp, desc->nr_entries);
	status = desc->type == PSP_DP_PIPE_CONTROL ? dpu_control_up(dp, fresh, room)
						   : dpu_legs_up(dp, fresh, room);
	if (status == 0)
		status = resubmit_up(dp, fresh);
	if (status != 0) {
		pipe_down(dp, fresh);
		goto out;
	}
	count_refs(fresh, true);
	dp->pipes[index] = fresh;
	atomic_store_explicit(&dp->pipe_ids[index], fresh->id, memory_order_release);
	if (fresh->root)
		dp->root = fresh;
	*pipe = fresh->id;
	fresh = NULL;
out:
	if (fresh != NULL)
		dpu_free(dp, fresh, is_lost(fresh));
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_pipe_destroy(struct psp_dp *dp, uint32_t id)
{
	struct dpu_total misses;
	struct dpu_pipe *pipe;
	uint32_t index = id & (DPU_PIPES_MAX - 1);
	int32_t status = 0;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	pipe = dpu_pipe_of(dp, id);
	if (pipe == NULL)
		status = dpu_fail(dp, PSP_DP_ENOENT, "Cannot remove pipe %u: there is none", id);
	else if (pipe->refs != 0)
		status = dpu_fail(dp, PSP_DP_EBUSY,
				  "Cannot remove pipe \"%s\": %u pipes or entries forward to it",
				  pipe->name, pipe->refs);
	while (status == 0 && pipe->entries != NULL)
		status = dpu_entry_unlink(dp, pipe->entries);
	/* Nothing may lead to a pipe that goes. */
	if (status == 0)
		status = dpu_hw_remove(dp, &dp->tx_root, &pipe->resubmit);
	if (status == 0) {
		dpu_pipe_settle(dp, pipe, &misses);
		atomic_store_explicit(&dp->pipe_ids[index], 0, memory_order_release);
		dp_hold_drop_pipe(&dp->hold, id);
		pipe_down(dp, pipe);
		count_refs(pipe, false);
		dp->pipes[index] = NULL;
		if (dp->root == pipe)
			dp->root = NULL;
		dpu_free(dp, pipe, is_lost(pipe));
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

/* At close, when DOCA Flow is down: hardware's part is gone, with all that was in it. */
void dpu_pipes_free(struct psp_dp *dp)
{
	for (uint32_t i = 0; i < DPU_PIPES_MAX; i++) {
		struct dpu_pipe *pipe = dp->pipes[i];

		if (pipe == NULL)
			continue;
		dpu_pipe_forget(dp, pipe);
		free(pipe);
		dp->pipes[i] = NULL;
	}
}
