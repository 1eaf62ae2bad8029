/* SPDX-License-Identifier: Apache-2.0 */
#include "soft_packet_frames.h"

static uint8_t in_bufs[128][BUF_LEN], join_buf[BUF_LEN];
static struct sent sent;
static struct soft_arena out_arena = {join_buf, sizeof(join_buf)};
static struct soft_out out = {&out_arena, collect, &sent, NULL};
static struct soft_join join;

/* Frames stay where they are until the joiner is flushed. */
static uint8_t *fresh(void)
{
	static uint32_t n;

	return in_bufs[n++ % 128];
}

static void reset(void)
{
	out_arena = (struct soft_arena){join_buf, sizeof(join_buf)};
	sent_clear(&sent);
	join = (struct soft_join){.out = &out};
}

static bool add(const struct frame_spec *spec)
{
	struct dp_packet p;

	make_frame(&p, fresh(), spec);
	return dp_parse(&p) && soft_join_add(&join, &p) == PSP_DP_OK;
}

/* Frames as they left, each by its number of segments: "3 1 1". */
static const char *shape(void)
{
	static char text[512];
	size_t at = 0;

	(void)soft_join_flush(&join);
	text[0] = 0;
	for (uint32_t i = 0; i < sent.count && at < sizeof(text) - 8; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u", i == 0 ? "" : " ",
				       dp_segments(&sent.packets[i]));
	return text;
}

#define CHECK_SHAPE(want)                                                                          \
	do {                                                                                       \
		const char *got_ = shape();                                                        \
		if (strcmp(got_, want) != 0)                                                       \
			TEST_FAIL("frames are \"%s\", not \"%s\"", got_, want);                    \
	} while (0)

static struct frame_spec seg(uint32_t n)
{
	return (struct frame_spec){.payload = 100, .seq = 5000 + n * 100, .tcp_opts = 12};
}

static void segments_in_order_become_one(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		const struct dp_packet *p;
		const uint8_t *ip, *tcp;
		uint32_t len, sum;

		reset();
		for (uint32_t i = 0; i < 10; i++) {
			struct frame_spec spec = seg(i);

			spec.v6 = v6 != 0;
			spec.id = (uint16_t)(i * 77); /* of no concern */
			CHECK(add(&spec));
		}
		CHECK_EQ(sent.count, 0);
		CHECK_SHAPE("10");
		p = &sent.packets[0];
		ip = p->frame + ETH;
		tcp = p->frame + p->l4_off;
		len = p->len - p->l4_off;
		CHECK_EQ(p->gso, v6 != 0 ? DP_GSO_TCP6 : DP_GSO_TCP4);
		CHECK_EQ(p->gso_size, 100);
		CHECK_EQ(len, 32 + 1000);
		CHECK(p->needs_csum);
		CHECK_EQ(p->csum_start, p->l4_off);
		CHECK_EQ(p->csum_offset, 16);
		sum = naive_l4(ip, 6, tcp, 0) + len;
		CHECK_EQ(psp_get16(tcp + 16), (sum & 0xffff) + (sum >> 16));
		if (v6 != 0) {
			CHECK_EQ(psp_get16(ip + 4), len);
		} else {
			CHECK_EQ(psp_get16(ip + 2), p->len - ETH);
			CHECK_EQ(naive_sum(ip, 20), 0xffff);
		}
		for (uint32_t i = 0; i < 1000; i++)
			CHECK_EQ(tcp[32 + i], payload_octet(i % 100));
	}
}

static void a_lone_segment_leaves_as_it_came(void)
{
	struct frame_spec spec = seg(0);
	struct dp_packet p;

	reset();
	CHECK(add(&spec));
	CHECK_SHAPE("1");
	make_frame(&p, fresh(), &spec);
	CHECK_EQ(sent.packets[0].gso, DP_GSO_NONE);
	CHECK(!sent.packets[0].needs_csum);
	CHECK_EQ(sent.packets[0].len, p.len);
	CHECK_MEM(sent.packets[0].frame, p.frame, p.len);
}

static void push_and_fin_close(void)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct frame_spec last = seg(2), more = seg(3);

		last.flags = i == 0 ? 0x18 : 0x11;
		reset();
		CHECK(add(&(struct frame_spec){.payload = 100, .seq = 5000, .tcp_opts = 12}));
		CHECK(add(&(struct frame_spec){.payload = 100, .seq = 5100, .tcp_opts = 12}));
		CHECK(add(&last));
		CHECK_EQ(sent.count, 1);
		CHECK_EQ(sent.packets[0].frame[sent.packets[0].l4_off + 13], last.flags);
		CHECK(add(&more));
		CHECK_SHAPE("3 1");
		/* Alone, it needs no joining. */
		reset();
		CHECK(add(&last));
		CHECK_EQ(sent.count, 1);
	}
}

static void a_short_segment_closes_and_a_long_one_starts_anew(void)
{
	struct frame_spec a = seg(0), b = seg(1), c = seg(2);

	reset();
	b.payload = 99;
	c.seq = 5199;
	CHECK(add(&a) && add(&b) && add(&c));
	CHECK_SHAPE("2 1");
	reset();
	b = seg(1);
	b.payload = 101;
	c.seq = 5201;
	CHECK(add(&a) && add(&b) && add(&c));
	CHECK_SHAPE("1 2");
}

static void order_is_kept_whatever_comes(void)
{
	struct frame_spec odd[] = {
		seg(3),                           /* a hole */
		seg(1),                           /* from the past */
		{.payload = 0, .seq = 5200},      /* an ACK */
		{.proto = 17, .payload = 100},    /* UDP */
		{.proto = 1, .payload = 8},       /* ICMP */
		{.payload = 100, .frag = 0x2000}, /* a fragment */
		{.payload = 100, .seq = 5200, .flags = 0x02},
		{.payload = 100, .seq = 5200, .flags = 0x14},
		{.payload = 100, .seq = 5200, .flags = 0x30},
		{.payload = 100, .seq = 5200, .flags = 0x90},
		{.payload = 100, .seq = 5200, .flags = 0x50},
		{.payload = 100, .seq = 5200, .options = 4, .tcp_opts = 12},
		{.payload = 100, .seq = 5200, .options = 8, .tcp_opts = 12, .v6 = true},
	};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct frame_spec a = seg(0), b = seg(1), c = seg(9);
		struct dp_packet p;

		CONTEXT("row %zu", i);
		reset();
		CHECK(add(&a) && add(&b) && add(&odd[i]) && add(&c));
		CHECK_SHAPE("2 1 1");
		make_frame(&p, fresh(), &odd[i]);
		CHECK_EQ(sent.packets[1].len, p.len);
		CHECK_MEM(sent.packets[1].frame, p.frame, p.len);
	}
}

static void what_differs_in_its_headers_is_not_joined(void)
{
	/* An octet of the frame that is another one in the second segment; 0: nothing differs. */
	static const struct {
		uint8_t at, joins;
		const char *what;
	} rows[] = {
		{0, 1, "MAC"},      {6, 1, "source MAC"},   {15, 1, "TOS"},
		{18, 0, "id"},      {20, 1, "DF"},          {22, 1, "TTL"},
		{29, 1, "source"},  {33, 1, "destination"}, {34, 1, "port"},
		{36, 1, "port"},    {45, 1, "ACK"},         {49, 0, "window: the newest counts"},
		{54, 1, "options"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame_spec a = seg(0), b = seg(1);
		struct dp_packet p;
		uint8_t *tcp;

		CONTEXT("%s", rows[i].what);
		reset();
		CHECK(add(&a));
		make_frame(&p, fresh(), &b);
		p.frame[rows[i].at] ^= 0x40;
		tcp = p.frame + 34;
		put_v4_csum(p.frame + ETH);
		psp_put16(tcp + 16, 0);
		psp_put16(tcp + 16, (uint16_t)~naive_l4(p.frame + ETH, 6, tcp, p.len - 34));
		CHECK(dp_parse(&p));
		CHECK_EQ(soft_join_add(&join, &p), PSP_DP_OK);
		if (rows[i].joins == 0)
			CHECK_SHAPE("2");
		else
			CHECK_SHAPE("1 1");
		if (rows[i].at == 49)
			CHECK_EQ(sent.packets[0].frame[49], 501 % 256 ^ 0x40);
	}
}

/* Joining makes a checksum of its own: a segment that was damaged before it was sealed must keep its wrong one. */
static void a_wrong_checksum_is_passed_on_as_it_is(void)
{
	struct frame_spec a = seg(0), b = seg(1), c = seg(2);
	struct dp_packet p;

	reset();
	CHECK(add(&a));
	make_frame(&p, fresh(), &b);
	p.frame[p.len - 1] ^= 1;
	CHECK(dp_parse(&p));
	CHECK_EQ(soft_join_add(&join, &p), PSP_DP_OK);
	CHECK(add(&c));
	CHECK_SHAPE("1 1 1");
	CHECK(naive_l4(sent.packets[1].frame + ETH, 6, sent.packets[1].frame + 34,
		       sent.packets[1].len - 34) != 0xffff);
}

/* The headers of the next packet of a super-frame are written over the end of each. */
static void what_will_be_overwritten_is_kept(void)
{
	static const uint32_t tails[] = {1, 26, 46, 100, 101, 120};

	for (uint32_t i = 0; i < 2 * sizeof(tails) / sizeof(tails[0]); i++) {
		struct frame_spec spec = seg(0);
		struct dp_packet p;

		CONTEXT("%u octets, %s", tails[i / 2], i % 2 != 0 ? "UDP" : "TCP");
		reset();
		spec.proto = i % 2 != 0 ? 17 : 0;
		for (uint32_t k = 0; k < 5; k++) {
			spec.seq = seg(k).seq;
			make_frame(&p, fresh(), &spec);
			CHECK(dp_parse(&p));
			p.tail = (uint16_t)tails[i / 2];
			CHECK_EQ(soft_join_add(&join, &p), PSP_DP_OK);
			memset(p.frame + p.len - p.tail, 0xee, p.tail);
		}
		CHECK_SHAPE("5");
		for (uint32_t k = 0; k < 500; k++)
			CHECK_EQ(sent.packets[0].frame[sent.packets[0].payload_off + k],
				 payload_octet(k % 100));
	}
}

static struct frame_spec datagram(uint32_t payload)
{
	return (struct frame_spec){.proto = 17, .payload = payload};
}

static void datagrams_of_a_size_become_one(void)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		struct frame_spec spec = datagram(18);
		const struct dp_packet *p = &sent.packets[0];
		const uint8_t *ip, *udp;
		uint32_t sum;

		reset();
		spec.v6 = v6 != 0;
		for (uint32_t i = 0; i < 70; i++)
			CHECK(add(&spec));
		CHECK_SHAPE("64 6");
		ip = p->frame + ETH;
		udp = p->frame + p->l4_off;
		CHECK_EQ(p->gso, DP_GSO_UDP);
		CHECK_EQ(p->gso_size, 18);
		CHECK_EQ(p->len, p->payload_off + 64u * 18);
		CHECK_EQ(psp_get16(udp + 4), p->len - p->l4_off);
		CHECK(p->needs_csum && p->csum_start == p->l4_off && p->csum_offset == 6);
		sum = naive_l4(ip, 17, udp, 0) + p->len - p->l4_off;
		CHECK_EQ(psp_get16(udp + 6), (sum & 0xffff) + (sum >> 16));
		for (uint32_t i = 0; i < 64 * 18; i++)
			CHECK_EQ(udp[8 + i], payload_octet(i % 18));
	}
}

static void a_datagram_that_is_other_stays_alone(void)
{
	struct frame_spec shorter = datagram(17), longer = datagram(19), far = datagram(18),
			  empty = datagram(0), a = datagram(18);
	struct dp_packet p;

	reset();
	CHECK(add(&a) && add(&a) && add(&shorter) && add(&a) && add(&longer));
	CHECK_SHAPE("3 1 1");
	reset();
	far.dst_port = 7;
	CHECK(add(&a) && add(&far) && add(&a) && add(&empty) && add(&a));
	CHECK_SHAPE("1 1 1 1 1");
	/* Without a checksum, and with a wrong one. */
	for (uint32_t i = 0; i < 2; i++) {
		reset();
		CHECK(add(&a));
		make_frame(&p, fresh(), &a);
		psp_put16(p.frame + 40, i == 0 ? 0 : 0x1234);
		CHECK(dp_parse(&p));
		CHECK_EQ(soft_join_add(&join, &p), PSP_DP_OK);
		CHECK(add(&a));
		CHECK_SHAPE("1 1 1");
		CHECK_EQ(psp_get16(sent.packets[1].frame + 40), i == 0 ? 0 : 0x1234);
	}
}

static void a_super_frame_stays_below_64k(void)
{
	reset();
	for (uint32_t i = 0; i < 100; i++) {
		struct frame_spec spec = {.payload = 1448, .seq = i * 1448, .tcp_opts = 12};

		CHECK(add(&spec));
	}
	CHECK_SHAPE("45 45 10");
	for (uint32_t i = 0; i < sent.count; i++)
		CHECK(sent.packets[i].len <= 65535);
	reset();
	CHECK(add(&(struct frame_spec){.payload = 65535 - 14 - 40}));
	CHECK(add(&(struct frame_spec){.payload = 1, .seq = 65535 - 14 - 40}));
	CHECK_SHAPE("1 1");
}

static void sequence_numbers_wrap(void)
{
	reset();
	for (uint32_t i = 0; i < 4; i++)
		CHECK(add(&(struct frame_spec){.payload = 100, .seq = 0xffffff38u + i * 100}));
	CHECK_SHAPE("4");
}

/* A status of send comes back, and the joiner goes on. */
static int32_t refuse(void *arg, const struct soft_frame *frame)
{
	(void)frame;
	(*(uint32_t *)arg)++;
	return PSP_DP_EIO;
}

static void a_failed_send_is_reported(void)
{
	uint32_t calls = 0;
	struct soft_arena bad_arena = {join_buf, sizeof(join_buf)};
	struct soft_out bad = {&bad_arena, refuse, &calls, NULL};
	struct frame_spec a = seg(0), b = seg(5);
	struct dp_packet p;

	join = (struct soft_join){.out = &bad};
	CHECK(add(&a));
	make_frame(&p, fresh(), &b);
	CHECK(dp_parse(&p));
	CHECK_EQ(soft_join_add(&join, &p), PSP_DP_EIO);
	CHECK_EQ(soft_join_flush(&join), PSP_DP_EIO);
	CHECK_EQ(soft_join_flush(&join), PSP_DP_OK);
	CHECK_EQ(calls, 2);
}

int main(void)
{
	RUN(segments_in_order_become_one);
	RUN(a_lone_segment_leaves_as_it_came);
	RUN(push_and_fin_close);
	RUN(a_short_segment_closes_and_a_long_one_starts_anew);
	RUN(order_is_kept_whatever_comes);
	RUN(what_differs_in_its_headers_is_not_joined);
	RUN(a_wrong_checksum_is_passed_on_as_it_is);
	RUN(what_will_be_overwritten_is_kept);
	RUN(datagrams_of_a_size_become_one);
	RUN(a_datagram_that_is_other_stays_alone);
	RUN(a_super_frame_stays_below_64k);
	RUN(sequence_numbers_wrap);
	RUN(a_failed_send_is_reported);
	sent_clear(&sent);
	return test_summary();
}
