/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c: CONTROL pipes in hardware: entries with masks and levels of their own. What misses is caught by entries
 * below all others, since the hardware's own miss of a root pipe is not ours to choose: in the samples, too, a
 * catch-all entry ends the root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "match.h"

/*
 * What is not ours: the uplink's is the kernel's, the host port's has no kernel and is dropped. From 3.2 on the
 * kernel is where misses go by default; before, a pipe behind the root leads there.
 */
static int32_t add_kernel(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_hw_entry *entry)
{
	entry->level = DPU_LEVEL_CATCH_ALL;
	entry->match.parser_meta.port_id = dpu_port_id(dp, PSP_DP_PORT_UPLINK);
	entry->mask.parser_meta.port_id = UINT16_MAX;
	/* Where neither is granted an isolated port leaves it to the kernel by itself, uncounted: the trace says so. */
	if (!(pipe->root && dp->default_miss) && dpu_kernel_get(dp, pipe, &entry->to) == 0)
		(void)dpu_hw_add(dp, &pipe->control, entry, &pipe->catch_all[PSP_DP_PORT_UPLINK]);
	entry->match.parser_meta.port_id = dpu_port_id(dp, PSP_DP_PORT_HOST);
	entry->to.type = DOCA_FLOW_FWD_DROP;
	return dpu_hw_add(dp, &pipe->control, entry, &pipe->catch_all[PSP_DP_PORT_HOST]);
}

static int32_t add_catch_all(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	struct dpu_hw_entry *entry = calloc(1, sizeof(*entry));
	int32_t status;

	if (entry == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	entry->counter = true;
	if (pipe->base.fwd_miss.type == PSP_DP_FWD_KERNEL) {
		status = add_kernel(dp, pipe, entry);
	} else {
		entry->level = DPU_LEVEL_CATCH_ALL;
		status = dpu_goto_hw(dp, pipe, &pipe->base.fwd_miss, PSP_DP_PORT_HOST, &entry->to);
		if (status == 0)
			status = dpu_hw_add(dp, &pipe->control, entry,
					    &pipe->catch_all[PSP_DP_PORT_HOST]);
	}
	free(entry);
	return status;
}

int32_t dpu_control_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected)
{
	struct dpu_hw_spec *spec = calloc(1, sizeof(*spec));
	int32_t status;

	if (spec == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	(void)snprintf(spec->name, sizeof(spec->name), "%s", pipe->base.name);
	spec->type = DOCA_FLOW_PIPE_CONTROL;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	spec->root = pipe->root;
	spec->miss_counter = pipe->root && dp->default_miss;
	pipe->room = expected;
	spec->entries = expected + 2;
	status = dpu_hw_pipe_create(dp, spec, &pipe->control);
	free(spec);
	pipe->entrance = &pipe->control;
	return status == 0 ? add_catch_all(dp, pipe) : status;
}

void dpu_control_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	for (uint32_t i = 2; i-- > 0;)
		(void)dpu_hw_remove(dp, &pipe->control, &pipe->catch_all[i]);
	dpu_hw_pipe_destroy(dp, &pipe->control);
}

int32_t dpu_control_level(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dp_pipe *pipe = entry->base.pipe;
	struct dpu_ranked fresh = {
		.match = &entry->match, .mask = &entry->mask, .priority = entry->base.priority};
	struct dpu_ranked *others = calloc(pipe->n_entries + 1, sizeof(*others));
	uint32_t n = 0;

	if (others == NULL)
		return dp_entry_no_memory(dp, pipe);
	for (struct dp_entry *at = pipe->entries; at != NULL; at = at->next) {
		const struct dpu_entry *other = dpu_entry(at);

		others[n++] = (struct dpu_ranked){.match = &other->match,
						  .mask = &other->mask,
						  .priority = at->priority,
						  .level = other->level};
	}
	entry->level = dpu_level(others, n, &fresh);
	free(others);
	if (entry->level < DPU_LEVELS)
		return 0;
	return dp_fail(dp, PSP_DP_ENOSPC,
		       "Cannot add entry to pipe \"%s\": hardware has no level left between those "
		       "of entries that match the same packets (add them in the order of priority)",
		       pipe->name);
}
