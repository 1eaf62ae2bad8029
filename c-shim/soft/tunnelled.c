/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnelled.c: super-frames of a workload's own tunnel, such as VXLAN, Geneve or IP in IP: the port's word of segmentation
 * is about the inner TCP or UDP. No header of ours can say so to another port, so they are cut into their packets.
 */
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

static bool is_tcp(const struct dp_packet *packet)
{
	return packet->gso != DP_GSO_UDP;
}

/* Is the IP packet that begins at `off` the one whose segments these are? */
static bool is_inner(const struct dp_packet *packet, uint32_t off)
{
	struct dp_ip read;

	return dp_ip_read(packet->frame + off, packet->len - off, &read) && !read.fragment &&
	       read.len == packet->len - off && off + read.l4_off == packet->csum_start &&
	       read.proto == (is_tcp(packet) ? NET_PROTO_TCP : NET_PROTO_UDP);
}

/* What stands between the two is anybody's: only the inner header says where it begins. 0: nowhere. */
static uint32_t find_inner(const struct dp_packet *packet, uint32_t from)
{
	const uint32_t end = packet->csum_start;

	for (uint32_t len = NET_IP4_LEN; len <= NET_IP4_HEAD_MAX && end >= from + len; len += 4) {
		if (packet->frame[end - len] == (0x40u | len / 4u) && is_inner(packet, end - len))
			return end - len;
	}
	if (end >= from + NET_IP6_LEN && is_inner(packet, end - NET_IP6_LEN))
		return end - NET_IP6_LEN;
	return 0;
}

bool soft_tunnelled_read(const struct dp_packet *packet, struct soft_tunnelled *out)
{
	const uint8_t *l4 = packet->frame + packet->csum_start;
	uint32_t from, end;
	struct dp_ip outer;

	memset(out, 0, sizeof(*out));
	if (packet->gso == DP_GSO_NONE || packet->gso_size == 0 || !packet->needs_csum ||
	    packet->fragment || packet->l4_off == 0 || packet->csum_start <= packet->l4_off ||
	    packet->csum_offset != (is_tcp(packet) ? NET_TCP_CSUM : NET_UDP_CSUM))
		return false;
	if (!dp_ip_read(packet->frame + packet->l3_off, packet->len - packet->l3_off, &outer))
		return false;
	/* GRE and its like may have a checksum of their own, which nobody mends. */
	out->udp = outer.proto == NET_PROTO_UDP;
	if (!out->udp && outer.proto != NET_PROTO_IPIP && outer.proto != NET_PROTO_IPV6)
		return false;
	from = (uint32_t)packet->l4_off + (out->udp ? NET_UDP_LEN : 0);
	end = (uint32_t)packet->csum_start + (is_tcp(packet) ? NET_TCP_LEN : NET_UDP_LEN);
	if (end > packet->len)
		return false;
	out->l3_off = find_inner(packet, from);
	out->payload_off = end;
	if (is_tcp(packet))
		out->payload_off = packet->csum_start + (uint32_t)(l4[NET_TCP_OFFSET] >> 4) * 4u;
	if (out->l3_off == 0 || out->payload_off < end || out->payload_off >= packet->len ||
	    out->payload_off > NET_HEAD_MAX)
		return false;
	out->count = (packet->len - out->payload_off + packet->gso_size - 1u) / packet->gso_size;
	return out->count <= DP_SEGMENTS_MAX;
}

static void put_csum(const uint8_t *ip, uint8_t proto, uint8_t *l4, uint32_t len, uint32_t at)
{
	uint16_t csum;

	psp_put16(l4 + at, 0);
	csum = (uint16_t)~dp_csum_fold(dp_csum_add(dp_csum_pseudo(ip, proto, len), l4, len));
	psp_put16(l4 + at, csum == 0 ? 0xffffu : csum);
}

void soft_tunnelled_packet(const struct dp_packet *whole, const struct soft_tunnelled *how,
			   uint32_t nth, uint8_t *buf, struct dp_packet *piece)
{
	const uint32_t off = nth * whole->gso_size, left = whole->len - how->payload_off - off;
	const uint32_t len = left < whole->gso_size ? left : whole->gso_size;
	uint8_t *outer_l4, *inner, *l4;

	*piece = *whole;
	piece->frame = buf + DP_HEADROOM;
	piece->len = how->payload_off + len;
	piece->gso = DP_GSO_NONE;
	piece->gso_size = 0;
	piece->needs_csum = false;
	piece->csum_valid = false;
	memcpy(piece->frame, whole->frame, how->payload_off);
	memcpy(piece->frame + how->payload_off, whole->frame + how->payload_off + off, len);
	inner = piece->frame + how->l3_off;
	l4 = piece->frame + whole->csum_start;
	dp_segment_ip(inner, piece->len - how->l3_off, nth);
	if (is_tcp(whole))
		dp_segment_tcp(l4, off, nth == 0, nth + 1 == how->count);
	else
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)(piece->len - whole->csum_start));
	put_csum(inner, is_tcp(whole) ? NET_PROTO_TCP : NET_PROTO_UDP, l4,
		 piece->len - whole->csum_start, whole->csum_offset);
	dp_segment_ip(piece->frame + whole->l3_off, piece->len - whole->l3_off, nth);
	if (!how->udp)
		return;
	outer_l4 = piece->frame + whole->l4_off;
	psp_put16(outer_l4 + NET_UDP_LENGTH, (uint16_t)(piece->len - whole->l4_off));
	/* None is none: a tunnel may go without. */
	if (psp_get16(outer_l4 + NET_UDP_CSUM) != 0)
		put_csum(piece->frame + whole->l3_off, NET_PROTO_UDP, outer_l4,
			 piece->len - whole->l4_off, NET_UDP_CSUM);
}
