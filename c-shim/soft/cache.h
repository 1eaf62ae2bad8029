/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h: which entries the packets of a flow meet, pipe after pipe, as they were found for an earlier packet: a cache in
 * front of the tables, and nothing but that. What an entry does, counts and reports happens for each packet as without it.
 *
 * A packet's trail starts at a pipe. It is found by those words of struct psp_dp_match that any pipe looks at which can be
 * reached from there before a rule changes them (DECRYPT, DECAP, SET_PKT_META); behind such a rule another trail starts. The
 * writer keeps what that is for each pipe: its reach. A trail is of one generation of the tables: each change of them ends
 * it. What is drawn at random is never on a trail, and a miss that is held is not: the entry may come at any moment.
 *
 * Threads: a worker has a cache of its own, and uses it within its RCU section; reaches are the writer's, read under RCU.
 */
#ifndef PSP_SOFT_CACHE_H
#define PSP_SOFT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "reach.h"

#define SOFT_CACHE_SETS 1024u /* a power of two */
#define SOFT_CACHE_WAYS 4u
#define SOFT_TRAIL_HOPS 4u

struct psp_dp;
struct soft_pipe;

/* A trail as it is known, from the start on. The first line says whose, the others compare. */
struct soft_trail {
	_Alignas(64) const struct soft_reach *start; /* NULL: none was here */
	uint64_t generation;
	uint32_t claims; /* times that it became another flow's */
	uint8_t n;       /* hops that are known */
	uint8_t pipe[SOFT_TRAIL_HOPS];
	struct soft_entry *entry[SOFT_TRAIL_HOPS]; /* NULL: a miss */
	uint64_t words[SOFT_MATCH_WORDS];
};

/* The entry of a hash table that was found last: the packets of a super-frame have the same. */
struct soft_latest {
	const struct soft_pipe *pipe;
	uint64_t generation;
	struct soft_entry *entry;
	uint64_t words[SOFT_MATCH_WORDS];
};

struct soft_cache {
	struct soft_trail *trails; /* sets of SOFT_CACHE_WAYS; NULL: there is no cache */
	uint32_t *
		tags; /* of the same: hashes of whose they are, so that nobody else's is read; 0: nobody's */
	uint32_t mask; /* sets - 1 */
	uint32_t turn;
	struct soft_trail *last; /* that a packet was found to be on */
	struct soft_latest latest;
	uint64_t seed[SOFT_MATCH_WORDS];
};

/* Where a packet is on its trail. All 0: at the start. */
struct soft_step {
	struct soft_trail *trail; /* NULL: none */
	bool alone;               /* and there will be none before its fields change */
	uint32_t claims;          /* of the trail: else it is another flow's by now */
	uint8_t hop, known;       /* of the trail, when this packet came to it */
};

/* 0 or a status. */
int32_t soft_cache_init(struct soft_cache *cache);
void soft_cache_free(struct soft_cache *cache);

/* A packet with these fields is about to come to a pipe: where its trail is known from, if there is one. */
void soft_cache_start(struct soft_cache *cache, struct psp_dp *dp, struct soft_step *step,
		      const struct soft_pipe *pipe, const struct psp_dp_match *fields);
/* The entry that a packet with these fields meets at a pipe; NULL: it misses. */
struct soft_entry *soft_cache_find(struct soft_cache *cache, struct psp_dp *dp,
				   struct soft_step *step, const struct soft_pipe *pipe,
				   const struct psp_dp_match *fields);

/* The fields have changed: another trail starts. */
static inline void soft_step_restart(struct soft_step *step)
{
	step->trail = NULL;
	step->alone = false;
	step->hop = 0;
}

#endif
