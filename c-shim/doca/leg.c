/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leg.c: a BASIC pipe in hardware. Without addresses in its mask it is one pipe of the hardware. With addresses it is
 * two legs, one for each IP version, behind a pipe that chooses (split.c). A leg is
 *
 *   [NAME_6S, see stage.c ->] NAME_4 or NAME_6 [-> NAME_4L or NAME_6L: crypto, from DOCA 3.2 on]
 *
 * The forms are those of the samples: psp_gateway classifies by parser_meta or tun.psp.nexthdr, and looks the second
 * address of IPv6 up in a pipe of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "match.h"

/* "NAME" and a suffix that always fits. */
static void name_of(char out[DPU_HW_NAME_LEN], const struct dpu_pipe *pipe, const char *suffix)
{
	(void)snprintf(out, DPU_HW_NAME_LEN, "%s%s", pipe->base.name, suffix);
}

static const char *suffix_of(const struct dpu_leg *leg, char kind, char buf[4])
{
	uint32_t at = 0;

	if (leg->l3 != PSP_DP_L3_NONE) {
		buf[at++] = '_';
		buf[at++] = leg->l3 == PSP_DP_L3_IPV4 ? '4' : '6';
	} else if (kind != 0) {
		buf[at++] = '_';
	}
	if (kind != 0)
		buf[at++] = kind;
	buf[at] = 0;
	return buf;
}

static bool has_crypto(const struct dpu_pipe *pipe)
{
	return (pipe->base.actions.flags & (PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_DECAP |
					    PSP_DP_ACTION_ENCRYPT | PSP_DP_ACTION_DECRYPT)) != 0;
}

/* ---- what entries fill in -------------------------------------------------------------------- */

static int32_t make_shape(struct psp_dp *dp, const struct dpu_pipe *pipe, struct dpu_leg *leg)
{
	struct dpu_acts_input input = {.actions = &pipe->base.actions,
				       .l3 = leg->l3,
				       .vlan = dpu_desc(dp, DPU_UPLINK)->vlan,
				       .routes = pipe->routes};

	leg->shape.templates = calloc(COMPAT_TEMPLATES_MAX, sizeof(*leg->shape.templates));
	if (leg->shape.templates == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	leg->shape.n = dpu_acts_templates(&input, leg->shape.templates);
	if (leg->shape.n == 0 && has_crypto(pipe))
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot create pipe \"%s\": hardware cannot do its actions",
			       pipe->base.name);
	return 0;
}

/* ---- the pipes of a leg ---------------------------------------------------------------------- */

/* The forward of the leg's last pipe. */
static int32_t last_fwd(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_to *out)
{
	memset(out, 0, sizeof(*out));
	if (!pipe->fixed_fwd) {
		out->type = DOCA_FLOW_FWD_CHANGEABLE;
		return 0;
	}
	return dpu_goto_hw(dp, pipe, &pipe->base.fwd, out);
}

/*
 * Where a list sends what it cannot decrypt: to the pipe that tells syndromes apart, which is where the pipes behind
 * the list miss.
 */
static const struct dp_fwd *undecrypted(const struct dpu_pipe *pipe)
{
	struct dp_pipe *at = pipe->base.fwd.pipe;

	/* It ends: a pipe forwards to pipes that were there before it. */
	while (at != NULL) {
		struct dp_pipe *next = at->fwd_miss.pipe;

		if (next != NULL && dpu_pipe(next)->mask.parser_meta_psp_syndrome != 0 &&
		    next->fwd_miss.pipe == NULL)
			return &at->fwd_miss;
		at = next != NULL ? next : at->fwd.pipe;
	}
	return &pipe->base.fwd_miss;
}

static int32_t make_list(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_leg *leg,
			 struct dpu_hw_spec *spec)
{
	const uint32_t others = pipe->room < DPU_TOGETHER ? pipe->room : DPU_TOGETHER;
	const struct dp_fwd *miss = &pipe->base.fwd_miss;
	char suffix[4];
	int32_t status;

	memset(spec, 0, sizeof(*spec));
	name_of(spec->name, pipe, suffix_of(leg, 'L', suffix));
	spec->type = DOCA_FLOW_PIPE_ORDERED_LIST;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	/* Updates have the old and the new for a moment; numbers count from 1. */
	spec->entries = pipe->room + others + 1;
	spec->shape = leg->shape;
	if ((pipe->base.actions.flags & PSP_DP_ACTION_DECRYPT) != 0 && compat_decrypt_misses()) {
		miss = undecrypted(pipe);
		spec->miss_counter = true;
	}
	status = last_fwd(dp, pipe, &spec->fwd);
	if (status == 0)
		status = dpu_goto_hw(dp, pipe, miss, &spec->miss);
	if (status == 0)
		status = dpu_numbers_init(&leg->list_numbers, pipe->room + others);
	return status == 0 ? dpu_hw_pipe_create(dp, spec, &leg->list) : status;
}

/* What is looked up in the first pipe is replaced by its number in the second. */
static void move_to_stage(const struct dpu_pipe *pipe, struct dpu_hw_spec *spec)
{
	bool inner = dpu_match_inner_ip(&pipe->mask);
	struct doca_flow_header_format *match = inner ? &spec->match.inner : &spec->match.outer;
	struct doca_flow_header_format *mask = inner ? &spec->mask.inner : &spec->mask.outer;

	memset(match->ip6.src_ip, 0, sizeof(match->ip6.src_ip));
	memset(mask->ip6.src_ip, 0, sizeof(mask->ip6.src_ip));
	spec->match.tun.psp.spi = 0;
	spec->mask.tun.psp.spi = 0;
	spec->match.parser_meta.port_id = 0;
	spec->mask.parser_meta.port_id = 0;
	spec->match.meta.u32[DPU_ORIGIN_WORD] = 0;
	spec->mask.meta.u32[DPU_ORIGIN_WORD] = 0;
	spec->match.meta.u32[DPU_STAGE_WORD] = UINT32_MAX;
	spec->mask.meta.u32[DPU_STAGE_WORD] = UINT32_MAX;
}

static int32_t make_match(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_leg *leg,
			  struct dpu_hw_spec *spec)
{
	const struct dpu_match_ports ports = dpu_match_ports(dp, pipe->domain);
	struct dpu_hw_acts plain = {.modify = false};
	char suffix[4];
	int32_t status = 0;

	memset(spec, 0, sizeof(*spec));
	name_of(spec->name, pipe, suffix_of(leg, 0, suffix));
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	spec->counter = pipe->base.count;
	spec->miss_counter = pipe->base.miss_counter;
	spec->mirror = pipe->base.monitor.mirror != 0 && compat_has_mirror();
	spec->entries = pipe->room;
	dpu_match_template(&pipe->mask, leg->l3, &ports, &spec->match, &spec->mask);
	if (leg->staged)
		move_to_stage(pipe, spec);
	if (leg->listed) {
		spec->fwd = (struct dpu_to){.type = DOCA_FLOW_FWD_ORDERED_LIST_PIPE,
					    .pipe = &leg->list,
					    .number = UINT32_MAX};
		/* All templates modify the same fields; crypto is the list's. */
		if (leg->shape.n > 0 && leg->shape.templates[0].modify) {
			plain = leg->shape.templates[0];
			plain.crypto = false;
			spec->shape = (struct dpu_hw_shape){.n = 1, .templates = &plain};
		}
	} else {
		spec->shape = leg->shape;
		status = last_fwd(dp, pipe, &spec->fwd);
	}
	if (status == 0)
		status = dpu_goto_hw(dp, pipe, &pipe->base.fwd_miss, &spec->miss);
	return status == 0 ? dpu_hw_pipe_create(dp, spec, &leg->hw) : status;
}

static int32_t make_stage(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_leg *leg,
			  struct dpu_hw_spec *spec)
{
	const struct dpu_match_ports ports = dpu_match_ports(dp, pipe->domain);
	struct psp_dp_match mask = {.size = sizeof(mask),
				    .tun_psp_spi = pipe->mask.tun_psp_spi,
				    .parser_meta_port_id = pipe->mask.parser_meta_port_id};
	struct dpu_hw_acts number = {.modify = true};
	char suffix[4];
	int32_t status;

	memcpy(mask.outer_ip_src, pipe->mask.outer_ip_src, 16);
	memcpy(mask.inner_ip_src, pipe->mask.inner_ip_src, 16);
	number.actions.meta.u32[DPU_STAGE_WORD] = UINT32_MAX;
	number.mask.meta.u32[DPU_STAGE_WORD] = UINT32_MAX;
	memset(spec, 0, sizeof(*spec));
	name_of(spec->name, pipe, suffix_of(leg, 'S', suffix));
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = (enum doca_flow_pipe_domain)pipe->domain;
	spec->miss_counter = pipe->base.miss_counter;
	spec->entries = pipe->room;
	dpu_match_template(&mask, leg->l3, &ports, &spec->match, &spec->mask);
	spec->shape = (struct dpu_hw_shape){.n = 1, .templates = &number};
	spec->fwd = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &leg->hw};
	status = dpu_goto_hw(dp, pipe, &pipe->base.fwd_miss, &spec->miss);
	if (status == 0)
		status = dpu_numbers_init(&leg->stage_numbers, pipe->room);
	return status == 0 ? dpu_hw_pipe_create(dp, spec, &leg->stage) : status;
}

static int32_t leg_up(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_leg *leg,
		      struct dpu_hw_spec *spec)
{
	int32_t status = make_shape(dp, pipe, leg);

	leg->listed = has_crypto(pipe) && compat_has_crypto_lists();
	leg->staged = leg->l3 == PSP_DP_L3_IPV6 && dpu_match_both_ips(&pipe->mask);
	if (status == 0 && leg->listed)
		status = make_list(dp, pipe, leg, spec);
	if (status == 0)
		status = make_match(dp, pipe, leg, spec);
	if (status == 0 && leg->staged)
		status = make_stage(dp, pipe, leg, spec);
	return status;
}

/* What would not go before goes with its pipe. */
static void leg_down(struct psp_dp *dp, struct dpu_leg *leg)
{
	dpu_install_retry(dp, leg);
	dpu_hw_pipe_destroy(dp, &leg->stage);
	dpu_hw_pipe_destroy(dp, &leg->hw);
	dpu_hw_pipe_destroy(dp, &leg->list);
	dpu_leg_forget(leg);
}

/* ---- both legs ------------------------------------------------------------------------------- */

int32_t dpu_legs_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected)
{
	struct dpu_hw_spec *spec = malloc(sizeof(*spec));
	int32_t status = 0;

	if (spec == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot create pipe \"%s\": out of memory",
			       pipe->base.name);
	pipe->room = expected;
	pipe->by_inner = dpu_match_inner_ip(&pipe->mask);
	pipe->n_legs = pipe->by_inner || dpu_match_outer_ip(&pipe->mask) ? DPU_LEGS : 1;
	if (pipe->n_legs == DPU_LEGS) {
		pipe->legs[0].l3 = PSP_DP_L3_IPV4;
		pipe->legs[1].l3 = PSP_DP_L3_IPV6;
	}
	for (uint32_t i = 0; status == 0 && i < pipe->n_legs; i++)
		status = leg_up(dp, pipe, &pipe->legs[i], spec);
	if (status == 0 && pipe->n_legs == DPU_LEGS)
		status = dpu_split_up(dp, pipe, spec);
	pipe->entrance = pipe->n_legs == DPU_LEGS ? &pipe->split : &pipe->legs[0].hw;
	free(spec);
	return status;
}

void dpu_legs_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	dpu_split_down(dp, pipe);
	for (uint32_t i = 0; i < DPU_LEGS; i++)
		leg_down(dp, &pipe->legs[i]);
}
