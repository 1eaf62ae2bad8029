/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "../common/net.h"
#include "dpu.h"
#include "match.h"

/* COPY_DSCP has no counterpart in hardware: the header goes out as it was given. See docs/doca.md. */
#define ACTIONS_IN_HARDWARE (~(uint32_t)PSP_DP_ACTION_COPY_DSCP)
#define ACTIONS_CRYPTO                                                                             \
	(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT)

/* ---- what hardware cannot do of what an entry says ------------------------------------------- */

static int32_t check_actions(struct psp_dp *dp, const char *what, const struct dpu_pipe *pipe,
			     const struct psp_dp_actions *actions)
{
	const uint32_t may = pipe->base.actions.flags | (pipe->routes ? PSP_DP_ACTION_ROUTE : 0);
	const uint32_t beyond = actions->flags & ~may & ACTIONS_IN_HARDWARE;

	if ((actions->flags & PSP_DP_ACTION_CHECK_REPLAY) != 0)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: hardware has no replay window (replay_window)", what);
	if (pipe->base.type == PSP_DP_PIPE_BASIC && beyond != 0)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: in hardware an entry has no actions (0x%x) that its pipe lacks",
			       what, beyond);
	if (pipe->base.type == PSP_DP_PIPE_CONTROL && (actions->flags & PSP_DP_ACTION_ROUTE) != 0)
		return dp_fail(dp, PSP_DP_ENOTSUP, "%s: hardware routes in basic pipes alone",
			       what);
	if (pipe->base.type == PSP_DP_PIPE_CONTROL && (actions->flags & ACTIONS_CRYPTO) != 0)
		return dp_fail(dp, PSP_DP_ENOTSUP, "%s: hardware has crypto in basic pipes alone",
			       what);
	return 0;
}

/* What hardware counts of tunnels is frames: the octets of their outer headers are taken off. See stats.c. */
static void note_outer(struct psp_dp *dp, const struct psp_dp_actions *actions)
{
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0 &&
	    actions->encap_net_type == PSP_DP_NET_PSP_TUNNEL)
		dp->outer_ip_len = dp_encap_psp(actions) - NET_ETH_LEN - NET_UDP_LEN;
}

static bool same_fwd(const struct dp_fwd *a, const struct dp_fwd *b)
{
	return a->type == b->type && a->target == b->target && a->pipe == b->pipe;
}

/* dp_rule_actions() and dp_rule_forward(), and what hardware cannot do of it. */
static int32_t rule_fill(struct psp_dp *dp, struct dpu_pipe *pipe,
			 const struct psp_dp_entry_desc *desc, struct dp_rule *rule)
{
	char what[DP_WHAT_LEN];
	int32_t status;

	dp_rule_what(&pipe->base, what);
	status = dp_rule_actions(dp, what, &pipe->base, desc, rule);
	if (status != 0)
		return status;
	note_outer(dp, &rule->actions);
	status = check_actions(dp, what, pipe, &rule->actions);
	if (status == 0)
		status = dp_rule_forward(dp, what, &pipe->base, desc, rule);
	if (status != 0)
		return status;
	if (pipe->base.type == PSP_DP_PIPE_BASIC && pipe->fixed_fwd &&
	    (!same_fwd(&rule->fwd, &pipe->base.fwd) || rule->mirror || rule->notify))
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: hardware has the pipe's forward for all its entries, without "
			       "copies and reports of their own",
			       what);
	if (pipe->base.type == PSP_DP_PIPE_BASIC && rule->count && !pipe->base.count)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: in hardware an entry counts only when its pipe does", what);
	return 0;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void link_entry(struct psp_dp *dp, struct dpu_entry *entry)
{
	dpu_match_link(dp, entry);
	dp_entry_link(&entry->base, &entry->rule.fwd);
	dpu_slot_link(dp, entry);
	dpu_encap_note(dp, &entry->rule.actions, true);
}

static void unlink_entry(struct psp_dp *dp, struct dpu_entry *entry)
{
	dpu_match_unlink(dp, entry);
	dp_entry_unlink(&entry->base, &entry->rule.fwd);
	dpu_slot_unlink(dp, entry);
	dpu_encap_note(dp, &entry->rule.actions, false);
	dp_entry_unname(dp, &entry->base);
}

/* It is out of hardware. */
static void forget(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_pipe *pipe = dpu_pipe(entry->base.pipe);

	pipe->hits.packets += entry->total.packets;
	pipe->hits.bytes += entry->total.bytes;
	unlink_entry(dp, entry);
	dpu_free(dp, entry, entry->piece.lost);
}

int32_t dpu_entry_unlink(struct psp_dp *dp, struct dpu_entry *entry)
{
	int32_t status;

	/* Afterwards there is no counter to read. */
	dpu_entry_settle(dp, entry);
	status = dpu_uninstall(dp, entry);
	if (status == 0)
		forget(dp, entry);
	return status;
}

/* ---- for the ABI ----------------------------------------------------------------------------- */

static int32_t check(struct psp_dp *dp, const struct dp_pipe *pipe,
		     const struct psp_dp_entry_desc *desc)
{
	const char *wrong = NULL;

	if (pipe->type == PSP_DP_PIPE_CONTROL)
		wrong = dpu_match_check(&desc->match_mask, true);
	return wrong == NULL ? 0
			     : dp_fail(dp, PSP_DP_ENOTSUP, "Cannot add entry to pipe \"%s\": %s",
				       pipe->name, wrong);
}

/* What it matches, under its mask, and the leg for that. */
static int32_t fill_match(struct psp_dp *dp, const struct psp_dp_entry_desc *desc,
			  struct dpu_entry *entry)
{
	struct dpu_pipe *pipe = dpu_pipe(entry->base.pipe);
	struct psp_dp_match value = desc->match;
	bool control = pipe->base.type == PSP_DP_PIPE_CONTROL;
	uint32_t l3;

	if (pipe->authentic)
		value.parser_meta_psp_syndrome = PSP_DP_SYNDROME_OK;
	if (pipe->offset)
		value.tun_psp_res_cryptofst = desc->actions.crypt_offset;
	entry->base.priority = control ? desc->priority : 0;
	entry->mask = control ? desc->match_mask : pipe->mask;
	dpu_match_set(entry, &value);
	if (control)
		return 0;
	if (pipe->n_legs == 1) {
		entry->leg = &pipe->legs[0];
		return 0;
	}
	/* Under a mask of fewer than all bits a v4-mapped address would not look like one. */
	l3 = dpu_match_l3(&desc->match, &entry->mask);
	if (l3 == PSP_DP_L3_NONE)
		return dp_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": its addresses are of both families",
			pipe->base.name);
	entry->leg = &pipe->legs[l3 == PSP_DP_L3_IPV4 ? 0 : 1];
	return 0;
}

/* Everything but hardware: it has a place in the tables afterwards, so that no other has its match. */
static int32_t prepare(struct psp_dp *dp, struct dp_pipe *pipe,
		       const struct psp_dp_entry_desc *desc, struct dpu_entry **out)
{
	struct dpu_entry *entry;
	int32_t status = check(dp, pipe, desc);

	*out = NULL;
	if (status != 0)
		return status;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return dp_entry_no_memory(dp, pipe);
	entry->base.pipe = pipe;
	status = fill_match(dp, desc, entry);
	if (status == 0)
		status = rule_fill(dp, dpu_pipe(pipe), desc, &entry->rule);
	if (status == 0 && pipe->type == PSP_DP_PIPE_CONTROL)
		status = dpu_control_level(dp, entry);
	if (status == 0 && dpu_match_is_there(dp, entry))
		status = dp_entry_is_there(dp, pipe);
	if (status == 0)
		status = dp_entry_name(dp, &entry->base);
	if (status != 0) {
		free(entry);
		return status;
	}
	link_entry(dp, entry);
	*out = entry;
	return 0;
}

static void refused(struct psp_dp *dp, struct dpu_entry *entry)
{
	unlink_entry(dp, entry);
	dpu_free(dp, entry, entry->piece.lost);
}

int32_t plane_entry_add(struct psp_dp *dp, struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_entry **out)
{
	struct dpu_entry *entry;
	int32_t status = prepare(dp, pipe, desc, &entry);

	if (status != 0)
		return status;
	status = dpu_install(dp, entry);
	if (status == 0)
		*out = &entry->base;
	else
		refused(dp, entry);
	return status;
}

/* A window of what is in flight: prepared in order, in hardware together. */
static void add_window(struct psp_dp *dp, struct dp_adding *items, uint32_t n,
		       struct dp_first *first)
{
	struct dpu_installing installing[DPU_TOGETHER];
	uint32_t n_installing = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry;

		items[i].status = prepare(dp, items[i].pipe, items[i].desc, &entry);
		items[i].entry = entry != NULL ? &entry->base : NULL;
		dp_first_note(dp, first, items[i].rank, items[i].status);
		if (entry != NULL)
			installing[n_installing++] =
				(struct dpu_installing){.entry = entry, .rank = items[i].rank};
	}
	dpu_install_all(dp, installing, n_installing, first);
	for (uint32_t i = 0, k = 0; i < n; i++) {
		if (items[i].entry == NULL)
			continue;
		items[i].status = installing[k].status;
		if (items[i].status != 0) {
			refused(dp, installing[k].entry);
			items[i].entry = NULL;
		}
		k++;
	}
}

void plane_entries_add(struct psp_dp *dp, struct dp_adding *items, uint32_t n,
		       struct dp_first *first)
{
	for (uint32_t i = 0; i < n; i += DPU_TOGETHER)
		add_window(dp, items + i, n - i < DPU_TOGETHER ? n - i : DPU_TOGETHER, first);
}

static void take_rule(struct psp_dp *dp, struct dpu_entry *entry, const struct dp_rule *rule)
{
	dpu_slot_unlink(dp, entry);
	dp_entry_forward(&entry->rule.fwd, &rule->fwd);
	dpu_encap_note(dp, &rule->actions, true);
	dpu_encap_note(dp, &entry->rule.actions, false);
	dpu_rule_set(dp, entry, rule);
	dpu_slot_link(dp, entry);
}

/* The rule that an entry is to have, which hardware can give it. */
static int32_t other_rule(struct psp_dp *dp, const struct dpu_entry *entry,
			  const struct psp_dp_entry_desc *desc, struct dp_rule *rule)
{
	struct dp_pipe *pipe = entry->base.pipe;
	int32_t status = check(dp, pipe, desc);

	if (status == 0)
		status = rule_fill(dp, dpu_pipe(pipe), desc, rule);
	if (status != 0)
		return status;
	if (dpu_pipe(pipe)->offset &&
	    rule->actions.crypt_offset != entry->rule.actions.crypt_offset)
		return dp_fail(
			dp, PSP_DP_ENOTSUP,
			"Cannot set entry of pipe \"%s\": hardware matches its crypt offset, "
			"which stays",
			pipe->name);
	return 0;
}

/* A window of what is in flight. `sound` has room for as many. */
static void update_window(struct psp_dp *dp, struct dp_updating *items, uint32_t n,
			  struct dpu_reinstalling *sound, struct dp_first *first)
{
	uint32_t n_sound = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dpu_reinstalling *one = &sound[n_sound];

		memset(one, 0, sizeof(*one));
		one->entry = dpu_entry(items[i].entry);
		one->rank = items[i].rank;
		items[i].status = other_rule(dp, one->entry, items[i].desc, &one->rule);
		dp_first_note(dp, first, items[i].rank, items[i].status);
		if (items[i].status != 0)
			continue;
		/* What was counted so far belongs to the old rule and its key. */
		dpu_entry_settle(dp, one->entry);
		n_sound++;
	}
	dpu_reinstall_all(dp, sound, n_sound, first);
	for (uint32_t i = 0, k = 0; i < n; i++) {
		if (items[i].status != 0)
			continue;
		items[i].status = sound[k].status;
		if (items[i].status == 0)
			take_rule(dp, sound[k].entry, &sound[k].rule);
		k++;
	}
}

void plane_entries_update(struct psp_dp *dp, struct dp_updating *items, uint32_t n,
			  struct dp_first *first)
{
	const uint32_t room = n < DPU_TOGETHER ? n : DPU_TOGETHER;
	struct dpu_reinstalling *sound = calloc(room != 0 ? room : 1, sizeof(*sound));

	for (uint32_t i = 0; sound == NULL && i < n; i++) {
		items[i].status = dp_entry_no_memory(dp, items[i].entry->pipe);
		dp_first_note(dp, first, items[i].rank, items[i].status);
	}
	for (uint32_t i = 0; sound != NULL && i < n; i += room)
		update_window(dp, items + i, n - i < room ? n - i : room, sound, first);
	free(sound);
}

int32_t plane_entry_update(struct psp_dp *dp, struct dp_entry *base,
			   const struct psp_dp_entry_desc *desc)
{
	struct dp_updating one = {.entry = base, .desc = desc};
	struct dp_first first = {0};

	plane_entries_update(dp, &one, 1, &first);
	return dp_first_tell(dp, &first);
}

int32_t plane_entry_remove(struct psp_dp *dp, struct dp_entry *entry)
{
	return dpu_entry_unlink(dp, dpu_entry(entry));
}

/* Their counters go with them: what hardware tells of them now is the last. */
static void take_window(struct psp_dp *dp, struct dp_taking *items, uint32_t n,
			struct dp_first *first)
{
	struct dpu_installing installing[DPU_TOGETHER];

	for (uint32_t i = 0; i < n; i++) {
		installing[i] = (struct dpu_installing){.entry = dpu_entry(items[i].entry),
							.rank = items[i].rank};
		plane_entry_query(dp, items[i].entry, items[i].last);
	}
	dpu_uninstall_all(dp, installing, n, first);
	for (uint32_t i = 0; i < n; i++) {
		items[i].status = installing[i].status;
		if (items[i].status == 0)
			forget(dp, installing[i].entry);
	}
}

void plane_entries_take(struct psp_dp *dp, struct dp_taking *items, uint32_t n,
			struct dp_first *first)
{
	for (uint32_t i = 0; i < n; i += DPU_TOGETHER)
		take_window(dp, items + i, n - i < DPU_TOGETHER ? n - i : DPU_TOGETHER, first);
}

/* Hardware has done what it was told when it has told so. */
void plane_settle(struct psp_dp *dp)
{
	(void)dp;
}
