/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c: the device's master keys, and SPIs with their keys in bulk. */
#include <stdlib.h>
#include <string.h>

#include "../psp/kdf.h"
#include "standin.h"

struct doca_flow_crypto_psp_spi_key_bulk {
	enum doca_flow_crypto_key_type type;
	uint32_t nr;
	bool generated;
	struct {
		uint32_t spi, key[8];
		bool there;
	} items[];
};

static bool draw(uint32_t which)
{
	uint32_t start;

	if (dp_random(si.master.key[which], sizeof(si.master.key[which])) != 0 ||
	    dp_random(&start, sizeof(start)) != 0)
		return false;
	si.next_spi[which] = start;
	return true;
}

doca_error_t si_keys_up(void)
{
	si.backend = psp_crypto_backend_by_id(PSP_DP_BACKEND_AUTO);
	if (si.backend == NULL || si.backend->crypto_new(&si.crypto) != 0)
		return DOCA_ERROR_DRIVER;
	si.active = 0;
	return draw(0) && draw(1) ? DOCA_SUCCESS : DOCA_ERROR_OPERATING_SYSTEM;
}

void si_keys_down(void)
{
	if (si.crypto != NULL)
		si.backend->crypto_free(si.crypto);
	si.crypto = NULL;
	explicit_bzero(&si.master, sizeof(si.master));
}

struct psp_aead_key *si_derive(uint32_t spi, uint32_t version)
{
	struct psp_aead_key *aead = NULL;
	uint8_t key[32];

	if (psp_derive_key(si.backend, si.crypto, si.master.key[spi >> 31], spi, version, key) !=
		    0 ||
	    si.backend->key_new(si.crypto, version, key, &aead) != 0)
		aead = NULL;
	explicit_bzero(key, sizeof(key));
	return aead;
}

doca_error_t
doca_flow_crypto_psp_spi_key_bulk_alloc(struct doca_flow_port *port,
					enum doca_flow_crypto_key_type type, uint32_t nr,
					struct doca_flow_crypto_psp_spi_key_bulk **bulk)
{
	struct doca_flow_crypto_psp_spi_key_bulk *made;

	if (port == NULL || bulk == NULL || nr == 0 || type > DOCA_FLOW_CRYPTO_KEY_256)
		return DOCA_ERROR_INVALID_VALUE;
	made = calloc(1, sizeof(*made) + nr * sizeof(made->items[0]));
	if (made == NULL)
		return DOCA_ERROR_NO_MEMORY;
	made->type = type;
	made->nr = nr;
	pthread_mutex_lock(&si.lock);
	si.live.bulks++;
	pthread_mutex_unlock(&si.lock);
	*bulk = made;
	return DOCA_SUCCESS;
}

static uint32_t next_spi(void)
{
	uint32_t low;

	do {
		low = si.next_spi[si.active]++ & ~PSP_SPI_MASTER_KEY;
	} while (low == 0);
	return low | (si.active != 0 ? PSP_SPI_MASTER_KEY : 0);
}

doca_error_t
doca_flow_crypto_psp_spi_key_bulk_generate(struct doca_flow_crypto_psp_spi_key_bulk *bulk)
{
	doca_error_t result = DOCA_SUCCESS;
	uint8_t key[32];

	if (bulk == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	for (uint32_t i = 0; i < bulk->nr && result == DOCA_SUCCESS; i++) {
		uint32_t version =
			bulk->type == DOCA_FLOW_CRYPTO_KEY_256 ? PSP_AES_GCM_256 : PSP_AES_GCM_128;

		bulk->items[i].spi = next_spi();
		if (psp_derive_key(si.backend, si.crypto, si.master.key[si.active],
				   bulk->items[i].spi, version, key) != 0)
			result = DOCA_ERROR_DRIVER;
		memcpy(bulk->items[i].key, key, sizeof(key));
		bulk->items[i].there = true;
	}
	explicit_bzero(key, sizeof(key));
	pthread_mutex_unlock(&si.lock);
	bulk->generated = result == DOCA_SUCCESS;
	return result;
}

doca_error_t doca_flow_crypto_psp_spi_key_bulk_get(struct doca_flow_crypto_psp_spi_key_bulk *bulk,
						   uint32_t at, uint32_t *spi, uint32_t *key)
{
	if (bulk == NULL || spi == NULL || key == NULL || at >= bulk->nr)
		return DOCA_ERROR_INVALID_VALUE;
	if (!bulk->generated || !bulk->items[at].there)
		return DOCA_ERROR_BAD_STATE;
	*spi = bulk->items[at].spi;
	memcpy(key, bulk->items[at].key, bulk->type == DOCA_FLOW_CRYPTO_KEY_256 ? 32 : 16);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_crypto_psp_spi_key_wipe(struct doca_flow_crypto_psp_spi_key_bulk *bulk,
					       uint32_t at)
{
	if (bulk == NULL || at >= bulk->nr)
		return DOCA_ERROR_INVALID_VALUE;
	explicit_bzero(&bulk->items[at], sizeof(bulk->items[at]));
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_crypto_psp_spi_key_bulk_free(struct doca_flow_crypto_psp_spi_key_bulk *bulk)
{
	if (bulk == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	for (uint32_t i = 0; i < bulk->nr; i++) {
		if (bulk->items[i].there)
			si_die("a bulk is freed with a key in it that was not wiped");
	}
	pthread_mutex_lock(&si.lock);
	si.live.bulks--;
	pthread_mutex_unlock(&si.lock);
	free(bulk);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_crypto_psp_master_key_rotate(struct doca_flow_port *port)
{
	doca_error_t result = DOCA_SUCCESS;

	if (port == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	if (!draw(1u - si.active))
		result = DOCA_ERROR_OPERATING_SYSTEM;
	else
		si.active = 1u - si.active;
	pthread_mutex_unlock(&si.lock);
	return result;
}
