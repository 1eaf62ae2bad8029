/* SPDX-License-Identifier: Apache-2.0 */
/* Every packet of tests/vectors: sealed to the octet, opened again, and judged. */
#include "../psp/kdf.h"
#include "../psp/seal.h"
#include "psp_backends.h"
#include "vectors.h"

#define ROOM 16384u

/* The header that a vector describes, then its payload. Returns their length. */
static size_t in_clear(const struct packet_vector *v, uint8_t *psp)
{
	const size_t size = PSP_HEADER_LEN + v->ext.len;

	psp[0] = v->next_header;
	psp[1] = (uint8_t)((size - 8) / 8);
	psp[2] = (uint8_t)((v->r << 6) | v->crypt_offset);
	psp[3] = (uint8_t)((v->s != 0 ? PSP_FLAG_S : 0u) | (v->d != 0 ? PSP_FLAG_D : 0u) |
			   ((uint32_t)v->version << PSP_VERSION_SHIFT) |
			   (v->v != 0 ? PSP_FLAG_V : 0u) | PSP_FLAG_ALWAYS);
	psp_put32(psp + 4, v->spi);
	psp_put64(psp + 8, v->iv);
	memcpy(psp + PSP_HEADER_LEN, v->ext.at, v->ext.len);
	memcpy(psp + size, v->payload.at, v->payload.len);
	return size + v->payload.len;
}

static void seals_to_the_octet(void)
{
	static uint8_t psp[ROOM];

	for (size_t i = 0; i < sizeof(packet_vectors) / sizeof(packet_vectors[0]); i++) {
		const struct packet_vector *v = &packet_vectors[i];
		const size_t len = in_clear(v, psp);
		struct psp_aead_key *key;
		int32_t status;

		CONTEXT("%s", v->name);
		CHECK_EQ(len + PSP_ICV_LEN, v->psp.len);
		CHECK_EQ(backend->key_new(crypto, v->version, v->key.at, &key), PSP_DP_OK);
		status = psp_seal(backend, crypto, key, psp, len);
		backend->key_free(key);
		CHECK_EQ(status, PSP_DP_OK);
		CHECK_MEM(psp, v->psp.at, v->psp.len);
	}
}

static void opens_to_what_went_in(void)
{
	static uint8_t psp[ROOM], clear[ROOM];

	for (size_t i = 0; i < sizeof(packet_vectors) / sizeof(packet_vectors[0]); i++) {
		const struct packet_vector *v = &packet_vectors[i];
		const size_t len = in_clear(v, clear);
		struct psp_header header;
		struct psp_aead_key *key;
		int32_t verdict;

		CONTEXT("%s", v->name);
		memcpy(psp, v->psp.at, v->psp.len);
		CHECK_EQ(psp_header_parse(psp, v->psp.len, PSP_VERSIONS_ALL, &header),
			 PSP_DP_VERDICT_OK);
		CHECK_EQ(backend->key_new(crypto, v->version, v->key.at, &key), PSP_DP_OK);
		verdict = psp_open(backend, crypto, key, &header, psp, v->psp.len);
		backend->key_free(key);
		CHECK_EQ(verdict, PSP_DP_VERDICT_OK);
		CHECK_MEM(psp, clear, len);
		CHECK_EQ(header.size, PSP_HEADER_LEN + v->ext.len);
		CHECK_EQ(header.vc, v->v != 0 ? psp_get64(v->ext.at) : 0);
		CHECK_EQ(psp_policy(&header, v->payload.len),
			 v->d != 0 ? PSP_DP_VERDICT_POLICY : PSP_DP_VERDICT_OK);
	}
}

/* Parse, derive, open, policy: what a receiver does with octets from the wire. */
static int32_t judge(const uint8_t *wire, size_t len, uint32_t versions)
{
	static uint8_t psp[ROOM];
	struct psp_header header;
	struct psp_aead_key *key;
	const uint8_t *mk;
	uint8_t octets[32];
	int32_t verdict = (int32_t)psp_header_parse(wire, len, versions, &header);

	if (verdict != PSP_DP_VERDICT_OK)
		return verdict;
	mk = (header.spi & PSP_SPI_MASTER_KEY) != 0 ? vector_mk1.at : vector_mk0.at;
	if (psp_derive_key(backend, crypto, mk, header.spi, header.version, octets) != PSP_DP_OK ||
	    backend->key_new(crypto, header.version, octets, &key) != PSP_DP_OK)
		return PSP_DP_EIO;
	memcpy(psp, wire, len);
	verdict = psp_open(backend, crypto, key, &header, psp, len);
	backend->key_free(key);
	if (verdict != PSP_DP_VERDICT_OK)
		return verdict;
	return (int32_t)psp_policy(&header, len - PSP_ICV_LEN - header.size);
}

struct expectation {
	const char *name;
	int32_t by_default;
	int32_t with_gmac; /* versions 2 and 3 enabled */
};

static const struct expectation expectations[] = {
	{"ok", PSP_DP_VERDICT_OK, PSP_DP_VERDICT_OK},
	{"icv", PSP_DP_VERDICT_ICV, PSP_DP_VERDICT_ICV},
	{"malformed", PSP_DP_VERDICT_MALFORMED, PSP_DP_VERDICT_MALFORMED},
	{"short", PSP_DP_VERDICT_SHORT, PSP_DP_VERDICT_SHORT},
	{"discard", PSP_DP_VERDICT_DISCARD, PSP_DP_VERDICT_DISCARD},
	{"reserved", PSP_DP_VERDICT_RESERVED, PSP_DP_VERDICT_RESERVED},
	{"policy", PSP_DP_VERDICT_POLICY, PSP_DP_VERDICT_POLICY},
	{"ok-if-supported", PSP_DP_VERDICT_DISCARD, PSP_DP_VERDICT_OK},
	/* Here the frame around the packet is at fault, or names another protocol; PSP itself is sound. */
	{"udp-layer", PSP_DP_VERDICT_OK, PSP_DP_VERDICT_OK},
	{"not psp", PSP_DP_VERDICT_OK, PSP_DP_VERDICT_OK},
};

static const struct expectation *expectation(const char *name)
{
	for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++)
		if (strcmp(expectations[i].name, name) == 0)
			return &expectations[i];
	return NULL;
}

static void malformed_packets_are_judged(void)
{
	for (size_t i = 0; i < sizeof(malformed_vectors) / sizeof(malformed_vectors[0]); i++) {
		const struct malformed_vector *v = &malformed_vectors[i];
		const struct expectation *expected = expectation(v->expect);

		CONTEXT("%s, expecting %s", v->name, v->expect);
		CHECK(expected != NULL);
		CHECK_EQ(judge(v->psp.at, v->psp.len, PSP_VERSIONS_DEFAULT), expected->by_default);
		CHECK_EQ(judge(v->psp.at, v->psp.len, PSP_VERSIONS_ALL), expected->with_gmac);
	}
}

int main(void)
{
	RUN_EACH(seals_to_the_octet);
	RUN_EACH(opens_to_what_went_in);
	RUN_EACH(malformed_packets_are_judged);
	return test_summary();
}
