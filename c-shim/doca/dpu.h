/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpu.h: the DOCA plane from inside: pipes, entries and key slots as the plane keeps them, what hangs on struct psp_dp,
 * and how its parts call one another.
 *
 * Threads. The API's threads take turns by the writer's lock (common/plane.h); they alone call DOCA Flow, on its one
 * pipe queue, and what is here is theirs unless it says otherwise. The readers, one for each processor that is given, read
 * the queues to which hardware sends misses, exceptions, samples, bad packets and those of the detours, and transmit what is
 * released; each has queues of its own. What they look at of an entry changes under matches_lock.
 */
#ifndef PSP_DPU_H
#define PSP_DPU_H

#include <pthread.h>

#include "../common/pipe.h"
#include "../common/plane.h"
#include "../common/random.h"
#include "device.h"
#include "hw.h"
#include "match.h"
#include "rss.h"
#include "trace.h"

/*
 * Priorities of a control pipe's entries as hardware has them. The ABI gives any 32-bit priority, and topologies give each
 * entry its own; hardware is asked for as few as will do, because what it offers is small and not documented (samples use 0
 * to 4). Entries that can never both match share a level.
 */
#define DPU_LEVELS 6u          /* 0 to 5 for entries */
#define DPU_LEVEL_CATCH_ALL 6u /* what misses */

struct dpu_ranked {
	const struct psp_dp_match *match, *mask; /* match is masked */
	uint32_t priority;
	uint32_t level;
};

#define DPU_LEGS 2u

/* A port of the device: the uplink is number 0, host ports follow as the plane was opened with them. */
struct dpu_port {
	struct dp_port base;      /* first */
	struct doca_dev_rep *rep; /* NULL: the uplink */
	uint32_t ifindex;         /* of the kernel's interface; 0: not told */
	struct doca_flow_port *flow;
	struct dpu_piece inject; /* in the transmit root */
};

/* The CPU as a forward: a pipe that marks packets and sends them to a queue of ours. See rss.h. */
struct dpu_tap {
	struct dpu_tap *next; /* of the pipe that it belongs to */
	uint32_t mark;
	struct dpu_hw_pipe hw;
	uint32_t n;
	struct dpu_piece entries[]; /* one, or by the number of the port from which packets came */
};

/* In front of a forward of a root: writes the number of the port from which a packet came. See forward.c. */
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

/* Packets of a root's entry that the CPU looks at first: see switch.c. */
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

#define DPU_MIRRORS 8u        /* ids 1 to 8 */
#define DPU_OVERHEAD_MAX 255u /* octets; more than encap_data can hold */

/* One of the threads that look at what hardware sends to the CPU. */
struct dpu_reader {
	struct psp_dp *dp;
	uint32_t index; /* of its queues, and of its block of counters */
	pthread_t thread;
	bool runs;
	_Atomic uint64_t rests; /* how often it has found its queues empty */
	struct dp_limit syndromes, too_bigs;
};

/* The queues of a class, for pipes of a domain: forward.c. */
struct dpu_spread {
	struct dpu_hw_pipe by_l3, rest;
	struct dpu_piece entries[2], rest_entry;
};
#define DPU_SPREAD_DOMAINS 2u /* default, egress */

struct psp_dp {
	struct dp_plane base; /* first */
	struct dpu_options options;
	struct dpu_trace trace;
	struct compat_call call; /* what was refused last; the writer's */
	struct dpu_device *device;
	struct dpu_nic *nic; /* port.c */
	bool has_eal;
	uint32_t n_ports;
	uint16_t ids[PSP_DP_PORTS_MAX]; /* DPDK's, by the port's number */
	struct doca_flow_port *switch_port;
	bool flow_up;
	struct doca_flow_target *kernel; /* NULL: not offered */
	bool default_miss; /* what a root misses goes to the kernel, and is counted there */

	uint32_t pieces;                         /* numbered for the trace */
	struct dpu_hw_pipe tx_root;              /* what this process transmits enters here */
	_Atomic uint32_t pipe_ids[DP_PIPES_MAX]; /* 0: none; for the readers */
	_Atomic uint32_t front_ids
		[DP_PIPES_MAX]; /* by pipe, the one whose misses it gets; 0: none. See rss.c */
	pthread_mutex_t
		matches_lock; /* a leaf: the writer changes what hangs here, the readers looks */
	struct dpu_entry **matches; /* entries by pipe and match */
	uint32_t matches_mask;
	struct dpu_limbo *limbo; /* what hardware may still write to: completions that never came */
	uint32_t mirrors;        /* bit n: id n is taken */
	uint32_t mirrors_bound;  /* bit n: it is bound, which is done once: later it is set anew */
	uint32_t
		outer_ip_len; /* of the last header that ENCAP was given: what peers send is alike */

	/* detours: switch.c */
	_Atomic uint32_t
		max_ip; /* octets of IP that the uplink takes; any thread that asks for the port */
	uint32_t encaps[DPU_OVERHEAD_MAX + 1]; /* entries that encapsulate, by what they add */
	uint32_t longest;                      /* inner packet that an entry may send */
	uint64_t diverted, diverted_before;    /* packets, as hardware counted; at the last look */
	uint64_t lost;                         /* of these, in the settled counters */
	uint64_t rests_before;                 /* at the last look */
	_Atomic uint64_t inspected;            /* of these, those that reached a reader */

	/* keys: crypto.c */
	struct dpu_slot *slots; /* max_crypto_ids + 1 */
	uint32_t expire_at;     /* crypto id that dpu_slots_expire() looked at last */

	struct dpu_reader *readers;
	uint32_t n_readers; /* 1 to DPU_READERS_MAX, once it is being opened */
	struct dpu_spread spreads[DPU_CLASSES][DPU_SPREAD_DOMAINS];
	_Atomic bool stop;
};

/* Receive queues. */
static inline uint16_t dpu_n_queues(const struct psp_dp *dp)
{
	return (uint16_t)(dp->n_readers * DPU_CLASSES);
}

#define DPU_UPLINK 0u
#define DPU_HOST 1u /* the first, or the only one */

/* Ports stay as they were opened, so a port's number is its slot, and its handle one more. */
static inline struct dpu_port *dpu_port(const struct psp_dp *dp, uint32_t number)
{
	return (struct dpu_port *)atomic_load_explicit(&dp->base.ports.slot[number],
						       memory_order_acquire);
}

static inline uint32_t dpu_port_number(const struct dp_port *port)
{
	return dp_port_slot(port->handle);
}

static inline const struct psp_dp_port_desc *dpu_desc(const struct psp_dp *dp, uint32_t number)
{
	return &dpu_port(dp, number)->base.desc;
}

/* With more than one host port packets carry the number of theirs. */
static inline bool dpu_has_tags(const struct psp_dp *dp)
{
	return dp->n_ports > 2;
}

/* How pipes of a domain look at ports. */
static inline struct dpu_match_ports dpu_match_ports(const struct psp_dp *dp, uint32_t domain)
{
	bool egress = domain == PSP_DP_DOMAIN_EGRESS || domain == PSP_DP_DOMAIN_SECURE_EGRESS;
	enum dpu_port_form form = !egress            ? DPU_PORT_ID
				  : dpu_has_tags(dp) ? DPU_PORT_WORD
						     : DPU_PORT_NONE;

	return (struct dpu_match_ports){.ids = dp->ids, .n = dp->n_ports, .form = form};
}

/* ---- error.c ---- */

/* Around a call to DOCA: its name is known when it is refused. */
#define DPU_ASK(dp, function, ...) COMPAT_ASK(&(dp)->call, function, __VA_ARGS__)
/* The same for a function of DPDK that answers 0 or a negative errno. */
#define DPU_ASK_DPDK(dp, function, ...) dpu_said((dp), #function, function(__VA_ARGS__))

static inline int dpu_said(struct psp_dp *dp, const char *name, int error)
{
	if (error != 0)
		dp->call.name = name;
	return error;
}

/*
 * dp_fail() for a refusal by DOCA, of the call that was refused last: "what: call answers name: descr (advice)"; the
 * status follows from the result.
 */
int32_t dpu_fail_doca(struct psp_dp *dp, const char *what, doca_error_t result);
/* The same for a negative errno of DPDK's. */
int32_t dpu_fail_dpdk(struct psp_dp *dp, const char *what, int error);

/* Frees memory, now or, when hardware may still write to it, at the end. */
void dpu_free(struct psp_dp *dp, void *memory, bool lost);
void dpu_limbo_free(struct psp_dp *dp);

/* ---- forward.c ---- */

/* Hardware's form of a forward out of a pipe; makes the taps that it needs. */
int32_t dpu_goto_hw(struct psp_dp *dp, struct dpu_pipe *from, const struct dp_fwd *to,
		    struct dpu_to *out);
/* For a mark with the argument DPU_ANY_HOST each packet gets the one with its port's number. */
int32_t dpu_tap_get(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t mark, struct dpu_to *out);
/* The kernel behind a root, which cannot have it as a target. */
int32_t dpu_kernel_get(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_to *out);
int32_t dpu_sampler_get(struct psp_dp *dp, struct dpu_pipe *pipe, const struct dpu_to *on,
			struct dpu_to *out, uint32_t *mirror);
/* Samplers and taps. */
void dpu_taps_free(struct psp_dp *dp, struct dpu_pipe *pipe);
/* A root's forward, by way of a pipe that notes the port from which a packet came. Where there is one alone it stays. */
int32_t dpu_tag_get(struct psp_dp *dp, struct dpu_pipe *root, struct dpu_to *to);
void dpu_tags_free(struct psp_dp *dp, struct dpu_pipe *root);
/* The actions that write it. */
void dpu_tag_acts(uint32_t number, struct dpu_hw_acts *out);

/* ---- switch.c ---- */

int32_t dpu_control_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected);
void dpu_control_down(struct psp_dp *dp, struct dpu_pipe *pipe);
/*
 * With the detours that hardware grants, on the way to `to`, which it replaces, where SYNs and packets that no tunnel takes are
 * to leave that way for the CPU. Where it grants no inspector `to` stays.
 */
void dpu_inspector_up(struct psp_dp *dp, struct dpu_entry *entry, struct dpu_to *to);
/* Once the entry is out of hardware. */
void dpu_inspector_down(struct psp_dp *dp, struct dpu_entry *entry);
/* Any thread: what the uplink takes now. */
void dpu_mtu_note(struct psp_dp *dp, uint32_t mtu);
/* An entry with these actions has come or gone: what no tunnel takes may be another length now. */
void dpu_encap_note(struct psp_dp *dp, const struct psp_dp_actions *actions, bool come);

/* ---- pipe.c ---- */

/* At close, when DOCA Flow is down. */
void dpu_pipes_free(struct psp_dp *dp);

/* ---- entry.c ---- */

/* Takes the entry out of hardware and of all tables; frees it unless hardware keeps it. */
int32_t dpu_entry_unlink(struct psp_dp *dp, struct dpu_entry *entry);
/*
 * Any thread: the rule of the entry that hardware finds for a packet's addresses and port. `port` is there as long as
 * nobody takes ports away.
 */
bool dpu_rule_find(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
		   struct dp_rule *rule);
/* The level for `fresh` among the others, as low as can be; DPU_LEVELS: there is none. */
uint32_t dpu_level(const struct dpu_ranked *others, uint32_t n, const struct dpu_ranked *fresh);

/* ---- install.c ---- */

/* Into hardware, out of it, and from one rule to another in one step. On failure nothing has changed. */
int32_t dpu_install(struct psp_dp *dp, struct dpu_entry *entry);
int32_t dpu_uninstall(struct psp_dp *dp, struct dpu_entry *entry);
/* Several at a time: what stands behind an entry is there before any of their entries. DPU_TOGETHER at most. */
#define DPU_TOGETHER (DPU_ORDERS_MAX / 2)
struct dpu_installing {
	struct dpu_entry *entry;
	uint32_t rank; /* for dp_first_note() */
	int32_t status;
};
/* Each has a status; `told` hears of each refusal while its sentence is the error text. */
void dpu_install_all(struct psp_dp *dp, struct dpu_installing *items, uint32_t n,
		     struct dp_first *told);
void dpu_uninstall_all(struct psp_dp *dp, struct dpu_installing *items, uint32_t n,
		       struct dp_first *told);
struct dpu_reinstalling {
	struct dpu_entry *entry; /* no other has the same */
	struct dp_rule rule;
	uint32_t rank;
	int32_t status;
};
void dpu_reinstall_all(struct psp_dp *dp, struct dpu_reinstalling *items, uint32_t n,
		       struct dp_first *told);
/* Takes out of a leg what had not gone when it should have. */
void dpu_install_retry(struct psp_dp *dp, struct dpu_leg *leg);
/* Frees what is left of its first lookup, all of whose entries are out of use. */
void dpu_stage_forget(struct dpu_leg *leg);

/* ---- crypto.c ---- */

/* The device's id for a crypto id; gives it a key that nobody knows if it has none. */
int32_t dpu_slot_ready(struct psp_dp *dp, uint32_t crypto_id, uint32_t *resource);
void dpu_slot_link(struct psp_dp *dp, struct dpu_entry *entry);
void dpu_slot_unlink(struct psp_dp *dp, struct dpu_entry *entry);
/* Ends keys whose limit of packets is reached, among some of the slots each time. Writer. */
void dpu_slots_expire(struct psp_dp *dp);
int32_t dpu_master_up(struct psp_dp *dp);

/* ---- counters.c ---- */

/* Reads an entry's counter, and adds what is new to the plane's counters. */
void dpu_entry_settle(struct psp_dp *dp, struct dpu_entry *entry);
void dpu_pipe_settle(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_total *misses);
/* Adds what hardware counted for an entry's detours to its total. */
void dpu_detours_settle(struct psp_dp *dp, struct dpu_entry *entry);

#endif
