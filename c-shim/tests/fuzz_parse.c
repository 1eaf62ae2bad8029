/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer: a frame, with what a virtio-net header might say of it, through every packet step. Octet 0 chooses
 * the way: a frame from the workload (parsed, clamped, sealed and received again), a frame from the wire, or
 * an inner packet that is sealed by hand, so that the fuzzer gets past the ICV. Six octets of offloads
 * follow, and then the frame or the inner packet. Bit 3 of octet 0 rights its checksums.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../psp/seal.h"
#include "../common/csum.h"
#include "../common/path_mtu.h"
#include "../soft/steps.h"
#include "soft_packet_rule.h"

#define CHOICES 8u
#define ETH 14u
#define OUTER 42u /* Ethernet, IPv4 and UDP */
#define COPIES 3u
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ethernet, IPv4 or nothing, UDP, PSP: as tunnel and as transport template. */
static const uint8_t tunnel_head[] = {
	2,    0, 0,  0,  0, 1, 2,   0, 0, 0, 0,   2, 8, 0, 0x45, 0, 0, 0,   0, 0,
	0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0xc0, 0, 3, 232, 0, 0,
	0,    0, 4,  1,  0, 1, 0,   0, 0, 9, 0,   0, 0, 0, 0,    0, 0, 0,
};

static const struct psp_crypto_backend *backend;
static struct psp_crypto *crypto;
static struct soft_tx_key key;
static struct psp_dp_actions actions[2]; /* by enum psp_dp_net_type */
static uint8_t out_buf[DP_HEADROOM + DP_FRAME_MAX], join_buf[DP_HEADROOM + DP_FRAME_MAX];

static void set_up(void)
{
	static const uint8_t octets[32] = {1, 2, 3};
	struct psp_dp_actions *transport = &actions[PSP_DP_NET_PSP_TRANSPORT];

	backend = psp_crypto_backend_by_id(PSP_DP_BACKEND_OPENSSL);
	REQUIRE(backend != NULL && backend->crypto_new(&crypto) == PSP_DP_OK);
	REQUIRE(backend->key_new(crypto, 0, octets, &key.aead) == PSP_DP_OK);
	key.spi = 9;
	key.iv_last = UINT64_MAX;
	memcpy(actions[0].encap_data, tunnel_head, sizeof(tunnel_head));
	actions[0].encap_size = sizeof(tunnel_head);
	memcpy(transport->encap_data, tunnel_head, ETH);
	memcpy(transport->encap_data + ETH, tunnel_head + 34, sizeof(tunnel_head) - 34);
	transport->encap_size = sizeof(tunnel_head) - 20;
	transport->encap_net_type = PSP_DP_NET_PSP_TRANSPORT;
}

static void require_offsets(const struct dp_packet *p)
{
	if (p->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE)
		return;
	REQUIRE(p->l3_off == ETH && p->l4_off > p->l3_off && p->payload_off >= p->l4_off &&
		p->payload_off <= p->len);
}

/* A copy of a frame as it would be received, to be freed with unpack(). */
static void pack(const struct soft_frame *frame, struct dp_packet *p)
{
	uint8_t *buf = malloc(DP_HEADROOM + frame->len), *to = buf + DP_HEADROOM;

	REQUIRE(buf != NULL && frame->parts[0].iov_len >= frame->payload_off);
	memset(p, 0, sizeof(*p));
	p->frame = to;
	p->len = frame->len;
	p->gso = frame->gso;
	p->gso_size = frame->gso_size;
	p->needs_csum = frame->needs_csum;
	p->csum_start = frame->csum_start;
	p->csum_offset = frame->csum_offset;
	for (uint32_t i = 0; i < frame->n_parts; i++) {
		REQUIRE((size_t)(to - p->frame) + frame->parts[i].iov_len <= frame->len);
		memcpy(to, frame->parts[i].iov_base, frame->parts[i].iov_len);
		to += frame->parts[i].iov_len;
	}
	REQUIRE(to == p->frame + frame->len);
}

static void unpack(uint8_t *frame)
{
	free(frame - DP_HEADROOM);
}

/* What goes to the host port must itself be a frame that parses. */
static int32_t to_host(void *arg, const struct soft_frame *frame)
{
	struct dp_packet p;
	uint8_t *at;

	(void)arg;
	REQUIRE(frame->len <= DP_FRAME_MAX);
	pack(frame, &p);
	at = p.frame;
	REQUIRE(dp_parse(&p));
	REQUIRE(p.len == frame->len);
	require_offsets(&p);
	unpack(at);
	return PSP_DP_OK;
}

static void receive_one(void *arg, struct dp_packet *p)
{
	struct soft_join *join = arg;
	struct dp_packet again = *p;
	uint32_t net = PSP_DP_NET_PSP_TUNNEL;

	REQUIRE(dp_parse(&again) && again.len == p->len);
	if (!soft_decrypt(backend, crypto, key.aead, 0xf, p))
		return;
	if (p->verdict == PSP_DP_VERDICT_OK && p->psp.next_header != PSP_NEXT_IPV4 &&
	    p->psp.next_header != PSP_NEXT_IPV6)
		net = PSP_DP_NET_PSP_TRANSPORT;
	if (!decap_by(p, &actions[net]))
		return;
	REQUIRE(p->verdict == PSP_DP_VERDICT_OK);
	require_offsets(p);
	(void)dp_mss_clamp(p, 1400);
	REQUIRE(soft_join_add(join, p) == PSP_DP_OK);
}

static void receive(struct dp_packet *p)
{
	struct soft_arena out_arena = {join_buf, sizeof(join_buf)};
	struct soft_out out = {&out_arena, to_host, NULL, NULL};
	struct soft_join join = {.out = &out};

	struct dp_path_mtu path;

	if (!dp_parse(p))
		return;
	require_offsets(p);
	(void)dp_path_mtu_read(p, &path);
	soft_cut(p, receive_one, &join);
	REQUIRE(soft_join_flush(&join) == PSP_DP_OK);
}

/* What leaves sealed is received again, from a buffer of its own. */
static int32_t to_wire(void *arg, const struct soft_frame *frame)
{
	struct dp_packet p;
	uint8_t *at;

	(void)arg;
	pack(frame, &p);
	at = p.frame;
	REQUIRE(frame->len <= 65535 && dp_parse(&p) && p.len == frame->len);
	receive(&p);
	unpack(at);
	return PSP_DP_OK;
}

/* ---- too long -------------------------------------------------------------------------------- */

struct pieces {
	uint32_t max_ip, n;
};

/* Each fits, and no fragment goes beyond the largest packet. */
static void take_piece(void *arg, struct dp_packet *piece)
{
	struct pieces *pieces = arg;
	const uint8_t *ip = piece->frame + piece->l3_off;

	require_offsets(piece);
	REQUIRE(piece->len - piece->l3_off <= pieces->max_ip);
	REQUIRE((psp_get16(ip + 6) & 0x1fffu) * 8u + piece->len - piece->l4_off <= 65535);
	pieces->n++;
}

/* Of a packet that may be cut its pieces; else what its sender is told, which is a sound packet as well. */
static void cut_or_tell(struct dp_packet *p)
{
	static uint8_t bufs[3][DP_HEADROOM + DP_FRAME_MAX];
	uint8_t *cut_bufs[2] = {bufs[0], bufs[1]};
	struct pieces pieces = {.max_ip = 68u + dp_flow_hash(p) % 1432u};
	const uint32_t n = soft_fragments(p, pieces.max_ip);
	struct dp_packet error;

	if (soft_too_big(p, pieces.max_ip, bufs[2], &error)) {
		/* Of a packet from a group's MAC there would be none: dp_parse() has refused it. */
		REQUIRE(error.len <= ETH + 1280 && (dp_parse(&error) || (p->frame[0] & 1) != 0));
		REQUIRE(!soft_too_big(&error, 1280, bufs[0], &error) || (p->frame[0] & 1) != 0);
	}
	if (n == 0)
		return;
	soft_fragment(p, pieces.max_ip, cut_bufs, take_piece, &pieces);
	REQUIRE(pieces.n == n);
}

static void send_frame(struct dp_packet *p, uint32_t choices)
{
	struct soft_arena out_arena = {out_buf, sizeof(out_buf)};
	struct soft_out out = {&out_arena, to_wire, NULL, NULL};

	if (!dp_parse(p))
		return;
	require_offsets(p);
	(void)dp_mss_clamp(p, 1000);
	(void)dp_flow_hash(p);
	atomic_store(&key.next_iv, 1);
	p->encap = encap_of(&actions[choices & 1]);
	(void)soft_seal(backend, crypto, p, &key, 9000, &out);
	if (p->fields.parser_meta_outer_l3_type != PSP_DP_L3_NONE)
		cut_or_tell(p);
}

/*
 * Rights the checksums of what looks like an IP packet without extension headers: a fuzzer would not guess them.
 */
static void mend(uint8_t *ip, uint32_t len)
{
	bool v6 = len >= 40 && (ip[0] >> 4) == 6;
	uint32_t at = v6 ? 40 : (len >= 20 ? (ip[0] & 15u) * 4u : 0);

	if (!v6 && at >= 20 && at <= len) {
		psp_put16(ip + 10, 0);
		psp_put16(ip + 10, (uint16_t)~dp_csum_fold(dp_csum_add(0, ip, at)));
	}
	if (at < 20 || len < at + 20 || ip[v6 ? 6 : 9] != 6)
		return;
	psp_put16(ip + at + 16, 0);
	psp_put16(ip + at + 16, (uint16_t)~dp_csum_fold(dp_csum_add(dp_csum_pseudo(ip, 6, len - at),
								    ip + at, len - at)));
}

/* Some copies of an inner packet sealed by hand, as one super-frame; TCP copies follow each other. */
static void receive_sealed(const uint8_t *inner, uint32_t len, uint8_t next, bool right,
			   uint8_t tos)
{
	uint32_t slice = 16 + len + PSP_ICV_LEN, tcp = 20;
	uint8_t *buf = malloc(DP_HEADROOM + OUTER + COPIES * slice), *psp;
	struct dp_packet p = {.gso = DP_GSO_UDP, .gso_size = (uint16_t)slice};

	REQUIRE(buf != NULL);
	p.frame = buf + DP_HEADROOM;
	p.len = OUTER + COPIES * slice;
	psp = p.frame + OUTER;
	for (uint32_t i = 0; i < COPIES; i++, psp += slice) {
		memcpy(psp, tunnel_head + OUTER, 16);
		psp[0] = next;
		psp_put64(psp + 8, i + 1);
		memcpy(psp + 16, inner, len);
		if (next == PSP_NEXT_IPV4 && len >= 40 && psp[16] == 0x45 && psp[25] == 6)
			psp_put32(psp + 16 + tcp + 4, psp_get32(inner + tcp + 4) + i * (len - 40));
		if (right)
			mend(psp + 16, len);
		REQUIRE(psp_seal(backend, crypto, key.aead, psp, 16 + len) == PSP_DP_OK);
	}
	memcpy(p.frame, tunnel_head, OUTER);
	psp_put16(p.frame + 16, (uint16_t)(p.len - ETH));
	p.frame[ETH + 1] = tos;
	mend(p.frame + ETH, 20);
	receive(&p);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dp_packet p = {0};
	uint8_t *buf;

	if (size < CHOICES || size > DP_FRAME_MAX)
		return 0;
	if (backend == NULL)
		set_up();
	if ((data[0] & 4) != 0) {
		if (size < 20000)
			receive_sealed(data + CHOICES, (uint32_t)(size - CHOICES), data[1],
				       (data[0] & 8) != 0, data[2]);
		return 0;
	}
	/* To the octet, so that the sanitizer sees the first one beyond. */
	buf = malloc(DP_HEADROOM + size - CHOICES);
	REQUIRE(buf != NULL);
	p.frame = buf + DP_HEADROOM;
	p.len = (uint32_t)(size - CHOICES);
	memcpy(p.frame, data + CHOICES, p.len);
	if ((data[0] & 8) != 0 && p.len > ETH)
		mend(p.frame + ETH, p.len - ETH);
	p.gso = data[1] & 7;
	p.needs_csum = (data[1] & 8) != 0;
	p.csum_valid = (data[1] & 16) != 0;
	p.gso_size = psp_get16(data + 2);
	p.csum_start = psp_get16(data + 4);
	p.csum_offset = psp_get16(data + 6);
	if ((data[0] & 2) != 0)
		send_frame(&p, data[0]);
	else
		receive(&p);
	free(buf);
	return 0;
}
