/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include <stdlib.h>
#include <string.h>

#include "flow.h"

#define OFF_SCAN 8u /* flows in hold-off that a full table looks at for one that is over */

int32_t dp_hold_init(struct dp_hold *hold, const struct dp_hold_limits *limits,
		     struct dp_counters *counters, struct dp_events *events)
{
	int32_t status;

	memset(hold, 0, sizeof(*hold));
	hold->limits = *limits;
	hold->counters = counters;
	hold->events = events;
	status = dp_flows_init(hold);
	if (status == 0)
		pthread_mutex_init(&hold->lock, NULL);
	return status;
}

void dp_hold_free(struct dp_hold *hold)
{
	if (hold->buckets == NULL)
		return;
	for (uint32_t i = 0; i < hold->flows.made; i++) {
		struct dp_flow *flow = hold->flows.slots[i].thing;

		if (flow != NULL) {
			dp_flow_end(hold, flow, DP_DROP_SHUTDOWN);
			dp_flow_free(hold, flow);
		}
	}
	dp_flows_free(hold);
	pthread_mutex_destroy(&hold->lock);
}

static void report(struct dp_hold *hold, struct dp_flow *flow, const struct dp_packet *packet)
{
	struct psp_dp_event *miss = &flow->miss;

	dp_event_describe(miss, packet, flow->key.pipe);
	miss->type = PSP_DP_EVENT_MISS;
	miss->flow = flow->handle;
	miss->spi = 0; /* no SA yet, whatever a tenant's own PSP packet says */
	miss->packet_len = packet->len - packet->l3_off;
	/* Behind another that is owed, too: misses are reported in order. */
	if (hold->owed_first == NULL && dp_events_push(hold->events, miss, NULL, 0))
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

void dp_hold_pay(struct dp_hold *hold)
{
	pthread_mutex_lock(&hold->lock);
	while (hold->owed_first != NULL) {
		struct dp_flow *flow = hold->owed_first;

		if (!dp_events_push(hold->events, &flow->miss, NULL, 0))
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
static void end_one_off(struct dp_hold *hold, uint64_t now_ns)
{
	struct dp_flow *flow = hold->off_first;

	for (uint32_t i = 0; i < OFF_SCAN && flow != NULL; i++, flow = flow->next) {
		if (now_ns < flow->off_until_ns)
			continue;
		dp_flow_end(hold, flow, DP_DROP_SHUTDOWN);
		dp_flow_free(hold, flow);
		return;
	}
}

/* The flow to append to, or NULL with the counter under which the packet is dropped. */
static struct dp_flow *flow_for(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet,
				uint64_t now_ns, enum dp_counter *counter)
{
	struct dp_flow_key key;
	struct dp_flow *flow;

	dp_flow_key_of(&key, pipe, packet);
	flow = dp_flow_find(hold, &key);
	if (flow != NULL && flow->state == DP_FLOW_OFF) {
		if (now_ns < flow->off_until_ns) {
			*counter = flow->off_counter;
			return NULL;
		}
		dp_flow_end(hold, flow, DP_DROP_SHUTDOWN);
		dp_flow_free(hold, flow);
		flow = NULL;
	}
	if (flow == NULL) {
		if (hold->flows.used >= hold->limits.flows)
			end_one_off(hold, now_ns);
		flow = dp_flow_new(hold, &key);
		if (flow != NULL)
			report(hold, flow, packet);
	}
	*counter = DP_DROP_HOLD_FLOWS;
	return flow;
}

static struct dp_held *copy(uint32_t pipe, const struct dp_packet *packet, uint32_t segments)
{
	struct dp_held *held = malloc(sizeof(*held) + packet->len);

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

void dp_hold_add(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet,
		 uint64_t now_ns)
{
	uint32_t segments = dp_segments(packet);
	enum dp_counter counter;
	struct dp_held *held;
	struct dp_flow *flow;

	pthread_mutex_lock(&hold->lock);
	dp_count(hold->counters, DP_HELD_PACKETS, segments);
	flow = flow_for(hold, pipe, packet, now_ns, &counter);
	if (flow == NULL) {
		dp_count(hold->counters, counter, segments);
		goto out;
	}
	if (packet->len > hold->limits.bytes) {
		dp_count(hold->counters, DP_DROP_HOLD_BYTES, segments);
		goto out;
	}
	if (flow->packets >= hold->limits.packets_per_flow)
		dp_flow_drop_oldest(hold, flow, DP_DROP_HOLD_FLOW_FULL);
	/* The oldest of the plane is the oldest of its flow. */
	while (hold->bytes + packet->len > hold->limits.bytes)
		dp_flow_drop_oldest(hold, hold->oldest->flow, DP_DROP_HOLD_BYTES);
	held = copy(pipe, packet, segments);
	if (held == NULL)
		dp_count(hold->counters, DP_DROP_HOLD_BYTES, segments);
	else
		dp_flow_push(hold, flow, held);
out:
	pthread_mutex_unlock(&hold->lock);
}
