/* SPDX-License-Identifier: Apache-2.0 */
/* master.c: SPIs and their keys from the two master keys, and the rotation of those. */
#include <stdlib.h>
#include <string.h>

#include "../psp/kdf.h"
#include "soft.h"

void soft_master_free(struct soft_master *master)
{
	if (master == NULL)
		return;
	explicit_bzero(master, sizeof(*master));
	free(master);
}

static void master_due(struct soft_rcu_head *head)
{
	soft_master_free((struct soft_master *)head);
}

/* Counts through 1 to 2^31 - 1 once, from the random start. */
static uint32_t next_spi(struct psp_dp *dp)
{
	struct dp_master *master = &dp->base.master;
	uint64_t at = (uint64_t)dp->keys.spi_start + master->spis_used++;

	return (uint32_t)(at % DP_SPI_COUNT + 1) | (master->active != 0 ? PSP_SPI_MASTER_KEY : 0);
}

int32_t plane_spi_generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys, uint32_t n)
{
	const struct dp_keys *with = &dp->base.keys;
	const struct soft_master *master =
		atomic_load_explicit(&dp->keys.master, memory_order_relaxed);
	int32_t status = 0;

	for (uint32_t i = 0; status == 0 && i < n; i++) {
		memset(&keys[i], 0, sizeof(keys[i]));
		keys[i].size = sizeof(keys[i]);
		keys[i].spi = next_spi(dp);
		keys[i].version = (uint8_t)version;
		status = psp_derive_key(with->backend, with->crypto,
					master->key[dp->base.master.active], keys[i].spi, version,
					keys[i].key);
	}
	return status == 0 ? 0
			   : dp_fail(dp, status, "Cannot generate SPIs: the crypto library failed");
}

int32_t plane_rotate(struct psp_dp *dp)
{
	struct soft_keys *keys = &dp->keys;
	struct soft_master *fresh = calloc(1, sizeof(*fresh));
	struct soft_master *old = atomic_load_explicit(&keys->master, memory_order_relaxed);
	uint32_t start, next = 1u - dp->base.master.active;

	if (fresh == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot rotate the master key: out of memory");
	memcpy(fresh->key, old->key, sizeof(fresh->key));
	memcpy(fresh->generation, old->generation, sizeof(fresh->generation));
	if (dp_random(fresh->key[next], sizeof(fresh->key[next])) != 0 ||
	    dp_random(&start, sizeof(start)) != 0) {
		soft_master_free(fresh);
		return dp_fail(dp, PSP_DP_EIO,
			       "Cannot rotate the master key: the kernel gives no random octets");
	}
	fresh->generation[next]++;
	keys->spi_start = start % DP_SPI_COUNT;
	atomic_store_explicit(&keys->master, fresh, memory_order_release);
	soft_rcu_defer(&dp->rcu, &old->rcu, master_due);
	soft_rcu_wait(&dp->rcu);
	/* They wipe what they have derived from the key that is gone. */
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_wake(&dp->workers[i]);
	return 0;
}
