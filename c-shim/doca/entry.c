/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c: entries of the ABI: what hardware can do of what they say, where they are found, and how they come and go. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../common/net.h"
#include "dpu.h"
#include "match.h"

/* ---- levels of a control pipe's entries ------------------------------------------------------ */

/* No packet matches both. */
static bool disjoint(const struct dpu_ranked *a, const struct dpu_ranked *b)
{
	const uint8_t *va = (const uint8_t *)a->match, *vb = (const uint8_t *)b->match;
	const uint8_t *ma = (const uint8_t *)a->mask, *mb = (const uint8_t *)b->mask;

	/* The first member is a size, the last is reserved: neither is matched. */
	for (size_t i = sizeof(uint32_t); i < offsetof(struct psp_dp_match, reserved); i++) {
		if (((va[i] ^ vb[i]) & ma[i] & mb[i]) != 0)
			return true;
	}
	return false;
}

uint32_t dpu_level(const struct dpu_ranked *others, uint32_t n, const struct dpu_ranked *fresh)
{
	uint32_t low = 0, high = DPU_LEVELS;

	for (uint32_t i = 0; i < n; i++) {
		if (disjoint(&others[i], fresh))
			continue;
		if (others[i].priority < fresh->priority && others[i].level >= low)
			low = others[i].level + 1;
		if (others[i].priority > fresh->priority && others[i].level < high)
			high = others[i].level;
	}
	return low < high ? low : DPU_LEVELS;
}

/* For one that is not in yet; PSP_DP_ENOSPC: there is none between its neighbours. */
static int32_t set_level(struct psp_dp *dp, struct dpu_entry *entry)
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

/* ---- entries by what they match -------------------------------------------------------------- */

/*
 * Hardware would take the same match twice, so the agent's are looked up before they go in; and the readers ask which
 * tunnel a packet belongs to, under the table's own lock.
 */

#define MATCH_FROM sizeof(uint32_t) /* after size */
#define MATCH_LEN (offsetof(struct psp_dp_match, reserved) - MATCH_FROM)

/* Only the agent's entries come here: a plain hash will do. */
static uint32_t hash_of(uint32_t pipe, uint32_t priority, const struct psp_dp_match *match)
{
	const uint8_t *bytes = (const uint8_t *)match + MATCH_FROM;
	uint32_t h = pipe ^ priority;

	for (size_t i = 0; i < MATCH_LEN; i++)
		h = (h ^ bytes[i]) * 16777619u;
	return h ^ (h >> 15);
}

static bool same_match(const struct psp_dp_match *a, const struct psp_dp_match *b)
{
	return memcmp((const uint8_t *)a + MATCH_FROM, (const uint8_t *)b + MATCH_FROM,
		      MATCH_LEN) == 0;
}

/* The value, masked, and its hash. Pipe, priority and mask are there. */
static void match_set(struct dpu_entry *entry, const struct psp_dp_match *value)
{
	const uint8_t *from = (const uint8_t *)value;
	uint8_t *match = (uint8_t *)&entry->match, *mask = (uint8_t *)&entry->mask;

	for (size_t i = MATCH_FROM; i < MATCH_FROM + MATCH_LEN; i++)
		match[i] = from[i] & mask[i];
	entry->hash = hash_of(entry->base.pipe->id, entry->base.priority, &entry->match);
}

static bool match_is_there(const struct psp_dp *dp, const struct dpu_entry *entry)
{
	const struct dpu_entry *other = dp->matches[entry->hash & dp->matches_mask];

	while (other != NULL && (other->base.pipe != entry->base.pipe ||
				 other->base.priority != entry->base.priority ||
				 !same_match(&other->match, &entry->match) ||
				 !same_match(&other->mask, &entry->mask)))
		other = other->hash_next;
	return other != NULL;
}

static void match_link(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_entry **bucket = &dp->matches[entry->hash & dp->matches_mask];

	pthread_mutex_lock(&dp->matches_lock);
	entry->hash_next = *bucket;
	*bucket = entry;
	pthread_mutex_unlock(&dp->matches_lock);
}

static void match_unlink(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_entry **at = &dp->matches[entry->hash & dp->matches_mask];

	pthread_mutex_lock(&dp->matches_lock);
	while (*at != entry)
		at = &(*at)->hash_next;
	*at = entry->hash_next;
	pthread_mutex_unlock(&dp->matches_lock);
}

static void rule_set(struct psp_dp *dp, struct dpu_entry *entry, const struct dp_rule *rule)
{
	pthread_mutex_lock(&dp->matches_lock);
	entry->rule = *rule;
	pthread_mutex_unlock(&dp->matches_lock);
}

static bool find_rule(struct psp_dp *dp, uint32_t pipe, const struct psp_dp_match *match,
		      const struct psp_dp_match *mask, struct dp_rule *rule)
{
	uint32_t hash = hash_of(pipe, 0, match);
	const struct dpu_entry *entry;

	pthread_mutex_lock(&dp->matches_lock);
	entry = dp->matches[hash & dp->matches_mask];
	while (entry != NULL &&
	       (entry->base.pipe->id != pipe || !same_match(&entry->match, match) ||
		!same_match(&entry->mask, mask)))
		entry = entry->hash_next;
	if (entry != NULL)
		*rule = entry->rule;
	pthread_mutex_unlock(&dp->matches_lock);
	return entry != NULL;
}

/* What hardware would find: only for pipes that look at both outer addresses, or at the port as well. */
bool dpu_rule_find(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
		   struct dp_rule *rule)
{
	const struct psp_dp_match *fields = &packet->fields;
	struct psp_dp_match match, mask;

	memset(&match, 0, sizeof(match));
	memset(&mask, 0, sizeof(mask));
	memcpy(match.outer_ip_src, fields->outer_ip_src, sizeof(match.outer_ip_src));
	memcpy(match.outer_ip_dst, fields->outer_ip_dst, sizeof(match.outer_ip_dst));
	memset(mask.outer_ip_src, 0xff, sizeof(mask.outer_ip_src));
	memset(mask.outer_ip_dst, 0xff, sizeof(mask.outer_ip_dst));
	if (find_rule(dp, pipe, &match, &mask, rule))
		return true;
	match.parser_meta_port_id = packet->handle;
	mask.parser_meta_port_id = UINT16_MAX;
	return find_rule(dp, pipe, &match, &mask, rule);
}

/* ---- what hardware cannot do of what an entry says ------------------------------------------- */

/* COPY_DSCP has no counterpart in hardware: the header goes out as it was given. See docs/doca.md. */
#define ACTIONS_IN_HARDWARE (~(uint32_t)PSP_DP_ACTION_COPY_DSCP)
#define ACTIONS_CRYPTO                                                                             \
	(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT)

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

/* What hardware counts of tunnels is frames: the octets of their outer headers are taken off. See counters.c. */
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
	match_link(dp, entry);
	dp_entry_link(&entry->base, &entry->rule.fwd);
	dpu_slot_link(dp, entry);
	dpu_encap_note(dp, &entry->rule.actions, true);
}

static void unlink_entry(struct psp_dp *dp, struct dpu_entry *entry)
{
	match_unlink(dp, entry);
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
	match_set(entry, &value);
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
		status = set_level(dp, entry);
	if (status == 0 && match_is_there(dp, entry))
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
	rule_set(dp, entry, rule);
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
