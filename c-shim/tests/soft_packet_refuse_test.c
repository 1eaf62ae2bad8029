/* SPDX-License-Identifier: Apache-2.0 */
/* What dp_parse() refuses: cut-off and contradictory frames. */
#include "soft_packet_frames.h"

static uint8_t buf[BUF_LEN];

/* Every frame cut off at every length: false, or (whole) true; no octet beyond is read (sanitizer). */
static void truncated_frames_are_refused(void)
{
	for (uint32_t i = 0; i < 16; i++) {
		struct frame_spec spec = {.v6 = (i & 1) != 0,
					  .proto = (i & 2) != 0 ? 17 : 6,
					  .options = (i & 4) != 0 ? 8 : 0,
					  .tcp_opts = (i & 8) != 0 ? 20 : 0,
					  .dst_port = PSP_UDP_PORT,
					  .payload = 40};
		struct dp_packet whole;

		make_frame(&whole, buf, &spec);
		for (uint32_t len = 0; len <= whole.len; len++) {
			struct dp_packet p = whole;
			uint8_t *copy = malloc(len + 1);
			bool got;

			CHECK(copy != NULL);
			p.frame = copy + 1;
			memcpy(p.frame, whole.frame, len);
			p.len = len;
			got = dp_parse(&p);
			free(copy);
			CONTEXT("spec %u, length %u", i, len);
			CHECK_EQ(got, len == whole.len);
		}
	}
}

/* The same, with an IP length that agrees, so that the L4 header is what is cut. */
static void truncated_packets_are_refused(void)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct frame_spec spec = {.v6 = (i & 1) != 0,
					  .proto = (i & 2) != 0 ? 17 : 6,
					  .options = (i & 4) != 0 ? 24 : 0};
		struct dp_packet whole;
		uint32_t ip = spec.v6 ? 40 : 20;

		make_frame(&whole, buf, &spec);
		for (uint32_t len = 14 + ip; len < whole.len; len++) {
			struct dp_packet p = whole;
			uint8_t *copy = malloc(len);

			CHECK(copy != NULL);
			p.frame = copy;
			memcpy(p.frame, whole.frame, len);
			p.len = len;
			if (spec.v6) {
				psp_put16(copy + 18, (uint16_t)(len - 54));
			} else {
				psp_put16(copy + 16, (uint16_t)(len - 14));
				if (len >= 14u + 20u + spec.options)
					put_v4_csum(copy + 14);
			}
			CONTEXT("spec %u, length %u", i, len);
			bool got = dp_parse(&p);
			free(copy);
			CHECK(!got);
		}
	}
}

static void contradictions_are_refused(void)
{
	/* Offset from the frame, and the octet put there. */
	static const struct {
		bool v6;
		uint8_t proto, at, octet;
		const char *what;
	} rows[] = {
		{false, 6, 14, 0x65, "version 6 as IPv4"},
		{true, 6, 14, 0x45, "version 4 as IPv6"},
		{false, 6, 14, 0x44, "IHL 4"},
		{false, 6, 14, 0x4f, "IHL 15: beyond the total length, or a bad checksum"},
		{false, 6, 17, 19, "total length below the header"},
		{false, 6, 16, 0xff, "total length above the frame"},
		{false, 6, 24, 0xaa, "header checksum"},
		{false, 6, 46, 0x40, "TCP offset 4"},
		{false, 6, 46, 0xf0, "TCP offset beyond the packet"},
		{false, 17, 39, 7, "UDP length 7"},
		{false, 17, 38, 1, "UDP length beyond the packet"},
		{true, 6, 18, 0xff, "payload length above the frame"},
		{true, 6, 20, 0, "TCP as hop-by-hop options, longer than the packet"},
		{true, 6, 20, 43, "TCP as a routing header, longer than the packet"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame_spec spec = {.v6 = rows[i].v6, .proto = rows[i].proto};
		struct dp_packet p;

		CONTEXT("%s", rows[i].what);
		make_frame(&p, buf, &spec);
		p.frame[rows[i].at] = rows[i].octet;
		CHECK(!dp_parse(&p));
	}
}

static void chains_of_extension_headers_end(void)
{
	struct dp_packet p;
	uint8_t *ip = buf + ETH;

	memset(buf, 0, 1024);
	psp_put16(buf + 12, 0x86dd);
	ip[0] = 0x60;
	psp_put16(ip + 4, 900);
	p = (struct dp_packet){.frame = buf, .len = ETH + 940};
	for (uint32_t i = 0; i < 100; i++)
		ip[40 + 8 * i] = 60; /* destination options, again and again */
	ip[6] = 60;
	CHECK(!dp_parse(&p));
	ip[40 + 8 * 7] = 59; /* the eighth says: no next header */
	CHECK(dp_parse(&p));
	CHECK_EQ(p.l4_off, 14 + 40 + 64);
	CHECK_EQ(p.fields.outer_ip_proto, 59);
}

int main(void)
{
	RUN(truncated_frames_are_refused);
	RUN(truncated_packets_are_refused);
	RUN(contradictions_are_refused);
	RUN(chains_of_extension_headers_end);
	return test_summary();
}
