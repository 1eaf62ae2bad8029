/* SPDX-License-Identifier: Apache-2.0 */
/* random.h: the kernel's random source for secrets and seeds, and a fast generator for sampling. */
#ifndef PSP_COMMON_RANDOM_H
#define PSP_COMMON_RANDOM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>

#include "../psp_dp.h"

/* 0 or PSP_DP_EIO. */
static inline int32_t dp_random(void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return PSP_DP_EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* xoshiro256** (Blackman and Vigna, public domain). One thread's; nothing secret hangs on it. */
struct dp_rng {
	uint64_t s[4];
};

static inline uint64_t dp_rng_next(struct dp_rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t five = s[1] * 5, shifted = s[1] << 17;
	uint64_t result = ((five << 7) | (five >> 57)) * 9;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

#endif
