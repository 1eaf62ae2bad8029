/* SPDX-License-Identifier: Apache-2.0 */
/* What soft_decap() makes of an opened packet: the ECN table, and lengths that disagree. */
#include "soft_packet_key.h"
#include "soft_packet_received.h"
#include "vectors.h"

static uint8_t out_buf[BUF_LEN];
static struct psp_dp_actions actions;
static struct soft_tx_key key;

/* Seals `inner` (IP and on) by hand with a next header, and opens it again. */
static bool sealed_by_hand(const uint8_t *inner, uint32_t len, uint8_t next, uint8_t outer_tos,
			   bool outer_v6)
{
	uint8_t psp[2048] = {next, 1, 0, 1};
	struct octets octets = {16u + len + 16u, psp};
	struct frame_spec spec = {.tos = outer_tos, .v6 = outer_v6};

	psp_put32(psp + 4, TEST_SPI);
	psp_put64(psp + 8, 1);
	memcpy(psp + 16, inner, len);
	return backend->seal(crypto, key.aead, psp + 4, psp, 16, psp + 16, len, psp + 16,
			     psp + 16 + len) == PSP_DP_OK &&
	       frame_of(&octets, &spec) &&
	       soft_decrypt(backend, crypto, key.aead, VERSIONS, &packet);
}

/* RFC 6040, figure 4, all sixteen, for both inner and both outer IP versions. */
static void ecn_is_combined(void)
{
	/* Rows inner, columns outer, by the number of the code point: Not-ECT, ECT(1), ECT(0), CE. */
	static const uint8_t figure4[4][4] = {
		{0, 0, 0, 9}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};

	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	for (uint32_t i = 0; i < 64; i++) {
		uint8_t inner = i & 3, outer = i >> 2 & 3, want = figure4[inner][outer];
		struct frame_spec spec = {
			.v6 = (i & 16) != 0, .tos = (uint8_t)(0x48 | inner), .payload = 20};
		struct dp_packet made;
		const uint8_t *ip;
		bool kept;

		CONTEXT("inner v%c ECN %u, outer v%c ECN %u", spec.v6 ? '6' : '4', inner,
			(i & 32) != 0 ? '6' : '4', outer);
		make_frame(&made, out_buf, &spec);
		CHECK(sealed_by_hand(made.frame + ETH, made.len - ETH, spec.v6 ? 41 : 4,
				     (uint8_t)(0xb8 | outer), (i & 32) != 0));
		kept = decap_by(&packet, &actions);
		CHECK_EQ(kept, want != 9);
		if (!kept)
			continue;
		ip = packet.frame + ETH;
		CHECK_EQ(spec.v6 ? (psp_get16(ip) >> 4) & 0xff : ip[1], 0x48 | want);
		if (!spec.v6)
			CHECK_EQ(naive_sum(ip, 20), 0xffff);
	}
	key_drop(&key);
}

static void inner_lengths_must_agree(void)
{
	struct dp_packet made;
	uint32_t len;

	CHECK(key_make(&key, 0));
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		uint8_t next = v6 != 0 ? 41 : 4;

		CONTEXT("IPv%c", v6 != 0 ? '6' : '4');
		make_encap(&actions, &(struct encap_spec){0});
		make_frame(&made, out_buf, &(struct frame_spec){.v6 = v6 != 0, .payload = 50});
		memset(made.frame + made.len, 0xee, 8);
		len = made.len - ETH;
		/* Padding behind the inner packet is cut. */
		CHECK(sealed_by_hand(made.frame + ETH, len + 7, next, 0, false));
		CHECK(decap_by(&packet, &actions));
		CHECK_EQ(packet.len, made.len);
		/* Less than the inner packet says that it is, down to a single octet. */
		for (uint32_t cut = 1; cut < len; cut++) {
			CHECK(sealed_by_hand(made.frame + ETH, len - cut, next, 0, false));
			CHECK(!decap_by(&packet, &actions));
		}
		/* The wrong next header, the wrong mode. */
		CHECK(sealed_by_hand(made.frame + ETH, len, v6 != 0 ? 4 : 41, 0, false));
		CHECK_EQ(packet.fields.parser_meta_inner_l3_type, PSP_DP_L3_NONE);
		CHECK(!decap_by(&packet, &actions));
		CHECK(sealed_by_hand(made.frame + ETH, len, 6, 0, false));
		CHECK(!decap_by(&packet, &actions));
		make_encap(&actions, &(struct encap_spec){.transport = true});
		CHECK(sealed_by_hand(made.frame + ETH, len, next, 0, false));
		CHECK(!decap_by(&packet, &actions));
	}
	key_drop(&key);
}

/* A peer on the same machine leaves the outer checksum partial, or the kernel vouches for it. */
static void what_holds_for_the_outer_checksum_ends_with_it(void)
{
	struct dp_packet made;

	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	make_frame(&made, out_buf, &(struct frame_spec){.payload = 1});
	CHECK(sealed_by_hand(made.frame + ETH, made.len - ETH, 4, 0, false));
	packet.needs_csum = true;
	packet.csum_start = packet.l4_off;
	packet.csum_offset = 6;
	packet.csum_valid = true;
	packet.fields.meta_pkt_meta = 77;
	CHECK(decap_by(&packet, &actions));
	CHECK(!packet.needs_csum);
	CHECK(!packet.csum_valid);
	CHECK_EQ(packet.fields.meta_pkt_meta, 77);
	CHECK_EQ(packet.fields.outer_l4_dst_port, 5001);
	key_drop(&key);
}

static void nothing_is_decapsulated_unopened(void)
{
	make_encap(&actions, &(struct encap_spec){0});
	CHECK(frame_of(&packet_vectors[0].psp, &(struct frame_spec){0}));
	CHECK(!decap_by(&packet, &actions));
}

int main(void)
{
	RUN_EACH(ecn_is_combined);
	RUN_EACH(inner_lengths_must_agree);
	RUN_EACH(what_holds_for_the_outer_checksum_ends_with_it);
	RUN_EACH(nothing_is_decapsulated_unopened);
	return test_summary();
}
