/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h: the hold's table of flows and their handles. Everything here is called with the hold's lock held. */
#ifndef PSP_COMMON_FLOW_H
#define PSP_COMMON_FLOW_H

#include "hold.h"

struct dp_flow {
	struct dp_flow *bucket_next;
	struct dp_flow *prev, *next; /* of the one list that its state puts it on: off or release */
	struct dp_flow *owed_prev, *owed_next;
	struct dp_flow_key key;
	enum dp_flow_state state;
	uint32_t handle;
	uint32_t packets; /* frames held */
	uint32_t taken;   /* packets that a hit has taken out before the release */
	bool owed;        /* its miss event is not in the ring yet */
	struct dp_held *first, *last;
	struct psp_dp_event miss;
	uint64_t off_until_ns;
	enum dp_counter off_counter;
};

int32_t dp_flows_init(struct dp_hold *hold);
void dp_flows_free(struct dp_hold *hold);
void dp_flow_key_of(struct dp_flow_key *key, uint32_t pipe, const struct dp_packet *packet);
struct dp_flow *dp_flow_find(const struct dp_hold *hold, const struct dp_flow_key *key);
/* NULL when the limit is reached or memory is out. */
struct dp_flow *dp_flow_new(struct dp_hold *hold, const struct dp_flow_key *key);
/* The flow holds nothing and is on no list. */
void dp_flow_free(struct dp_hold *hold, struct dp_flow *flow);
/* NULL: the handle is stale. */
struct dp_flow *dp_flow_of(const struct dp_hold *hold, uint32_t handle);

void dp_flow_append(struct dp_flow **first, struct dp_flow **last, struct dp_flow *flow);
void dp_flow_unlink(struct dp_flow **first, struct dp_flow **last, struct dp_flow *flow);

/* To and from the end and the front of the flow, and of the plane's order. */
void dp_flow_push(struct dp_hold *hold, struct dp_flow *flow, struct dp_held *held);
struct dp_held *dp_flow_pop(struct dp_hold *hold, struct dp_flow *flow);
/* Returns how many packets it was. */
uint32_t dp_flow_drop_oldest(struct dp_hold *hold, struct dp_flow *flow, enum dp_counter counter);
/* Drops what it holds and takes it off whatever list it is on; it stays in the table. */
uint32_t dp_flow_end(struct dp_hold *hold, struct dp_flow *flow, enum dp_counter counter);

#endif
