/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch.c: CONTROL pipes in hardware, entries with masks and levels of their own: the root, and the inspectors behind
 * its entries.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/net.h"
#include "dpu.h"
#include "match.h"
#include "rss.h"

/* ---- a CONTROL pipe of the ABI --------------------------------------------------------------- */

/*
 * What misses is caught by entries below all others, since the hardware's own miss of a root pipe is not ours to choose:
 * in the samples, too, a catch-all entry ends the root. From 3.3 on the hardware's root is a BASIC pipe, the gate, and
 * the CONTROL pipe stands behind it.
 */

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

static int32_t control_make(struct psp_dp *dp, struct dpu_pipe *pipe)
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

/*
 * A device that refuses the gate, or the way to the kernel behind it, gets a CONTROL pipe as its root. One that refuses
 * that with a counter of what it leaves to the default, which no sample has, gets the pipe behind the root, as if there
 * were no default.
 */
int32_t dpu_control_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected)
{
	int32_t status;

	pipe->room = expected;
	pipe->entrance = &pipe->control;
	pipe->gated = pipe->root && compat()->has_basic_root && dp->kernel != NULL;
	status = control_make(dp, pipe);
	if (status != 0 && pipe->gated) {
		dpu_control_down(dp, pipe);
		pipe->gated = false;
		status = control_make(dp, pipe);
	}
	if (status != 0 && pipe->control.pipe == NULL && pipe->root && dp->default_miss &&
	    dp->kernel != NULL) {
		dpu_control_down(dp, pipe);
		dp->default_miss = false;
		status = control_make(dp, pipe);
	}
	return status;
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

/* ---- detours --------------------------------------------------------------------------------- */

/*
 * What hardware cannot do to a packet the CPU does, before the packet is encapsulated: lower the MSS of a SYN, and
 * answer what is too big. An entry of the root that sends the host port's packets to a pipe that encapsulates gets a
 * pipe of its own behind it, the inspector: entries that lead to the CPU, the detours, and one below them for the rest,
 * which goes on. From the CPU a packet enters the pipe by the transmit root, as released packets do (rss.c).
 *
 * "Longer than N" is a union of prefixes: the bits of N above one that is 0, and 1 there. N is what the tunnel with
 * the least overhead takes, so that nothing that fits ever leaves hardware; it changes when such a tunnel is the
 * first or the last. A device that refuses an inspector or a detour works as if there were none: the trace says so. By
 * default there are none (config.inspect): no device has run them.
 */

#define DETOURS_MAX 64u /* behind an entry, which has up to 33 of them and one for the rest */
#define LENGTH_BITS 16u
#define LEVEL_DETOUR 0u
#define LEVEL_REST 1u

/* The pipe that does, from there on along the misses: what is for a workload of this host goes before it. */
static const struct dp_pipe *encapsulates(const struct dp_pipe *pipe)
{
	while (pipe != NULL && (pipe->actions.flags & PSP_DP_ACTION_ENCAP) == 0)
		pipe = pipe->fwd_miss.pipe;
	return pipe;
}

/* SYNs and packets that no tunnel takes are to leave the way of this entry for the CPU. */
static bool is_detour_wanted(const struct psp_dp *dp, const struct dpu_entry *entry)
{
	const struct psp_dp_match *mask = &entry->mask;
	const struct dp_pipe *to = encapsulates(entry->rule.fwd.pipe);

	return dp->base.config.inspect != PSP_DP_INSPECT_OFF && dpu_pipe(entry->base.pipe)->root &&
	       to != NULL && mask->parser_meta_port_id != 0 &&
	       entry->match.parser_meta_port_id > DPU_UPLINK + 1 &&
	       mask->parser_meta_outer_l4_type == 0 && mask->outer_l4_src_port == 0 &&
	       mask->outer_l4_dst_port == 0 && mask->outer_icmp_type == 0 &&
	       !dpu_match_outer_ip(mask) && !dpu_match_inner_ip(mask);
}

/* ---- one of them ----------------------------------------------------------------------------- */

static void build(const struct psp_dp *dp, const struct dpu_entry *entry,
		  const struct dpu_detour *detour, struct dpu_hw_entry *hw)
{
	const struct dpu_match_ports ports = dpu_match_ports(dp, PSP_DP_DOMAIN_DEFAULT);

	dpu_match_entry(&entry->match, &entry->mask, PSP_DP_L3_NONE, &ports, &hw->match, &hw->mask);
	if (detour->l3 == PSP_DP_L3_NONE)
		dpu_match_syn(&hw->match, &hw->mask);
	else
		dpu_match_length(detour->l3, detour->value, detour->mask, &hw->match, &hw->mask);
	hw->counter = entry->rule.count;
	hw->level = LEVEL_DETOUR;
}

/* Wants one, and makes it unless it is there. */
static void want(struct psp_dp *dp, struct dpu_entry *entry, const struct dpu_detour *like)
{
	struct dpu_pipe *pipe = dpu_pipe(entry->base.pipe);
	const struct dp_pipe *to = encapsulates(entry->rule.fwd.pipe);
	uint32_t mark = dpu_mark(DPU_MARK_INSPECT, DPU_ANY_HOST, dp_pipe_index(to->id));
	struct dpu_inspector *inspector = entry->inspector;
	struct dpu_detour *detour = inspector->detours;
	struct dpu_hw_entry *hw;

	while (detour != NULL && (detour->l3 != like->l3 || detour->value != like->value ||
				  detour->mask != like->mask))
		detour = detour->next;
	if (detour != NULL) {
		detour->wanted = true;
		return;
	}
	detour = calloc(1, sizeof(*detour));
	hw = calloc(1, sizeof(*hw));
	if (detour != NULL && hw != NULL && dpu_tap_get(dp, pipe, mark, &hw->to) == 0 &&
	    dpu_tag_get(dp, pipe, &hw->to) == 0) {
		*detour = *like;
		detour->wanted = true;
		build(dp, entry, detour, hw);
		if (dpu_hw_add(dp, &inspector->hw, hw, &detour->piece) == 0) {
			detour->next = inspector->detours;
			inspector->detours = detour;
			detour = NULL;
		}
	}
	if (detour != NULL)
		dpu_free(dp, detour, detour->piece.lost);
	free(hw);
}

static void want_longer(struct psp_dp *dp, struct dpu_entry *entry, uint32_t l3)
{
	/* IPv6 counts from behind its header. */
	uint32_t fixed = l3 == PSP_DP_L3_IPV6 ? NET_IP6_LEN : 0;
	uint32_t most = dp->longest > fixed ? dp->longest - fixed : 0;

	if (entry->mask.parser_meta_outer_l3_type != 0 &&
	    entry->match.parser_meta_outer_l3_type != l3)
		return;
	for (uint32_t bit = 0; bit < LENGTH_BITS; bit++) {
		uint32_t mask = UINT16_MAX & ~((1u << bit) - 1u);
		struct dpu_detour like = {.l3 = l3,
					  .value = (uint16_t)((most | 1u << bit) & mask),
					  .mask = (uint16_t)mask};

		if ((most >> bit & 1u) == 0)
			want(dp, entry, &like);
	}
}

/* Takes out those that are not wanted. One that will not go stays for another try. */
static void prune(struct psp_dp *dp, struct dpu_inspector *inspector)
{
	struct dpu_detour **at = &inspector->detours;

	while (*at != NULL) {
		struct dpu_detour *detour = *at;

		if (detour->wanted || (dpu_hw_remove(dp, &inspector->hw, &detour->piece) != 0 &&
				       !detour->piece.lost)) {
			at = &detour->next;
			continue;
		}
		*at = detour->next;
		dpu_free(dp, detour, detour->piece.lost);
	}
}

/* ---- those of an entry ----------------------------------------------------------------------- */

static void refresh(struct psp_dp *dp, struct dpu_entry *entry)
{
	const struct dpu_detour syn = {.l3 = PSP_DP_L3_NONE};

	if (entry->inspector == NULL)
		return;
	for (struct dpu_detour *d = entry->inspector->detours; d != NULL; d = d->next)
		d->wanted = false;
	if (dp->base.config.mss_clamp != 0)
		want(dp, entry, &syn);
	if (dp->base.config.inspect == PSP_DP_INSPECT_ALL) {
		want_longer(dp, entry, PSP_DP_L3_IPV4);
		want_longer(dp, entry, PSP_DP_L3_IPV6);
	}
	/* Afterwards there is no counter to read. */
	dpu_detours_settle(dp, entry);
	prune(dp, entry->inspector);
}

static int32_t inspector_make(struct psp_dp *dp, const struct dpu_entry *entry,
			      struct dpu_inspector *inspector, const struct dpu_to *to)
{
	struct dpu_hw_spec *spec = calloc(1, sizeof(*spec));
	struct dpu_hw_entry *rest = calloc(1, sizeof(*rest));
	int32_t status = PSP_DP_ENOMEM;

	if (spec != NULL && rest != NULL) {
		(void)snprintf(spec->name, sizeof(spec->name), "%s_INSPECT%u",
			       entry->base.pipe->name, entry->base.id);
		spec->type = DOCA_FLOW_PIPE_CONTROL;
		spec->domain = DOCA_FLOW_PIPE_DOMAIN_DEFAULT;
		spec->entries = DETOURS_MAX;
		rest->level = LEVEL_REST;
		rest->to = *to;
		status = dpu_hw_pipe_create(dp, spec, &inspector->hw);
		if (status == 0)
			status = dpu_hw_add(dp, &inspector->hw, rest, &inspector->rest);
	}
	free(rest);
	free(spec);
	return status;
}

void dpu_inspector_up(struct psp_dp *dp, struct dpu_entry *entry, struct dpu_to *to)
{
	if (entry->base.pipe->type != PSP_DP_PIPE_CONTROL || !is_detour_wanted(dp, entry))
		return;
	entry->inspector = calloc(1, sizeof(*entry->inspector));
	if (entry->inspector == NULL)
		return;
	if (inspector_make(dp, entry, entry->inspector, to) != 0) {
		dpu_inspector_down(dp, entry);
		return;
	}
	*to = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &entry->inspector->hw};
	refresh(dp, entry);
}

/* What would not go has gone with its pipe, or nothing leads to it any more; its memory stays hardware's. */
void dpu_inspector_down(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_inspector *inspector = entry->inspector;
	bool kept = false;

	if (inspector == NULL)
		return;
	entry->inspector = NULL;
	while (inspector->detours != NULL) {
		struct dpu_detour *detour = inspector->detours;
		bool gone = dpu_hw_remove(dp, &inspector->hw, &detour->piece) == 0;

		inspector->detours = detour->next;
		dpu_free(dp, detour, !gone);
	}
	kept = dpu_hw_remove(dp, &inspector->hw, &inspector->rest) != 0;
	dpu_hw_pipe_destroy(dp, &inspector->hw);
	dpu_free(dp, inspector, kept);
}

/* Without any tunnel it stays as it is: the next will be like the last. */
static void follow_longest(struct psp_dp *dp)
{
	uint32_t max_ip = atomic_load_explicit(&dp->max_ip, memory_order_relaxed), least = 0;
	const struct dp_pipe *root;

	while (least <= DPU_OVERHEAD_MAX && dp->encaps[least] == 0)
		least++;
	if (least > DPU_OVERHEAD_MAX || least >= max_ip || dp->longest == max_ip - least)
		return;
	dp->longest = max_ip - least;
	root = atomic_load_explicit(&dp->base.root, memory_order_relaxed);
	for (struct dp_entry *e = root != NULL ? root->entries : NULL; e != NULL; e = e->next)
		refresh(dp, dpu_entry(e));
}

void dpu_mtu_note(struct psp_dp *dp, uint32_t mtu)
{
	if (atomic_load_explicit(&dp->max_ip, memory_order_relaxed) == mtu)
		return;
	dp_lock(dp);
	atomic_store_explicit(&dp->max_ip, mtu, memory_order_relaxed);
	follow_longest(dp);
	dp_unlock(dp);
}

void dpu_encap_note(struct psp_dp *dp, const struct psp_dp_actions *actions, bool come)
{
	uint32_t overhead;

	if ((actions->flags & PSP_DP_ACTION_ENCAP) == 0)
		return;
	overhead = dp_overhead(actions);
	if (overhead > DPU_OVERHEAD_MAX)
		return;
	dp->encaps[overhead] += come ? 1u : UINT32_MAX; /* - 1 */
	follow_longest(dp);
}
