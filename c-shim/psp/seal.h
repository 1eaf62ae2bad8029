/* SPDX-License-Identifier: Apache-2.0 */
/* seal.h: one PSP packet sealed or opened. Lengths are checked here, whoever calls. */
#ifndef PSP_SEAL_H
#define PSP_SEAL_H

#include "crypto.h"

/*
 * psp: header (IV filled in) and payload, `len` octets, followed by room for PSP_ICV_LEN more. Seals in
 * place and writes the ICV. PSP_DP_EINVAL when the header contradicts len (crypt offset past the end); then,
 * and when the library fails, psp must not be sent: it may still be clear text.
 */
int32_t psp_seal(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		 const struct psp_aead_key *key, uint8_t *psp, size_t len);

/*
 * The same for a packet of which the last `body_len` octets still lie elsewhere, outside of psp: they are read there, and
 * their ciphertext is written to psp. Its first len - body_len octets are as psp_seal() wants them.
 */
int32_t psp_seal_from(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		      const struct psp_aead_key *key, uint8_t *psp, size_t len, const uint8_t *body,
		      size_t body_len);

/*
 * psp: header, ciphertext and ICV, `len` octets, already parsed into *header. Opens in place; afterwards the
 * payload is psp[header->size .. len - PSP_ICV_LEN) and header->vc is in clear. The ICV is checked for an empty
 * ciphertext too. Returns OK or ICV; a negative status when the library failed. Octets are unspecified unless OK.
 */
int32_t psp_open(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		 const struct psp_aead_key *key, struct psp_header *header, uint8_t *psp,
		 size_t len);

/* OK, or POLICY for an authentic packet that must not be forwarded: D set, empty payload, next header unknown. */
uint32_t psp_policy(const struct psp_header *header, size_t payload_len);

#endif
