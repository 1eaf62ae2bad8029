/* SPDX-License-Identifier: Apache-2.0 */
#include "rcu.h"

#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define SPINS 64u
#define NAP_NS 20000

void soft_rcu_init(struct soft_rcu *rcu)
{
	memset(rcu, 0, sizeof(*rcu));
	atomic_store_explicit(&rcu->epoch, 1, memory_order_relaxed);
}

void soft_rcu_expect(struct soft_rcu *rcu, uint32_t reader)
{
	if (reader >= rcu->made)
		rcu->made = reader + 1;
}

static uint64_t next_epoch(struct soft_rcu *rcu)
{
	return atomic_fetch_add_explicit(&rcu->epoch, 1, memory_order_acq_rel) + 1;
}

/* The epoch that every reader has seen. Reading by read-modify-write pairs with soft_rcu_online(). */
static uint64_t seen_by_all(struct soft_rcu *rcu)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < rcu->made; i++) {
		uint64_t seen =
			atomic_fetch_add_explicit(&rcu->readers[i].seen, 0, memory_order_acq_rel);

		if (seen != 0 && seen < least)
			least = seen;
	}
	return least;
}

static void free_up_to(struct soft_rcu *rcu, uint64_t epoch)
{
	while (rcu->first != NULL && rcu->first->epoch <= epoch) {
		struct soft_rcu_head *head = rcu->first;

		rcu->first = head->next;
		if (rcu->first == NULL)
			rcu->last = NULL;
		rcu->deferred--;
		head->free(head);
	}
}

void soft_rcu_reclaim(struct soft_rcu *rcu)
{
	if (rcu->first != NULL)
		free_up_to(rcu, seen_by_all(rcu));
}

void soft_rcu_wait(struct soft_rcu *rcu)
{
	uint64_t epoch = next_epoch(rcu);
	uint32_t spins = 0;

	while (seen_by_all(rcu) < epoch) {
		if (++spins < SPINS)
			sched_yield();
		else
			nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	}
	free_up_to(rcu, epoch);
}

void soft_rcu_defer(struct soft_rcu *rcu, struct soft_rcu_head *head,
		    void (*free)(struct soft_rcu_head *head))
{
	head->next = NULL;
	head->free = free;
	head->epoch = next_epoch(rcu);
	if (rcu->last != NULL)
		rcu->last->next = head;
	else
		rcu->first = head;
	rcu->last = head;
	rcu->deferred++;
	if (rcu->deferred % 64 == 0)
		soft_rcu_reclaim(rcu);
	if (rcu->deferred >= SOFT_RCU_DEFERRED_MAX)
		soft_rcu_wait(rcu);
}
