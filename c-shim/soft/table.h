/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h: what entries of a pipe are found by (lookup.c). A BASIC pipe is a hash table over the masked words of struct
 * psp_dp_match; a CONTROL pipe is a list in order of priority.
 *
 * Threads: any number of readers under RCU, one writer. A table that must grow is built anew beside the old
 * one and published in one step.
 */
#ifndef PSP_SOFT_TABLE_H
#define PSP_SOFT_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "../common/pipe.h"
#include "../psp_dp.h"
#include "rcu.h"
#include "replay.h"
#include "stats.h"

#define SOFT_MATCH_WORDS (offsetof(struct psp_dp_match, reserved) / 8)

struct soft_pipe;
struct soft_rule;

/* A mask, compiled: the 64-bit words of struct psp_dp_match in which it has bits. */
struct soft_shape {
	uint32_t words;
	uint8_t at[SOFT_MATCH_WORDS];
	uint64_t mask[SOFT_MATCH_WORDS];
};

/* First what each packet of it reads and writes, last what the search compares. */
struct soft_entry {
	_Atomic(struct soft_rule *) rule; /* RCU: swapped by an update */
	_Atomic uint64_t
		source; /* what a workload sends: the MAC that the last came from, 0: none has */
	struct soft_stats stats;
	struct soft_rcu_head rcu;
	struct dp_entry base;      /* writer only */
	struct soft_shape *shape;  /* CONTROL: its own mask; NULL in a BASIC pipe */
	struct soft_replay replay; /* of a rule that checks, the first; it stays with the entry */
	uint64_t hash;             /* BASIC */
	uint64_t words[];          /* masked match, as many as the shape has */
};

static inline struct soft_entry *soft_entry(struct dp_entry *base)
{
	return (struct soft_entry *)((char *)base - offsetof(struct soft_entry, base));
}

#define SOFT_BUCKET_WAYS 5u

/*
 * One line: a search reads no entry but the one that it looks for. Where a bucket was full, its entry stands in one of the
 * next; `passed` counts those, and where nobody has passed the search ends.
 */
struct soft_bucket {
	_Alignas(64) _Atomic(struct soft_entry *) entry[SOFT_BUCKET_WAYS];
	_Atomic uint32_t tag[SOFT_BUCKET_WAYS]; /* of the entry's hash; 0: none is here */
	_Atomic uint32_t passed;
};

struct soft_buckets {
	struct soft_rcu_head rcu;
	uint32_t mask; /* buckets - 1 */
	struct soft_bucket *bucket;
};

struct soft_table {
	_Atomic(struct soft_buckets *) buckets; /* RCU */
	uint32_t used;                          /* writer only */
	uint64_t seed[2];
};

struct soft_list {
	struct soft_rcu_head rcu;
	uint32_t n;
	struct soft_entry *entries[];
};

void soft_shape_make(struct soft_shape *shape, const struct psp_dp_match *mask);
/* Writes shape->words words. */
void soft_shape_apply(const struct soft_shape *shape, const struct psp_dp_match *fields,
		      uint64_t *words);
uint64_t soft_table_hash(const struct soft_table *table, const uint64_t *words, uint32_t n);

/* expected: entries, for sizing. 0 or PSP_DP_ENOMEM. */
int32_t soft_table_init(struct soft_table *table, const uint64_t seed[2], uint32_t expected);
/* Frees at once: no reader may be left. */
void soft_table_free(struct soft_table *table);
struct soft_entry *soft_table_find(const struct soft_table *table, const uint64_t *words,
				   uint32_t n);
/* Where the search by a hash begins. */
const void *soft_table_place(const struct soft_table *table, uint64_t hash);
/* entry->words and hash are set, and no entry with these words is there. 0 or PSP_DP_ENOMEM. */
int32_t soft_table_add(struct soft_table *table, struct soft_rcu *rcu, struct soft_entry *entry);
void soft_table_remove(struct soft_table *table, struct soft_entry *entry);

/* A list replaces the one before; the caller defers the old one. NULL: out of memory. */
struct soft_list *soft_list_with(const struct soft_list *list, struct soft_entry *entry);
struct soft_list *soft_list_without(const struct soft_list *list, const struct soft_entry *entry);
struct soft_entry *soft_list_find(const struct soft_list *list, const struct psp_dp_match *fields);

#endif
