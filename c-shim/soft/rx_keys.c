/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "../common/random.h"

int32_t soft_rx_keys_init(struct soft_rx_keys *keys, const struct psp_crypto_backend *backend)
{
	memset(keys, 0, sizeof(*keys));
	keys->backend = backend;
	if (dp_random(&keys->seed, sizeof(keys->seed)) != 0)
		return PSP_DP_EIO;
	keys->ways = calloc((size_t)SOFT_RX_SETS * SOFT_RX_WAYS, sizeof(*keys->ways));
	return keys->ways != NULL ? 0 : PSP_DP_ENOMEM;
}

static void drop(struct soft_rx_keys *keys, struct soft_rx_key *way)
{
	keys->backend->key_free(way->aead);
	memset(way, 0, sizeof(*way));
}

void soft_rx_keys_free(struct soft_rx_keys *keys)
{
	if (keys->ways == NULL)
		return;
	for (size_t i = 0; i < (size_t)SOFT_RX_SETS * SOFT_RX_WAYS; i++) {
		if (keys->ways[i].aead != NULL)
			drop(keys, &keys->ways[i]);
	}
	free(keys->ways);
	keys->ways = NULL;
}

uint32_t soft_rx_keys_follow(struct soft_rx_keys *keys, const struct soft_master *master)
{
	uint32_t stale = 0;

	if (memcmp(keys->generation, master->generation, sizeof(keys->generation)) == 0)
		return 0;
	memcpy(keys->generation, master->generation, sizeof(keys->generation));
	for (size_t i = 0; i < (size_t)SOFT_RX_SETS * SOFT_RX_WAYS; i++) {
		struct soft_rx_key *way = &keys->ways[i];

		if (way->aead == NULL || way->generation == master->generation[way->spi >> 31])
			continue;
		drop(keys, way);
		stale++;
	}
	return stale;
}

static struct soft_rx_key *set_of(struct soft_rx_keys *keys, uint32_t spi)
{
	uint64_t h = (spi ^ keys->seed) * 0x9e3779b97f4a7c15u;

	return &keys->ways[(size_t)((h >> 40) % SOFT_RX_SETS) * SOFT_RX_WAYS];
}

static bool is(const struct soft_rx_key *way, uint32_t spi, uint32_t version, uint32_t generation)
{
	return way->aead != NULL && way->spi == spi && way->version == version &&
	       way->generation == generation;
}

const struct psp_aead_key *soft_rx_keys_find(struct soft_rx_keys *keys, uint32_t spi,
					     uint32_t version, uint32_t generation)
{
	struct soft_rx_key *set = set_of(keys, spi);

	for (uint32_t i = 0; i < SOFT_RX_WAYS; i++) {
		if (!is(&set[i], spi, version, generation))
			continue;
		set[i].stamp = ++keys->clock;
		return set[i].aead;
	}
	return NULL;
}

void soft_rx_keys_put(struct soft_rx_keys *keys, uint32_t spi, uint32_t version,
		      uint32_t generation, struct psp_aead_key *aead)
{
	struct soft_rx_key *set = set_of(keys, spi), *victim = set;

	for (uint32_t i = 0; i < SOFT_RX_WAYS && victim->aead != NULL; i++) {
		if (set[i].aead == NULL || keys->clock - set[i].stamp > keys->clock - victim->stamp)
			victim = &set[i];
	}
	if (victim->aead != NULL)
		drop(keys, victim);
	victim->aead = aead;
	victim->spi = spi;
	victim->version = (uint8_t)version;
	victim->generation = generation;
	victim->stamp = ++keys->clock;
}
