/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: a packet from pipe to pipe: lookup, miss or rule, and what a super-frame does where its packets part. */
#include <string.h>

#include "soft.h"

static uint64_t ip_bytes(const struct dp_packet *packet, uint32_t segments)
{
	return packet->len - packet->l3_off +
	       (uint64_t)(segments - 1) * ((uint32_t)packet->payload_off - packet->l3_off);
}

static void walk_init(struct soft_walk *walk, struct dp_packet *packet)
{
	memset(walk, 0, sizeof(*walk));
	walk->packet = packet;
	walk->segments = dp_segments(packet);
	walk->bytes = ip_bytes(packet, walk->segments);
}

void soft_walk_drop(struct soft_worker *worker, const struct soft_walk *walk,
		    enum dp_counter counter)
{
	if (walk->counted)
		return;
	if (walk->decrypted && walk->packet->verdict == PSP_DP_VERDICT_POLICY)
		counter = DP_RX_POLICY;
	soft_worker_count(worker, counter, walk->segments);
}

/* ---- super-frames ---------------------------------------------------------------------------- */

/* What is to happen to a part of a super-frame. */
typedef void part_fn(struct soft_worker *worker, struct soft_walk *part, struct soft_pipe *pipe,
		     struct soft_entry *entry);

static void run_part(struct soft_worker *worker, const struct soft_walk *whole, uint32_t first,
		     uint32_t count, struct soft_pipe *pipe, struct soft_entry *entry, part_fn *run)
{
	struct soft_walk part = *whole;
	struct dp_packet packet;

	soft_split(whole->packet, first, count, worker->split_buf[worker->split_depth], &packet);
	part.packet = &packet;
	part.segments = count;
	part.bytes = ip_bytes(&packet, count);
	worker->split_depth++;
	run(worker, &part, pipe, entry);
	worker->split_depth--;
}

static bool can_split(const struct soft_worker *worker, const struct soft_walk *walk)
{
	return walk->segments > 1 && worker->split_depth < SOFT_SPLIT_DEPTH;
}

static struct soft_entry *draw(struct soft_worker *worker, const struct soft_pipe *pipe,
			       struct dp_packet *packet)
{
	packet->fields.parser_meta_random = (uint16_t)dp_rng_next(&worker->rng);
	return soft_pipe_find(pipe, &packet->fields);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

struct segment_run {
	struct soft_worker *worker;
	const struct soft_walk *whole;
	const struct soft_pipe *pipe;
	const struct soft_rule *rule;
	uint32_t segments;
};

/* One PSP packet out of what the uplink gave. */
static void run_segment(void *arg, struct dp_packet *packet)
{
	struct segment_run *run = arg;
	struct soft_walk walk = *run->whole;
	struct soft_pipe *next;

	walk.packet = packet;
	walk.segments = 1;
	walk.bytes = ip_bytes(packet, 1);
	run->segments++;
	if (!soft_walk_decrypt(run->worker, &walk))
		return;
	next = soft_walk_act(run->worker, &walk, run->pipe, run->rule);
	if (next != NULL)
		soft_walk_on(run->worker, &walk, next);
}

static void run_decrypt(struct soft_worker *worker, struct soft_walk *walk,
			const struct soft_pipe *pipe, const struct soft_rule *rule)
{
	struct segment_run run = {.worker = worker, .whole = walk, .pipe = pipe, .rule = rule};

	soft_cut(walk->packet, run_segment, &run);
	/* soft_cut() bounds what it cuts. */
	if (run.segments < walk->segments)
		soft_worker_count(worker, DP_RX_ERROR, walk->segments - run.segments);
}

static void mirror_part(struct soft_worker *worker, struct soft_walk *part, struct soft_pipe *pipe,
			struct soft_entry *entry)
{
	const struct soft_rule *rule = atomic_load_explicit(&entry->rule, memory_order_acquire);
	struct soft_pipe *next = soft_walk_act(worker, part, pipe, rule);

	if (next != NULL)
		soft_walk_on(worker, part, next);
}

static struct soft_pipe *run_rule(struct soft_worker *worker, struct soft_walk *walk,
				  struct soft_pipe *pipe, struct soft_entry *entry)
{
	const struct soft_rule *rule = atomic_load_explicit(&entry->rule, memory_order_acquire);

	if (rule->base.count)
		soft_stats_add(&entry->stats, walk->segments, walk->bytes, worker->now_ns);
	if (pipe->base.count)
		soft_stats_add(&pipe->hits, walk->segments, walk->bytes, worker->now_ns);
	if ((rule->base.actions.flags & PSP_DP_ACTION_DECRYPT) != 0 && !walk->decrypted) {
		run_decrypt(worker, walk, pipe, rule);
		return NULL;
	}
	if (rule->base.mirror && walk->packet->port == PSP_DP_PORT_HOST &&
	    can_split(worker, walk)) {
		for (uint32_t i = 0; i < walk->segments; i++)
			run_part(worker, walk, i, 1, pipe, entry, mirror_part);
		return NULL;
	}
	return soft_walk_act(worker, walk, pipe, rule);
}

static struct soft_pipe *run_found(struct soft_worker *worker, struct soft_walk *walk,
				   struct soft_pipe *pipe, struct soft_entry *entry)
{
	if (entry != NULL)
		return run_rule(worker, walk, pipe, entry);
	if (pipe->base.miss_counter)
		soft_stats_add(&pipe->misses, walk->segments, walk->bytes, worker->now_ns);
	return soft_walk_forward(worker, walk, pipe, &pipe->base.fwd_miss);
}

static void found_part(struct soft_worker *worker, struct soft_walk *part, struct soft_pipe *pipe,
		       struct soft_entry *entry)
{
	struct soft_pipe *next = run_found(worker, part, pipe, entry);

	if (next != NULL)
		soft_walk_on(worker, part, next);
}

/*
 * Each packet of a super-frame has its own draw. Neighbours with the same outcome stay together; all with the
 * same: the frame stays whole.
 */
static struct soft_pipe *run_random(struct soft_worker *worker, struct soft_walk *walk,
				    struct soft_pipe *pipe)
{
	struct soft_entry *entry = draw(worker, pipe, walk->packet);
	uint32_t first = 0;

	for (uint32_t i = 1; can_split(worker, walk) && i < walk->segments; i++) {
		struct soft_entry *other = draw(worker, pipe, walk->packet);

		if (other == entry)
			continue;
		run_part(worker, walk, first, i - first, pipe, entry, found_part);
		first = i;
		entry = other;
	}
	if (first == 0)
		return run_found(worker, walk, pipe, entry);
	run_part(worker, walk, first, walk->segments - first, pipe, entry, found_part);
	return NULL;
}

/* An entry is in, but packets that missed before it came still wait for their release: they go first. */
static bool run_waiting(struct soft_worker *worker, const struct soft_walk *walk,
			const struct soft_pipe *pipe)
{
	struct dp_held *chain;

	if (pipe->base.fwd_miss.type != PSP_DP_FWD_RSS ||
	    pipe->base.fwd_miss.target != PSP_DP_RSS_MISS || worker->resubmitting ||
	    walk->packet->port != PSP_DP_PORT_HOST || !dp_hold_is_holding(&worker->dp->base.hold))
		return false;
	chain = dp_hold_take(&worker->dp->base.hold, pipe->base.id, walk->packet);
	if (chain == NULL)
		return false;
	soft_run_held(worker, chain);
	return true;
}

static struct soft_pipe *run_pipe(struct soft_worker *worker, struct soft_walk *walk,
				  struct soft_pipe *pipe)
{
	struct soft_entry *entry;

	if (++walk->hops > SOFT_HOPS_MAX) {
		soft_walk_drop(worker, walk, DP_DROP_LOOP);
		return NULL;
	}
	if (atomic_load_explicit(&pipe->random, memory_order_relaxed))
		return run_random(worker, walk, pipe);
	entry = soft_pipe_find(pipe, &walk->packet->fields);
	if (entry != NULL && run_waiting(worker, walk, pipe))
		entry = soft_pipe_find(pipe, &walk->packet->fields);
	return run_found(worker, walk, pipe, entry);
}

void soft_walk_on(struct soft_worker *worker, struct soft_walk *walk, struct soft_pipe *pipe)
{
	while (pipe != NULL)
		pipe = run_pipe(worker, walk, pipe);
}

/* ---- in -------------------------------------------------------------------------------------- */

void soft_run(struct soft_worker *worker, struct dp_packet *packet)
{
	static const struct dp_fwd to_kernel = {.type = PSP_DP_FWD_KERNEL};
	bool from_host = packet->port == PSP_DP_PORT_HOST;
	bool sound = dp_parse(packet);
	struct soft_pipe *root;
	struct soft_walk walk;

	walk_init(&walk, packet);
	soft_worker_count(worker, from_host ? DP_HOST_RX_PACKETS : DP_UPLINK_RX_PACKETS,
			  walk.segments);
	if (!sound) {
		soft_walk_drop(worker, &walk, from_host ? DP_HOST_MALFORMED : DP_UPLINK_MALFORMED);
		return;
	}
	root = soft_pipe(atomic_load_explicit(&worker->dp->base.root, memory_order_acquire));
	if (root != NULL)
		soft_walk_on(worker, &walk, root);
	else
		(void)soft_walk_forward(worker, &walk, NULL, &to_kernel);
}

static void run_one_held(struct soft_worker *worker, const struct dp_held *held)
{
	struct dp_packet packet = held->packet;
	struct soft_pipe *pipe = soft_pipe(dp_pipe_of(worker->dp, held->pipe));
	struct soft_walk walk;

	if (pipe == NULL) {
		soft_worker_count(worker, DP_DROP_SHUTDOWN, held->segments);
		return;
	}
	packet.frame = worker->held_buf + DP_HEADROOM;
	memcpy(packet.frame, held->data, packet.len);
	soft_worker_count(worker, DP_HELD_RELEASED, held->segments);
	walk_init(&walk, &packet);
	soft_walk_on(worker, &walk, pipe);
}

void soft_run_held(struct soft_worker *worker, struct dp_held *chain)
{
	worker->resubmitting = true;
	while (chain != NULL) {
		struct dp_held *held = chain;

		chain = held->next;
		run_one_held(worker, held);
		dp_held_free(held);
	}
	worker->resubmitting = false;
}
