/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends.h: the table of the backends that were built in, preferred first. One of backends_x86.c
 * and backends_openssl.c defines it; the Makefile chooses by architecture.
 */
#ifndef PSP_BACKENDS_H
#define PSP_BACKENDS_H

#include "crypto.h"

extern const struct psp_crypto_backend psp_crypto_openssl;
extern const struct psp_crypto_backend psp_crypto_ipsec_mb; /* x86-64 only */
extern const struct psp_crypto_backend psp_crypto_vaes;     /* x86-64 only */

extern const struct psp_crypto_backend *const psp_backend_table[];
extern const uint32_t psp_backend_count;

#endif
