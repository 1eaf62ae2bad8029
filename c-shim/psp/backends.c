/* SPDX-License-Identifier: Apache-2.0 */
/* backends.c: the search in the table of what was built in. */
#include "backends.h"

const struct psp_crypto_backend *psp_crypto_backend_at(uint32_t n)
{
	return n < psp_backend_count ? psp_backend_table[n] : NULL;
}

static bool is_usable(const struct psp_crypto_backend *backend)
{
	struct psp_crypto *crypto;

	if (backend->crypto_new(&crypto) != PSP_DP_OK)
		return false;
	backend->crypto_free(crypto);
	return true;
}

const struct psp_crypto_backend *psp_crypto_backend_by_id(uint32_t id)
{
	for (uint32_t n = 0; n < psp_backend_count; n++) {
		const struct psp_crypto_backend *backend = psp_backend_table[n];

		if ((id == PSP_DP_BACKEND_AUTO || id == backend->id) && is_usable(backend))
			return backend;
	}
	return NULL;
}
