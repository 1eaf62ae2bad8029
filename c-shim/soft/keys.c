/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c: the secrets of a plane: transmit keys by crypto id, the two master keys with the SPIs that are drawn under
 * them, and a worker's cache of the receive keys that it has derived.
 */
#include <stdlib.h>
#include <string.h>

#include "../psp/kdf.h"
#include "../psp/pages.h"
#include "soft.h"

static void slot_free(struct soft_tx_slot *slot)
{
	if (slot != NULL && slot->key.aead != NULL)
		slot->backend->key_free(slot->key.aead);
	psp_slab_give(slot);
}

void soft_slot_end(struct soft_tx_slot *slot, struct psp_dp_stats *last)
{
	if (last != NULL)
		soft_stats_read(&slot->key.stats, last);
	slot_free(slot);
}

/* Wipes; NULL is allowed. */
static void master_free(struct soft_master *master)
{
	if (master == NULL)
		return;
	explicit_bzero(master, sizeof(*master));
	free(master);
}

static void master_due(struct soft_rcu_head *head)
{
	master_free((struct soft_master *)head);
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
	master_free(atomic_load_explicit(&keys->master, memory_order_relaxed));
	memset(keys, 0, sizeof(*keys));
}

/* ---- transmit keys --------------------------------------------------------------------------- */

/* Makes what a crypto id is to point to. */
static int32_t slot_make(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key,
			 struct soft_tx_slot **out)
{
	const struct dp_keys *keys = &dp->base.keys;
	struct soft_tx_slot *slot = psp_slab_take(&dp->slots);
	int32_t status;

	if (slot == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot set crypto id %u: out of memory", id);
	slot->backend = keys->backend;
	slot->key.spi = key->spi;
	slot->key.version = key->version;
	slot->key.iv_last = dp_key_iv_last(key);
	slot->key.alone = dp->n_workers == 1;
	atomic_store_explicit(&slot->key.next_iv, dp_key_iv_first(key), memory_order_relaxed);
	status = keys->backend->key_new(keys->crypto, key->version, key->key, &slot->key.aead);
	if (status != 0)
		status = dp_fail(dp, status, "Cannot set crypto id %u: the crypto library failed",
				 id);
	if (status == 0)
		status = dp_key_remember(dp, id, key);
	if (status == 0)
		*out = slot;
	else
		slot_free(slot);
	return status;
}

int32_t plane_crypto_put(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key,
			 struct psp_dp_stats *last)
{
	struct soft_tx_slot *fresh = NULL, *old;
	int32_t status = key != NULL ? slot_make(dp, id, key, &fresh) : 0;

	if (status != 0)
		return status;
	old = atomic_exchange_explicit(&dp->keys.tx[id], fresh, memory_order_acq_rel);
	if (old != NULL)
		dp->taken[dp->n_taken++] = (struct soft_taken){.slot = old, .last = last};
	return 0;
}

static const struct soft_tx_slot *slot_of(struct psp_dp *dp, uint32_t id)
{
	return atomic_load_explicit(&dp->keys.tx[id], memory_order_relaxed);
}

bool plane_crypto_has(struct psp_dp *dp, uint32_t id)
{
	return slot_of(dp, id) != NULL;
}

void plane_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	soft_stats_read(&slot_of(dp, id)->key.stats, stats);
}

/* ---- master keys ----------------------------------------------------------------------------- */

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
		master_free(fresh);
		return dp_fail(dp, PSP_DP_EIO,
			       "Cannot rotate the master key: the kernel gives no random octets");
	}
	fresh->generation[next]++;
	keys->spi_start = start % DP_SPI_COUNT;
	atomic_store_explicit(&keys->master, fresh, memory_order_release);
	soft_rcu_defer(&dp->rcu, &old->rcu, master_due);
	soft_rcu_wait(&dp->rcu);
	/* They wipe what they have derived from the key that is gone. */
	for (uint32_t i = 0; i < dp->n_workers; i++)
		soft_worker_wake(dp->workers[i]);
	return 0;
}

/* ---- receive keys ---------------------------------------------------------------------------- */

#define VERSION_BITS 2u
#define USED (UINT32_C(1) << 31) /* in `made`: found since all of its set had been */

_Static_assert(sizeof(struct soft_rx_key) == 32, "two keys share a line");

/* Rotations are counted from 1 on: what is there is not 0. */
static uint32_t made(uint32_t generation, uint32_t version)
{
	return (generation << VERSION_BITS | version) & ~USED;
}

static uint32_t generation_of(uint32_t made)
{
	return (made & ~USED) >> VERSION_BITS;
}

int32_t soft_rx_keys_init(struct soft_rx_keys *keys, const struct psp_crypto_backend *backend)
{
	memset(keys, 0, sizeof(*keys));
	keys->backend = backend;
	if (dp_random(&keys->seed, sizeof(keys->seed)) != 0)
		return PSP_DP_EIO;
	keys->sets = psp_pages_alloc(SOFT_RX_SETS_MIN * sizeof(*keys->sets));
	keys->n_sets = SOFT_RX_SETS_MIN;
	return keys->sets != NULL ? 0 : PSP_DP_ENOMEM;
}

static void drop(struct soft_rx_keys *keys, struct soft_rx_set *set, uint32_t way)
{
	keys->backend->key_free(set->key[way].aead);
	set->key[way].aead = NULL;
	set->made[way] = 0;
}

/* Drops what `generation` (by master key) does not say; NULL: all. How many. */
static uint32_t sweep(struct soft_rx_keys *keys, const uint32_t *generation)
{
	uint32_t dropped = 0;

	for (size_t i = 0; i < (size_t)keys->n_sets * SOFT_RX_WAYS; i++) {
		struct soft_rx_set *set = &keys->sets[i / SOFT_RX_WAYS];
		const uint32_t way = i % SOFT_RX_WAYS;

		if (set->made[way] == 0 ||
		    (generation != NULL &&
		     generation_of(set->made[way]) == generation[set->spi[way] >> 31]))
			continue;
		drop(keys, set, way);
		dropped++;
	}
	return dropped;
}

void soft_rx_keys_free(struct soft_rx_keys *keys)
{
	if (keys->sets == NULL)
		return;
	(void)sweep(keys, NULL);
	psp_pages_free(keys->sets, keys->n_sets * sizeof(*keys->sets));
	keys->sets = NULL;
}

uint32_t soft_rx_keys_follow(struct soft_rx_keys *keys, const struct soft_master *master)
{
	if (memcmp(keys->generation, master->generation, sizeof(keys->generation)) == 0)
		return 0;
	memcpy(keys->generation, master->generation, sizeof(keys->generation));
	return sweep(keys, master->generation);
}

static struct soft_rx_set *set_of(const struct soft_rx_keys *keys, uint32_t spi)
{
	uint64_t h = (spi ^ keys->seed) * 0x9e3779b97f4a7c15u;

	return &keys->sets[(h >> 40) & (keys->n_sets - 1)];
}

const struct psp_aead_key *soft_rx_keys_find(struct soft_rx_keys *keys, uint32_t spi,
					     uint32_t version, uint32_t generation)
{
	struct soft_rx_set *set = set_of(keys, spi);
	const uint32_t wanted = made(generation, version);

	for (uint32_t i = 0; i < SOFT_RX_WAYS; i++) {
		if (set->spi[i] != spi || (set->made[i] & ~USED) != wanted)
			continue;
		if ((set->made[i] & USED) == 0)
			set->made[i] |= USED;
		keys->last = &set->key[i].hint;
		return set->key[i].aead;
	}
	keys->last = NULL;
	return NULL;
}

void soft_rx_keys_fetch(const struct soft_rx_keys *keys, uint32_t spi)
{
	__builtin_prefetch(set_of(keys, spi));
}

const struct soft_rx_key *soft_rx_keys_guess(const struct soft_rx_keys *keys, uint32_t spi)
{
	const struct soft_rx_set *set = set_of(keys, spi);

	for (uint32_t i = 0; i < SOFT_RX_WAYS; i++) {
		if (set->spi[i] == spi && set->made[i] != 0) {
			__builtin_prefetch(&set->key[i]);
			return &set->key[i];
		}
	}
	return NULL;
}

/* The first way that is free; SOFT_RX_WAYS: none is. */
static uint32_t free_way(const struct soft_rx_set *set)
{
	uint32_t way = 0;

	while (way < SOFT_RX_WAYS && set->made[way] != 0)
		way++;
	return way;
}

/* Each set becomes two. False: it is as large as it may be, or memory is out. */
static bool grow(struct soft_rx_keys *keys)
{
	struct soft_rx_keys grown = *keys;

	if (keys->n_sets == SOFT_RX_SETS_MAX)
		return false;
	grown.n_sets *= 2;
	grown.sets = psp_pages_alloc(grown.n_sets * sizeof(*grown.sets));
	if (grown.sets == NULL)
		return false;
	for (size_t i = 0; i < (size_t)keys->n_sets * SOFT_RX_WAYS; i++) {
		const struct soft_rx_set *from = &keys->sets[i / SOFT_RX_WAYS];
		const uint32_t way = i % SOFT_RX_WAYS;
		struct soft_rx_set *to = set_of(&grown, from->spi[way]);
		const uint32_t at = free_way(to);

		if (from->made[way] == 0)
			continue;
		to->spi[at] = from->spi[way];
		to->made[at] = from->made[way];
		to->key[at] = from->key[way];
	}
	psp_pages_free(keys->sets, keys->n_sets * sizeof(*keys->sets));
	*keys = grown;
	return true;
}

/* Of a full set: from the hand on, the first that was not used since all had been. */
static uint32_t victim_of(struct soft_rx_keys *keys, struct soft_rx_set *set)
{
	const uint32_t hand = keys->hand++;

	for (uint32_t i = 0; i < SOFT_RX_WAYS; i++) {
		if ((set->made[(hand + i) % SOFT_RX_WAYS] & USED) == 0)
			return (hand + i) % SOFT_RX_WAYS;
	}
	for (uint32_t i = 0; i < SOFT_RX_WAYS; i++)
		set->made[i] &= ~USED;
	return hand % SOFT_RX_WAYS;
}

void soft_rx_keys_put(struct soft_rx_keys *keys, uint32_t spi, uint32_t version,
		      uint32_t generation, struct psp_aead_key *aead)
{
	struct soft_rx_set *set = set_of(keys, spi);
	uint32_t way = free_way(set);

	while (way == SOFT_RX_WAYS && grow(keys)) {
		set = set_of(keys, spi);
		way = free_way(set);
	}
	if (way == SOFT_RX_WAYS) {
		way = victim_of(keys, set);
		drop(keys, set, way);
	}
	set->spi[way] = spi;
	set->made[way] = made(generation, version) | USED;
	set->key[way] = (struct soft_rx_key){.aead = aead};
	keys->last = &set->key[way].hint;
}
