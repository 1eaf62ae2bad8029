/* SPDX-License-Identifier: Apache-2.0 */
/* Seal, cut, decrypt, decapsulate and join, against what the workload sent: for every kind of tunnel. */
#include "soft_packet_key.h"

static uint8_t in_buf[BUF_LEN], out_buf[BUF_LEN], join_buf[BUF_LEN];
static struct sent wire, joined;

/* What the receiving side has seen of the packet so far. */
struct receiver {
	const struct frame_spec *spec;
	const struct encap_spec *encap_spec;
	const struct psp_dp_actions *actions;
	const struct soft_tx_key *key;
	struct soft_join join;
	uint32_t segments, payload;
	const char *wrong;
};

/* The inner packet of segment n as the workload would have made it without TSO. */
static const char *inspect(const struct receiver *r, const struct dp_packet *p)
{
	const struct frame_spec *spec = r->spec;
	uint8_t proto = spec->proto != 0 ? spec->proto : 6;
	const uint8_t *ip = p->frame + ETH, *l4 = p->frame + p->l4_off;
	uint32_t step = spec->gso_size != 0 ? spec->gso_size : spec->payload;
	uint32_t left = spec->payload - r->payload, len = left < step ? left : step;
	bool last = len == left;
	uint8_t flags = spec->flags != 0 ? spec->flags : 0x10;

	if (memcmp(p->frame, "\x02\0\0\0\0\x05\x02\0\0\0\0\x06", 12) != 0)
		return "MACs";
	if (psp_get16(p->frame + 12) != (spec->v6 ? 0x86dd : 0x0800))
		return "Ethernet type";
	if (p->len - p->payload_off != len)
		return "payload length";
	if (!spec->v6 && naive_sum(ip, (ip[0] & 15u) * 4u) != 0xffff)
		return "header checksum";
	if (!spec->v6 && psp_get16(ip + 4) != (uint16_t)(spec->id + r->segments))
		return "IPv4 id";
	if (!spec->v6 && (ip[1] != spec->tos || ip[9] != proto || ip[8] != 64))
		return "IPv4 header";
	if (spec->v6 && psp_get32(ip) != (0x60054321u | (uint32_t)spec->tos << 20))
		return "IPv6 header";
	if (naive_l4(ip, proto, l4, p->len - p->l4_off) != 0xffff)
		return "L4 checksum";
	if (proto == 17 && psp_get16(l4 + 4) != 8 + len)
		return "UDP length";
	if (!last)
		flags &= (uint8_t)~0x09;
	if (r->segments != 0)
		flags &= (uint8_t)~0x80;
	if (proto == 6 && (psp_get32(l4 + 4) != spec->seq + r->payload || l4[13] != flags))
		return "TCP sequence or flags";
	for (uint32_t i = 0; i < len; i++) {
		if (p->frame[p->payload_off + i] != payload_octet(r->payload + i))
			return "payload";
	}
	return NULL;
}

static void receive(void *arg, struct dp_packet *p)
{
	struct receiver *r = arg;
	struct dp_packet again = *p;
	const char *wrong = NULL;

	/* What soft_cut() hands out is what dp_parse() would have made of it. */
	if (!dp_parse(&again) || again.len != p->len || again.l4_off != p->l4_off ||
	    memcmp(&again.fields, &p->fields, sizeof(again.fields)) != 0)
		wrong = "not as parsed";
	else if (r->segments > 0 && psp_get16(p->frame + p->l4_off + 6) != 0)
		wrong = "a checksum that was the super-frame's";
	else if (p->fields.tun_psp_spi != TEST_SPI)
		wrong = "SPI";
	else if (!soft_decrypt(backend, crypto, r->key->aead, 3, p))
		wrong = "UDP checksum";
	else if (p->verdict != PSP_DP_VERDICT_OK)
		wrong = "verdict";
	else if (p->psp.iv != r->segments + 1)
		wrong = "IV";
	else if (p->fields.tun_psp_vc != (r->encap_spec->vc ? TEST_VC : 0))
		wrong = "VC";
	else if (p->fields.parser_meta_inner_l3_type !=
		 (r->encap_spec->transport ? 0 : (r->spec->v6 ? 2 : 1)))
		wrong = "inner type";
	else if (!decap_by(p, r->actions))
		wrong = "decap";
	else
		wrong = inspect(r, p);
	if (wrong == NULL && soft_join_add(&r->join, p) != PSP_DP_OK)
		wrong = "join";
	if (r->wrong == NULL)
		r->wrong = wrong;
	r->segments++;
	r->payload += p->len - p->payload_off;
}

/* The outer header of a frame on the wire; super-frames have partial checksums, single ones none. */
static const char *inspect_outer(const struct dp_packet *p, uint32_t max_ip)
{
	const uint8_t *ip = p->frame + ETH, *udp = p->frame + p->l4_off;
	bool v6 = (ip[0] >> 4) == 6;
	uint32_t ip_len = v6 ? psp_get16(ip + 4) + 40u : psp_get16(ip + 2), sum;

	if (ip_len != p->len - ETH || p->len > 65535)
		return "outer length";
	if (psp_get16(udp + 4) != p->len - p->l4_off || psp_get16(udp + 2) != PSP_UDP_PORT)
		return "UDP";
	if (psp_get16(udp) < 49152)
		return "source port";
	if (!v6 && naive_sum(ip, (ip[0] & 15u) * 4u) != 0xffff)
		return "outer header checksum";
	if (p->gso == DP_GSO_NONE)
		return p->needs_csum || psp_get16(udp + 6) != 0 || ip_len > max_ip ? "single"
										   : NULL;
	sum = naive_l4(ip, 17, udp, 0) + p->len - p->l4_off;
	if (p->gso != DP_GSO_UDP || !p->needs_csum || p->csum_start != p->l4_off ||
	    p->csum_offset != 6 || (sum & 0xffff) + (sum >> 16) != psp_get16(udp + 6))
		return "partial checksum";
	if (dp_segments(p) > SOFT_SEGMENTS_MAX || p->payload_off - ETH + p->gso_size > max_ip)
		return "segments";
	return NULL;
}

static void round_trip(const struct frame_spec *spec, const struct encap_spec *encap_spec)
{
	struct psp_dp_actions actions;
	struct dp_packet p;
	struct soft_tx_key key;
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, collect, &wire, NULL};
	struct soft_arena to_host_arena = {join_buf, sizeof(join_buf)};
	struct soft_out to_host = {&to_host_arena, collect, &joined, NULL};
	struct receiver r = {.spec = spec,
			     .encap_spec = encap_spec,
			     .actions = &actions,
			     .key = &key,
			     .join = {.out = &to_host}};
	uint32_t count;
	const char *wrong;

	make_encap(&actions, encap_spec);
	make_frame(&p, in_buf, spec);
	CHECK(key_make(&key, encap_spec->version));
	CHECK(dp_parse(&p));
	p.encap = encap_of(&actions);
	count = dp_segments(&p);
	CHECK_EQ(soft_seal(backend, crypto, &p, &key, 9000, &out), SOFT_SEAL_OK);
	CHECK_EQ(key.next_iv, count + 1);
	for (uint32_t i = 0; i < wire.count; i++) {
		struct dp_packet *w = &wire.packets[i];

		wrong = inspect_outer(w, 9000);
		if (wrong != NULL)
			TEST_FAIL("outer: %s", wrong);
		CHECK(dp_parse(w));
		soft_cut(w, receive, &r);
	}
	CHECK_EQ(soft_join_flush(&r.join), PSP_DP_OK);
	if (r.wrong != NULL)
		TEST_FAIL("%s, %u of %u", r.wrong, r.segments, count);
	CHECK_EQ(r.segments, count);
	CHECK_EQ(r.payload, spec->payload);
	/* What belonged together comes out together. */
	if (count > 1 && count <= SOFT_SEGMENTS_MAX && spec->options == 0 &&
	    (spec->proto == 17 || spec->flags == 0x18)) {
		CHECK_EQ(joined.count, 1);
		CHECK_EQ(joined.packets[0].gso_size, spec->gso_size);
		CHECK_EQ(joined.packets[0].len - joined.packets[0].payload_off, spec->payload);
		make_frame(&p, in_buf, spec);
		CHECK_MEM(joined.packets[0].frame + ETH, p.frame + ETH, p.len - ETH);
		/* Nothing that the workload gets is where outer headers stood, but in transport mode its own IP header. */
		if (!encap_spec->transport)
			CHECK_EQ(joined.parts[0], count);
	} else if (count == 1) {
		CHECK_EQ(joined.count, 1);
		CHECK_EQ(joined.packets[0].gso, DP_GSO_NONE);
	}
	sent_clear(&wire);
	sent_clear(&joined);
	key_drop(&key);
}

static void every_tunnel_and_every_number_of_segments(void)
{
	static const struct {
		uint32_t payload;
		uint16_t gso_size;
	} sizes[] = {
		{600, 0},        {2200, 1200},          {44 * 1448 - 700, 1448},
		{64 * 900, 900}, {69 * 900 + 400, 900}, {130 * 480 + 300, 480},
	};
	static const uint8_t offsets[] = {0, 5, 63};

	for (uint32_t i = 0; i < 2 * 2 * 2 * 2 * 2 * 3 * 6; i++) {
		struct encap_spec encap = {.transport = (i & 1) != 0,
					   .v6 = (i & 2) != 0,
					   .version = (i & 4) != 0,
					   .vc = (i & 8) != 0,
					   .crypt_offset = offsets[i / 32 % 3]};
		struct frame_spec spec = {.v6 = (i & 16) != 0,
					  .payload = sizes[i / 96].payload,
					  .gso_size = sizes[i / 96].gso_size,
					  .partial = true,
					  .flags = 0x18,
					  .tcp_opts = 12,
					  .id = 0xfffe,
					  .tos = 0x28,
					  .seq = 0xffffff00u};

		CONTEXT("inner %s, outer %s, version %u, VC %u, offset %u, payload %u",
			spec.v6 ? "v6" : "v4", encap.transport ? "own" : (encap.v6 ? "v6" : "v4"),
			encap.version, encap.vc, encap.crypt_offset, spec.payload);
		SUB(round_trip(&spec, &encap));
	}
}

static void every_kind_of_inner_packet(void)
{
	static const struct frame_spec specs[] = {
		{.payload = 0},
		{.payload = 1},
		{.payload = 8891}, /* jumbo: 8,991 octets of IP with everything */
		{.payload = 33, .partial = true},
		{.payload = 8000, .options = 40, .partial = true},
		{.payload = 20000, .options = 40, .partial = true, .gso_size = 1400},
		{.payload = 20000, .flags = 0x99, .partial = true, .gso_size = 1400},
		{.payload = 1500, .gso_size = 1500, .partial = true},
		{.proto = 17, .payload = 0},
		{.proto = 17, .payload = 77, .partial = true},
		{.proto = 17, .payload = 60001, .gso_size = 1472, .partial = true},
		{.proto = 17, .payload = 10000, .gso_size = 1000, .options = 8},
	};

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		for (uint32_t j = 0; j < 8; j++) {
			struct encap_spec encap = {.transport = (j & 1) != 0, .v6 = (j & 2) != 0};
			struct frame_spec spec = specs[i];

			spec.v6 = (j & 4) != 0;
			if (spec.v6 || encap.v6) /* longer headers */
				spec.payload = spec.payload == 8891 ? 8831 : spec.payload;
			CONTEXT("spec %zu, variant %u", i, j);
			SUB(round_trip(&spec, &encap));
		}
	}
}

/* Packets of a super-frame of which some do not open: what stands around them is what was sent. */
struct gaps {
	const struct soft_tx_key *key;
	const struct psp_dp_actions *actions;
	struct soft_join join;
	uint32_t n, every;
};

static void receive_but_some(void *arg, struct dp_packet *p)
{
	struct gaps *gaps = arg;

	if (gaps->n++ % gaps->every == 1)
		p->frame[p->len - 1] ^= 1u;
	if (soft_decrypt(backend, crypto, gaps->key->aead, 3, p) &&
	    p->verdict == PSP_DP_VERDICT_OK && decap_by(p, gaps->actions))
		(void)soft_join_add(&gaps->join, p);
}

static void gaps_round_trip(const struct encap_spec *encap_spec, uint32_t every)
{
	const struct frame_spec spec = {
		.payload = 20 * 1000, .gso_size = 1000, .partial = true, .seq = 7};
	struct psp_dp_actions actions;
	struct dp_packet p;
	struct soft_tx_key key;
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, collect, &wire, NULL};
	struct soft_arena to_host_arena = {join_buf, sizeof(join_buf)};
	struct soft_out to_host = {&to_host_arena, collect, &joined, NULL};
	struct gaps gaps = {
		.key = &key, .actions = &actions, .join = {.out = &to_host}, .every = every};
	uint32_t octets = 0, lost = 0;

	make_encap(&actions, encap_spec);
	make_frame(&p, in_buf, &spec);
	CHECK(key_make(&key, encap_spec->version));
	CHECK(dp_parse(&p));
	p.encap = encap_of(&actions);
	CHECK_EQ(soft_seal(backend, crypto, &p, &key, 9000, &out), SOFT_SEAL_OK);
	CHECK_EQ(wire.count, 1);
	CHECK(dp_parse(&wire.packets[0]));
	soft_cut(&wire.packets[0], receive_but_some, &gaps);
	CHECK_EQ(soft_join_flush(&gaps.join), PSP_DP_OK);
	for (uint32_t i = 0; i < joined.count; i++) {
		const struct dp_packet *frame = &joined.packets[i];
		const uint32_t from = psp_get32(frame->frame + frame->l4_off + 4) - 7u;

		octets += frame->len - frame->payload_off;
		for (uint32_t at = 0; at < frame->len - frame->payload_off; at++)
			CHECK_EQ(frame->frame[frame->payload_off + at], payload_octet(from + at));
	}
	for (uint32_t i = 0; i < 20; i++)
		lost += i % every == 1;
	CHECK_EQ(octets, (20 - lost) * 1000);
	sent_clear(&wire);
	sent_clear(&joined);
	key_drop(&key);
}

static void what_does_not_open_spoils_nothing_beside_it(void)
{
	for (uint32_t i = 0; i < 4; i++) {
		const struct encap_spec encap = {.transport = (i & 1) != 0, .v6 = (i & 2) != 0};

		for (uint32_t every = 2; every <= 5; every++) {
			CONTEXT("variant %u, every %u", i, every);
			SUB(gaps_round_trip(&encap, every));
		}
	}
}

int main(void)
{
	RUN_EACH(what_does_not_open_spoils_nothing_beside_it);
	RUN_EACH(every_tunnel_and_every_number_of_segments);
	RUN_EACH(every_kind_of_inner_packet);
	return test_summary();
}
