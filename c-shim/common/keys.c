/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c: transmit keys by crypto id, and what is checked and remembered of each before a plane gets it; SPIs and their
 * keys under the active master key, and which of the two that is.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "plane.h"
#include "random.h"

#define SLOTS_MIN 64u
#define PRINTS_MIN 65536u /* that are remembered at least */

/* ---- a set of fingerprints ------------------------------------------------------------------- */

/* They are CMACs under a key of the plane's own, so one word serves as hash. */
static bool is_free(const struct dp_prints *prints, uint32_t i)
{
	return prints->slots[i][0] == 0 && prints->slots[i][1] == 0;
}

/* Where the print is, or where it would be put. */
static uint32_t place(const struct dp_prints *prints, const uint64_t print[2])
{
	uint32_t i = (uint32_t)print[0] & prints->mask;

	while (!is_free(prints, i) && memcmp(prints->slots[i], print, 16) != 0)
		i = (i + 1) & prints->mask;
	return i;
}

static int32_t grow(struct dp_prints *prints)
{
	uint32_t n = prints->slots != NULL ? (prints->mask + 1) * 2 : SLOTS_MIN;
	struct dp_prints fresh = {.used = prints->used, .mask = n - 1};

	fresh.slots = calloc(n, sizeof(*fresh.slots));
	if (fresh.slots == NULL)
		return PSP_DP_ENOMEM;
	for (uint32_t i = 0; prints->slots != NULL && i <= prints->mask; i++) {
		if (!is_free(prints, i))
			memcpy(fresh.slots[place(&fresh, prints->slots[i])], prints->slots[i], 16);
	}
	free(prints->slots);
	*prints = fresh;
	return 0;
}

static bool prints_has(const struct dp_prints *prints, const uint64_t words[2])
{
	return prints->slots != NULL && !is_free(prints, place(prints, words));
}

/* 0 or PSP_DP_ENOMEM. */
static int32_t prints_add(struct dp_prints *prints, const uint64_t words[2])
{
	if (prints->slots == NULL || prints->used > prints->mask / 2) {
		int32_t status = grow(prints);

		if (status != 0)
			return status;
	}
	memcpy(prints->slots[place(prints, words)], words, 16);
	prints->used++;
	return 0;
}

static void prints_free(struct dp_prints *prints)
{
	free(prints->slots);
	memset(prints, 0, sizeof(*prints));
}

/* ---- the crypto library ---------------------------------------------------------------------- */

int32_t dp_keys_up(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	struct dp_keys *keys = &dp_plane_of(dp)->keys;

	keys->backend = psp_crypto_backend_by_id(dp_plane_of(dp)->config.backend);
	if (keys->backend == NULL) {
		dp_open_fail(err, err_cap,
			     "the crypto backend is not built in, or not for this processor");
		return PSP_DP_ENOTSUP;
	}
	if (dp_random(keys->print_key, sizeof(keys->print_key)) != 0) {
		dp_open_fail(err, err_cap, "the kernel gives no random octets");
		return PSP_DP_EIO;
	}
	if (keys->backend->crypto_new(&keys->crypto) != 0) {
		dp_open_fail(err, err_cap, "the crypto library failed");
		return PSP_DP_EIO;
	}
	return 0;
}

void dp_keys_down(struct psp_dp *dp)
{
	struct dp_keys *keys = &dp_plane_of(dp)->keys;

	prints_free(&keys->prints);
	prints_free(&keys->older);
	if (keys->crypto != NULL)
		keys->backend->crypto_free(keys->crypto);
	explicit_bzero(keys, sizeof(*keys));
}

/* ---- transmit keys --------------------------------------------------------------------------- */

static int32_t check_key(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	const struct dp_plane *plane = dp_plane_of(dp);
	uint8_t any = 0;

	if (key->size != sizeof(*key))
		return dp_fail(dp, PSP_DP_EINVAL,
			       "Cannot set crypto id %u: the key has size %u, not %zu", id,
			       key->size, sizeof(*key));
	if (id == 0 || id > plane->config.max_crypto_ids)
		return dp_fail(dp, PSP_DP_EINVAL,
			       "Cannot set crypto id %u: it is not within 1 to %u", id,
			       plane->config.max_crypto_ids);
	if (key->version >= PSP_VERSIONS)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: no PSP version %u", id,
			       key->version);
	if (plane->no_gmac && psp_is_gmac(key->version))
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot set crypto id %u: hardware does not seal PSP version %u", id,
			       key->version);
	if ((key->spi & ~PSP_SPI_MASTER_KEY) == 0)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: SPI 0x%08x is reserved",
			       id, key->spi);
	if (key->iv_start > 1 && (plane_features(dp) & PSP_DP_FEATURE_IV_START) == 0)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot set crypto id %u: hardware does not start IVs elsewhere "
			       "(iv_start)",
			       id);
	if (dp_key_iv_last(key) < dp_key_iv_first(key))
		return dp_fail(dp, PSP_DP_EINVAL,
			       "Cannot set crypto id %u: iv_start and iv_limit go beyond 64 bits",
			       id);
	for (uint32_t i = 0; i < psp_key_len(key->version); i++)
		any |= key->key[i];
	if (any == 0)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: the key is all zero",
			       id);
	return 0;
}

uint64_t dp_key_iv_first(const struct psp_dp_key *key)
{
	return key->iv_start != 0 ? key->iv_start : 1;
}

uint64_t dp_key_iv_last(const struct psp_dp_key *key)
{
	return dp_key_iv_first(key) - 1 +
	       (key->iv_limit != 0 ? key->iv_limit : DP_IV_LIMIT_DEFAULT);
}

/* Behind a greater start no earlier key can meet one of its IVs again. */
static int32_t follow_start(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	struct dp_keys *keys = &dp_plane_of(dp)->keys;
	const uint64_t first = dp_key_iv_first(key);

	if (keys->iv_floor != 0 && first != keys->iv_floor && first <= keys->iv_top)
		return dp_fail(
			dp, PSP_DP_EKEY,
			"Cannot set crypto id %u: IVs from 0x%llx on were given to other keys "
			"already",
			id, (unsigned long long)first);
	if (first != keys->iv_floor)
		prints_free(&keys->prints);
	keys->iv_floor = first;
	if (dp_key_iv_last(key) > keys->iv_top)
		keys->iv_top = dp_key_iv_last(key);
	return 0;
}

static bool is_full(struct psp_dp *dp)
{
	const struct dp_plane *plane = dp_plane_of(dp);
	const uint32_t ids = plane->config.max_crypto_ids;

	return plane->keys.prints.used >= (ids > PRINTS_MIN / 2 ? 2 * ids : PRINTS_MIN);
}

/*
 * Where IVs cannot start elsewhere there is nothing to forget keys by but their age: the last are known, PRINTS_MIN of
 * them at least and twice as many as there are ids. A peer's device gives no key twice.
 */
static void forget_oldest(struct dp_keys *keys)
{
	prints_free(&keys->older);
	keys->older = keys->prints;
	memset(&keys->prints, 0, sizeof(keys->prints));
}

int32_t dp_key_remember(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	struct dp_keys *keys = &dp_plane_of(dp)->keys;
	uint64_t print[2];
	int32_t status = keys->backend->cmac256(keys->crypto, keys->print_key, key->key,
						psp_key_len(key->version), (uint8_t *)print);

	if (status != 0)
		return dp_fail(dp, PSP_DP_EIO, "Cannot set crypto id %u: the crypto library failed",
			       id);
	/* Free slots are 0. */
	if (print[0] == 0 && print[1] == 0)
		print[1] = 1;
	status = follow_start(dp, id, key);
	if (status != 0)
		return status;
	if (prints_has(&keys->prints, print) || prints_has(&keys->older, print))
		status = PSP_DP_EKEY;
	else if (is_full(dp) && (plane_features(dp) & PSP_DP_FEATURE_IV_START) != 0)
		status = PSP_DP_ENOSPC;
	else {
		if (is_full(dp))
			forget_oldest(keys);
		status = prints_add(&keys->prints, print);
	}
	if (status == PSP_DP_EKEY)
		return dp_fail(dp, status,
			       "Cannot set crypto id %u: the key is or was in use already", id);
	if (status == PSP_DP_ENOSPC)
		return dp_fail(dp, status,
			       "Cannot set crypto id %u: %u keys began at IV 0x%llx, begin at a "
			       "greater one",
			       id, keys->prints.used, (unsigned long long)keys->iv_floor);
	return status == 0 ? 0 : dp_fail(dp, status, "Cannot set crypto id %u: out of memory", id);
}

/* Until plane_settle(). */
static int32_t set_key(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key,
		       struct psp_dp_stats *last)
{
	int32_t status = check_key(dp, id, key);

	return status == 0 ? plane_crypto_put(dp, id, key, last) : status;
}

int32_t psp_dp_crypto_set(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	int32_t status;

	if (dp == NULL || key == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = set_key(dp, id, key, NULL);
	plane_settle(dp);
	dp_unlock(dp);
	return status;
}

/* 0, or a sentence. */
static int32_t need_key(struct psp_dp *dp, uint32_t id, const char *verb)
{
	if (id != 0 && id <= dp_plane_of(dp)->config.max_crypto_ids && plane_crypto_has(dp, id))
		return 0;
	return dp_fail(dp, PSP_DP_ENOENT, "Cannot %s crypto id %u: it has no key", verb, id);
}

static int32_t clear_key(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *last)
{
	int32_t status = need_key(dp, id, "clear");

	return status == 0 ? plane_crypto_put(dp, id, NULL, last) : status;
}

int32_t psp_dp_crypto_clear(struct psp_dp *dp, uint32_t id)
{
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = clear_key(dp, id, NULL);
	plane_settle(dp);
	dp_unlock(dp);
	return status;
}

static int32_t query_key(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	int32_t status = need_key(dp, id, "query");

	if (status != 0)
		return status;
	dp_stats_clear(stats);
	plane_crypto_query(dp, id, stats);
	return 0;
}

int32_t psp_dp_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	int32_t status;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = query_key(dp, id, stats);
	dp_unlock(dp);
	return status;
}

static int32_t do_item(struct psp_dp *dp, struct psp_dp_key_item *item)
{
	dp_stats_clear(&item->stats);
	switch (item->op) {
	case PSP_DP_OP_ADD:
		return set_key(dp, item->crypto_id, &item->key, &item->stats);
	case PSP_DP_OP_REMOVE:
		return clear_key(dp, item->crypto_id, &item->stats);
	default:
		return query_key(dp, item->crypto_id, &item->stats);
	}
}

int32_t psp_dp_key_list(struct psp_dp *dp, struct psp_dp_key_item *items, uint32_t n)
{
	struct dp_first first = {0};

	if (dp == NULL || (items == NULL && n > 0))
		return PSP_DP_EINVAL;
	if (n > PSP_DP_LIST_MAX)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot change keys: %u are more than %u", n,
			       PSP_DP_LIST_MAX);
	for (uint32_t i = 0; i < n; i++) {
		if (items[i].size != sizeof(items[i]) || items[i].op == PSP_DP_OP_UPDATE ||
		    items[i].op > PSP_DP_OP_QUERY)
			return dp_fail(dp, PSP_DP_EINVAL,
				       "Cannot change keys: item %u has size %u and op %u", i,
				       items[i].size, items[i].op);
	}
	dp_lock(dp);
	for (uint32_t i = 0; i < n; i++) {
		items[i].status = do_item(dp, &items[i]);
		dp_first_note(dp, &first, i, items[i].status);
	}
	plane_settle(dp);
	dp_unlock(dp);
	return dp_first_tell(dp, &first);
}

/* ---- master keys ----------------------------------------------------------------------------- */

static uint32_t left(struct psp_dp *dp)
{
	return DP_SPI_COUNT - dp_plane_of(dp)->master.spis_used;
}

static int32_t check_wish(struct psp_dp *dp, uint32_t version, const struct psp_dp_key *keys,
			  uint32_t n)
{
	const struct dp_plane *plane = dp_plane_of(dp);

	if (version >= PSP_VERSIONS)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot generate SPIs: no PSP version %u",
			       version);
	if ((plane->config.versions >> version & 1u) == 0)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot generate SPIs: PSP version %u is not accepted here",
			       version);
	if (plane->no_gmac && psp_is_gmac(version))
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot generate SPIs: hardware does not open PSP version %u",
			       version);
	if (n == 0)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot generate SPIs: 0 are asked for");
	for (uint32_t i = 0; i < n; i++) {
		if (keys[i].size != sizeof(keys[i]))
			return dp_fail(dp, PSP_DP_EINVAL,
				       "Cannot generate SPIs: key %u has size %u, not %zu", i,
				       keys[i].size, sizeof(keys[i]));
	}
	if (n > left(dp))
		return dp_fail(dp, PSP_DP_EKEY,
			       "Cannot generate SPIs: %u are left under this master key", left(dp));
	return 0;
}

int32_t psp_dp_spi_generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys,
			    uint32_t n)
{
	int32_t status;

	if (dp == NULL || keys == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = check_wish(dp, version, keys, n);
	if (status == 0) {
		status = plane_spi_generate(dp, version, keys, n);
		for (uint32_t i = 0; status != 0 && i < n; i++)
			explicit_bzero(keys[i].key, sizeof(keys[i].key));
	}
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_master_key_rotate(struct psp_dp *dp)
{
	struct dp_plane *plane = dp_plane_of(dp);
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = plane_rotate(dp);
	if (status == 0) {
		plane->master.active = 1u - plane->master.active;
		plane->master.spis_used = 0;
		plane->master.rotations++;
		dp_count(&plane->counters, DP_KEY_ROTATIONS, 1);
	}
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_master_key_query(struct psp_dp *dp, struct psp_dp_master_key_info *info)
{
	const struct dp_plane *plane = dp_plane_of(dp);

	if (dp == NULL || info == NULL || info->size != sizeof(*info))
		return PSP_DP_EINVAL;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	dp_lock(dp);
	info->active = plane->master.active;
	info->rotations = plane->master.rotations;
	info->spis_left = left(dp);
	dp_unlock(dp);
	return 0;
}
