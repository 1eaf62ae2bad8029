/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* explicit_bzero */
/* keys.c: transmit keys by crypto id: what is checked and remembered of each before a plane gets it. */
#include <string.h>

#include "../psp/wire.h"
#include "plane.h"
#include "random.h"

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

	dp_prints_free(&keys->prints);
	if (keys->crypto != NULL)
		keys->backend->crypto_free(keys->crypto);
	explicit_bzero(keys, sizeof(*keys));
}

static int32_t check(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
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
	for (uint32_t i = 0; i < psp_key_len(key->version); i++)
		any |= key->key[i];
	if (any == 0)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot set crypto id %u: the key is all zero",
			       id);
	return 0;
}

int32_t dp_key_remember(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	struct dp_keys *keys = &dp_plane_of(dp)->keys;
	uint8_t print[16];
	int32_t status = keys->backend->cmac256(keys->crypto, keys->print_key, key->key,
						psp_key_len(key->version), print);

	if (status != 0)
		return dp_fail(dp, PSP_DP_EIO, "Cannot set crypto id %u: the crypto library failed",
			       id);
	status = dp_prints_add(&keys->prints, print);
	if (status == PSP_DP_EKEY)
		return dp_fail(dp, status,
			       "Cannot set crypto id %u: the key is or was in use already", id);
	return status == 0 ? 0 : dp_fail(dp, status, "Cannot set crypto id %u: out of memory", id);
}

int32_t psp_dp_crypto_set(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key)
{
	int32_t status;

	if (dp == NULL || key == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = check(dp, id, key);
	if (status == 0)
		status = plane_crypto_set(dp, id, key);
	dp_unlock(dp);
	return status;
}

static bool has_key(struct psp_dp *dp, uint32_t id)
{
	return id != 0 && id <= dp_plane_of(dp)->config.max_crypto_ids && plane_crypto_has(dp, id);
}

int32_t psp_dp_crypto_clear(struct psp_dp *dp, uint32_t id)
{
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	if (has_key(dp, id))
		status = plane_crypto_clear(dp, id);
	else
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot clear crypto id %u: it has no key", id);
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	dp_lock(dp);
	if (has_key(dp, id)) {
		memset(stats, 0, sizeof(*stats));
		stats->size = sizeof(*stats);
		plane_crypto_query(dp, id, stats);
	} else {
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot query crypto id %u: it has no key", id);
	}
	dp_unlock(dp);
	return status;
}
