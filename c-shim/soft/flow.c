/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* clocks, explicit_bzero, names of threads */
#include "flow.h"

#include <stdlib.h>
#include <string.h>

#include "random.h"

#define NO_SLOT UINT32_MAX

static uint32_t power_of_2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

int32_t soft_flows_init(struct soft_hold *hold)
{
	uint32_t n = power_of_2(hold->limits.flows);

	if (soft_random(&hold->seed, sizeof(hold->seed)) != 0)
		return PSP_DP_EIO;
	hold->buckets = calloc(n, sizeof(*hold->buckets));
	hold->slots = calloc(n, sizeof(*hold->slots));
	if (hold->buckets == NULL || hold->slots == NULL) {
		soft_flows_free(hold);
		return PSP_DP_ENOMEM;
	}
	hold->bucket_mask = n - 1;
	hold->slot_mask = n - 1;
	hold->free_first = NO_SLOT;
	hold->free_last = NO_SLOT;
	return 0;
}

void soft_flows_free(struct soft_hold *hold)
{
	free(hold->buckets);
	free(hold->slots);
	hold->buckets = NULL;
	hold->slots = NULL;
}

void soft_flow_key_of(struct soft_flow_key *key, uint32_t pipe, const struct soft_packet *packet)
{
	memcpy(key->src, packet->fields.outer_ip_src, sizeof(key->src));
	memcpy(key->dst, packet->fields.outer_ip_dst, sizeof(key->dst));
	key->pipe = pipe;
}

/* A tenant chooses the addresses: the seed keeps it from filling one bucket. */
static struct soft_flow **bucket_of(const struct soft_hold *hold, const struct soft_flow_key *key)
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

static bool same_key(const struct soft_flow_key *a, const struct soft_flow_key *b)
{
	return a->pipe == b->pipe && memcmp(a->src, b->src, 16) == 0 &&
	       memcmp(a->dst, b->dst, 16) == 0;
}

struct soft_flow *soft_flow_find(const struct soft_hold *hold, const struct soft_flow_key *key)
{
	struct soft_flow *flow = *bucket_of(hold, key);

	while (flow != NULL && !same_key(&flow->key, key))
		flow = flow->bucket_next;
	return flow;
}

/* The slot that has been free for longest, so that a handle comes back as late as can be. */
static uint32_t slot_take(struct soft_hold *hold)
{
	uint32_t i = hold->free_first;

	if (hold->slots_made <= hold->slot_mask)
		return hold->slots_made++;
	hold->free_first = hold->slots[i].next_free;
	if (hold->free_first == NO_SLOT)
		hold->free_last = NO_SLOT;
	return i;
}

static void slot_give(struct soft_hold *hold, uint32_t i)
{
	hold->slots[i].flow = NULL;
	hold->slots[i].next_free = NO_SLOT;
	if (hold->free_last != NO_SLOT)
		hold->slots[hold->free_last].next_free = i;
	else
		hold->free_first = i;
	hold->free_last = i;
}

static uint32_t handle_of(const struct soft_hold *hold, uint32_t i)
{
	return hold->slots[i].generation * (hold->slot_mask + 1) + i;
}

struct soft_flow *soft_flow_new(struct soft_hold *hold, const struct soft_flow_key *key)
{
	struct soft_flow **bucket = bucket_of(hold, key);
	struct soft_flow *flow;
	uint32_t i;

	if (hold->flows >= hold->limits.flows)
		return NULL;
	flow = calloc(1, sizeof(*flow));
	if (flow == NULL)
		return NULL;
	i = slot_take(hold);
	do
		hold->slots[i].generation++;
	while (handle_of(hold, i) < hold->slot_mask + 1); /* generation 0 holds handle 0: no flow */
	hold->slots[i].flow = flow;
	flow->handle = handle_of(hold, i);
	flow->key = *key;
	flow->state = SOFT_FLOW_HELD;
	flow->bucket_next = *bucket;
	*bucket = flow;
	hold->flows++;
	return flow;
}

void soft_flow_free(struct soft_hold *hold, struct soft_flow *flow)
{
	struct soft_flow **at = bucket_of(hold, &flow->key);

	while (*at != flow)
		at = &(*at)->bucket_next;
	*at = flow->bucket_next;
	slot_give(hold, flow->handle & hold->slot_mask);
	hold->flows--;
	free(flow);
}

struct soft_flow *soft_flow_of(const struct soft_hold *hold, uint32_t handle)
{
	struct soft_flow *flow = hold->slots[handle & hold->slot_mask].flow;

	return flow != NULL && flow->handle == handle ? flow : NULL;
}

void soft_flow_append(struct soft_flow **first, struct soft_flow **last, struct soft_flow *flow)
{
	flow->prev = *last;
	flow->next = NULL;
	if (*last != NULL)
		(*last)->next = flow;
	else
		*first = flow;
	*last = flow;
}

void soft_flow_unlink(struct soft_flow **first, struct soft_flow **last, struct soft_flow *flow)
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
