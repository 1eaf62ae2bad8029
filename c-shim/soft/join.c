/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.c: the reverse of TSO and USO, by the rules of the kernel's GRO; and packets on their way to workloads, joined flow by
 * flow.
 */
#include "../common/csum.h"
#include "../common/net.h"
#include "soft.h"

#define LAST_FLAGS (NET_FIN | NET_PSH)  /* allowed in any segment; what they stand in is the last */
#define DATAGRAMS_MAX SOFT_SEGMENTS_MAX /* of a USO super-frame: the kernel's limit */

_Static_assert((SOFT_JOINS & (SOFT_JOINS - 1)) == 0 && SOFT_JOINS <= 32, "a mask, and a bit each");

/* ---- one flow -------------------------------------------------------------------------------- */

static const uint8_t *l4_of(const struct dp_packet *packet)
{
	return packet->frame + packet->l4_off;
}

static uint32_t payload_len(const struct dp_packet *packet)
{
	return packet->len - packet->payload_off;
}

static bool is_tcp(const struct dp_packet *packet)
{
	return packet->fields.parser_meta_outer_l4_type == PSP_DP_L4_TCP;
}

static uint8_t tcp_flags(const struct dp_packet *packet)
{
	return is_tcp(packet) ? l4_of(packet)[NET_TCP_FLAGS] : 0;
}

/* Can the packet be part of a super-frame at all? Its checksum must be right: joining makes a new one. */
static bool can_join(const struct dp_packet *packet)
{
	uint32_t ip_len = (uint32_t)packet->l4_off - packet->l3_off;
	const uint8_t *ip = packet->frame + packet->l3_off;
	bool tcp = is_tcp(packet);
	bool v6;

	if ((!tcp && packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP) ||
	    packet->gso != DP_GSO_NONE || packet->needs_csum || payload_len(packet) == 0 ||
	    packet->len > NET_SUPER_MAX)
		return false;
	v6 = packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_IPV6;
	if (ip_len != (v6 ? NET_IP6_LEN : NET_IP4_LEN))
		return false;
	/* ACK alone, or with FIN and PSH; SYN, RST, URG, ECE and CWR are passed on as they came. */
	if (tcp && (tcp_flags(packet) & ~LAST_FLAGS) != NET_ACK)
		return false;
	/* A datagram without a checksum stays without, and one has nothing behind it. */
	if (!tcp && (psp_get16(l4_of(packet) + NET_UDP_CSUM) == 0 ||
		     psp_get16(l4_of(packet) + NET_UDP_LENGTH) != packet->len - packet->l4_off))
		return false;
	return packet->csum_valid || dp_csum_verify(ip, tcp ? NET_PROTO_TCP : NET_PROTO_UDP,
						    l4_of(packet), packet->len - packet->l4_off);
}

static bool same_tcp(const struct dp_packet *a, const struct dp_packet *b)
{
	const uint8_t *s = l4_of(a), *t = l4_of(b);
	uint32_t tcp_len = (uint32_t)a->payload_off - a->l4_off;

	return memcmp(s + NET_TCP_ACK, t + NET_TCP_ACK, 4) == 0 &&
	       s[NET_TCP_OFFSET] == t[NET_TCP_OFFSET] &&
	       memcmp(s + NET_TCP_LEN, t + NET_TCP_LEN, tcp_len - NET_TCP_LEN) == 0;
}

/* All of Ethernet, IP and L4 that must be equal in one super-frame. */
static bool same_flow(const struct dp_packet *a, const struct dp_packet *b)
{
	const uint8_t *x = a->frame + a->l3_off, *y = b->frame + b->l3_off;

	if (a->l4_off != b->l4_off || a->payload_off != b->payload_off || is_tcp(a) != is_tcp(b) ||
	    memcmp(a->frame, b->frame, NET_ETH_LEN) != 0)
		return false;
	if ((x[0] >> 4) == 6) {
		if (memcmp(x, y, 4) != 0 || memcmp(x + NET_IP6_NEXT, y + NET_IP6_NEXT, 34) != 0)
			return false;
	} else if (memcmp(x, y, 2) != 0 || memcmp(x + NET_IP4_FRAG, y + NET_IP4_FRAG, 4) != 0 ||
		   memcmp(x + NET_IP4_SRC, y + NET_IP4_SRC, 8) != 0) {
		return false;
	}
	return memcmp(l4_of(a), l4_of(b), 4) == 0 && (!is_tcp(a) || same_tcp(a, b));
}

static bool follows(const struct soft_join *join, const struct dp_packet *packet)
{
	const struct dp_packet *head = &join->head;
	uint32_t len = payload_len(packet);

	if (head->len == 0 || join->closed || len > head->gso_size ||
	    head->len + len > NET_SUPER_MAX || join->n_parts + 2 > SOFT_FRAME_PARTS_MAX ||
	    !same_flow(head, packet))
		return false;
	if (!is_tcp(packet))
		return join->segments < DATAGRAMS_MAX;
	return psp_get32(l4_of(packet) + NET_TCP_SEQ) == join->next_seq;
}

static uint8_t *copy(struct soft_arena *arena, const uint8_t *from, uint32_t len)
{
	uint8_t *to = arena->at;

	memcpy(to, from, len);
	arena->at += len;
	arena->left -= len;
	return to;
}

/* The packet from `off` on: where it lies, but for what will be overwritten there. */
static void add_parts(struct soft_join *join, const struct dp_packet *packet, uint32_t off)
{
	uint32_t len = packet->len - off;
	uint32_t lost = packet->tail < len ? packet->tail : len;

	if (len > lost)
		join->parts[join->n_parts++] = (struct iovec){packet->frame + off, len - lost};
	if (lost > 0)
		join->parts[join->n_parts++] = (struct iovec){
			copy(join->out->arena, packet->frame + packet->len - lost, lost), lost};
}

static void start(struct soft_join *join, const struct dp_packet *packet, bool joins)
{
	join->head = *packet;
	/* Headers are mended later on, so they are in one piece, and stay. */
	if (packet->len - packet->payload_off < packet->tail) {
		join->head.frame = copy(join->out->arena, packet->frame, packet->len);
		join->head.tail = 0;
	}
	if (joins)
		join->head.gso_size = (uint16_t)payload_len(packet);
	join->next_seq = 0;
	if (is_tcp(packet))
		join->next_seq = psp_get32(l4_of(packet) + NET_TCP_SEQ) + payload_len(packet);
	join->segments = 1;
	join->closed = false;
	join->n_parts = 0;
	add_parts(join, &join->head, 0);
}

static void append(struct soft_join *join, const struct dp_packet *packet)
{
	struct dp_packet *head = &join->head;
	uint8_t *l4 = join->head.frame + head->l4_off;
	uint32_t len = payload_len(packet);
	uint8_t flags = tcp_flags(packet);

	add_parts(join, packet, packet->payload_off);
	head->len += len;
	if (is_tcp(packet)) {
		l4[NET_TCP_FLAGS] |= flags;
		/* The newest window is the one that counts. */
		memcpy(l4 + NET_TCP_WINDOW, l4_of(packet) + NET_TCP_WINDOW, 2);
	}
	join->next_seq += len;
	join->segments++;
	join->closed = len < head->gso_size || (flags & LAST_FLAGS) != 0;
}

/* Lengths and a partial checksum for what has become a super-frame. */
static void finish(struct dp_packet *head)
{
	uint8_t *ip = head->frame + head->l3_off;
	uint8_t *l4 = head->frame + head->l4_off;
	uint32_t l4_len = head->len - head->l4_off;
	bool tcp = is_tcp(head), v6 = (ip[0] >> 4) == 6;
	uint32_t csum = tcp ? NET_TCP_CSUM : NET_UDP_CSUM;

	dp_segment_ip(ip, head->len - head->l3_off, 0);
	if (!tcp)
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)l4_len);
	psp_put16(l4 + csum,
		  dp_csum_fold(dp_csum_pseudo(ip, tcp ? NET_PROTO_TCP : NET_PROTO_UDP, l4_len)));
	head->gso = !tcp ? DP_GSO_UDP : v6 ? DP_GSO_TCP6 : DP_GSO_TCP4;
	head->needs_csum = true;
	head->csum_valid = false;
	head->csum_start = head->l4_off;
	head->csum_offset = (uint16_t)csum;
}

int32_t soft_join_flush(struct soft_join *join)
{
	struct soft_frame frame;

	if (join->head.len == 0)
		return PSP_DP_OK;
	if (join->segments > 1)
		finish(&join->head);
	else if (join->head.gso == DP_GSO_NONE)
		join->head.gso_size = 0;
	frame = soft_frame_of(&join->head);
	frame.parts = join->parts;
	frame.n_parts = join->n_parts;
	join->head.len = 0;
	return join->out->send(join->out->arg, &frame);
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
	start(join, packet, joins);
	/* What must be the last, though it is the first, waits for nobody. */
	if (joins && (tcp_flags(packet) & LAST_FLAGS) == 0)
		return flushed;
	sent = soft_join_flush(join);
	return flushed != PSP_DP_OK ? flushed : sent;
}

/* ---- flows of a worker ----------------------------------------------------------------------- */

/*
 * One flow's next packet does not end what those of others have begun. Those of a flow leave in the order in which they came.
 */
static int32_t leave(void *arg, const struct soft_frame *frame)
{
	const struct soft_joining *joining = arg;

	soft_queue_host(joining->worker, frame, joining->to, false);
	return 0;
}

void soft_joins_init(struct soft_worker *worker)
{
	for (uint32_t i = 0; i < SOFT_JOINS; i++) {
		struct soft_joining *joining = &worker->joins.of[i];

		joining->worker = worker;
		joining->out = (struct soft_out){
			.arena = &worker->queue.arena, .send = leave, .arg = joining};
		joining->join.out = &joining->out;
	}
}

/* Flows that share one only end each other's frames. */
static uint32_t place_of(const struct dp_packet *packet)
{
	const struct psp_dp_match *fields = &packet->fields;
	uint32_t h = psp_get32(fields->outer_ip_src + 12) ^
		     (psp_get32(fields->outer_ip_dst + 12) * 0x85ebca6bu);

	h ^= (uint32_t)fields->outer_l4_src_port << 16 | fields->outer_l4_dst_port;
	return (h * 0x9e3779b1u >> 16) & (SOFT_JOINS - 1);
}

void soft_joins_add(struct soft_worker *worker, const struct dp_packet *packet,
		    struct soft_link *to)
{
	struct soft_joins *joins = &worker->joins;
	struct soft_joining *joining;
	uint32_t at;

	/* Where its flow's other packets are only their ports say, which it has not. */
	if (packet->fragment)
		soft_joins_flush(worker);
	at = place_of(packet);
	joining = &joins->of[at];
	if (joining->to != to)
		(void)soft_join_flush(&joining->join);
	joining->to = to;
	joins->open |= UINT32_C(1) << at;
	joins->parts += SOFT_JOIN_PARTS;
	(void)soft_join_add(&joining->join, packet);
}

void soft_joins_flush(struct soft_worker *worker)
{
	struct soft_joins *joins = &worker->joins;

	for (uint32_t at = 0; at < SOFT_JOINS && joins->open >> at != 0; at++) {
		if ((joins->open >> at & 1u) != 0)
			(void)soft_join_flush(&joins->of[at].join);
	}
	joins->open = 0;
	joins->parts = 0;
}
