/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct psp_dp_match, reserved) % 8 == 0, "match is compared in words");
_Static_assert(SOFT_MATCH_WORDS <= UINT8_MAX, "words are numbered in an octet");

#define SLOTS_MIN 16u

/* Where an entry was removed: readers probe on, the writer may use the slot again. */
static struct soft_entry grave;

void soft_shape_make(struct soft_shape *shape, const struct psp_dp_match *mask)
{
	struct psp_dp_match m = *mask;
	uint64_t words[SOFT_MATCH_WORDS];

	m.size = 0; /* is no part of a packet */
	memcpy(words, &m, sizeof(words));
	memset(shape, 0, sizeof(*shape));
	for (uint8_t i = 0; i < SOFT_MATCH_WORDS; i++) {
		if (words[i] == 0)
			continue;
		shape->at[shape->words] = i;
		shape->mask[shape->words] = words[i];
		shape->words++;
	}
}

void soft_shape_apply(const struct soft_shape *shape, const struct psp_dp_match *fields,
		      uint64_t *words)
{
	const uint8_t *from = (const uint8_t *)fields;

	for (uint32_t i = 0; i < shape->words; i++) {
		memcpy(&words[i], from + 8u * shape->at[i], 8);
		words[i] &= shape->mask[i];
	}
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold, after wyhash; the seeds keep a peer from choosing addresses that collide. */
uint64_t soft_table_hash(const struct soft_table *table, const uint64_t *words, uint32_t n)
{
	uint64_t h = table->seed[0];

	for (uint32_t i = 0; i < n; i++)
		h = mix(words[i] ^ table->seed[1] ^ h, 0x9e3779b97f4a7c15u ^ (h >> 32)) + h;
	return mix(h ^ 0xe7037ed1a0b428dbu, table->seed[1] | 1u);
}

static struct soft_slots *slots_new(uint32_t n)
{
	struct soft_slots *slots = calloc(1, sizeof(*slots) + (size_t)n * sizeof(slots->slot[0]));

	if (slots != NULL)
		slots->mask = n - 1;
	return slots;
}

static void slots_free(struct soft_rcu_head *head)
{
	free(head);
}

/* At most half full, so that a probe ends soon. */
static uint32_t slots_for(uint32_t entries)
{
	uint32_t n = SLOTS_MIN;

	while (n < UINT32_C(1) << 31 && n / 2 < entries)
		n *= 2;
	return n;
}

int32_t soft_table_init(struct soft_table *table, const uint64_t seed[2], uint32_t expected)
{
	struct soft_slots *slots = slots_new(slots_for(expected));

	memset(table, 0, sizeof(*table));
	if (slots == NULL)
		return PSP_DP_ENOMEM;
	table->seed[0] = seed[0];
	table->seed[1] = seed[1];
	atomic_store_explicit(&table->slots, slots, memory_order_release);
	return 0;
}

void soft_table_free(struct soft_table *table)
{
	free(atomic_load_explicit(&table->slots, memory_order_relaxed));
	atomic_store_explicit(&table->slots, NULL, memory_order_relaxed);
}

static bool same_words(const uint64_t *a, const uint64_t *b, uint32_t n)
{
	uint64_t differing = 0;

	for (uint32_t i = 0; i < n; i++)
		differing |= a[i] ^ b[i];
	return differing == 0;
}

struct soft_entry *soft_table_find(const struct soft_table *table, const uint64_t *words,
				   uint32_t n)
{
	const struct soft_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
	uint64_t hash = soft_table_hash(table, words, n);

	for (uint32_t i = (uint32_t)hash & slots->mask;; i = (i + 1) & slots->mask) {
		struct soft_entry *entry =
			atomic_load_explicit(&slots->slot[i], memory_order_acquire);

		if (entry == NULL)
			return NULL;
		if (entry != &grave && entry->hash == hash && same_words(entry->words, words, n))
			return entry;
	}
}

void soft_table_fetch(const struct soft_table *table, uint64_t hash)
{
	const struct soft_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);

	__builtin_prefetch(&slots->slot[(uint32_t)hash & slots->mask]);
}

const struct soft_entry *soft_table_guess(const struct soft_table *table, uint64_t hash)
{
	const struct soft_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
	const struct soft_entry *entry = atomic_load_explicit(
		&slots->slot[(uint32_t)hash & slots->mask], memory_order_acquire);

	return entry != &grave ? entry : NULL;
}

/* True when the slot was empty and not a grave. */
static bool slots_put(struct soft_slots *slots, struct soft_entry *entry)
{
	for (uint32_t i = (uint32_t)entry->hash & slots->mask;; i = (i + 1) & slots->mask) {
		struct soft_entry *at = atomic_load_explicit(&slots->slot[i], memory_order_relaxed);

		if (at != NULL && at != &grave)
			continue;
		atomic_store_explicit(&slots->slot[i], entry, memory_order_release);
		return at == NULL;
	}
}

/* Also sweeps the graves: a table that only changes is rebuilt at its own size. */
static int32_t rebuild(struct soft_table *table, struct soft_rcu *rcu, uint32_t entries)
{
	struct soft_slots *old = atomic_load_explicit(&table->slots, memory_order_relaxed);
	struct soft_slots *slots = slots_new(slots_for(entries));

	if (slots == NULL)
		return PSP_DP_ENOMEM;
	for (uint32_t i = 0; i <= old->mask; i++) {
		struct soft_entry *entry =
			atomic_load_explicit(&old->slot[i], memory_order_relaxed);

		if (entry != NULL && entry != &grave)
			slots_put(slots, entry);
	}
	table->graves = 0;
	atomic_store_explicit(&table->slots, slots, memory_order_release);
	soft_rcu_defer(rcu, &old->rcu, slots_free);
	return 0;
}

int32_t soft_table_add(struct soft_table *table, struct soft_rcu *rcu, struct soft_entry *entry)
{
	struct soft_slots *slots = atomic_load_explicit(&table->slots, memory_order_relaxed);

	if (table->used + table->graves >= slots->mask / 2 + 1) {
		int32_t status = rebuild(table, rcu, table->used + table->used / 2 + 1);

		if (status != 0)
			return status;
		slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	}
	if (!slots_put(slots, entry))
		table->graves--;
	table->used++;
	return 0;
}

void soft_table_remove(struct soft_table *table, struct soft_entry *entry)
{
	struct soft_slots *slots = atomic_load_explicit(&table->slots, memory_order_relaxed);
	uint32_t i = (uint32_t)entry->hash & slots->mask;

	while (atomic_load_explicit(&slots->slot[i], memory_order_relaxed) != entry)
		i = (i + 1) & slots->mask;
	atomic_store_explicit(&slots->slot[i], &grave, memory_order_release);
	table->used--;
	table->graves++;
}

struct soft_list *soft_list_with(const struct soft_list *list, struct soft_entry *entry)
{
	uint32_t n = list != NULL ? list->n : 0;
	struct soft_list *fresh =
		calloc(1, sizeof(*fresh) + ((size_t)n + 1) * sizeof(fresh->entries[0]));
	uint32_t i = 0;

	if (fresh == NULL)
		return NULL;
	/* Of equal priority the one that came first stays first. */
	for (; i < n && list->entries[i]->base.priority <= entry->base.priority; i++)
		fresh->entries[i] = list->entries[i];
	fresh->entries[i] = entry;
	for (; i < n; i++)
		fresh->entries[i + 1] = list->entries[i];
	fresh->n = n + 1;
	return fresh;
}

struct soft_list *soft_list_without(const struct soft_list *list, const struct soft_entry *entry)
{
	struct soft_list *fresh =
		calloc(1, sizeof(*fresh) + (size_t)list->n * sizeof(fresh->entries[0]));

	if (fresh == NULL)
		return NULL;
	for (uint32_t i = 0; i < list->n; i++) {
		if (list->entries[i] != entry)
			fresh->entries[fresh->n++] = list->entries[i];
	}
	return fresh;
}

/* Most entries of a list look at one word or two, and most packets differ in the first. */
static bool matches(const struct soft_entry *entry, const struct psp_dp_match *fields)
{
	const struct soft_shape *shape = entry->shape;
	const uint8_t *from = (const uint8_t *)fields;

	for (uint32_t i = 0; i < shape->words; i++) {
		uint64_t word;

		memcpy(&word, from + 8u * shape->at[i], sizeof(word));
		if ((word & shape->mask[i]) != entry->words[i])
			return false;
	}
	return true;
}

struct soft_entry *soft_list_find(const struct soft_list *list, const struct psp_dp_match *fields)
{
	for (uint32_t i = 0; list != NULL && i < list->n; i++) {
		if (matches(list->entries[i], fields))
			return list->entries[i];
	}
	return NULL;
}
