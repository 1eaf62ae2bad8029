/* SPDX-License-Identifier: Apache-2.0 */
/* release.c: how flows leave the hold: the agent decides, the worker takes. */
#include "flow.h"

static const enum dp_counter reason_counter[PSP_DP_DROP_REASONS] = {
	[PSP_DP_DROP_NO_PEER] = DP_DROP_NO_PEER,
	[PSP_DP_DROP_PEER_UNREACHABLE] = DP_DROP_PEER_UNREACHABLE,
	[PSP_DP_DROP_REFUSED] = DP_DROP_REFUSED,
	[PSP_DP_DROP_NO_RESOURCE] = DP_DROP_NO_RESOURCE,
	[PSP_DP_DROP_SHUTDOWN] = DP_DROP_SHUTDOWN,
	[PSP_DP_DROP_BACK_OFF] = DP_DROP_BACK_OFF,
};

/* A flow that the agent may still decide about. */
static struct dp_flow *undecided(const struct dp_hold *hold, uint32_t handle)
{
	struct dp_flow *flow = dp_flow_of(hold, handle);

	return flow != NULL && flow->state == DP_FLOW_HELD ? flow : NULL;
}

int32_t dp_hold_release(struct dp_hold *hold, uint32_t handle, uint32_t *packets)
{
	int32_t status = PSP_DP_ENOENT;
	struct dp_flow *flow;

	*packets = 0;
	pthread_mutex_lock(&hold->lock);
	flow = undecided(hold, handle);
	if (flow != NULL) {
		*packets = flow->taken;
		for (const struct dp_held *h = flow->first; h != NULL; h = h->next)
			*packets += h->segments;
		flow->state = DP_FLOW_RELEASING;
		dp_flow_append(&hold->release_first, &hold->release_last, flow);
		atomic_fetch_add_explicit(&hold->releasing, 1, memory_order_release);
		status = 0;
	}
	pthread_mutex_unlock(&hold->lock);
	return status;
}

int32_t dp_hold_drop(struct dp_hold *hold, uint32_t handle, uint32_t reason, uint64_t off_until_ns,
		     uint32_t *packets)
{
	enum dp_counter counter = reason_counter[reason];
	int32_t status = PSP_DP_ENOENT;
	struct dp_flow *flow;

	*packets = 0;
	pthread_mutex_lock(&hold->lock);
	flow = undecided(hold, handle);
	if (flow != NULL) {
		*packets = dp_flow_end(hold, flow, counter);
		status = 0;
	}
	if (flow != NULL && off_until_ns != 0) {
		flow->state = DP_FLOW_OFF;
		flow->off_until_ns = off_until_ns;
		flow->off_counter = counter;
		dp_flow_append(&hold->off_first, &hold->off_last, flow);
	} else if (flow != NULL) {
		dp_flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
	return status;
}

void dp_hold_off_clear(struct dp_hold *hold)
{
	pthread_mutex_lock(&hold->lock);
	while (hold->off_first != NULL) {
		struct dp_flow *flow = hold->off_first;

		dp_flow_end(hold, flow, DP_DROP_SHUTDOWN);
		dp_flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
}

void dp_hold_drop_pipe(struct dp_hold *hold, uint32_t pipe)
{
	pthread_mutex_lock(&hold->lock);
	for (uint32_t i = 0; i < hold->flows.made; i++) {
		struct dp_flow *flow = hold->flows.slots[i].thing;

		if (flow != NULL && flow->key.pipe == pipe) {
			dp_flow_end(hold, flow, DP_DROP_SHUTDOWN);
			dp_flow_free(hold, flow);
		}
	}
	pthread_mutex_unlock(&hold->lock);
}

/* All that the flow holds, as one chain. */
static struct dp_held *detach(struct dp_hold *hold, struct dp_flow *flow)
{
	struct dp_held *first = flow->first, *last = NULL;

	while (flow->first != NULL) {
		struct dp_held *held = dp_flow_pop(hold, flow);

		if (last != NULL)
			last->next = held;
		last = held;
	}
	return first;
}

struct dp_held *dp_hold_next(struct dp_hold *hold)
{
	struct dp_held *chain = NULL;

	pthread_mutex_lock(&hold->lock);
	while (chain == NULL && hold->release_first != NULL) {
		struct dp_flow *flow = hold->release_first;

		chain = detach(hold, flow);
		dp_flow_end(hold, flow, DP_DROP_SHUTDOWN);
		dp_flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
	return chain;
}

struct dp_held *dp_hold_take(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet)
{
	struct dp_held *chain = NULL;
	struct dp_flow_key key;
	struct dp_flow *flow;

	dp_flow_key_of(&key, pipe, packet);
	pthread_mutex_lock(&hold->lock);
	flow = dp_flow_find(hold, &key);
	if (flow != NULL && flow->state != DP_FLOW_OFF) {
		chain = detach(hold, flow);
		for (const struct dp_held *h = chain; h != NULL; h = h->next)
			flow->taken += h->segments;
	}
	pthread_mutex_unlock(&hold->lock);
	return chain;
}
