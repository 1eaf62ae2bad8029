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

uint64_t dp_csum_blocks(const uint8_t *data, size_t n)
{
	return __builtin_cpu_supports("avx2") ? blocks_256(data, n) : dp_csum_blocks_128(data, n);
}
