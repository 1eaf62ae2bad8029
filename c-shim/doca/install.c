/* SPDX-License-Identifier: Apache-2.0 */
/* install.c: an entry of the ABI as entries of the hardware: downstream first in, upstream first out. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "match.h"
#include "rss.h"

/* ---- two lookups for one IPv6 match ---------------------------------------------------------- */

/*
 * Two addresses and an SPI do not fit what hardware compares at once (the samples split them the same way): a first
 * pipe, the stage, turns source address and SPI (and port) into a number, the second compares the number and the rest.
 * Entries with the same source and SPI share theirs.
 */

#define STAGE_BUCKETS 4096u /* a power of two */

/* Source address, and SPI and port if the pipe matches them, of an IPv6 match that needs two lookups. */
struct stage_key {
	uint8_t src[16];
	uint32_t spi, port;
};

struct dpu_stage_entry {
	struct dpu_stage_entry *next; /* of its bucket */
	struct stage_key key;
	uint32_t number; /* what the second lookup matches instead; from 1 */
	uint32_t refs;
	struct dpu_piece piece;
};

/* 0: none is left. */
static uint32_t numbers_take(struct dpu_numbers *numbers)
{
	if (numbers->n_free > 0)
		return numbers->free[--numbers->n_free];
	return numbers->made < numbers->max ? ++numbers->made : 0;
}

static void numbers_give(struct dpu_numbers *numbers, uint32_t number)
{
	numbers->free[numbers->n_free++] = number;
}

static void key_of(const struct dpu_entry *entry, struct stage_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->src,
	       dpu_pipe(entry->base.pipe)->by_inner ? entry->match.inner_ip_src
						    : entry->match.outer_ip_src,
	       16);
	key->spi = entry->match.tun_psp_spi;
	key->port = entry->match.parser_meta_port_id;
}

static struct dpu_stage_entry **bucket_of(struct dpu_leg *leg, const struct stage_key *key)
{
	uint32_t h = key->spi ^ key->port << 16;

	/* Only the agent's entries come here, not what the network sends. */
	for (uint32_t i = 0; i < sizeof(key->src); i++)
		h = (h ^ key->src[i]) * 16777619u;
	return &leg->stage_buckets[h & (STAGE_BUCKETS - 1)];
}

/* What the first lookup's entry is. */
static void stage_fill(const struct psp_dp *dp, const struct dpu_entry *entry,
		       const struct dpu_stage_entry *stage, struct dpu_hw_entry *hw)
{
	const struct dpu_match_ports ports =
		dpu_match_ports(dp, dpu_pipe(entry->base.pipe)->domain);
	struct psp_dp_match value = entry->match, mask;

	memset(hw, 0, sizeof(*hw));
	memset(&mask, 0, sizeof(mask));
	mask.tun_psp_spi = entry->mask.tun_psp_spi;
	mask.parser_meta_port_id = entry->mask.parser_meta_port_id;
	memcpy(mask.outer_ip_src, entry->mask.outer_ip_src, 16);
	memcpy(mask.inner_ip_src, entry->mask.inner_ip_src, 16);
	dpu_match_entry(&value, &mask, entry->leg->l3, &ports, &hw->match, &hw->mask);
	hw->acts.modify = true;
	hw->acts.actions.meta.u32[DPU_STAGE_WORD] = htobe32(stage->number);
	hw->acts.mask.meta.u32[DPU_STAGE_WORD] = UINT32_MAX;
}

/* An order for the first lookup of an entry, unless there is none, or it is there. */
struct stage_order {
	bool given;
	doca_error_t begun;
};

/* `hw`: until its end. */
static int32_t stage_begin(struct psp_dp *dp, struct dpu_entry *entry, struct dpu_hw_entry *hw,
			   struct stage_order *order)
{
	struct dpu_leg *leg = entry->leg;
	struct dpu_stage_entry *stage, **bucket;
	struct stage_key key;

	order->given = false;
	if (!leg->staged)
		return 0;
	if (leg->stage_buckets == NULL)
		leg->stage_buckets = calloc(STAGE_BUCKETS, sizeof(*leg->stage_buckets));
	if (leg->stage_buckets == NULL)
		return dp_entry_no_memory(dp, entry->base.pipe);
	key_of(entry, &key);
	bucket = bucket_of(leg, &key);
	for (stage = *bucket; stage != NULL; stage = stage->next) {
		if (memcmp(&stage->key, &key, sizeof(key)) == 0) {
			leg->stale_stages -= stage->refs++ == 0 ? 1 : 0;
			entry->stage = stage;
			return 0;
		}
	}
	stage = calloc(1, sizeof(*stage));
	if (stage == NULL)
		return dp_entry_no_memory(dp, entry->base.pipe);
	stage->key = key;
	stage->refs = 1;
	stage->number = numbers_take(&leg->stage_numbers);
	if (stage->number == 0) {
		free(stage);
		return dp_fail(dp, PSP_DP_ENOSPC, "Cannot add entry to pipe \"%s\": it is full",
			       entry->base.pipe->name);
	}
	stage->next = *bucket;
	*bucket = stage;
	entry->stage = stage;
	stage_fill(dp, entry, stage, hw);
	order->given = true;
	order->begun = dpu_hw_begin_add(dp, &leg->stage, hw, &stage->piece);
	return 0;
}

/* Of entries that were begun together, in their order. */
static int32_t stage_end(struct psp_dp *dp, const struct dpu_entry *entry,
			 const struct dpu_hw_entry *hw, const struct stage_order *order)
{
	struct dpu_stage_entry *stage = entry->stage;

	if (order->given)
		return dpu_hw_end_add(dp, &entry->leg->stage, hw, &stage->piece, order->begun);
	/* Another entry of the same list has asked for it. */
	if (stage != NULL && stage->piece.entry == NULL)
		return dp_fail(dp, PSP_DP_EIO,
			       "Cannot add entry to pipe \"%s\": its first lookup was refused",
			       entry->base.pipe->name);
	return 0;
}

/* Out of hardware and out of its bucket. False: it would not go, and stays for another try. */
static bool stage_retire(struct psp_dp *dp, struct dpu_leg *leg, struct dpu_stage_entry *stage)
{
	struct dpu_stage_entry **at = bucket_of(leg, &stage->key);
	/* One that never came in has no entry, and one of which nobody knows keeps its number. */
	bool gone = dpu_hw_remove(dp, &leg->stage, &stage->piece) == 0 && !stage->piece.lost;

	if (!gone && !stage->piece.lost)
		return false;
	while (*at != stage)
		at = &(*at)->next;
	*at = stage->next;
	/* One that hardware keeps leads to a number that nothing matches. The number is not used again. */
	if (gone)
		numbers_give(&leg->stage_numbers, stage->number);
	dpu_free(dp, stage, !gone);
	return true;
}

static void stage_release(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_stage_entry *stage = entry->stage;

	if (stage == NULL)
		return;
	entry->stage = NULL;
	if (--stage->refs == 0 && !stage_retire(dp, entry->leg, stage))
		entry->leg->stale_stages++;
}

/* Takes out what had not gone when it should have. */
static void stage_retry(struct psp_dp *dp, struct dpu_leg *leg)
{
	for (uint32_t i = 0; leg->stale_stages > 0 && i < STAGE_BUCKETS; i++) {
		struct dpu_stage_entry *stage = leg->stage_buckets[i];

		while (stage != NULL) {
			struct dpu_stage_entry *next = stage->next;

			if (stage->refs == 0 && stage_retire(dp, leg, stage))
				leg->stale_stages--;
			stage = next;
		}
	}
}

void dpu_stage_forget(struct dpu_leg *leg)
{
	for (uint32_t i = 0; leg->stage_buckets != NULL && i < STAGE_BUCKETS; i++) {
		while (leg->stage_buckets[i] != NULL) {
			struct dpu_stage_entry *stage = leg->stage_buckets[i];

			leg->stage_buckets[i] = stage->next;
			free(stage);
		}
	}
	free(leg->stage_buckets);
	leg->stage_buckets = NULL;
}

/* ---- what an entry is in hardware ------------------------------------------------------------ */

/* Large, so on the heap. */
struct build {
	struct dpu_hw_entry hw;    /* the match */
	struct dpu_hw_entry list;  /* crypto behind it, from DOCA 3.2 on */
	struct dpu_hw_entry stage; /* in front of it */
	struct stage_order staged;
	doca_error_t listed, begun;
};

static bool of_uplink(const struct dpu_entry *entry)
{
	return entry->mask.parser_meta_port_id != 0 &&
	       entry->match.parser_meta_port_id == DPU_UPLINK + 1;
}

/* Out of a root the CPU knows the uplink's by the entry; the others' by what they carry. */
static int32_t build_goto(struct psp_dp *dp, const struct dpu_entry *entry,
			  const struct dp_rule *rule, struct dpu_to *out)
{
	struct dpu_pipe *pipe = dpu_pipe(entry->base.pipe);
	int32_t status;

	if (of_uplink(entry) && rule->fwd.type == PSP_DP_FWD_RSS)
		return dpu_tap_get(dp, pipe,
				   dpu_mark(rule->fwd.target == PSP_DP_RSS_MISS
						    ? DPU_MARK_MISS
						    : DPU_MARK_EXCEPTION,
					    DPU_UPLINK, dp_pipe_index(pipe->base.id)),
				   out);
	status = dpu_goto_hw(dp, pipe, &rule->fwd, out);
	return status == 0 && pipe->root && !of_uplink(entry) ? dpu_tag_get(dp, pipe, out) : status;
}

/* What is reported is looked at by the CPU, which ends it there. */
static int32_t build_fwd(struct psp_dp *dp, const struct dpu_entry *entry,
			 const struct dp_rule *rule, struct build *build)
{
	struct dpu_pipe *pipe = dpu_pipe(entry->base.pipe);
	uint32_t index = dp_pipe_index(pipe->base.id);
	struct dpu_to on;
	int32_t status;

	if (pipe->base.type == PSP_DP_PIPE_BASIC && pipe->fixed_fwd)
		return 0;
	if (rule->notify && rule->fwd.type == PSP_DP_FWD_DROP)
		return dpu_tap_get(
			dp, pipe,
			dpu_mark(DPU_MARK_SYNDROME, entry->match.parser_meta_psp_syndrome, index),
			&build->hw.to);
	status = build_goto(dp, entry, rule, &on);
	if (status != 0 || !rule->mirror) {
		build->hw.to = on;
		return status;
	}
	return dpu_sampler_get(dp, pipe, &on, &build->hw.to, &build->hw.mirror);
}

static void build_match(const struct psp_dp *dp, const struct dpu_entry *entry,
			struct dpu_hw_entry *hw)
{
	const struct dpu_pipe *pipe = dpu_pipe(entry->base.pipe);
	const struct dpu_match_ports ports = dpu_match_ports(
		dp, pipe->base.type == PSP_DP_PIPE_CONTROL ? PSP_DP_DOMAIN_DEFAULT : pipe->domain);
	struct psp_dp_match value = entry->match, mask = entry->mask;
	uint32_t l3 = entry->leg != NULL ? entry->leg->l3 : dpu_match_l3(&value, &mask);

	if (entry->stage != NULL) {
		memset(mask.outer_ip_src, 0, sizeof(mask.outer_ip_src));
		memset(mask.inner_ip_src, 0, sizeof(mask.inner_ip_src));
		mask.tun_psp_spi = 0;
		mask.parser_meta_port_id = 0;
	}
	dpu_match_entry(&value, &mask, l3, &ports, &hw->match, &hw->mask);
	if (entry->stage != NULL) {
		hw->match.meta.u32[DPU_STAGE_WORD] = htobe32(entry->stage->number);
		hw->mask.meta.u32[DPU_STAGE_WORD] = UINT32_MAX;
	}
}

static int32_t build_acts(struct psp_dp *dp, const struct dpu_entry *entry,
			  const struct dp_rule *rule, struct dpu_hw_entry *hw)
{
	struct dpu_acts_input input = {.actions = &rule->actions,
				       .l3 = entry->leg != NULL ? entry->leg->l3 : 0,
				       .vlan = dpu_desc(dp, DPU_UPLINK)->vlan};
	const char *wrong;
	int32_t status = 0;

	if ((rule->actions.flags & PSP_DP_ACTION_ENCRYPT) != 0)
		status = dpu_slot_ready(dp, rule->actions.crypto_id, &input.resource);
	if (status != 0)
		return status;
	wrong = dpu_acts_entry(&input, &hw->acts);
	if (wrong == NULL && entry->leg != NULL) {
		hw->template = dpu_acts_choose(&entry->leg->shape, &hw->acts);
		if (hw->template == UINT32_MAX)
			wrong = "hardware has no template for a header of this length";
	}
	return wrong == NULL ? 0
			     : dp_fail(dp, PSP_DP_ENOTSUP, "Cannot set entry of pipe \"%s\": %s",
				       entry->base.pipe->name, wrong);
}

/* Moves crypto to an entry of the list, which takes the forward with it. */
static void split_crypto(const struct dpu_leg *leg, uint32_t number, struct build *build)
{
	build->list = build->hw;
	build->list.acts.modify = false;
	build->list.at = number;
	build->list.counter = false;
	build->hw.acts.crypto = false;
	build->hw.template = 0;
	build->hw.to = (struct dpu_to){
		.type = DOCA_FLOW_FWD_ORDERED_LIST_PIPE, .pipe = &leg->list, .number = number};
}

static int32_t build_all(struct psp_dp *dp, const struct dpu_entry *entry,
			 const struct dp_rule *rule, struct build *build)
{
	int32_t status = build_acts(dp, entry, rule, &build->hw);

	if (status == 0)
		status = build_fwd(dp, entry, rule, build);
	if (status != 0)
		return status;
	build_match(dp, entry, &build->hw);
	build->hw.counter = rule->count;
	build->hw.level = entry->level;
	return 0;
}

static const struct dpu_hw_pipe *hw_of(const struct dpu_entry *entry)
{
	return entry->leg != NULL ? &entry->leg->hw : &dpu_pipe(entry->base.pipe)->control;
}

/* Gives the order; list_end() tells what came of it. */
static int32_t list_begin(struct psp_dp *dp, const struct dpu_entry *entry, struct build *build,
			  struct dpu_list_entry **out)
{
	struct dpu_leg *leg = entry->leg;
	struct dpu_list_entry *list = calloc(1, sizeof(*list));

	*out = NULL;
	if (list == NULL)
		return dp_entry_no_memory(dp, entry->base.pipe);
	list->number = numbers_take(&leg->list_numbers);
	if (list->number == 0) {
		free(list);
		return dp_fail(dp, PSP_DP_ENOSPC, "Cannot add entry to pipe \"%s\": it is full",
			       entry->base.pipe->name);
	}
	split_crypto(leg, list->number, build);
	build->listed = dpu_hw_begin_add(dp, &leg->list, &build->list, &list->piece);
	*out = list;
	return 0;
}

/* On failure the list's entry is gone. */
static int32_t list_end(struct psp_dp *dp, const struct dpu_entry *entry, const struct build *build,
			struct dpu_list_entry **list)
{
	struct dpu_leg *leg = entry->leg;
	int32_t status =
		dpu_hw_end_add(dp, &leg->list, &build->list, &(*list)->piece, build->listed);

	if (status == 0)
		return 0;
	if (!(*list)->piece.lost)
		numbers_give(&leg->list_numbers, (*list)->number);
	dpu_free(dp, *list, (*list)->piece.lost);
	*list = NULL;
	return status;
}

/* False: it would not go, and stays for another try. Its number is not used until it has gone. */
static bool list_retired(struct psp_dp *dp, struct dpu_leg *leg, struct dpu_list_entry *list,
			 doca_error_t begun)
{
	bool gone = dpu_hw_end_remove(dp, &leg->list, &list->piece, begun) == 0;

	if (!gone && !list->piece.lost)
		return false;
	if (gone)
		numbers_give(&leg->list_numbers, list->number);
	dpu_free(dp, list, !gone);
	return true;
}

static bool list_retire(struct psp_dp *dp, struct dpu_leg *leg, struct dpu_list_entry *list)
{
	struct dpu_piece *piece = &list->piece;
	doca_error_t begun = dpu_hw_begin_remove(dp, piece);

	dpu_hw_wait(dp, &piece, 1);
	return list_retired(dp, leg, list, begun);
}

static void list_keep(struct dpu_leg *leg, struct dpu_list_entry *list)
{
	list->next = leg->stale_lists;
	leg->stale_lists = list;
}

static void list_remove(struct psp_dp *dp, const struct dpu_entry *entry,
			struct dpu_list_entry *list)
{
	if (list != NULL && !list_retire(dp, entry->leg, list))
		list_keep(entry->leg, list);
}

void dpu_install_retry(struct psp_dp *dp, struct dpu_leg *leg)
{
	struct dpu_list_entry **at = &leg->stale_lists;

	while (*at != NULL) {
		struct dpu_list_entry *list = *at, *next = list->next;

		if (list_retire(dp, leg, list))
			*at = next;
		else
			at = &list->next;
	}
	stage_retry(dp, leg);
}

/* ---- several at a time ----------------------------------------------------------------------- */

/* Notes what became of an item whose status is set. */
static void told_of(struct psp_dp *dp, const struct dpu_installing *item, struct dp_first *told)
{
	dp_first_note(dp, told, item->rank, item->status);
}

/* Stage and list: the orders. */
static int32_t begin_behind(struct psp_dp *dp, struct dpu_entry *entry, struct build *build)
{
	int32_t status = 0;

	if (entry->leg != NULL) {
		dpu_install_retry(dp, entry->leg);
		status = stage_begin(dp, entry, &build->stage, &build->staged);
	}
	if (status == 0)
		status = build_all(dp, entry, &entry->rule, build);
	if (status == 0 && entry->leg != NULL && entry->leg->listed)
		status = list_begin(dp, entry, build, &entry->list);
	return status;
}

static void wait_behind(struct psp_dp *dp, const struct dpu_installing *items, uint32_t n,
			struct build *const *builds)
{
	struct dpu_piece *pieces[DPU_ORDERS_MAX] = {NULL};
	uint32_t n_pieces = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry = items[i].entry;

		if (builds[i] != NULL && builds[i]->staged.given)
			pieces[n_pieces++] = &entry->stage->piece;
		if (entry->list != NULL)
			pieces[n_pieces++] = &entry->list->piece;
	}
	dpu_hw_wait(dp, pieces, n_pieces);
}

static int32_t end_behind(struct psp_dp *dp, struct dpu_entry *entry, const struct build *build)
{
	int32_t status = 0, listed = 0;

	if (entry->leg == NULL)
		return 0;
	status = stage_end(dp, entry, &build->stage, &build->staged);
	if (entry->list != NULL)
		listed = list_end(dp, entry, build, &entry->list);
	return status != 0 ? status : listed;
}

/* Takes back what stands behind an entry that is not there. */
static void undo(struct psp_dp *dp, struct dpu_entry *entry)
{
	dpu_inspector_down(dp, entry);
	list_remove(dp, entry, entry->list);
	entry->list = NULL;
	stage_release(dp, entry);
}

static void begin_matches(struct psp_dp *dp, struct dpu_installing *items, uint32_t n,
			  struct build *const *builds)
{
	struct dpu_piece *pieces[DPU_TOGETHER] = {NULL};
	uint32_t n_pieces = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry = items[i].entry;

		if (items[i].status != 0)
			continue;
		dpu_inspector_up(dp, entry, &builds[i]->hw.to);
		builds[i]->begun =
			dpu_hw_begin_add(dp, hw_of(entry), &builds[i]->hw, &entry->piece);
		pieces[n_pieces++] = &entry->piece;
	}
	dpu_hw_wait(dp, pieces, n_pieces);
}

void dpu_install_all(struct psp_dp *dp, struct dpu_installing *items, uint32_t n,
		     struct dp_first *told)
{
	struct build *builds[DPU_TOGETHER];

	for (uint32_t i = 0; i < n; i++) {
		builds[i] = calloc(1, sizeof(*builds[i]));
		items[i].status = builds[i] != NULL
					  ? begin_behind(dp, items[i].entry, builds[i])
					  : dp_entry_no_memory(dp, items[i].entry->base.pipe);
		told_of(dp, &items[i], told);
	}
	wait_behind(dp, items, n, builds);
	for (uint32_t i = 0; i < n; i++) {
		int32_t status = 0;

		/* What had been ordered for one that failed has an end all the same. */
		if (builds[i] != NULL)
			status = end_behind(dp, items[i].entry, builds[i]);
		if (items[i].status != 0)
			continue;
		items[i].status = status;
		told_of(dp, &items[i], told);
	}
	begin_matches(dp, items, n, builds);
	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry = items[i].entry;

		if (items[i].status == 0) {
			items[i].status = dpu_hw_end_add(dp, hw_of(entry), &builds[i]->hw,
							 &entry->piece, builds[i]->begun);
			told_of(dp, &items[i], told);
		}
		if (items[i].status != 0)
			undo(dp, entry);
		free(builds[i]);
	}
}

int32_t dpu_install(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_installing one = {.entry = entry};
	struct dp_first told = {0};

	dpu_install_all(dp, &one, 1, &told);
	return dp_first_tell(dp, &told);
}

/* Lists that nothing leads to: a NULL is none. Those that would not go are tried again later. */
static void lists_away(struct psp_dp *dp, const struct dpu_entry *const *of,
		       struct dpu_list_entry *const *lists, uint32_t n)
{
	struct dpu_piece *pieces[DPU_TOGETHER] = {NULL};
	doca_error_t begun[DPU_TOGETHER];
	uint32_t n_pieces = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (lists[i] == NULL)
			continue;
		begun[i] = dpu_hw_begin_remove(dp, &lists[i]->piece);
		pieces[n_pieces++] = &lists[i]->piece;
	}
	dpu_hw_wait(dp, pieces, n_pieces);
	for (uint32_t i = 0; i < n; i++) {
		if (lists[i] != NULL && !list_retired(dp, of[i]->leg, lists[i], begun[i]))
			list_keep(of[i]->leg, lists[i]);
	}
}

/* Crypto behind matches that have gone. */
static void crypto_away(struct psp_dp *dp, const struct dpu_installing *items, uint32_t n)
{
	const struct dpu_entry *of[DPU_TOGETHER] = {NULL};
	struct dpu_list_entry *lists[DPU_TOGETHER] = {NULL};

	for (uint32_t i = 0; i < n; i++) {
		of[i] = items[i].entry;
		lists[i] = items[i].status == 0 ? items[i].entry->list : NULL;
		if (lists[i] != NULL)
			items[i].entry->list = NULL;
	}
	lists_away(dp, of, lists, n);
}

void dpu_uninstall_all(struct psp_dp *dp, struct dpu_installing *items, uint32_t n,
		       struct dp_first *told)
{
	struct dpu_piece *pieces[DPU_TOGETHER] = {NULL};
	doca_error_t begun[DPU_TOGETHER];

	for (uint32_t i = 0; i < n; i++) {
		if (items[i].entry->leg != NULL)
			dpu_install_retry(dp, items[i].entry->leg);
		begun[i] = dpu_hw_begin_remove(dp, &items[i].entry->piece);
		pieces[i] = &items[i].entry->piece;
	}
	dpu_hw_wait(dp, pieces, n);
	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry = items[i].entry;

		items[i].status = dpu_hw_end_remove(dp, hw_of(entry), &entry->piece, begun[i]);
		/* Nobody knows of it: it is taken to be gone, and its memory stays. */
		if (entry->piece.lost)
			items[i].status = 0;
		told_of(dp, &items[i], told);
		if (items[i].status != 0)
			continue;
		dpu_detours_settle(dp, entry);
		dpu_inspector_down(dp, entry);
	}
	crypto_away(dp, items, n);
	for (uint32_t i = 0; i < n; i++) {
		if (items[i].status == 0)
			stage_release(dp, items[i].entry);
	}
}

int32_t dpu_uninstall(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_installing one = {.entry = entry};
	struct dp_first told = {0};

	dpu_uninstall_all(dp, &one, 1, &told);
	return dp_first_tell(dp, &told);
}

/* ---- from one rule to another ---------------------------------------------------------------- */

/* Crypto for the new rule: the order. */
static int32_t begin_other(struct psp_dp *dp, struct dpu_reinstalling *item, struct build *build,
			   struct dpu_list_entry **list)
{
	const struct dpu_entry *entry = item->entry;
	int32_t status;

	if (entry->leg == NULL)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot update entry %u: hardware does not update entries of "
			       "control pipes; add another and remove this one",
			       entry->base.id);
	if (build == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot update entry %u: out of memory",
			       entry->base.id);
	status = build_all(dp, entry, &item->rule, build);
	return status == 0 && entry->leg->listed ? list_begin(dp, entry, build, list) : status;
}

static void begin_updates(struct psp_dp *dp, struct dpu_reinstalling *items, uint32_t n,
			  struct build *const *builds)
{
	struct dpu_piece *pieces[DPU_TOGETHER] = {NULL};
	uint32_t n_pieces = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry = items[i].entry;

		if (items[i].status != 0)
			continue;
		builds[i]->begun =
			dpu_hw_begin_update(dp, hw_of(entry), &builds[i]->hw, &entry->piece);
		pieces[n_pieces++] = &entry->piece;
	}
	dpu_hw_wait(dp, pieces, n_pieces);
}

static void note(struct psp_dp *dp, const struct dpu_reinstalling *item, struct dp_first *told)
{
	dp_first_note(dp, told, item->rank, item->status);
}

void dpu_reinstall_all(struct psp_dp *dp, struct dpu_reinstalling *items, uint32_t n,
		       struct dp_first *told)
{
	struct build *builds[DPU_TOGETHER];
	struct dpu_list_entry *lists[DPU_TOGETHER] = {NULL};
	const struct dpu_entry *of[DPU_TOGETHER] = {NULL};
	struct dpu_piece *pieces[DPU_TOGETHER] = {NULL};
	uint32_t n_pieces = 0;

	for (uint32_t i = 0; i < n; i++) {
		of[i] = items[i].entry;
		builds[i] = calloc(1, sizeof(*builds[i]));
		items[i].status = begin_other(dp, &items[i], builds[i], &lists[i]);
		if (lists[i] != NULL)
			pieces[n_pieces++] = &lists[i]->piece;
		note(dp, &items[i], told);
	}
	dpu_hw_wait(dp, pieces, n_pieces);
	for (uint32_t i = 0; i < n; i++) {
		if (lists[i] == NULL)
			continue;
		items[i].status = list_end(dp, of[i], builds[i], &lists[i]);
		note(dp, &items[i], told);
	}
	begin_updates(dp, items, n, builds);
	for (uint32_t i = 0; i < n; i++) {
		struct dpu_entry *entry = items[i].entry;

		if (items[i].status == 0) {
			items[i].status = dpu_hw_end_update(dp, hw_of(entry), &builds[i]->hw,
							    &entry->piece, builds[i]->begun);
			note(dp, &items[i], told);
		}
		/* The match leads to the new one now, and the old one is out of use; or it is the new one that is. */
		if (items[i].status == 0 && entry->leg->listed) {
			struct dpu_list_entry *old = entry->list;

			entry->list = lists[i];
			lists[i] = old;
		}
		free(builds[i]);
	}
	lists_away(dp, of, lists, n);
}
