/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.c: transmit keys by crypto id. */
#include <stdlib.h>
#include <string.h>

#include "soft.h"

static void slot_free(struct soft_tx_slot *slot)
{
	if (slot != NULL && slot->key.aead != NULL)
		slot->backend->key_free(slot->key.aead);
	free(slot);
}

static void slot_due(struct soft_rcu_head *head)
{
	slot_free((struct soft_tx_slot *)head);
}

int32_t soft_keys_init(struct psp_dp *dp)
{
	struct soft_keys *keys = &dp->keys;
	struct soft_master *master = calloc(1, sizeof(*master));
	uint32_t starts[2];

	keys->max_ids = dp->config.max_crypto_ids;
	keys->tx = calloc((size_t)keys->max_ids + 1, sizeof(*keys->tx));
	atomic_store_explicit(&keys->master, master, memory_order_release);
	if (master == NULL || keys->tx == NULL)
		return PSP_DP_ENOMEM;
	master->generation[0] = 1;
	master->generation[1] = 1;
	if (dp_random(master->key, sizeof(master->key)) != 0 ||
	    dp_random(keys->print_key, sizeof(keys->print_key)) != 0 ||
	    dp_random(starts, sizeof(starts)) != 0)
		return PSP_DP_EIO;
	for (uint32_t i = 0; i < 2; i++)
		keys->spi_start[i] = starts[i] % DP_SPI_COUNT;
	return dp->backend->crypto_new(&keys->crypto);
}

void soft_keys_free(struct psp_dp *dp)
{
	struct soft_keys *keys = &dp->keys;

	for (uint32_t i = 0; keys->tx != NULL && i <= keys->max_ids; i++)
		slot_free(atomic_load_explicit(&keys->tx[i], memory_order_relaxed));
	free(keys->tx);
	soft_master_free(atomic_load_explicit(&keys->master, memory_order_relaxed));
	dp_prints_free(&keys->prints);
	if (keys->crypto != NULL)
		dp->backend->crypto_free(keys->crypto);
	explicit_bzero(keys, sizeof(*keys));
}

static int32_t check_key(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	uint8_t any = 0;

	if (key->size != sizeof(*key))
		return soft_fail(dp, PSP_DP_EINVAL,
				 "Cannot set crypto id %u: the key has size %u, not %zu", id,
				 key->size, sizeof(*key));
	if (id == 0 || id > dp->keys.max_ids)
		return soft_fail(dp, PSP_DP_EINVAL,
				 "Cannot set crypto id %u: it is not within 1 to %u", id,
				 dp->keys.max_ids);
	if (key->version >= PSP_VERSIONS)
		return soft_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: no PSP version %u",
				 id, key->version);
	if ((key->spi & ~PSP_SPI_MASTER_KEY) == 0)
		return soft_fail(dp, PSP_DP_EINVAL,
				 "Cannot set crypto id %u: SPI 0x%08x is reserved", id, key->spi);
	for (uint32_t i = 0; i < psp_key_len(key->version); i++)
		any |= key->key[i];
	if (any == 0)
		return soft_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: the key is all zero",
				 id);
	return 0;
}

/* Remembers the key, or refuses it: a (key, IV) pair that comes twice gives away both packets. */
static int32_t remember(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	uint8_t print[16];
	int32_t status = dp->backend->cmac256(dp->keys.crypto, dp->keys.print_key, key->key,
					      psp_key_len(key->version), print);

	if (status != 0)
		return soft_fail(dp, PSP_DP_EIO,
				 "Cannot set crypto id %u: the crypto library failed", id);
	status = dp_prints_add(&dp->keys.prints, print);
	if (status == PSP_DP_EKEY)
		return soft_fail(dp, status,
				 "Cannot set crypto id %u: the key is or was in use already", id);
	return status == 0 ? 0
			   : soft_fail(dp, status, "Cannot set crypto id %u: out of memory", id);
}

/* Takes what the id pointed to out of use; its key is wiped when this returns. */
static void swap(struct psp_dp *dp, uint32_t id, struct soft_tx_slot *fresh)
{
	struct soft_tx_slot *old =
		atomic_exchange_explicit(&dp->keys.tx[id], fresh, memory_order_acq_rel);

	if (old == NULL)
		return;
	soft_rcu_defer(&dp->rcu, &old->rcu, slot_due);
	soft_rcu_wait(&dp->rcu);
}

int32_t psp_dp_crypto_set(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	struct soft_tx_slot *slot = NULL;
	int32_t status;

	if (dp == NULL || key == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	status = check_key(dp, id, key);
	if (status != 0)
		goto out;
	slot = calloc(1, sizeof(*slot));
	if (slot == NULL) {
		status = soft_fail(dp, PSP_DP_ENOMEM, "Cannot set crypto id %u: out of memory", id);
		goto out;
	}
	slot->backend = dp->backend;
	slot->key.spi = key->spi;
	slot->key.version = key->version;
	slot->key.iv_limit = key->iv_limit != 0 ? key->iv_limit : DP_IV_LIMIT_DEFAULT;
	atomic_store_explicit(&slot->key.next_iv, 1, memory_order_relaxed);
	status = dp->backend->key_new(dp->keys.crypto, key->version, key->key, &slot->key.aead);
	if (status != 0) {
		status = soft_fail(dp, status, "Cannot set crypto id %u: the crypto library failed",
				   id);
		goto out;
	}
	status = remember(dp, id, key);
	if (status != 0)
		goto out;
	swap(dp, id, slot);
	slot = NULL;
out:
	slot_free(slot);
	pthread_mutex_unlock(&dp->writer);
	return status;
}

/* NULL: the error text says so. */
static struct soft_tx_slot *slot_of(struct psp_dp *dp, const char *what, uint32_t id)
{
	struct soft_tx_slot *slot = NULL;

	if (id != 0 && id <= dp->keys.max_ids)
		slot = atomic_load_explicit(&dp->keys.tx[id], memory_order_relaxed);
	if (slot == NULL)
		(void)soft_fail(dp, PSP_DP_ENOENT, "Cannot %s crypto id %u: it has no key", what,
				id);
	return slot;
}

int32_t psp_dp_crypto_clear(struct psp_dp *dp, uint32_t id)
{
	int32_t status = PSP_DP_ENOENT;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	if (slot_of(dp, "clear", id) != NULL) {
		swap(dp, id, NULL);
		status = 0;
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct soft_tx_slot *slot;
	int32_t status = PSP_DP_ENOENT;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	slot = slot_of(dp, "query", id);
	if (slot != NULL) {
		memset(stats, 0, sizeof(*stats));
		stats->size = sizeof(*stats);
		stats->packets = atomic_load_explicit(&slot->key.packets, memory_order_relaxed);
		stats->bytes = atomic_load_explicit(&slot->key.bytes, memory_order_relaxed);
		stats->last_used_ns =
			atomic_load_explicit(&slot->key.last_used_ns, memory_order_relaxed);
		status = 0;
	}
	pthread_mutex_unlock(&dp->writer);
	return status;
}
