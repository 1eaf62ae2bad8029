/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving: the vectors as frames, damaged ones, and super-frames. */
#include "soft_packet_key.h"
#include "soft_packet_received.h"
#include "../psp/kdf.h"
#include "vectors.h"

static uint8_t out_buf[BUF_LEN];
static struct sent sent;
static struct psp_dp_actions actions;
static struct soft_tx_key key;

static void every_packet_of_the_vectors_opens(void)
{
	for (size_t i = 0; i < sizeof(packet_vectors) / sizeof(packet_vectors[0]); i++) {
		const struct packet_vector *v = &packet_vectors[i];
		struct psp_aead_key *aead;
		bool tunnel = v->next_header == 4 || v->next_header == 41;

		CONTEXT("%s", v->name);
		CHECK_EQ(backend->key_new(crypto, v->version, v->key.at, &aead), PSP_DP_OK);
		for (uint32_t around = 0; around < 4; around++) {
			struct frame_spec spec = {.v6 = (around & 1) != 0,
						  .options = (around & 2) != 0 ? 8 : 0};
			bool opened, whole;

			CHECK(frame_of(&v->psp, &spec));
			CHECK_EQ(packet.fields.tun_psp_spi, v->spi);
			opened = soft_decrypt(backend, crypto, aead, VERSIONS, &packet);
			CHECK(opened);
			if (v->d != 0) {
				CHECK_EQ(packet.verdict, PSP_DP_VERDICT_POLICY);
				continue;
			}
			CHECK_EQ(packet.verdict, PSP_DP_VERDICT_OK);
			CHECK_EQ(packet.len - packet.inner_off, v->payload.len);
			CHECK_MEM(packet.frame + packet.inner_off, v->payload.at, v->payload.len);
			CHECK_EQ(packet.fields.tun_psp_vc, v->v != 0 ? psp_get64(v->ext.at) : 0);
			make_encap(&actions, &(struct encap_spec){.transport = !tunnel});
			whole = decap_by(&packet, &actions);
			CHECK(whole);
			if (tunnel)
				CHECK_MEM(packet.frame + ETH, v->payload.at, v->payload.len);
			else
				CHECK_MEM(packet.frame + packet.l4_off, v->payload.at,
					  v->payload.len);
			CHECK_EQ(packet.fields.outer_ip_proto,
				 tunnel ? packet.fields.outer_ip_proto : v->next_header);
		}
		backend->key_free(aead);
	}
}

/* What a receiver says to psp_malformed.json; "ok" also survives decapsulation. */
static void every_malformed_packet_gets_its_verdict(void)
{
	static const struct {
		const char *expect;
		uint32_t verdict;
	} names[] = {
		{"ok", PSP_DP_VERDICT_OK},
		{"ok-if-supported", PSP_DP_VERDICT_OK},
		{"icv", PSP_DP_VERDICT_ICV},
		{"malformed", PSP_DP_VERDICT_MALFORMED},
		{"short", PSP_DP_VERDICT_SHORT},
		{"discard", PSP_DP_VERDICT_DISCARD},
		{"reserved", PSP_DP_VERDICT_RESERVED},
		{"policy", PSP_DP_VERDICT_POLICY},
		{"udp-layer", PSP_DP_VERDICT_OK},
	};
	uint8_t octets[32];
	struct psp_aead_key *aead;

	for (size_t i = 0; i < sizeof(malformed_vectors) / sizeof(malformed_vectors[0]); i++) {
		const struct malformed_vector *v = &malformed_vectors[i];
		uint32_t version = (uint32_t)(v->psp.at[3] >> 2) & 15u,
			 spi = psp_get32(v->psp.at + 4);
		const uint8_t *mk = (spi >> 31) != 0 ? vector_mk1.at : vector_mk0.at;
		uint32_t expect = 99;
		bool opened;

		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			if (strcmp(names[n].expect, v->expect) == 0)
				expect = names[n].verdict;
		}
		CONTEXT("%s: %s", v->name, v->expect);
		CHECK(expect != 99);
		if (version > 3)
			version = 0;
		CHECK_EQ(psp_derive_key(backend, crypto, mk, spi, version, octets), PSP_DP_OK);
		CHECK_EQ(backend->key_new(crypto, version, octets, &aead), PSP_DP_OK);
		CHECK(frame_of(&v->psp, &(struct frame_spec){0}));
		if (strcmp(v->expect, "udp-layer") == 0) {
			psp_put16(packet.frame + packet.l4_off + 6, 4660);
			CHECK(!soft_decrypt(backend, crypto, aead, VERSIONS, &packet));
			packet.csum_valid = true;
		}
		opened = soft_decrypt(backend, crypto, aead, VERSIONS, &packet);
		CHECK(opened);
		CHECK_EQ(packet.verdict, expect);
		if (expect == PSP_DP_VERDICT_ICV)
			CHECK_EQ(packet.fields.parser_meta_psp_syndrome, PSP_DP_SYNDROME_ICV);
		else if (expect == PSP_DP_VERDICT_OK || expect == PSP_DP_VERDICT_POLICY)
			CHECK_EQ(packet.fields.parser_meta_psp_syndrome, PSP_DP_SYNDROME_OK);
		else
			CHECK_EQ(packet.fields.parser_meta_psp_syndrome,
				 PSP_DP_SYNDROME_BAD_TRAILER);
		make_encap(&actions, &(struct encap_spec){.transport = v->psp.at[0] == 17});
		opened = decap_by(&packet, &actions);
		CHECK_EQ(opened, expect == PSP_DP_VERDICT_OK);
		backend->key_free(aead);
	}
}

static void a_udp_checksum_is_verified_unless_vouched_for(void)
{
	const struct packet_vector *v = &packet_vectors[0];
	struct psp_aead_key *aead;

	CHECK_EQ(backend->key_new(crypto, v->version, v->key.at, &aead), PSP_DP_OK);
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		uint8_t *udp;
		uint16_t right;

		CHECK(frame_of(&v->psp, &(struct frame_spec){.v6 = v6 != 0}));
		udp = packet.frame + packet.l4_off;
		right = (uint16_t)~naive_l4(packet.frame + ETH, 17, udp,
					    packet.len - packet.l4_off);
		psp_put16(udp + 6, (uint16_t)(right ^ 1));
		CHECK(!soft_decrypt(backend, crypto, aead, VERSIONS, &packet));
		psp_put16(udp + 6, right);
		CHECK(soft_decrypt(backend, crypto, aead, VERSIONS, &packet));
		CHECK_EQ(packet.verdict, PSP_DP_VERDICT_OK);
	}
	backend->key_free(aead);
}

static uint32_t cut_count, cut_short;

static void count_cut(void *arg, struct dp_packet *segment)
{
	(void)arg;
	cut_count++;
	if (soft_decrypt(backend, crypto, key.aead, VERSIONS, segment) &&
	    segment->verdict == PSP_DP_VERDICT_SHORT)
		cut_short++;
}

/* A super-frame shortened to every length: what is left of its last packet fails alone. */
static void truncated_super_frames_lose_their_end_alone(void)
{
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, collect, &sent, NULL};
	struct dp_packet whole;

	CHECK(key_make(&key, 0));
	make_encap(&actions, &(struct encap_spec){0});
	make_frame(&packet, in_buf,
		   &(struct frame_spec){.payload = 400, .gso_size = 100, .partial = true});
	CHECK(dp_parse(&packet));
	packet.encap = encap_of(&actions);
	CHECK_EQ(soft_seal(backend, crypto, &packet, &key, 1500, &out), SOFT_SEAL_OK);
	whole = sent.packets[0];
	for (uint32_t len = whole.payload_off + 1u; len <= whole.len; len++) {
		struct dp_packet p = whole;
		uint32_t last = (len - whole.payload_off) % whole.gso_size;

		CONTEXT("%u octets of %u", len, whole.len);
		p.frame = in_buf + DP_HEADROOM;
		p.len = len;
		memcpy(p.frame, whole.frame, len);
		psp_put16(p.frame + ETH + 2, (uint16_t)(len - ETH));
		put_v4_csum(p.frame + ETH);
		CHECK(dp_parse(&p));
		cut_count = 0;
		cut_short = 0;
		soft_cut(&p, count_cut, NULL);
		CHECK_EQ(cut_count, dp_segments(&p));
		CHECK_EQ(cut_short, last != 0 && last < 32 ? 1 : 0);
	}
	key_drop(&key);
	sent_clear(&sent);
}

static void note_spi(void *arg, struct dp_packet *segment)
{
	uint32_t *spis = arg;

	spis[cut_count++ & 3] = segment->fields.tun_psp_spi;
}

/* One pair of addresses and ports may carry many SPIs, and a receiver's GRO join them. */
static void each_segment_shows_its_own_header(void)
{
	struct frame_spec spec = {.proto = 17,
				  .payload = 200,
				  .gso_size = 50,
				  .dst_port = PSP_UDP_PORT,
				  .partial = true};
	uint32_t spis[4] = {0};

	make_frame(&packet, in_buf, &spec);
	for (uint32_t i = 0; i < 4; i++)
		psp_put32(packet.frame + 42 + 50 * i + 4, 100 + i);
	CHECK(dp_parse(&packet));
	cut_count = 0;
	soft_cut(&packet, note_spi, spis);
	CHECK_EQ(cut_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		CHECK_EQ(spis[i], 100 + i);
}

static void a_flood_of_tiny_segments_is_bounded(void)
{
	CHECK(key_make(&key, 0));
	make_frame(&packet, in_buf,
		   &(struct frame_spec){.proto = 17,
					.payload = 60000,
					.gso_size = 40,
					.dst_port = PSP_UDP_PORT,
					.partial = true});
	CHECK(dp_parse(&packet));
	cut_count = 0;
	soft_cut(&packet, count_cut, NULL);
	CHECK_EQ(cut_count, SOFT_SEGMENTS_MAX * 2);
	key_drop(&key);
}

int main(void)
{
	RUN_EACH(every_packet_of_the_vectors_opens);
	RUN_EACH(every_malformed_packet_gets_its_verdict);
	RUN_EACH(a_udp_checksum_is_verified_unless_vouched_for);
	RUN_EACH(truncated_super_frames_lose_their_end_alone);
	RUN(each_segment_shows_its_own_header);
	RUN_EACH(a_flood_of_tiny_segments_is_bounded);
	return test_summary();
}
