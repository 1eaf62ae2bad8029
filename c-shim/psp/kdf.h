/* SPDX-License-Identifier: Apache-2.0 */
/* kdf.h: NIST SP 800-108 in counter mode with CMAC-AES-256, and PSP's use of it (seal.c). */
#ifndef PSP_KDF_H
#define PSP_KDF_H

#include "crypto.h"

#define PSP_KBKDF_MAX 4096u /* octets that one call gives out */

/*
 * out = first out_len octets of CMAC(key, counter32 | fixed), counter from 1; zeroed on failure.
 * PSP_DP_EINVAL when out_len is not 1..PSP_KBKDF_MAX, or fixed is longer than 65,535 octets.
 */
int32_t psp_kbkdf(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		  const uint8_t key[32], const uint8_t *fixed, size_t fixed_len, uint8_t *out,
		  size_t out_len);

/* The key of (SPI, version) under one master key: 16 or 32 octets into out; the rest of out is zeroed. */
int32_t psp_derive_key(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		       const uint8_t master_key[32], uint32_t spi, uint32_t version,
		       uint8_t out[32]);

#endif
