/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* explicit_bzero */
/*
 * crypto.c: transmit keys by crypto id: shared PSP resources of the device. One is bound before it is configured with a
 * key, as NVIDIA's programs do, and stays bound; another key is configured over it.
 *
 * An id that has no key (never had one, cleared, expired) is given one that nobody knows: whatever still meets it
 * leaves as noise, which no receiver accepts. So clear text does not leave, and an entry can be installed at any time.
 */
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"

#define KEY_WORDS_MAX 8u

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
	uint32_t left = DPU_EXPIRE_BATCH;

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
