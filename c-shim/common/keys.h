/* SPDX-License-Identifier: Apache-2.0 */
/* keys.h: what both planes hold of keys: their limits, and which ones there have been. */
#ifndef PSP_COMMON_KEYS_H
#define PSP_COMMON_KEYS_H

#include <stdint.h>

#include "../psp_dp.h"

#define DP_IV_LIMIT_DEFAULT (UINT64_C(1) << 34)
#define DP_SPI_COUNT 0x7fffffffu /* under one master key: the low 31 bits, but 0 */

/* A set of 128-bit fingerprints of every transmit key that this plane has ever held. */
struct dp_prints {
	uint64_t (*slots)[2]; /* 0, 0: free */
	uint32_t used, mask;
};

/* 0, PSP_DP_EKEY when the fingerprint is there already, PSP_DP_ENOMEM. */
int32_t dp_prints_add(struct dp_prints *prints, const uint8_t print[16]);
void dp_prints_free(struct dp_prints *prints);

#endif
