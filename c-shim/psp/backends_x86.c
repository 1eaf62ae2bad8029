/* SPDX-License-Identifier: Apache-2.0 */
/* backends_x86.c: the table for x86-64. */
#include "backends.h"

const struct psp_crypto_backend *const psp_backend_table[] = {
	&psp_crypto_vaes,
	&psp_crypto_ipsec_mb,
	&psp_crypto_openssl,
};
const uint32_t psp_backend_count = sizeof(psp_backend_table) / sizeof(psp_backend_table[0]);
