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
	int32_t status = 0;

	entry->level = DPU_LEVEL_CATCH_ALL;
	entry->match.parser_meta.port_id = dp->ids[DPU_UPLINK];
	entry->mask.parser_meta.port_id = UINT16_MAX;
	/* Where neither is granted an isolated port leaves it to the kernel by itself, uncounted: the trace says so. */
	if (!(pipe->root && dp->default_miss) && dpu_kernel_get(dp, pipe, &entry->to) == 0)
		(void)dpu_hw_add(dp, &pipe->control, entry, &pipe->catches[DPU_UPLINK].piece);
	entry->to = (struct dpu_to){.type = DOCA_FLOW_FWD_DROP};
	for (uint32_t i = DPU_HOST; status == 0 && i < dp->n_ports; i++) {
		entry->match.parser_meta.port_id = dp->ids[i];
		status = dpu_hw_add(dp, &pipe->control, entry, &pipe->catches[i].piece);
	}
	return status;
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
		status = dpu_goto_hw(dp, pipe, &pipe->base.fwd_miss, &entry->to);
		if (status == 0)
			status = dpu_hw_add(dp, &pipe->control, entry,
					    &pipe->catches[DPU_HOST].piece);
	}
	free(entry);
	return status;
}

int32_t dpu_control_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected)
{
	struct dpu_hw_spec *spec = calloc(1, sizeof(*spec));
	int32_t status;

	pipe->catches = calloc(dp->n_ports, sizeof(*pipe->catches));
	if (spec == NULL || pipe->catches == NULL) {
		free(spec);
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	}
	(void)snprintf(spec->name, sizeof(spec->name), "%s", pipe->base.name);
	spec->type = DOCA_FLOW_PIPE_CONTROL;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	spec->root = pipe->root;
	spec->miss_counter = pipe->root && dp->default_miss;
	pipe->room = expected;
	spec->entries = expected + dp->n_ports;
	status = dpu_hw_pipe_create(dp, spec, &pipe->control);
	free(spec);
	pipe->entrance = &pipe->control;
	return status == 0 ? add_catch_all(dp, pipe) : status;
}

void dpu_control_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	bool lost = false;

	for (uint32_t i = pipe->catches != NULL ? dp->n_ports : 0; i-- > 0;) {
		(void)dpu_hw_remove(dp, &pipe->control, &pipe->catches[i].piece);
		lost = lost || pipe->catches[i].piece.lost;
	}
	dpu_hw_pipe_destroy(dp, &pipe->control);
	dpu_free(dp, pipe->catches, lost);
	pipe->catches = NULL;
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
