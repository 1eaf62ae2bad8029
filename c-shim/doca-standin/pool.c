/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c: a memory pool for mbufs that knows who has each of them. What is transmitted is the NIC's; what the program
 * frees must be its own. Pools have no caches, so that every mbuf passes here.
 */
#include <rte_errno.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_spinlock.h>
#include <stdlib.h>

#include "standin.h"

enum owner { FREE = 0, PROGRAM = 1, NIC = 2 };

struct pool {
	rte_spinlock_t lock;
	uint32_t n, seeded;
	void *free[];
};

static int owner_offset = -1; /* of a dynamic field of mbufs */

static uint32_t *owner_of(void *mbuf)
{
	return (uint32_t *)(void *)((uint8_t *)mbuf + owner_offset);
}

static int pool_alloc(struct rte_mempool *mp)
{
	struct pool *pool = calloc(1, sizeof(*pool) + mp->size * sizeof(pool->free[0]));

	if (pool == NULL)
		return -ENOMEM;
	rte_spinlock_init(&pool->lock);
	mp->pool_data = pool;
	return 0;
}

static void pool_free(struct rte_mempool *mp)
{
	free(mp->pool_data);
}

static void give(const struct rte_mempool *mp, struct pool *pool, void *mbuf)
{
	/* The first time round the pool is being filled. */
	if (pool->seeded < mp->size) {
		pool->seeded++;
	} else if (*owner_of(mbuf) == FREE) {
		si_die("an mbuf is freed that is free already");
	} else if (*owner_of(mbuf) == NIC) {
		si_die("an mbuf is freed after it was transmitted");
	} else {
		*owner_of(mbuf) = FREE;
	}
	pool->free[pool->n++] = mbuf;
}

static int pool_enqueue(struct rte_mempool *mp, void *const *objects, unsigned int n)
{
	struct pool *pool = mp->pool_data;

	rte_spinlock_lock(&pool->lock);
	for (unsigned int i = 0; i < n; i++)
		give(mp, pool, objects[i]);
	rte_spinlock_unlock(&pool->lock);
	return 0;
}

static int pool_dequeue(struct rte_mempool *mp, void **objects, unsigned int n)
{
	struct pool *pool = mp->pool_data;
	int status = -ENOBUFS;

	rte_spinlock_lock(&pool->lock);
	if (pool->n >= n) {
		for (unsigned int i = 0; i < n; i++) {
			objects[i] = pool->free[--pool->n];
			*owner_of(objects[i]) = PROGRAM;
		}
		status = 0;
	}
	rte_spinlock_unlock(&pool->lock);
	return status;
}

static unsigned int pool_count(const struct rte_mempool *mp)
{
	const struct pool *pool = mp->pool_data;

	return pool->n;
}

static const struct rte_mempool_ops ops = {
	.name = "doca_standin",
	.alloc = pool_alloc,
	.free = pool_free,
	.enqueue = pool_enqueue,
	.dequeue = pool_dequeue,
	.get_count = pool_count,
};
RTE_MEMPOOL_REGISTER_OPS(ops)

struct rte_mempool *si_pool_create(const char *name, unsigned int n, uint16_t priv, uint16_t room,
				   int socket)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "doca_standin_owner",
		.size = sizeof(uint32_t),
		.align = _Alignof(uint32_t),
	};

	if (owner_offset < 0)
		owner_offset = rte_mbuf_dynfield_register(&field);
	if (owner_offset < 0)
		return NULL;
	return rte_pktmbuf_pool_create_by_ops(name, n, 0, priv, room, socket, ops.name);
}

void si_pool_check(struct rte_mempool *mp)
{
	const struct pool *pool = mp->pool_data;
	uint32_t missing;

	if (rte_mempool_get_ops(mp->ops_index)->enqueue != pool_enqueue)
		return;
	missing = pool->seeded - pool->n;
	pthread_mutex_lock(&si.lock);
	si.live.leaked_mbufs += missing;
	for (uint32_t i = 0; i < SI_PORTS * SI_QUEUES; i++) {
		struct rte_mempool **at = &si.nic[i / SI_QUEUES].pools[i % SI_QUEUES];

		*at = *at == mp ? NULL : *at;
	}
	pthread_mutex_unlock(&si.lock);
	if (missing != 0)
		(void)fprintf(stderr, "doca-standin: %u mbufs of pool \"%s\" were never freed\n",
			      missing, mp->name);
}

void si_mbuf_take(struct rte_mbuf *mbuf)
{
	if (*owner_of(mbuf) != PROGRAM)
		si_die("an mbuf is transmitted that is not the program's");
	*owner_of(mbuf) = NIC;
}

void si_mbuf_free(struct rte_mbuf *mbuf)
{
	*owner_of(mbuf) = PROGRAM;
	rte_pktmbuf_free(mbuf);
}
