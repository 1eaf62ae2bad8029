/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that gives a wrong answer on this machine, whichever, is not used. */
#include "psp_backends.h"

static struct psp_crypto_backend spoilt;
static uint32_t spoilt_version;
/* The octet of a text or of clear text that the spoilt backend reads as another one. */
static size_t at;

static int32_t key_new(struct psp_crypto *own, uint32_t version, const uint8_t *octets,
		       struct psp_aead_key **out)
{
	uint8_t other[32];

	memcpy(other, octets, sizeof(other));
	if (version == spoilt_version)
		other[at % (version == 0 ? 16 : 32)] ^= 1;
	return backend->key_new(own, version, other, out);
}

static int32_t seal(struct psp_crypto *own, const struct psp_aead_key *key, const uint8_t *nonce,
		    const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
		    uint8_t *tag)
{
	memcpy(out, in, len);
	out[at % len] ^= 1;
	return backend->seal(own, key, nonce, aad, aad_len, out, len, out, tag);
}

static int32_t open_other(struct psp_crypto *own, const struct psp_aead_key *key,
			  const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
			  const uint8_t *in, size_t len, uint8_t *out, const uint8_t *tag)
{
	const int32_t verdict = backend->open(own, key, nonce, aad, aad_len, in, len, out, tag);

	out[at % len] ^= 1;
	return verdict;
}

static int32_t open_any(struct psp_crypto *own, const struct psp_aead_key *key,
			const uint8_t *nonce, const uint8_t *aad, size_t aad_len, const uint8_t *in,
			size_t len, uint8_t *out, const uint8_t *tag)
{
	(void)backend->open(own, key, nonce, aad, aad_len, in, len, out, tag);
	return PSP_DP_VERDICT_OK;
}

static int32_t cmac(struct psp_crypto *own, const uint8_t key[32], const uint8_t *msg, size_t len,
		    uint8_t out[16])
{
	const int32_t status = backend->cmac256(own, key, msg, len, out);

	out[at % 16] ^= 1;
	return status;
}

static void a_right_backend_is_used(void)
{
	CHECK(psp_crypto_knows_answers(backend, crypto));
	CHECK(psp_crypto_backend_by_id(backend->id) == backend);
}

static void one_that_is_wrong_anywhere_is_not(void)
{
	for (at = 0; at < 700; at++) {
		CONTEXT("octet %zu", at);
		spoilt = *backend;
		spoilt.seal = seal;
		CHECK(!psp_crypto_knows_answers(&spoilt, crypto));
		spoilt.seal = backend->seal;
		spoilt.open = open_other;
		CHECK(!psp_crypto_knows_answers(&spoilt, crypto));
	}
	for (at = 0; at < 32; at++) {
		CONTEXT("octet %zu", at);
		spoilt = *backend;
		spoilt.key_new = key_new;
		for (spoilt_version = 0; spoilt_version < 2; spoilt_version++)
			CHECK(!psp_crypto_knows_answers(&spoilt, crypto));
		spoilt = *backend;
		spoilt.cmac256 = cmac;
		CHECK(!psp_crypto_knows_answers(&spoilt, crypto));
	}
}

static void one_that_believes_a_forged_packet_is_not(void)
{
	spoilt = *backend;
	spoilt.open = open_any;
	CHECK(!psp_crypto_knows_answers(&spoilt, crypto));
}

int main(void)
{
	RUN_EACH(a_right_backend_is_used);
	RUN_EACH(one_that_is_wrong_anywhere_is_not);
	RUN_EACH(one_that_believes_a_forged_packet_is_not);
	return test_summary();
}
