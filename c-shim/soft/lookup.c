/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c: which entry a packet meets at a pipe: the tables, the trails in front of them, and the memory of both that is
 * asked for before a batch is run.
 */
#include <stdlib.h>
#include <string.h>

#include "soft.h"

#define LINE 64u
#define BUCKETS_MIN 4u
#define BUCKET_LOAD 4u    /* entries for each bucket, at most */
#define STRAYED UINT8_MAX /* as the number of a hop: the packet went where its trail does not */
#define RULE_OCTETS 192u  /* of a rule that seals by IPv4 */

_Static_assert(offsetof(struct psp_dp_match, reserved) % 8 == 0, "match is compared in words");
_Static_assert(SOFT_MATCH_WORDS <= UINT8_MAX, "words are numbered in an octet");
_Static_assert(sizeof(struct soft_bucket) == LINE, "a bucket is a line");
_Static_assert((SOFT_CACHE_SETS & (SOFT_CACHE_SETS - 1)) == 0, "a mask finds a set");
_Static_assert(DP_PIPES_MAX - 1 <= UINT8_MAX, "a hop names its pipe in an octet");
_Static_assert(offsetof(struct soft_trail, words) == LINE,
	       "what says whose a trail is fills one line");

/* ---- tables ---------------------------------------------------------------------------------- */

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

struct soft_entry *soft_pipe_find(const struct soft_pipe *pipe, const struct psp_dp_match *fields)
{
	uint64_t words[SOFT_MATCH_WORDS];

	if (pipe->base.type == PSP_DP_PIPE_CONTROL)
		return soft_list_find(atomic_load_explicit(&pipe->list, memory_order_acquire),
				      fields);
	soft_shape_apply(&pipe->shape, fields, words);
	return soft_table_find(&pipe->table, words, pipe->shape.words);
}

/* ---- trails ---------------------------------------------------------------------------------- */

int32_t soft_cache_init(struct soft_cache *cache)
{
	const size_t n = (size_t)SOFT_CACHE_SETS * SOFT_CACHE_WAYS;

	memset(cache, 0, sizeof(*cache));
	if (dp_random(cache->seed, sizeof(cache->seed)) != 0)
		return PSP_DP_EIO;
	cache->tags = calloc(n, sizeof(*cache->tags));
	cache->trails = psp_pages_alloc(n * sizeof(*cache->trails));
	if (cache->tags == NULL || cache->trails == NULL)
		return PSP_DP_ENOMEM;
	cache->mask = SOFT_CACHE_SETS - 1;
	cache->last = cache->trails; /* nobody's: it starts nowhere */
	return 0;
}

void soft_cache_free(struct soft_cache *cache)
{
	free(cache->tags);
	psp_pages_free(cache->trails,
		       (size_t)SOFT_CACHE_SETS * SOFT_CACHE_WAYS * sizeof(*cache->trails));
	cache->tags = NULL;
	cache->trails = NULL;
}

/*
 * Sums of products of pairs, after NH: no product waits for another. The seeds are the worker's own, so that nobody can
 * choose flows that push out one another.
 */
static uint32_t hash_of(const struct soft_cache *cache, const uint64_t *words, uint32_t n)
{
	__extension__ unsigned __int128 sum = 0;
	uint64_t h;

	for (uint32_t i = 0; i < n; i += 2) {
		const uint64_t a = words[i] + cache->seed[i];
		const uint64_t b = i + 1 < n ? words[i + 1] + cache->seed[i + 1] : cache->seed[i];

		__extension__ sum += (unsigned __int128)a * (b | 1u);
	}
	h = (uint64_t)sum ^ (uint64_t)(sum >> 64);
	return (uint32_t)(h ^ h >> 32);
}

/* Are these the words that a shape finds in the fields? */
static bool has_words(const struct soft_shape *shape, const struct psp_dp_match *fields,
		      const uint64_t *words)
{
	const uint8_t *from = (const uint8_t *)fields;
	uint64_t differing = 0;

	for (uint32_t i = 0; i < shape->words; i++) {
		uint64_t word;

		memcpy(&word, from + 8u * shape->at[i], sizeof(word));
		differing |= (word & shape->mask[i]) ^ words[i];
	}
	return differing == 0;
}

static bool is_trail(const struct soft_trail *trail, const struct soft_reach *start,
		     uint64_t generation, const uint64_t *words)
{
	return trail->start == start && trail->generation == generation &&
	       same_words(trail->words, words, start->shape.words);
}

/*
 * The trail of a flow that starts here; a new one, in the place of another, when there is none and the flow was seen a
 * moment ago. NULL: it was not. Where each packet is of another flow than those before it, trails would only be written.
 */
static struct soft_trail *trail_of(struct soft_cache *cache, const struct soft_reach *start,
				   uint64_t generation, const struct psp_dp_match *fields)
{
	const uint32_t n = start->shape.words;
	uint64_t words[SOFT_MATCH_WORDS];
	struct soft_trail *trail = NULL;
	uint32_t tag, first;

	if (cache->last->start == start && cache->last->generation == generation &&
	    has_words(&start->shape, fields, cache->last->words))
		return cache->last;
	soft_shape_apply(&start->shape, fields, words);
	tag = hash_of(cache, words, n) | 1u;
	first = (tag >> 1 & cache->mask) * SOFT_CACHE_WAYS;
	for (uint32_t i = 0; i < SOFT_CACHE_WAYS; i++) {
		if (cache->tags[first + i] != tag)
			continue;
		trail = &cache->trails[first + i];
		if (is_trail(trail, start, generation, words))
			return cache->last = trail;
		break;
	}
	if (trail == NULL) {
		cache->tags[first + cache->turn++ % SOFT_CACHE_WAYS] = tag;
		return NULL;
	}
	trail->start = start;
	trail->generation = generation;
	trail->claims++;
	trail->n = 0;
	memcpy(trail->words, words, n * sizeof(words[0]));
	return cache->last = trail;
}

void soft_cache_start(struct soft_cache *cache, struct psp_dp *dp, struct soft_step *step,
		      const struct soft_pipe *pipe, const struct psp_dp_match *fields)
{
	/* First the generation: what is found from here on is of this one, or newer. */
	const uint64_t generation =
		atomic_load_explicit(&dp->cache_generation, memory_order_acquire);
	const struct soft_reach *reach = atomic_load_explicit(&pipe->reach, memory_order_acquire);

	/* A hash table that leads nowhere is as quick as its trails. */
	if (cache->trails == NULL || dp->without_cache || reach == NULL || !reach->leads)
		return;
	step->hop = 0;
	step->trail = trail_of(cache, reach, generation, fields);
	step->alone = step->trail == NULL;
	if (step->alone)
		return;
	step->claims = step->trail->claims;
	step->known = step->trail->n;
}

/* What is not there is looked for each time: it may come at any moment. */
static struct soft_entry *find_alone(struct soft_cache *cache, const struct psp_dp *dp,
				     const struct soft_pipe *pipe,
				     const struct psp_dp_match *fields)
{
	const uint64_t generation =
		atomic_load_explicit(&dp->cache_generation, memory_order_acquire);
	struct soft_latest *latest = &cache->latest;
	const uint32_t n = pipe->shape.words;
	uint64_t words[SOFT_MATCH_WORDS];
	struct soft_entry *entry;

	if (pipe->base.type == PSP_DP_PIPE_CONTROL || dp->without_cache)
		return soft_pipe_find(pipe, fields);
	if (latest->pipe == pipe && latest->generation == generation &&
	    has_words(&pipe->shape, fields, latest->words))
		return latest->entry;
	soft_shape_apply(&pipe->shape, fields, words);
	entry = soft_table_find(&pipe->table, words, n);
	if (entry == NULL)
		return NULL;
	latest->pipe = pipe;
	latest->generation = generation;
	latest->entry = entry;
	memcpy(latest->words, words, n * sizeof(words[0]));
	return entry;
}

struct soft_entry *soft_cache_find(struct soft_cache *cache, struct psp_dp *dp,
				   struct soft_step *step, const struct soft_pipe *pipe,
				   const struct psp_dp_match *fields)
{
	const uint8_t index = (uint8_t)dp_pipe_index(pipe->base.id);
	struct soft_trail *trail;
	struct soft_entry *entry;

	if (step->trail == NULL && !step->alone)
		soft_cache_start(cache, dp, step, pipe, fields);
	trail = step->trail;
	if (trail == NULL)
		return find_alone(cache, dp, pipe, fields);
	if (step->hop == STRAYED || trail->claims != step->claims)
		return soft_pipe_find(pipe, fields);
	if (step->hop < step->known) {
		if (trail->pipe[step->hop] == index)
			return trail->entry[step->hop++];
		step->hop = STRAYED;
		return soft_pipe_find(pipe, fields);
	}
	entry = soft_pipe_find(pipe, fields);
	/* What others have added since this packet came to the trail was found by newer tables, perhaps. */
	if (step->hop != trail->n || trail->n == SOFT_TRAIL_HOPS ||
	    (entry == NULL && soft_pipe_holds(pipe))) {
		step->hop = STRAYED;
		return entry;
	}
	trail->pipe[trail->n] = index;
	trail->entry[trail->n++] = entry;
	step->hop++;
	step->known = step->hop;
	return entry;
}

/* ---- ahead ----------------------------------------------------------------------------------- */

/*
 * The tables and keys that the packets of a batch will meet, asked for before the first of them is run. A tunnel
 * that has been quiet is in no cache of the processor: entry, rule, slot and key hang on one another, and to wait for each
 * of them, packet by packet, takes many times as long as to seal. So each step is asked for all packets, then the next.
 *
 * Nothing is decided here: what it finds is looked for again when the packet is run, then nearby.
 */

/* A packet whose way is not that of the one before it. */
struct ahead {
	const struct soft_pipe *pipe; /* BASIC, whose table is to be asked; NULL: none */
	uint64_t hash;                /* there */
	const struct soft_entry *entry;
	const struct soft_rule *rule;
	const _Atomic(struct soft_tx_slot *) *id; /* that the rule seals with */
	const struct soft_tx_slot *slot;
	const struct soft_rx_key *key; /* of a packet from the uplink */
	uint32_t octets;
};

static void fetch(const void *at, uint32_t octets)
{
	for (uint32_t i = 0; i < octets; i += LINE)
		__builtin_prefetch((const char *)at + i);
}

/* What a packet reads and writes of an entry stands first, and last what the search compares. */
static void fetch_parts(const struct soft_entry *entry)
{
	__builtin_prefetch(entry);
	fetch(&entry->hash, 2 * LINE);
}

static const struct soft_rule *rule_of(const struct soft_entry *entry)
{
	return atomic_load_explicit(&entry->rule, memory_order_acquire);
}

/* What its table is asked by; BASIC. */
static uint64_t hash_in(const struct soft_pipe *pipe, const struct psp_dp_match *fields)
{
	uint64_t words[SOFT_MATCH_WORDS];

	soft_shape_apply(&pipe->shape, fields, words);
	return soft_table_hash(&pipe->table, words, pipe->shape.words);
}

/* Along the lists, which are short and always near, to the first hash table. */
static void resolve(struct ahead *to, const struct soft_pipe *pipe,
		    const struct psp_dp_match *fields)
{
	const struct soft_rule *rule;

	for (uint32_t hops = 0; hops < SOFT_TRAIL_HOPS; hops++) {
		if (atomic_load_explicit(&pipe->random, memory_order_relaxed))
			return;
		if (pipe->base.type == PSP_DP_PIPE_BASIC) {
			to->pipe = pipe;
			to->hash = hash_in(pipe, fields);
			__builtin_prefetch(soft_table_place(&pipe->table, to->hash));
			return;
		}
		to->entry = soft_pipe_find(pipe, fields);
		rule = to->entry != NULL ? rule_of(to->entry) : NULL;
		if (rule == NULL || rule->fwd.type != PSP_DP_FWD_PIPE ||
		    (rule->flags & SOFT_CHANGES_FIELDS) != 0)
			return;
		pipe = soft_pipe(rule->fwd.pipe);
	}
}

/* The last entry that is known of a trail is the one that seals, if any does. */
static void follow(struct ahead *to, const struct soft_step *step)
{
	for (uint8_t i = 0; i < step->known; i++) {
		if (step->trail->entry[i] != NULL)
			to->entry = step->trail->entry[i];
	}
	if (to->entry != NULL)
		__builtin_prefetch(to->entry);
}

/* True: this packet's way is another than the one before had, and was found, as far as that goes. */
static bool look(struct soft_worker *worker, const struct soft_pipe *root, uint32_t i,
		 struct ahead *to)
{
	const struct dp_packet *packet = &worker->packets[i];
	const struct soft_step *step = &worker->steps[i];

	if (packet->port == PSP_DP_PORT_UPLINK) {
		if (packet->fields.tun_psp_spi == 0 ||
		    (i > 0 && packet->fields.tun_psp_spi == packet[-1].fields.tun_psp_spi))
			return false;
		*to = (struct ahead){.octets = packet->len - packet->l3_off};
		soft_rx_keys_fetch(&worker->rx_keys, packet->fields.tun_psp_spi);
		return true;
	}
	if (i > 0 && step->trail != NULL && step->trail == step[-1].trail)
		return false;
	*to = (struct ahead){.octets = packet->len - packet->l3_off};
	if (step->known > 0)
		follow(to, step);
	else
		resolve(to, root, &packet->fields);
	return true;
}

/* The entry that a search by a hash will find there, most likely, once where it begins is near. */
static const struct soft_entry *guess(const struct soft_table *table, uint64_t hash)
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

static void fetch_entry(struct ahead *to)
{
	if (to->pipe == NULL)
		return;
	to->entry = guess(&to->pipe->table, to->hash);
	if (to->entry != NULL)
		fetch_parts(to->entry);
}

static void fetch_rule(struct ahead *to)
{
	to->rule = to->entry != NULL ? rule_of(to->entry) : NULL;
	if (to->rule == NULL)
		return;
	fetch(to->rule, RULE_OCTETS);
}

static void fetch_id(const struct soft_worker *worker, struct ahead *to)
{
	if (to->rule == NULL || (to->rule->flags & PSP_DP_ACTION_ENCRYPT) == 0)
		return;
	to->id = &worker->dp->keys.tx[to->rule->crypto_id];
	__builtin_prefetch(to->id);
}

static void fetch_slot(struct ahead *to)
{
	if (to->id != NULL)
		to->slot = atomic_load_explicit(to->id, memory_order_acquire);
	if (to->slot != NULL)
		fetch(to->slot, sizeof(*to->slot));
}

/* Of the uplink's packets the keys, and where their tunnels' packets went last. */
static void fetch_received(const struct soft_worker *worker, struct ahead *ahead,
			   const uint32_t *which, uint32_t n)
{
	const struct psp_crypto_backend *backend = worker->dp->base.keys.backend;

	for (uint32_t i = 0; i < n; i++)
		ahead[i].key = soft_rx_keys_guess(&worker->rx_keys,
						  worker->packets[which[i]].fields.tun_psp_spi);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t flags = worker->packets[which[i]].fields.tun_psp_s_d_ver_v;
		const struct soft_rx_key *key = ahead[i].key;
		const struct soft_entry *entry;

		if (key == NULL)
			continue;
		backend->key_fetch(key->aead,
				   (uint32_t)(flags >> PSP_VERSION_SHIFT) & PSP_VERSION_MASK,
				   ahead[i].octets);
		__builtin_prefetch(soft_rx_hint_get(&key->hint, SOFT_RX_BUCKET));
		entry = soft_rx_hint_get(&key->hint, SOFT_RX_ENTRY);
		if (entry != NULL)
			fetch_parts(entry);
		fetch(soft_rx_hint_get(&key->hint, SOFT_RX_RULE),
		      offsetof(struct soft_rule, encap));
		__builtin_prefetch(soft_rx_hint_get(&key->hint, SOFT_RX_WINDOW), 1);
	}
}

/* Of the workloads' packets what seals them: each is found by the one before it. */
static void fetch_sent(const struct soft_worker *worker, struct ahead *ahead, uint32_t n)
{
	const struct psp_crypto_backend *backend = worker->dp->base.keys.backend;

	for (uint32_t i = 0; i < n; i++)
		fetch_entry(&ahead[i]);
	for (uint32_t i = 0; i < n; i++)
		fetch_rule(&ahead[i]);
	for (uint32_t i = 0; i < n; i++)
		fetch_id(worker, &ahead[i]);
	for (uint32_t i = 0; i < n; i++)
		fetch_slot(&ahead[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (ahead[i].slot != NULL)
			backend->key_fetch(ahead[i].slot->key.aead, ahead[i].slot->key.version,
					   ahead[i].octets);
	}
}

void soft_ahead(struct soft_worker *worker, const struct soft_pipe *root, uint32_t n)
{
	struct ahead ahead[SOFT_PORT_BATCH];
	uint32_t which[SOFT_PORT_BATCH], m = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!worker->sound[i])
			continue;
		which[m] = i;
		m += look(worker, root, i, &ahead[m]);
	}
	/* What is one flow's is near from its first packet on. */
	if (m < 2)
		return;
	if (worker->packets[0].port == PSP_DP_PORT_UPLINK)
		fetch_received(worker, ahead, which, m);
	else
		fetch_sent(worker, ahead, m);
}
