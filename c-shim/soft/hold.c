/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include <stdlib.h>
#include <string.h>

#include "flow.h"

#define OFF_SCAN 8u /* flows in hold-off that a full table looks at for one that is over */

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

void soft_hold_free(struct soft_hold *hold)
{
	if (hold->buckets == NULL)
		return;
	for (uint32_t i = 0; i < hold->slots_made; i++) {
		struct soft_flow *flow = hold->slots[i].flow;

		if (flow != NULL) {
			soft_flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
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
		soft_flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
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
		soft_flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
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
		soft_flow_drop_oldest(hold, flow, SOFT_DROP_HOLD_FLOW_FULL);
	/* The oldest of the plane is the oldest of its flow. */
	while (hold->bytes + packet->len > hold->limits.bytes)
		soft_flow_drop_oldest(hold, hold->oldest->flow, SOFT_DROP_HOLD_BYTES);
	held = copy(pipe, packet, segments);
	if (held == NULL)
		soft_count(hold->counters, SOFT_DROP_HOLD_BYTES, segments);
	else
		soft_flow_push(hold, flow, held);
out:
	pthread_mutex_unlock(&hold->lock);
}
