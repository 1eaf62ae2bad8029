/* SPDX-License-Identifier: Apache-2.0 */
#include "soft_packet_frames.h"

static uint8_t buf[BUF_LEN];
static struct dp_packet packet;

/* A SYN with these options (a multiple of 4 octets), checksum right or partial, parsed. */
static bool syn(const char *options, uint8_t len, bool v6, bool partial)
{
	struct frame_spec spec = {.v6 = v6, .flags = 0x02, .tcp_opts = len, .partial = partial};
	uint8_t *tcp;

	make_frame(&packet, buf, &spec);
	tcp = packet.frame + packet.len - 20 - len;
	memcpy(tcp + 20, options, len);
	if (!partial) {
		psp_put16(tcp + 16, 0);
		psp_put16(tcp + 16, (uint16_t)~naive_l4(packet.frame + ETH, 6, tcp, 20u + len));
	}
	return dp_parse(&packet);
}

static bool checksum_right(void)
{
	return naive_l4(packet.frame + ETH, 6, packet.frame + packet.l4_off,
			packet.len - packet.l4_off) == 0xffff;
}

static uint16_t mss_at(uint32_t option)
{
	return psp_get16(packet.frame + packet.l4_off + 20 + option + 2);
}

static void the_option_is_found_wherever_it_stands(void)
{
	/* 0x05b4 is 1,460. */
	static const struct {
		const char *octets;
		uint8_t len, at;
	} rows[] = {
		{"\2\4\5\xb4", 4, 0},
		{"\1\2\4\5\xb4\1\1\1", 8, 1},
		{"\1\1\2\4\5\xb4\1\1", 8, 2},
		{"\1\1\1\2\4\5\xb4\0", 8, 3},
		{"\3\3\7\2\4\5\xb4\0", 8, 3},
		{"\4\2\10\12\0\0\0\0\0\0\0\0\2\4\5\xb4", 16, 12},
		{"\376\5\1\2\3\2\4\5\xb4\0\0\0", 12, 5},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint32_t v6 = 0; v6 < 2; v6++) {
			CONTEXT("row %zu, IPv%c", i, v6 != 0 ? '6' : '4');
			CHECK(syn(rows[i].octets, rows[i].len, v6 != 0, false));
			CHECK(dp_mss_clamp(&packet, 1420));
			CHECK_EQ(mss_at(rows[i].at), v6 != 0 ? 1360 : 1380);
			CHECK(checksum_right());
			/* It fits now. */
			CHECK(!dp_mss_clamp(&packet, 1420));
			CHECK(checksum_right());
		}
	}
}

static void an_mss_that_fits_is_never_raised(void)
{
	CHECK(syn("\2\4\2\x18", 4, false, false));
	CHECK(!dp_mss_clamp(&packet, 1420));
	CHECK_EQ(mss_at(0), 536);
	CHECK(checksum_right());
}

static void every_one_of_several_is_lowered(void)
{
	CHECK(syn("\2\4\5\xb4\1\2\4\5\xdc\1\1\1", 12, false, false));
	CHECK(dp_mss_clamp(&packet, 1420));
	CHECK_EQ(mss_at(0), 1380);
	CHECK_EQ(mss_at(5), 1380);
	CHECK(checksum_right());
}

static void a_partial_checksum_stays(void)
{
	uint16_t before;

	CHECK(syn("\1\2\4\5\xb4\1\1\1", 8, false, true));
	before = psp_get16(packet.frame + packet.l4_off + 16);
	CHECK(dp_mss_clamp(&packet, 1420));
	CHECK_EQ(mss_at(1), 1380);
	CHECK_EQ(psp_get16(packet.frame + packet.l4_off + 16), before);
}

static void broken_options_are_left_alone(void)
{
	static const struct {
		const char *octets;
		uint8_t len;
	} rows[] = {
		{"\0\2\4\5\xb4\0\0\0", 8},  /* behind the end of the list */
		{"\1\1\1\2", 4},            /* no room for a length */
		{"\1\1\2\4", 4},            /* no room for a value */
		{"\2\3\5\xb4", 4},          /* a wrong length */
		{"\2\0\2\4\5\xb4\0\0", 8},  /* length 0 would not end */
		{"\3\1\2\4\5\xb4\0\0", 8},  /* length 1 */
		{"\3\x20\2\4\5\xb4\0\0", 8} /* beyond the header */
	};
	uint8_t before[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("row %zu", i);
		CHECK(syn(rows[i].octets, rows[i].len, false, false));
		memcpy(before, packet.frame, packet.len);
		CHECK(!dp_mss_clamp(&packet, 600));
		CHECK_MEM(packet.frame, before, packet.len);
	}
}

static void only_syns_are_looked_at(void)
{
	struct frame_spec spec = {.tcp_opts = 4, .flags = 0x10};

	make_frame(&packet, buf, &spec);
	memcpy(packet.frame + packet.len - 4, "\2\4\5\xb4", 4);
	CHECK(dp_parse(&packet));
	CHECK(!dp_mss_clamp(&packet, 1000));
	packet.frame[packet.l4_off + 13] = 0x12; /* SYN and ACK */
	CHECK(dp_mss_clamp(&packet, 1000));
	make_frame(&packet, buf, &(struct frame_spec){.proto = 17, .payload = 40});
	CHECK(dp_parse(&packet));
	CHECK(!dp_mss_clamp(&packet, 1000));
	/* A fragment has no TCP header to trust. */
	spec.frag = 0x2000;
	spec.flags = 0x02;
	make_frame(&packet, buf, &spec);
	CHECK(dp_parse(&packet));
	CHECK(!dp_mss_clamp(&packet, 1000));
}

static void a_tiny_limit_does_not_underflow(void)
{
	CHECK(syn("\2\4\5\xb4", 4, true, false));
	for (uint32_t max = 0; max <= 60; max++)
		CHECK(!dp_mss_clamp(&packet, max));
	CHECK(dp_mss_clamp(&packet, 61));
	CHECK_EQ(mss_at(0), 1);
	CHECK(checksum_right());
	CHECK(syn("\2\4\xff\xff", 4, false, false));
	CHECK(!dp_mss_clamp(&packet, 1u << 20));
}

int main(void)
{
	RUN(the_option_is_found_wherever_it_stands);
	RUN(an_mss_that_fits_is_never_raised);
	RUN(every_one_of_several_is_lowered);
	RUN(a_partial_checksum_stays);
	RUN(broken_options_are_left_alone);
	RUN(only_syns_are_looked_at);
	RUN(a_tiny_limit_does_not_underflow);
	return test_summary();
}
