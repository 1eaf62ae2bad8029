/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* clocks, explicit_bzero, names of threads */
#include "hold.h"

#include <stdlib.h>
#include <string.h>

#include "flow.h"

#define OFF_SCAN 8u /* flows in hold-off that a full table looks at for one that is over */

static const enum soft_counter reason_counter[PSP_DP_DROP_REASONS] = {
	[PSP_DP_DROP_NO_PEER] = SOFT_DROP_NO_PEER,
	[PSP_DP_DROP_PEER_UNREACHABLE] = SOFT_DROP_PEER_UNREACHABLE,
	[PSP_DP_DROP_REFUSED] = SOFT_DROP_REFUSED,
	[PSP_DP_DROP_NO_RESOURCE] = SOFT_DROP_NO_RESOURCE,
	[PSP_DP_DROP_SHUTDOWN] = SOFT_DROP_SHUTDOWN,
	[PSP_DP_DROP_BACK_OFF] = SOFT_DROP_BACK_OFF,
};

int32_t soft_hold_init(struct soft_hold *hold, const struct soft_hold_limits *limits,
		       struct soft_counters *counters, struct soft_events *events)
{
	int32_t status;

	memset(hold, 0, sizeof(*hold));
	hold->limits = *limits;
	hold->counters = counters;
	hold->events = events;
	status = soft_flows_init(hold);
	if (status == 0)
		pthread_mutex_init(&hold->lock, NULL);
	return status;
}

/* Takes the flow's oldest packet out of the flow and of the plane's order. */
static struct soft_held *pop(struct soft_hold *hold, struct soft_flow *flow)
{
	struct soft_held *held = flow->first;

	flow->first = held->next;
	if (flow->first == NULL) {
		flow->last = NULL;
		atomic_fetch_sub_explicit(&hold->holding, 1, memory_order_relaxed);
	}
	flow->packets--;
	if (held->older != NULL)
		held->older->younger = held->younger;
	else
		hold->oldest = held->younger;
	if (held->younger != NULL)
		held->younger->older = held->older;
	else
		hold->youngest = held->older;
	hold->bytes -= held->packet.len;
	held->next = NULL;
	return held;
}

static void push(struct soft_hold *hold, struct soft_flow *flow, struct soft_held *held)
{
	held->flow = flow;
	held->next = NULL;
	if (flow->last != NULL) {
		flow->last->next = held;
	} else {
		flow->first = held;
		atomic_fetch_add_explicit(&hold->holding, 1, memory_order_relaxed);
	}
	flow->last = held;
	flow->packets++;
	held->older = hold->youngest;
	held->younger = NULL;
	if (hold->youngest != NULL)
		hold->youngest->younger = held;
	else
		hold->oldest = held;
	hold->youngest = held;
	hold->bytes += held->packet.len;
}

void soft_held_free(struct soft_held *held)
{
	/* Clear text of a tenant. */
	explicit_bzero(held->data, held->packet.len);
	free(held);
}

static uint32_t drop_oldest(struct soft_hold *hold, struct soft_flow *flow,
			    enum soft_counter counter)
{
	struct soft_held *held = pop(hold, flow);
	uint32_t segments = held->segments;

	soft_count(hold->counters, counter, segments);
	soft_held_free(held);
	return segments;
}

/* Takes the flow off whatever list it is on, and drops what it holds. */
static uint32_t flow_end(struct soft_hold *hold, struct soft_flow *flow, enum soft_counter counter)
{
	uint32_t segments = 0;

	while (flow->first != NULL)
		segments += drop_oldest(hold, flow, counter);
	if (flow->owed) {
		/* Linked by its own pair: a flow may be owed an event in any state. */
		if (flow->owed_prev != NULL)
			flow->owed_prev->owed_next = flow->owed_next;
		else
			hold->owed_first = flow->owed_next;
		if (flow->owed_next != NULL)
			flow->owed_next->owed_prev = flow->owed_prev;
		else
			hold->owed_last = flow->owed_prev;
		flow->owed = false;
	}
	if (flow->state == SOFT_FLOW_OFF) {
		soft_flow_unlink(&hold->off_first, &hold->off_last, flow);
	} else if (flow->state == SOFT_FLOW_RELEASING) {
		soft_flow_unlink(&hold->release_first, &hold->release_last, flow);
		atomic_fetch_sub_explicit(&hold->releasing, 1, memory_order_relaxed);
	}
	flow->state = SOFT_FLOW_HELD;
	return segments;
}

void soft_hold_free(struct soft_hold *hold)
{
	if (hold->buckets == NULL)
		return;
	for (uint32_t i = 0; i < hold->slots_made; i++) {
		struct soft_flow *flow = hold->slots[i].flow;

		if (flow != NULL) {
			flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
			soft_flow_free(hold, flow);
		}
	}
	soft_flows_free(hold);
	pthread_mutex_destroy(&hold->lock);
}

static void report(struct soft_hold *hold, struct soft_flow *flow, const struct soft_packet *packet)
{
	struct psp_dp_event *miss = &flow->miss;

	miss->type = PSP_DP_EVENT_MISS;
	miss->port = packet->port;
	miss->flow = flow->handle;
	miss->pipe = flow->key.pipe;
	miss->packet_len = packet->len - packet->l3_off;
	miss->egress = packet->port == PSP_DP_PORT_HOST;
	memcpy(miss->src, flow->key.src, sizeof(miss->src));
	memcpy(miss->dst, flow->key.dst, sizeof(miss->dst));
	memcpy(miss->eth_src, packet->frame + 6, sizeof(miss->eth_src));
	/* Behind another that is owed, too: misses are reported in order. */
	if (hold->owed_first == NULL && soft_events_push(hold->events, miss, NULL, 0))
		return;
	flow->owed = true;
	flow->owed_prev = hold->owed_last;
	flow->owed_next = NULL;
	if (hold->owed_last != NULL)
		hold->owed_last->owed_next = flow;
	else
		hold->owed_first = flow;
	hold->owed_last = flow;
}

void soft_hold_pay(struct soft_hold *hold)
{
	pthread_mutex_lock(&hold->lock);
	while (hold->owed_first != NULL) {
		struct soft_flow *flow = hold->owed_first;

		if (!soft_events_push(hold->events, &flow->miss, NULL, 0))
			break;
		flow->owed = false;
		hold->owed_first = flow->owed_next;
		if (hold->owed_first != NULL)
			hold->owed_first->owed_prev = NULL;
		else
			hold->owed_last = NULL;
	}
	pthread_mutex_unlock(&hold->lock);
}

/* The hold-offs end about in the order in which they began: a few of the oldest tell. */
static void end_one_off(struct soft_hold *hold, uint64_t now_ns)
{
	struct soft_flow *flow = hold->off_first;

	for (uint32_t i = 0; i < OFF_SCAN && flow != NULL; i++, flow = flow->next) {
		if (now_ns < flow->off_until_ns)
			continue;
		flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
		soft_flow_free(hold, flow);
		return;
	}
}

/* The flow to append to, or NULL with the counter under which the packet is dropped. */
static struct soft_flow *flow_for(struct soft_hold *hold, uint32_t pipe,
				  const struct soft_packet *packet, uint64_t now_ns,
				  enum soft_counter *counter)
{
	struct soft_flow_key key;
	struct soft_flow *flow;

	soft_flow_key_of(&key, pipe, packet);
	flow = soft_flow_find(hold, &key);
	if (flow != NULL && flow->state == SOFT_FLOW_OFF) {
		if (now_ns < flow->off_until_ns) {
			*counter = flow->off_counter;
			return NULL;
		}
		flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
		soft_flow_free(hold, flow);
		flow = NULL;
	}
	if (flow == NULL) {
		if (hold->flows >= hold->limits.flows)
			end_one_off(hold, now_ns);
		flow = soft_flow_new(hold, &key);
		if (flow != NULL)
			report(hold, flow, packet);
	}
	*counter = SOFT_DROP_HOLD_FLOWS;
	return flow;
}

static struct soft_held *copy(uint32_t pipe, const struct soft_packet *packet, uint32_t segments)
{
	struct soft_held *held = malloc(sizeof(*held) + packet->len);

	if (held == NULL)
		return NULL;
	held->segments = segments;
	held->pipe = pipe;
	held->packet = *packet;
	held->packet.frame = held->data;
	held->packet.encap = NULL; /* lived under RCU; the pipe where it missed comes before it */
	held->packet.set_s = false;
	memcpy(held->data, packet->frame, packet->len);
	return held;
}

void soft_hold_add(struct soft_hold *hold, uint32_t pipe, const struct soft_packet *packet,
		   uint64_t now_ns)
{
	uint32_t segments = soft_segments(packet);
	enum soft_counter counter;
	struct soft_held *held;
	struct soft_flow *flow;

	pthread_mutex_lock(&hold->lock);
	soft_count(hold->counters, SOFT_HELD_PACKETS, segments);
	flow = flow_for(hold, pipe, packet, now_ns, &counter);
	if (flow == NULL) {
		soft_count(hold->counters, counter, segments);
		goto out;
	}
	if (packet->len > hold->limits.bytes) {
		soft_count(hold->counters, SOFT_DROP_HOLD_BYTES, segments);
		goto out;
	}
	if (flow->packets >= hold->limits.packets_per_flow)
		drop_oldest(hold, flow, SOFT_DROP_HOLD_FLOW_FULL);
	/* The oldest of the plane is the oldest of its flow. */
	while (hold->bytes + packet->len > hold->limits.bytes)
		drop_oldest(hold, hold->oldest->flow, SOFT_DROP_HOLD_BYTES);
	held = copy(pipe, packet, segments);
	if (held == NULL)
		soft_count(hold->counters, SOFT_DROP_HOLD_BYTES, segments);
	else
		push(hold, flow, held);
out:
	pthread_mutex_unlock(&hold->lock);
}

/* A flow that the agent may still decide about. */
static struct soft_flow *undecided(const struct soft_hold *hold, uint32_t handle)
{
	struct soft_flow *flow = soft_flow_of(hold, handle);

	return flow != NULL && flow->state == SOFT_FLOW_HELD ? flow : NULL;
}

int32_t soft_hold_release(struct soft_hold *hold, uint32_t handle, uint32_t *packets)
{
	int32_t status = PSP_DP_ENOENT;
	struct soft_flow *flow;

	*packets = 0;
	pthread_mutex_lock(&hold->lock);
	flow = undecided(hold, handle);
	if (flow != NULL) {
		*packets = flow->taken;
		for (const struct soft_held *h = flow->first; h != NULL; h = h->next)
			*packets += h->segments;
		flow->state = SOFT_FLOW_RELEASING;
		soft_flow_append(&hold->release_first, &hold->release_last, flow);
		atomic_fetch_add_explicit(&hold->releasing, 1, memory_order_release);
		status = 0;
	}
	pthread_mutex_unlock(&hold->lock);
	return status;
}

int32_t soft_hold_drop(struct soft_hold *hold, uint32_t handle, uint32_t reason,
		       uint64_t off_until_ns, uint32_t *packets)
{
	enum soft_counter counter = reason_counter[reason];
	int32_t status = PSP_DP_ENOENT;
	struct soft_flow *flow;

	*packets = 0;
	pthread_mutex_lock(&hold->lock);
	flow = undecided(hold, handle);
	if (flow != NULL) {
		*packets = flow_end(hold, flow, counter);
		status = 0;
	}
	if (flow != NULL && off_until_ns != 0) {
		flow->state = SOFT_FLOW_OFF;
		flow->off_until_ns = off_until_ns;
		flow->off_counter = counter;
		soft_flow_append(&hold->off_first, &hold->off_last, flow);
	} else if (flow != NULL) {
		soft_flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
	return status;
}

void soft_hold_off_clear(struct soft_hold *hold)
{
	pthread_mutex_lock(&hold->lock);
	while (hold->off_first != NULL) {
		struct soft_flow *flow = hold->off_first;

		flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
		soft_flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
}

void soft_hold_drop_pipe(struct soft_hold *hold, uint32_t pipe)
{
	pthread_mutex_lock(&hold->lock);
	for (uint32_t i = 0; i < hold->slots_made; i++) {
		struct soft_flow *flow = hold->slots[i].flow;

		if (flow != NULL && flow->key.pipe == pipe) {
			flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
			soft_flow_free(hold, flow);
		}
	}
	pthread_mutex_unlock(&hold->lock);
}

/* All that the flow holds, as one chain. */
static struct soft_held *detach(struct soft_hold *hold, struct soft_flow *flow)
{
	struct soft_held *first = flow->first, *last = NULL;

	while (flow->first != NULL) {
		struct soft_held *held = pop(hold, flow);

		if (last != NULL)
			last->next = held;
		last = held;
	}
	return first;
}

struct soft_held *soft_hold_next(struct soft_hold *hold)
{
	struct soft_held *chain = NULL;

	pthread_mutex_lock(&hold->lock);
	while (chain == NULL && hold->release_first != NULL) {
		struct soft_flow *flow = hold->release_first;

		chain = detach(hold, flow);
		flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
		soft_flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
	return chain;
}

struct soft_held *soft_hold_take(struct soft_hold *hold, uint32_t pipe,
				 const struct soft_packet *packet)
{
	struct soft_held *chain = NULL;
	struct soft_flow_key key;
	struct soft_flow *flow;

	soft_flow_key_of(&key, pipe, packet);
	pthread_mutex_lock(&hold->lock);
	flow = soft_flow_find(hold, &key);
	if (flow != NULL && flow->state != SOFT_FLOW_OFF) {
		chain = detach(hold, flow);
		for (const struct soft_held *h = chain; h != NULL; h = h->next)
			flow->taken += h->segments;
	}
	pthread_mutex_unlock(&hold->lock);
	return chain;
}
