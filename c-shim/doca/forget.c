/* SPDX-License-Identifier: Apache-2.0 */
/* forget.c: what hangs on a pipe, freed at close, when hardware's part of it has gone with its port. */
#include <stdlib.h>
#include <string.h>

#include "dpu.h"

void dpu_leg_forget(struct dpu_leg *leg)
{
	while (leg->stale_lists != NULL) {
		struct dpu_list_entry *list = leg->stale_lists;

		leg->stale_lists = list->next;
		free(list);
	}
	dpu_stage_forget(leg);
	free(leg->shape.templates);
	free(leg->list_numbers.free);
	free(leg->stage_numbers.free);
	memset(leg, 0, sizeof(*leg));
}

static void forget_entry(struct dpu_entry *entry)
{
	while (entry->inspector != NULL && entry->inspector->detours != NULL) {
		struct dpu_detour *detour = entry->inspector->detours;

		entry->inspector->detours = detour->next;
		free(detour);
	}
	free(entry->inspector);
	free(entry->list);
	free(entry);
}

void dpu_pipe_forget(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	(void)dp;
	while (pipe->base.entries != NULL) {
		struct dp_entry *entry = pipe->base.entries;

		pipe->base.entries = entry->next;
		forget_entry(dpu_entry(entry));
	}
	while (pipe->samplers != NULL) {
		struct dpu_sampler *sampler = pipe->samplers;

		pipe->samplers = sampler->next;
		free(sampler);
	}
	while (pipe->taps != NULL) {
		struct dpu_tap *tap = pipe->taps;

		pipe->taps = tap->next;
		free(tap);
	}
	while (pipe->tags != NULL) {
		struct dpu_tag *tag = pipe->tags;

		pipe->tags = tag->next;
		free(tag);
	}
	free(pipe->catches);
	free(pipe->gate_entries);
	free(pipe->resubmits);
	for (uint32_t i = 0; i < DPU_LEGS; i++)
		dpu_leg_forget(&pipe->legs[i]);
}
