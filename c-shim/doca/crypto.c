/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* explicit_bzero */
/*
 * crypto.c: transmit keys by crypto id, and SPIs with their keys from the device's master keys.
 *
 * A crypto id is a shared PSP resource of the device. One is bound before it is configured with a key, as NVIDIA's
 * programs do, and stays bound; another key is configured over it. An id that has no key (never had one, cleared,
 * expired) is given one that nobody knows: whatever still meets it leaves as noise, which no receiver accepts. So clear
 * text does not leave, and an entry can be installed at any time.
 */
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"

#define KEY_WORDS_MAX 8u
#define EXPIRE_BATCH 1024u /* keys that one look at limits takes */

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
	result = compat_psp_slot_set(&dp->call, dp->switch_port, slot->resource, &cfg);
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
		result = compat_psp_slot_take(&dp->call, dp->switch_port, id, &slot->resource);
		(void)dpu_trace(&dp->trace, result, "psp_slot_take id=%u resource=%u", id,
				slot->resource);
		if (result != DOCA_SUCCESS)
			return dpu_fail_doca(dp, "Cannot take a key slot of the device", result);
	}
	if (!slot->bound) {
		result = compat_psp_slot_bind(&dp->call, dp->switch_port, slot->resource);
		(void)dpu_trace(&dp->trace, result, "psp_slot_bind resource=%u", slot->resource);
		slot->bound = result == DOCA_SUCCESS;
		if (!slot->bound)
			(void)compat_psp_slot_give(&dp->call, dp->switch_port, slot->resource);
	}
	if (result == DOCA_SUCCESS)
		result = configure(dp, slot, id, version, key);
	if (result == DOCA_SUCCESS) {
		slot->filled = true;
		return 0;
	}
	return dpu_fail_doca(dp, "Cannot put a key into a key slot of the device", result);
}

static int32_t put_noise(struct psp_dp *dp, uint32_t id)
{
	uint8_t noise[32];
	int32_t status = dp_random(noise, sizeof(noise));

	if (status == 0)
		status = put_key(dp, id, PSP_AES_GCM_256, noise);
	else
		status = dp_fail(dp, status, "the kernel gives no random octets");
	explicit_bzero(noise, sizeof(noise));
	return status;
}

int32_t dpu_slot_ready(struct psp_dp *dp, uint32_t crypto_id, uint32_t *resource)
{
	struct dpu_slot *slot = &dp->slots[crypto_id];
	int32_t status = slot->filled ? 0 : put_noise(dp, crypto_id);

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
	uint32_t left = EXPIRE_BATCH;

	for (uint32_t tries = 0; left > 0 && tries < dp->base.config.max_crypto_ids; tries++) {
		struct dpu_slot *slot;

		dp->expire_at = dp->expire_at % dp->base.config.max_crypto_ids + 1;
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

bool plane_crypto_has(struct psp_dp *dp, uint32_t id)
{
	return dp->slots[id].keyed;
}

static int32_t set_key(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	struct dpu_slot *slot = &dp->slots[id];
	int32_t status = dp_key_remember(dp, id, key);

	if (status != 0)
		return status;
	settle_users(dp, slot);
	status = put_key(dp, id, key->version, key->key);
	if (status != 0)
		return status;
	slot->keyed = true;
	slot->iv_limit = key->iv_limit != 0 ? key->iv_limit : DP_IV_LIMIT_DEFAULT;
	slot->sealed = (struct dpu_total){.packets = 0};
	slot->last_used_ns = 0;
	return 0;
}

int32_t plane_crypto_put(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key,
			 struct psp_dp_stats *last)
{
	if (last != NULL && dp->slots[id].keyed)
		plane_crypto_query(dp, id, last);
	return key != NULL ? set_key(dp, id, key) : end_key(dp, id);
}

/* ---- master keys, which never leave the device ----------------------------------------------- */

/* The device does not say which master key is active, but each SPI does, by its top bit. */
static void learn(struct psp_dp *dp, uint32_t spi)
{
	dp->base.master.active = spi >> 31;
	dp->base.master.spis_used++;
}

static doca_error_t read_bulk(struct psp_dp *dp, struct doca_flow_crypto_psp_spi_key_bulk *bulk,
			      uint32_t version, struct psp_dp_key *keys, uint32_t n)
{
	uint32_t words[8];
	doca_error_t result = DOCA_SUCCESS;

	for (uint32_t i = 0; result == DOCA_SUCCESS && i < n; i++) {
		uint32_t spi = 0;

		memset(words, 0, sizeof(words));
		result = DPU_ASK(dp, doca_flow_crypto_psp_spi_key_bulk_get, bulk, i, &spi, words);
		memset(&keys[i], 0, sizeof(keys[i]));
		keys[i].size = sizeof(keys[i]);
		keys[i].spi = spi;
		keys[i].version = (uint8_t)version;
		memcpy(keys[i].key, words, psp_key_len(version));
		if (result == DOCA_SUCCESS)
			learn(dp, spi);
	}
	explicit_bzero(words, sizeof(words));
	return result;
}

/* One that will not be wiped by itself goes with all of them. */
static void wipe(struct psp_dp *dp, struct doca_flow_crypto_psp_spi_key_bulk *bulk, uint32_t n)
{
	doca_error_t result = DOCA_SUCCESS;

	for (uint32_t i = 0; i < n; i++) {
		doca_error_t one = doca_flow_crypto_psp_spi_key_wipe(bulk, i);

		result = one != DOCA_SUCCESS ? one : result;
	}
	if (result == DOCA_SUCCESS)
		return;
	(void)dpu_trace(&dp->trace, result, "spi_key_wipe n=%u", n);
	(void)dpu_trace(&dp->trace, doca_flow_crypto_psp_spi_key_bulk_clear(bulk),
			"spi_bulk_clear");
}

/* One bulk for all: generated, read, wiped and freed, whatever happens in between. */
static doca_error_t generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys,
			     uint32_t n)
{
	struct doca_flow_crypto_psp_spi_key_bulk *bulk = NULL;
	bool short_key = psp_key_len(version) == 16;
	doca_error_t result;

	result = dpu_trace(&dp->trace,
			   DPU_ASK(dp, doca_flow_crypto_psp_spi_key_bulk_alloc, dp->switch_port,
				   short_key ? DOCA_FLOW_CRYPTO_KEY_128 : DOCA_FLOW_CRYPTO_KEY_256,
				   n, &bulk),
			   "spi_bulk_alloc n=%u bits=%u", n, psp_key_len(version) * 8);
	if (result != DOCA_SUCCESS)
		return result;
	result =
		dpu_trace(&dp->trace, DPU_ASK(dp, doca_flow_crypto_psp_spi_key_bulk_generate, bulk),
			  "spi_bulk_generate");
	if (result == DOCA_SUCCESS) {
		result = read_bulk(dp, bulk, version, keys, n);
		wipe(dp, bulk, n);
		(void)dpu_trace(&dp->trace, result, "spi_bulk_read_and_wipe n=%u", n);
	}
	(void)dpu_trace(&dp->trace, doca_flow_crypto_psp_spi_key_bulk_free(bulk), "spi_bulk_free");
	return result;
}

int32_t dpu_master_up(struct psp_dp *dp)
{
	struct psp_dp_key key = {.size = sizeof(key)};
	uint32_t version = (dp->base.config.versions & 2u) != 0 ? PSP_AES_GCM_256 : PSP_AES_GCM_128;
	doca_error_t result = generate(dp, version, &key, 1);

	explicit_bzero(&key, sizeof(key));
	if (result == DOCA_SUCCESS)
		return 0;
	return dpu_fail_doca(
		dp,
		"the device derives no PSP keys (a BlueField-3 or ConnectX-7 with PSP enabled?)",
		result);
}

int32_t plane_spi_generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys, uint32_t n)
{
	doca_error_t result = generate(dp, version, keys, n);
	int32_t status;

	if (result == DOCA_SUCCESS)
		return 0;
	status = dpu_fail_doca(dp, "Cannot generate SPIs", result);
	/* Full: this master key has no more to give. */
	return result == DOCA_ERROR_FULL || result == DOCA_ERROR_EMPTY ? PSP_DP_EKEY : status;
}

int32_t plane_rotate(struct psp_dp *dp)
{
	doca_error_t result = dpu_trace(
		&dp->trace, DPU_ASK(dp, doca_flow_crypto_psp_master_key_rotate, dp->switch_port),
		"master_key_rotate");

	return result == DOCA_SUCCESS ? 0
				      : dpu_fail_doca(dp, "Cannot rotate the master key", result);
}
