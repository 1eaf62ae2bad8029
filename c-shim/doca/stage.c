/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.c: two lookups for one IPv6 match. Two addresses and an SPI do not fit what hardware compares at once (the
 * samples split them the same way): a first pipe turns source address and SPI (and port) into a number, the second compares the
 * number and the rest. Entries with the same source and SPI share theirs.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "match.h"

#define BUCKETS 4096u /* a power of two */

int32_t dpu_numbers_init(struct dpu_numbers *numbers, uint32_t max)
{
	numbers->free = malloc((size_t)max * sizeof(*numbers->free));
	numbers->n_free = 0;
	numbers->made = 0;
	numbers->max = max;
	return numbers->free != NULL ? 0 : PSP_DP_ENOMEM;
}

uint32_t dpu_numbers_take(struct dpu_numbers *numbers)
{
	if (numbers->n_free > 0)
		return numbers->free[--numbers->n_free];
	return numbers->made < numbers->max ? ++numbers->made : 0;
}

void dpu_numbers_give(struct dpu_numbers *numbers, uint32_t number)
{
	numbers->free[numbers->n_free++] = number;
}

static void key_of(const struct dpu_entry *entry, struct dpu_stage_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->src,
	       dpu_pipe(entry->base.pipe)->by_inner ? entry->match.inner_ip_src
						    : entry->match.outer_ip_src,
	       16);
	key->spi = entry->match.tun_psp_spi;
	key->port = entry->match.parser_meta_port_id;
}

static struct dpu_stage_entry **bucket_of(struct dpu_leg *leg, const struct dpu_stage_key *key)
{
	uint32_t h = key->spi ^ key->port << 16;

	/* Only the agent's entries come here, not what the network sends. */
	for (uint32_t i = 0; i < sizeof(key->src); i++)
		h = (h ^ key->src[i]) * 16777619u;
	return &leg->stage_buckets[h & (BUCKETS - 1)];
}

/* What the first lookup's entry is. */
static void fill(const struct psp_dp *dp, const struct dpu_entry *entry,
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

int32_t dpu_stage_begin(struct psp_dp *dp, struct dpu_entry *entry, struct dpu_hw_entry *hw,
			struct dpu_stage_order *order)
{
	struct dpu_leg *leg = entry->leg;
	struct dpu_stage_entry *stage, **bucket;
	struct dpu_stage_key key;

	order->given = false;
	if (!leg->staged)
		return 0;
	if (leg->stage_buckets == NULL)
		leg->stage_buckets = calloc(BUCKETS, sizeof(*leg->stage_buckets));
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
	stage->number = dpu_numbers_take(&leg->stage_numbers);
	if (stage->number == 0) {
		free(stage);
		return dp_fail(dp, PSP_DP_ENOSPC, "Cannot add entry to pipe \"%s\": it is full",
			       entry->base.pipe->name);
	}
	stage->next = *bucket;
	*bucket = stage;
	entry->stage = stage;
	fill(dp, entry, stage, hw);
	order->given = true;
	order->begun = dpu_hw_begin_add(dp, &leg->stage, hw, &stage->piece);
	return 0;
}

int32_t dpu_stage_end(struct psp_dp *dp, const struct dpu_entry *entry,
		      const struct dpu_hw_entry *hw, const struct dpu_stage_order *order)
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
static bool retire(struct psp_dp *dp, struct dpu_leg *leg, struct dpu_stage_entry *stage)
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
		dpu_numbers_give(&leg->stage_numbers, stage->number);
	dpu_free(dp, stage, !gone);
	return true;
}

void dpu_stage_release(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_stage_entry *stage = entry->stage;

	if (stage == NULL)
		return;
	entry->stage = NULL;
	if (--stage->refs == 0 && !retire(dp, entry->leg, stage))
		entry->leg->stale_stages++;
}

void dpu_stage_retry(struct psp_dp *dp, struct dpu_leg *leg)
{
	for (uint32_t i = 0; leg->stale_stages > 0 && i < BUCKETS; i++) {
		struct dpu_stage_entry *stage = leg->stage_buckets[i];

		while (stage != NULL) {
			struct dpu_stage_entry *next = stage->next;

			if (stage->refs == 0 && retire(dp, leg, stage))
				leg->stale_stages--;
			stage = next;
		}
	}
}

void dpu_stage_forget(struct dpu_leg *leg)
{
	for (uint32_t i = 0; leg->stage_buckets != NULL && i < BUCKETS; i++) {
		while (leg->stage_buckets[i] != NULL) {
			struct dpu_stage_entry *stage = leg->stage_buckets[i];

			leg->stage_buckets[i] = stage->next;
			free(stage);
		}
	}
	free(leg->stage_buckets);
	leg->stage_buckets = NULL;
}
