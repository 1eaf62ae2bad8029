/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* explicit_bzero */
/* master.c: SPIs and their keys under the active master key, and which of the two that is. */
#include <string.h>

#include "../psp/wire.h"
#include "plane.h"

static uint32_t left(struct psp_dp *dp)
{
	return DP_SPI_COUNT - dp_plane_of(dp)->master.spis_used;
}

static int32_t check(struct psp_dp *dp, uint32_t version, const struct psp_dp_key *keys, uint32_t n)
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
	status = check(dp, version, keys, n);
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
