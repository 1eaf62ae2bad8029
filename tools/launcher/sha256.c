/* SPDX-License-Identifier: Apache-2.0 */
/* sha256.c: SHA-256 as FIPS 180-4 writes it down. */
#include "sha256.h"

#include <string.h>

/* FIPS 180-4, 4.2.2 */
static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* 5.3.3 */
static const uint32_t INITIAL[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotr(uint32_t x, unsigned int n)
{
	return (x >> n) | (x << (32 - n));
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* 6.2.2, 3: the variables a to h change places instead of values. */
#define ROUND(t, a, b, c, d, e, f, g, h)                                                           \
	do {                                                                                       \
		uint32_t t1 = s[h] + (rotr(s[e], 6) ^ rotr(s[e], 11) ^ rotr(s[e], 25)) +           \
			      ((s[e] & s[f]) ^ (~s[e] & s[g])) + K[t] + w[t];                      \
		uint32_t t2 = (rotr(s[a], 2) ^ rotr(s[a], 13) ^ rotr(s[a], 22)) +                  \
			      ((s[a] & s[b]) ^ (s[a] & s[c]) ^ (s[b] & s[c]));                     \
                                                                                                   \
		s[d] += t1;                                                                        \
		s[h] = t1 + t2;                                                                    \
	} while (0)

/* 6.2.2 */
static void compress(uint32_t state[8], const uint8_t block[64])
{
	uint32_t w[64], s[8];

	for (int t = 0; t < 16; t++)
		w[t] = get32(block + 4 * t);
	for (int t = 16; t < 64; t++) {
		uint32_t a = w[t - 15], b = w[t - 2];

		w[t] = w[t - 16] + (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) + w[t - 7] +
		       (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
	}
	memcpy(s, state, sizeof(s));
	for (int t = 0; t < 64; t += 8) {
		ROUND(t + 0, 0, 1, 2, 3, 4, 5, 6, 7);
		ROUND(t + 1, 7, 0, 1, 2, 3, 4, 5, 6);
		ROUND(t + 2, 6, 7, 0, 1, 2, 3, 4, 5);
		ROUND(t + 3, 5, 6, 7, 0, 1, 2, 3, 4);
		ROUND(t + 4, 4, 5, 6, 7, 0, 1, 2, 3);
		ROUND(t + 5, 3, 4, 5, 6, 7, 0, 1, 2);
		ROUND(t + 6, 2, 3, 4, 5, 6, 7, 0, 1);
		ROUND(t + 7, 1, 2, 3, 4, 5, 6, 7, 0);
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

void sha256_init(struct sha256 *sha)
{
	memset(sha, 0, sizeof(*sha));
	memcpy(sha->state, INITIAL, sizeof(INITIAL));
}

void sha256_update(struct sha256 *sha, const uint8_t *in, size_t len)
{
	while (len > 0) {
		size_t used = sha->octets % 64, n = 64 - used < len ? 64 - used : len;

		if (used == 0 && len >= 64) {
			compress(sha->state, in);
			n = 64;
		} else {
			memcpy(sha->block + used, in, n);
			if (used + n == 64)
				compress(sha->state, sha->block);
		}
		sha->octets += n;
		in += n;
		len -= n;
	}
}

void sha256_final(struct sha256 *sha, uint8_t out[32])
{
	static const uint8_t padding[64] = {0x80};
	const uint64_t bits = sha->octets * 8;
	const size_t used = sha->octets % 64;
	uint8_t length[8];

	put32(length, (uint32_t)(bits >> 32));
	put32(length + 4, (uint32_t)bits);
	sha256_update(sha, padding, used < 56 ? 56 - used : 120 - used);
	sha256_update(sha, length, sizeof(length));
	for (int i = 0; i < 8; i++)
		put32(out + 4 * i, sha->state[i]);
}
