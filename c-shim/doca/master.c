/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* explicit_bzero */
/* master.c: SPIs and their keys from the device's master keys, and the rotation of those. They never leave it. */
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"

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
