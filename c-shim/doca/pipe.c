/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipe.c: a pipe of the ABI in hardware. A CONTROL pipe is one there (switch.c). A BASIC pipe without addresses in its mask
 * is one, too. With addresses it is two legs, one for each IP version, behind a pipe that chooses. A leg is
 *
 *   [NAME_6S, see install.c ->] NAME_4 or NAME_6 [-> NAME_4L or NAME_6L: crypto, from DOCA 3.2 on]
 *
 * The forms are those of the samples: psp_gateway classifies by parser_meta or tun.psp.nexthdr, and looks the second
 * address of IPv6 up in a pipe of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"
#include "match.h"
#include "rss.h"

/* ---- at close -------------------------------------------------------------------------------- */

/* What hangs on a pipe, freed when hardware's part of it has gone with its port. */

/* All of whose entries are out of use. */
static void leg_forget(struct dpu_leg *leg)
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

static void pipe_forget(struct psp_dp *dp, struct dpu_pipe *pipe)
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
		leg_forget(&pipe->legs[i]);
}

/* ---- the choice between two legs ------------------------------------------------------------- */

/*
 * "NAME_L3" chooses by the IP version. In the samples, too, packets are classified by parser_meta or by tun.psp.nexthdr
 * before addresses are compared.
 */

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

static int32_t split_up(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_hw_spec *spec)
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

static void split_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	for (uint32_t i = 0; i < DPU_LEGS; i++)
		(void)dpu_hw_remove(dp, &pipe->split, &pipe->split_entries[i]);
	dpu_hw_pipe_destroy(dp, &pipe->split);
}

/* ---- a leg ----------------------------------------------------------------------------------- */

static int32_t numbers_init(struct dpu_numbers *numbers, uint32_t max)
{
	numbers->free = malloc((size_t)max * sizeof(*numbers->free));
	numbers->n_free = 0;
	numbers->made = 0;
	numbers->max = max;
	return numbers->free != NULL ? 0 : PSP_DP_ENOMEM;
}

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
	if ((pipe->base.actions.flags & PSP_DP_ACTION_DECRYPT) != 0 && compat()->decrypt_misses) {
		miss = undecrypted(pipe);
		spec->miss_counter = true;
	}
	status = last_fwd(dp, pipe, &spec->fwd);
	if (status == 0)
		status = dpu_goto_hw(dp, pipe, miss, &spec->miss);
	if (status == 0)
		status = numbers_init(&leg->list_numbers, pipe->room + others);
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
	spec->mirror = pipe->base.monitor.mirror != 0 && compat()->has_mirror;
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
		status = numbers_init(&leg->stage_numbers, pipe->room);
	return status == 0 ? dpu_hw_pipe_create(dp, spec, &leg->stage) : status;
}

static int32_t leg_up(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_leg *leg,
		      struct dpu_hw_spec *spec)
{
	int32_t status = make_shape(dp, pipe, leg);

	leg->listed = has_crypto(pipe) && compat()->has_crypto_lists;
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
	leg_forget(leg);
}

/* ---- both legs ------------------------------------------------------------------------------- */

static int32_t legs_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected)
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
		status = split_up(dp, pipe, spec);
	pipe->entrance = pipe->n_legs == DPU_LEGS ? &pipe->split : &pipe->legs[0].hw;
	free(spec);
	return status;
}

static void legs_down(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	split_down(dp, pipe);
	for (uint32_t i = 0; i < DPU_LEGS; i++)
		leg_down(dp, &pipe->legs[i]);
}

/* ---- for the ABI ----------------------------------------------------------------------------- */

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
	if (wrong == NULL && desc->type == PSP_DP_PIPE_BASIC &&
	    desc->fwd_miss.type == PSP_DP_FWD_PORT)
		wrong = "in hardware what misses goes to no port: name a pipe that leads there";
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
		legs_down(dp, pipe);
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

/* A pipe has come, or goes: for the readers, which send on by themselves what is local (rss.c). */
static void local_note(struct psp_dp *dp, const struct dpu_pipe *pipe, bool come)
{
	const struct dp_pipe *behind = pipe->base.fwd_miss.pipe;

	if (pipe->routes && behind != NULL)
		atomic_store_explicit(&dp->front_ids[dp_pipe_index(behind->id)],
				      come ? pipe->base.id : 0, memory_order_release);
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
						   : legs_up(dp, pipe, room);
	if (status == 0)
		status = resubmit_up(dp, pipe);
	if (status != 0) {
		pipe_down(dp, pipe);
		return status;
	}
	atomic_store_explicit(&dp->pipe_ids[dp_pipe_index(base->id)], base->id,
			      memory_order_release);
	local_note(dp, pipe, true);
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
	local_note(dp, pipe, false);
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
		pipe_forget(dp, dpu_pipe(pipe));
		free(pipe);
	}
}
