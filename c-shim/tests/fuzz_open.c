/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer: octets from the wire against the parser and every backend, which must agree on verdict
 * and text. Octet 0: the versions that are enabled. Octet 1: bit 0 seals the packet first, so that
 * the fuzzer gets past the ICV; the other bits, when all 0, ask the ABI the same (it is slower). The
 * rest is PSP.
 */
#include <stdlib.h>
#include <string.h>

#include "../psp/seal.h"

#define CHOICES 2u
#define BACKENDS 8u
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static const struct psp_crypto_backend *backends[BACKENDS];
static struct psp_crypto *cryptos[BACKENDS];
static uint32_t backend_count;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct psp_crypto_backend *backend;

	(void)argc;
	(void)argv;
	for (uint32_t n = 0; (backend = psp_crypto_backend_at(n)) != NULL; n++)
		if (backend->crypto_new(&cryptos[backend_count]) == PSP_DP_OK)
			backends[backend_count++] = backend;
	REQUIRE(backend_count > 0);
	return 0;
}

/* A copy to the octet, so that the sanitizer sees the first one beyond. */
static uint8_t *copy(const uint8_t *from, size_t len)
{
	uint8_t *to = malloc(len == 0 ? 1 : len);

	REQUIRE(to != NULL);
	if (len != 0)
		memcpy(to, from, len);
	return to;
}

/* Whether the header allowed it. Writes PSP_ICV_LEN octets more. */
static bool seal(const struct psp_dp_key *key, uint8_t *psp, size_t len)
{
	struct psp_aead_key *aead;
	int32_t status;

	REQUIRE(backends[0]->key_new(cryptos[0], key->version, key->key, &aead) == PSP_DP_OK);
	status = psp_seal(backends[0], cryptos[0], aead, psp, len);
	backends[0]->key_free(aead);
	REQUIRE(status == PSP_DP_OK || status == PSP_DP_EINVAL);
	return status == PSP_DP_OK;
}

/* Parses, opens in place, judges. */
static uint32_t open(uint32_t n, const struct psp_dp_key *key, uint32_t versions, uint8_t *psp,
		     size_t len)
{
	struct psp_header header;
	struct psp_aead_key *aead;
	const uint32_t verdict = psp_header_parse(psp, len, versions, &header);
	int32_t status;

	if (verdict != PSP_DP_VERDICT_OK)
		return verdict;
	REQUIRE(header.size + PSP_ICV_LEN <= len && header.aad_len + PSP_ICV_LEN <= len);
	REQUIRE(backends[n]->key_new(cryptos[n], header.version, key->key, &aead) == PSP_DP_OK);
	status = psp_open(backends[n], cryptos[n], aead, &header, psp, len);
	backends[n]->key_free(aead);
	REQUIRE(status >= 0);
	return status != PSP_DP_VERDICT_OK ? (uint32_t)status
					   : psp_policy(&header, len - PSP_ICV_LEN - header.size);
}

static bool is_authentic(uint32_t verdict)
{
	return verdict == PSP_DP_VERDICT_OK || verdict == PSP_DP_VERDICT_POLICY;
}

static void ask_the_abi(const struct psp_dp_key *key, uint32_t versions, const uint8_t *wire,
			uint32_t len, uint32_t expected, const uint8_t *clear)
{
	uint8_t *out = copy(wire, len);
	uint32_t verdict = 0, out_len = 0;

	REQUIRE(psp_dp_unseal(PSP_DP_BACKEND_AUTO, key, versions, wire, len, out, len, &out_len,
			      &verdict) == PSP_DP_OK);
	REQUIRE(verdict == expected);
	REQUIRE(out_len == (is_authentic(verdict) ? len - PSP_ICV_LEN : 0));
	REQUIRE(memcmp(out, clear, out_len) == 0);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct psp_dp_key key = {.size = sizeof(key), .key = {1, 2, 3}};
	/* As the ABI reads it. */
	const uint32_t versions = size == 0 || data[0] == 0 ? PSP_VERSIONS_DEFAULT : data[0];
	uint8_t *wire, *clear[BACKENDS];
	uint32_t verdict = 0;
	size_t len;

	if (size < CHOICES || size > CHOICES + PSP_PACKET_MAX - PSP_ICV_LEN)
		return 0;
	len = size - CHOICES;
	wire = malloc(len + PSP_ICV_LEN);
	REQUIRE(wire != NULL);
	memcpy(wire, data + CHOICES, len);
	if (len >= PSP_HEADER_LEN) {
		key.spi = psp_get32(wire + 4);
		key.version = (uint8_t)((wire[3] >> PSP_VERSION_SHIFT) & 3u);
		if ((data[1] & 1u) != 0 && seal(&key, wire, len))
			len += PSP_ICV_LEN;
	}

	for (uint32_t n = 0; n < backend_count; n++) {
		clear[n] = copy(wire, len);
		if (n == 0)
			verdict = open(n, &key, versions, clear[n], len);
		else
			REQUIRE(open(n, &key, versions, clear[n], len) == verdict);
		REQUIRE(!is_authentic(verdict) || memcmp(clear[0], clear[n], len) == 0);
	}
	if ((data[1] & ~1u) == 0)
		ask_the_abi(&key, versions, wire, (uint32_t)len, verdict, clear[0]);

	for (uint32_t n = 0; n < backend_count; n++)
		free(clear[n]);
	free(wire);
	return 0;
}
