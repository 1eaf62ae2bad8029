/* SPDX-License-Identifier: Apache-2.0 */
/* Super-frames of a workload's own tunnel, cut into their packets. */
#include "../common/net.h"
#include "soft_packet_frames.h"

#define VXLAN_LEN 8u

static uint8_t inner_buf[BUF_LEN], whole_buf[BUF_LEN], piece_buf[BUF_LEN];

/* What is around the inner packet. */
struct around {
	bool v6;
	bool bare; /* IP in IP; else VXLAN */
	bool csum; /* of the outer UDP header */
};

/* Octets in front of the inner IP header. */
static uint32_t put_around(const struct around *around, uint8_t *frame, uint32_t inner_len,
			   bool inner_v6)
{
	const uint32_t between = around->bare ? 0 : NET_UDP_LEN + VXLAN_LEN + NET_ETH_LEN;
	const struct frame_spec spec = {.v6 = around->v6, .id = 7};
	const uint8_t next = inner_v6 ? NET_PROTO_IPV6 : NET_PROTO_IPIP;
	uint8_t *ip = frame + NET_ETH_LEN, *udp;

	memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	psp_put16(frame + NET_ETH_TYPE, around->v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	udp = ip + put_ip(ip, &spec, around->bare ? next : NET_PROTO_UDP, between + inner_len);
	if (around->bare)
		return (uint32_t)(udp - frame);
	memset(udp, 0, between);
	psp_put16(udp + NET_UDP_SRC, 50000);
	psp_put16(udp + NET_UDP_DST, 4789);
	psp_put16(udp + NET_UDP_LENGTH, (uint16_t)(between + inner_len));
	/* Partial, as the kernel leaves it. */
	if (around->csum)
		psp_put16(udp + NET_UDP_CSUM, 0x1234);
	udp[NET_UDP_LEN] = 0x08;
	psp_put16(udp + NET_UDP_LEN + VXLAN_LEN + NET_ETH_TYPE,
		  inner_v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	return (uint32_t)(udp - frame) + between;
}

static void wrap(const struct around *around, const struct frame_spec *spec,
		 struct dp_packet *inner, struct dp_packet *whole)
{
	uint8_t *frame = whole_buf + DP_HEADROOM;
	uint32_t len, before;

	make_frame(inner, inner_buf, spec);
	len = inner->len - NET_ETH_LEN;
	before = put_around(around, frame, len, spec->v6);
	memcpy(frame + before, inner->frame + NET_ETH_LEN, len);
	*whole = *inner;
	whole->frame = frame;
	whole->len = before + len;
	whole->csum_start = (uint16_t)(inner->csum_start + before - NET_ETH_LEN);
}

static void expect_piece(const struct around *around, const struct dp_packet *inner,
			 const struct soft_tunnelled *how, uint32_t nth,
			 const struct dp_packet *piece)
{
	const struct dp_packet outer = *piece;
	const uint8_t *udp = outer.frame + outer.l4_off;
	const uint32_t head = how->payload_off - how->l3_off;
	const uint32_t payload = inner->len - NET_ETH_LEN - head, off = nth * inner->gso_size;
	const uint32_t len =
		payload - off < inner->gso_size ? payload - off : (uint32_t)inner->gso_size;
	struct dp_packet one = outer;

	CHECK_EQ(outer.len, how->payload_off + len);
	if (!around->bare) {
		CHECK_EQ(psp_get16(udp + NET_UDP_LENGTH), outer.len - outer.l4_off);
		CHECK_EQ(psp_get16(udp + NET_UDP_CSUM) != 0, around->csum);
	}
	if (!around->bare && around->csum)
		CHECK_EQ(naive_l4(outer.frame + NET_ETH_LEN, 17, udp, outer.len - outer.l4_off),
			 0xffff);
	if (!around->v6)
		CHECK_EQ(psp_get16(outer.frame + NET_ETH_LEN + NET_IP4_ID), 7 + nth);
	/* The inner packet as a frame of its own: what is in front of it is passed over. */
	one.frame = outer.frame + how->l3_off - NET_ETH_LEN;
	one.len = outer.len - (how->l3_off - NET_ETH_LEN);
	psp_put16(one.frame + NET_ETH_TYPE,
		  (one.frame[NET_ETH_LEN] >> 4) == 6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	memset(one.frame, 2, NET_ETH_TYPE);
	CHECK(dp_parse(&one));
	CHECK_EQ(one.len, NET_ETH_LEN + head + len);
	CHECK_EQ(naive_l4(one.frame + NET_ETH_LEN, one.fields.outer_ip_proto,
			  one.frame + one.l4_off, one.len - one.l4_off),
		 0xffff);
	if (one.fields.outer_ip_proto == NET_PROTO_TCP)
		CHECK_EQ(psp_get32(one.frame + one.l4_off + NET_TCP_SEQ), 1000 + off);
	CHECK_MEM(one.frame + one.payload_off, inner->frame + NET_ETH_LEN + head + off, len);
}

static void every_packet_is_whole_and_sound(void)
{
	for (uint32_t form = 0; form < 64; form++) {
		const struct around around = {
			.v6 = (form & 1) != 0, .bare = (form & 2) != 0, .csum = (form & 4) != 0};
		const struct frame_spec spec = {.v6 = (form & 8) != 0,
						.proto = (form & 16) != 0 ? 17 : 6,
						.options = (form & 40) == 32 ? 8u : 0u,
						.seq = 1000,
						.id = 3,
						.payload = 5000,
						.gso_size = 1300,
						.partial = true};
		struct dp_packet inner, whole, piece;
		struct soft_tunnelled how;

		CONTEXT("form %u", form);
		wrap(&around, &spec, &inner, &whole);
		CHECK(!dp_parse(&whole));
		CHECK(soft_tunnelled_read(&whole, &how));
		CHECK_EQ(how.count, 4);
		CHECK_EQ(how.udp, !around.bare);
		for (uint32_t i = 0; i < how.count; i++) {
			soft_tunnelled_packet(&whole, &how, i, piece_buf, &piece);
			CHECK(dp_parse(&piece));
			SUB(expect_piece(&around, &inner, &how, i, &piece));
		}
	}
}

/* Whatever a workload's driver says: nothing is read beyond the frame, and nothing is made of contradictions. */
static void what_contradicts_itself_is_none(void)
{
	const struct around around = {.csum = true};
	const struct frame_spec spec = {.payload = 3000, .gso_size = 1000, .partial = true};
	struct dp_packet inner, whole;
	struct soft_tunnelled how;

	for (uint32_t start = 0; start < 0x10000; start++) {
		wrap(&around, &spec, &inner, &whole);
		CHECK(!dp_parse(&whole));
		CONTEXT("csum_start %u", start);
		if (start == whole.csum_start)
			continue;
		whole.csum_start = (uint16_t)start;
		CHECK(!soft_tunnelled_read(&whole, &how));
	}
	wrap(&around, &spec, &inner, &whole);
	CHECK(!dp_parse(&whole));
	whole.csum_offset = NET_UDP_CSUM;
	CHECK(!soft_tunnelled_read(&whole, &how));
	wrap(&around, &spec, &inner, &whole);
	CHECK(!dp_parse(&whole));
	whole.gso_size = 1;
	CHECK(!soft_tunnelled_read(&whole, &how));
	wrap(&around, &spec, &inner, &whole);
	CHECK(!dp_parse(&whole));
	whole.frame[whole.csum_start + NET_TCP_OFFSET] = 0x10;
	CHECK(!soft_tunnelled_read(&whole, &how));
	/* A plain super-frame is none. */
	make_frame(&inner, inner_buf, &spec);
	CHECK(dp_parse(&inner));
	CHECK(!soft_tunnelled_read(&inner, &how));
}

/* What was wrong about the headers of all is wrong about those of each. */
static void a_wrong_header_checksum_stays_wrong(void)
{
	const struct frame_spec spec = {.payload = 3000, .gso_size = 1000, .partial = true};
	struct dp_packet inner, whole, piece;
	struct soft_tunnelled how;

	wrap(&(struct around){0}, &spec, &inner, &whole);
	whole.frame[NET_ETH_LEN + NET_IP4_CSUM] ^= 1;
	CHECK(!dp_parse(&whole));
	if (!soft_tunnelled_read(&whole, &how))
		return;
	soft_tunnelled_packet(&whole, &how, 0, piece_buf, &piece);
	CHECK(!dp_parse(&piece));
}

int main(void)
{
	RUN(every_packet_is_whole_and_sound);
	RUN(what_contradicts_itself_is_none);
	RUN(a_wrong_header_checksum_stays_wrong);
	return test_summary();
}
