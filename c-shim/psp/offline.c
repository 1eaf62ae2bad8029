/* SPDX-License-Identifier: Apache-2.0 */
/* offline.c: the part of the ABI that needs no plane: known answers and capture files. */
#include "kdf.h"
#include "seal.h"

#include <stdlib.h>
#include <string.h>

/* A backend and its working state for the length of one call. */
struct session {
	const struct psp_crypto_backend *backend;
	struct psp_crypto *crypto;
	struct psp_aead_key *key;
};

static int32_t session_open(struct session *session, uint32_t backend)
{
	session->key = NULL;
	session->crypto = NULL;
	if (backend > PSP_DP_BACKEND_VAES)
		return PSP_DP_EINVAL;
	session->backend = psp_crypto_backend_by_id(backend);
	if (session->backend == NULL)
		return PSP_DP_ENOTSUP;
	return session->backend->crypto_new(&session->crypto);
}

static int32_t session_open_keyed(struct session *session, uint32_t backend,
				  const struct psp_dp_key *key)
{
	const int32_t status = session_open(session, backend);

	if (status != PSP_DP_OK)
		return status;
	return session->backend->key_new(session->crypto, key->version, key->key, &session->key);
}

static void session_close(struct session *session)
{
	if (session->crypto == NULL)
		return;
	session->backend->key_free(session->key);
	session->backend->crypto_free(session->crypto);
}

int32_t psp_dp_backend_at(uint32_t n, uint32_t *backend, char *name, uint32_t cap)
{
	const struct psp_crypto_backend *found = NULL;
	uint32_t usable = 0;

	if (backend == NULL || (name == NULL && cap != 0))
		return PSP_DP_EINVAL;
	for (uint32_t i = 0; (found = psp_crypto_backend_at(i)) != NULL; i++)
		if (psp_crypto_backend_by_id(found->id) != NULL && usable++ == n)
			break;
	if (found == NULL)
		return PSP_DP_ENOENT;
	if (cap != 0) {
		if (strlen(found->name) >= cap)
			return PSP_DP_ERANGE;
		strcpy(name, found->name);
	}
	*backend = found->id;
	return PSP_DP_OK;
}

int32_t psp_dp_kbkdf(uint32_t backend, const uint8_t key[32], const uint8_t *fixed,
		     uint32_t fixed_len, uint8_t *out, uint32_t out_len)
{
	struct session session;
	int32_t status;

	if (key == NULL || out == NULL || (fixed == NULL && fixed_len != 0))
		return PSP_DP_EINVAL;
	status = session_open(&session, backend);
	if (status == PSP_DP_OK)
		status = psp_kbkdf(session.backend, session.crypto, key, fixed, fixed_len, out,
				   out_len);
	session_close(&session);
	return status;
}

int32_t psp_dp_derive(uint32_t backend, const uint8_t mk0[32], const uint8_t mk1[32], uint32_t spi,
		      uint32_t version, uint8_t out[32])
{
	const uint8_t *master_key = (spi & PSP_SPI_MASTER_KEY) != 0 ? mk1 : mk0;
	uint8_t derived[32] = {0};
	struct session session;
	int32_t status;

	if (mk0 == NULL || mk1 == NULL || out == NULL || version >= PSP_VERSIONS)
		return PSP_DP_EINVAL;
	status = session_open(&session, backend);
	if (status == PSP_DP_OK)
		status = psp_derive_key(session.backend, session.crypto, master_key, spi, version,
					derived);
	if (status == PSP_DP_OK)
		memcpy(out, derived, psp_key_len(version));
	explicit_bzero(derived, sizeof(derived));
	session_close(&session);
	return status;
}

static bool is_key(const struct psp_dp_key *key)
{
	return key != NULL && key->size == sizeof(*key) && key->version < PSP_VERSIONS;
}

int32_t psp_dp_seal(uint32_t backend, const struct psp_dp_key *key, const uint8_t *in,
		    uint32_t in_len, uint8_t *out, uint32_t cap, uint32_t *len)
{
	struct psp_header header;
	struct session session;
	int32_t status;

	if (!is_key(key) || in == NULL || len == NULL || (out == NULL && cap != 0) ||
	    in_len > PSP_PACKET_MAX - PSP_ICV_LEN ||
	    psp_header_parse(in, (size_t)in_len + PSP_ICV_LEN, PSP_VERSIONS_ALL, &header) !=
		    PSP_DP_VERDICT_OK ||
	    header.spi != key->spi || header.version != key->version)
		return PSP_DP_EINVAL;
	*len = in_len + PSP_ICV_LEN;
	if (cap < *len)
		return PSP_DP_ERANGE;

	status = session_open_keyed(&session, backend, key);
	if (status == PSP_DP_OK) {
		memmove(out, in, in_len);
		status = psp_seal(session.backend, session.crypto, session.key, out, in_len);
		/* What is in there may be clear text. */
		if (status != PSP_DP_OK)
			explicit_bzero(out, *len);
	}
	if (status != PSP_DP_OK)
		*len = 0;
	session_close(&session);
	return status;
}

/* The verdict of a packet whose header is sound; clear: a copy of it, opened here in place. */
static int32_t unseal(uint32_t backend, const struct psp_dp_key *key, struct psp_header *header,
		      uint8_t *clear, uint32_t in_len, uint32_t *verdict)
{
	struct session session;
	int32_t status;

	/* Another SA's packet: this key cannot vouch for it. */
	if (header->spi != key->spi || header->version != key->version) {
		*verdict = PSP_DP_VERDICT_ICV;
		return PSP_DP_OK;
	}
	status = session_open_keyed(&session, backend, key);
	if (status == PSP_DP_OK)
		status = psp_open(session.backend, session.crypto, session.key, header, clear,
				  in_len);
	session_close(&session);
	if (status < 0)
		return status;
	*verdict = status == PSP_DP_VERDICT_OK
			   ? psp_policy(header, in_len - PSP_ICV_LEN - header->size)
			   : (uint32_t)status;
	return PSP_DP_OK;
}

int32_t psp_dp_unseal(uint32_t backend, const struct psp_dp_key *key, uint32_t versions,
		      const uint8_t *in, uint32_t in_len, uint8_t *out, uint32_t cap, uint32_t *len,
		      uint32_t *verdict)
{
	const uint32_t supported = versions == 0 ? PSP_VERSIONS_DEFAULT : versions;
	struct psp_header header;
	uint8_t *clear;
	int32_t status;

	if (!is_key(key) || (in == NULL && in_len != 0) || len == NULL || verdict == NULL ||
	    (out == NULL && cap != 0))
		return PSP_DP_EINVAL;
	*len = 0;
	*verdict = psp_header_parse(in, in_len, supported, &header);
	if (*verdict != PSP_DP_VERDICT_OK)
		return PSP_DP_OK;
	if (cap < in_len - PSP_ICV_LEN) {
		*len = in_len - PSP_ICV_LEN;
		return PSP_DP_ERANGE;
	}

	/* In a copy: `out` shows nothing that is not authentic, and has no room for the ICV. */
	clear = malloc(in_len);
	if (clear == NULL)
		return PSP_DP_ENOMEM;
	memcpy(clear, in, in_len);
	status = unseal(backend, key, &header, clear, in_len, verdict);
	if (status == PSP_DP_OK &&
	    (*verdict == PSP_DP_VERDICT_OK || *verdict == PSP_DP_VERDICT_POLICY)) {
		*len = in_len - PSP_ICV_LEN;
		memcpy(out, clear, *len);
	}
	explicit_bzero(clear, in_len);
	free(clear);
	return status;
}
