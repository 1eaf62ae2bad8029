/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h: the rings between whoever has something to report and psp_dp_event_wait(), one for each class of events.
 * Whole records only.
 *
 * Threads: many producers, one reader; a mutex guards all of it. It is the innermost.
 */
#ifndef PSP_COMMON_EVENTS_H
#define PSP_COMMON_EVENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../psp_dp.h"
#include "packet.h"

#define DP_EXCEPTION_BYTES 2048u  /* of an exception's frame */
#define DP_TOO_BIG_BYTES 1232u    /* what an ICMPv6 Packet Too Big may quote: 1280 - 40 - 8 */
#define DP_LIMIT_SLOTS 1024u      /* keys that are told apart */
#define DP_LIMIT_NS 1000000000ull /* 1 s */

struct dp_ring {
	uint8_t *buf;
	uint32_t cap;        /* multiple of 8 */
	uint64_t head, tail; /* octets ever read, ever written */
};

struct dp_events {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	struct dp_ring rings[PSP_DP_EVENT_CLASSES];
	bool reading; /* a reader is between take and done */
	bool stopped;
	bool made;
};

int32_t dp_events_init(struct dp_events *events, const uint32_t caps[PSP_DP_EVENT_CLASSES]);
void dp_events_free(struct dp_events *events);

/* What an event says of any packet; all else is 0. */
void dp_event_describe(struct psp_dp_event *event, const struct dp_packet *packet, uint32_t pipe);
/* Fills in record_size, data_len and time_ns, and appends it to its class. False: no room, nothing was written. */
bool dp_events_push(struct dp_events *events, const struct psp_dp_event *event, const uint8_t *data,
		    uint32_t data_len);

/*
 * Waits for records and moves them to buf. 0, PSP_DP_EBUSY, PSP_DP_ECLOSED or PSP_DP_ERANGE. When it is 0
 * or PSP_DP_ERANGE the caller is the reader until dp_events_done().
 */
int32_t dp_events_take(struct dp_events *events, uint8_t *buf, uint32_t cap, uint32_t timeout_ms,
		       uint32_t *len);
void dp_events_done(struct dp_events *events);

/* From now on every take is PSP_DP_ECLOSED, and so is the one that waits. */
void dp_events_stop(struct dp_events *events);
/* Somebody is between take and done. */
bool dp_events_is_read(struct dp_events *events);

/*
 * At most one event a second for a key. One thread's. A key that shares its slot with a younger one waits too:
 * a flood of keys costs at most DP_LIMIT_SLOTS events a second.
 */
struct dp_limit {
	uint64_t last_ns[DP_LIMIT_SLOTS];
	uint64_t seed;
};
bool dp_limit_allows(struct dp_limit *limit, uint32_t key, uint64_t now_ns);

#endif
