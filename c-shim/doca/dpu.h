/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpu.h: the DOCA plane from inside: what hangs on struct psp_dp, and how its parts call one another.
 *
 * Threads. The API's threads take turns by the writer's lock (common/plane.h); they alone call DOCA Flow, on its one
 * pipe queue. The readers, one for each processor that is given, read the queues to which hardware sends misses, exceptions,
 * samples, bad packets and those of the detours, and transmit what is released; each has queues of its own.
 */
#ifndef PSP_DPU_H
#define PSP_DPU_H

#include <pthread.h>

#include "../common/plane.h"
#include "../common/random.h"
#include "hw.h"
#include "match.h"
#include "objects.h"
#include "options.h"
#include "trace.h"

#define DPU_MIRRORS 8u /* ids 1 to 8 */
#define DPU_DETOURS_MAX                                                                            \
	64u /* room for them behind an entry, which has up to 33 of them and one for the rest */
#define DPU_OVERHEAD_MAX 255u  /* octets; more than encap_data can hold */
#define DPU_EXPIRE_BATCH 1024u /* keys that one look at limits takes */

/* One of the threads that look at what hardware sends to the CPU. */
struct dpu_reader {
	struct psp_dp *dp;
	uint32_t index; /* of its queues, and of its block of counters */
	pthread_t thread;
	bool runs;
	_Atomic uint64_t rests; /* how often it has found its queues empty */
	struct dp_limit syndromes, too_bigs;
};

/* The queues of a class, for pipes of a domain: spread.c. */
struct dpu_spread {
	struct dpu_hw_pipe by_l3, rest;
	struct dpu_piece entries[2], rest_entry;
};
#define DPU_SPREAD_DOMAINS 2u /* default, egress */

struct psp_dp {
	struct dp_plane base; /* first */
	struct dpu_options options;
	struct dpu_trace trace;
	struct compat_call call;   /* what was refused last; the writer's */
	struct dpu_device *device; /* device.c */
	struct dpu_nic *nic;       /* nic.c */
	bool has_eal;              /* eal.c */
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
		[DP_PIPES_MAX]; /* by pipe, the one whose misses it gets; 0: none. See again.c */
	pthread_mutex_t
		matches_lock; /* a leaf: the writer changes what hangs here, the readers looks */
	struct dpu_entry **matches; /* entries by pipe and match */
	uint32_t matches_mask;
	struct dpu_limbo *limbo; /* what hardware may still write to: completions that never came */
	uint32_t mirrors;        /* bit n: id n is taken */
	uint32_t mirrors_bound;  /* bit n: it is bound, which is done once: later it is set anew */
	uint32_t
		outer_ip_len; /* of the last header that ENCAP was given: what peers send is alike */

	/* detours: detour.c */
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

/* ---- device.c, nic.c, flow.c: each `up` is undone by its `down`, also when it had failed ---- */

int32_t dpu_device_up(struct psp_dp *dp);
void dpu_device_down(struct psp_dp *dp);
int32_t dpu_nic_up(struct psp_dp *dp);
void dpu_nic_down(struct psp_dp *dp);
int32_t dpu_flow_up(struct psp_dp *dp);
void dpu_flow_down(struct psp_dp *dp);
/* Octets that DOCA Flow has for what entries of a port do: a power of 2. */
uint32_t dpu_actions_memory(const struct psp_dp *dp);
/* By DPDK's id; the kernel's: what DPDK says is what it was configured with, and does not follow. */
uint16_t dpu_port_mtu(uint16_t id);

/* ---- pipe.c, forward.c, leg.c, split.c, stage.c, tap.c, control.c ---- */

void dpu_pipes_free(struct psp_dp *dp);
/* The same for one leg and for its stage, all of whose entries are out of use. */
void dpu_leg_forget(struct dpu_leg *leg);
void dpu_stage_forget(struct dpu_leg *leg);
/* Frees all that hangs on a pipe without a word to DOCA, which is down. */
void dpu_pipe_forget(struct psp_dp *dp, struct dpu_pipe *pipe);
/* Hardware's form of a forward out of a pipe; makes the taps that it needs. */
int32_t dpu_goto_hw(struct psp_dp *dp, struct dpu_pipe *from, const struct dp_fwd *to,
		    struct dpu_to *out);
/* For a mark with the argument DPU_ANY_HOST each packet gets the one with its port's number. */
int32_t dpu_tap_get(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t mark, struct dpu_to *out);
/* The CPU's queues of a class as a forward of pipes of a domain, DEFAULT or EGRESS. */
int32_t dpu_spread_get(struct psp_dp *dp, uint16_t class, enum doca_flow_pipe_domain domain,
		       struct dpu_to *out);
/* A root's forward, by way of a pipe that notes the port from which a packet came. Where there is one alone it stays. */
int32_t dpu_tag_get(struct psp_dp *dp, struct dpu_pipe *root, struct dpu_to *to);
void dpu_tags_free(struct psp_dp *dp, struct dpu_pipe *root);
/* The actions that write it. */
void dpu_tag_acts(uint32_t number, struct dpu_hw_acts *out);
/* The kernel behind a root, which cannot have it as a target. */
int32_t dpu_kernel_get(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_to *out);
int32_t dpu_sampler_get(struct psp_dp *dp, struct dpu_pipe *pipe, const struct dpu_to *on,
			struct dpu_to *out, uint32_t *mirror);
void dpu_taps_free(struct psp_dp *dp, struct dpu_pipe *pipe);
int32_t dpu_legs_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected);
void dpu_legs_down(struct psp_dp *dp, struct dpu_pipe *pipe);
int32_t dpu_split_up(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_hw_spec *spec);
void dpu_split_down(struct psp_dp *dp, struct dpu_pipe *pipe);
/* An order for the first lookup of an entry, unless there is none, or it is there; `hw`: until its end. */
struct dpu_stage_order {
	bool given;
	doca_error_t begun;
};
int32_t dpu_stage_begin(struct psp_dp *dp, struct dpu_entry *entry, struct dpu_hw_entry *hw,
			struct dpu_stage_order *order);
/* Of entries that were begun together, in their order. */
int32_t dpu_stage_end(struct psp_dp *dp, const struct dpu_entry *entry,
		      const struct dpu_hw_entry *hw, const struct dpu_stage_order *order);
void dpu_stage_release(struct psp_dp *dp, struct dpu_entry *entry);
/* Takes out what had not gone when it should have. */
void dpu_stage_retry(struct psp_dp *dp, struct dpu_leg *leg);
int32_t dpu_numbers_init(struct dpu_numbers *numbers, uint32_t max);
/* 0: none is left. */
uint32_t dpu_numbers_take(struct dpu_numbers *numbers);
void dpu_numbers_give(struct dpu_numbers *numbers, uint32_t number);
int32_t dpu_control_up(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t expected);
void dpu_control_down(struct psp_dp *dp, struct dpu_pipe *pipe);
/* The level for an entry that is not in yet; PSP_DP_ENOSPC: there is none between its neighbours. */
int32_t dpu_control_level(struct psp_dp *dp, struct dpu_entry *entry);

/* ---- detour.c: writer; inspect.c: readers ---- */

/* SYNs and packets that no tunnel takes are to leave the way of this entry for the CPU. */
bool dpu_detour_wanted(const struct psp_dp *dp, const struct dpu_entry *entry);
/* With the detours that hardware grants, on the way to `to`, which it replaces. Where it grants no inspector `to` stays. */
void dpu_inspector_up(struct psp_dp *dp, struct dpu_entry *entry, struct dpu_to *to);
/* Once the entry is out of hardware. */
void dpu_inspector_down(struct psp_dp *dp, struct dpu_entry *entry);
/* Any thread: what the uplink takes now. */
void dpu_mtu_note(struct psp_dp *dp, uint32_t mtu);
/* An entry with these actions has come or gone: what no tunnel takes may be another length now. */
void dpu_encap_note(struct psp_dp *dp, const struct psp_dp_actions *actions, bool come);
/* Before a packet is sent on at a pipe: lowers its MSS; false: it is too big, which is counted and reported. */
bool dpu_inspect(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet);

/* ---- matches.c ---- */

/* The value, masked, and its hash. Pipe, priority and mask are there. */
void dpu_match_set(struct dpu_entry *entry, const struct psp_dp_match *value);
bool dpu_match_is_there(const struct psp_dp *dp, const struct dpu_entry *entry);
void dpu_match_link(struct psp_dp *dp, struct dpu_entry *entry);
void dpu_match_unlink(struct psp_dp *dp, struct dpu_entry *entry);
void dpu_rule_set(struct psp_dp *dp, struct dpu_entry *entry, const struct dp_rule *rule);
/* Any thread: the actions of the entry that hardware finds for a packet's addresses and port. False: none encapsulates it. */
bool dpu_tunnel_find(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
		     struct psp_dp_actions *encap);
/* Any thread: the rule of that entry, whatever it does. `port` is there as long as nobody takes ports away. */
bool dpu_rule_find(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
		   struct dp_rule *rule);

/* ---- entry.c, install.c ---- */

/* Takes the entry out of hardware and of all tables; frees it unless hardware keeps it. */
int32_t dpu_entry_unlink(struct psp_dp *dp, struct dpu_entry *entry);
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

/* ---- crypto.c, master.c ---- */

/* The device's id for a crypto id; gives it a key that nobody knows if it has none. */
int32_t dpu_slot_ready(struct psp_dp *dp, uint32_t crypto_id, uint32_t *resource);
void dpu_slot_link(struct psp_dp *dp, struct dpu_entry *entry);
void dpu_slot_unlink(struct psp_dp *dp, struct dpu_entry *entry);
/* Ends keys whose limit of packets is reached, among some of the slots each time. Writer. */
void dpu_slots_expire(struct psp_dp *dp);
int32_t dpu_master_up(struct psp_dp *dp);

/* ---- stats.c: writer ---- */

/* Reads an entry's counter, and adds what is new to the plane's counters. */
void dpu_entry_settle(struct psp_dp *dp, struct dpu_entry *entry);
void dpu_pipe_settle(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_total *misses);
/* Adds what hardware counted for an entry's detours to its total. */
void dpu_detours_settle(struct psp_dp *dp, struct dpu_entry *entry);

/* ---- poll.c, rx.c, tx.c ---- */

/* A reader: one round over its queue of a class; how many packets there were. */
uint32_t dpu_rx_round(struct psp_dp *dp, uint16_t reader, uint16_t class, uint16_t most);
/* A reader: sends a packet on at a pipe that sends its misses to the CPU. */
void dpu_tx_resubmit(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet);
/* A reader: sends a frame out by a host port. False: its queue stays full, or no buffer is free. */
bool dpu_tx_host(struct psp_dp *dp, const struct dp_port *to, const struct dp_packet *packet);

/* ---- report.c: readers ---- */

void dpu_report_exception(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe);
void dpu_report_syndrome(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe,
			 uint32_t syndrome);
void dpu_report_sample(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe);

/* ---- again.c ---- */

/* Writer: a pipe has come, or goes. */
void dpu_local_note(struct psp_dp *dp, const struct dpu_pipe *pipe, bool come);
/* A reader: sends a packet on from a pipe that encapsulates, or to a workload of this host. */
void dpu_run_again(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet);
/* A reader: the same for what was released. True: there was something. */
bool dpu_released(struct psp_dp *dp, uint16_t reader);

#endif
