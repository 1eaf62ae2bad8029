/* SPDX-License-Identifier: Apache-2.0 */
/* objects.h: pipes, entries and key slots as the plane keeps them. All of it is the writer's; what the poll
 * thread looks at of an entry changes under matches_lock. */
#ifndef PSP_DPU_OBJECTS_H
#define PSP_DPU_OBJECTS_H

#include "../common/pipe.h"
#include "hw.h"
#include "level.h"

#define DPU_LEGS 2u

/* A port of the device: the uplink is number 0, host ports follow as the plane was opened with them. */
struct dpu_port {
	struct dp_port base;      /* first */
	struct doca_dev_rep *rep; /* NULL: the uplink */
	uint32_t ifindex;         /* of the kernel's interface; 0: not told */
	struct doca_flow_port *flow;
	struct dpu_piece inject; /* in the transmit root */
};

/* The CPU as a forward: a pipe that marks packets and sends them to a queue of ours. See mark.h. */
struct dpu_tap {
	struct dpu_tap *next; /* of the pipe that it belongs to */
	uint32_t mark;
	struct dpu_hw_pipe hw;
	uint32_t n;
	struct dpu_piece entries[]; /* one, or by the number of the port from which packets came */
};

/* In front of a forward of a root: writes the number of the port from which a packet came. See tag.c. */
struct dpu_tag {
	struct dpu_tag *next; /* of the root */
	struct dpu_to on;
	struct dpu_hw_pipe hw;
	struct dpu_piece entries[]; /* by host port */
};

/* What a control pipe does with what none of its entries takes. */
struct dpu_catch {
	struct dpu_piece piece;
	struct dpu_total total, raw; /* in the ABI's units, and as last read */
};

/* A forward with a copy to a tap. */
struct dpu_sampler {
	struct dpu_sampler *next; /* of the pipe that it belongs to */
	struct dpu_to on;         /* where the packet goes on */
	uint32_t mirror;          /* up to 3.1 */
	struct dpu_hw_pipe flood; /* from 3.2 on */
	struct dpu_piece entries[2];
};

/* Source address, and SPI and port if the pipe matches them, of an IPv6 match that needs two lookups. See stage.c. */
struct dpu_stage_key {
	uint8_t src[16];
	uint32_t spi, port;
};

struct dpu_stage_entry {
	struct dpu_stage_entry *next; /* of its bucket */
	struct dpu_stage_key key;
	uint32_t number; /* what the second lookup matches instead; from 1 */
	uint32_t refs;
	struct dpu_piece piece;
};

/* Memory that is freed when DOCA Flow is down. */
struct dpu_limbo {
	struct dpu_limbo *next;
	void *memory;
};

struct dpu_numbers {
	uint32_t *free;
	uint32_t n_free, made, max;
};

/* Crypto of one entry, where it is not an action of the match. */
struct dpu_list_entry {
	struct dpu_list_entry *next; /* of those that are out of use but would not go */
	uint32_t number;             /* from 1 */
	struct dpu_piece piece;
};

/* A BASIC pipe has one leg, or one for each IP version when it matches addresses. */
struct dpu_leg {
	uint32_t l3; /* enum psp_dp_l3 */
	bool staged, listed;
	struct dpu_hw_pipe hw;    /* the match */
	struct dpu_hw_pipe stage; /* in front of it */
	struct dpu_hw_pipe list;  /* crypto behind it, from 3.2 on */
	struct dpu_numbers list_numbers, stage_numbers;
	struct dpu_stage_entry **stage_buckets;
	uint32_t stale_stages; /* entries of the stage that nobody uses, but that would not go */
	struct dpu_list_entry *stale_lists;
	struct dpu_hw_shape shape; /* templates that entries choose from */
};

struct dpu_pipe {
	struct dp_pipe base; /* first */
	uint32_t domain;
	bool root;
	bool by_inner; /* split by the IP version of the inner header */
	bool authentic; /* its entries match what was decrypted without a syndrome, besides what they say */
	bool routes; /* its entries may send packets on as a router does */
	bool offset; /* its entries match the crypt offset that their DECAP names, besides what they say */
	bool fixed_fwd; /* hardware has the pipe's forward: entries cannot bring their own */
	struct psp_dp_match mask;
	uint32_t room; /* entries that hardware has room for, each leg */

	uint32_t n_legs;
	struct dpu_leg legs[DPU_LEGS];
	struct dpu_hw_pipe split; /* n_legs is 2: chooses the leg */
	struct dpu_piece split_entries[DPU_LEGS];
	struct dpu_hw_pipe control; /* CONTROL */
	bool gated; /* CONTROL: hardware's root is the gate in front of it, which tells ports apart alone */
	struct dpu_hw_pipe gate;
	struct dpu_piece *gate_entries; /* by port */
	struct dpu_catch *catches;      /* CONTROL: what misses, by port */
	struct dpu_piece
		*resubmits; /* in the transmit root, by host port: released packets enter here */
	const struct dpu_hw_pipe *entrance;
	struct dpu_tap *taps;
	struct dpu_tag *tags;
	struct dpu_sampler *samplers;

	struct dpu_total hits;           /* of entries that are gone */
	struct dpu_total misses_settled; /* what of the misses is in the counters already */
	uint64_t last_used_ns;
};

/* Packets of a root's entry that the CPU looks at first: see detour.c. */
struct dpu_detour {
	struct dpu_detour *next; /* of its inspector */
	uint32_t l3; /* enum psp_dp_l3 of the length that it matches; NONE: it matches SYNs */
	uint16_t value, mask; /* of that length, in the header's own terms */
	bool wanted;
	struct dpu_piece piece;
	struct dpu_total raw; /* as hardware last said */
};

/* A pipe of the hardware's between a root's entry and where that leads. */
struct dpu_inspector {
	struct dpu_hw_pipe hw;
	struct dpu_piece rest; /* what takes no detour goes on */
	struct dpu_detour *detours;
};

struct dpu_entry {
	struct dp_entry base;                    /* first */
	struct dpu_entry *hash_next;             /* of its bucket in dp->matches */
	struct dpu_entry *slot_prev, *slot_next; /* of the key slot that it encrypts with */
	struct dpu_leg *leg;                     /* BASIC */
	uint32_t level;                          /* CONTROL */
	uint32_t hash;
	struct psp_dp_match match, mask; /* match is masked */
	struct dp_rule rule;
	struct dpu_piece piece;
	struct dpu_list_entry *list;     /* from DOCA 3.2 on */
	struct dpu_stage_entry *stage;   /* IPv6 */
	struct dpu_inspector *inspector; /* CONTROL; NULL: none */
	struct dpu_total raw;            /* as hardware last said */
	struct dpu_total total;          /* in the ABI's units, over updates */
	struct dpu_total settled;        /* what of it is in the counters already */
	uint64_t last_used_ns;
};

static inline struct dpu_pipe *dpu_pipe(struct dp_pipe *base)
{
	return (struct dpu_pipe *)base;
}

static inline struct dpu_entry *dpu_entry(struct dp_entry *base)
{
	return (struct dpu_entry *)base;
}

/* A crypto id. */
struct dpu_slot {
	uint32_t resource; /* the device's id for it */
	bool bound;        /* to the port */
	bool filled;       /* the device has a key in it, or noise */
	bool keyed;
	uint64_t iv_limit;
	struct dpu_total sealed; /* with the present key */
	uint64_t last_used_ns;
	struct dpu_entry *users;
};

#endif
