/* SPDX-License-Identifier: Apache-2.0 */
/* release.c: how flows leave the hold: the agent decides, the worker takes. */
#include "flow.h"

static const enum soft_counter reason_counter[PSP_DP_DROP_REASONS] = {
	[PSP_DP_DROP_NO_PEER] = SOFT_DROP_NO_PEER,
	[PSP_DP_DROP_PEER_UNREACHABLE] = SOFT_DROP_PEER_UNREACHABLE,
	[PSP_DP_DROP_REFUSED] = SOFT_DROP_REFUSED,
	[PSP_DP_DROP_NO_RESOURCE] = SOFT_DROP_NO_RESOURCE,
	[PSP_DP_DROP_SHUTDOWN] = SOFT_DROP_SHUTDOWN,
	[PSP_DP_DROP_BACK_OFF] = SOFT_DROP_BACK_OFF,
};

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
		*packets = soft_flow_end(hold, flow, counter);
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

		soft_flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
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
			soft_flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
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
		struct soft_held *held = soft_flow_pop(hold, flow);

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
		soft_flow_end(hold, flow, SOFT_DROP_SHUTDOWN);
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
