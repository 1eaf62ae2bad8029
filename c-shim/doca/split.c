/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.c: "NAME_L3", the pipe in front of two legs that chooses by the IP version. In the samples, too, packets are
 * classified by parser_meta or by tun.psp.nexthdr before addresses are compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"
#include "match.h"

static const struct dpu_hw_pipe *leg_entrance(const struct dpu_leg *leg)
{
	return leg->staged ? &leg->stage : &leg->hw;
}

/* Pipes of the secure egress are entered from the egress, as in the samples. */
static enum doca_flow_pipe_domain split_domain(const struct dpu_pipe *pipe)
{
	return pipe->domain == PSP_DP_DOMAIN_SECURE_EGRESS
		       ? DOCA_FLOW_PIPE_DOMAIN_EGRESS
		       : (enum doca_flow_pipe_domain)pipe->domain;
}

/*
 * In a tunnel the PSP header names what is inside; else it is the outer header that decides. What its sender marked
 * with the D bit is for no leg that lets packets in.
 */
static void split_mask(const struct dpu_pipe *pipe, struct psp_dp_match *mask)
{
	memset(mask, 0, sizeof(*mask));
	mask->size = sizeof(*mask);
	if (pipe->by_inner)
		mask->tun_psp_nexthdr = UINT8_MAX;
	else
		mask->parser_meta_outer_l3_type = UINT8_MAX;
	if ((pipe->base.actions.flags & PSP_DP_ACTION_DECAP) != 0)
		mask->tun_psp_s_d_ver_v = PSP_FLAG_D;
}

static int32_t add_split_entry(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t i,
			       struct dpu_hw_entry *entry)
{
	const struct dpu_leg *leg = &pipe->legs[i];
	struct psp_dp_match mask, value;

	split_mask(pipe, &mask);
	memset(&value, 0, sizeof(value));
	value.parser_meta_outer_l3_type = (uint8_t)leg->l3;
	value.tun_psp_nexthdr = leg->l3 == PSP_DP_L3_IPV6 ? PSP_NEXT_IPV6 : PSP_NEXT_IPV4;
	memset(entry, 0, sizeof(*entry));
	dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, NULL, &entry->match, &entry->mask);
	entry->to = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = leg_entrance(leg)};
	return dpu_hw_add(dp, &pipe->split, entry, &pipe->split_entries[i]);
}

int32_t dpu_split_up(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_hw_spec *spec)
{
	struct dpu_hw_entry *entry = malloc(sizeof(*entry));
	struct psp_dp_match mask;
	int32_t status;

	if (entry == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	split_mask(pipe, &mask);
	memset(spec, 0, sizeof(*spec));
	(void)snprintf(spec->name, sizeof(spec->name), "%s_L3", pipe->base.name);
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = split_domain(pipe);
	spec->miss_counter = pipe->base.miss_counter;
	spec->entries = DPU_LEGS;
	dpu_match_template(&mask, PSP_DP_L3_NONE, NULL, &spec->match, &spec->mask);
	/* No pipe named: each entry brings its own. */
	spec->fwd.type = DOCA_FLOW_FWD_PIPE;
	status = dpu_goto_hw(dp, pipe, &pipe->base.fwd_miss, &spec->miss);
	if (status == 0)
		status = dpu_hw_pipe_create(dp, spec, &pipe->split);
	for (uint32_t i = 0; status == 0 && i < DPU_LEGS; i++)
		status = add_split_entry(dp, pipe, i, entry);
	free(entry);
	return status;
}

void dpu_split_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	for (uint32_t i = 0; i < DPU_LEGS; i++)
		(void)dpu_hw_remove(dp, &pipe->split, &pipe->split_entries[i]);
	dpu_hw_pipe_destroy(dp, &pipe->split);
}
