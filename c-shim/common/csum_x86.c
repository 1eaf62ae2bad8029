/* SPDX-License-Identifier: Apache-2.0 */
#include "csum_blocks.h"

#include <immintrin.h>

__attribute__((target("avx2"))) static uint64_t blocks_256(const uint8_t *data, size_t n)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffff);
	__m256i even = _mm256_setzero_si256(), odd = even;
	uint64_t sums[4];

	for (; n > 0; n--, data += DP_CSUM_BLOCK) {
		__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)data);
		__m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(data + 32));

		even = _mm256_add_epi64(
			even, _mm256_add_epi64(_mm256_and_si256(x, low), _mm256_and_si256(y, low)));
		odd = _mm256_add_epi64(
			odd, _mm256_add_epi64(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32)));
	}
	_mm256_storeu_si256((__m256i *)(void *)sums, _mm256_add_epi64(even, odd));
	return sums[0] + sums[1] + sums[2] + sums[3];
}

/* A block each; two sums, so that no addition waits for the one before it. */
__attribute__((target("avx512f"))) static uint64_t blocks_512(const uint8_t *data, size_t n)
{
	const __m512i low = _mm512_set1_epi64(0xffffffff);
	__m512i even = _mm512_setzero_si512(), odd = even;

	for (; n > 0; n--, data += DP_CSUM_BLOCK) {
		__m512i x = _mm512_loadu_si512((const void *)data);

		even = _mm512_add_epi64(even, _mm512_and_si512(x, low));
		odd = _mm512_add_epi64(odd, _mm512_srli_epi64(x, 32));
	}
	return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(even, odd));
}

uint64_t dp_csum_blocks(const uint8_t *data, size_t n)
{
	/* Those that have these instructions, too, do not slow down for wide ones. */
	if (__builtin_cpu_supports("avx512vbmi2"))
		return blocks_512(data, n);
	return __builtin_cpu_supports("avx2") ? blocks_256(data, n) : dp_csum_blocks_128(data, n);
}
