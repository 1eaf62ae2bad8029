/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening beyond the vectors: forgeries, truncations, offsets, sizes, threads. */
#include <pthread.h>

#include "../psp/seal.h"
#include "psp_backends.h"

#define ROOM 10240u

static const uint8_t key_octets[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
				       0, 1, 0, 1, 0, 1, 0, 1, 0, 1,  0,  1,  0,  1,  0,  1};

/* A tunnel packet in clear with a VC, its payload a pattern. Returns its length. */
static size_t make(uint8_t *psp, uint32_t version, uint8_t crypt_offset, size_t payload_len)
{
	psp[0] = PSP_NEXT_IPV4;
	psp[1] = 2;
	psp[2] = crypt_offset;
	psp[3] = (uint8_t)((version << PSP_VERSION_SHIFT) | PSP_FLAG_V | PSP_FLAG_ALWAYS);
	psp_put32(psp + 4, 0x12345678u);
	psp_put64(psp + 8, 42);
	psp_put64(psp + 16, 0x778899aabbccddeeu);
	for (size_t i = 0; i < payload_len; i++)
		psp[24 + i] = (uint8_t)(i * 7 + 1);
	return 24 + payload_len;
}

static int32_t seal(uint32_t version, uint8_t *psp, size_t len)
{
	struct psp_aead_key *key;
	int32_t status = backend->key_new(crypto, version, key_octets, &key);

	if (status == PSP_DP_OK)
		status = psp_seal(backend, crypto, key, psp, len);
	backend->key_free(key);
	return status;
}

/* Parses and opens in place, by the key of the version that the header names. */
static int32_t open(uint8_t *psp, size_t len, struct psp_header *header)
{
	struct psp_aead_key *key;
	int32_t verdict = (int32_t)psp_header_parse(psp, len, PSP_VERSIONS_ALL, header);

	if (verdict != PSP_DP_VERDICT_OK)
		return verdict;
	verdict = backend->key_new(crypto, header->version, key_octets, &key);
	if (verdict == PSP_DP_OK)
		verdict = psp_open(backend, crypto, key, header, psp, len);
	backend->key_free(key);
	return verdict;
}

static void no_bit_can_be_flipped(void)
{
	static uint8_t sealed[ROOM], psp[ROOM];
	struct psp_header header;

	for (uint32_t version = 0; version < PSP_VERSIONS; version++) {
		const size_t len = make(sealed, version, 1, 41) + PSP_ICV_LEN;

		CHECK_EQ(seal(version, sealed, len - PSP_ICV_LEN), PSP_DP_OK);
		for (size_t bit = 0; bit < len * 8; bit++) {
			CONTEXT("version %" PRIu32 ", octet %zu, bit %zu", version, bit / 8,
				bit % 8);
			memcpy(psp, sealed, len);
			psp[bit / 8] = (uint8_t)(psp[bit / 8] ^ (1u << (bit % 8)));
			CHECK(open(psp, len, &header) != PSP_DP_VERDICT_OK);
		}
		memcpy(psp, sealed, len);
		CHECK_EQ(open(psp, len, &header), PSP_DP_VERDICT_OK);
	}
}

/* Octets 0, 2 (R), 3 and 4 to 15 change no length: there it must be the ICV that says no. */
static void header_bits_are_authenticated(void)
{
	static uint8_t sealed[ROOM], psp[ROOM];
	const size_t len = make(sealed, PSP_AES_GCM_128, 10, 100) + PSP_ICV_LEN;
	struct psp_header header;

	CHECK_EQ(seal(PSP_AES_GCM_128, sealed, len - PSP_ICV_LEN), PSP_DP_OK);
	for (size_t bit = 0; bit < PSP_HEADER_LEN * 8; bit++) {
		const bool is_version_or_v = bit / 8 == 3 && bit % 8 >= 1 && bit % 8 <= 5;
		const bool is_length = bit / 8 == 1 || (bit / 8 == 2 && bit % 8 < 6);

		if (is_version_or_v || is_length)
			continue;
		CONTEXT("octet %zu, bit %zu", bit / 8, bit % 8);
		memcpy(psp, sealed, len);
		psp[bit / 8] = (uint8_t)(psp[bit / 8] ^ (1u << (bit % 8)));
		CHECK_EQ(open(psp, len, &header), PSP_DP_VERDICT_ICV);
	}
}

static void no_length_but_the_right_one(void)
{
	static uint8_t sealed[ROOM], psp[ROOM];
	const size_t len = make(sealed, PSP_AES_GCM_256, 4, 90) + PSP_ICV_LEN;
	struct psp_header header;

	CHECK_EQ(seal(PSP_AES_GCM_256, sealed, len - PSP_ICV_LEN), PSP_DP_OK);
	memset(sealed + len, 0, 64);
	for (size_t cut = 0; cut <= len + 64; cut++) {
		const int32_t expected = cut < 24 + 16   ? PSP_DP_VERDICT_SHORT
					 : cut < 32 + 16 ? PSP_DP_VERDICT_MALFORMED
					 : cut == len    ? PSP_DP_VERDICT_OK
							 : PSP_DP_VERDICT_ICV;

		CONTEXT("%zu octets of %zu", cut, len);
		memcpy(psp, sealed, cut);
		CHECK_EQ(open(psp, cut, &header), expected);
	}
}

/* Every offset, with the ciphertext cut down to nothing, sealed here and opened by every backend. */
static void every_crypt_offset(void)
{
	static uint8_t clear[ROOM], sealed[ROOM], psp[ROOM];
	const struct psp_crypto_backend *sealer = backend;
	struct psp_crypto *sealer_crypto = crypto;
	struct psp_header header;

	for (unsigned i = 0; i < PSP_VERSIONS * 64 * 3; i++) {
		const uint32_t version = i % PSP_VERSIONS;
		const uint8_t offset = (uint8_t)(i / PSP_VERSIONS % 64);
		const size_t least = offset < 2 ? 0 : 4u * offset - 8u;
		const size_t len =
			make(clear, version, offset, least + (size_t[]){0, 1, 333}[i / 256]);
		const struct psp_crypto_backend *opener;

		CONTEXT("version %" PRIu32 ", offset %u, %zu octets", version, offset, len);
		memcpy(sealed, clear, len);
		CHECK_EQ(seal(version, sealed, len), PSP_DP_OK);
		CHECK_MEM(sealed, clear, psp_is_gmac(version) ? len : 16 + 4u * offset);
		for (uint32_t n = 0; (opener = psp_crypto_backend_at(n)) != NULL; n++) {
			int32_t verdict;

			if (opener->crypto_new(&crypto) != PSP_DP_OK)
				continue;
			backend = opener;
			memcpy(psp, sealed, len + PSP_ICV_LEN);
			verdict = open(psp, len + PSP_ICV_LEN, &header);
			opener->crypto_free(crypto);
			backend = sealer;
			crypto = sealer_crypto;
			CHECK_EQ(verdict, PSP_DP_VERDICT_OK);
			CHECK_MEM(psp, clear, len);
			CHECK_EQ(header.vc, 0x778899aabbccddeeu);
		}
	}
}

static void offset_beyond_the_end_is_not_sealed(void)
{
	static uint8_t psp[ROOM];
	const size_t len = make(psp, PSP_AES_GCM_128, 13, 43);

	CHECK_EQ(seal(PSP_AES_GCM_128, psp, len), PSP_DP_EINVAL);
	CHECK_EQ(seal(PSP_AES_GCM_128, psp, len + 1), PSP_DP_OK);
	CHECK_EQ(seal(PSP_AES_GCM_128, psp, 15), PSP_DP_EINVAL);
	CHECK_EQ(seal(PSP_AES_GCM_128, psp, PSP_PACKET_MAX), PSP_DP_EINVAL);
}

static void in_place_is_as_from_a_copy(void)
{
	static uint8_t in[2048], out[2048], place[2048];
	static const uint8_t nonce[12] = {9}, aad[20] = {8};
	uint8_t tag[16], place_tag[16];
	struct psp_aead_key *key;

	CHECK_EQ(backend->key_new(crypto, PSP_AES_GCM_256, key_octets, &key), PSP_DP_OK);
	for (size_t len = 0; test_ok && len <= sizeof(in); len += len < 300 ? 1 : 127) {
		bool same;

		memset(in, (int)len, sizeof(in));
		memcpy(place, in, sizeof(in));
		same = backend->seal(crypto, key, nonce, aad, 20, in, len, out, tag) == PSP_DP_OK &&
		       backend->seal(crypto, key, nonce, aad, 20, place, len, place, place_tag) ==
			       PSP_DP_OK &&
		       memcmp(out, place, len) == 0 && memcmp(tag, place_tag, 16) == 0 &&
		       memcmp(in + len, place + len, sizeof(in) - len) == 0 &&
		       backend->open(crypto, key, nonce, aad, 20, place, len, place, tag) ==
			       PSP_DP_VERDICT_OK &&
		       memcmp(in, place, sizeof(in)) == 0;
		if (!same) {
			backend->key_free(key);
			TEST_FAIL("length %zu", len);
		}
	}
	backend->key_free(key);
}

/* A key that came after another, in the same memory perhaps, must not be taken for it. */
static void keys_are_not_mixed_up(void)
{
	static uint8_t psp[ROOM], first[ROOM];
	uint8_t octets[32] = {0};
	const size_t len = make(psp, PSP_AES_GCM_128, 0, 64);

	for (uint8_t n = 0; n < 8; n++) {
		struct psp_aead_key *key;
		int32_t status;

		octets[15] = n / 2;
		CHECK_EQ(backend->key_new(crypto, PSP_AES_GCM_128, octets, &key), PSP_DP_OK);
		(void)make(psp, PSP_AES_GCM_128, 0, 64);
		status = psp_seal(backend, crypto, key, psp, len);
		backend->key_free(key);
		CHECK_EQ(status, PSP_DP_OK);
		CHECK_EQ(n != 0 && memcmp(first, psp, len) == 0, n % 2 == 1);
		memcpy(first, psp, len);
	}
}

static void policy(void)
{
	struct psp_header header = {.next_header = PSP_NEXT_UDP};

	CHECK_EQ(psp_policy(&header, 1), PSP_DP_VERDICT_OK);
	CHECK_EQ(psp_policy(&header, 0), PSP_DP_VERDICT_POLICY);
	CHECK_EQ(psp_policy(&(struct psp_header){.next_header = PSP_NEXT_UDP, .drop = true}, 1),
		 PSP_DP_VERDICT_POLICY);
	for (unsigned next = 0; next < 256; next++) {
		header.next_header = (uint8_t)next;
		CONTEXT("next header %u", next);
		CHECK_EQ(psp_policy(&header, 1), next == 4 || next == 6 || next == 17 || next == 41
							 ? PSP_DP_VERDICT_OK
							 : PSP_DP_VERDICT_POLICY);
	}
}

#define THREADS 4
#define ROUNDS 500

struct sharer {
	const struct psp_aead_key *key;
	uint8_t first_octet;
	unsigned rounds_right;
};

static void *share(void *arg)
{
	struct sharer *sharer = arg;
	struct psp_crypto *own;
	uint8_t psp[512], clear[512];

	if (backend->crypto_new(&own) != PSP_DP_OK)
		return NULL; /* rounds_right tells */
	for (unsigned i = 0; i < ROUNDS; i++) {
		const size_t len = make(clear, PSP_AES_GCM_128, 5, 30 + i % 400);
		struct psp_header header;

		clear[24] = sharer->first_octet;
		memcpy(psp, clear, len);
		if (psp_seal(backend, own, sharer->key, psp, len) == PSP_DP_OK &&
		    psp_header_parse(psp, len + PSP_ICV_LEN, 1, &header) == PSP_DP_VERDICT_OK &&
		    psp_open(backend, own, sharer->key, &header, psp, len + PSP_ICV_LEN) ==
			    PSP_DP_VERDICT_OK &&
		    memcmp(psp, clear, len) == 0)
			sharer->rounds_right++;
	}
	backend->crypto_free(own);
	return NULL;
}

static void threads_share_a_key(void)
{
	struct sharer sharers[THREADS];
	pthread_t threads[THREADS];
	struct psp_aead_key *key;
	int started = 0;

	CHECK_EQ(backend->key_new(crypto, PSP_AES_GCM_128, key_octets, &key), PSP_DP_OK);
	for (; started < THREADS; started++) {
		sharers[started] = (struct sharer){key, (uint8_t)started, 0};
		if (pthread_create(&threads[started], NULL, share, &sharers[started]) != 0)
			break;
	}
	for (int i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	backend->key_free(key);
	CHECK_EQ(started, THREADS);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(sharers[i].rounds_right, ROUNDS);
}

int main(void)
{
	RUN(policy);
	RUN_EACH(no_bit_can_be_flipped);
	RUN_EACH(header_bits_are_authenticated);
	RUN_EACH(no_length_but_the_right_one);
	RUN_EACH(every_crypt_offset);
	RUN_EACH(offset_beyond_the_end_is_not_sealed);
	RUN_EACH(in_place_is_as_from_a_copy);
	RUN_EACH(keys_are_not_mixed_up);
	RUN_EACH(threads_share_a_key);
	return test_summary();
}
