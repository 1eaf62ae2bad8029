/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto.h: what PSP needs of a cipher library, as one const struct per backend.
 *
 * Threads: a psp_crypto (the backend's working state) belongs to one thread; a psp_aead_key is
 * read-only once made and may be used by many threads at once, each with its own psp_crypto.
 */
#ifndef PSP_CRYPTO_H
#define PSP_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct psp_crypto;   /* per thread */
struct psp_aead_key; /* expanded AES-GCM key; its memory is wiped when freed */

/* Clear text in two parts. */
struct psp_text {
	const uint8_t *head, *body;
	size_t head_len, body_len;
};

struct psp_crypto_backend {
	const char *name; /* "openssl", "ipsec-mb", "vaes" */
	uint32_t id;      /* enum psp_dp_backend */
	const char *(*version)(void);
	/* 0, or PSP_DP_ENOTSUP when this processor lacks what the backend needs. */
	int32_t (*crypto_new)(struct psp_crypto **out);
	void (*crypto_free)(struct psp_crypto *crypto);
	/* key: 16 or 32 octets by version. */
	int32_t (*key_new)(struct psp_crypto *crypto, uint32_t version, const uint8_t *key,
			   struct psp_aead_key **out);
	void (*key_free)(struct psp_aead_key *key);
	/* AES-GCM with a 12-octet nonce and a 16-octet tag; in == out is allowed; len may be 0. */
	int32_t (*seal)(struct psp_crypto *crypto, const struct psp_aead_key *key,
			const uint8_t *nonce, const uint8_t *aad, size_t aad_len, const uint8_t *in,
			size_t len, uint8_t *out, uint8_t *tag);
	/* The same of a text in two parts, head before body. head == out is allowed; body lies elsewhere. */
	int32_t (*seal_parts)(struct psp_crypto *crypto, const struct psp_aead_key *key,
			      const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
			      const struct psp_text *text, uint8_t *out, uint8_t *tag);
	/* Compares tags in constant time. PSP_DP_VERDICT_OK or _ICV; a negative status when the library failed. */
	int32_t (*open)(struct psp_crypto *crypto, const struct psp_aead_key *key,
			const uint8_t *nonce, const uint8_t *aad, size_t aad_len, const uint8_t *in,
			size_t len, uint8_t *out, const uint8_t *tag);
	/* Asks memory for what a text of so many octets needs of a key of this version; reads nothing of it. */
	void (*key_fetch)(const struct psp_aead_key *key, uint32_t version, size_t len);
	int32_t (*cmac256)(struct psp_crypto *crypto, const uint8_t key[32], const uint8_t *msg,
			   size_t len, uint8_t out[16]);
};

/* The n-th backend that was built in, preferred first; NULL past the last. */
const struct psp_crypto_backend *psp_crypto_backend_at(uint32_t n);
/* Whether it seals, opens, refuses and authenticates as is known from elsewhere: some microseconds, before it is used at all. */
bool psp_crypto_knows_answers(const struct psp_crypto_backend *backend, struct psp_crypto *crypto);
/*
 * By enum psp_dp_backend; AUTO: the first that runs here and gives the known answers. NULL: not built in, or not usable
 * here.
 */
const struct psp_crypto_backend *psp_crypto_backend_by_id(uint32_t id);

#endif
