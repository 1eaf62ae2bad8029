/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto_vaes.c: AES-GCM (NIST SP 800-38D) and CMAC (SP 800-38B) for x86-64 processors that encrypt and multiply four
 * blocks at once (VAES, VPCLMULQDQ, AVX-512). A key is 448 or 512 octets, less than half of what ipsec-mb keeps of one, and
 * all of it is read whatever the length: memory is what many tunnels wait for. A short packet is hashed in one sum.
 *
 * GHASH. A block is read as a little-endian number after its octets were reversed: bit 127 is the polynomial's x^0. In this
 * order a product of two comes out shifted by one, so each power of H is kept shifted the other way, modulo the
 * polynomial. Products are added up unreduced, three numbers of 128 bits for each: low, middle, high.
 *
 * No branch and no address depends on a key or on what is sealed, but for lengths.
 */
#include "backends.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "slab.h"

#define BLOCK 16u
#define LANES 4u                  /* blocks of a vector */
#define CHUNK_BLOCKS (4u * LANES) /* that are hashed in one sum */
#define CHUNK (CHUNK_BLOCKS * BLOCK)
#define ROUNDS_128 10u
#define ROUNDS_256 14u
#define LINE 64u

#define TARGET                                                                                     \
	__attribute__((                                                                            \
		target("avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq,aes,pclmul,bmi2")))
#define INLINE TARGET __attribute__((always_inline)) static inline

struct psp_aead_key {
	_Alignas(LINE) uint8_t power[CHUNK_BLOCKS][BLOCK]; /* of H: the 16th first */
	uint32_t rounds;
	uint32_t pad[3];
	uint8_t round_key[][BLOCK]; /* rounds + 1 */
};

_Static_assert(offsetof(struct psp_aead_key, round_key) % BLOCK == 0, "they are read as blocks");

struct psp_crypto {
	struct psp_slab keys[2]; /* of 128 and of 256 bits */
};

static const char *version(void)
{
	return "1";
}

/* ---- GHASH ----------------------------------------------------------------------------------- */

struct sums {
	__m512i low, middle, high;
};

INLINE __m128i load(const uint8_t *at)
{
	return _mm_loadu_si128((const __m128i *)(const void *)at);
}

INLINE void store(uint8_t *at, __m128i block)
{
	_mm_storeu_si128((__m128i *)(void *)at, block);
}

INLINE __m128i reversed(__m128i block)
{
	return _mm_shuffle_epi8(block,
				_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

INLINE __m512i reversed_4(__m512i blocks)
{
	return _mm512_shuffle_epi8(blocks,
				   _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
								       10, 11, 12, 13, 14, 15)));
}

INLINE __m512i first_lane(__m128i block)
{
	return _mm512_zextsi128_si512(block);
}

/* Adds the products of four blocks and of the powers from the nth on. Lanes that are 0 add nothing, whatever stands there. */
INLINE void multiply(struct sums *sums, const struct psp_aead_key *key, size_t nth, __m512i blocks)
{
	const __m512i powers = _mm512_loadu_si512((const uint8_t *)key->power + nth * BLOCK);

	sums->low = _mm512_xor_si512(sums->low, _mm512_clmulepi64_epi128(blocks, powers, 0x00));
	sums->middle = _mm512_ternarylogic_epi64(
		sums->middle, _mm512_clmulepi64_epi128(blocks, powers, 0x01),
		_mm512_clmulepi64_epi128(blocks, powers, 0x10), 0x96);
	sums->high = _mm512_xor_si512(sums->high, _mm512_clmulepi64_epi128(blocks, powers, 0x11));
}

INLINE __m128i reduced_product(__m128i low, __m128i middle, __m128i high)
{
	/* x^128 + x^7 + x^2 + x + 1 in this order of bits, without its lowest one and with. */
	const __m128i polynomial = _mm_set_epi64x((int64_t)0xc200000000000000u, 1);

	/* A multiple of the polynomial clears the lowest 64 bits, another one the next. */
	middle = _mm_xor_si128(middle, _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e),
						     _mm_clmulepi64_si128(polynomial, low, 0x01)));
	return _mm_xor_si128(high, _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4e),
						 _mm_clmulepi64_si128(polynomial, middle, 0x01)));
}

INLINE __m128i folded(__m512i lanes)
{
	const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(lanes),
					      _mm512_extracti64x4_epi64(lanes, 1));

	return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

INLINE __m128i reduced(const struct sums *sums)
{
	return reduced_product(folded(sums->low), folded(sums->middle), folded(sums->high));
}

INLINE struct sums none(void)
{
	const __m512i zero = _mm512_setzero_si512();

	return (struct sums){zero, zero, zero};
}

INLINE __mmask64 first_octets(size_t n)
{
	return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

/* n octets, padded with zeros to whole blocks; the first block has power `nth`. */
INLINE void hash_clear(struct sums *sums, const struct psp_aead_key *key, size_t nth,
		       const uint8_t *at, size_t n, __m128i *before)
{
	for (; n > 0; nth += LANES) {
		const __m512i blocks = reversed_4(_mm512_maskz_loadu_epi8(first_octets(n), at));

		multiply(sums, key, nth, _mm512_xor_si512(blocks, first_lane(*before)));
		*before = _mm_setzero_si128();
		if (n <= sizeof(blocks))
			return;
		at += sizeof(blocks);
		n -= sizeof(blocks);
	}
}

INLINE size_t blocks_of(size_t octets)
{
	return (octets + BLOCK - 1) / BLOCK;
}

INLINE __m128i hash_all(const struct psp_aead_key *key, const uint8_t *at, size_t n)
{
	__m128i hash = _mm_setzero_si128();

	while (n > 0) {
		const size_t part = n < CHUNK ? n : CHUNK;
		struct sums sums = none();

		hash_clear(&sums, key, CHUNK_BLOCKS - blocks_of(part), at, part, &hash);
		hash = reduced(&sums);
		at += part;
		n -= part;
	}
	return hash;
}

/* ---- AES ------------------------------------------------------------------------------------- */

INLINE __m128i encrypted(const struct psp_aead_key *key, uint32_t rounds, __m128i block)
{
	block = _mm_xor_si128(block, load(key->round_key[0]));
	for (uint32_t i = 1; i < rounds; i++)
		block = _mm_aesenc_si128(block, load(key->round_key[i]));
	return _mm_aesenclast_si128(block, load(key->round_key[rounds]));
}

INLINE __m512i round_key(const struct psp_aead_key *key, uint32_t round)
{
	return _mm512_broadcast_i32x4(load(key->round_key[round]));
}

INLINE void key_add(__m512i x[4], uint32_t n, __m512i with)
{
	for (uint32_t i = 0; i < n; i++)
		x[i] = _mm512_xor_si512(x[i], with);
}

INLINE void round_of(__m512i x[4], uint32_t n, __m512i with)
{
	for (uint32_t i = 0; i < n; i++)
		x[i] = _mm512_aesenc_epi128(x[i], with);
}

INLINE void last_round(__m512i x[4], uint32_t n, __m512i with)
{
	for (uint32_t i = 0; i < n; i++)
		x[i] = _mm512_aesenclast_epi128(x[i], with);
}

/* The first n of four vectors. */
INLINE void encrypt(const struct psp_aead_key *key, uint32_t rounds, __m512i x[4], uint32_t n)
{
	key_add(x, n, round_key(key, 0));
	for (uint32_t i = 1; i < rounds; i++)
		round_of(x, n, round_key(key, i));
	last_round(x, n, round_key(key, rounds));
}

/*
 * Encrypts a chunk of counters, and meanwhile a chunk of reversed text is hashed: one after the other they would wait in
 * the processor's queues for themselves, and keep out the rest.
 */
INLINE __m128i encrypt_and_hash(const struct psp_aead_key *key, uint32_t rounds, __m512i x[4],
				const __m512i text[4], __m128i hash)
{
	struct sums sums = none();

	key_add(x, 4, round_key(key, 0));
	round_of(x, 4, round_key(key, 1));
	multiply(&sums, key, 0, _mm512_xor_si512(text[0], first_lane(hash)));
	round_of(x, 4, round_key(key, 2));
	multiply(&sums, key, LANES, text[1]);
	round_of(x, 4, round_key(key, 3));
	multiply(&sums, key, 2 * LANES, text[2]);
	round_of(x, 4, round_key(key, 4));
	multiply(&sums, key, 3 * LANES, text[3]);
	round_of(x, 4, round_key(key, 5));
	round_of(x, 4, round_key(key, 6));
	hash = reduced(&sums);
	for (uint32_t i = 7; i < rounds; i++)
		round_of(x, 4, round_key(key, i));
	last_round(x, 4, round_key(key, rounds));
	return hash;
}

/* ---- GCM ------------------------------------------------------------------------------------- */

/* A text. */
struct run {
	const uint8_t *nonce, *aad;
	size_t aad_len;
	const uint8_t *in;   /* its first chunk, or all of it */
	const uint8_t *rest; /* what follows the first chunk */
	size_t len;
	uint8_t *out;
};

/* The next counters, as blocks. */
INLINE void count(__m512i *counters, __m512i x[4], uint32_t n)
{
	const __m512i step = _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, LANES));

	for (uint32_t i = 0; i < n; i++) {
		x[i] = reversed_4(*counters);
		*counters = _mm512_add_epi32(*counters, step);
	}
}

INLINE void chunk_load(__m512i text[4], const uint8_t *at)
{
	for (uint32_t i = 0; i < 4; i++)
		text[i] = _mm512_loadu_si512(at + i * sizeof(text[0]));
}

INLINE void chunk_reverse(__m512i text[4])
{
	for (uint32_t i = 0; i < 4; i++)
		text[i] = reversed_4(text[i]);
}

/* What the stream in x makes of a text goes to `to`; it stands in x then. */
INLINE void chunk_store(uint8_t *to, __m512i x[4], const __m512i text[4])
{
	for (uint32_t i = 0; i < 4; i++) {
		x[i] = _mm512_xor_si512(x[i], text[i]);
		_mm512_storeu_si512(to + i * sizeof(x[0]), x[i]);
	}
}

/* Whole chunks, 1 and more: each is hashed while the next is encrypted. */
INLINE __m128i seal_chunks(const struct psp_aead_key *key, uint32_t rounds, const struct run *run,
			   __m512i *counters, __m128i hash)
{
	struct sums sums = none();
	__m512i text[4], sealed[4], x[4];

	count(counters, sealed, 4);
	chunk_load(text, run->in);
	encrypt(key, rounds, sealed, 4);
	chunk_store(run->out, sealed, text);
	for (size_t at = CHUNK; run->len - at >= CHUNK; at += CHUNK) {
		count(counters, x, 4);
		chunk_load(text, run->rest + (at - CHUNK));
		chunk_reverse(sealed);
		hash = encrypt_and_hash(key, rounds, x, sealed, hash);
		chunk_store(run->out + at, x, text);
		for (uint32_t i = 0; i < 4; i++)
			sealed[i] = x[i];
	}
	chunk_reverse(sealed);
	multiply(&sums, key, 0, _mm512_xor_si512(sealed[0], first_lane(hash)));
	for (uint32_t i = 1; i < 4; i++)
		multiply(&sums, key, i * LANES, sealed[i]);
	return reduced(&sums);
}

INLINE __m128i open_chunks(const struct psp_aead_key *key, uint32_t rounds, const struct run *run,
			   __m512i *counters, __m128i hash)
{
	__m512i text[4], hashed[4], x[4];
	const uint8_t *in = run->in;

	for (size_t at = 0; run->len - at >= CHUNK; at += CHUNK) {
		count(counters, x, 4);
		chunk_load(text, in);
		for (uint32_t i = 0; i < 4; i++)
			hashed[i] = text[i];
		chunk_reverse(hashed);
		hash = encrypt_and_hash(key, rounds, x, hashed, hash);
		chunk_store(run->out + at, x, text);
		in = run->rest + at;
	}
	return hash;
}

/* Less than a chunk: of at most n vectors, whose first block is multiplied by the nth power. */
INLINE void run_tail(const struct psp_aead_key *key, uint32_t rounds, bool seals, uint32_t n,
		     const uint8_t *in, uint8_t *out, size_t len, __m512i *counters,
		     struct sums *sums, size_t nth, __m128i hash)
{
	__m512i x[4];

	count(counters, x, n);
	encrypt(key, rounds, x, n);
	for (uint32_t i = 0; i < n && i * sizeof(x[0]) < len; i++) {
		const size_t at = i * sizeof(x[0]);
		const __mmask64 octets = first_octets(len - at);
		const __m512i from = _mm512_maskz_loadu_epi8(octets, in + at);

		x[i] = _mm512_maskz_mov_epi8(octets, _mm512_xor_si512(from, x[i]));
		_mm512_mask_storeu_epi8(out + at, octets, x[i]);
		multiply(sums, key, nth + i * LANES,
			 _mm512_xor_si512(reversed_4(seals ? x[i] : from), first_lane(hash)));
		hash = _mm_setzero_si128();
	}
}

/* Returns the tag. `rounds` and `seals` are known where this is expanded. */
INLINE __m128i run_text(const struct psp_aead_key *key, uint32_t rounds, bool seals,
			const struct run *run)
{
	const size_t tail = run->len % CHUNK, whole = run->len - tail;
	const size_t tail_blocks = blocks_of(tail), aad_blocks = blocks_of(run->aad_len);
	/* Clear text, text and lengths in one sum. */
	const bool is_short = whole == 0 && aad_blocks + tail_blocks < CHUNK_BLOCKS;
	const uint8_t *in = whole == 0 ? run->in : run->rest + (whole - CHUNK);
	__m128i hash = _mm_setzero_si128(), mask, lengths;
	struct sums sums = none();
	__m512i counters;
	uint32_t word[3];
	size_t nth;

	/* Counters are the first words of the reversed blocks; that of the mask is 1. */
	memcpy(word, run->nonce, sizeof(word));
	mask = _mm_set_epi32(0x01000000, (int32_t)word[2], (int32_t)word[1], (int32_t)word[0]);
	counters =
		_mm512_add_epi32(_mm512_broadcast_i32x4(reversed(mask)),
				 _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
	mask = encrypted(key, rounds, mask);
	lengths = _mm_set_epi64x((int64_t)(run->aad_len * 8), (int64_t)(run->len * 8));

	if (!is_short)
		hash = hash_all(key, run->aad, run->aad_len);
	if (whole > 0)
		hash = seals ? seal_chunks(key, rounds, run, &counters, hash)
			     : open_chunks(key, rounds, run, &counters, hash);

	nth = CHUNK_BLOCKS - (tail_blocks < CHUNK_BLOCKS ? tail_blocks + 1 : CHUNK_BLOCKS);
	if (is_short) {
		nth -= aad_blocks;
		hash_clear(&sums, key, nth, run->aad, run->aad_len, &hash);
		nth += aad_blocks;
	}
	if (tail > CHUNK / 2)
		run_tail(key, rounds, seals, 4, in, run->out + whole, tail, &counters, &sums, nth,
			 hash);
	else if (tail > 0)
		run_tail(key, rounds, seals, 2, in, run->out + whole, tail, &counters, &sums, nth,
			 hash);
	if (tail > 0)
		hash = _mm_setzero_si128();
	/* A chunk of which only the last block is short has no room left for the lengths. */
	if (tail_blocks == CHUNK_BLOCKS) {
		hash = reduced(&sums);
		sums = none();
	}
	multiply(&sums, key, CHUNK_BLOCKS - 1, first_lane(_mm_xor_si128(lengths, hash)));
	return _mm_xor_si128(reversed(reduced(&sums)), mask);
}

/* With as many rounds as the key has. */
INLINE __m128i run_by_key(const struct psp_aead_key *key, bool seals, const struct run *run)
{
	return key->rounds == ROUNDS_128 ? run_text(key, ROUNDS_128, seals, run)
					 : run_text(key, ROUNDS_256, seals, run);
}

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

TARGET static int32_t seal(struct psp_crypto *crypto, const struct psp_aead_key *key,
			   const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
			   const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag)
{
	const struct run run = {.nonce = nonce,
				.aad = aad,
				.aad_len = aad_len,
				.in = in,
				.rest = in + least(len, CHUNK),
				.len = len,
				.out = out};

	(void)crypto;
	store(tag, run_by_key(key, true, &run));
	return PSP_DP_OK;
}

/* The first chunk is put together where it will be sealed; what follows is read where it lies. */
TARGET static int32_t seal_parts(struct psp_crypto *crypto, const struct psp_aead_key *key,
				 const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
				 const struct psp_text *text, uint8_t *out, uint8_t *tag)
{
	const size_t len = text->head_len + text->body_len;
	/* Of a head that is longer than a chunk all is put together. */
	const size_t first = text->head_len <= CHUNK ? least(len, CHUNK) : len;
	const size_t copied = first - text->head_len;
	const struct run run = {.nonce = nonce,
				.aad = aad,
				.aad_len = aad_len,
				.in = out,
				.rest = first == CHUNK ? text->body + copied
						       : out + least(len, CHUNK),
				.len = len,
				.out = out};

	(void)crypto;
	if (text->head != out && text->head_len > 0)
		memmove(out, text->head, text->head_len);
	if (copied > 0)
		memcpy(out + text->head_len, text->body, copied);
	store(tag, run_by_key(key, true, &run));
	return PSP_DP_OK;
}

TARGET static int32_t open(struct psp_crypto *crypto, const struct psp_aead_key *key,
			   const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
			   const uint8_t *in, size_t len, uint8_t *out, const uint8_t *tag)
{
	const struct run run = {.nonce = nonce,
				.aad = aad,
				.aad_len = aad_len,
				.in = in,
				.rest = in + least(len, CHUNK),
				.len = len,
				.out = out};
	__m128i expected;

	(void)crypto;
	expected = run_by_key(key, false, &run);
	/* All octets at once: the right ICV of a forged packet is itself a secret, and never leaves the registers. */
	expected = _mm_xor_si128(expected, load(tag));
	return _mm_testz_si128(expected, expected) != 0 ? PSP_DP_VERDICT_OK : PSP_DP_VERDICT_ICV;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* FIPS 197, 5.2: the words of a round key, each the sum of those before it, and of what `from` makes of the last word. */
INLINE __m128i next_round_key(__m128i key, __m128i from)
{
	key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
	key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
	return _mm_xor_si128(key, from);
}

#define ROTATED(key, constant) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, constant), 0xff)
#define STRAIGHT(key) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, 0), 0xaa)

TARGET static void expand_128(const uint8_t *octets, uint8_t (*out)[BLOCK])
{
	__m128i key = load(octets);

	store(out[0], key);
	store(out[1], key = next_round_key(key, ROTATED(key, 0x01)));
	store(out[2], key = next_round_key(key, ROTATED(key, 0x02)));
	store(out[3], key = next_round_key(key, ROTATED(key, 0x04)));
	store(out[4], key = next_round_key(key, ROTATED(key, 0x08)));
	store(out[5], key = next_round_key(key, ROTATED(key, 0x10)));
	store(out[6], key = next_round_key(key, ROTATED(key, 0x20)));
	store(out[7], key = next_round_key(key, ROTATED(key, 0x40)));
	store(out[8], key = next_round_key(key, ROTATED(key, 0x80)));
	store(out[9], key = next_round_key(key, ROTATED(key, 0x1b)));
	store(out[10], next_round_key(key, ROTATED(key, 0x36)));
}

TARGET static void expand_256(const uint8_t *octets, uint8_t (*out)[BLOCK])
{
	__m128i even = load(octets), odd = load(octets + BLOCK);

	store(out[0], even);
	store(out[1], odd);
	store(out[2], even = next_round_key(even, ROTATED(odd, 0x01)));
	store(out[3], odd = next_round_key(odd, STRAIGHT(even)));
	store(out[4], even = next_round_key(even, ROTATED(odd, 0x02)));
	store(out[5], odd = next_round_key(odd, STRAIGHT(even)));
	store(out[6], even = next_round_key(even, ROTATED(odd, 0x04)));
	store(out[7], odd = next_round_key(odd, STRAIGHT(even)));
	store(out[8], even = next_round_key(even, ROTATED(odd, 0x08)));
	store(out[9], odd = next_round_key(odd, STRAIGHT(even)));
	store(out[10], even = next_round_key(even, ROTATED(odd, 0x10)));
	store(out[11], odd = next_round_key(odd, STRAIGHT(even)));
	store(out[12], even = next_round_key(even, ROTATED(odd, 0x20)));
	store(out[13], odd = next_round_key(odd, STRAIGHT(even)));
	store(out[14], next_round_key(even, ROTATED(odd, 0x40)));
}

TARGET static void powers_fill(struct psp_aead_key *key)
{
	const __m128i h = reversed(encrypted(key, key->rounds, _mm_setzero_si128()));
	const uint64_t low = (uint64_t)_mm_cvtsi128_si64(h);
	const uint64_t high = (uint64_t)_mm_extract_epi64(h, 1);
	const uint64_t carry = 0 - (high >> 63);
	const __m128i first =
		_mm_set_epi64x((int64_t)((high << 1 | low >> 63) ^ (carry & 0xc200000000000000u)),
			       (int64_t)(low << 1 ^ (carry & 1u)));
	__m128i power = first;

	store(key->power[CHUNK_BLOCKS - 1], first);
	for (uint32_t i = 2; i <= CHUNK_BLOCKS; i++) {
		power = reduced_product(_mm_clmulepi64_si128(power, first, 0x00),
					_mm_xor_si128(_mm_clmulepi64_si128(power, first, 0x01),
						      _mm_clmulepi64_si128(power, first, 0x10)),
					_mm_clmulepi64_si128(power, first, 0x11));
		store(key->power[CHUNK_BLOCKS - i], power);
	}
}

static int32_t key_new(struct psp_crypto *crypto, uint32_t psp_version, const uint8_t *octets,
		       struct psp_aead_key **out)
{
	struct psp_aead_key *key;
	bool is_256;

	*out = NULL;
	if (psp_version >= PSP_VERSIONS)
		return PSP_DP_EINVAL;
	is_256 = psp_key_len(psp_version) == 32;
	key = psp_slab_take(&crypto->keys[is_256]);
	if (key == NULL)
		return PSP_DP_ENOMEM;
	key->rounds = is_256 ? ROUNDS_256 : ROUNDS_128;
	if (is_256)
		expand_256(octets, key->round_key);
	else
		expand_128(octets, key->round_key);
	powers_fill(key);
	*out = key;
	return PSP_DP_OK;
}

static void key_free(struct psp_aead_key *key)
{
	psp_slab_give(key);
}

static size_t key_octets(uint32_t rounds)
{
	return sizeof(struct psp_aead_key) + (rounds + 1) * BLOCK;
}

/* Of a short text, to whose blocks those of the header and of the lengths are added, only the lowest powers. */
static void key_fetch(const struct psp_aead_key *key, uint32_t psp_version, size_t len)
{
	const size_t end = key_octets(psp_key_len(psp_version) == 32 ? ROUNDS_256 : ROUNDS_128);
	const size_t powers = (len / BLOCK + 4) * BLOCK;
	const size_t from = powers < sizeof(key->power) ? sizeof(key->power) - powers : 0;

	for (size_t i = from / LINE * LINE; i < end; i += LINE)
		__builtin_prefetch((const char *)key + i);
}

/* __builtin_cpu_supports() looks whether the kernel keeps wide registers, and not every compiler's knows the last two. */
static bool is_usable(void)
{
	uint32_t a, b, c = 0, d;

	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
	       __builtin_cpu_supports("bmi2") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
	       (c & bit_VAES) != 0 && (c & bit_VPCLMULQDQ) != 0;
}

static int32_t crypto_new(struct psp_crypto **out)
{
	struct psp_crypto *crypto;

	*out = NULL;
	if (!is_usable())
		return PSP_DP_ENOTSUP;
	crypto = calloc(1, sizeof(*crypto));
	if (crypto == NULL)
		return PSP_DP_ENOMEM;
	psp_slab_init(&crypto->keys[0], (uint32_t)key_octets(ROUNDS_128));
	psp_slab_init(&crypto->keys[1], (uint32_t)key_octets(ROUNDS_256));
	*out = crypto;
	return PSP_DP_OK;
}

static void crypto_free(struct psp_crypto *crypto)
{
	if (crypto == NULL)
		return;
	psp_slab_free(&crypto->keys[0]);
	psp_slab_free(&crypto->keys[1]);
	free(crypto);
}

/* ---- CMAC ------------------------------------------------------------------------------------ */

INLINE __m128i encrypted_256(uint8_t (*round_keys)[BLOCK], __m128i block)
{
	block = _mm_xor_si128(block, load(round_keys[0]));
	for (uint32_t i = 1; i < ROUNDS_256; i++)
		block = _mm_aesenc_si128(block, load(round_keys[i]));
	return _mm_aesenclast_si128(block, load(round_keys[ROUNDS_256]));
}

/* A reversed block times x. */
INLINE __m128i doubled(__m128i block)
{
	const uint64_t low = (uint64_t)_mm_cvtsi128_si64(block);
	const uint64_t high = (uint64_t)_mm_extract_epi64(block, 1);

	return _mm_set_epi64x((int64_t)(high << 1 | low >> 63),
			      (int64_t)(low << 1 ^ ((0 - (high >> 63)) & 0x87u)));
}

TARGET static int32_t cmac256(struct psp_crypto *crypto, const uint8_t key[32], const uint8_t *msg,
			      size_t len, uint8_t out[16])
{
	uint8_t round_keys[ROUNDS_256 + 1][BLOCK], last[BLOCK] = {0};
	__m128i subkey, mac = _mm_setzero_si128();

	(void)crypto;
	expand_256(key, round_keys);
	subkey = doubled(reversed(encrypted_256(round_keys, mac)));
	for (; len > BLOCK; msg += BLOCK, len -= BLOCK)
		mac = encrypted_256(round_keys, _mm_xor_si128(mac, load(msg)));
	if (len < BLOCK) {
		last[len] = 0x80;
		subkey = doubled(subkey);
	}
	if (len > 0)
		memcpy(last, msg, len);
	mac = _mm_xor_si128(mac, _mm_xor_si128(load(last), reversed(subkey)));
	store(out, encrypted_256(round_keys, mac));
	explicit_bzero(round_keys, sizeof(round_keys));
	explicit_bzero(last, sizeof(last));
	return PSP_DP_OK;
}

const struct psp_crypto_backend psp_crypto_vaes = {
	.name = "vaes",
	.id = PSP_DP_BACKEND_VAES,
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
