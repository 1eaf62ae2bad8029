/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rcu.h: readers that take no lock, after the QSBR scheme. A worker says when it holds no pointer into the
 * tables (quiescent) and when it sleeps (offline); the writer frees what it unpublished once all have said so.
 *
 * Threads: each reader calls with its own number; defer, reclaim and wait belong to the one writer.
 */
#ifndef PSP_SOFT_RCU_H
#define PSP_SOFT_RCU_H

#include <stdatomic.h>
#include <stdint.h>

#define SOFT_RCU_READERS 257u
#define SOFT_RCU_DEFERRED_MAX 4096u /* objects; beyond, the writer waits for the readers */

/* First member of whatever is freed after a grace period. */
struct soft_rcu_head {
	struct soft_rcu_head *next;
	uint64_t epoch;
	void (*free)(struct soft_rcu_head *head);
};

struct soft_rcu_reader {
	_Alignas(64) _Atomic uint64_t seen; /* the epoch it has seen; 0: offline */
};

struct soft_rcu {
	struct soft_rcu_reader readers[SOFT_RCU_READERS];
	_Alignas(64) _Atomic uint64_t epoch;
	struct soft_rcu_head *first, *last; /* deferred, oldest first */
	uint32_t deferred;
	uint32_t made; /* readers 0 to made - 1 may be online; writer */
};

void soft_rcu_init(struct soft_rcu *rcu);
/* The writer says so before the reader first goes online. */
void soft_rcu_expect(struct soft_rcu *rcu, uint32_t reader);

static inline void soft_rcu_quiescent(struct soft_rcu *rcu, uint32_t reader)
{
	atomic_store_explicit(&rcu->readers[reader].seen,
			      atomic_load_explicit(&rcu->epoch, memory_order_acquire),
			      memory_order_release);
}

/* An exchange, not a store: it is ordered with the writer's own read-modify-write of the same word. */
static inline void soft_rcu_online(struct soft_rcu *rcu, uint32_t reader)
{
	atomic_exchange_explicit(&rcu->readers[reader].seen,
				 atomic_load_explicit(&rcu->epoch, memory_order_acquire),
				 memory_order_acq_rel);
}

static inline void soft_rcu_offline(struct soft_rcu *rcu, uint32_t reader)
{
	atomic_store_explicit(&rcu->readers[reader].seen, 0, memory_order_release);
}

/* The object was unpublished before this call; free() is called when no reader can hold it. */
void soft_rcu_defer(struct soft_rcu *rcu, struct soft_rcu_head *head,
		    void (*free)(struct soft_rcu_head *head));
/* Frees what is due. */
void soft_rcu_reclaim(struct soft_rcu *rcu);
/* Waits until every reader has passed (microseconds: a frame), then frees all that was deferred. */
void soft_rcu_wait(struct soft_rcu *rcu);

#endif
