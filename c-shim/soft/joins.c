/* SPDX-License-Identifier: Apache-2.0 */
/*
 * joins.c: packets on their way to workloads, joined flow by flow: one flow's next packet does not end what those of others
 * have begun. Those of a flow leave in the order in which they came.
 */
#include "../common/net.h"
#include "soft.h"

_Static_assert((SOFT_JOINS & (SOFT_JOINS - 1)) == 0 && SOFT_JOINS <= 32, "a mask, and a bit each");

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
