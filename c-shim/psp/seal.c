/* SPDX-License-Identifier: Apache-2.0 */
/* seal.c: where AAD, ciphertext and ICV of a PSP packet lie, handed to the backend. */
#include "seal.h"

int32_t psp_seal(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		 const struct psp_aead_key *key, uint8_t *psp, size_t len)
{
	struct psp_header header;
	uint8_t *text;

	/* The parser wants the ICV's room counted, and it is there. */
	if (len > PSP_PACKET_MAX - PSP_ICV_LEN)
		return PSP_DP_EINVAL;
	if (psp_header_parse(psp, len + PSP_ICV_LEN, PSP_VERSIONS_ALL, &header) !=
	    PSP_DP_VERDICT_OK)
		return PSP_DP_EINVAL;
	text = psp + header.aad_len;
	return backend->seal(crypto, key, psp + PSP_NONCE_OFFSET, psp, header.aad_len, text,
			     len - header.aad_len, text, psp + len);
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
