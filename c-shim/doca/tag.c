/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tag.c: which host port a packet came from, where there are several. What leaves a root for a pipe passes one in the
 * default domain that matches parser_meta.port_id and writes the port's number into a scratch word of doca_flow_meta;
 * what the CPU sends on gets it from its mark, in the transmit root. Pipes behind compare the word, which is the same
 * for both: tunnels of one workload are not those of another with the same address, and the CPU learns the port of
 * what misses. What no host port sent has 0, the uplink's number.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"

void dpu_tag_acts(uint32_t number, struct dpu_hw_acts *out)
{
	memset(out, 0, sizeof(*out));
	out->modify = true;
	out->actions.meta.u32[DPU_ORIGIN_WORD] = htobe32(number);
	out->mask.meta.u32[DPU_ORIGIN_WORD] = UINT32_MAX;
}

struct work {
	struct dpu_hw_spec spec;
	struct dpu_hw_acts acts;
	struct dpu_hw_entry entry;
};

static void down(struct psp_dp *dp, struct dpu_tag *tag)
{
	bool lost = false;

	for (uint32_t i = 0; i + DPU_HOST < dp->n_ports; i++) {
		(void)dpu_hw_remove(dp, &tag->hw, &tag->entries[i]);
		lost = lost || tag->entries[i].lost;
	}
	dpu_hw_pipe_destroy(dp, &tag->hw);
	dpu_free(dp, tag, lost);
}

static int32_t up(struct psp_dp *dp, const struct dpu_pipe *root, uint32_t n, struct dpu_tag *tag,
		  struct work *work)
{
	const struct psp_dp_match mask = {.parser_meta_port_id = UINT16_MAX};
	const struct dpu_match_ports ports = dpu_match_ports(dp, PSP_DP_DOMAIN_DEFAULT);
	struct dpu_hw_spec *spec = &work->spec;
	int32_t status;

	(void)snprintf(spec->name, sizeof(spec->name), "%s_PORT%u", root->base.name, n);
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = DOCA_FLOW_PIPE_DOMAIN_DEFAULT;
	spec->entries = dp->n_ports;
	dpu_match_template(&mask, PSP_DP_L3_NONE, &ports, &spec->match, &spec->mask);
	dpu_tag_acts(UINT32_MAX, &work->acts);
	spec->shape = (struct dpu_hw_shape){.n = 1, .templates = &work->acts};
	spec->fwd = tag->on;
	spec->miss = tag->on;
	status = dpu_hw_pipe_create(dp, spec, &tag->hw);
	for (uint32_t i = 0; status == 0 && i + DPU_HOST < dp->n_ports; i++) {
		const struct psp_dp_match value = {.parser_meta_port_id =
							   (uint16_t)(i + DPU_HOST + 1u)};

		memset(&work->entry, 0, sizeof(work->entry));
		dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, &ports, &work->entry.match,
				&work->entry.mask);
		dpu_tag_acts(i + DPU_HOST, &work->entry.acts);
		status = dpu_hw_add(dp, &tag->hw, &work->entry, &tag->entries[i]);
	}
	return status;
}

int32_t dpu_tag_get(struct psp_dp *dp, struct dpu_pipe *root, struct dpu_to *to)
{
	struct dpu_tag *tag = root->tags;
	struct work *work;
	uint32_t n = 0;
	int32_t status;

	if (!dpu_has_tags(dp) || to->type != DOCA_FLOW_FWD_PIPE)
		return 0;
	for (const struct dpu_tag *t = tag; t != NULL; t = t->next)
		n++;
	while (tag != NULL && tag->on.pipe != to->pipe)
		tag = tag->next;
	if (tag == NULL) {
		tag = calloc(1, sizeof(*tag) + dp->n_ports * sizeof(tag->entries[0]));
		work = calloc(1, sizeof(*work));
		status = PSP_DP_ENOMEM;
		if (tag != NULL && work != NULL) {
			tag->on = *to;
			status = up(dp, root, n, tag, work);
		}
		free(work);
		if (status != 0) {
			if (tag != NULL)
				down(dp, tag);
			return status;
		}
		tag->next = root->tags;
		root->tags = tag;
	}
	*to = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &tag->hw};
	return 0;
}

void dpu_tags_free(struct psp_dp *dp, struct dpu_pipe *root)
{
	while (root->tags != NULL) {
		struct dpu_tag *tag = root->tags;

		root->tags = tag->next;
		down(dp, tag);
	}
}
