/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h: ports as both planes have them, found by their handle. A plane's own struct begins with a struct dp_port.
 *
 * Threads: the writer changes which ports there are. Whoever asks about one, or injects, holds dp_ports_read(); workers
 * look under RCU.
 */
#ifndef PSP_COMMON_PORT_H
#define PSP_COMMON_PORT_H

#include <pthread.h>
#include <stdatomic.h>

#include "../psp_dp.h"
#include "gate.h"
#include "hold.h"

struct dp_port {
	struct psp_dp_port_desc desc;
	uint16_t handle;
	uint32_t refs;             /* forwards of pipes and entries; writer */
	struct dp_share hold;      /* under the hold's lock */
	struct dp_gate exceptions; /* of the thread that reads the port */
};

struct dp_ports {
	_Atomic(struct dp_port *) slot[PSP_DP_PORTS_MAX]; /* RCU, where a plane has readers */
	uint32_t used[PSP_DP_PORTS_MAX]; /* times that the slot was given; writer */
	pthread_rwlock_t lock;
};

/*
 * A handle is its slot and how often that was given: it finds its port without a search. After so many times a slot's
 * handles come anew, and with those of the last slot they fill 16 bits.
 */
#define DP_PORT_TURNS 255u
static inline uint32_t dp_port_slot(uint32_t handle)
{
	return (handle - 1) % PSP_DP_PORTS_MAX;
}

/* NULL: there is none, or no longer. */
static inline struct dp_port *dp_port_find(struct dp_ports *ports, uint32_t handle)
{
	struct dp_port *port;

	if (handle == 0)
		return NULL;
	port = atomic_load_explicit(&ports->slot[dp_port_slot(handle)], memory_order_acquire);
	return port != NULL && port->handle == handle ? port : NULL;
}

/* 0 or a status, and why. Those that psp_dp_open() gets, with n from 0 on; no plane is there yet. */
int32_t dp_ports_check(const struct psp_dp_port_desc *descs, uint32_t n, char *why, size_t cap);
/* One that is asked for while the plane is there. */
int32_t dp_port_check(const struct psp_dp_port_desc *desc, char *why, size_t cap);
/* Makes a port by its description and gives it a handle, without publishing it. 0, PSP_DP_ENOMEM, PSP_DP_ENOSPC, PSP_DP_EIO. */
int32_t dp_port_make(struct psp_dp *dp, const struct psp_dp_port_desc *desc, struct dp_port **out);
void dp_port_publish(struct psp_dp *dp, struct dp_port *port);

/* ---- what a plane does, with the writer's lock held, but for those marked (free) ---- */

/* Zeroed memory for a port; NULL: out of memory. (free) */
struct dp_port *plane_port_alloc(void);
/* Undoes plane_port_alloc(). (free) */
void plane_port_free(struct dp_port *port);
/* Opens a port that has its handle, before it is published, and starts it if the plane runs. On failure err says why. */
int32_t plane_port_up(struct psp_dp *dp, struct dp_port *port, char *err, uint32_t err_cap);
/* May a port that is there be taken out? 0 or PSP_DP_ENOTSUP. */
int32_t plane_port_may_go(struct psp_dp *dp, const struct dp_port *port);
/* The port is hidden and nobody forwards to it: nothing of it is in use when this returns. */
void plane_port_down(struct psp_dp *dp, struct dp_port *port);
/* The arguments are sound; info is zeroed, but for what the description says. With dp_ports_read(). */
int32_t plane_port_query(struct psp_dp *dp, struct dp_port *port, struct psp_dp_port_info *info);
int32_t plane_inject(struct psp_dp *dp, struct dp_port *port, const uint8_t *frame, uint32_t len);

#endif
