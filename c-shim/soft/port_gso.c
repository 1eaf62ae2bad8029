/* SPDX-License-Identifier: Apache-2.0 */
/* port_gso.c: segmentation for a kernel that will not do it. */
#include <errno.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "port_io.h"

/* Flags that only one of a super-frame's packets has. */
static uint8_t flags_of(uint8_t flags, bool first, bool last)
{
	if (!last)
		flags &= (uint8_t) ~(NET_FIN | NET_PSH);
	if (!first)
		flags &= (uint8_t)~NET_CWR;
	return flags;
}

static void mend_ip(uint8_t *ip, uint32_t len, uint32_t segment)
{
	if ((ip[0] >> 4) == 6) {
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(len - NET_IP6_LEN));
		return;
	}
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)len);
	psp_put16(ip + NET_IP4_ID, (uint16_t)(psp_get16(ip + NET_IP4_ID) + segment));
	dp_csum_ipv4(ip);
}

static void mend_tcp(const struct dp_packet *packet, uint8_t *head, uint32_t off,
		     const uint8_t *body, uint32_t len)
{
	uint8_t *tcp = head + packet->l4_off;
	uint32_t head_len = (uint32_t)packet->payload_off - packet->l4_off, sum;
	bool last = packet->payload_off + off + len == packet->len;

	psp_put32(tcp + NET_TCP_SEQ, psp_get32(tcp + NET_TCP_SEQ) + off);
	tcp[NET_TCP_FLAGS] = flags_of(tcp[NET_TCP_FLAGS], off == 0, last);
	psp_put16(tcp + NET_TCP_CSUM, 0);
	sum = dp_csum_pseudo(head + packet->l3_off, NET_PROTO_TCP, head_len + len);
	sum = dp_csum_add(dp_csum_add(sum, tcp, head_len), body, len);
	psp_put16(tcp + NET_TCP_CSUM, (uint16_t)~dp_csum_fold(sum));
}

int soft_port_cut(const struct soft_port *port, const struct dp_packet *packet, uint32_t *sent)
{
	uint8_t head[NET_HEAD_MAX];
	struct soft_port_frame frame = {.head = head, .head_len = packet->payload_off};
	uint32_t off = 0, payload = packet->len - packet->payload_off;

	*sent = 0;
	if (packet->payload_off > NET_HEAD_MAX || packet->len <= packet->payload_off ||
	    packet->gso_size == 0 || packet->l4_off <= packet->l3_off)
		return EINVAL;
	while (off < payload) {
		uint32_t len = payload - off < packet->gso_size ? payload - off : packet->gso_size;
		uint32_t ip_len = (uint32_t)packet->payload_off - packet->l3_off + len;
		int error;

		memcpy(head, packet->frame, packet->payload_off);
		frame.body = packet->frame + packet->payload_off + off;
		frame.body_len = len;
		mend_ip(head + packet->l3_off, ip_len, *sent);
		if (packet->gso == DP_GSO_UDP) {
			/* PSP, the only UDP that is sent so, may go without a checksum. */
			psp_put16(head + packet->l4_off + NET_UDP_LENGTH,
				  (uint16_t)(NET_UDP_LEN + len));
			psp_put16(head + packet->l4_off + NET_UDP_CSUM, 0);
		} else {
			mend_tcp(packet, head, off, frame.body, len);
		}
		error = soft_port_write(port, &frame);
		if (error != 0)
			return error;
		off += len;
		(*sent)++;
	}
	return 0;
}
