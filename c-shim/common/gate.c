/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

void dp_gate_init(struct dp_gate *gate, const struct psp_dp_rate *rate,
		  const struct psp_dp_rate *per_mac, uint64_t seed)
{
	memset(gate, 0, sizeof(*gate));
	gate->rate = *rate;
	gate->per_mac = *per_mac;
	gate->seed = seed;
}

/* Where it would be due when one more was let in; 0: there is no room. */
static uint64_t due_after(const struct psp_dp_rate *rate, uint64_t due_ns, uint64_t now_ns)
{
	const uint64_t each_ns = SECOND_NS / rate->per_s;
	const uint64_t burst = rate->burst != 0 ? rate->burst : rate->per_s;

	if (due_ns < now_ns)
		due_ns = now_ns;
	return due_ns - now_ns > (burst - 1) * each_ns ? 0 : due_ns + each_ns;
}

/*
 * The bucket of a MAC: its own; else one that is full, which nobody misses; else that of another, the fullest. The seed
 * keeps a workload from choosing whose set it is in.
 */
static struct dp_gate_way *way_of(struct dp_gate *gate, const uint8_t mac[6])
{
	struct dp_gate_way *set, *fullest;
	uint64_t h = gate->seed;

	for (uint32_t i = 0; i < 6; i++)
		h = (h ^ mac[i]) * 0x9e3779b97f4a7c15u;
	fullest = set = gate->ways[(h >> 32) % DP_GATE_SETS];
	for (uint32_t i = 0; i < DP_GATE_WAYS; i++) {
		if (set[i].due_ns != 0 && memcmp(set[i].mac, mac, sizeof(set[i].mac)) == 0)
			return &set[i];
		if (set[i].due_ns < fullest->due_ns)
			fullest = &set[i];
	}
	return fullest;
}

bool dp_gate_pass(struct dp_gate *gate, const uint8_t mac[6], uint64_t now_ns)
{
	struct dp_gate_way *way = NULL;
	uint64_t due = gate->due_ns, mac_due = 0;

	if (gate->per_mac.per_s != PSP_DP_RATE_NONE) {
		way = way_of(gate, mac);
		mac_due = due_after(&gate->per_mac, way->due_ns, now_ns);
	}
	/* One MAC's flood takes nothing from the others. */
	if (way == NULL || mac_due != 0) {
		if (gate->rate.per_s != PSP_DP_RATE_NONE)
			due = due_after(&gate->rate, due, now_ns);
		if (due != 0 || gate->rate.per_s == PSP_DP_RATE_NONE) {
			gate->due_ns = due;
			if (way != NULL && way->due_ns <= now_ns)
				memcpy(way->mac, mac, sizeof(way->mac));
			if (way != NULL)
				way->due_ns = mac_due;
			return true;
		}
	}
	atomic_fetch_add_explicit(&gate->limited, 1, memory_order_relaxed);
	return false;
}
