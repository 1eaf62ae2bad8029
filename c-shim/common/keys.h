/* SPDX-License-Identifier: Apache-2.0 */
/* keys.h: what both planes know of keys: their limits, which ones there have been, and which master key is active. */
#ifndef PSP_COMMON_KEYS_H
#define PSP_COMMON_KEYS_H

#include <stdint.h>

#include "../psp/crypto.h"
#include "../psp_dp.h"

#define DP_IV_LIMIT_DEFAULT (UINT64_C(1) << 34)
#define DP_SPI_COUNT 0x7fffffffu /* under one master key: the low 31 bits, but 0 */

/* A set of 128-bit fingerprints of transmit keys that this plane has held. */
struct dp_prints {
	uint64_t (*slots)[2]; /* 0, 0: free */
	uint32_t used, mask;
};

/* The crypto library for the API's threads, and what tells a key that was used before. Writer only. */
struct dp_keys {
	const struct psp_crypto_backend *backend; /* any thread */
	struct psp_crypto *crypto;
	uint8_t print_key[32];
	struct dp_prints prints; /* of those whose IVs began at iv_floor */
	struct dp_prints older;  /* where IVs cannot start elsewhere: of those before these */
	uint64_t iv_floor,
		iv_top; /* no IV of a key to come is below; the highest that was given; 0: none yet */
};

struct dp_master {
	uint32_t active; /* master key that new SPIs are drawn under */
	uint64_t rotations;
	uint32_t spis_used; /* under the active one */
};

/* 0, or err says why not. dp_keys_down() undoes it, whether it got this far or not. */
int32_t dp_keys_up(struct psp_dp *dp, char *err, uint32_t err_cap);
void dp_keys_down(struct psp_dp *dp);
/* Of the IVs that it may be used with. */
uint64_t dp_key_iv_first(const struct psp_dp_key *key);
uint64_t dp_key_iv_last(const struct psp_dp_key *key);
/* Remembers a key, or refuses it: a (key, IV) pair that comes twice gives away both packets. */
int32_t dp_key_remember(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key);

#endif
