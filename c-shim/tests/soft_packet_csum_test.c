/* SPDX-License-Identifier: Apache-2.0 */
#include "../soft/csum.h"
#include "soft_packet_frames.h"

static void sums_agree_at_every_length_and_alignment(void)
{
	uint8_t data[300];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + 200);
	for (uint32_t align = 0; align < 4; align++) {
		for (uint32_t len = 0; len + align < sizeof(data); len++) {
			uint32_t got = soft_csum_fold(soft_csum_add(0, data + align, len));

			CONTEXT("align %u, length %u", align, len);
			CHECK_EQ(got % 0xffff, naive_sum(data + align, len) % 0xffff);
		}
	}
	memset(data, 0xff, sizeof(data));
	CHECK_EQ(soft_csum_fold(soft_csum_add(0xffff0000u, data, 299)) % 0xffff,
		 naive_sum(data, 299) % 0xffff);
}

static void a_changed_word_changes_the_checksum_alike(void)
{
	uint8_t data[8] = {0};

	for (uint32_t i = 0; i < 0x10000; i += 257) {
		uint16_t csum, to = (uint16_t)(i * 7 + 3);

		memcpy(data, "\x12\x34\x56\x78\x9a\xbc\xde\xf0", 8);
		psp_put16(data + 2, (uint16_t)i);
		csum = (uint16_t)~naive_sum(data, 8);
		psp_put16(data + 2, to);
		CHECK_EQ(soft_csum_update(csum, (uint16_t)i, to), (uint16_t)~naive_sum(data, 8));
	}
}

int main(void)
{
	RUN(sums_agree_at_every_length_and_alignment);
	RUN(a_changed_word_changes_the_checksum_alike);
	return test_summary();
}
