/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.c: the table of flows and what each of them holds, how packets come to the hold, and how they leave it: the
 * agent decides, the worker takes. Last, what the ABI says of events and held packets.
 */
#include "hold.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "plane.h"
#include "random.h"

#define OFF_SCAN 8u /* flows in hold-off that a full table looks at for one that is over */

/* ---- flows ----------------------------------------------------------------------------------- */

static uint32_t power_of_2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static int32_t flows_init(struct dp_hold *hold)
{
	uint32_t n = power_of_2(hold->limits.flows);

	if (dp_random(&hold->seed, sizeof(hold->seed)) != 0)
		return PSP_DP_EIO;
	hold->buckets = calloc(n, sizeof(*hold->buckets));
	if (hold->buckets == NULL)
		return PSP_DP_ENOMEM;
	hold->bucket_mask = n - 1;
	/* Handles keep their form when the limit is another. */
	dp_handles_init(&hold->flows, PSP_DP_HOLD_FLOWS_MAX);
	hold->flows.max = hold->limits.flows;
	return 0;
}

static void flows_free(struct dp_hold *hold)
{
	free(hold->buckets);
	hold->buckets = NULL;
	dp_handles_free(&hold->flows);
}

static void flow_key_of(struct dp_flow_key *key, uint32_t pipe, const struct dp_packet *packet)
{
	memcpy(key->src, packet->fields.outer_ip_src, sizeof(key->src));
	memcpy(key->dst, packet->fields.outer_ip_dst, sizeof(key->dst));
	key->pipe = pipe;
	key->port = packet->handle;
}

/* A tenant chooses the addresses: the seed keeps it from filling one bucket. */
static struct dp_flow **bucket_of(const struct dp_hold *hold, const struct dp_flow_key *key)
{
	uint64_t words[4], h = hold->seed ^ key->pipe ^ (uint64_t)key->port << 32;

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

/* More buckets, when there are to be more flows. */
static int32_t flows_spread(struct dp_hold *hold, uint32_t flows)
{
	const uint32_t n = power_of_2(flows);
	struct dp_flow **fresh;

	if (n <= hold->bucket_mask + 1)
		return 0;
	fresh = calloc(n, sizeof(*fresh));
	if (fresh == NULL)
		return PSP_DP_ENOMEM;
	free(hold->buckets);
	hold->buckets = fresh;
	hold->bucket_mask = n - 1;
	for (uint32_t i = 0; i < hold->flows.made; i++) {
		struct dp_flow *flow = hold->flows.slots[i].thing, **bucket;

		if (flow == NULL)
			continue;
		bucket = bucket_of(hold, &flow->key);
		flow->bucket_next = *bucket;
		*bucket = flow;
	}
	return 0;
}

static bool same_key(const struct dp_flow_key *a, const struct dp_flow_key *b)
{
	return a->pipe == b->pipe && a->port == b->port && memcmp(a->src, b->src, 16) == 0 &&
	       memcmp(a->dst, b->dst, 16) == 0;
}

static struct dp_flow *flow_find(const struct dp_hold *hold, const struct dp_flow_key *key)
{
	struct dp_flow *flow = *bucket_of(hold, key);

	while (flow != NULL && !same_key(&flow->key, key))
		flow = flow->bucket_next;
	return flow;
}

/* NULL when the limit is reached or memory is out. */
static struct dp_flow *flow_new(struct dp_hold *hold, struct dp_share *share,
				const struct dp_flow_key *key)
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
	flow->share = share;
	share->flows++;
	flow->state = DP_FLOW_HELD;
	flow->bucket_next = *bucket;
	*bucket = flow;
	return flow;
}

/* The flow holds nothing and is on no list. */
static void flow_free(struct dp_hold *hold, struct dp_flow *flow)
{
	struct dp_flow **at = bucket_of(hold, &flow->key);

	while (*at != flow)
		at = &(*at)->bucket_next;
	*at = flow->bucket_next;
	dp_handle_give(&hold->flows, flow->handle);
	flow->share->flows--;
	free(flow);
}

/* NULL: the handle is stale. */
static struct dp_flow *flow_of(const struct dp_hold *hold, uint32_t handle)
{
	return dp_handle_find(&hold->flows, handle);
}

static void flow_append(struct dp_flow **first, struct dp_flow **last, struct dp_flow *flow)
{
	flow->prev = *last;
	flow->next = NULL;
	if (*last != NULL)
		(*last)->next = flow;
	else
		*first = flow;
	*last = flow;
}

static void flow_unlink(struct dp_flow **first, struct dp_flow **last, struct dp_flow *flow)
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

/* From the front of the flow, and out of its share's order. */
static struct dp_held *flow_pop(struct dp_hold *hold, struct dp_flow *flow)
{
	struct dp_share *share = flow->share;
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
		share->oldest = held->younger;
	if (held->younger != NULL)
		held->younger->older = held->older;
	else
		share->youngest = held->older;
	share->bytes -= held->packet.len;
	hold->bytes -= held->packet.len;
	held->next = NULL;
	return held;
}

/* To the end of both. */
static void flow_push(struct dp_hold *hold, struct dp_flow *flow, struct dp_held *held)
{
	struct dp_share *share = flow->share;

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
	held->older = share->youngest;
	held->younger = NULL;
	if (share->youngest != NULL)
		share->youngest->younger = held;
	else
		share->oldest = held;
	share->youngest = held;
	share->bytes += held->packet.len;
	hold->bytes += held->packet.len;
}

void dp_held_free(struct dp_held *held)
{
	/* Clear text of a tenant. */
	explicit_bzero(held->data, held->packet.len);
	free(held);
}

/* Returns how many packets it was. */
static uint32_t flow_drop_oldest(struct dp_hold *hold, struct dp_flow *flow,
				 enum dp_counter counter)
{
	struct dp_held *held = flow_pop(hold, flow);
	uint32_t segments = held->segments;

	dp_count(hold->counters, counter, segments);
	dp_held_free(held);
	return segments;
}

/* Drops what it holds and takes it off whatever list it is on; it stays in the table. */
static uint32_t flow_end(struct dp_hold *hold, struct dp_flow *flow, enum dp_counter counter)
{
	uint32_t segments = 0;

	while (flow->first != NULL)
		segments += flow_drop_oldest(hold, flow, counter);
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
		flow_unlink(&flow->share->off_first, &flow->share->off_last, flow);
	} else if (flow->state == DP_FLOW_RELEASING) {
		flow_unlink(&hold->release_first, &hold->release_last, flow);
		atomic_fetch_sub_explicit(&hold->releasing, 1, memory_order_relaxed);
	}
	flow->state = DP_FLOW_HELD;
	return segments;
}

/* ---- in -------------------------------------------------------------------------------------- */

int32_t dp_hold_init(struct dp_hold *hold, const struct dp_hold_limits *limits,
		     struct dp_counters *counters, struct dp_events *events)
{
	const struct psp_dp_rate any = {.per_s = PSP_DP_RATE_NONE};
	int32_t status;

	memset(hold, 0, sizeof(*hold));
	dp_gate_init(&hold->rest.misses, &any, &any, 0);
	hold->limits = *limits;
	hold->counters = counters;
	hold->events = events;
	status = flows_init(hold);
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
			flow_end(hold, flow, DP_DROP_SHUTDOWN);
			flow_free(hold, flow);
		}
	}
	flows_free(hold);
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
static bool end_one_off(struct dp_hold *hold, const struct dp_share *share, uint64_t now_ns)
{
	struct dp_flow *flow = share->off_first;

	for (uint32_t i = 0; i < OFF_SCAN && flow != NULL; i++, flow = flow->next) {
		if (now_ns < flow->off_until_ns)
			continue;
		flow_end(hold, flow, DP_DROP_SHUTDOWN);
		flow_free(hold, flow);
		return true;
	}
	return false;
}

/* A full share makes room in itself, a full plane anywhere. */
static bool room_for_flow(struct dp_hold *hold, const struct dp_share *share, uint64_t now_ns)
{
	if (share->max_flows != 0 && share->flows >= share->max_flows)
		return end_one_off(hold, share, now_ns);
	if (hold->flows.used < hold->limits.flows)
		return true;
	for (const struct dp_share *other = hold->shares; other != NULL; other = other->next) {
		if (end_one_off(hold, other, now_ns))
			return true;
	}
	return false;
}

/* The flow to append to, or NULL with the counter under which the packet is dropped. */
static struct dp_flow *flow_for(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet,
				struct dp_share *share, uint64_t now_ns, enum dp_counter *counter)
{
	struct dp_flow_key key;
	struct dp_flow *flow;

	flow_key_of(&key, pipe, packet);
	flow = flow_find(hold, &key);
	if (flow != NULL && flow->state == DP_FLOW_OFF) {
		if (now_ns < flow->off_until_ns) {
			*counter = flow->off_counter;
			return NULL;
		}
		flow_end(hold, flow, DP_DROP_SHUTDOWN);
		flow_free(hold, flow);
		flow = NULL;
	}
	if (flow == NULL && !dp_gate_pass(&share->misses, packet->frame + 6, now_ns)) {
		*counter = DP_MISSES_LIMITED;
		return NULL;
	}
	if (flow == NULL) {
		if (room_for_flow(hold, share, now_ns))
			flow = flow_new(hold, share, &key);
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

static struct dp_share *fullest(const struct dp_hold *hold)
{
	struct dp_share *best = hold->shares;

	for (struct dp_share *share = hold->shares; share != NULL; share = share->next) {
		if (share->bytes > best->bytes)
			best = share;
	}
	return best;
}

/* Drops the oldest of the share, then of whoever holds most, until the octets fit. False: they never can. */
static bool room_for_bytes(struct dp_hold *hold, struct dp_share *share, uint32_t len)
{
	const uint64_t max = share->max_bytes != 0 ? share->max_bytes : hold->limits.bytes;

	if (len > max || len > hold->limits.bytes)
		return false;
	/* The oldest of a share is the oldest of its flow. */
	while (share->bytes + len > max)
		flow_drop_oldest(hold, share->oldest->flow, DP_DROP_HOLD_BYTES);
	while (hold->bytes + len > hold->limits.bytes)
		flow_drop_oldest(hold, fullest(hold)->oldest->flow, DP_DROP_HOLD_BYTES);
	return true;
}

void dp_hold_add(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet,
		 struct dp_share *share, uint64_t now_ns)
{
	uint32_t segments = dp_segments(packet);
	enum dp_counter counter;
	struct dp_held *held;
	struct dp_flow *flow;

	if (share == NULL)
		share = &hold->rest;
	pthread_mutex_lock(&hold->lock);
	if (!share->known) {
		share->known = true;
		share->next = hold->shares;
		hold->shares = share;
	}
	dp_count(hold->counters, DP_HELD_PACKETS, segments);
	flow = flow_for(hold, pipe, packet, share, now_ns, &counter);
	if (flow == NULL) {
		dp_count(hold->counters, counter, segments);
		goto out;
	}
	while (flow->packets >= hold->limits.packets_per_flow)
		flow_drop_oldest(hold, flow, DP_DROP_HOLD_FLOW_FULL);
	held = room_for_bytes(hold, share, packet->len) ? copy(pipe, packet, segments) : NULL;
	if (held == NULL)
		dp_count(hold->counters, DP_DROP_HOLD_BYTES, segments);
	else
		flow_push(hold, flow, held);
out:
	pthread_mutex_unlock(&hold->lock);
}

int32_t dp_hold_limit(struct dp_hold *hold, const struct dp_hold_limits *limits)
{
	int32_t status;

	pthread_mutex_lock(&hold->lock);
	status = flows_spread(hold, limits->flows);
	if (status == 0) {
		hold->limits = *limits;
		hold->flows.max = limits->flows;
		while (hold->bytes > limits->bytes)
			flow_drop_oldest(hold, fullest(hold)->oldest->flow, DP_DROP_HOLD_BYTES);
	}
	pthread_mutex_unlock(&hold->lock);
	return status;
}

/* ---- out: the agent's side ------------------------------------------------------------------- */

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
	struct dp_flow *flow = flow_of(hold, handle);

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
		flow_append(&hold->release_first, &hold->release_last, flow);
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
		*packets = flow_end(hold, flow, counter);
		status = 0;
	}
	if (flow != NULL && off_until_ns != 0) {
		flow->state = DP_FLOW_OFF;
		flow->off_until_ns = off_until_ns;
		flow->off_counter = counter;
		flow_append(&flow->share->off_first, &flow->share->off_last, flow);
	} else if (flow != NULL) {
		flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
	return status;
}

void dp_hold_off_clear(struct dp_hold *hold)
{
	pthread_mutex_lock(&hold->lock);
	for (struct dp_share *share = hold->shares; share != NULL; share = share->next) {
		while (share->off_first != NULL) {
			struct dp_flow *flow = share->off_first;

			flow_end(hold, flow, DP_DROP_SHUTDOWN);
			flow_free(hold, flow);
		}
	}
	pthread_mutex_unlock(&hold->lock);
}

/* 0: of any pipe; NULL: of any share. */
static void drop_those(struct dp_hold *hold, uint32_t pipe, const struct dp_share *share)
{
	for (uint32_t i = 0; i < hold->flows.made; i++) {
		struct dp_flow *flow = hold->flows.slots[i].thing;

		if (flow == NULL || (pipe != 0 && flow->key.pipe != pipe) ||
		    (share != NULL && flow->share != share))
			continue;
		flow_end(hold, flow, DP_DROP_SHUTDOWN);
		flow_free(hold, flow);
	}
}

void dp_hold_drop_pipe(struct dp_hold *hold, uint32_t pipe)
{
	pthread_mutex_lock(&hold->lock);
	drop_those(hold, pipe, NULL);
	pthread_mutex_unlock(&hold->lock);
}

void dp_hold_drop_share(struct dp_hold *hold, struct dp_share *share)
{
	struct dp_share **at = &hold->shares;

	pthread_mutex_lock(&hold->lock);
	drop_those(hold, 0, share);
	while (share->known && *at != share)
		at = &(*at)->next;
	if (share->known)
		*at = share->next;
	share->known = false;
	pthread_mutex_unlock(&hold->lock);
}

/* ---- the worker's side ----------------------------------------------------------------------- */

/* All that the flow holds, as one chain. */
static struct dp_held *detach(struct dp_hold *hold, struct dp_flow *flow)
{
	struct dp_held *first = flow->first, *last = NULL;

	while (flow->first != NULL) {
		struct dp_held *held = flow_pop(hold, flow);

		if (last != NULL)
			last->next = held;
		last = held;
	}
	return first;
}

#define ANY_READER UINT32_MAX

static struct dp_held *next_released(struct dp_hold *hold, uint32_t port, uint32_t reader)
{
	struct dp_flow *flow, *next;
	struct dp_held *chain = NULL;

	pthread_mutex_lock(&hold->lock);
	for (flow = hold->release_first; chain == NULL && flow != NULL; flow = next) {
		next = flow->next;
		if ((port != 0 && flow->key.port != port) ||
		    (reader != ANY_READER && flow->reader != reader))
			continue;
		chain = detach(hold, flow);
		flow_end(hold, flow, DP_DROP_SHUTDOWN);
		flow_free(hold, flow);
	}
	pthread_mutex_unlock(&hold->lock);
	return chain;
}

struct dp_held *dp_hold_next(struct dp_hold *hold, uint32_t port)
{
	return next_released(hold, port, ANY_READER);
}

struct dp_held *dp_hold_next_read(struct dp_hold *hold, uint16_t reader)
{
	return next_released(hold, 0, reader);
}

struct dp_held *dp_hold_take(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet)
{
	struct dp_held *chain = NULL;
	struct dp_flow_key key;
	struct dp_flow *flow;

	flow_key_of(&key, pipe, packet);
	pthread_mutex_lock(&hold->lock);
	flow = flow_find(hold, &key);
	if (flow != NULL && flow->state != DP_FLOW_OFF) {
		chain = detach(hold, flow);
		for (const struct dp_held *h = chain; h != NULL; h = h->next)
			flow->taken += h->segments;
	}
	pthread_mutex_unlock(&hold->lock);
	return chain;
}

/* ---- the ABI --------------------------------------------------------------------------------- */

int32_t psp_dp_event_wait(struct psp_dp *dp, uint8_t *buf, uint32_t cap, uint32_t timeout_ms,
			  uint32_t *len)
{
	struct dp_plane *plane = dp_plane_of(dp);
	int32_t status;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	status = dp_events_take(&plane->events, buf, cap, timeout_ms, len);
	if (status == PSP_DP_EBUSY)
		return dp_fail(dp, status, "Cannot wait for events: another call is waiting");
	if (status != 0 && status != PSP_DP_ERANGE)
		return status;
	/* Still the reader: nobody closes now. */
	if (status == PSP_DP_ERANGE)
		(void)dp_fail(dp, status,
			      "Cannot wait for events: the next needs %u octets, the buffer has %u",
			      *len, cap);
	else
		dp_hold_pay(&plane->hold); /* what was read has made room */
	dp_events_done(&plane->events);
	return status;
}

int32_t psp_dp_held_release(struct psp_dp *dp, uint32_t flow, uint32_t *packets)
{
	int32_t status;

	if (dp == NULL || packets == NULL)
		return PSP_DP_EINVAL;
	status = dp_hold_release(&dp_plane_of(dp)->hold, flow, packets);
	if (status != 0)
		return dp_fail(dp, status, "Cannot release flow %u: there is none", flow);
	plane_released(dp);
	return 0;
}

int32_t psp_dp_held_drop(struct psp_dp *dp, uint32_t flow, uint32_t reason, uint32_t hold_off_ms,
			 uint32_t *packets)
{
	uint64_t until = hold_off_ms != 0 ? dp_now_ns() + hold_off_ms * UINT64_C(1000000) : 0;
	int32_t status;

	if (dp == NULL || packets == NULL)
		return PSP_DP_EINVAL;
	*packets = 0;
	if (reason >= PSP_DP_DROP_REASONS)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot drop flow %u: there is no reason %u",
			       flow, reason);
	status = dp_hold_drop(&dp_plane_of(dp)->hold, flow, reason, until, packets);
	return status == 0 ? 0 : dp_fail(dp, status, "Cannot drop flow %u: there is none", flow);
}

int32_t psp_dp_hold_off_clear(struct psp_dp *dp)
{
	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_hold_off_clear(&dp_plane_of(dp)->hold);
	return 0;
}

int32_t psp_dp_hold_set(struct psp_dp *dp, uint32_t packets_per_flow, uint32_t flows,
			uint64_t bytes)
{
	struct dp_plane *plane = dp_plane_of(dp);
	struct psp_dp_config config;
	char why[160];
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	config = plane->config;
	config.hold_packets_per_flow = packets_per_flow;
	config.hold_flows = flows;
	config.hold_bytes = bytes;
	if (!dp_limits_hold(&config, why, sizeof(why))) {
		status = dp_fail(dp, PSP_DP_EINVAL, "Cannot limit the hold: %s", why);
	} else {
		dp_limits_fill(&config);
		status = dp_hold_limit(
			&plane->hold,
			&(struct dp_hold_limits){.packets_per_flow = config.hold_packets_per_flow,
						 .flows = config.hold_flows,
						 .bytes = config.hold_bytes});
		if (status == 0)
			plane->config = config;
		else
			status = dp_fail(dp, status, "Cannot limit the hold: out of memory");
	}
	dp_unlock(dp);
	return status;
}
