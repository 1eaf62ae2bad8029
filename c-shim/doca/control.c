/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c: CONTROL pipes in hardware: entries with masks and levels of their own. What misses is caught by entries
 * below all others, since the hardware's own miss of a root pipe is not ours to choose: in the samples, too, a
 * catch-all entry ends the root. From 3.3 on the hardware's root is a BASIC pipe, the gate, and the CONTROL pipe stands
 * behind it.
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
	const bool by_default = pipe->root && !pipe->gated && dp->default_miss;
	int32_t status = 0;

	entry->level = DPU_LEVEL_CATCH_ALL;
	entry->match.parser_meta.port_id = dp->ids[DPU_UPLINK];
	entry->mask.parser_meta.port_id = UINT16_MAX;
	if (!by_default) {
		status = dpu_kernel_get(dp, pipe, &entry->to);
		if (status == 0)
			status = dpu_hw_add(dp, &pipe->control, entry,
					    &pipe->catches[DPU_UPLINK].piece);
	}
	/* A root that has neither leaves it to the kernel by itself, where its port is isolated, uncounted: the trace says so. */
	if (status != 0 && pipe->gated)
		return status;
	status = 0;
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

static int32_t no_memory(struct psp_dp *dp, const struct dpu_pipe *pipe)
{
	return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
		       pipe->base.name);
}

/* Every port's packets to the control pipe. What is of no port of ours is the default's, where there is one. */
static int32_t gate_up(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_hw_spec *spec)
{
	struct dpu_hw_entry *entry = calloc(1, sizeof(*entry));
	int32_t status;

	pipe->gate_entries = calloc(dp->n_ports, sizeof(*pipe->gate_entries));
	if (entry == NULL || pipe->gate_entries == NULL) {
		free(entry);
		return no_memory(dp, pipe);
	}
	memset(spec, 0, sizeof(*spec));
	(void)snprintf(spec->name, sizeof(spec->name), "%s", pipe->base.name);
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	spec->root = true;
	spec->entries = dp->n_ports;
	spec->match.parser_meta.port_id = UINT16_MAX;
	spec->mask.parser_meta.port_id = UINT16_MAX;
	spec->fwd = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &pipe->control};
	if (!dp->default_miss)
		spec->miss.type = DOCA_FLOW_FWD_DROP;
	status = dpu_hw_pipe_create(dp, spec, &pipe->gate);
	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++) {
		entry->match.parser_meta.port_id = dp->ids[i];
		entry->mask.parser_meta.port_id = UINT16_MAX;
		status = dpu_hw_add(dp, &pipe->gate, entry, &pipe->gate_entries[i]);
	}
	free(entry);
	return status;
}

static void gate_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	bool lost = false;

	for (uint32_t i = pipe->gate_entries != NULL ? dp->n_ports : 0; i-- > 0;) {
		(void)dpu_hw_remove(dp, &pipe->gate, &pipe->gate_entries[i]);
		lost = lost || pipe->gate_entries[i].lost;
	}
	dpu_hw_pipe_destroy(dp, &pipe->gate);
	dpu_free(dp, pipe->gate_entries, lost);
	pipe->gate_entries = NULL;
}

static int32_t up(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	struct dpu_hw_spec *spec = calloc(1, sizeof(*spec));
	int32_t status;

	pipe->catches = calloc(dp->n_ports, sizeof(*pipe->catches));
	if (spec == NULL || pipe->catches == NULL) {
		free(spec);
		return no_memory(dp, pipe);
	}
	(void)snprintf(spec->name, sizeof(spec->name), "%s%s", pipe->base.name,
		       pipe->gated ? "_CTL" : "");
	spec->type = DOCA_FLOW_PIPE_CONTROL;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	spec->root = pipe->root && !pipe->gated;
	spec->miss_counter = spec->root && dp->default_miss;
	spec->entries = pipe->room + dp->n_ports;
	status = dpu_hw_pipe_create(dp, spec, &pipe->control);
	if (status == 0)
		status = add_catch_all(dp, pipe);
	if (status == 0 && pipe->gated)
		status = gate_up(dp, pipe, spec);
	free(spec);
	return status;
}

/* A device that refuses the gate, or the way to the kernel behind it, gets a CONTROL pipe as its root. */
int32_t dpu_control_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected)
{
	int32_t status;

	pipe->room = expected;
	pipe->entrance = &pipe->control;
	pipe->gated = pipe->root && compat_has_basic_root() && dp->kernel != NULL;
	status = up(dp, pipe);
	if (status == 0 || !pipe->gated)
		return status;
	dpu_control_down(dp, pipe);
	pipe->gated = false;
	return up(dp, pipe);
}

void dpu_control_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	bool lost = false;

	gate_down(dp, pipe);
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
