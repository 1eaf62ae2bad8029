/* SPDX-License-Identifier: Apache-2.0 */
/* backends_openssl.c: the table for every architecture that ipsec-mb does not know. */
#include "backends.h"

const struct psp_crypto_backend *const psp_backend_table[] = {&psp_crypto_openssl};
const uint32_t psp_backend_count = 1;
