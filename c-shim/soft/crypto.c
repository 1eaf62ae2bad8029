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

	keys->tx = calloc((size_t)dp->base.config.max_crypto_ids + 1, sizeof(*keys->tx));
	atomic_store_explicit(&keys->master, master, memory_order_release);
	if (master == NULL || keys->tx == NULL)
		return PSP_DP_ENOMEM;
	master->generation[0] = 1;
	master->generation[1] = 1;
	if (dp_random(master->key, sizeof(master->key)) != 0 ||
	    dp_random(&keys->spi_start, sizeof(keys->spi_start)) != 0)
		return PSP_DP_EIO;
	keys->spi_start %= DP_SPI_COUNT;
	return 0;
}

void soft_keys_free(struct psp_dp *dp)
{
	struct soft_keys *keys = &dp->keys;

	for (uint32_t i = 0; keys->tx != NULL && i <= dp->base.config.max_crypto_ids; i++)
		slot_free(atomic_load_explicit(&keys->tx[i], memory_order_relaxed));
	free(keys->tx);
	soft_master_free(atomic_load_explicit(&keys->master, memory_order_relaxed));
	memset(keys, 0, sizeof(*keys));
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

int32_t plane_crypto_set(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	const struct dp_keys *keys = &dp->base.keys;
	struct soft_tx_slot *slot = calloc(1, sizeof(*slot));
	int32_t status;

	if (slot == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot set crypto id %u: out of memory", id);
	slot->backend = keys->backend;
	slot->key.spi = key->spi;
	slot->key.version = key->version;
	slot->key.iv_limit = key->iv_limit != 0 ? key->iv_limit : DP_IV_LIMIT_DEFAULT;
	atomic_store_explicit(&slot->key.next_iv, 1, memory_order_relaxed);
	status = keys->backend->key_new(keys->crypto, key->version, key->key, &slot->key.aead);
	if (status != 0)
		status = dp_fail(dp, status, "Cannot set crypto id %u: the crypto library failed",
				 id);
	if (status == 0)
		status = dp_key_remember(dp, id, key);
	if (status == 0)
		swap(dp, id, slot);
	else
		slot_free(slot);
	return status;
}

static const struct soft_tx_slot *slot_of(struct psp_dp *dp, uint32_t id)
{
	return atomic_load_explicit(&dp->keys.tx[id], memory_order_relaxed);
}

bool plane_crypto_has(struct psp_dp *dp, uint32_t id)
{
	return slot_of(dp, id) != NULL;
}

int32_t plane_crypto_clear(struct psp_dp *dp, uint32_t id)
{
	swap(dp, id, NULL);
	return 0;
}

void plane_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	const struct soft_tx_key *key = &slot_of(dp, id)->key;

	stats->packets = atomic_load_explicit(&key->packets, memory_order_relaxed);
	stats->bytes = atomic_load_explicit(&key->bytes, memory_order_relaxed);
	stats->last_used_ns = atomic_load_explicit(&key->last_used_ns, memory_order_relaxed);
}
