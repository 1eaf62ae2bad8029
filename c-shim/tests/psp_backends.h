/* SPDX-License-Identifier: Apache-2.0 */
/*
 * psp_backends.h: what the PSP tests share. RUN_EACH runs a test once against each usable backend,
 * which it finds in `backend` and `crypto`.
 */
#ifndef PSP_TEST_BACKENDS_H
#define PSP_TEST_BACKENDS_H

#include "../psp/crypto.h"
#include "test.h"

static const struct psp_crypto_backend *backend;
static struct psp_crypto *crypto;

#define RUN_EACH(test)                                                                             \
	for (uint32_t n_ = 0; backend_take(n_); n_++) {                                            \
		RUN(test);                                                                         \
		backend_give();                                                                    \
	}

static inline bool backend_take(uint32_t n)
{
	static char variant[32];

	for (;; n++) {
		backend = psp_crypto_backend_at(n);
		if (backend == NULL)
			return false;
		if (backend->crypto_new(&crypto) == PSP_DP_OK)
			break;
		/* Not on this processor: never silently, or a test would seem to have run. */
		printf("# skipped: %s is not usable here\n", backend->name);
	}
	(void)snprintf(variant, sizeof(variant), " (%s)", backend->name);
	test_variant = variant;
	return true;
}

static inline void backend_give(void)
{
	backend->crypto_free(crypto);
	test_variant = "";
}

#endif
