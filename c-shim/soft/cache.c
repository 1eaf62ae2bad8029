/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c: trails of packets through the pipes, found by what the pipes look at. */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#include "soft.h"

#define STRAYED UINT8_MAX /* as the number of a hop: the packet went where its trail does not */

_Static_assert((SOFT_CACHE_SETS & (SOFT_CACHE_SETS - 1)) == 0, "a mask finds a set");
_Static_assert(DP_PIPES_MAX - 1 <= UINT8_MAX, "a hop names its pipe in an octet");
_Static_assert(offsetof(struct soft_trail, words) == 64,
	       "what says whose a trail is fills one line");

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

static bool same_words(const uint64_t *a, const uint64_t *b, uint32_t n)
{
	uint64_t differing = 0;

	for (uint32_t i = 0; i < n; i++)
		differing |= a[i] ^ b[i];
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

	soft_shape_apply(&start->shape, fields, words);
	if (is_trail(cache->last, start, generation, words))
		return cache->last;
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
	soft_shape_apply(&pipe->shape, fields, words);
	if (latest->pipe == pipe && latest->generation == generation &&
	    same_words(latest->words, words, n))
		return latest->entry;
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
