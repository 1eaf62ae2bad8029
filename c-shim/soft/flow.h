/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h: the hold's table of flows and their handles. Everything here is called with the hold's lock held. */
#ifndef PSP_SOFT_FLOW_H
#define PSP_SOFT_FLOW_H

#include "hold.h"

struct soft_flow {
	struct soft_flow *bucket_next;
	struct soft_flow *prev,
		*next; /* of the one list that its state puts it on: off or release */
	struct soft_flow *owed_prev, *owed_next;
	struct soft_flow_key key;
	enum soft_flow_state state;
	uint32_t handle;
	uint32_t packets; /* frames held */
	uint32_t taken;   /* packets that a hit has taken out before the release */
	bool owed;        /* its miss event is not in the ring yet */
	struct soft_held *first, *last;
	struct psp_dp_event miss;
	uint64_t off_until_ns;
	enum soft_counter off_counter;
};

int32_t soft_flows_init(struct soft_hold *hold);
void soft_flows_free(struct soft_hold *hold);
void soft_flow_key_of(struct soft_flow_key *key, uint32_t pipe, const struct soft_packet *packet);
struct soft_flow *soft_flow_find(const struct soft_hold *hold, const struct soft_flow_key *key);
/* NULL when the limit is reached or memory is out. */
struct soft_flow *soft_flow_new(struct soft_hold *hold, const struct soft_flow_key *key);
/* The flow holds nothing and is on no list. */
void soft_flow_free(struct soft_hold *hold, struct soft_flow *flow);
/* NULL: the handle is stale. */
struct soft_flow *soft_flow_of(const struct soft_hold *hold, uint32_t handle);

void soft_flow_append(struct soft_flow **first, struct soft_flow **last, struct soft_flow *flow);
void soft_flow_unlink(struct soft_flow **first, struct soft_flow **last, struct soft_flow *flow);

/* To and from the end and the front of the flow, and of the plane's order. */
void soft_flow_push(struct soft_hold *hold, struct soft_flow *flow, struct soft_held *held);
struct soft_held *soft_flow_pop(struct soft_hold *hold, struct soft_flow *flow);
/* Returns how many packets it was. */
uint32_t soft_flow_drop_oldest(struct soft_hold *hold, struct soft_flow *flow,
			       enum soft_counter counter);
/* Drops what it holds and takes it off whatever list it is on; it stays in the table. */
uint32_t soft_flow_end(struct soft_hold *hold, struct soft_flow *flow, enum soft_counter counter);

#endif
