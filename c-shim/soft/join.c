/* SPDX-License-Identifier: Apache-2.0 */
/* join.c: the reverse of TSO, by the rules of the kernel's GRO. */
#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

#define LAST_FLAGS (NET_FIN | NET_PSH) /* allowed in any segment; what they stand in is the last */

static const uint8_t *tcp_of(const struct dp_packet *packet)
{
	return packet->frame + packet->l4_off;
}

static uint32_t payload_len(const struct dp_packet *packet)
{
	return packet->len - packet->payload_off;
}

/* Can the segment be part of a super-frame at all? Its checksum must be right: joining makes a new one. */
static bool can_join(const struct dp_packet *packet)
{
	uint32_t ip_len = (uint32_t)packet->l4_off - packet->l3_off;
	const uint8_t *ip = packet->frame + packet->l3_off;
	bool v6;

	if (packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_TCP ||
	    packet->gso != DP_GSO_NONE || packet->needs_csum || payload_len(packet) == 0 ||
	    packet->len > NET_SUPER_MAX)
		return false;
	v6 = packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_IPV6;
	if (ip_len != (v6 ? NET_IP6_LEN : NET_IP4_LEN))
		return false;
	/* ACK alone, or with FIN and PSH; SYN, RST, URG, ECE and CWR are passed on as they came. */
	if ((tcp_of(packet)[NET_TCP_FLAGS] & ~LAST_FLAGS) != NET_ACK)
		return false;
	return packet->csum_valid ||
	       dp_csum_verify(ip, NET_PROTO_TCP, tcp_of(packet), packet->len - packet->l4_off);
}

/* All of Ethernet, IP and TCP that must be equal in one super-frame. */
static bool same_flow(const struct dp_packet *a, const struct dp_packet *b)
{
	const uint8_t *x = a->frame + a->l3_off, *y = b->frame + b->l3_off;
	const uint8_t *s = tcp_of(a), *t = tcp_of(b);
	uint32_t tcp_len = (uint32_t)a->payload_off - a->l4_off;

	if (a->l4_off != b->l4_off || a->payload_off != b->payload_off ||
	    memcmp(a->frame, b->frame, NET_ETH_LEN) != 0)
		return false;
	if ((x[0] >> 4) == 6) {
		if (memcmp(x, y, 4) != 0 || memcmp(x + NET_IP6_NEXT, y + NET_IP6_NEXT, 34) != 0)
			return false;
	} else if (memcmp(x, y, 2) != 0 || memcmp(x + NET_IP4_FRAG, y + NET_IP4_FRAG, 4) != 0 ||
		   memcmp(x + NET_IP4_SRC, y + NET_IP4_SRC, 8) != 0) {
		return false;
	}
	return memcmp(s, t, 4) == 0 && memcmp(s + NET_TCP_ACK, t + NET_TCP_ACK, 4) == 0 &&
	       s[NET_TCP_OFFSET] == t[NET_TCP_OFFSET] &&
	       memcmp(s + NET_TCP_LEN, t + NET_TCP_LEN, tcp_len - NET_TCP_LEN) == 0;
}

static bool follows(const struct soft_join *join, const struct dp_packet *packet)
{
	const struct dp_packet *head = &join->head;
	uint32_t len = payload_len(packet);

	return head->len != 0 && !join->closed && len <= head->gso_size &&
	       head->len + len <= NET_SUPER_MAX && join->segments < UINT16_MAX &&
	       psp_get32(tcp_of(packet) + NET_TCP_SEQ) == join->next_seq && same_flow(head, packet);
}

static void start(struct soft_join *join, const struct dp_packet *packet)
{
	uint8_t *frame = join->out->buf + DP_HEADROOM;

	memcpy(frame, packet->frame, packet->len);
	join->head = *packet;
	join->head.frame = frame;
	join->head.gso_size = (uint16_t)payload_len(packet);
	join->next_seq = psp_get32(tcp_of(packet) + NET_TCP_SEQ) + payload_len(packet);
	join->segments = 1;
	join->closed = false;
}

static void append(struct soft_join *join, const struct dp_packet *packet)
{
	struct dp_packet *head = &join->head;
	uint8_t *tcp = head->frame + head->l4_off;
	uint32_t len = payload_len(packet);
	uint8_t flags = tcp_of(packet)[NET_TCP_FLAGS];

	memcpy(head->frame + head->len, packet->frame + packet->payload_off, len);
	head->len += len;
	tcp[NET_TCP_FLAGS] |= flags;
	/* The newest window is the one that counts. */
	memcpy(tcp + NET_TCP_WINDOW, tcp_of(packet) + NET_TCP_WINDOW, 2);
	join->next_seq += len;
	join->segments++;
	join->closed = len < head->gso_size || (flags & LAST_FLAGS) != 0;
}

/* Lengths and a partial checksum for what has become a super-frame. */
static void finish(struct dp_packet *head)
{
	uint8_t *ip = head->frame + head->l3_off;
	uint8_t *tcp = head->frame + head->l4_off;
	uint32_t l4_len = head->len - head->l4_off;
	bool v6 = (ip[0] >> 4) == 6;

	dp_segment_ip(ip, head->len - head->l3_off, 0);
	psp_put16(tcp + NET_TCP_CSUM, dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_TCP, l4_len)));
	head->gso = v6 ? DP_GSO_TCP6 : DP_GSO_TCP4;
	head->needs_csum = true;
	head->csum_valid = false;
	head->csum_start = head->l4_off;
	head->csum_offset = NET_TCP_CSUM;
}

int32_t soft_join_flush(struct soft_join *join)
{
	int32_t status;

	if (join->head.len == 0)
		return PSP_DP_OK;
	if (join->segments > 1)
		finish(&join->head);
	else
		join->head.gso_size = 0;
	status = join->out->send(join->out->arg, &join->head);
	join->head.len = 0;
	return status;
}

int32_t soft_join_add(struct soft_join *join, const struct dp_packet *packet)
{
	bool joins = can_join(packet);
	int32_t flushed, sent;

	if (joins && follows(join, packet)) {
		append(join, packet);
		return join->closed ? soft_join_flush(join) : PSP_DP_OK;
	}
	flushed = soft_join_flush(join);
	/* A segment that must be the last, though it is the first, needs no copy. */
	if (joins && (tcp_of(packet)[NET_TCP_FLAGS] & LAST_FLAGS) == 0) {
		start(join, packet);
		return flushed;
	}
	sent = join->out->send(join->out->arg, packet);
	return flushed != PSP_DP_OK ? flushed : sent;
}
