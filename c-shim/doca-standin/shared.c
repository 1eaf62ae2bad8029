/* SPDX-License-Identifier: Apache-2.0 */
/* shared.c: resources that entries name by id: configured, then bound to a port, then used. */
#include <stdlib.h>
#include <string.h>

#include "standin.h"

static void key_drop(struct si_slot *slot)
{
	if (slot->aead == NULL)
		return;
	si.backend->key_free(slot->aead);
	slot->aead = NULL;
	si.live.keys--;
}

void si_shared_down(void)
{
	for (uint32_t i = 0; i < si.n_slots; i++)
		key_drop(&si.slots[i]);
	free(si.slots);
	free(si.mirrors);
	si.slots = NULL;
	si.mirrors = NULL;
	si.n_slots = 0;
	si.n_mirrors = 0;
}

static doca_error_t set_psp(uint32_t id, const struct doca_flow_crypto_key_cfg *cfg)
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

static doca_error_t set_mirror(uint32_t id, const struct doca_flow_resource_mirror_cfg *cfg)
{
	struct si_mirror *mirror;
	doca_error_t result;

	if (id == 0 || id >= si.n_mirrors || cfg->nr_targets != 1 || cfg->target == NULL ||
	    cfg->target->has_encap || cfg->fwd.type != DOCA_FLOW_FWD_NONE)
		return DOCA_ERROR_INVALID_VALUE;
	mirror = &si.mirrors[id];
	result = si_fwd_read(&cfg->target->fwd, DOCA_FLOW_PIPE_DOMAIN_DEFAULT, &mirror->copy);
	if (result != DOCA_SUCCESS)
		return result;
	if (mirror->copy.type == DOCA_FLOW_FWD_NONE ||
	    (mirror->copy.type == DOCA_FLOW_FWD_PIPE && mirror->copy.pipe == NULL))
		return DOCA_ERROR_INVALID_VALUE;
	mirror->set = true;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_shared_resource_set_cfg(enum doca_flow_shared_resource_type type,
					       uint32_t id,
					       struct doca_flow_shared_resource_cfg *cfg)
{
	doca_error_t result = DOCA_ERROR_NOT_SUPPORTED;

	if (cfg == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (!si.up)
		return DOCA_ERROR_BAD_STATE;
	pthread_mutex_lock(&si.lock);
	if (type == DOCA_FLOW_SHARED_RESOURCE_PSP)
		result = set_psp(id, &cfg->psp_cfg.key_cfg);
	else if (type == DOCA_FLOW_SHARED_RESOURCE_MIRROR)
		result = set_mirror(id, &cfg->mirror_cfg);
	pthread_mutex_unlock(&si.lock);
	return result;
}

/* Once: what is bound stays. */
static doca_error_t bind_one(enum doca_flow_shared_resource_type type, uint32_t id)
{
	bool psp = type == DOCA_FLOW_SHARED_RESOURCE_PSP;
	bool *set, *bound;

	if (id >= (psp ? si.n_slots : si.n_mirrors))
		return DOCA_ERROR_INVALID_VALUE;
	set = psp ? &si.slots[id].set : &si.mirrors[id].set;
	bound = psp ? &si.slots[id].bound : &si.mirrors[id].bound;
	if (!*set || *bound)
		return DOCA_ERROR_BAD_STATE;
	*bound = true;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_shared_resources_bind(enum doca_flow_shared_resource_type type,
					     uint32_t *ids, uint32_t n, void *to)
{
	doca_error_t result = DOCA_SUCCESS;

	if (ids == NULL || to == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (type != DOCA_FLOW_SHARED_RESOURCE_PSP && type != DOCA_FLOW_SHARED_RESOURCE_MIRROR)
		return DOCA_ERROR_NOT_SUPPORTED;
	pthread_mutex_lock(&si.lock);
	if (to != si.ports[0] && to != si.ports[1])
		result = DOCA_ERROR_INVALID_VALUE;
	for (uint32_t i = 0; i < n && result == DOCA_SUCCESS; i++)
		result = bind_one(type, ids[i]);
	pthread_mutex_unlock(&si.lock);
	return result;
}
