/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h: packets that matched nothing wait here, by flow, until the agent has set up their tunnel or given up.
 *
 * A flow is (source vip, destination vip, port, pipe): a port is of one network, so tenants are kept apart. Its life:
 *
 *   first miss -> HELD (one miss event) -> release -> RELEASING -> its packets are taken by the worker -> gone
 *                                       -> drop    -> OFF until the hold-off is over (or gone at once)
 *
 * While a flow is RELEASING what misses is appended, so nothing overtakes. A packet that hits while its flow
 * still holds others (the entry is in, the release not yet) makes the worker take those first.
 *
 * Each port has a share. A packet that finds its share full pushes out the oldest of that share; one that finds the plane
 * full pushes out the oldest of the share that holds most.
 *
 * Threads: one mutex; it is taken on misses and by the API, never for a packet that hits while nothing is held.
 * Locks: the writer's, then this one, then the ring's.
 */
#ifndef PSP_COMMON_HOLD_H
#define PSP_COMMON_HOLD_H

#include "counters.h"
#include "events.h"
#include "gate.h"
#include "handle.h"
#include "packet.h"

/* A compact copy of a frame. Super-frames stay whole. */
struct dp_held {
	struct dp_held *next;            /* of its flow */
	struct dp_held *older, *younger; /* of its share */
	struct dp_flow *flow;
	uint32_t pipe; /* where it missed */
	uint32_t segments;
	struct dp_packet packet; /* frame points to data */
	uint8_t data[];
};

struct dp_flow_key {
	uint8_t src[16], dst[16];
	uint32_t pipe;
	uint32_t port; /* handle */
};

/* What a port may have of the hold, and has. */
struct dp_share {
	struct dp_gate misses; /* flows that miss */
	uint32_t max_flows;    /* 0: as many as the plane has */
	uint64_t max_bytes;    /* likewise */

	uint32_t flows;
	uint64_t bytes;
	struct dp_held *oldest, *youngest;
	struct dp_flow *off_first, *off_last; /* flows in hold-off, oldest first */
	struct dp_share *next;                /* of the hold */
	bool known;                           /* the hold has it */
};

enum dp_flow_state { DP_FLOW_HELD, DP_FLOW_RELEASING, DP_FLOW_OFF };

struct dp_flow {
	struct dp_flow *bucket_next;
	struct dp_flow *prev, *next; /* of the one list that its state puts it on: off or release */
	struct dp_flow *owed_prev, *owed_next;
	struct dp_share *share;
	struct dp_flow_key key;
	enum dp_flow_state state;
	uint32_t handle;
	uint32_t packets; /* frames held */
	uint16_t reader;  /* of its first packet: who receives the others */
	uint32_t taken;   /* packets that a hit has taken out before the release */
	bool owed;        /* its miss event is not in the ring yet */
	struct dp_held *first, *last;
	struct psp_dp_event miss;
	uint64_t off_until_ns;
	enum dp_counter off_counter;
};

struct dp_hold_limits {
	uint32_t packets_per_flow, flows;
	uint64_t bytes; /* octets of frames */
};

struct dp_hold {
	pthread_mutex_t lock;
	struct dp_hold_limits limits;
	struct dp_counters *counters;
	struct dp_events *events;
	_Atomic uint32_t holding;   /* flows that hold packets; read without the lock */
	_Atomic uint32_t releasing; /* flows in the release queue; read without the lock */

	struct dp_flow **buckets;
	uint32_t bucket_mask;
	uint64_t seed;
	struct dp_handles flows;

	uint64_t bytes;
	struct dp_share *shares;                      /* that ever held something */
	struct dp_share rest;                         /* of packets without a share */
	struct dp_flow *owed_first, *owed_last;       /* flows whose miss event found no room */
	struct dp_flow *release_first, *release_last; /* in the order of the calls */
};

int32_t dp_hold_init(struct dp_hold *hold, const struct dp_hold_limits *limits,
		     struct dp_counters *counters, struct dp_events *events);
/* Other limits, from now on: octets beyond them are dropped at once, packets of a flow with its next one, and flows stay
 * until they are decided about. 0 or PSP_DP_ENOMEM: the old ones stay. */
int32_t dp_hold_limit(struct dp_hold *hold, const struct dp_hold_limits *limits);
/* Drops what is left, as drop-shutdown. */
void dp_hold_free(struct dp_hold *hold);

/*
 * A packet missed at a pipe. It is copied or dropped, and counted, whatever happens. share: of the port where it came in;
 * NULL: it may have what there is.
 */
void dp_hold_add(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet,
		 struct dp_share *share, uint64_t now_ns);

/* The agent's side; the status codes are those of psp_dp_held_release() and psp_dp_held_drop(). */
int32_t dp_hold_release(struct dp_hold *hold, uint32_t handle, uint32_t *packets);
int32_t dp_hold_drop(struct dp_hold *hold, uint32_t handle, uint32_t reason, uint64_t off_until_ns,
		     uint32_t *packets);
void dp_hold_off_clear(struct dp_hold *hold);
/* A pipe is going, or a port where packets came in: its flows are dropped as drop-shutdown, and the hold forgets the share. */
void dp_hold_drop_pipe(struct dp_hold *hold, uint32_t pipe);
void dp_hold_drop_share(struct dp_hold *hold, struct dp_share *share);
/* The ring has room again: writes miss events that are still owed. */
void dp_hold_pay(struct dp_hold *hold);

/*
 * The worker's side. Both hand over a chain (by next, oldest first) that the caller frees with
 * dp_held_free(); NULL: nothing. dp_hold_next: of the next released flow whose first packet came in by this port
 * (0: by any), which is gone then.
 * dp_hold_next_read: of the next one whose packets this reader receives, so that none of them overtakes another.
 * dp_hold_take: of the flow of a packet that hits.
 */
struct dp_held *dp_hold_next(struct dp_hold *hold, uint32_t port);
struct dp_held *dp_hold_next_read(struct dp_hold *hold, uint16_t reader);
struct dp_held *dp_hold_take(struct dp_hold *hold, uint32_t pipe, const struct dp_packet *packet);
void dp_held_free(struct dp_held *held);

static inline bool dp_hold_is_holding(const struct dp_hold *hold)
{
	return atomic_load_explicit(&hold->holding, memory_order_relaxed) != 0;
}

static inline bool dp_hold_is_releasing(const struct dp_hold *hold)
{
	return atomic_load_explicit(&hold->releasing, memory_order_acquire) != 0;
}

#endif
