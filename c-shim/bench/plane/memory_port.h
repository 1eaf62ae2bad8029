/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_port.h: ports that are memory, in the place of soft/port.c and its neighbours: a worker reads the frames that
 * a bench has laid out, and what it sends is counted, and kept on request.
 *
 * Threads: the bench lays frames out and waits; the worker that owns the port runs in between.
 */
#ifndef PSP_BENCH_MEMORY_PORT_H
#define PSP_BENCH_MEMORY_PORT_H

#include "../../soft/port.h"

struct memory_frame {
	struct dp_packet packet; /* len, gso, gso_size, needs_csum, csum_start, csum_offset hold */
	uint8_t *octets;         /* room for a frame of any size */
};

/* What came of one run. */
struct memory_run {
	uint64_t
		engine_ns; /* CPU time of the worker's thread, from its first frame to the end of its last */
	uint64_t
		port_ns; /* of that, what the port itself costs: the same frames copied, and nothing else */
};

/* The port that was opened last for this side (enum psp_dp_port). */
struct soft_port *memory_port_last(uint8_t side);

/* Has the worker read n frames; returns when it has done with them. */
void memory_port_run(struct soft_port *port, const struct memory_frame *frames, uint32_t n,
		     struct memory_run *run);

/*
 * Has the worker read n frames again and again, as one that is always ready, until memory_port_calm(), which returns when it
 * has done with them.
 */
void memory_port_flood(struct soft_port *port, const struct memory_frame *frames, uint32_t n);
void memory_port_calm(struct soft_port *port);
/* Frames read so far of a flood; *ns: CPU time that the worker's thread had had by then. */
uint64_t memory_port_taken(struct soft_port *port, uint64_t *ns);

/* From now on what is sent goes to frames, at most cap of them; NULL: it is only counted. */
void memory_port_keep(struct soft_port *port, struct memory_frame *frames, uint32_t cap);
/* Packets sent since the last call, the segments of super-frames one by one. */
uint64_t memory_port_sent(struct soft_port *port);
/* Frames kept so far. */
uint32_t memory_port_kept(const struct soft_port *port);

#endif
