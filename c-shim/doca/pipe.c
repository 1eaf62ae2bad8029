/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "dpu.h"
#include "mark.h"
#include "match.h"

/*
 * Hardware's tables do not grow. A pipe that expects as many entries as a topology gives to tunnels gets room for all
 * that the configuration allows; others get what they ask for.
 */
#define TUNNELS_FROM 1024u
#define ROOM_MIN 4u

int32_t plane_pipe_check(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc)
{
	const char *wrong = NULL;

	if (desc->type == PSP_DP_PIPE_BASIC)
		wrong = dpu_match_check(&desc->match_mask, false);
	if (wrong == NULL && desc->is_root != 0 && desc->type != PSP_DP_PIPE_CONTROL)
		wrong = "in hardware the root is a control pipe";
	if (wrong == NULL && desc->is_root != 0 && desc->domain != PSP_DP_DOMAIN_DEFAULT)
		wrong = "in hardware the root is in the default domain";
	return wrong == NULL ? 0 : dp_fail(dp, PSP_DP_ENOTSUP, "%s: %s", what, wrong);
}

struct dp_pipe *plane_pipe_alloc(void)
{
	struct dpu_pipe *pipe = calloc(1, sizeof(*pipe));

	return pipe != NULL ? &pipe->base : NULL;
}

/*
 * Released packets come back through the transmit root, which sends them to where they missed; so do those that the
 * CPU has looked at before they are encapsulated.
 */
static int32_t resubmit_up(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	const uint32_t n = dpu_has_tags(dp) ? dp->n_ports - DPU_HOST : 1;
	struct psp_dp_match value = {0}, mask = {.meta_pkt_meta = UINT32_MAX};
	struct dpu_hw_entry *entry;
	int32_t status = 0;

	if ((pipe->base.fwd_miss.type != PSP_DP_FWD_RSS ||
	     pipe->base.fwd_miss.target != PSP_DP_RSS_MISS) &&
	    (pipe->base.actions.flags & PSP_DP_ACTION_ENCAP) == 0)
		return 0;
	entry = calloc(1, sizeof(*entry));
	pipe->resubmits = calloc(n, sizeof(*pipe->resubmits));
	if (entry == NULL || pipe->resubmits == NULL) {
		free(entry);
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	}
	for (uint32_t i = 0; status == 0 && i < n; i++) {
		value.meta_pkt_meta =
			dpu_mark(DPU_MARK_RESUBMIT, i + DPU_HOST, dp_pipe_index(pipe->base.id));
		dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, NULL, &entry->match, &entry->mask);
		if (dpu_has_tags(dp))
			dpu_tag_acts(i + DPU_HOST, &entry->acts);
		entry->to = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = pipe->entrance};
		status = dpu_hw_add(dp, &dp->tx_root, entry, &pipe->resubmits[i]);
	}
	free(entry);
	return status;
}

/* The first that will not go; the others have gone. */
static int32_t resubmit_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	const uint32_t n = dpu_has_tags(dp) ? dp->n_ports - DPU_HOST : 1;
	int32_t status = 0;

	for (uint32_t i = 0; status == 0 && pipe->resubmits != NULL && i < n; i++)
		status = dpu_hw_remove(dp, &dp->tx_root, &pipe->resubmits[i]);
	return status;
}

static void resubmit_forget(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	const uint32_t n = dpu_has_tags(dp) ? dp->n_ports - DPU_HOST : 1;
	bool lost = false;

	for (uint32_t i = 0; pipe->resubmits != NULL && i < n; i++)
		lost = lost || pipe->resubmits[i].lost;
	dpu_free(dp, pipe->resubmits, lost);
	pipe->resubmits = NULL;
}

static void pipe_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	(void)resubmit_down(dp, pipe);
	resubmit_forget(dp, pipe);
	if (pipe->base.type == PSP_DP_PIPE_CONTROL)
		dpu_control_down(dp, pipe);
	else
		dpu_legs_down(dp, pipe);
	dpu_tags_free(dp, pipe);
	dpu_taps_free(dp, pipe);
}

static bool is_lost(const struct dpu_pipe *pipe)
{
	return pipe->split_entries[0].lost || pipe->split_entries[1].lost;
}

static uint32_t room_for(const struct psp_dp *dp, uint32_t expected)
{
	if (expected >= TUNNELS_FROM || expected > dp->base.config.max_entries)
		return dp->base.config.max_entries;
	return expected > ROOM_MIN ? expected : ROOM_MIN;
}

int32_t plane_pipe_up(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
		      struct dp_pipe *base)
{
	struct dpu_pipe *pipe = dpu_pipe(base);
	uint32_t room = room_for(dp, desc->nr_entries);
	int32_t status;

	(void)what;
	pipe->domain = desc->domain;
	/* No sample of 3.x encapsulates in the egress domain; what a topology does after it stays there. */
	if ((desc->actions.flags & PSP_DP_ACTION_ENCAP) != 0)
		pipe->domain = PSP_DP_DOMAIN_SECURE_EGRESS;
	pipe->root = desc->is_root != 0;
	if (desc->type == PSP_DP_PIPE_BASIC)
		pipe->mask = desc->match_mask;
	/* Behind decryption a copy is of what is authentic: hardware goes on with the rest as well. */
	pipe->authentic = desc->type == PSP_DP_PIPE_BASIC &&
			  desc->domain == PSP_DP_DOMAIN_SECURE_INGRESS && desc->monitor.mirror != 0;
	if (pipe->authentic)
		pipe->mask.parser_meta_psp_syndrome = UINT8_MAX;
	/* Hardware decapsulates without a look at it, so what does not match does not get there. */
	pipe->offset = desc->type == PSP_DP_PIPE_BASIC &&
		       (desc->actions.flags & PSP_DP_ACTION_CHECK_CRYPT_OFFSET) != 0;
	if (pipe->offset)
		pipe->mask.tun_psp_res_cryptofst = PSP_CRYPT_OFFSET_MASK;
	/* With crypto the samples fix the forward; copies and reports to the CPU change it by entry. */
	pipe->fixed_fwd = base->fwd.type != PSP_DP_FWD_NONE && base->fwd.type != PSP_DP_FWD_DROP &&
			  base->monitor.mirror == 0 && base->monitor.notify == 0;
	/* Whose entries send to workloads of this host: it is looked at before anything is encapsulated. */
	pipe->routes = desc->type == PSP_DP_PIPE_BASIC && desc->domain == PSP_DP_DOMAIN_DEFAULT &&
		       desc->actions.flags == 0 && dpu_match_both_ips(&desc->match_mask);
	status = desc->type == PSP_DP_PIPE_CONTROL ? dpu_control_up(dp, pipe, room)
						   : dpu_legs_up(dp, pipe, room);
	if (status == 0)
		status = resubmit_up(dp, pipe);
	if (status != 0) {
		pipe_down(dp, pipe);
		return status;
	}
	atomic_store_explicit(&dp->pipe_ids[dp_pipe_index(base->id)], base->id,
			      memory_order_release);
	dpu_local_note(dp, pipe, true);
	return 0;
}

int32_t plane_pipe_down(struct psp_dp *dp, struct dp_pipe *base)
{
	struct dpu_pipe *pipe = dpu_pipe(base);
	struct dpu_total misses;
	int32_t status = 0;

	while (status == 0 && base->entries != NULL)
		status = dpu_entry_unlink(dp, dpu_entry(base->entries));
	/* Nothing may lead to a pipe that goes. */
	if (status == 0)
		status = resubmit_down(dp, pipe);
	if (status != 0)
		return status;
	dpu_pipe_settle(dp, pipe, &misses);
	dpu_local_note(dp, pipe, false);
	atomic_store_explicit(&dp->pipe_ids[dp_pipe_index(base->id)], 0, memory_order_release);
	dp_pipe_hide(dp, base);
	pipe_down(dp, pipe);
	return 0;
}

void plane_pipe_free(struct psp_dp *dp, struct dp_pipe *base)
{
	struct dpu_pipe *pipe = dpu_pipe(base);

	dpu_free(dp, pipe, is_lost(pipe));
}

/* At close, when DOCA Flow is down: hardware's part is gone, with all that was in it. */
void dpu_pipes_free(struct psp_dp *dp)
{
	for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
		struct dp_pipe *pipe =
			atomic_load_explicit(&dp->base.pipes[i], memory_order_relaxed);

		if (pipe == NULL)
			continue;
		dp_pipe_hide(dp, pipe);
		dpu_pipe_forget(dp, dpu_pipe(pipe));
		free(pipe);
	}
}
