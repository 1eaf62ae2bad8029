/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <stdlib.h>
#include <string.h>

#include "random.h"

static uint32_t power_of_2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

int32_t dp_flows_init(struct dp_hold *hold)
{
	uint32_t n = power_of_2(hold->limits.flows);

	if (dp_random(&hold->seed, sizeof(hold->seed)) != 0)
		return PSP_DP_EIO;
	hold->buckets = calloc(n, sizeof(*hold->buckets));
	if (hold->buckets == NULL)
		return PSP_DP_ENOMEM;
	hold->bucket_mask = n - 1;
	dp_handles_init(&hold->flows, hold->limits.flows);
	return 0;
}

void dp_flows_free(struct dp_hold *hold)
{
	free(hold->buckets);
	hold->buckets = NULL;
	dp_handles_free(&hold->flows);
}

void dp_flow_key_of(struct dp_flow_key *key, uint32_t pipe, const struct dp_packet *packet)
{
	memcpy(key->src, packet->fields.outer_ip_src, sizeof(key->src));
	memcpy(key->dst, packet->fields.outer_ip_dst, sizeof(key->dst));
	key->pipe = pipe;
}

/* A tenant chooses the addresses: the seed keeps it from filling one bucket. */
static struct dp_flow **bucket_of(const struct dp_hold *hold, const struct dp_flow_key *key)
{
	uint64_t words[4], h = hold->seed ^ key->pipe;

	memcpy(words, key->src, 16);
	memcpy(words + 2, key->dst, 16);
	for (uint32_t i = 0; i < 4; i++) {
		__extension__ unsigned __int128 product =
			(unsigned __int128)(words[i] ^ h ^ hold->seed) * 0x9e3779b97f4a7c15u;

		h += (uint64_t)product ^ (uint64_t)(product >> 64);
		h ^= h >> 29;
	}
	return &hold->buckets[(uint32_t)(h >> 16) & hold->bucket_mask];
}

static bool same_key(const struct dp_flow_key *a, const struct dp_flow_key *b)
{
	return a->pipe == b->pipe && memcmp(a->src, b->src, 16) == 0 &&
	       memcmp(a->dst, b->dst, 16) == 0;
}

struct dp_flow *dp_flow_find(const struct dp_hold *hold, const struct dp_flow_key *key)
{
	struct dp_flow *flow = *bucket_of(hold, key);

	while (flow != NULL && !same_key(&flow->key, key))
		flow = flow->bucket_next;
	return flow;
}

struct dp_flow *dp_flow_new(struct dp_hold *hold, const struct dp_flow_key *key)
{
	struct dp_flow **bucket = bucket_of(hold, key);
	struct dp_flow *flow = calloc(1, sizeof(*flow));

	if (flow == NULL)
		return NULL;
	flow->handle = dp_handle_take(&hold->flows, flow);
	if (flow->handle == 0) {
		free(flow);
		return NULL;
	}
	flow->key = *key;
	flow->state = DP_FLOW_HELD;
	flow->bucket_next = *bucket;
	*bucket = flow;
	return flow;
}

void dp_flow_free(struct dp_hold *hold, struct dp_flow *flow)
{
	struct dp_flow **at = bucket_of(hold, &flow->key);

	while (*at != flow)
		at = &(*at)->bucket_next;
	*at = flow->bucket_next;
	dp_handle_give(&hold->flows, flow->handle);
	free(flow);
}

struct dp_flow *dp_flow_of(const struct dp_hold *hold, uint32_t handle)
{
	return dp_handle_find(&hold->flows, handle);
}

void dp_flow_append(struct dp_flow **first, struct dp_flow **last, struct dp_flow *flow)
{
	flow->prev = *last;
	flow->next = NULL;
	if (*last != NULL)
		(*last)->next = flow;
	else
		*first = flow;
	*last = flow;
}

void dp_flow_unlink(struct dp_flow **first, struct dp_flow **last, struct dp_flow *flow)
{
	if (flow->prev != NULL)
		flow->prev->next = flow->next;
	else
		*first = flow->next;
	if (flow->next != NULL)
		flow->next->prev = flow->prev;
	else
		*last = flow->prev;
	flow->prev = NULL;
	flow->next = NULL;
}

/* ---- what a flow holds ----------------------------------------------------------------------- */

struct dp_held *dp_flow_pop(struct dp_hold *hold, struct dp_flow *flow)
{
	struct dp_held *held = flow->first;

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

void dp_flow_push(struct dp_hold *hold, struct dp_flow *flow, struct dp_held *held)
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

void dp_held_free(struct dp_held *held)
{
	/* Clear text of a tenant. */
	explicit_bzero(held->data, held->packet.len);
	free(held);
}

uint32_t dp_flow_drop_oldest(struct dp_hold *hold, struct dp_flow *flow, enum dp_counter counter)
{
	struct dp_held *held = dp_flow_pop(hold, flow);
	uint32_t segments = held->segments;

	dp_count(hold->counters, counter, segments);
	dp_held_free(held);
	return segments;
}

uint32_t dp_flow_end(struct dp_hold *hold, struct dp_flow *flow, enum dp_counter counter)
{
	uint32_t segments = 0;

	while (flow->first != NULL)
		segments += dp_flow_drop_oldest(hold, flow, counter);
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
	if (flow->state == DP_FLOW_OFF) {
		dp_flow_unlink(&hold->off_first, &hold->off_last, flow);
	} else if (flow->state == DP_FLOW_RELEASING) {
		dp_flow_unlink(&hold->release_first, &hold->release_last, flow);
		atomic_fetch_sub_explicit(&hold->releasing, 1, memory_order_relaxed);
	}
	flow->state = DP_FLOW_HELD;
	return segments;
}
