/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto_ipsec_mb.c: Intel's ipsec-mb as a backend (x86-64). GCM goes through the direct functions,
 * which take AAD of any length; CMAC through a job.
 */
#include "backends.h"

#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "slab.h"

#define ALIGNMENT 64u
#define ROUND_KEYS 15u /* AES-256 */
#define BLOCK 16u
#define SPARE (4u * BLOCK) /* what is hashed beside a text, and ends in part of a block */

struct psp_aead_key {
	/* Laid out as the manager's GCM functions want it. Their header aligns it only #ifdef LINUX. */
	_Alignas(ALIGNMENT) struct gcm_key_data expanded;
	bool is_256;
};

struct psp_crypto {
	IMB_MGR *mgr; /* in memory of ours, so that it can be wiped */
	size_t mgr_size;
	struct gcm_context_data gcm;
	struct psp_slab keys;
};

static const char *version(void)
{
	return imb_get_version_str();
}

static void crypto_free(struct psp_crypto *crypto)
{
	if (crypto == NULL)
		return;
	psp_slab_free(&crypto->keys);
	if (crypto->mgr != NULL) {
		explicit_bzero(crypto->mgr, crypto->mgr_size);
		free(crypto->mgr);
	}
	explicit_bzero(crypto, sizeof(*crypto));
	free(crypto);
}

static int32_t crypto_new(struct psp_crypto **out)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	struct psp_crypto *crypto;
	void *memory;

	*out = NULL;
	if ((imb_get_feature_flags() & needed) != needed)
		return PSP_DP_ENOTSUP;
	crypto = calloc(1, sizeof(*crypto));
	if (crypto == NULL)
		return PSP_DP_ENOMEM;
	psp_slab_init(&crypto->keys, sizeof(struct psp_aead_key));
	crypto->mgr_size = (imb_get_mb_mgr_size() + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	memory = aligned_alloc(ALIGNMENT, crypto->mgr_size);
	if (memory == NULL) {
		crypto_free(crypto);
		return PSP_DP_ENOMEM;
	}
	memset(memory, 0, crypto->mgr_size);
	crypto->mgr = imb_set_pointers_mb_mgr(memory, 0, 1);
	init_mb_mgr_auto(crypto->mgr, NULL);
	/* Its self-test runs there. */
	if (imb_get_errno(crypto->mgr) != 0) {
		crypto_free(crypto);
		return PSP_DP_EIO;
	}
	*out = crypto;
	return PSP_DP_OK;
}

static int32_t key_new(struct psp_crypto *crypto, uint32_t psp_version, const uint8_t *octets,
		       struct psp_aead_key **out)
{
	struct psp_aead_key *key;

	*out = NULL;
	if (psp_version >= PSP_VERSIONS)
		return PSP_DP_EINVAL;
	key = psp_slab_take(&crypto->keys);
	if (key == NULL)
		return PSP_DP_ENOMEM;
	key->is_256 = psp_key_len(psp_version) == 32;
	if (key->is_256)
		IMB_AES256_GCM_PRE(crypto->mgr, octets, &key->expanded);
	else
		IMB_AES128_GCM_PRE(crypto->mgr, octets, &key->expanded);
	*out = key;
	return PSP_DP_OK;
}

static void key_free(struct psp_aead_key *key)
{
	psp_slab_give(key);
}

/* The round keys stand first, the powers of the hash key behind them, the lowest last: a short text needs no others. */
static void key_fetch(const struct psp_aead_key *key, uint32_t version, size_t len)
{
	const char *at = (const char *)key;
	const size_t rounds = (psp_key_len(version) == 32 ? 15u : 11u) * BLOCK;
	const size_t powers = (len + SPARE) / BLOCK * BLOCK;
	const size_t end = sizeof(*key);

	for (size_t i = 0; i < rounds; i += ALIGNMENT)
		__builtin_prefetch(at + i);
	for (size_t i = powers < end - rounds ? end - powers : rounds; i < end; i += ALIGNMENT)
		__builtin_prefetch(at + i);
}

static int32_t seal(struct psp_crypto *crypto, const struct psp_aead_key *key, const uint8_t *nonce,
		    const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
		    uint8_t *tag)
{
	if (key->is_256)
		IMB_AES256_GCM_ENC(crypto->mgr, &key->expanded, &crypto->gcm, out, in, len, nonce,
				   aad, aad_len, tag, PSP_ICV_LEN);
	else
		IMB_AES128_GCM_ENC(crypto->mgr, &key->expanded, &crypto->gcm, out, in, len, nonce,
				   aad, aad_len, tag, PSP_ICV_LEN);
	return PSP_DP_OK;
}

static int32_t seal_parts(struct psp_crypto *crypto, const struct psp_aead_key *key,
			  const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
			  const struct psp_text *text, uint8_t *out, uint8_t *tag)
{
	const struct gcm_key_data *expanded = &key->expanded;
	struct gcm_context_data *gcm = &crypto->gcm;
	uint8_t *body = out + text->head_len;

	if (key->is_256) {
		IMB_AES256_GCM_INIT(crypto->mgr, expanded, gcm, nonce, aad, aad_len);
		IMB_AES256_GCM_ENC_UPDATE(crypto->mgr, expanded, gcm, out, text->head,
					  text->head_len);
		IMB_AES256_GCM_ENC_UPDATE(crypto->mgr, expanded, gcm, body, text->body,
					  text->body_len);
		IMB_AES256_GCM_ENC_FINALIZE(crypto->mgr, expanded, gcm, tag, PSP_ICV_LEN);
	} else {
		IMB_AES128_GCM_INIT(crypto->mgr, expanded, gcm, nonce, aad, aad_len);
		IMB_AES128_GCM_ENC_UPDATE(crypto->mgr, expanded, gcm, out, text->head,
					  text->head_len);
		IMB_AES128_GCM_ENC_UPDATE(crypto->mgr, expanded, gcm, body, text->body,
					  text->body_len);
		IMB_AES128_GCM_ENC_FINALIZE(crypto->mgr, expanded, gcm, tag, PSP_ICV_LEN);
	}
	return PSP_DP_OK;
}

/* In constant time: the octets that agree say nothing about where the others lie. */
static bool tags_agree(const uint8_t *a, const uint8_t *b)
{
	uint64_t of_a[2], of_b[2], differing;

	_Static_assert(sizeof(of_a) == PSP_ICV_LEN, "a tag is two words");
	memcpy(of_a, a, sizeof(of_a));
	memcpy(of_b, b, sizeof(of_b));
	differing = (of_a[0] ^ of_b[0]) | (of_a[1] ^ of_b[1]);
	/* The compiler knows nothing of it here, so that it cannot stop at the first word that differs. */
	__asm__("" : "+r"(differing));
	return differing == 0;
}

static int32_t open(struct psp_crypto *crypto, const struct psp_aead_key *key, const uint8_t *nonce,
		    const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
		    const uint8_t *tag)
{
	uint8_t expected[PSP_ICV_LEN];
	bool agree;

	if (key->is_256)
		IMB_AES256_GCM_DEC(crypto->mgr, &key->expanded, &crypto->gcm, out, in, len, nonce,
				   aad, aad_len, expected, PSP_ICV_LEN);
	else
		IMB_AES128_GCM_DEC(crypto->mgr, &key->expanded, &crypto->gcm, out, in, len, nonce,
				   aad, aad_len, expected, PSP_ICV_LEN);
	agree = tags_agree(expected, tag);
	/* The right ICV of a forged packet is itself a secret. */
	explicit_bzero(expected, sizeof(expected));
	return agree ? PSP_DP_VERDICT_OK : PSP_DP_VERDICT_ICV;
}

static int32_t cmac256(struct psp_crypto *crypto, const uint8_t key[32], const uint8_t *msg,
		       size_t len, uint8_t out[16])
{
	struct {
		_Alignas(16) uint8_t encrypt[16 * ROUND_KEYS];
		_Alignas(16) uint8_t decrypt[16 * ROUND_KEYS];
		_Alignas(16) uint8_t sub1[16];
		_Alignas(16) uint8_t sub2[16];
	} keys;
	int32_t status = PSP_DP_EIO;
	IMB_JOB *job;

	IMB_AES_KEYEXP_256(crypto->mgr, key, keys.encrypt, keys.decrypt);
	IMB_AES_CMAC_SUBKEY_GEN_256(crypto->mgr, keys.encrypt, keys.sub1, keys.sub2);

	job = IMB_GET_NEXT_JOB(crypto->mgr);
	memset(job, 0, sizeof(*job));
	job->cipher_mode = IMB_CIPHER_NULL;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->hash_alg = IMB_AUTH_AES_CMAC_256;
	job->src = msg;
	job->msg_len_to_hash_in_bytes = len;
	job->auth_tag_output = out;
	job->auth_tag_output_len_in_bytes = 16;
	job->u.CMAC._key_expanded = keys.encrypt;
	job->u.CMAC._skey1 = keys.sub1;
	job->u.CMAC._skey2 = keys.sub2;

	job = IMB_SUBMIT_JOB(crypto->mgr);
	if (job == NULL)
		job = IMB_FLUSH_JOB(crypto->mgr);
	if (job != NULL && job->status == IMB_STATUS_COMPLETED)
		status = PSP_DP_OK;
	explicit_bzero(&keys, sizeof(keys));
	return status;
}

const struct psp_crypto_backend psp_crypto_ipsec_mb = {
	.name = "ipsec-mb",
	.id = PSP_DP_BACKEND_IPSEC_MB,
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
