/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reach.h: what decides where a packet goes from a pipe on, for the trails of cache.h: by which fields it is found there, and
 * in all pipes that it comes to with the same fields. The writer's (pipe.c); workers read it under RCU.
 */
#ifndef PSP_SOFT_REACH_H
#define PSP_SOFT_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "table.h"

/* What decides where a packet goes from a pipe on; replaced whole when it grows. */
struct soft_reach {
	struct soft_rcu_head rcu;
	struct soft_shape shape;
	bool leads; /* to another pipe, or along a list: a trail spares something */
};

/* What the writer knows of a pipe for that. It only grows. */
struct soft_looks {
	uint64_t own[SOFT_MATCH_WORDS]; /* bits that its entries are found by */
	uint64_t all[SOFT_MATCH_WORDS]; /* and those of all pipes that are reached */
	uint64_t next[DP_PIPES_MAX /
		      64]; /* by index: pipes that it forwards to, with the fields as they were */
	bool leads;
};

#endif
