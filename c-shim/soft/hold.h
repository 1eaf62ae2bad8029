/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h: packets that matched nothing wait here, by flow, until the agent has set up their tunnel or given up.
 *
 * A flow is (source vip, destination vip, pipe). Its life:
 *
 *   first miss -> HELD (one miss event) -> release -> RELEASING -> its packets are taken by the worker -> gone
 *                                       -> drop    -> OFF until the hold-off is over (or gone at once)
 *
 * While a flow is RELEASING what misses is appended, so nothing overtakes. A packet that hits while its flow
 * still holds others (the entry is in, the release not yet) makes the worker take those first.
 *
 * Threads: one mutex; it is taken on misses and by the API, never for a packet that hits while nothing is held.
 * Locks: the writer's, then this one, then the ring's.
 */
#ifndef PSP_SOFT_HOLD_H
#define PSP_SOFT_HOLD_H

#include "counters.h"
#include "events.h"
#include "packet.h"

/* A compact copy of a frame. Super-frames stay whole. */
struct soft_held {
	struct soft_held *next;            /* of its flow */
	struct soft_held *older, *younger; /* of the plane */
	struct soft_flow *flow;
	uint32_t pipe; /* where it missed */
	uint32_t segments;
	struct soft_packet packet; /* frame points to data */
	uint8_t data[];
};

struct soft_flow_key {
	uint8_t src[16], dst[16];
	uint32_t pipe;
};

enum soft_flow_state { SOFT_FLOW_HELD, SOFT_FLOW_RELEASING, SOFT_FLOW_OFF };

struct soft_flow_slot {
	struct soft_flow *flow; /* NULL: free */
	uint32_t generation, next_free;
};

struct soft_hold_limits {
	uint32_t packets_per_flow, flows;
	uint64_t bytes; /* octets of frames */
};

struct soft_hold {
	pthread_mutex_t lock;
	struct soft_hold_limits limits;
	struct soft_counters *counters;
	struct soft_events *events;
	_Atomic uint32_t holding;   /* flows that hold packets; read without the lock */
	_Atomic uint32_t releasing; /* flows in the release queue; read without the lock */

	struct soft_flow **buckets;
	uint32_t bucket_mask, flows;
	uint64_t seed;
	struct soft_flow_slot *slots; /* handle = generation and index */
	uint32_t slot_mask, slots_made, free_first, free_last;

	uint64_t bytes;
	struct soft_held *oldest, *youngest;
	struct soft_flow *off_first, *off_last;         /* flows in hold-off, oldest first */
	struct soft_flow *owed_first, *owed_last;       /* flows whose miss event found no room */
	struct soft_flow *release_first, *release_last; /* in the order of the calls */
};

int32_t soft_hold_init(struct soft_hold *hold, const struct soft_hold_limits *limits,
		       struct soft_counters *counters, struct soft_events *events);
/* Drops what is left, as drop-shutdown. */
void soft_hold_free(struct soft_hold *hold);

/* A packet missed at a pipe. It is copied or dropped, and counted, whatever happens. */
void soft_hold_add(struct soft_hold *hold, uint32_t pipe, const struct soft_packet *packet,
		   uint64_t now_ns);

/* The agent's side; the status codes are those of psp_dp_held_release() and psp_dp_held_drop(). */
int32_t soft_hold_release(struct soft_hold *hold, uint32_t handle, uint32_t *packets);
int32_t soft_hold_drop(struct soft_hold *hold, uint32_t handle, uint32_t reason,
		       uint64_t off_until_ns, uint32_t *packets);
void soft_hold_off_clear(struct soft_hold *hold);
/* A pipe is going: its flows are dropped as drop-shutdown. */
void soft_hold_drop_pipe(struct soft_hold *hold, uint32_t pipe);
/* The ring has room again: writes miss events that are still owed. */
void soft_hold_pay(struct soft_hold *hold);

/*
 * The worker's side. Both hand over a chain (by next, oldest first) that the caller frees with
 * soft_held_free(); NULL: nothing. soft_hold_next: of the next released flow, which is gone then.
 * soft_hold_take: of the flow of a packet that hits.
 */
struct soft_held *soft_hold_next(struct soft_hold *hold);
struct soft_held *soft_hold_take(struct soft_hold *hold, uint32_t pipe,
				 const struct soft_packet *packet);
void soft_held_free(struct soft_held *held);

static inline bool soft_hold_is_holding(const struct soft_hold *hold)
{
	return atomic_load_explicit(&hold->holding, memory_order_relaxed) != 0;
}

static inline bool soft_hold_is_releasing(const struct soft_hold *hold)
{
	return atomic_load_explicit(&hold->releasing, memory_order_acquire) != 0;
}

#endif
