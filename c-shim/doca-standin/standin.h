/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin.h: a DOCA Flow of our own, for tests: it executes the declarations in include/ on packets. What hangs
 * together inside it; programs include the DOCA headers, and standin_test.h for its hooks.
 *
 * The interfaces that stand for the device's ports are Linux interfaces, opened with the soft plane's ports. Towards
 * the program there are real DPDK ports (net_ring) with real mbufs. Between them one thread, the NIC, takes every
 * packet through the pipes, with the soft plane's packet steps.
 *
 * Threads. `lock` is held by the NIC for each packet and by every call of the API that changes what the NIC sees.
 * What contradicts the API's rules so badly that a device would do anything (a transmitted mbuf freed, an entry used
 * after it was gone, a pipe destroyed that others forward to) ends the process with a sentence.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <doca_dev.h>
#include <doca_dpdk.h>
#include <doca_flow.h>
#include <doca_log.h>
#include <doca_version.h>
#include <pthread.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "../soft/keys.h"
#include "../common/packet.h"
#include "../soft/port.h"
#include "../common/random.h"
#include "standin_test.h"

#define SI_PORTS 2u /* switch port (uplink) and one representor */
#define SI_QUEUES 4u
#define SI_RING_LEN 1024u
#define SI_NAME_LEN 64u
#define SI_TEMPLATES 8u
#define SI_LEVELS 8u /* priorities of control entries: 0 to 7 */
#define SI_BUCKETS 1024u
#define SI_HOPS_MAX 64u
#define SI_PIPE_QUEUES 8u

/* ---- ports ----------------------------------------------------------------------------------- */

/* A DPDK port and the Linux interface behind it. */
struct si_nic_port {
	bool probed;
	uint16_t id; /* DPDK's */
	char name[16];
	struct soft_port *wire;
	struct rte_ring *rx[SI_QUEUES], *tx[SI_QUEUES];
	struct rte_mempool *pools[SI_QUEUES]; /* what the program gave its receive queues */
};

struct doca_flow_port {
	struct si_nic_port *nic;
	uint32_t index; /* enum psp_dp_port */
	struct doca_flow_pipe *pipes;
};

/* ---- match.c --------------------------------------------------------------------------------- */

/* A match with the mask under which it holds; the mask says which parts of the unions are meant. */
struct si_match {
	struct doca_flow_match value, mask; /* value is masked */
};

/* ---- pipes and entries ----------------------------------------------------------------------- */

struct si_fwd {
	enum doca_flow_fwd_type type; /* CHANGEABLE: each entry brings its own */
	uint16_t port_id, queue;
	struct doca_flow_pipe *pipe; /* PIPE; NULL: each entry brings its own */
};

/* What an entry does, its pipe's templates filled in. */
struct si_rule {
	bool has_actions;
	struct doca_flow_actions actions, mask;
	struct si_fwd fwd;
	bool count;
	uint32_t mirror; /* 0: none */
};

enum si_state { SI_ADDING, SI_LIVE, SI_UPDATING, SI_REMOVING, SI_DEAD };

struct doca_flow_pipe_entry {
	struct doca_flow_pipe_entry *prev,
		*next; /* of its pipe, control entries by priority; or of the dead */
	struct doca_flow_pipe_entry *hash_next;
	struct doca_flow_pipe *pipe;
	enum si_state state;
	enum doca_flow_entry_status status;
	uint32_t priority, hash;
	struct si_match match;
	struct si_rule rule, fresh; /* fresh: of an update that is not complete */
	void *ctx;
	uint64_t packets, bytes;
};

struct doca_flow_pipe_cfg {
	struct doca_flow_port *port;
	char name[SI_NAME_LEN];
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool is_root, miss_counter, has_match, has_mask;
	uint32_t nr_entries;
	struct doca_flow_match match, mask;
	uint32_t n_actions;
	bool has_action_masks;
	struct doca_flow_actions actions[SI_TEMPLATES], action_masks[SI_TEMPLATES];
	struct doca_flow_monitor monitor;
};

struct doca_flow_pipe {
	struct doca_flow_pipe *next; /* of its port */
	struct doca_flow_pipe_cfg cfg;
	struct si_fwd fwd, miss;                          /* NONE: not given */
	struct doca_flow_pipe_entry *entries;             /* live */
	struct doca_flow_pipe_entry *lost;                /* their completion never comes */
	struct doca_flow_pipe_entry *buckets[SI_BUCKETS]; /* BASIC */
	uint32_t n_entries; /* orders given that are not done away with */
	uint64_t miss_packets, miss_bytes;
};

struct doca_flow_target {
	enum doca_flow_target_type type;
};

/* An order that waits for doca_flow_entries_process(). */
struct si_order {
	struct si_order *next;
	struct doca_flow_pipe_entry *entry;
	enum doca_flow_entry_op op;
	uint32_t rounds; /* calls of doca_flow_entries_process() that it is still late by */
	bool fails;
};

/* ---- shared resources ------------------------------------------------------------------------ */

struct si_slot {
	bool set, bound;
	struct psp_aead_key *aead;
	_Atomic uint64_t next_iv;
};

struct si_mirror {
	bool set, bound;
	struct si_fwd copy;
};

/* ---- all of it ------------------------------------------------------------------------------- */

struct si {
	pthread_mutex_t lock;
	bool up; /* between doca_flow_init() and doca_flow_destroy() */
	uint16_t n_queues;
	uint32_t n_counters, counters_used;
	doca_flow_entry_process_cb done;
	struct si_nic_port nic[SI_PORTS];
	struct doca_flow_port *ports[SI_PORTS]; /* NULL: not started */
	struct doca_flow_pipe *roots[2];        /* what comes in; what the program transmits */
	struct si_order *first[SI_PIPE_QUEUES], *last[SI_PIPE_QUEUES];
	struct doca_flow_pipe_entry *dead_first, *dead_last;
	uint32_t n_dead;
	struct si_slot *slots;
	uint32_t n_slots;
	struct si_mirror *mirrors;
	uint32_t n_mirrors;
	struct doca_flow_target kernel;

	const struct psp_crypto_backend *backend;
	struct psp_crypto *crypto; /* under the lock */
	struct soft_master master;
	uint32_t active, next_spi[2];

	struct doca_standin_failures failures;
	uint32_t orders;
	struct doca_standin_live live;
};

extern struct si si;

/* ---- A packet on its way (run.c, act.c) ------------------------------------------------------ */

struct si_walk {
	struct dp_packet packet;
	uint32_t u32[DOCA_FLOW_META_SCRATCH_PAD_MAX];
	uint16_t port_id;
	uint16_t random;
	uint8_t hops;
	bool decrypted;     /* packet.len ends before the ICV, which is still there on a device */
	bool sealed_room;   /* ENCAP was done: the ICV's room is at the end */
	uint32_t crypto_id; /* ENCRYPT was done: sealed when it leaves; 0: none */
	uint8_t *spare;     /* a buffer for reformatting; swapped with `buf` */
	uint8_t *buf;
};

/* Octets of the frame as a device has it. */
uint32_t si_len(const struct si_walk *walk);
void si_run(struct si_walk *walk, struct doca_flow_pipe *pipe);
/* False: the packet is dropped. */
bool si_act(struct si_walk *walk, const struct si_rule *rule);
bool si_encrypt(struct si_walk *walk);

/* nic.c */
void si_to_wire(struct si_walk *walk, uint16_t port_id);
void si_to_program(const struct si_walk *walk, uint16_t queue);
doca_error_t si_nic_start(void);
void si_nic_stop(void);

/* Which headers of the union a type names. */
static inline bool si_is_ports(enum doca_flow_l4_type_ext type)
{
	return type == DOCA_FLOW_L4_TYPE_EXT_TCP || type == DOCA_FLOW_L4_TYPE_EXT_UDP ||
	       type == DOCA_FLOW_L4_TYPE_EXT_TRANSPORT;
}

static inline bool si_is_icmp(enum doca_flow_l4_type_ext type)
{
	return type == DOCA_FLOW_L4_TYPE_EXT_ICMP || type == DOCA_FLOW_L4_TYPE_EXT_ICMP6;
}

/* match.c */
doca_error_t si_match_check(const struct doca_flow_match *value,
			    const struct doca_flow_match *mask);
void si_match_mask(const struct doca_flow_match *value, const struct doca_flow_match *mask,
		   struct doca_flow_match *out);
/* Octets of `match` that are all ones under `mask` are the entry's, the others the pipe's. */
void si_match_fill(const struct doca_flow_match *pipe, const struct doca_flow_match *mask,
		   const struct doca_flow_match *entry, struct doca_flow_match *out);
bool si_match_same(const struct doca_flow_match *a, const struct doca_flow_match *b);
uint32_t si_match_hash(const struct doca_flow_match *match);
bool si_match_random(const struct doca_flow_match *mask);

/* read.c: the packet's fields where `mask` looks, masked */
void si_match_of(const struct si_walk *walk, const struct doca_flow_match *mask,
		 struct doca_flow_match *out);

/* template.c: what pipes and entries say, checked and put together */
doca_error_t si_fwd_read(const struct doca_flow_fwd *fwd, enum doca_flow_pipe_domain from,
			 struct si_fwd *out);
doca_error_t si_actions_check(const struct doca_flow_actions *actions,
			      enum doca_flow_pipe_domain domain);
doca_error_t si_rule_fill(const struct doca_flow_pipe *pipe,
			  const struct doca_flow_actions *actions,
			  const struct doca_flow_actions *mask,
			  const struct doca_flow_monitor *monitor, const struct doca_flow_fwd *fwd,
			  struct si_rule *out);

/* table.c */
struct doca_flow_pipe_entry *si_lookup(const struct doca_flow_pipe *pipe, struct si_walk *walk);
void si_entries_drop(struct doca_flow_pipe *pipe);
void si_entries_free(void);

/* shared.c, keys.c */
doca_error_t si_keys_up(void);
void si_keys_down(void);
void si_shared_down(void);
struct psp_aead_key *si_derive(uint32_t spi, uint32_t version);

/* dpdk.c, pool.c */
struct si_nic_port *si_nic_port_of(uint16_t id);
struct rte_mempool *si_pool_create(const char *name, unsigned int n, uint16_t priv, uint16_t room,
				   int socket);
/* A pool is about to be freed: counts what the program has kept of it. */
void si_pool_check(struct rte_mempool *mp);
void si_mbuf_take(struct rte_mbuf *mbuf); /* from the program to the NIC */
void si_mbuf_free(struct rte_mbuf *mbuf); /* by the NIC */

/* Ends the process with a sentence. */
void si_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
