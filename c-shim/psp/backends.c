/* SPDX-License-Identifier: Apache-2.0 */
/* backends.c: the search in the table of what was built in, for a backend that runs here and gives the known answers. */
#include "backends.h"

#include <string.h>

#define TEXT_LEN 700u /* goes through every loop of a backend */
#define AAD_LEN 36u   /* blocks, and a part of one */

/* AES-GCM (NIST SP 800-38D) and CMAC (SP 800-38B) of the octets 0, 7, 14, ... modulo 256, computed by another implementation. */
static const uint8_t known_tag[2][PSP_ICV_LEN] = {
	{0x68, 0xf8, 0x38, 0xa9, 0x6e, 0xc0, 0xe6, 0x5e, 0xb2, 0x09, 0xb0, 0x62, 0x55, 0x59, 0x53,
	 0x98},
	{0xc6, 0xd3, 0xb4, 0x5a, 0x42, 0x92, 0x39, 0x00, 0x63, 0xfb, 0x0c, 0x65, 0xd5, 0xc4, 0x01,
	 0x5b},
};
static const uint8_t known_mac[16] = {0x31, 0xdf, 0xa1, 0x81, 0xe6, 0x1d, 0xfb, 0xae,
				      0xed, 0xd1, 0x2d, 0x20, 0x8e, 0xb2, 0xdb, 0xe5};

const struct psp_crypto_backend *psp_crypto_backend_at(uint32_t n)
{
	return n < psp_backend_count ? psp_backend_table[n] : NULL;
}

/* Nonce, clear text, text and key all begin with the same octets. The tag covers all that was encrypted. */
static bool seals_and_opens(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
			    uint32_t version, const uint8_t text[TEXT_LEN])
{
	const uint8_t *expected = known_tag[version];
	uint8_t sealed[TEXT_LEN], opened[TEXT_LEN], tag[PSP_ICV_LEN];
	struct psp_aead_key *key;
	bool is_right;

	if (backend->key_new(crypto, version, text, &key) != PSP_DP_OK)
		return false;
	is_right = backend->seal(crypto, key, text, text, AAD_LEN, text, TEXT_LEN, sealed, tag) ==
			   PSP_DP_OK &&
		   memcmp(tag, expected, sizeof(tag)) == 0 &&
		   backend->open(crypto, key, text, text, AAD_LEN, sealed, TEXT_LEN, opened, tag) ==
			   PSP_DP_VERDICT_OK &&
		   memcmp(opened, text, TEXT_LEN) == 0;
	tag[0] ^= 1;
	is_right = is_right && backend->open(crypto, key, text, text, AAD_LEN, sealed, TEXT_LEN,
					     opened, tag) == PSP_DP_VERDICT_ICV;
	backend->key_free(key);
	return is_right;
}

bool psp_crypto_knows_answers(const struct psp_crypto_backend *backend, struct psp_crypto *crypto)
{
	uint8_t text[TEXT_LEN], mac[sizeof(known_mac)];

	for (uint32_t i = 0; i < TEXT_LEN; i++)
		text[i] = (uint8_t)(i * 7u);
	return backend->cmac256(crypto, text, text, AAD_LEN, mac) == PSP_DP_OK &&
	       memcmp(mac, known_mac, sizeof(mac)) == 0 &&
	       seals_and_opens(backend, crypto, PSP_AES_GCM_128, text) &&
	       seals_and_opens(backend, crypto, PSP_AES_GCM_256, text);
}

static bool is_usable(const struct psp_crypto_backend *backend)
{
	struct psp_crypto *crypto;
	bool is_right;

	if (backend->crypto_new(&crypto) != PSP_DP_OK)
		return false;
	is_right = psp_crypto_knows_answers(backend, crypto);
	backend->crypto_free(crypto);
	return is_right;
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
