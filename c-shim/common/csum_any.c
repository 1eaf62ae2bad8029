/* SPDX-License-Identifier: Apache-2.0 */
#include "csum_blocks.h"

uint64_t dp_csum_blocks(const uint8_t *data, size_t n)
{
	return dp_csum_blocks_128(data, n);
}
