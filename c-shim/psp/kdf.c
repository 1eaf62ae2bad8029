/* SPDX-License-Identifier: Apache-2.0 */
/* kdf.c: SP 800-108 in counter mode over a backend's CMAC, and PSP's label and context for it. */
#include "kdf.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_LEN 16u
#define COUNTER_LEN 4u
#define PSP_FIXED_LEN 12u

int32_t psp_kbkdf(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		  const uint8_t key[32], const uint8_t *fixed, size_t fixed_len, uint8_t *out,
		  size_t out_len)
{
	uint8_t block[BLOCK_LEN];
	uint8_t *msg;
	int32_t status = PSP_DP_OK;
	size_t done = 0;

	if (out_len == 0 || out_len > PSP_KBKDF_MAX || fixed_len > PSP_PACKET_MAX)
		return PSP_DP_EINVAL;
	msg = malloc(COUNTER_LEN + fixed_len);
	if (msg == NULL)
		return PSP_DP_ENOMEM;
	if (fixed_len != 0)
		memcpy(msg + COUNTER_LEN, fixed, fixed_len);

	for (uint32_t counter = 1; done < out_len; counter++) {
		const size_t n = out_len - done < BLOCK_LEN ? out_len - done : BLOCK_LEN;

		psp_put32(msg, counter);
		status = backend->cmac256(crypto, key, msg, COUNTER_LEN + fixed_len, block);
		if (status != PSP_DP_OK)
			goto out;
		memcpy(out + done, block, n);
		done += n;
	}

out:
	if (status != PSP_DP_OK)
		explicit_bzero(out, out_len);
	explicit_bzero(block, sizeof(block));
	free(msg);
	return status;
}

int32_t psp_derive_key(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		       const uint8_t master_key[32], uint32_t spi, uint32_t version,
		       uint8_t out[32])
{
	/* label | 0 | SPI | L in bits. 'Pv2' and 'Pv3' are our reading: the specification has none. */
	uint8_t fixed[PSP_FIXED_LEN] = {'P', 'v', (uint8_t)('0' + version), 0};

	if (version >= PSP_VERSIONS)
		return PSP_DP_EINVAL;
	memset(out, 0, 32);
	psp_put32(fixed + 4, spi);
	psp_put32(fixed + 8, psp_key_len(version) * 8);
	return psp_kbkdf(backend, crypto, master_key, fixed, sizeof(fixed), out,
			 psp_key_len(version));
}
