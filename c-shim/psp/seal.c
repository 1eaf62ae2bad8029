/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.c: one PSP packet: its header, read with every length checked first, and where AAD, ciphertext and ICV lie, handed
 * to the backend; and the key that it is sealed with, by SP 800-108 in counter mode over a backend's CMAC.
 */
#include "seal.h"

#include <stdlib.h>
#include <string.h>

#include "kdf.h"

#define FIXED_LEN 8u /* octets that the header extension length does not count */
#define LENGTH_UNIT 8u
#define OFFSET_UNIT 4u
#define BLOCK_LEN 16u
#define COUNTER_LEN 4u
#define PSP_FIXED_LEN 12u

/* ---- packets --------------------------------------------------------------------------------- */

static bool is_supported(uint32_t version, uint32_t versions)
{
	return version < PSP_VERSIONS && ((versions >> version) & 1u) != 0;
}

/* Octets 0-15, all of which are there. */
static void read_fields(const uint8_t *psp, struct psp_header *header)
{
	const uint8_t flags = psp[3];

	header->next_header = psp[0];
	header->size = FIXED_LEN + LENGTH_UNIT * psp[1];
	header->crypt_offset = psp[2] & PSP_CRYPT_OFFSET_MASK;
	header->sample = (flags & PSP_FLAG_S) != 0;
	header->drop = (flags & PSP_FLAG_D) != 0;
	header->version = (flags >> PSP_VERSION_SHIFT) & PSP_VERSION_MASK;
	header->has_vc = (flags & PSP_FLAG_V) != 0;
	header->spi = psp_get32(psp + 4);
	header->iv = psp_get64(psp + 8);
	header->vc = 0;
	header->aad_len = PSP_HEADER_LEN + OFFSET_UNIT * header->crypt_offset;
}

/* Expanded where it is used: what a caller does not read of the header is not looked for. */
__attribute__((always_inline)) static inline uint32_t
parse(const uint8_t *psp, size_t len, uint32_t versions, struct psp_header *header)
{
	if (len < PSP_HEADER_LEN + PSP_ICV_LEN)
		return PSP_DP_VERDICT_SHORT;
	if (len > PSP_PACKET_MAX)
		return PSP_DP_VERDICT_MALFORMED;
	read_fields(psp, header);

	/* The version comes first: it says what the other fields mean. */
	if (!is_supported(header->version, versions))
		return PSP_DP_VERDICT_DISCARD;
	if (header->size < PSP_HEADER_LEN + (header->has_vc ? PSP_VC_LEN : 0))
		return PSP_DP_VERDICT_MALFORMED;
	if (header->size > len - PSP_ICV_LEN)
		return PSP_DP_VERDICT_SHORT;
	if (header->aad_len > len - PSP_ICV_LEN)
		return PSP_DP_VERDICT_MALFORMED;
	if ((header->spi & ~PSP_SPI_MASTER_KEY) == 0)
		return PSP_DP_VERDICT_RESERVED;

	if (header->has_vc)
		header->vc = psp_get64(psp + PSP_HEADER_LEN);
	if (psp_is_gmac(header->version))
		header->aad_len = (uint32_t)(len - PSP_ICV_LEN);
	return PSP_DP_VERDICT_OK;
}

uint32_t psp_header_parse(const uint8_t *psp, size_t len, uint32_t versions,
			  struct psp_header *header)
{
	return parse(psp, len, versions, header);
}

int32_t psp_seal(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		 const struct psp_aead_key *key, uint8_t *psp, size_t len)
{
	struct psp_header header;
	uint8_t *text;

	/* The parser wants the ICV's room counted, and it is there. */
	if (len > PSP_PACKET_MAX - PSP_ICV_LEN)
		return PSP_DP_EINVAL;
	if (parse(psp, len + PSP_ICV_LEN, PSP_VERSIONS_ALL, &header) != PSP_DP_VERDICT_OK)
		return PSP_DP_EINVAL;
	text = psp + header.aad_len;
	return backend->seal(crypto, key, psp + PSP_NONCE_OFFSET, psp, header.aad_len, text,
			     len - header.aad_len, text, psp + len);
}

int32_t psp_seal_from(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		      const struct psp_aead_key *key, uint8_t *psp, size_t len, const uint8_t *body,
		      size_t body_len)
{
	const size_t front = len - body_len;
	struct psp_header header;
	struct psp_text text;

	if (body_len > len || len > PSP_PACKET_MAX - PSP_ICV_LEN)
		return PSP_DP_EINVAL;
	/* Of the parser's lengths the header is a part that has to be there. */
	if (front < PSP_HEADER_LEN ||
	    parse(psp, len + PSP_ICV_LEN, PSP_VERSIONS_ALL, &header) != PSP_DP_VERDICT_OK)
		return PSP_DP_EINVAL;
	if (header.aad_len >= front) {
		/* What stays in clear is read where it ends up. */
		memcpy(psp + front, body, body_len);
		return psp_seal(backend, crypto, key, psp, len);
	}
	text = (struct psp_text){.head = psp + header.aad_len,
				 .head_len = front - header.aad_len,
				 .body = body,
				 .body_len = body_len};
	return backend->seal_parts(crypto, key, psp + PSP_NONCE_OFFSET, psp, header.aad_len, &text,
				   psp + header.aad_len, psp + len);
}

int32_t psp_open(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		 const struct psp_aead_key *key, struct psp_header *header, uint8_t *psp,
		 size_t len)
{
	uint8_t *text;
	size_t end;
	int32_t verdict;

	if (len < PSP_HEADER_LEN + PSP_ICV_LEN)
		return PSP_DP_EINVAL;
	end = len - PSP_ICV_LEN;
	if (header->size > end || header->aad_len > end)
		return PSP_DP_EINVAL;
	text = psp + header->aad_len;
	verdict = backend->open(crypto, key, psp + PSP_NONCE_OFFSET, psp, header->aad_len, text,
				end - header->aad_len, text, psp + end);
	if (verdict == PSP_DP_VERDICT_OK && header->has_vc)
		header->vc = psp_get64(psp + PSP_HEADER_LEN);
	return verdict;
}

uint32_t psp_policy(const struct psp_header *header, size_t payload_len)
{
	if (header->drop || payload_len == 0)
		return PSP_DP_VERDICT_POLICY;
	switch (header->next_header) {
	case PSP_NEXT_IPV4:
	case PSP_NEXT_IPV6:
	case PSP_NEXT_TCP:
	case PSP_NEXT_UDP:
		return PSP_DP_VERDICT_OK;
	default:
		return PSP_DP_VERDICT_POLICY;
	}
}

/* ---- keys ------------------------------------------------------------------------------------ */

int32_t psp_kbkdf(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		  const uint8_t key[32], const uint8_t *fixed, size_t fixed_len, uint8_t *out,
		  size_t out_len)
{
	uint8_t block[BLOCK_LEN];
	uint8_t *msg;
	int32_t status = PSP_DP_OK;
	size_t done = 0;

	if (out_len == 0 || out_len > PSP_KBKDF_MAX || fixed_len > PSP_PACKET_MAX)
		return PSP_DP_EINVAL;
	msg = malloc(COUNTER_LEN + fixed_len);
	if (msg == NULL)
		return PSP_DP_ENOMEM;
	if (fixed_len != 0)
		memcpy(msg + COUNTER_LEN, fixed, fixed_len);

	for (uint32_t counter = 1; done < out_len; counter++) {
		const size_t n = out_len - done < BLOCK_LEN ? out_len - done : BLOCK_LEN;

		psp_put32(msg, counter);
		status = backend->cmac256(crypto, key, msg, COUNTER_LEN + fixed_len, block);
		if (status != PSP_DP_OK)
			goto out;
		memcpy(out + done, block, n);
		done += n;
	}

out:
	if (status != PSP_DP_OK)
		explicit_bzero(out, out_len);
	explicit_bzero(block, sizeof(block));
	free(msg);
	return status;
}

int32_t psp_derive_key(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		       const uint8_t master_key[32], uint32_t spi, uint32_t version,
		       uint8_t out[32])
{
	/* label | 0 | SPI | L in bits. 'Pv2' and 'Pv3' are our reading: the specification has none. */
	uint8_t fixed[PSP_FIXED_LEN] = {'P', 'v', (uint8_t)('0' + version), 0};

	if (version >= PSP_VERSIONS)
		return PSP_DP_EINVAL;
	memset(out, 0, 32);
	psp_put32(fixed + 4, spi);
	psp_put32(fixed + 8, psp_key_len(version) * 8);
	return psp_kbkdf(backend, crypto, master_key, fixed, sizeof(fixed), out,
			 psp_key_len(version));
}
