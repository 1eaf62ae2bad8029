/* SPDX-License-Identifier: Apache-2.0 */
/* Reports about packets that are too long: those that quote a PSP packet are read, and nothing else is. */
#include "../common/path_mtu.h"
#include "soft_packet_frames.h"

#define SPI 0x8badf00du
#define QUOTED 64u /* octets after the quoted IP header */

static uint8_t buf[BUF_LEN];

static void put_header(uint8_t *ip, bool v6, uint8_t proto, uint32_t payload)
{
	memset(ip, 0, v6 ? 40 : 20);
	ip[0] = v6 ? 0x60 : 0x45;
	if (v6) {
		psp_put16(ip + 4, (uint16_t)payload);
		ip[6] = proto;
		ip[7] = 64;
		ip[8] = 0xfd;
		ip[23] = 1;
		ip[24] = 0xfd;
		ip[39] = 2;
		return;
	}
	psp_put16(ip + 2, (uint16_t)(20 + payload));
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, "\xc0\0\x02\x01\xc0\0\x02\x02", 8);
	psp_put16(ip + 10, (uint16_t)~naive_sum(ip, 20));
}

static uint8_t *icmp_of(bool v6)
{
	return buf + DP_HEADROOM + ETH + (v6 ? 40 : 20);
}

/* The report, its checksum right whatever was changed in it. */
static bool read(bool v6, uint32_t quoted, struct dp_path_mtu *out)
{
	uint8_t *frame = buf + DP_HEADROOM, *ip = frame + ETH, *icmp = icmp_of(v6);
	uint32_t len = 8 + (v6 ? 40u : 20u) + quoted, sum;
	struct dp_packet packet = {.frame = frame, .port = UPLINK};

	put_header(ip, v6, v6 ? 58 : 1, len);
	psp_put16(frame + 12, v6 ? 0x86dd : 0x0800);
	psp_put16(icmp + 2, 0);
	if (v6) {
		sum = naive_l4(ip, 58, icmp, len);
	} else {
		sum = naive_sum(icmp, len);
	}
	psp_put16(icmp + 2, (uint16_t)~sum);
	packet.len = ETH + (v6 ? 40u : 20u) + len;
	return dp_parse(&packet) && dp_path_mtu_read(&packet, out);
}

static void make(bool v6)
{
	uint8_t *icmp = icmp_of(v6), *quote = icmp + 8, *udp = quote + (v6 ? 40 : 20);

	memset(buf, 0, sizeof(buf));
	icmp[0] = v6 ? 2 : 3;
	icmp[1] = v6 ? 0 : 4;
	if (v6)
		psp_put32(icmp + 4, 1400);
	else
		psp_put16(icmp + 6, 1400);
	put_header(quote, v6, 17, 1400);
	psp_put16(udp, 50000);
	psp_put16(udp + 2, PSP_UDP_PORT);
	psp_put16(udp + 4, 1400);
	psp_put32(udp + 8 + 4, SPI);
}

static void a_report_says_which_packet_and_how_much_fits(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		struct dp_path_mtu got;

		make(v6 != 0);
		CHECK(read(v6 != 0, QUOTED, &got));
		CHECK_EQ(got.mtu, 1400);
		CHECK_EQ(got.spi, SPI);
		if (v6 != 0) {
			CHECK_EQ(got.src[15], 1);
			CHECK_EQ(got.dst[15], 2);
		} else {
			CHECK_MEM(got.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01", 16);
			CHECK_MEM(got.dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x02", 16);
		}
	}
}

static void a_quote_that_ends_before_the_spi_is_nothing(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		struct dp_path_mtu got;

		make(v6 != 0);
		CHECK(read(v6 != 0, 16, &got));
		for (uint32_t n = 0; n < 16; n++)
			CHECK(!read(v6 != 0, n, &got));
	}
}

static void what_is_no_report_of_ours_is_nothing(void)
{
	struct dp_path_mtu got;

	for (uint32_t v6 = 0; v6 < 2; v6++) {
		bool six = v6 != 0;
		uint8_t *icmp = icmp_of(six), *quote = icmp + 8, *udp = quote + (six ? 40 : 20);

		for (uint32_t type = 0; type < 256; type++) {
			make(six);
			icmp[0] = (uint8_t)type;
			CHECK_EQ(read(six, QUOTED, &got), type == (six ? 2 : 3));
		}
		make(six);
		psp_put16(udp + 2, 1001);
		CHECK(!read(six, QUOTED, &got));
		make(six);
		quote[six ? 6 : 9] = 6;
		CHECK(!read(six, QUOTED, &got));
		make(six);
		quote[0] = six ? 0x45 : 0x60;
		CHECK(!read(six, QUOTED, &got));
	}
	make(false);
	icmp_of(false)[1] = 1;
	CHECK(!read(false, QUOTED, &got));
	make(false);
	psp_put16(icmp_of(false) + 8 + 6, 1); /* a later fragment has no UDP header */
	CHECK(!read(false, QUOTED, &got));
	make(false);
	icmp_of(false)[8] = 0x44;
	CHECK(!read(false, QUOTED, &got));
}

static void a_wrong_checksum_is_nothing(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		struct dp_packet packet = {.frame = buf + DP_HEADROOM, .port = UPLINK};
		struct dp_path_mtu got;

		make(v6 != 0);
		CHECK(read(v6 != 0, QUOTED, &got));
		icmp_of(v6 != 0)[8 + 50] ^= 1;
		packet.len = ETH + (v6 != 0 ? 80u : 40u) + 8 + QUOTED;
		CHECK(dp_parse(&packet));
		CHECK(!dp_path_mtu_read(&packet, &got));
	}
}

int main(void)
{
	RUN(a_report_says_which_packet_and_how_much_fits);
	RUN(a_quote_that_ends_before_the_spi_is_nothing);
	RUN(what_is_no_report_of_ours_is_nothing);
	RUN(a_wrong_checksum_is_nothing);
	return test_summary();
}
