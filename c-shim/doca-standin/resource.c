/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resource.c: what entries name by number: PSP keys and mirrors, each configured and bound to a port in either order,
 * or from 3.2 on handed out by it; and the device's master keys, with SPIs and their keys in bulk.
 */
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
	SI_ASK();
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
	SI_ASK();
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
	SI_ASK();
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
	SI_ASK();
	if (bulk == NULL || at >= bulk->nr)
		return DOCA_ERROR_INVALID_VALUE;
	explicit_bzero(&bulk->items[at], sizeof(bulk->items[at]));
	return DOCA_SUCCESS;
}

/* All that was generated; the bulk can be used again. */
doca_error_t doca_flow_crypto_psp_spi_key_bulk_clear(struct doca_flow_crypto_psp_spi_key_bulk *bulk)
{
	SI_ASK();
	if (bulk == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	explicit_bzero(bulk->items, bulk->nr * sizeof(bulk->items[0]));
	bulk->generated = false;
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
	return si_said(__func__);
}

doca_error_t doca_flow_crypto_psp_master_key_rotate(struct doca_flow_port *port)
{
	SI_ASK();
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

/* ---- by number ------------------------------------------------------------------------------- */

static void key_drop(struct si_slot *slot)
{
	if (slot->aead == NULL)
		return;
	si.backend->key_free(slot->aead);
	slot->aead = NULL;
	si.live.keys--;
}

doca_error_t si_shared_up(uint32_t psp, uint32_t mirrors)
{
	if (psp > si.capacity.psp)
		return DOCA_ERROR_NO_MEMORY;
	si.slots = calloc((size_t)psp + 1, sizeof(*si.slots));
	si.mirrors = calloc((size_t)mirrors + 1, sizeof(*si.mirrors));
	if (si.slots == NULL || si.mirrors == NULL) {
		si_shared_down();
		return DOCA_ERROR_NO_MEMORY;
	}
	si.n_slots = psp;
	si.n_mirrors = mirrors;
	return DOCA_SUCCESS;
}

void si_shared_down(void)
{
	for (uint32_t i = 0; i < si.n_slots; i++)
		key_drop(&si.slots[i]);
	si.live.ids = 0;
	free(si.slots);
	free(si.mirrors);
	si.slots = NULL;
	si.mirrors = NULL;
	si.n_slots = 0;
	si.n_mirrors = 0;
}

doca_error_t si_psp_set(uint32_t id, const struct doca_flow_crypto_key_cfg *cfg)
{
	struct si_slot *slot;
	struct psp_aead_key *aead = NULL;
	uint32_t version;

	if (id >= si.n_slots || cfg->key == NULL || cfg->key_type > DOCA_FLOW_CRYPTO_KEY_256)
		return DOCA_ERROR_INVALID_VALUE;
	slot = &si.slots[id];
	version = cfg->key_type == DOCA_FLOW_CRYPTO_KEY_256 ? PSP_AES_GCM_256 : PSP_AES_GCM_128;
	if (si.backend->key_new(si.crypto, version, (const uint8_t *)cfg->key, &aead) != 0)
		return DOCA_ERROR_DRIVER;
	key_drop(slot);
	slot->aead = aead;
	slot->set = true;
	slot->next_iv = 1;
	si.live.keys++;
	return DOCA_SUCCESS;
}

/* Once: what is bound stays. */
doca_error_t si_psp_bind(uint32_t id)
{
	if (id >= si.n_slots)
		return DOCA_ERROR_INVALID_VALUE;
	if (si.slots[id].bound)
		return DOCA_ERROR_BAD_STATE;
	si.slots[id].bound = true;
	si.live.ids++;
	return DOCA_SUCCESS;
}

doca_error_t si_psp_take(uint32_t *id)
{
	uint32_t i = 0;

	while (i < si.n_slots && si.slots[i].bound)
		i++;
	if (i == si.n_slots)
		return DOCA_ERROR_FULL;
	*id = i;
	return si_psp_bind(i);
}

doca_error_t si_psp_give(uint32_t id)
{
	if (id >= si.n_slots || !si.slots[id].bound)
		return DOCA_ERROR_INVALID_VALUE;
	key_drop(&si.slots[id]);
	si.slots[id].set = false;
	si.slots[id].bound = false;
	si.live.ids--;
	return DOCA_SUCCESS;
}

/* ---- by number, before 3.2: of the library --------------------------------------------------- */

#if DOCA_STANDIN < 302
static doca_error_t set_mirror(uint32_t id, const struct doca_flow_resource_mirror_cfg *cfg)
{
	static const struct doca_flow_pipe_cfg from = {.domain = DOCA_FLOW_PIPE_DOMAIN_DEFAULT};
	struct si_mirror *mirror;
	doca_error_t result;

	if (id == 0 || id >= si.n_mirrors || cfg->nr_targets != 1 || cfg->target == NULL ||
	    cfg->target->has_encap || cfg->fwd.type != DOCA_FLOW_FWD_NONE)
		return DOCA_ERROR_INVALID_VALUE;
	mirror = &si.mirrors[id];
	/* Copies of what leaves go to pipes of the default domain. */
	result = si_fwd_read(&cfg->target->fwd, &from, &mirror->copy);
	if (result != DOCA_SUCCESS)
		return result;
	if (mirror->copy.type == DOCA_FLOW_FWD_NONE || mirror->copy.open)
		return DOCA_ERROR_INVALID_VALUE;
	mirror->set = true;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_shared_resource_set_cfg(enum doca_flow_shared_resource_type type,
					       uint32_t id,
					       struct doca_flow_shared_resource_cfg *cfg)
{
	SI_ASK();
	doca_error_t result = DOCA_ERROR_NOT_SUPPORTED;

	if (cfg == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (!si.up)
		return DOCA_ERROR_BAD_STATE;
	pthread_mutex_lock(&si.lock);
	if (type == DOCA_FLOW_SHARED_RESOURCE_PSP)
		result = si_psp_set(id, &cfg->psp_cfg.key_cfg);
	else if (type == DOCA_FLOW_SHARED_RESOURCE_MIRROR)
		result = set_mirror(id, &cfg->mirror_cfg);
	pthread_mutex_unlock(&si.lock);
	return result;
}

static doca_error_t bind_mirror(uint32_t id)
{
	if (id >= si.n_mirrors)
		return DOCA_ERROR_INVALID_VALUE;
	if (si.mirrors[id].bound)
		return DOCA_ERROR_BAD_STATE;
	si.mirrors[id].bound = true;
	si.live.ids++;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_shared_resources_bind(enum doca_flow_shared_resource_type type,
					     uint32_t *ids, uint32_t n, void *to)
{
	SI_ASK();
	doca_error_t result = DOCA_SUCCESS;

	if (ids == NULL || to == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (type != DOCA_FLOW_SHARED_RESOURCE_PSP && type != DOCA_FLOW_SHARED_RESOURCE_MIRROR)
		return DOCA_ERROR_NOT_SUPPORTED;
	pthread_mutex_lock(&si.lock);
	if (!si_is_port(to))
		result = DOCA_ERROR_INVALID_VALUE;
	for (uint32_t i = 0; i < n && result == DOCA_SUCCESS; i++)
		result = type == DOCA_FLOW_SHARED_RESOURCE_PSP ? si_psp_bind(ids[i])
							       : bind_mirror(ids[i]);
	pthread_mutex_unlock(&si.lock);
	return result;
}
#endif

/* ---- by number, from 3.2 on: of a port ------------------------------------------------------- */

#if DOCA_STANDIN >= 302
static doca_error_t check_port(const struct doca_flow_port *port,
			       enum doca_flow_shared_resource_type type)
{
	if (type != DOCA_FLOW_SHARED_RESOURCE_PSP)
		return DOCA_ERROR_NOT_SUPPORTED;
	return port != NULL && port == si.ports[SI_SWITCH] ? DOCA_SUCCESS
							   : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_port_shared_resource_get(struct doca_flow_port *port,
						enum doca_flow_shared_resource_type type,
						uint32_t *id)
{
	SI_ASK();
	doca_error_t result = id != NULL ? check_port(port, type) : DOCA_ERROR_INVALID_VALUE;

	if (result != DOCA_SUCCESS)
		return result;
	pthread_mutex_lock(&si.lock);
	result = si_psp_take(id);
	pthread_mutex_unlock(&si.lock);
	return result;
}

doca_error_t doca_flow_port_shared_resource_set_cfg(struct doca_flow_port *port,
						    enum doca_flow_shared_resource_type type,
						    uint32_t id,
						    struct doca_flow_shared_resource_cfg *cfg)
{
	SI_ASK();
	doca_error_t result = cfg != NULL ? check_port(port, type) : DOCA_ERROR_INVALID_VALUE;

	if (result != DOCA_SUCCESS)
		return result;
	pthread_mutex_lock(&si.lock);
	if (id < si.n_slots && !si.slots[id].bound && si_strict(DOCA_STANDIN_BIND))
		result = DOCA_ERROR_BAD_STATE;
	else
		result = si_psp_set(id, &cfg->psp_cfg.key_cfg);
	pthread_mutex_unlock(&si.lock);
	return result;
}

doca_error_t doca_flow_port_shared_resource_put(struct doca_flow_port *port,
						enum doca_flow_shared_resource_type type,
						uint32_t id)
{
	SI_ASK();
	doca_error_t result = check_port(port, type);

	if (result != DOCA_SUCCESS)
		return result;
	pthread_mutex_lock(&si.lock);
	result = si_psp_give(id);
	pthread_mutex_unlock(&si.lock);
	return result;
}
#endif
