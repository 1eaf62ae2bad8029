/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h: packets and octets of an entry, a pipe, a key or a port, added to by many workers, read by anybody.
 *
 * A locked addition costs a small packet more than its encryption. Nearly every object is met by one worker alone: the
 * first that adds to it owns a pair of counters that nobody else writes. The others share a second pair.
 */
#ifndef PSP_SOFT_STATS_H
#define PSP_SOFT_STATS_H

#include <stdatomic.h>

#include "../psp_dp.h"

struct soft_stats {
	_Atomic uint64_t packets, bytes; /* the owner's */
	_Atomic uint64_t last_used_ns;
	_Atomic uint64_t shared_packets, shared_bytes;
	_Atomic uint32_t owner; /* number of the worker, and 1; 0: nobody has added yet */
};

/* A number may belong to another worker once the one before has ended. */
static inline bool soft_stats_own(struct soft_stats *stats, uint32_t worker)
{
	uint32_t owner = atomic_load_explicit(&stats->owner, memory_order_relaxed);

	if (owner == 0 &&
	    atomic_compare_exchange_strong_explicit(&stats->owner, &owner, worker + 1,
						    memory_order_relaxed, memory_order_relaxed))
		return true;
	return owner == worker + 1;
}

static inline void soft_stats_add_own(_Atomic uint64_t *count, uint64_t n)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void soft_stats_add(struct soft_stats *stats, uint32_t worker, uint64_t packets,
				  uint64_t bytes, uint64_t now_ns)
{
	if (soft_stats_own(stats, worker)) {
		soft_stats_add_own(&stats->packets, packets);
		soft_stats_add_own(&stats->bytes, bytes);
	} else {
		atomic_fetch_add_explicit(&stats->shared_packets, packets, memory_order_relaxed);
		atomic_fetch_add_explicit(&stats->shared_bytes, bytes, memory_order_relaxed);
	}
	atomic_store_explicit(&stats->last_used_ns, now_ns, memory_order_relaxed);
}

/* From a thread that is no worker. */
static inline void soft_stats_add_shared(struct soft_stats *stats, uint64_t packets, uint64_t bytes)
{
	atomic_fetch_add_explicit(&stats->shared_packets, packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&stats->shared_bytes, bytes, memory_order_relaxed);
}

static inline void soft_stats_read(const struct soft_stats *stats, struct psp_dp_stats *out)
{
	out->packets = atomic_load_explicit(&stats->packets, memory_order_relaxed) +
		       atomic_load_explicit(&stats->shared_packets, memory_order_relaxed);
	out->bytes = atomic_load_explicit(&stats->bytes, memory_order_relaxed) +
		     atomic_load_explicit(&stats->shared_bytes, memory_order_relaxed);
	out->last_used_ns = atomic_load_explicit(&stats->last_used_ns, memory_order_relaxed);
}

#endif
