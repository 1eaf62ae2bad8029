/* SPDX-License-Identifier: Apache-2.0 */
/* RCU, the hash table and the priority list, without a plane; readers are real threads. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "../soft/soft.h"
#include "test.h"

#define ENTRIES 100000u
#define STAYING 20000u /* of these: never removed while readers look */
#define READERS 2u

static const uint64_t seed[2] = {0x0123456789abcdefu, 0xfedcba9876543210u};

struct bench {
	struct soft_rcu rcu;
	struct soft_table table;
	struct soft_entry *entries[ENTRIES];
	_Atomic bool stop;
	_Atomic uint64_t lookups, lost, wrong;
};

static void free_entry(struct soft_rcu_head *head)
{
	struct soft_entry *entry =
		(struct soft_entry *)((char *)head - offsetof(struct soft_entry, rcu));

	entry->words[0] = UINT64_MAX; /* a reader that still looks would see it, and ASan too */
	free(entry);
}

static struct soft_entry *entry_of(struct soft_table *table, uint64_t key)
{
	struct soft_entry *entry = calloc(1, sizeof(*entry) + 16);

	entry->words[0] = key;
	entry->words[1] = ~key;
	entry->base.id = (uint32_t)key;
	entry->hash = soft_table_hash(table, entry->words, 2);
	return entry;
}

static struct soft_entry *find(struct soft_table *table, uint64_t key)
{
	uint64_t words[2] = {key, ~key};

	return soft_table_find(table, words, 2);
}

struct reader {
	struct bench *bench;
	uint32_t number;
};

static void *read_on(void *arg)
{
	const struct reader *reader = arg;
	struct bench *bench = reader->bench;
	struct dp_rng rng = {{reader->number + 1, 2, 3, 4}};
	uint64_t n = 0, lost = 0, wrong = 0;

	soft_rcu_online(&bench->rcu, reader->number);
	while (!atomic_load(&bench->stop)) {
		for (uint32_t i = 0; i < 64; i++, n++) {
			uint64_t key = dp_rng_next(&rng) % ENTRIES;
			const struct soft_entry *entry = find(&bench->table, key);

			lost += key < STAYING && entry == NULL;
			wrong += entry != NULL && (entry->words[0] != key || entry->base.id != key);
		}
		soft_rcu_quiescent(&bench->rcu, reader->number);
		if (n % 4096 == 0) {
			soft_rcu_offline(&bench->rcu, reader->number);
			soft_rcu_online(&bench->rcu, reader->number);
		}
	}
	soft_rcu_offline(&bench->rcu, reader->number);
	atomic_fetch_add(&bench->lookups, n);
	atomic_fetch_add(&bench->lost, lost);
	atomic_fetch_add(&bench->wrong, wrong);
	return NULL;
}

static bool add(struct bench *bench, uint32_t key)
{
	bench->entries[key] = entry_of(&bench->table, key);
	return soft_table_add(&bench->table, &bench->rcu, bench->entries[key]) == 0;
}

static void take(struct bench *bench, uint32_t key)
{
	soft_table_remove(&bench->table, bench->entries[key]);
	soft_rcu_defer(&bench->rcu, &bench->entries[key]->rcu, free_entry);
	bench->entries[key] = NULL;
}

static void table_grows_and_shrinks_under_readers(void)
{
	struct bench *bench = NULL;
	struct reader readers[READERS];
	pthread_t threads[READERS];

	CHECK_EQ(posix_memalign((void **)&bench, 64, sizeof(*bench)), 0);
	memset(bench, 0, sizeof(*bench));
	soft_rcu_init(&bench->rcu);
	CHECK_EQ(soft_table_init(&bench->table, seed, 0), 0);
	for (uint32_t i = 0; i < STAYING; i++)
		CHECK(add(bench, i));
	for (uint32_t i = 0; i < READERS; i++) {
		soft_rcu_expect(&bench->rcu, i);
		readers[i] = (struct reader){.bench = bench, .number = i};
		CHECK_EQ(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
	}
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = STAYING; i < ENTRIES; i++)
			CHECK(add(bench, i));
		CHECK_EQ(bench->table.used, ENTRIES);
		for (uint32_t i = STAYING; i < ENTRIES; i++)
			take(bench, i);
	}
	atomic_store(&bench->stop, true);
	for (uint32_t i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	CHECK(atomic_load(&bench->lookups) > 0);
	CHECK_EQ(atomic_load(&bench->lost), 0);
	CHECK_EQ(atomic_load(&bench->wrong), 0);
	CHECK_EQ(bench->table.used, STAYING);
	CHECK(bench->rcu.deferred <= SOFT_RCU_DEFERRED_MAX);
	for (uint32_t i = 0; i < STAYING; i++)
		take(bench, i);
	soft_rcu_wait(&bench->rcu);
	CHECK_EQ(bench->rcu.deferred, 0);
	soft_table_free(&bench->table);
	free(bench);
}

static double ns_per_lookup(struct soft_table *table, uint32_t n)
{
	struct dp_rng rng = {{1, 2, 3, 4}};
	const uint32_t rounds = 200000;
	struct timespec from, to;
	uint32_t found = 0;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (uint32_t i = 0; i < rounds; i++)
		found += find(table, dp_rng_next(&rng) % n) != NULL;
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (found != rounds)
		return -1;
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
	       rounds;
}

/* Comparisons, not time: what a lookup costs may not depend on how many entries there are. */
static double probes(const struct soft_table *table)
{
	const struct soft_buckets *buckets = atomic_load(&table->buckets);
	uint64_t sum = 0, entries = 0;

	for (uint32_t i = 0; i < (buckets->mask + 1) * SOFT_BUCKET_WAYS; i++) {
		const uint32_t at = i / SOFT_BUCKET_WAYS;
		const struct soft_entry *entry =
			atomic_load(&buckets->bucket[at].entry[i % SOFT_BUCKET_WAYS]);

		if (entry == NULL)
			continue;
		sum += ((at - (uint32_t)entry->hash) & buckets->mask) + 1;
		entries++;
	}
	return (double)sum / (double)entries;
}

static void lookup_cost_does_not_depend_on_entries(void)
{
	static struct soft_rcu rcu;
	struct soft_table table;
	struct soft_entry **entries = calloc(ENTRIES, sizeof(*entries));
	double few = 0;

	soft_rcu_init(&rcu);
	CHECK_EQ(soft_table_init(&table, seed, 0), 0);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		entries[i] = entry_of(&table, i);
		CHECK_EQ(soft_table_add(&table, &rcu, entries[i]), 0);
		if (i == 99) {
			few = ns_per_lookup(&table, 100);
			CHECK(probes(&table) < 1.5);
		}
	}
	CHECK(probes(&table) < 1.5);
	printf("# ns per lookup: %.0f of 100, %.0f of %u entries\n", few,
	       ns_per_lookup(&table, ENTRIES), ENTRIES);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		soft_table_remove(&table, entries[i]);
		free(entries[i]);
	}
	CHECK(find(&table, 7) == NULL);
	soft_rcu_wait(&rcu);
	soft_table_free(&table);
	free(entries);
}

static void free_count(struct soft_rcu_head *head)
{
	++*(uint32_t *)(void *)(head + 1);
}

static void objects_live_until_every_reader_has_passed(void)
{
	static struct soft_rcu rcu;
	struct {
		struct soft_rcu_head head;
		uint32_t freed;
	} object = {.freed = 0};

	soft_rcu_init(&rcu);
	soft_rcu_expect(&rcu, 1);
	soft_rcu_online(&rcu, 0);
	soft_rcu_online(&rcu, 1);
	soft_rcu_defer(&rcu, &object.head, free_count);
	soft_rcu_reclaim(&rcu);
	CHECK_EQ(object.freed, 0);
	soft_rcu_quiescent(&rcu, 0);
	soft_rcu_reclaim(&rcu);
	CHECK_EQ(object.freed, 0);
	soft_rcu_offline(&rcu, 1);
	soft_rcu_reclaim(&rcu);
	CHECK_EQ(object.freed, 1);
	CHECK_EQ(rcu.deferred, 0);
	soft_rcu_offline(&rcu, 0);
	soft_rcu_wait(&rcu);
}

static struct soft_entry *control(uint32_t priority, uint16_t port, uint16_t mask)
{
	struct psp_dp_match match = {.parser_meta_port_id = port};
	struct psp_dp_match bits = {.parser_meta_port_id = mask};
	struct soft_entry *entry = calloc(1, sizeof(*entry) + 8);

	entry->shape = calloc(1, sizeof(*entry->shape));
	entry->base.priority = priority;
	soft_shape_make(entry->shape, &bits);
	soft_shape_apply(entry->shape, &match, entry->words);
	return entry;
}

static void list_is_looked_at_in_order_of_priority(void)
{
	struct soft_entry *any = control(5, 0, 0), *one = control(1, 1, 0xffff),
			  *also = control(1, 1, 0xffff);
	struct soft_list *a = soft_list_with(NULL, any), *b = soft_list_with(a, one),
			 *c = soft_list_with(b, also), *d = soft_list_without(c, one);
	struct psp_dp_match fields = {.size = sizeof(fields), .parser_meta_port_id = 1};

	CHECK(soft_list_find(NULL, &fields) == NULL);
	CHECK(soft_list_find(a, &fields) == any);
	CHECK(soft_list_find(c, &fields) == one);
	CHECK(soft_list_find(d, &fields) == also);
	fields.parser_meta_port_id = 2;
	CHECK(soft_list_find(c, &fields) == any);
	free(a);
	free(b);
	free(c);
	free(d);
	free(any->shape);
	free(any);
	free(one->shape);
	free(one);
	free(also->shape);
	free(also);
}

int main(void)
{
	RUN(objects_live_until_every_reader_has_passed);
	RUN(table_grows_and_shrinks_under_readers);
	RUN(lookup_cost_does_not_depend_on_entries);
	RUN(list_is_looked_at_in_order_of_priority);
	return test_summary();
}
