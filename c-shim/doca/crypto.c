/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* explicit_bzero */
/*
 * crypto.c: transmit keys by crypto id: shared PSP resources of the device. One is configured with a key before it is
 * bound, and stays bound; another key is configured over it.
 *
 * An id that has no key (never had one, cleared, expired) is given one that nobody knows: whatever still meets it
 * leaves as noise, which no receiver accepts. So clear text does not leave, and an entry can be installed at any time.
 */
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"

#define IV_LIMIT_DEFAULT (UINT64_C(1) << 34)
#define KEY_WORDS_MAX 8u

int32_t dpu_keys_up(struct psp_dp *dp)
{
	dp->backend = psp_crypto_backend_by_id(dp->config.backend);
	if (dp->backend == NULL)
		return dpu_fail(dp, PSP_DP_ENOTSUP,
				"the crypto backend is not built in, or not for this processor");
	dp->slots = calloc((size_t)dp->config.max_crypto_ids + 1, sizeof(*dp->slots));
	if (dp->slots == NULL)
		return dpu_fail(dp, PSP_DP_ENOMEM, "out of memory");
	if (dp_random(dp->print_key, sizeof(dp->print_key)) != 0)
		return dpu_fail(dp, PSP_DP_EIO, "the kernel gives no random octets");
	if (dp->backend->crypto_new(&dp->crypto) != 0)
		return dpu_fail(dp, PSP_DP_EIO, "the crypto library failed");
	return 0;
}

void dpu_keys_down(struct psp_dp *dp)
{
	free(dp->slots);
	dp->slots = NULL;
	dp_prints_free(&dp->prints);
	if (dp->crypto != NULL)
		dp->backend->crypto_free(dp->crypto);
	dp->crypto = NULL;
	explicit_bzero(dp->print_key, sizeof(dp->print_key));
}

/* ---- the device's slots ---------------------------------------------------------------------- */

/* The octets of a key, in the order of the wire, are the words' memory: as the samples hand them around. */
static doca_error_t configure(struct psp_dp *dp, struct dpu_slot *slot, uint32_t id,
			      uint32_t version, const uint8_t *key)
{
	uint32_t words[KEY_WORDS_MAX] = {0};
	struct doca_flow_shared_resource_cfg cfg;
	bool short_key = psp_key_len(version) == 16;
	doca_error_t result;

	memcpy(words, key, psp_key_len(version));
	memset(&cfg, 0, sizeof(cfg));
	cfg.psp_cfg.key_cfg.key_type =
		short_key ? DOCA_FLOW_CRYPTO_KEY_128 : DOCA_FLOW_CRYPTO_KEY_256;
	cfg.psp_cfg.key_cfg.key = words;
	result = compat_psp_slot_set(dp->switch_port, slot->resource, &cfg);
	explicit_bzero(words, sizeof(words));
	explicit_bzero(&cfg, sizeof(cfg));
	return dpu_trace(&dp->trace, result, "psp_key_set id=%u resource=%u bits=%u", id,
			 slot->resource, psp_key_len(version) * 8);
}

static int32_t put_key(struct psp_dp *dp, uint32_t id, uint32_t version, const uint8_t *key)
{
	struct dpu_slot *slot = &dp->slots[id];
	doca_error_t result = DOCA_SUCCESS;

	if (!slot->bound) {
		result = compat_psp_slot_take(dp->switch_port, id, &slot->resource);
		(void)dpu_trace(&dp->trace, result, "psp_slot_take id=%u resource=%u", id,
				slot->resource);
		if (result != DOCA_SUCCESS)
			return dpu_fail_doca(dp, "Cannot take a key slot of the device", result);
	}
	result = configure(dp, slot, id, version, key);
	if (result == DOCA_SUCCESS && !slot->bound) {
		result = compat_psp_slot_bind(dp->switch_port, slot->resource);
		(void)dpu_trace(&dp->trace, result, "psp_slot_bind resource=%u", slot->resource);
	}
	if (result == DOCA_SUCCESS) {
		slot->bound = true;
		return 0;
	}
	if (!slot->bound)
		(void)compat_psp_slot_give(dp->switch_port, slot->resource);
	return dpu_fail_doca(dp, "Cannot put a key into a key slot of the device", result);
}

static int32_t put_noise(struct psp_dp *dp, uint32_t id)
{
	uint8_t noise[32];
	int32_t status = dp_random(noise, sizeof(noise));

	if (status == 0)
		status = put_key(dp, id, PSP_AES_GCM_256, noise);
	else
		status = dpu_fail(dp, status, "the kernel gives no random octets");
	explicit_bzero(noise, sizeof(noise));
	return status;
}

int32_t dpu_slot_ready(struct psp_dp *dp, uint32_t crypto_id, uint32_t *resource)
{
	struct dpu_slot *slot = &dp->slots[crypto_id];
	int32_t status = slot->bound ? 0 : put_noise(dp, crypto_id);

	*resource = slot->resource;
	return status;
}

/* ---- who uses them --------------------------------------------------------------------------- */

static struct dpu_slot *slot_of(struct psp_dp *dp, const struct dpu_entry *entry)
{
	if ((entry->rule.actions.flags & PSP_DP_ACTION_ENCRYPT) == 0)
		return NULL;
	return &dp->slots[entry->rule.actions.crypto_id];
}

void dpu_slot_link(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_slot *slot = slot_of(dp, entry);

	if (slot == NULL)
		return;
	entry->slot_prev = NULL;
	entry->slot_next = slot->users;
	if (slot->users != NULL)
		slot->users->slot_prev = entry;
	slot->users = entry;
}

void dpu_slot_unlink(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_slot *slot = slot_of(dp, entry);

	if (slot == NULL)
		return;
	if (entry->slot_prev != NULL)
		entry->slot_prev->slot_next = entry->slot_next;
	else
		slot->users = entry->slot_next;
	if (entry->slot_next != NULL)
		entry->slot_next->slot_prev = entry->slot_prev;
	entry->slot_prev = NULL;
	entry->slot_next = NULL;
}

/* What was sealed so far goes to the account of the key that sealed it. */
static void settle_users(struct psp_dp *dp, struct dpu_slot *slot)
{
	for (struct dpu_entry *user = slot->users; user != NULL; user = user->slot_next)
		dpu_entry_settle(dp, user);
}

static int32_t end_key(struct psp_dp *dp, uint32_t id)
{
	struct dpu_slot *slot = &dp->slots[id];
	int32_t status = put_noise(dp, id);

	if (status != 0)
		return status;
	settle_users(dp, slot);
	slot->keyed = false;
	return 0;
}

void dpu_slots_expire(struct psp_dp *dp)
{
	uint32_t left = DPU_EXPIRE_BATCH;

	for (uint32_t tries = 0; left > 0 && tries < dp->config.max_crypto_ids; tries++) {
		struct dpu_slot *slot;

		dp->expire_at = dp->expire_at % dp->config.max_crypto_ids + 1;
		slot = &dp->slots[dp->expire_at];
		if (!slot->keyed)
			continue;
		left--;
		settle_users(dp, slot);
		if (slot->sealed.packets >= slot->iv_limit)
			(void)end_key(dp, dp->expire_at);
	}
}

/* ---- the ABI --------------------------------------------------------------------------------- */

static int32_t check_key(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	uint8_t any = 0;

	if (key->size != sizeof(*key))
		return dpu_fail(dp, PSP_DP_EINVAL,
				"Cannot set crypto id %u: the key has size %u, not %zu", id,
				key->size, sizeof(*key));
	if (id == 0 || id > dp->config.max_crypto_ids)
		return dpu_fail(dp, PSP_DP_EINVAL,
				"Cannot set crypto id %u: it is not within 1 to %u", id,
				dp->config.max_crypto_ids);
	if (key->version >= PSP_VERSIONS)
		return dpu_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: no PSP version %u", id,
				key->version);
	if (psp_is_gmac(key->version))
		return dpu_fail(dp, PSP_DP_ENOTSUP,
				"Cannot set crypto id %u: hardware does not seal PSP version %u",
				id, key->version);
	if ((key->spi & ~PSP_SPI_MASTER_KEY) == 0)
		return dpu_fail(dp, PSP_DP_EINVAL,
				"Cannot set crypto id %u: SPI 0x%08x is reserved", id, key->spi);
	for (uint32_t i = 0; i < psp_key_len(key->version); i++)
		any |= key->key[i];
	if (any == 0)
		return dpu_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: the key is all zero",
				id);
	return 0;
}

/* Remembers the key, or refuses it: a (key, IV) pair that comes twice gives away both packets. */
static int32_t remember(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	uint8_t print[16];
	int32_t status = dp->backend->cmac256(dp->crypto, dp->print_key, key->key,
					      psp_key_len(key->version), print);

	if (status != 0)
		return dpu_fail(dp, PSP_DP_EIO,
				"Cannot set crypto id %u: the crypto library failed", id);
	status = dp_prints_add(&dp->prints, print);
	if (status == PSP_DP_EKEY)
		return dpu_fail(dp, status,
				"Cannot set crypto id %u: the key is or was in use already", id);
	return status == 0 ? 0 : dpu_fail(dp, status, "Cannot set crypto id %u: out of memory", id);
}

int32_t psp_dp_crypto_set(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	struct dpu_slot *slot;
	int32_t status;

	if (dp == NULL || key == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	status = check_key(dp, id, key);
	if (status == 0)
		status = remember(dp, id, key);
	if (status != 0)
		goto out;
	slot = &dp->slots[id];
	settle_users(dp, slot);
	status = put_key(dp, id, key->version, key->key);
	if (status != 0)
		goto out;
	slot->keyed = true;
	slot->iv_limit = key->iv_limit != 0 ? key->iv_limit : IV_LIMIT_DEFAULT;
	slot->sealed = (struct dpu_total){.packets = 0};
	slot->last_used_ns = 0;
out:
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_crypto_clear(struct psp_dp *dp, uint32_t id)
{
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	if (id == 0 || id > dp->config.max_crypto_ids || !dp->slots[id].keyed)
		status =
			dpu_fail(dp, PSP_DP_ENOENT, "Cannot clear crypto id %u: it has no key", id);
	else
		status = end_key(dp, id);
	pthread_mutex_unlock(&dp->writer);
	return status;
}
