/* SPDX-License-Identifier: Apache-2.0 */
/* split.c: a part of a super-frame as a frame of its own: single packets to be sampled, and what is between them. */
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "soft.h"

static void mend_ip(uint8_t *ip, uint32_t len, uint32_t first)
{
	if ((ip[0] >> 4) == 6) {
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(len - NET_IP6_LEN));
		return;
	}
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)len);
	psp_put16(ip + NET_IP4_ID, (uint16_t)(psp_get16(ip + NET_IP4_ID) + first));
	dp_csum_ipv4(ip);
}

static void mend_tcp(uint8_t *tcp, uint32_t payload_off, bool is_first, bool is_last)
{
	uint8_t flags = tcp[NET_TCP_FLAGS];

	psp_put32(tcp + NET_TCP_SEQ, psp_get32(tcp + NET_TCP_SEQ) + payload_off);
	if (!is_last)
		flags &= (uint8_t) ~(NET_FIN | NET_PSH);
	if (!is_first)
		flags &= (uint8_t)~NET_CWR;
	tcp[NET_TCP_FLAGS] = flags;
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
	if (len <= whole->gso_size) {
		piece->gso = DP_GSO_NONE;
		piece->gso_size = 0;
	}
	memcpy(piece->frame, whole->frame, head);
	memcpy(piece->frame + head, whole->frame + head + off, len);
	mend_ip(piece->frame + piece->l3_off, piece->len - piece->l3_off, first);
	l4 = piece->frame + piece->l4_off;
	l4_len = piece->len - piece->l4_off;
	stored = l4 + (tcp ? NET_TCP_CSUM : NET_UDP_CSUM);
	if (tcp)
		mend_tcp(l4, off, first == 0, off + len == payload);
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
