/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h: how fast a worker carries from host ports that have more frames than their turns bring, while the machine has less
 * time than it would take.
 *
 * A thread that always runs has used up its part of a processor, and waits for milliseconds whenever others run: the frames
 * of every port wait with it. One that sleeps now and then gets the processor when it wakes. So ports with many frames rest
 * between their turns, and what they have too much of is lost in their own sockets, where that costs the worker nothing.
 * They rest only while another host port has frames, and while the scheduler says that the worker waits.
 *
 * A worker's own. Times are CLOCK_MONOTONIC; costs are those of turns.h.
 */
#ifndef PSP_SOFT_PACE_H
#define PSP_SOFT_PACE_H

#include "turns.h"

/* Until the scheduler is asked again. */
#define SOFT_PACE_LOOK_NS UINT64_C(100000000)

/* What the scheduler says of a thread since it began. */
struct soft_pace_time {
	uint64_t ran_ns, waited_ns;
};

/* Of a port, by its slot. */
struct soft_pace_port {
	uint64_t seen_ns,
		heavy_ns; /* its last frames, and its last turn after which there were more */
	uint64_t due_ns;  /* by which all that it brought would have come at the pace */
	uint16_t resting; /* its handle; 0: it does not rest */
};

struct soft_pace {
	uint64_t cost_per_ms; /* of all heavy ports; 0: as fast as it goes */
	uint64_t carried;     /* cost, of heavy ports, since the last look */
	uint64_t looked_ns, stepped_ns;
	struct soft_pace_time time; /* at the last look */
	uint32_t calm;              /* steps that it became faster since it last was too fast */
	uint32_t resting;           /* ports */
	struct soft_pace_port ports[PSP_DP_PORTS_MAX];
};

static inline bool soft_pace_is_look_due(const struct soft_pace *pace, uint64_t now_ns)
{
	return now_ns - pace->looked_ns >= SOFT_PACE_LOOK_NS;
}

/* Sets the pace by what the scheduler says now. */
void soft_pace_look(struct soft_pace *pace, const struct soft_pace_time *time, uint64_t now_ns);
/* A host port's turn is over; heavy: it has more frames than that. True: it is to rest. */
bool soft_pace_turn(struct soft_pace *pace, uint32_t handle, uint32_t cost, bool heavy,
		    uint64_t now_ns);
/* A port whose rest is over, which it is then; 0: there is none. */
uint32_t soft_pace_rested(struct soft_pace *pace, uint64_t now_ns);
/* Until the first port's rest is over, at most `most_ms`; what is less than a millisecond is one. */
int soft_pace_wait_ms(const struct soft_pace *pace, uint64_t now_ns, int most_ms);

#endif
