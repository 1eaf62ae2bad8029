/* SPDX-License-Identifier: Apache-2.0 */
#include "../common/csum.h"
#include "../common/csum_blocks.h"
#include "soft_packet_key.h"

static uint8_t in_buf[BUF_LEN], out_buf[BUF_LEN];
static struct sent sent;

static void sums_agree_at_every_length_and_alignment(void)
{
	uint8_t data[300];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + 200);
	for (uint32_t align = 0; align < 4; align++) {
		for (uint32_t len = 0; len + align < sizeof(data); len++) {
			uint32_t got = dp_csum_fold(dp_csum_add(0, data + align, len));

			CONTEXT("align %u, length %u", align, len);
			CHECK_EQ(got % 0xffff, naive_sum(data + align, len) % 0xffff);
		}
	}
	memset(data, 0xff, sizeof(data));
	CHECK_EQ(dp_csum_fold(dp_csum_add(0xffff0000u, data, 299)) % 0xffff,
		 naive_sum(data, 299) % 0xffff);
}

/* Whatever the processor has, and what every processor has. */
static void wide_blocks_sum_as_narrow_ones(void)
{
	static uint8_t data[DP_CSUM_BLOCK * 1024 + 1];

	for (uint32_t fill = 0; fill < 2; fill++) {
		for (uint32_t i = 0; i < sizeof(data); i++)
			data[i] = fill == 0 ? 0xff : (uint8_t)(i * 31 + (i >> 8) * 7);
		for (size_t n = 0; n <= 1024; n = n < 9 ? n + 1 : n * 2 - 3)
			CHECK_EQ(dp_csum_blocks(data + fill, n),
				 dp_csum_blocks_128(data + fill, n));
	}
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
		CHECK_EQ(dp_csum_update(csum, (uint16_t)i, to), (uint16_t)~naive_sum(data, 8));
	}
}

/* The UDP checksum of a sealed packet whose UDP header is left in clear. */
static int32_t sealed_udp_checksum(struct frame_spec *spec, bool zero)
{
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, collect, &sent, NULL};
	struct psp_dp_actions actions;
	struct dp_packet packet;
	struct soft_tx_key key;
	int32_t got = -1;

	make_encap(&actions, &(struct encap_spec){.crypt_offset = 63});
	make_frame(&packet, in_buf, spec);
	if (zero)
		psp_put16(packet.frame + 40, 0);
	if (!dp_parse(&packet) || !key_make(&key, 0))
		return -1;
	packet.encap = encap_of(&actions);
	if (soft_seal(backend, crypto, &packet, &key, 1500, &out) == SOFT_SEAL_OK)
		got = psp_get16(sent.packets[0].frame + 42 + 16 + 20 + 6);
	sent_clear(&sent);
	key_drop(&key);
	return got;
}

/* 0 would say that there is none. */
static void a_udp_checksum_is_never_computed_as_0(void)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct frame_spec spec = {.proto = 17,
					  .payload = 300,
					  .dst_port = 1,
					  .partial = true,
					  .gso_size = i != 0 ? 300 : 0};
		int32_t got = sealed_udp_checksum(&spec, false);

		CHECK(got > 0);
		/* What the port adds to the sum is what was missing to 0xffff. */
		spec.dst_port = (uint16_t)(1 + got);
		CHECK_EQ(sealed_udp_checksum(&spec, false), 0xffff);
	}
}

static void a_sender_may_go_without_a_udp_checksum(void)
{
	struct frame_spec spec = {.proto = 17, .payload = 600, .gso_size = 300};

	CHECK_EQ(sealed_udp_checksum(&spec, true), 0);
	CHECK(sealed_udp_checksum(&spec, false) > 0);
	spec.payload = 300;
	spec.gso_size = 0;
	CHECK_EQ(sealed_udp_checksum(&spec, true), 0);
}

/* RFC 9260, 6.8 and appendix A: one bit at a time. */
static uint32_t naive_crc32c(const uint8_t *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (uint32_t bit = 0; bit < 8; bit++)
			crc = (crc & 1u) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

/* A container's kernel leaves it to whoever sends on, as it does with the sum of TCP. */
static void sctp_gets_its_own_checksum(void)
{
	static uint8_t buf[BUF_LEN];

	CHECK_EQ(naive_crc32c((const uint8_t *)"123456789", 9), 0xe3069283u);
	for (uint32_t len = 4; len < 300; len++) {
		struct dp_packet packet;
		uint8_t *sctp;
		uint32_t crc;

		CONTEXT("%u octets behind the header", len);
		make_frame(&packet, buf, &(struct frame_spec){.proto = 132, .payload = len});
		packet.needs_csum = true;
		packet.csum_start = NET_ETH_LEN + NET_IP4_LEN;
		packet.csum_offset = 8;
		CHECK(dp_parse(&packet));
		sctp = packet.frame + packet.l4_off;
		psp_put32(sctp + 8, 0);
		crc = naive_crc32c(sctp, packet.len - packet.l4_off);
		psp_put32(sctp + 8, 0xdeadbeef);
		dp_csum_complete(&packet);
		CHECK(!packet.needs_csum);
		for (uint32_t i = 0; i < 4; i++)
			CHECK_EQ(sctp[8 + i], crc >> 8 * i & 0xffu);
	}
	/* Its last octets must be there. */
	for (uint32_t len = 0; len < 4; len++) {
		struct dp_packet packet;

		make_frame(&packet, buf, &(struct frame_spec){.proto = 132, .payload = len});
		packet.needs_csum = true;
		packet.csum_start = NET_ETH_LEN + NET_IP4_LEN;
		packet.csum_offset = 8;
		CHECK(!dp_parse(&packet));
	}
}

int main(void)
{
	RUN(sums_agree_at_every_length_and_alignment);
	RUN(wide_blocks_sum_as_narrow_ones);
	RUN(a_changed_word_changes_the_checksum_alike);
	RUN(sctp_gets_its_own_checksum);
	RUN_EACH(a_udp_checksum_is_never_computed_as_0);
	RUN_EACH(a_sender_may_go_without_a_udp_checksum);
	return test_summary();
}
