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
static uint32_t next_spi(struct soft_keys *keys)
{
	uint32_t active = keys->active;
	uint64_t at = (uint64_t)keys->spi_start[active] + keys->spi_used[active]++;

	return (uint32_t)(at % DP_SPI_COUNT + 1) | (active != 0 ? PSP_SPI_MASTER_KEY : 0);
}

static int32_t check(struct psp_dp *dp, uint32_t version, const struct psp_dp_key *keys, uint32_t n)
{
	uint32_t left = DP_SPI_COUNT - dp->keys.spi_used[dp->keys.active];

	if (version >= PSP_VERSIONS)
		return soft_fail(dp, PSP_DP_EINVAL, "Cannot generate SPIs: no PSP version %u",
				 version);
	if ((dp->config.versions >> version & 1u) == 0)
		return soft_fail(dp, PSP_DP_ENOTSUP,
				 "Cannot generate SPIs: PSP version %u is not accepted here",
				 version);
	if (n == 0)
		return soft_fail(dp, PSP_DP_EINVAL, "Cannot generate SPIs: 0 are asked for");
	for (uint32_t i = 0; i < n; i++) {
		if (keys[i].size != sizeof(keys[i]))
			return soft_fail(dp, PSP_DP_EINVAL,
					 "Cannot generate SPIs: key %u has size %u, not %zu", i,
					 keys[i].size, sizeof(keys[i]));
	}
	if (n > left)
		return soft_fail(dp, PSP_DP_EKEY,
				 "Cannot generate SPIs: %u are left under this master key", left);
	return 0;
}

int32_t psp_dp_spi_generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys,
			    uint32_t n)
{
	const struct soft_master *master;
	int32_t status;

	if (dp == NULL || keys == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	status = check(dp, version, keys, n);
	master = atomic_load_explicit(&dp->keys.master, memory_order_relaxed);
	for (uint32_t i = 0; status == 0 && i < n; i++) {
		memset(&keys[i], 0, sizeof(keys[i]));
		keys[i].size = sizeof(keys[i]);
		keys[i].spi = next_spi(&dp->keys);
		keys[i].version = (uint8_t)version;
		status = psp_derive_key(dp->backend, dp->keys.crypto, master->key[dp->keys.active],
					keys[i].spi, version, keys[i].key);
		if (status != 0)
			(void)soft_fail(dp, status,
					"Cannot generate SPIs: the crypto library failed");
	}
	if (status != 0) {
		for (uint32_t i = 0; i < n; i++)
			explicit_bzero(keys[i].key, sizeof(keys[i].key));
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_master_key_rotate(struct psp_dp *dp)
{
	struct soft_keys *keys;
	struct soft_master *fresh, *old;
	uint32_t start, next;
	int32_t status = 0;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	keys = &dp->keys;
	fresh = calloc(1, sizeof(*fresh));
	pthread_mutex_lock(&dp->writer);
	next = 1u - keys->active;
	old = atomic_load_explicit(&keys->master, memory_order_relaxed);
	if (fresh == NULL) {
		status =
			soft_fail(dp, PSP_DP_ENOMEM, "Cannot rotate the master key: out of memory");
		goto out;
	}
	memcpy(fresh->key, old->key, sizeof(fresh->key));
	memcpy(fresh->generation, old->generation, sizeof(fresh->generation));
	if (dp_random(fresh->key[next], sizeof(fresh->key[next])) != 0 ||
	    dp_random(&start, sizeof(start)) != 0) {
		status = soft_fail(
			dp, PSP_DP_EIO,
			"Cannot rotate the master key: the kernel gives no random octets");
		goto out;
	}
	fresh->generation[next]++;
	atomic_store_explicit(&keys->master, fresh, memory_order_release);
	fresh = NULL;
	keys->active = next;
	keys->spi_start[next] = start % DP_SPI_COUNT;
	keys->spi_used[next] = 0;
	keys->rotations++;
	dp_count(&dp->counters, DP_KEY_ROTATIONS, 1);
	soft_rcu_defer(&dp->rcu, &old->rcu, master_due);
	soft_rcu_wait(&dp->rcu);
	/* They wipe what they have derived from the key that is gone. */
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_wake(&dp->workers[i]);
out:
	soft_master_free(fresh);
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_master_key_query(struct psp_dp *dp, struct psp_dp_master_key_info *info)
{
	if (dp == NULL || info == NULL || info->size != sizeof(*info))
		return PSP_DP_EINVAL;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	pthread_mutex_lock(&dp->writer);
	info->active = dp->keys.active;
	info->rotations = dp->keys.rotations;
	info->spis_left = DP_SPI_COUNT - dp->keys.spi_used[dp->keys.active];
	pthread_mutex_unlock(&dp->writer);
	return 0;
}
