/* SPDX-License-Identifier: Apache-2.0 */
#include "../common/net.h"
#include "soft_packet_frames.h"

static uint8_t buf[BUF_LEN];

static bool parse(struct dp_packet *packet, const struct frame_spec *spec)
{
	make_frame(packet, buf, spec);
	return dp_parse(packet);
}

static void tcp_over_ipv4(void)
{
	struct frame_spec spec = {.payload = 100, .tcp_opts = 12};
	struct dp_packet p;

	CHECK(parse(&p, &spec));
	CHECK_EQ(p.fields.size, sizeof(struct psp_dp_match));
	CHECK_EQ(p.fields.parser_meta_port_id, HOST);
	CHECK_EQ(p.fields.parser_meta_outer_l3_type, PSP_DP_L3_IPV4);
	CHECK_EQ(p.fields.parser_meta_outer_l4_type, PSP_DP_L4_TCP);
	CHECK_EQ(p.fields.outer_eth_type, 0x0800);
	CHECK_EQ(p.fields.outer_ip_proto, 6);
	CHECK_EQ(p.fields.outer_l4_src_port, 40000);
	CHECK_EQ(p.fields.outer_l4_dst_port, 5001);
	CHECK_MEM(p.fields.outer_ip_src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	CHECK_MEM(p.fields.outer_ip_dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2", 16);
	CHECK_EQ(p.l3_off, 14);
	CHECK_EQ(p.l4_off, 34);
	CHECK_EQ(p.payload_off, 34 + 32);
	CHECK_EQ(dp_segments(&p), 1);
	CHECK(!p.fragment);
}

static void options_and_extension_headers_are_stepped_over(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		struct frame_spec spec = {
			.v6 = v6 != 0, .proto = 17, .options = 40, .payload = 5, .dst_port = 67};
		struct dp_packet p;

		CHECK(parse(&p, &spec));
		CHECK_EQ(p.l4_off, 14 + (v6 != 0 ? 80 : 60));
		CHECK_EQ(p.payload_off, p.l4_off + 8);
		CHECK_EQ(p.fields.parser_meta_outer_l4_type, PSP_DP_L4_UDP);
		CHECK_EQ(p.fields.outer_ip_proto, 17);
		CHECK_EQ(p.fields.outer_l4_dst_port, 67);
	}
}

static void a_fragment_has_no_ports(void)
{
	static const uint16_t words[] = {0x2000, 0x0001, 0x3ff0};

	for (uint32_t i = 0; i < 2 * 3; i++) {
		struct frame_spec spec = {.v6 = i >= 3,
					  .proto = 17,
					  .dst_port = PSP_UDP_PORT,
					  .frag = words[i % 3],
					  .payload = 48};
		struct dp_packet p;

		CHECK(parse(&p, &spec));
		CHECK(p.fragment);
		CHECK_EQ(p.fields.outer_l4_src_port, 0);
		CHECK_EQ(p.fields.outer_l4_dst_port, 0);
		CHECK_EQ(p.fields.tun_psp_spi, 0);
		CHECK_EQ(p.fields.outer_ip_proto, 17);
		CHECK_EQ(p.payload_off, p.l4_off);
	}
	/* Don't fragment is not a fragment. */
	CHECK(parse(&(struct dp_packet){0}, &(struct frame_spec){.frag = 0x4000}));
}

static void icmp_has_a_type(void)
{
	struct dp_packet p;

	CHECK(parse(&p, &(struct frame_spec){.proto = 1}));
	CHECK_EQ(p.fields.outer_icmp_type, 8);
	CHECK_EQ(p.fields.parser_meta_outer_l4_type, PSP_DP_L4_ICMP);
	CHECK(parse(&p, &(struct frame_spec){.proto = 58, .v6 = true}));
	CHECK_EQ(p.fields.parser_meta_outer_l4_type, PSP_DP_L4_ICMP6);
	/* ICMPv6 over IPv4 is no ICMP that anybody answers. */
	CHECK(parse(&p, &(struct frame_spec){.proto = 58}));
	CHECK_EQ(p.fields.parser_meta_outer_l4_type, PSP_DP_L4_NONE);
}

static void arp_and_unknown_types_have_no_l3(void)
{
	struct dp_packet p = {.frame = buf, .len = 60};

	memset(buf, 0, 60);
	psp_put16(buf + 12, 0x0806);
	CHECK(dp_parse(&p));
	CHECK_EQ(p.fields.outer_eth_type, 0x0806);
	CHECK_EQ(p.fields.parser_meta_outer_l3_type, PSP_DP_L3_NONE);
	p.len = 41;
	CHECK(!dp_parse(&p));
	psp_put16(buf + 12, 0x8100);
	CHECK(dp_parse(&p));
	CHECK_EQ(p.fields.outer_eth_type, 0x8100);
	p.gso = DP_GSO_TCP4;
	p.gso_size = 10;
	CHECK(!dp_parse(&p));
	p.len = 13;
	CHECK(!dp_parse(&p));
}

static void ethernet_padding_is_cut(void)
{
	struct frame_spec spec = {.proto = 17, .payload = 3};
	struct dp_packet p;

	make_frame(&p, buf, &spec);
	p.len = 60;
	CHECK(dp_parse(&p));
	CHECK_EQ(p.len, 14 + 20 + 8 + 3);
}

static void a_psp_packet_shows_its_header(void)
{
	struct frame_spec spec = {.proto = 17, .dst_port = PSP_UDP_PORT, .payload = 60};
	struct dp_packet p;
	uint8_t *psp;

	make_frame(&p, buf, &spec);
	psp = p.frame + 42;
	memcpy(psp, "\x04\x02\x02\x83\x92\x34\x56\x78\0\0\0\0\0\0\0\7\1\2\3\4\5\6\7\x08", 24);
	CHECK(dp_parse(&p));
	CHECK_EQ(p.fields.tun_psp_nexthdr, 4);
	CHECK_EQ(p.fields.tun_psp_hdrextlen, 2);
	CHECK_EQ(p.fields.tun_psp_res_cryptofst, 2);
	CHECK_EQ(p.fields.tun_psp_s_d_ver_v, 0x83);
	CHECK_EQ(p.fields.tun_psp_spi, 0x92345678u);
	CHECK_EQ(p.fields.tun_psp_vc, 0x0102030405060708u);
	psp[2] = 1; /* half of the VC is sealed */
	CHECK(dp_parse(&p));
	CHECK_EQ(p.fields.tun_psp_vc, 0);
	psp[2] = 2;
	psp[3] = 0x81; /* V is 0 */
	CHECK(dp_parse(&p));
	CHECK_EQ(p.fields.tun_psp_vc, 0);
}

static void super_frames_are_counted_and_checked(void)
{
	struct frame_spec spec = {.payload = 64000, .gso_size = 1448, .partial = true};
	struct dp_packet p;

	CHECK(parse(&p, &spec));
	CHECK_EQ(dp_segments(&p), 45);
	p.gso = DP_GSO_TCP6;
	CHECK(!dp_parse(&p));
	p.gso = DP_GSO_UDP;
	CHECK(!dp_parse(&p));
	p.gso = 9;
	CHECK(!dp_parse(&p));
	p.gso = DP_GSO_TCP4;
	p.csum_offset = 6;
	CHECK(!dp_parse(&p));
	p.csum_offset = 16;
	p.gso_size = 0;
	CHECK(!dp_parse(&p));
	spec.payload = 0;
	CHECK(!parse(&p, &spec));
	spec = (struct frame_spec){.payload = 100, .partial = true};
	CHECK(parse(&p, &spec));
	p.csum_start = (uint16_t)(p.len - 1);
	CHECK(!dp_parse(&p));
	p.csum_start = 20;
	CHECK(!dp_parse(&p));
}

static void the_hash_tells_flows_apart(void)
{
	struct frame_spec spec = {0};
	struct dp_packet p;
	uint32_t first, ports = 0;
	bool seen[64] = {false};

	CHECK(parse(&p, &spec));
	first = dp_flow_hash(&p);
	spec.payload = 9;
	spec.seq = 77;
	CHECK(parse(&p, &spec));
	CHECK_EQ(dp_flow_hash(&p), first);
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t slot;

		spec.dst_port = (uint16_t)(6000 + i);
		CHECK(parse(&p, &spec));
		slot = dp_flow_hash(&p) & 63;
		ports += seen[slot] ? 0 : 1;
		seen[slot] = true;
	}
	CHECK(ports >= 58); /* 64 balls in 64 bins, four times: 63 are hit on average */
}

/* As ::ffff:10.0.0.2 it would match what is for 10.0.0.2. */
static void ipv6_with_an_ipv4_address_inside_is_malformed(void)
{
	for (uint32_t at = 8; at <= 24; at += 16) {
		struct frame_spec spec = {.v6 = true, .proto = 17, .payload = 4};
		struct dp_packet p;
		struct dp_ip inner;
		uint8_t *address;

		make_frame(&p, buf, &spec);
		address = p.frame + 14 + at;
		memcpy(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2", 16);
		CHECK(!dp_parse(&p));
		CHECK(!dp_ip_read(p.frame + 14, p.len - 14, &inner));
		address[10] = 0xfe;
		CHECK(dp_ip_read(p.frame + 14, p.len - 14, &inner));
	}
}

static void a_group_sends_nothing(void)
{
	struct dp_packet p;

	make_frame(&p, buf, &(struct frame_spec){.proto = 17});
	p.frame[6] |= 1;
	CHECK(!dp_parse(&p));
}

/* What Linux sends with its least MSS and timestamps is a super-frame; what has a packet for each octet is none. */
static void a_super_frame_has_no_more_packets_than_a_host_makes(void)
{
	static const uint16_t sizes[] = {36, 32, 31, 8, 1};

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct frame_spec spec = {.payload = 64000, .gso_size = sizes[i], .partial = true};
		struct dp_packet p;

		CONTEXT("%u octets each", sizes[i]);
		CHECK_EQ(parse(&p, &spec), 64000 / sizes[i] <= 2048);
	}
}

int main(void)
{
	RUN(a_super_frame_has_no_more_packets_than_a_host_makes);
	RUN(tcp_over_ipv4);
	RUN(options_and_extension_headers_are_stepped_over);
	RUN(a_fragment_has_no_ports);
	RUN(icmp_has_a_type);
	RUN(arp_and_unknown_types_have_no_l3);
	RUN(ethernet_padding_is_cut);
	RUN(a_psp_packet_shows_its_header);
	RUN(super_frames_are_counted_and_checked);
	RUN(the_hash_tells_flows_apart);
	RUN(ipv6_with_an_ipv4_address_inside_is_malformed);
	RUN(a_group_sends_nothing);
	return test_summary();
}
