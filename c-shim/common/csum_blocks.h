/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csum_blocks.h: the long part of a checksum, by what the processor has. csum_any.c and csum_x86.c each have
 * dp_csum_blocks(); one of them is built. Private to packet.c.
 */
#ifndef PSP_COMMON_CSUM_BLOCKS_H
#define PSP_COMMON_CSUM_BLOCKS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DP_CSUM_BLOCK 64u /* octets */

/* The sum of the 32-bit words of n blocks in memory order, modulo 2^64: no carry is lost below 2^32 words. */
uint64_t dp_csum_blocks(const uint8_t *data, size_t n);

/* Two 64-bit lanes: compilers map it to SSE2 and to NEON, and to plain code elsewhere. */
static inline uint64_t dp_csum_blocks_128(const uint8_t *data, size_t n)
{
	typedef uint64_t lanes __attribute__((vector_size(16)));
	const lanes low = {0xffffffffu, 0xffffffffu};
	lanes even = {0, 0}, odd = {0, 0};

	for (; n > 0; n--, data += DP_CSUM_BLOCK) {
		lanes w, x, y, z;

		memcpy(&w, data, 16);
		memcpy(&x, data + 16, 16);
		memcpy(&y, data + 32, 16);
		memcpy(&z, data + 48, 16);
		even += (w & low) + (x & low);
		odd += (w >> 32) + (x >> 32);
		even += (y & low) + (z & low);
		odd += (y >> 32) + (z >> 32);
	}
	even += odd;
	return even[0] + even[1];
}

#endif
