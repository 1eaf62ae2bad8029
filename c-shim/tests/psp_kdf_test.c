/* SPDX-License-Identifier: Apache-2.0 */
/* Key derivation: NIST's known answers, the specification's examples, and our refusals. */
#include "../psp/kdf.h"
#include "psp_backends.h"
#include "vectors.h"

static void nist_known_answers(void)
{
	uint8_t out[64];

	for (size_t i = 0; i < sizeof(kbkdf_vectors) / sizeof(kbkdf_vectors[0]); i++) {
		const struct kbkdf_vector *v = &kbkdf_vectors[i];

		CONTEXT("vector %zu, %zu octets", i, v->out.len);
		CHECK_EQ(v->key.len, 32);
		CHECK_EQ(psp_kbkdf(backend, crypto, v->key.at, v->fixed.at, v->fixed.len, out,
				   v->out.len),
			 PSP_DP_OK);
		CHECK_MEM(out, v->out.at, v->out.len);
	}
}

/* RFC 4493's message lengths, with the AES-256 key and tags of NIST SP 800-38B, D.3. */
static void cmac_known_answers(void)
{
	static const uint8_t key[32] =
		"\x60\x3d\xeb\x10\x15\xca\x71\xbe\x2b\x73\xae\xf0\x85\x7d\x77\x81"
		"\x1f\x35\x2c\x07\x3b\x61\x08\xd7\x2d\x98\x10\xa3\x09\x14\xdf\xf4";
	static const uint8_t msg[64] =
		"\x6b\xc1\xbe\xe2\x2e\x40\x9f\x96\xe9\x3d\x7e\x11\x73\x93\x17\x2a"
		"\xae\x2d\x8a\x57\x1e\x03\xac\x9c\x9e\xb7\x6f\xac\x45\xaf\x8e\x51"
		"\x30\xc8\x1c\x46\xa3\x5c\xe4\x11\xe5\xfb\xc1\x19\x1a\x0a\x52\xef"
		"\xf6\x9f\x24\x45\xdf\x4f\x9b\x17\xad\x2b\x41\x7b\xe6\x6c\x37\x10";
	static const struct {
		size_t len;
		const char *tag;
	} answers[] = {
		{16, "\x28\xa7\x02\x3f\x45\x2e\x8f\x82\xbd\x4b\xf2\x8d\x8c\x37\xc3\x5c"},
		{40, "\xaa\xf3\xd8\xf1\xde\x56\x40\xc2\x32\xf5\xb1\x69\xb9\xc9\x11\xe6"},
		{64, "\xe1\x99\x21\x90\x54\x9f\x6e\xd5\x69\x6a\x2c\x05\x6c\x31\x54\x10"},
	};
	uint8_t out[16];

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		CONTEXT("%zu octets", answers[i].len);
		CHECK_EQ(backend->cmac256(crypto, key, msg, answers[i].len, out), PSP_DP_OK);
		CHECK_MEM(out, answers[i].tag, 16);
	}
}

static void keys_of_the_vectors(void)
{
	uint8_t key[32];

	for (size_t i = 0; i < sizeof(packet_vectors) / sizeof(packet_vectors[0]); i++) {
		const struct packet_vector *v = &packet_vectors[i];
		const struct octets mk =
			(v->spi & PSP_SPI_MASTER_KEY) != 0 ? vector_mk1 : vector_mk0;

		CONTEXT("%s", v->name);
		CHECK_EQ(v->key.len, psp_key_len(v->version));
		CHECK_EQ(psp_derive_key(backend, crypto, mk.at, v->spi, v->version, key),
			 PSP_DP_OK);
		CHECK_MEM(key, v->key.at, v->key.len);
		for (size_t at = v->key.len; at < sizeof(key); at++)
			CHECK_EQ(key[at], 0);
	}
}

/* PSP Architecture Specification, key derivation examples. */
static void specification_examples(void)
{
	static const struct {
		uint32_t spi;
		uint32_t version;
		const char *key;
	} examples[] = {
		{0x12345678u, 0,
		 "\x96\xc2\x2d\xc7\x99\x19\x80\x90\xb7\x4b\x70\xae\x46\x8e\x4e\x30"},
		{0x9a345678u, 0,
		 "\x39\x46\xda\x25\x54\xea\xe4\x6a\xd1\xef\x77\xa6\x43\x72\xed\xc4"},
		{0x12345678u, 1,
		 "\x2b\x7d\x72\x07\x4e\x42\xca\x33\x44\x87\xf2\x99\x0e\x3f\x8c\x40"
		 "\x37\xe4\x36\xf3\x82\x83\x44\x9b\x76\x46\x3e\x9b\x7f\xb2\xe3\xde"},
	};
	uint8_t key[32];

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct octets mk =
			(examples[i].spi & PSP_SPI_MASTER_KEY) != 0 ? vector_mk1 : vector_mk0;

		CONTEXT("SPI %08" PRIx32 ", version %" PRIu32, examples[i].spi,
			examples[i].version);
		CHECK_EQ(psp_derive_key(backend, crypto, mk.at, examples[i].spi,
					examples[i].version, key),
			 PSP_DP_OK);
		CHECK_MEM(key, examples[i].key, psp_key_len(examples[i].version));
	}
}

static void lengths_that_are_no_multiple(void)
{
	uint8_t whole[PSP_KBKDF_MAX], part[PSP_KBKDF_MAX];

	CHECK_EQ(psp_kbkdf(backend, crypto, vector_mk0.at, NULL, 0, whole, sizeof(whole)),
		 PSP_DP_OK);
	for (size_t len = 1; len <= 70; len++) {
		CONTEXT("%zu octets", len);
		memset(part, 0xee, sizeof(part));
		CHECK_EQ(psp_kbkdf(backend, crypto, vector_mk0.at, NULL, 0, part, len), PSP_DP_OK);
		CHECK_MEM(part, whole, len);
		CHECK_EQ(part[len], 0xee);
	}
}

static void refusals(void)
{
	uint8_t out[32];

	CHECK_EQ(psp_kbkdf(backend, crypto, vector_mk0.at, NULL, 0, out, 0), PSP_DP_EINVAL);
	CHECK_EQ(psp_kbkdf(backend, crypto, vector_mk0.at, NULL, 0, out, PSP_KBKDF_MAX + 1),
		 PSP_DP_EINVAL);
	CHECK_EQ(psp_derive_key(backend, crypto, vector_mk0.at, 1, 4, out), PSP_DP_EINVAL);
}

int main(void)
{
	RUN_EACH(cmac_known_answers);
	RUN_EACH(nist_known_answers);
	RUN_EACH(specification_examples);
	RUN_EACH(keys_of_the_vectors);
	RUN_EACH(lengths_that_are_no_multiple);
	RUN_EACH(refusals);
	return test_summary();
}
