/* SPDX-License-Identifier: Apache-2.0 */
/* What soft_seal() refuses, and what it writes into the outer headers. */
#include "../common/pipe.h"
#include "soft_packet_key.h"

static uint8_t in_buf[BUF_LEN], out_buf[BUF_LEN];
static struct sent sent;
static struct psp_dp_actions actions;
static struct dp_packet packet;
static struct soft_tx_key key;

static enum soft_seal_status seal_now(uint32_t max_ip)
{
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, collect, &sent, NULL};

	sent_clear(&sent);
	packet.encap = encap_of(&actions);
	return soft_seal(backend, crypto, &packet, &key, max_ip, &out);
}

/* Makes, parses and seals; a packet that does not even parse is MALFORMED, too. */
static enum soft_seal_status seal(const struct frame_spec *spec, uint32_t max_ip)
{
	make_frame(&packet, in_buf, spec);
	return dp_parse(&packet) ? seal_now(max_ip) : SOFT_SEAL_MALFORMED;
}

static void a_packet_must_fit_with_its_overhead(void)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct encap_spec encap = {
			.transport = (i & 1) != 0, .v6 = (i & 2) != 0, .vc = (i & 4) != 0};
		uint32_t overhead =
			(encap.transport ? 40u : (encap.v6 ? 80u : 60u)) + (encap.vc ? 8u : 0u);
		struct frame_spec spec = {.payload = 1500 - overhead - 40};

		CONTEXT("variant %u", i);
		CHECK(key_make(&key, 0));
		make_encap(&actions, &encap);
		CHECK_EQ(soft_encap_overhead(encap_of(&actions)), overhead);
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
		CHECK_EQ(sent.packets[0].len, 1514);
		spec.payload++;
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_TOO_BIG);
		/* Of a super-frame it is the segment that must fit. */
		spec.gso_size = (uint16_t)(spec.payload - 1);
		spec.payload = 20000;
		spec.partial = true;
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
		spec.gso_size++;
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_TOO_BIG);
		CHECK_EQ(sent.count, 0);
		key_drop(&key);
	}
}

static void ivs_are_taken_all_or_none(void)
{
	struct frame_spec spec = {.payload = 1000, .gso_size = 100, .partial = true};

	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	key.iv_last = 12;
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_EXPIRED);
	CHECK_EQ(sent.count, 0);
	spec.payload = 200;
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
	CHECK_EQ(key.next_iv, 13);
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_EXPIRED);
	/* The end of the counter itself: IV 2^64 - 1 is the last, and none comes again. */
	key.iv_last = UINT64_MAX;
	atomic_store(&key.next_iv, UINT64_MAX - 1);
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
	CHECK_EQ(psp_get64(sent.packets[0].frame + 42 + 8), UINT64_MAX - 1);
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_EXPIRED);
	CHECK_EQ(seal(&(struct frame_spec){0}, 1500), SOFT_SEAL_EXPIRED);
	/* Nothing that is refused for another reason costs an IV. */
	atomic_store(&key.next_iv, 1);
	CHECK_EQ(seal(&spec, 100), SOFT_SEAL_TOO_BIG);
	CHECK_EQ(key.next_iv, 1);
	key_drop(&key);
}

static void no_iv_comes_twice(void)
{
	struct frame_spec spec = {.payload = 60000, .gso_size = 500, .partial = true};

	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
	CHECK_EQ(sent.count, 2);
	for (uint64_t iv = 1, i = 0; i < sent.count; i++) {
		const struct dp_packet *p = &sent.packets[i];

		for (uint32_t at = p->payload_off; at < p->len; at += p->gso_size)
			CHECK_EQ(psp_get64(p->frame + at + 8), iv++);
	}
	key_drop(&key);
}

static void encap_data_is_checked(void)
{
	/* An octet of encap_data, from its start. */
	static const struct {
		bool v6;
		uint8_t at, octet;
		const char *what;
	} rows[] = {
		{false, 12, 0x81, "Ethernet type"},
		{false, 14, 0x46, "IHL 6"},
		{false, 14, 0x65, "version 6 as IPv4"},
		{false, 23, 6, "TCP"},
		{false, 36, 0, "destination port"},
		{false, 43, 2, "header extension length beyond encap_data"},
		{false, 43, 0, "header extension length 0"},
		{false, 45, 0x03, "V without room"},
		{false, 45, 0x05, "version that is not the key's"},
		{false, 49, 0xff, "SPI that is not the key's"},
		{true, 14, 0x45, "version 4 as IPv6"},
		{true, 20, 6, "TCP over IPv6"},
	};
	struct frame_spec spec = {.payload = 10};

	CHECK(key_make(&key, 0));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("%s", rows[i].what);
		make_encap(&actions, &(struct encap_spec){.v6 = rows[i].v6});
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
		actions.encap_data[rows[i].at] = rows[i].octet;
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_MALFORMED);
		CHECK_EQ(sent.count, 0);
	}
	for (uint32_t i = 0; i < 4; i++) {
		make_encap(&actions, &(struct encap_spec){.v6 = (i & 1) != 0, .transport = i > 1});
		for (uint32_t len = actions.encap_size; len-- != 0;) {
			CONTEXT("variant %u, %u octets", i, len);
			actions.encap_size = (uint16_t)len;
			CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_MALFORMED);
		}
		actions.encap_size = 177;
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_MALFORMED);
	}
	make_encap(&actions, &(struct encap_spec){0});
	actions.encap_net_type = 7;
	CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_MALFORMED);
	key_drop(&key);
}

static void a_crypt_offset_past_the_end_is_lowered_to_it(void)
{
	static const uint8_t offsets[] = {11, 10, 10}; /* by octets that the TCP segment lacks */

	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){.crypt_offset = 11});
	for (uint32_t i = 0; i < 3; i++) {
		CONTEXT("%u octets", 4 - i);
		CHECK_EQ(seal(&(struct frame_spec){.payload = 4 - i}, 1500), SOFT_SEAL_OK);
		CHECK_EQ(sent.packets[0].frame[ETH + 28 + 2], offsets[i]);
	}
	CHECK_EQ(key.next_iv, 4);
	key_drop(&key);
}

static void transport_mode_carries_whole_tcp_and_udp(void)
{
	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){.transport = true});
	CHECK_EQ(seal(&(struct frame_spec){.proto = 17, .options = 8}, 1500), SOFT_SEAL_OK);
	CHECK_EQ(sent.packets[0].frame[ETH + 28 + 8], 17);
	CHECK_EQ(seal(&(struct frame_spec){.proto = 1}, 1500), SOFT_SEAL_MALFORMED);
	CHECK_EQ(seal(&(struct frame_spec){.proto = 4}, 1500), SOFT_SEAL_MALFORMED);
	CHECK_EQ(seal(&(struct frame_spec){.frag = 0x2000}, 1500), SOFT_SEAL_MALFORMED);
	CHECK_EQ(seal(&(struct frame_spec){.frag = 1, .v6 = true}, 1500), SOFT_SEAL_MALFORMED);
	/* An extension header before the fragment is of no help. */
	CHECK_EQ(seal(&(struct frame_spec){.frag = 1, .v6 = true, .options = 8}, 1500),
		 SOFT_SEAL_MALFORMED);
	make_encap(&actions, &(struct encap_spec){0});
	CHECK_EQ(seal(&(struct frame_spec){.proto = 1}, 1500), SOFT_SEAL_OK);
	CHECK_EQ(seal(&(struct frame_spec){.frag = 0x2000, .payload = 1}, 1500), SOFT_SEAL_OK);
	CHECK_EQ(seal(&(struct frame_spec){.frag = 1, .v6 = true}, 1500), SOFT_SEAL_OK);
	key_drop(&key);
}

static void what_is_not_ip_is_malformed(void)
{
	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	make_frame(&packet, in_buf, &(struct frame_spec){.payload = 30});
	psp_put16(packet.frame + 12, 0x0806);
	CHECK(dp_parse(&packet));
	CHECK_EQ(seal_now(1500), SOFT_SEAL_MALFORMED);
	key_drop(&key);
}

static int32_t broken_seal(struct psp_crypto *c, const struct psp_aead_key *k, const uint8_t *nonce,
			   const uint8_t *aad, size_t aad_len, const struct psp_text *text,
			   uint8_t *out, uint8_t *tag)
{
	(void)c, (void)k, (void)nonce, (void)aad, (void)aad_len;
	(void)text, (void)out, (void)tag;
	return PSP_DP_EIO;
}

static void nothing_leaves_when_the_library_fails(void)
{
	struct psp_crypto_backend broken = *backend;
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, collect, &sent, NULL};

	sent_clear(&sent);
	broken.seal_parts = broken_seal;
	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	make_frame(&packet, in_buf,
		   &(struct frame_spec){.payload = 5000, .gso_size = 1000, .partial = true});
	CHECK(dp_parse(&packet));
	packet.encap = encap_of(&actions);
	CHECK_EQ(soft_seal(&broken, crypto, &packet, &key, 1500, &out), SOFT_SEAL_FAILED);
	CHECK_EQ(sent.count, 0);
	key_drop(&key);
}

/* TOS octet of an outer header. */
static uint8_t tos_of(const uint8_t *ip)
{
	return (uint8_t)((ip[0] >> 4) == 6 ? psp_get16(ip) >> 4 : ip[1]);
}

/* RFC 6040, figure 3, normal mode: outward goes what the inner field says. */
static void ecn_is_copied_outward_and_dscp_by_flag(void)
{
	CHECK(key_make(&key, 0));
	for (uint32_t i = 0; i < 32; i++) {
		struct frame_spec spec = {.v6 = (i & 4) != 0, .tos = (uint8_t)(0xb8 | (i & 3))};
		struct encap_spec encap = {.v6 = (i & 8) != 0, .tos = 0x2b};

		CONTEXT("variant %u", i);
		make_encap(&actions, &encap);
		if ((i & 16) != 0)
			actions.flags |= PSP_DP_ACTION_COPY_DSCP;
		CHECK_EQ(seal(&spec, 1500), SOFT_SEAL_OK);
		CHECK_EQ(tos_of(sent.packets[0].frame + ETH),
			 ((i & 16) != 0 ? 0xb8 : 0x28) | (i & 3));
	}
	key_drop(&key);
}

static void given_fields_stand_and_zeroes_are_filled_in(void)
{
	const uint8_t *ip;

	CHECK(key_make(&key, 1));
	make_encap(&actions, &(struct encap_spec){
				     .v6 = true, .version = 1, .src_port = 777, .label = 0xabcde});
	CHECK_EQ(seal(&(struct frame_spec){0}, 1500), SOFT_SEAL_OK);
	ip = sent.packets[0].frame + ETH;
	CHECK_MEM(sent.packets[0].frame, actions.encap_data, 14);
	CHECK_EQ(psp_get32(ip), 0x600abcdeu);
	CHECK_EQ(ip[7], 50);
	CHECK_EQ(psp_get16(ip + 40), 777);
	CHECK_EQ(ip[48], 4);
	CHECK_EQ(ip[48 + 3], 0x05);
	packet.set_s = true;
	CHECK_EQ(seal_now(1500), SOFT_SEAL_OK);
	CHECK_EQ(sent.packets[0].frame[ETH + 48 + 3], 0x85);
	make_encap(&actions, &(struct encap_spec){.v6 = true, .version = 1});
	CHECK_EQ(seal(&(struct frame_spec){.v6 = true}, 1500), SOFT_SEAL_OK);
	ip = sent.packets[0].frame + ETH;
	CHECK(psp_get16(ip + 40) >= 49152);
	CHECK((psp_get32(ip) & 0xfffff) != 0);
	CHECK_EQ(ip[48], 41);
	key_drop(&key);
}

int main(void)
{
	RUN_EACH(a_packet_must_fit_with_its_overhead);
	RUN_EACH(ivs_are_taken_all_or_none);
	RUN_EACH(no_iv_comes_twice);
	RUN_EACH(encap_data_is_checked);
	RUN_EACH(a_crypt_offset_past_the_end_is_lowered_to_it);
	RUN_EACH(transport_mode_carries_whole_tcp_and_udp);
	RUN_EACH(what_is_not_ip_is_malformed);
	RUN_EACH(nothing_leaves_when_the_library_fails);
	RUN_EACH(ecn_is_copied_outward_and_dscp_by_flag);
	RUN_EACH(given_fields_stand_and_zeroes_are_filled_in);
	sent_clear(&sent);
	return test_summary();
}
