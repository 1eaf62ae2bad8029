/* SPDX-License-Identifier: Apache-2.0 */
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
	if ((ip[0] >> 4) == 6) {
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(ip_len - NET_IP6_LEN));
		return;
	}
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)ip_len);
	psp_put16(ip + NET_IP4_ID, (uint16_t)(psp_get16(ip + NET_IP4_ID) + i));
	dp_csum_ipv4(ip);
}

void soft_cut(struct dp_packet *packet, void (*each)(void *arg, struct dp_packet *segment),
	      void *arg)
{
	uint8_t head[NET_HEAD_MAX];
	uint32_t payload, count;

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
		uint32_t off = i * packet->gso_size;
		uint32_t len = payload - off < packet->gso_size ? payload - off : packet->gso_size;

		/* The headers go over the end of what lies in front: it has been consumed. */
		segment.frame = packet->frame + off;
		segment.len = packet->payload_off + len;
		segment.gso = DP_GSO_NONE;
		segment.gso_size = 0;
		segment.needs_csum = false;
		segment.csum_valid = true;
		write_head(&segment, head, i);
		dp_parse_psp(&segment);
		each(arg, &segment);
	}
}
