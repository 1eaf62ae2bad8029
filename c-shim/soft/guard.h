/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h: the ingress guard. The soft plane reads frames beside the kernel, it does not take them away; the guard
 * keeps the kernel from working on its own copies:
 *
 *  - on the uplink those that the plane takes as PSP. All others are the host's, and stay untouched;
 *  - on host ports everything: a workload has no business with this host's own addresses.
 *
 * It is an nftables table of the netdev family, "psp-agent-" and the uplink's name, that this process owns: others
 * cannot change it ("nft flush ruleset" passes it over), and it goes with the process, however that ends.
 */
#ifndef PSP_SOFT_GUARD_H
#define PSP_SOFT_GUARD_H

#include <stdbool.h>

#include "../psp_dp.h"

struct soft_guard;

/* What to keep from the kernel. */
struct soft_guard_port {
	uint16_t handle;
	uint32_t kind;    /* enum psp_dp_port_kind */
	uint16_t vlan;    /* uplink: 802.1Q id of PSP, 0: untagged */
	const char *name; /* copied */
};

/*
 * Sets the guard of an uplink's plane on these ports, or on none. On failure err is one sentence and *reason says why
 * (enum psp_dp_guard_reason). PSP_DP_EBUSY: another agent has this uplink. PSP_DP_EPERM, PSP_DP_ENOTSUP,
 * PSP_DP_EIO: there can be no guard here; PSP_DP_ENOMEM.
 */
int32_t soft_guard_open(const char *uplink, const struct soft_guard_port *ports, uint32_t n,
			struct soft_guard **out, uint8_t *reason, char *err, uint32_t err_cap);
/* One port more, one less. */
int32_t soft_guard_add(struct soft_guard *guard, const struct soft_guard_port *port,
		       uint8_t *reason, char *err, uint32_t err_cap);
void soft_guard_remove(struct soft_guard *guard, uint16_t handle);
/* Takes it away. NULL is no guard. */
void soft_guard_close(struct soft_guard *guard);

/*
 * Fills in what info says of the guard of a port that it has. Looks at the kernel if the last look is half a
 * second old, and puts back what is gone: kernels before 6.12 forget it with an interface that goes. Any thread.
 */
void soft_guard_look(struct soft_guard *guard, uint16_t handle, struct psp_dp_port_info *info);

#endif
