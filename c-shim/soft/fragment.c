/* SPDX-License-Identifier: Apache-2.0 */
/* fragment.c: IPv4 packets that are too long for their next link and may be cut (RFC 791, 2.3 and 3.2; RFC 1812, 4.2.2.7). */
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

#define DONT_FRAGMENT 0x4000u
#define MORE_FRAGMENTS 0x2000u
#define OFFSET_MASK 0x1fffu
#define OPTION_END 0u
#define OPTION_NOP 1u
#define OPTION_COPIED 0x80u

static const uint8_t *ip_of(const struct dp_packet *packet)
{
	return packet->frame + packet->l3_off;
}

static uint32_t header_len(const uint8_t *ip)
{
	return (uint32_t)(ip[0] & 0x0fu) * 4u;
}

/* The header of the fragments behind the first: of the options those that say so. Its length. */
static uint32_t later_header(const uint8_t *ip, uint8_t *out)
{
	const uint32_t len = header_len(ip);
	uint32_t to = NET_IP4_LEN, at = NET_IP4_LEN;

	memcpy(out, ip, NET_IP4_LEN);
	while (at < len && ip[at] != OPTION_END) {
		uint32_t n = ip[at] == OPTION_NOP ? 1 : at + 1 < len ? ip[at + 1] : 0;

		if (n == 0 || (n == 1 && ip[at] != OPTION_NOP) || at + n > len)
			break;
		if ((ip[at] & OPTION_COPIED) != 0) {
			memcpy(out + to, ip + at, n);
			to += n;
		}
		at += n;
	}
	while (to % 4 != 0)
		out[to++] = OPTION_END;
	out[0] = (uint8_t)(0x40u | to / 4u);
	return to;
}

/* Octets of data in a fragment that is not the last. */
static uint32_t data_of(uint32_t max_ip, uint32_t header)
{
	return max_ip > header ? (max_ip - header) & ~UINT32_C(7) : 0;
}

/* A packet with so many octets behind its IP header: `first` of them go with the first piece. */
static uint32_t pieces_of(uint32_t data, uint32_t first, uint32_t each)
{
	return data <= first ? 1 : 1 + (data - first + each - 1) / each;
}

uint32_t soft_fragments(const struct dp_packet *packet, uint32_t max_ip)
{
	uint8_t later[NET_HEAD_MAX];
	const uint8_t *ip = ip_of(packet);
	uint32_t header, data, first, each, n, step;

	if (packet->fields.parser_meta_outer_l3_type != PSP_DP_L3_IPV4 ||
	    (psp_get16(ip + NET_IP4_FRAG) & DONT_FRAGMENT) != 0)
		return 0;
	header = header_len(ip);
	data = packet->len - packet->l3_off - header;
	first = data_of(max_ip, header);
	each = data_of(max_ip, later_header(ip, later));
	if (first == 0 || each == 0)
		return 0;
	n = dp_segments(packet);
	if (n == 1)
		return pieces_of(data, first, each);
	/* All but the last have `step` octets of payload behind the same headers. */
	step = packet->gso_size;
	return (n - 1) * pieces_of((uint32_t)packet->payload_off - packet->l3_off - header + step,
				   first, each) +
	       pieces_of(data - (n - 1) * step, first, each);
}

static void cut(struct dp_packet *packet, uint32_t max_ip, uint8_t *buf, soft_piece_fn *each,
		void *arg)
{
	uint8_t head[NET_HEAD_MAX];
	const uint8_t *ip = ip_of(packet);
	const uint16_t word = psp_get16(ip + NET_IP4_FRAG);
	const uint32_t own = header_len(ip), data = packet->len - packet->l3_off - own;
	uint32_t header = own, at = 0;

	if (packet->needs_csum)
		dp_csum_complete(packet);
	memcpy(head, ip, own);
	while (at < data) {
		const uint32_t room = data_of(max_ip, header);
		const bool last = data - at <= room;
		const uint32_t n = last ? data - at : room;
		struct dp_packet piece = *packet;
		uint8_t *to;

		piece.frame = buf + DP_HEADROOM;
		piece.len = packet->l3_off + header + n;
		piece.needs_csum = false;
		piece.csum_valid = false;
		to = piece.frame + packet->l3_off;
		memcpy(piece.frame, packet->frame, packet->l3_off);
		memcpy(to, head, header);
		memcpy(to + header, ip + own + at, n);
		psp_put16(to + NET_IP4_TOTAL, (uint16_t)(header + n));
		psp_put16(to + NET_IP4_FRAG,
			  (uint16_t)(((word & OFFSET_MASK) + at / 8u) |
				     (last ? word & MORE_FRAGMENTS : MORE_FRAGMENTS)));
		dp_csum_ipv4(to);
		if (dp_parse(&piece))
			each(arg, &piece);
		at += n;
		header = later_header(ip, head);
	}
}

void soft_fragment(struct dp_packet *packet, uint32_t max_ip, uint8_t *bufs[2], soft_piece_fn *each,
		   void *arg)
{
	const uint32_t n = dp_segments(packet);
	struct dp_packet one;

	if (packet->gso == DP_GSO_NONE || packet->gso_size == 0) {
		cut(packet, max_ip, bufs[0], each, arg);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		soft_split(packet, i, 1, bufs[1], &one);
		cut(&one, max_ip, bufs[0], each, arg);
	}
}
