/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h: how much of something a port, and each source MAC behind it, may have: two token buckets that a packet must
 * both pass. One thread's at a time.
 */
#ifndef PSP_COMMON_GATE_H
#define PSP_COMMON_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../psp_dp.h"

#define DP_GATE_SETS 256u
#define DP_GATE_WAYS 4u

/* A MAC whose bucket is not full. */
struct dp_gate_way {
	uint64_t due_ns;
	uint8_t mac[6];
};

struct dp_gate {
	struct psp_dp_rate rate, per_mac; /* with the defaults filled in */
	uint64_t seed;
	/* CLOCK_MONOTONIC, by which all that was let in would have come at the rate. */
	uint64_t due_ns;
	/* Each MAC has its own, as long as a set has one; those beyond share: none is without a limit. */
	struct dp_gate_way ways[DP_GATE_SETS][DP_GATE_WAYS];
	_Atomic uint64_t limited; /* any thread reads it */
};

void dp_gate_init(struct dp_gate *gate, const struct psp_dp_rate *rate,
		  const struct psp_dp_rate *per_mac, uint64_t seed);
/* One more from this MAC; false: there is no room for it, which is counted. */
bool dp_gate_pass(struct dp_gate *gate, const uint8_t mac[6], uint64_t now_ns);

#endif
