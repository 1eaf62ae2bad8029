/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h: frames on their way out of a worker: gathered until its batch ends, sealed packets of one flow and size as
 * one UDP super-frame, then handed to the kernel together, and counted. In the order in which they came, for each flow.
 *
 * A worker's own. What a frame names (port, key) holds until the worker is quiescent: it flushes before.
 */
#ifndef PSP_SOFT_QUEUE_H
#define PSP_SOFT_QUEUE_H

#include "steps.h"

#define SOFT_QUEUE_FRAMES 128u
#define SOFT_QUEUE_SLICES 2048u
#define SOFT_QUEUE_FLOWS 32u /* whose last frame is remembered; a power of two */
/* Two super-frames, and what short packets take. */
#define SOFT_QUEUE_OCTETS (2u * DP_FRAME_MAX + (64u << 10))

struct soft_link;
struct soft_worker;

/* A part of a frame; those of a frame are a list. */
struct soft_slice {
	struct iovec part;
	uint32_t next; /* number and 1; 0: the last */
};

/* What a frame is beside what the port sends. */
struct soft_queued {
	struct soft_link *to;
	struct soft_tx_key *key; /* uplink: what it was sealed with */
	uint32_t first, last;    /* slices: number and 1 */
	uint32_t segments;
	uint32_t sealed_bytes; /* uplink: after the IV, without ICV */
	bool local;            /* from a host port to a host port */
	bool closed;           /* uplink: nothing follows in it */
};

struct soft_queue {
	struct soft_arena arena;
	uint8_t *octets; /* SOFT_QUEUE_OCTETS; the worker's */
	uint32_t n, n_slices;
	struct soft_frame frames[SOFT_QUEUE_FRAMES];
	struct soft_queued queued[SOFT_QUEUE_FRAMES];
	struct soft_slice slices[SOFT_QUEUE_SLICES];
	uint32_t latest[SOFT_QUEUE_FLOWS]; /* frame of a flow: number and 1 */
	struct iovec parts[SOFT_QUEUE_SLICES];
};

void soft_queue_init(struct soft_queue *queue, uint8_t *octets);

/*
 * Is there room for another frame, for DP_FRAME_MAX octets of the arena, and for so many frames and parts that are still
 * being joined? Else it is to be flushed.
 */
bool soft_queue_has_room(const struct soft_queue *queue, uint32_t frames, uint32_t parts);

/* What is being sealed. */
struct soft_sealing {
	struct soft_tx_key *key;
	uint32_t flow; /* dp_flow_hash() of the packet */
	bool tunnel;   /* its outer headers are ours */
};

/* Packets with so many octets of UDP payload that may follow in the latest frame of a flow; 0: none may. */
uint32_t soft_queue_room(const struct soft_queue *queue, const struct soft_sealing *sealing,
			 uint32_t len);
/* A sealed frame, which stands at the head of the arena. */
void soft_queue_sealed(struct soft_worker *worker, const struct soft_frame *frame,
		       const struct soft_sealing *sealing);
/* A frame for a host port; its parts stay where they are until the flush. */
void soft_queue_host(struct soft_worker *worker, const struct soft_frame *frame,
		     struct soft_link *to, bool local);
/* Sends and counts all; the arena is empty. */
void soft_queue_flush(struct soft_worker *worker);

#endif
