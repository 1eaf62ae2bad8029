/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c: super-frames in parts: the PSP packets of one that the uplink gave, and a part of one that a workload gave
 * as a frame of its own: single packets to be sampled, and what is between them.
 */
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

#define PACKETS_MAX (SOFT_SEGMENTS_MAX * 2u) /* the kernel's own bound on a UDP super-frame */

static bool is_super_frame(const struct dp_packet *packet)
{
	return packet->gso == DP_GSO_UDP && packet->gso_size != 0 &&
	       packet->fields.parser_meta_outer_l4_type == PSP_DP_L4_UDP &&
	       packet->payload_off <= NET_HEAD_MAX && packet->len > packet->payload_off;
}

/* Outer headers in front of slice i: its lengths, its IPv4 id, and no UDP checksum, which PSP may go without. */
static void write_head(struct dp_packet *segment, const uint8_t *head, uint32_t i)
{
	uint8_t *ip = segment->frame + segment->l3_off;
	uint8_t *udp = segment->frame + segment->l4_off;
	uint32_t ip_len = segment->len - segment->l3_off;

	memcpy(segment->frame, head, segment->payload_off);
	psp_put16(udp + NET_UDP_LENGTH, (uint16_t)(segment->len - segment->l4_off));
	psp_put16(udp + NET_UDP_CSUM, 0);
	dp_segment_ip(ip, ip_len, i);
}

/*
 * Slice i in tunnel mode: nothing of its outer headers, nor anything in front of them, is in what it becomes. In transport
 * mode its IP header is.
 */
static bool leaves_headers(const struct dp_packet *packet, uint32_t i)
{
	const uint8_t next = packet->frame[packet->payload_off + i * packet->gso_size];

	return next == PSP_NEXT_IPV4 || next == PSP_NEXT_IPV6;
}

void soft_cut(struct dp_packet *packet, void (*each)(void *arg, struct dp_packet *segment),
	      void *arg)
{
	uint8_t head[NET_HEAD_MAX], under[NET_HEAD_MAX];
	uint32_t payload, count;
	bool lent = false;

	if (!is_super_frame(packet)) {
		each(arg, packet);
		return;
	}
	payload = packet->len - packet->payload_off;
	count = dp_segments(packet);
	if (count > PACKETS_MAX)
		count = PACKETS_MAX;
	memcpy(head, packet->frame, packet->payload_off);
	for (uint32_t i = 0; i < count; i++) {
		struct dp_packet segment = *packet;
		const bool lends = i + 1 < count && leaves_headers(packet, i + 1);
		uint32_t off = i * packet->gso_size;
		uint32_t len = payload - off < packet->gso_size ? payload - off : packet->gso_size;

		/* The headers go over the end of what lies in front, which has it back or can do without. */
		segment.frame = packet->frame + off;
		segment.len = packet->payload_off + len;
		segment.gso = DP_GSO_NONE;
		segment.gso_size = 0;
		segment.needs_csum = false;
		segment.csum_valid = true;
		segment.tail = i + 1 < count && !lends ? packet->payload_off : 0;
		segment.under = lent ? under : NULL;
		if (lent)
			memcpy(under, segment.frame, packet->payload_off);
		write_head(&segment, head, i);
		dp_parse_psp(&segment);
		each(arg, &segment);
		if (lent)
			memcpy(packet->frame + off, under, packet->payload_off);
		lent = lends;
	}
}

/* Those of the piece, from its own first packet on. */
static void split_marks(const struct dp_packet *whole, uint32_t first, struct dp_packet *piece)
{
	memset(piece->s_segments, 0, sizeof(piece->s_segments));
	for (uint32_t i = 0; first + i < DP_MARKED_MAX; i++)
		piece->s_segments[i / 64] |= (uint64_t)dp_is_marked(whole, first + i) << i % 64;
}

void soft_split(const struct dp_packet *whole, uint32_t first, uint32_t count, uint8_t *buf,
		struct dp_packet *piece)
{
	bool tcp = whole->gso != DP_GSO_UDP;
	uint32_t head = whole->payload_off, payload = whole->len - head;
	uint32_t off = first * whole->gso_size, len = count * whole->gso_size;
	uint32_t before = whole->len - whole->l4_off, l4_len, sum;
	uint8_t *l4, *stored;

	if (len > payload - off)
		len = payload - off;
	*piece = *whole;
	piece->frame = buf + DP_HEADROOM;
	piece->len = head + len;
	split_marks(whole, first, piece);
	if (len <= whole->gso_size) {
		piece->gso = DP_GSO_NONE;
		piece->gso_size = 0;
	}
	memcpy(piece->frame, whole->frame, head);
	memcpy(piece->frame + head, whole->frame + head + off, len);
	dp_segment_ip(piece->frame + piece->l3_off, piece->len - piece->l3_off, first);
	l4 = piece->frame + piece->l4_off;
	l4_len = piece->len - piece->l4_off;
	stored = l4 + (tcp ? NET_TCP_CSUM : NET_UDP_CSUM);
	if (tcp)
		dp_segment_tcp(l4, off, first == 0, off + len == payload);
	else
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)l4_len);
	/* The partial sum that is there knows the final destination, also behind a routing header. */
	if (whole->needs_csum)
		sum = psp_get16(stored) + (0xffffu - before) + l4_len;
	else if (!tcp && psp_get16(stored) == 0)
		return; /* the sender does without */
	else
		sum = dp_csum_pseudo(piece->frame + piece->l3_off, piece->fields.outer_ip_proto,
				     l4_len);
	psp_put16(stored, dp_csum_fold(sum));
	piece->needs_csum = true;
	piece->csum_valid = false;
	piece->csum_start = piece->l4_off;
	piece->csum_offset = (uint16_t)(stored - l4);
}
