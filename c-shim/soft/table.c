/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "../psp/pages.h"

_Static_assert(offsetof(struct psp_dp_match, reserved) % 8 == 0, "match is compared in words");
_Static_assert(SOFT_MATCH_WORDS <= UINT8_MAX, "words are numbered in an octet");

_Static_assert(sizeof(struct soft_bucket) == 64, "a bucket is a line");

#define BUCKETS_MIN 4u
#define BUCKET_LOAD 4u /* entries for each bucket, at most */

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

static struct soft_buckets *buckets_new(uint32_t n)
{
	struct soft_buckets *buckets = calloc(1, sizeof(*buckets));

	if (buckets == NULL)
		return NULL;
	buckets->mask = n - 1;
	buckets->bucket = psp_pages_alloc((size_t)n * sizeof(*buckets->bucket));
	if (buckets->bucket != NULL)
		return buckets;
	free(buckets);
	return NULL;
}

static void buckets_free(struct soft_rcu_head *head)
{
	struct soft_buckets *buckets = (struct soft_buckets *)head;

	if (buckets == NULL)
		return;
	psp_pages_free(buckets->bucket, ((size_t)buckets->mask + 1) * sizeof(*buckets->bucket));
	free(buckets);
}

static uint32_t buckets_for(uint32_t entries)
{
	uint32_t n = BUCKETS_MIN;

	while (n < UINT32_C(1) << 31 && n * UINT64_C(1) * BUCKET_LOAD < entries)
		n *= 2;
	return n;
}

int32_t soft_table_init(struct soft_table *table, const uint64_t seed[2], uint32_t expected)
{
	struct soft_buckets *buckets = buckets_new(buckets_for(expected));

	memset(table, 0, sizeof(*table));
	if (buckets == NULL)
		return PSP_DP_ENOMEM;
	table->seed[0] = seed[0];
	table->seed[1] = seed[1];
	atomic_store_explicit(&table->buckets, buckets, memory_order_release);
	return 0;
}

void soft_table_free(struct soft_table *table)
{
	struct soft_buckets *buckets = atomic_load_explicit(&table->buckets, memory_order_relaxed);

	buckets_free(buckets != NULL ? &buckets->rcu : NULL);
	atomic_store_explicit(&table->buckets, NULL, memory_order_relaxed);
}

/* The low bits of a hash say which bucket, the high ones tell apart what is in it. */
static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1u;
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
	const struct soft_buckets *buckets =
		atomic_load_explicit(&table->buckets, memory_order_acquire);
	const uint64_t hash = soft_table_hash(table, words, n);
	const uint32_t tag = tag_of(hash);

	for (uint32_t i = 0; i <= buckets->mask; i++) {
		const struct soft_bucket *bucket =
			&buckets->bucket[((uint32_t)hash + i) & buckets->mask];

		for (uint32_t way = 0; way < SOFT_BUCKET_WAYS; way++) {
			struct soft_entry *entry;

			if (atomic_load_explicit(&bucket->tag[way], memory_order_relaxed) != tag)
				continue;
			entry = atomic_load_explicit(&bucket->entry[way], memory_order_acquire);
			if (entry != NULL && entry->hash == hash &&
			    same_words(entry->words, words, n))
				return entry;
		}
		if (atomic_load_explicit(&bucket->passed, memory_order_relaxed) == 0)
			break;
	}
	return NULL;
}

const void *soft_table_place(const struct soft_table *table, uint64_t hash)
{
	const struct soft_buckets *buckets =
		atomic_load_explicit(&table->buckets, memory_order_acquire);

	return &buckets->bucket[(uint32_t)hash & buckets->mask];
}

const struct soft_entry *soft_table_guess(const struct soft_table *table, uint64_t hash)
{
	const struct soft_buckets *buckets =
		atomic_load_explicit(&table->buckets, memory_order_acquire);
	const struct soft_bucket *bucket = &buckets->bucket[(uint32_t)hash & buckets->mask];

	for (uint32_t way = 0; way < SOFT_BUCKET_WAYS; way++) {
		if (atomic_load_explicit(&bucket->tag[way], memory_order_relaxed) == tag_of(hash))
			return atomic_load_explicit(&bucket->entry[way], memory_order_acquire);
	}
	return NULL;
}

static void count_passed(struct soft_bucket *bucket, uint32_t by)
{
	const uint32_t passed = atomic_load_explicit(&bucket->passed, memory_order_relaxed);

	atomic_store_explicit(&bucket->passed, passed + by, memory_order_release);
}

static bool put_in(struct soft_bucket *bucket, struct soft_entry *entry)
{
	for (uint32_t way = 0; way < SOFT_BUCKET_WAYS; way++) {
		if (atomic_load_explicit(&bucket->entry[way], memory_order_relaxed) != NULL)
			continue;
		atomic_store_explicit(&bucket->entry[way], entry, memory_order_release);
		atomic_store_explicit(&bucket->tag[way], tag_of(entry->hash), memory_order_release);
		return true;
	}
	return false;
}

static bool take_out(struct soft_bucket *bucket, const struct soft_entry *entry)
{
	for (uint32_t way = 0; way < SOFT_BUCKET_WAYS; way++) {
		if (atomic_load_explicit(&bucket->entry[way], memory_order_relaxed) != entry)
			continue;
		atomic_store_explicit(&bucket->tag[way], 0, memory_order_relaxed);
		atomic_store_explicit(&bucket->entry[way], NULL, memory_order_release);
		return true;
	}
	return false;
}

static struct soft_bucket *bucket_at(const struct soft_buckets *buckets,
				     const struct soft_entry *entry, uint32_t nth)
{
	return &buckets->bucket[((uint32_t)entry->hash + nth) & buckets->mask];
}

/* There is room: no more than BUCKET_LOAD of SOFT_BUCKET_WAYS are taken. */
static void buckets_put(const struct soft_buckets *buckets, struct soft_entry *entry)
{
	uint32_t nth = 0;

	while (!put_in(bucket_at(buckets, entry, nth), entry))
		count_passed(bucket_at(buckets, entry, nth++), 1);
}

static int32_t rebuild(struct soft_table *table, struct soft_rcu *rcu, uint32_t entries)
{
	struct soft_buckets *old = atomic_load_explicit(&table->buckets, memory_order_relaxed);
	struct soft_buckets *buckets = buckets_new(buckets_for(entries));

	if (buckets == NULL)
		return PSP_DP_ENOMEM;
	for (uint32_t i = 0; i < (old->mask + 1) * SOFT_BUCKET_WAYS; i++) {
		struct soft_entry *entry = atomic_load_explicit(
			&old->bucket[i / SOFT_BUCKET_WAYS].entry[i % SOFT_BUCKET_WAYS],
			memory_order_relaxed);

		if (entry != NULL)
			buckets_put(buckets, entry);
	}
	atomic_store_explicit(&table->buckets, buckets, memory_order_release);
	soft_rcu_defer(rcu, &old->rcu, buckets_free);
	return 0;
}

int32_t soft_table_add(struct soft_table *table, struct soft_rcu *rcu, struct soft_entry *entry)
{
	const struct soft_buckets *buckets =
		atomic_load_explicit(&table->buckets, memory_order_relaxed);

	if (table->used / BUCKET_LOAD > buckets->mask) {
		int32_t status = rebuild(table, rcu, table->used + 1);

		if (status != 0)
			return status;
		buckets = atomic_load_explicit(&table->buckets, memory_order_relaxed);
	}
	buckets_put(buckets, entry);
	table->used++;
	return 0;
}

void soft_table_remove(struct soft_table *table, struct soft_entry *entry)
{
	const struct soft_buckets *buckets =
		atomic_load_explicit(&table->buckets, memory_order_relaxed);
	uint32_t nth = 0;

	while (!take_out(bucket_at(buckets, entry, nth), entry))
		nth++;
	while (nth > 0)
		count_passed(bucket_at(buckets, entry, --nth), UINT32_MAX);
	table->used--;
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
