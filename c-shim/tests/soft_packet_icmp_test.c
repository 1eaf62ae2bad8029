/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a packet that is too long, and of which packets nothing is told. */
#include "../common/csum.h"
#include "../common/net.h"
#include "soft_packet_frames.h"

static uint8_t in_buf[BUF_LEN], buf[BUF_LEN];
static struct dp_packet packet, told;

static bool tell(const struct frame_spec *spec, uint32_t mtu)
{
	make_frame(&packet, in_buf, spec);
	return dp_parse(&packet) && soft_too_big(&packet, mtu, buf, &told);
}

static void the_error_goes_back_whole_and_sound(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		const uint32_t ip_len = v6 ? NET_IP6_LEN : NET_IP4_LEN;
		const uint32_t src = v6 ? NET_IP6_SRC : NET_IP4_SRC, octets = v6 ? 16 : 4;
		const uint8_t *ip, *of, *icmp;
		uint32_t len;

		CONTEXT("IPv%u", v6 ? 6 : 4);
		CHECK(tell(&(struct frame_spec){.payload = 1400, .v6 = v6 != 0}, 1300));
		ip = told.frame + NET_ETH_LEN;
		of = packet.frame + NET_ETH_LEN;
		icmp = ip + ip_len;
		len = told.len - NET_ETH_LEN - ip_len;
		CHECK_EQ(told.len - NET_ETH_LEN, v6 ? 1280 : 576);
		CHECK_MEM(told.frame, packet.frame + 6, 6);
		CHECK_MEM(told.frame + 6, packet.frame, 6);
		CHECK_MEM(ip + src, of + src + octets, octets);
		CHECK_MEM(ip + src + octets, of + src, octets);
		CHECK_EQ(psp_get16(icmp), v6 ? 0x0200 : 0x0304);
		CHECK_EQ(psp_get32(icmp + 4), 1300);
		CHECK_MEM(icmp + 8, of, len - 8);
		CHECK_EQ(dp_csum_fold(dp_csum_add(v6 ? dp_csum_pseudo(ip, NET_PROTO_ICMP6, len) : 0,
						  icmp, len)),
			 0xffff);
	}
}

static void a_short_packet_is_quoted_to_its_end(void)
{
	CHECK(tell(&(struct frame_spec){.payload = 101}, 68));
	CHECK_EQ(told.len, packet.len + NET_IP4_LEN + 8);
	CHECK_MEM(told.frame + NET_ETH_LEN + NET_IP4_LEN + 8, packet.frame + NET_ETH_LEN,
		  packet.len - NET_ETH_LEN);
}

/* RFC 1122, 3.2.2; RFC 4443, 2.4 (e). */
static void of_errors_and_later_fragments_nothing_is_told(void)
{
	CHECK(!tell(&(struct frame_spec){.payload = 1400, .frag = 100}, 1300));
	CHECK(tell(&(struct frame_spec){.payload = 1400, .frag = 0x2000}, 1300));
	for (uint32_t type = 0; type < 256; type++) {
		const bool query = type == 0 || type == 8 || type == 13 || type == 14;

		CONTEXT("ICMP type %u", type);
		make_frame(&packet, in_buf, &(struct frame_spec){.payload = 1400, .proto = 1});
		packet.frame[NET_ETH_LEN + NET_IP4_LEN] = (uint8_t)type;
		CHECK(dp_parse(&packet));
		CHECK_EQ(soft_too_big(&packet, 1300, buf, &told), query);
		CONTEXT("ICMPv6 type %u", type);
		make_frame(&packet, in_buf,
			   &(struct frame_spec){.payload = 1400, .proto = 58, .v6 = true});
		packet.frame[NET_ETH_LEN + NET_IP6_LEN] = (uint8_t)type;
		CHECK(dp_parse(&packet));
		CHECK_EQ(soft_too_big(&packet, 1300, buf, &told), type >= 128);
	}
	make_frame(&packet, in_buf, &(struct frame_spec){.payload = 1400});
	psp_put16(packet.frame + NET_ETH_TYPE, NET_TYPE_ARP);
	CHECK(dp_parse(&packet));
	CHECK(!soft_too_big(&packet, 1300, buf, &told));
}

int main(void)
{
	RUN(the_error_goes_back_whole_and_sound);
	RUN(a_short_packet_is_quoted_to_its_end);
	RUN(of_errors_and_later_fragments_nothing_is_told);
	return test_summary();
}
