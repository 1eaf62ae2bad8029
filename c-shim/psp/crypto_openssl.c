/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto_openssl.c: libcrypto's EVP as a backend. A library context of its own: the host's
 * openssl.cnf is not read, and no other user of libcrypto in the process is disturbed.
 */
#include "backends.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { OPEN = 0, SEAL = 1 };
enum { AES_128 = 0, AES_256 = 1 };

struct psp_aead_key {
	uint32_t size; /* AES_128 or AES_256 */
	uint8_t octets[32];
};

/*
 * A context with the key that it was used with last: packets come in bursts of one SA, and to
 * expand a key costs as much as to seal a small packet. So up to four keys stay with a thread after
 * key_free(), until other keys take their place or the thread's psp_crypto is freed.
 */
struct slot {
	EVP_CIPHER_CTX *ctx;
	bool keyed;
	struct psp_aead_key last;
};

struct psp_crypto {
	OSSL_LIB_CTX *lib;
	EVP_CIPHER *cipher[2];  /* by key size */
	struct slot slot[2][2]; /* by key size, by direction */
	EVP_MAC *mac;
	EVP_MAC_CTX *mac_ctx;
};

static const char *version(void)
{
	return OPENSSL_VERSION_STR;
}

static void crypto_free(struct psp_crypto *crypto)
{
	if (crypto == NULL)
		return;
	for (int size = 0; size < 2; size++)
		for (int direction = 0; direction < 2; direction++)
			EVP_CIPHER_CTX_free(crypto->slot[size][direction].ctx); /* wipes its keys */
	EVP_MAC_CTX_free(crypto->mac_ctx);
	EVP_MAC_free(crypto->mac);
	EVP_CIPHER_free(crypto->cipher[AES_128]);
	EVP_CIPHER_free(crypto->cipher[AES_256]);
	OSSL_LIB_CTX_free(crypto->lib);
	explicit_bzero(crypto, sizeof(*crypto));
	free(crypto);
}

static bool new_slots(struct psp_crypto *crypto)
{
	for (int size = 0; size < 2; size++)
		for (int direction = 0; direction < 2; direction++) {
			EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

			crypto->slot[size][direction].ctx = ctx;
			if (ctx == NULL)
				return false;
		}
	return true;
}

static int32_t crypto_new(struct psp_crypto **out)
{
	struct psp_crypto *crypto;

	*out = NULL;
	/* The process is not ours: no configuration file, no handler at exit. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		return PSP_DP_ENOMEM;
	crypto = calloc(1, sizeof(*crypto));
	if (crypto == NULL)
		return PSP_DP_ENOMEM;
	crypto->lib = OSSL_LIB_CTX_new();
	if (crypto->lib == NULL)
		goto failed;
	crypto->cipher[AES_128] = EVP_CIPHER_fetch(crypto->lib, "AES-128-GCM", NULL);
	crypto->cipher[AES_256] = EVP_CIPHER_fetch(crypto->lib, "AES-256-GCM", NULL);
	crypto->mac = EVP_MAC_fetch(crypto->lib, "CMAC", NULL);
	if (crypto->cipher[AES_128] == NULL || crypto->cipher[AES_256] == NULL ||
	    crypto->mac == NULL || !new_slots(crypto))
		goto failed;
	crypto->mac_ctx = EVP_MAC_CTX_new(crypto->mac);
	if (crypto->mac_ctx == NULL)
		goto failed;
	*out = crypto;
	return PSP_DP_OK;

failed:
	crypto_free(crypto);
	return PSP_DP_ENOMEM;
}

static int32_t key_new(struct psp_crypto *crypto, uint32_t psp_version, const uint8_t *octets,
		       struct psp_aead_key **out)
{
	struct psp_aead_key *key;

	(void)crypto;
	*out = NULL;
	if (psp_version >= PSP_VERSIONS)
		return PSP_DP_EINVAL;
	key = calloc(1, sizeof(*key));
	if (key == NULL)
		return PSP_DP_ENOMEM;
	key->size = psp_key_len(psp_version) == 32 ? AES_256 : AES_128;
	memcpy(key->octets, octets, psp_key_len(psp_version));
	*out = key;
	return PSP_DP_OK;
}

static void key_free(struct psp_aead_key *key)
{
	if (key == NULL)
		return;
	explicit_bzero(key, sizeof(*key));
	free(key);
}

/* Expanded for each text anew. */
static void key_fetch(const struct psp_aead_key *key, uint32_t version, size_t len)
{
	(void)version;
	(void)len;
	__builtin_prefetch(key);
}

/* The context for a key and direction, ready for a message under nonce; NULL: libcrypto failed. */
static EVP_CIPHER_CTX *start(struct psp_crypto *crypto, const struct psp_aead_key *key,
			     int direction, const uint8_t *nonce)
{
	struct slot *slot = &crypto->slot[key->size][direction];

	if (slot->keyed && CRYPTO_memcmp(&slot->last, key, sizeof(*key)) == 0)
		return EVP_CipherInit_ex2(slot->ctx, NULL, NULL, nonce, direction, NULL) == 1
			       ? slot->ctx
			       : NULL;
	slot->keyed = false;
	if (EVP_CipherInit_ex2(slot->ctx, crypto->cipher[key->size], key->octets, nonce, direction,
			       NULL) != 1)
		return NULL;
	slot->last = *key;
	slot->keyed = true;
	return slot->ctx;
}

static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len)
{
	int n = 0;

	return len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1;
}

static int32_t seal_parts(struct psp_crypto *crypto, const struct psp_aead_key *key,
			  const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
			  const struct psp_text *text, uint8_t *out, uint8_t *tag)
{
	uint8_t rest[EVP_MAX_BLOCK_LENGTH];
	EVP_CIPHER_CTX *ctx;
	int n = 0;

	if (aad_len > INT_MAX || text->head_len > INT_MAX || text->body_len > INT_MAX)
		return PSP_DP_EINVAL;
	ctx = start(crypto, key, SEAL, nonce);
	if (ctx == NULL || !update(ctx, NULL, aad, aad_len) ||
	    !update(ctx, out, text->head, text->head_len) ||
	    !update(ctx, out + text->head_len, text->body, text->body_len) ||
	    EVP_CipherFinal_ex(ctx, rest, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PSP_ICV_LEN, tag) != 1)
		return PSP_DP_EIO;
	return PSP_DP_OK;
}

static int32_t seal(struct psp_crypto *crypto, const struct psp_aead_key *key, const uint8_t *nonce,
		    const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
		    uint8_t *tag)
{
	const struct psp_text text = {.head = in, .head_len = len};

	return seal_parts(crypto, key, nonce, aad, aad_len, &text, out, tag);
}

static int32_t open(struct psp_crypto *crypto, const struct psp_aead_key *key, const uint8_t *nonce,
		    const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
		    const uint8_t *tag)
{
	uint8_t expected[PSP_ICV_LEN], rest[EVP_MAX_BLOCK_LENGTH];
	EVP_CIPHER_CTX *ctx;
	int n = 0;

	if (aad_len > INT_MAX || len > INT_MAX)
		return PSP_DP_EINVAL;
	memcpy(expected, tag, sizeof(expected));
	ctx = start(crypto, key, OPEN, nonce);
	if (ctx == NULL || !update(ctx, NULL, aad, aad_len) || !update(ctx, out, in, len) ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, PSP_ICV_LEN, expected) != 1)
		return PSP_DP_EIO;
	/* Its comparison is CRYPTO_memcmp(); with the lengths right, nothing else can fail. */
	return EVP_CipherFinal_ex(ctx, rest, &n) == 1 ? PSP_DP_VERDICT_OK : PSP_DP_VERDICT_ICV;
}

static int32_t cmac256(struct psp_crypto *crypto, const uint8_t key[32], const uint8_t *msg,
		       size_t len, uint8_t out[16])
{
	char cipher[] = "AES-256-CBC";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
		OSSL_PARAM_construct_end(),
	};
	size_t n = 0;

	if (EVP_MAC_init(crypto->mac_ctx, key, 32, params) != 1 ||
	    EVP_MAC_update(crypto->mac_ctx, msg, len) != 1 ||
	    EVP_MAC_final(crypto->mac_ctx, out, &n, 16) != 1 || n != 16)
		return PSP_DP_EIO;
	return PSP_DP_OK;
}

const struct psp_crypto_backend psp_crypto_openssl = {
	.name = "openssl",
	.id = PSP_DP_BACKEND_OPENSSL,
	.version = version,
	.crypto_new = crypto_new,
	.crypto_free = crypto_free,
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.seal_parts = seal_parts,
	.open = open,
	.key_fetch = key_fetch,
	.cmac256 = cmac256,
};
