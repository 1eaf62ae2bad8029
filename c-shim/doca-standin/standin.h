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
#include <stdatomic.h>

#include "../soft/keys.h"
#include "../common/packet.h"
#include "../soft/port.h"
#include "../common/random.h"
#include "standin_test.h"

#define SI_SWITCH 0u
#define SI_PORTS 9u   /* switch port (uplink), first, and representors */
#define SI_QUEUES 16u /* RTE_PMD_RING_MAX_RX_RINGS */
#define SI_RING_LEN 1024u
#define SI_NAME_LEN 64u
#define SI_TEMPLATES 32u      /* of a pipe (MLX5_HW_TBL_MAX_ACTION_TEMPLATE) */
#define SI_TEMPLATES_ROOM 40u /* that a description has room for */
#define SI_ROOT_LEVEL 15u     /* the lowest priority in a root (MLX5_HW_LOWEST_PRIO_ROOT) */
#define SI_ENTRY_OCTETS 128u  /* of actions memory (DOCA_FLOW_MAX_ENTRY_ACTIONS_MEM_SIZE) */
#define SI_CYCLE_MS 1000u     /* of the service threads, unless it is set */
#define SI_BUCKETS 1024u
#define SI_HOPS_MAX 64u
#define SI_PIPE_QUEUES 8u
#define SI_DEPTH 128u /* of a queue, unless it is set */

/* ---- ports ----------------------------------------------------------------------------------- */

/* A DPDK port and the Linux interface behind it. */
struct si_nic_port {
	bool probed;
	_Atomic bool started; /* as a port of DOCA Flow */
	uint16_t id;          /* DPDK's */
	char name[16];
	struct soft_port *wire;
	uint16_t mtu; /* as it was configured */
	struct rte_ring *rx[SI_QUEUES], *tx[SI_QUEUES];
	struct rte_mempool *pools[SI_QUEUES]; /* what the program gave its receive queues */
};

struct doca_flow_port {
	struct si_nic_port *nic;
	uint32_t index; /* 0: the switch port */
	struct doca_flow_pipe *pipes;
	uint32_t actions_mem, actions_used; /* octets */
	uint32_t cycle_ms;                  /* of its counters */
	bool misses_to_kernel;
};

/* A match with the mask under which it holds; the mask says which parts of the unions are meant. */
struct si_match {
	struct doca_flow_match value, mask; /* value is masked */
};

/* ---- pipes and entries ----------------------------------------------------------------------- */

/* type and open: any with CHANGEABLE, else one of that type. */
struct si_fwd {
	enum doca_flow_fwd_type type;
	bool open; /* each entry brings its own */
	uint16_t port_id;
	uint16_t queues[SI_QUEUES];
	uint32_t n_queues;
	uint32_t spreads; /* RSS: the kinds of packets whose addresses choose the queue */
	struct doca_flow_pipe *pipe; /* PIPE, ORDERED_LIST_PIPE, HASH_PIPE */
	uint32_t at;                 /* ORDERED_LIST_PIPE: its entry */
};

/* What an entry does, its pipe's templates filled in. */
struct si_rule {
	bool has_actions;
	bool own_actions; /* of which some octets are the entry's */
	struct doca_flow_actions actions, mask;
	bool adds_ttl; /* what actions say is added, not set */
	struct si_fwd fwd;
	bool count;
	uint32_t mirror; /* 0: none */
};

/* What the program gave with an entry; NULL: nothing. */
struct si_give {
	const struct doca_flow_match *match, *match_mask;
	const struct doca_flow_match_condition *condition;
	const struct doca_flow_actions *actions, *actions_mask;
	uint32_t template; /* which actions of the pipe; of a list pipe: which list */
	const struct doca_flow_monitor *monitor;
	const struct doca_flow_fwd *fwd;
	uint32_t priority; /* CONTROL */
	uint32_t at;       /* ORDERED_LIST, HASH */
	void *ctx;
};

/* A counter, and what it was at the last refresh of the cache in which programs see it. */
struct si_count {
	uint64_t packets, bytes, seen_packets, seen_bytes, cycle;
};

enum si_state { SI_ADDING, SI_LIVE, SI_UPDATING, SI_REMOVING, SI_DEAD };

struct doca_flow_pipe_entry {
	struct doca_flow_pipe_entry *prev,
		*next; /* of its pipe, control entries by priority; or of the dead */
	struct doca_flow_pipe_entry *hash_next;
	struct doca_flow_pipe *pipe;
	enum si_state state;
	enum doca_flow_entry_status status;
	uint32_t priority, hash, at;
	struct si_match match;
	bool compares; /* parser_meta.random with `than`, besides the match */
	enum doca_flow_compare_op compare;
	uint16_t than;
	struct si_rule rule, fresh; /* fresh: of an update that is not complete */
	void *ctx;
	struct si_count count;
};

struct doca_flow_pipe_cfg {
	struct doca_flow_port *port;
	char name[SI_NAME_LEN];
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool is_root, miss_counter, floods;
	uint32_t nr_entries;
	struct si_match match;
	uint32_t n_actions;
	bool has_action_masks;
	/* Of a list pipe: what its lists have. */
	struct doca_flow_actions actions[SI_TEMPLATES_ROOM], action_masks[SI_TEMPLATES_ROOM];
	bool adds_ttl[SI_TEMPLATES_ROOM];
	struct doca_flow_monitor monitor;
};

struct doca_flow_pipe {
	struct doca_flow_pipe *next; /* of its port */
	struct doca_flow_pipe_cfg cfg;
	struct si_fwd fwd, miss;                          /* NONE: not given */
	struct doca_flow_pipe_entry *entries;             /* live */
	struct doca_flow_pipe_entry *lost;                /* their completion never comes */
	struct doca_flow_pipe_entry *buckets[SI_BUCKETS]; /* BASIC */
	struct doca_flow_pipe_entry **slots;              /* ORDERED_LIST, HASH: by number */
	uint32_t n_entries; /* orders given that are not done away with */
	struct si_count misses;
};

struct doca_flow_target {
	enum doca_flow_target_type type;
};

/* An order that waits for doca_flow_entries_process(). */
struct si_order {
	struct si_order *next;
	struct doca_flow_pipe_entry *entry;
	enum doca_flow_entry_op op;
	uint64_t due_ns; /* not before */
	bool fails;
};

/* ---- shared resources ------------------------------------------------------------------------ */

struct si_slot {
	bool set;
	bool bound; /* to a port; from 3.2 on: handed out */
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
	uint64_t began_ns;
	uint16_t n_queues;
	uint32_t depth; /* of each */
	uint32_t n_counters;
	doca_flow_entry_process_cb done;
	struct si_nic_port nic[SI_PORTS];
	struct doca_flow_port *ports[SI_PORTS]; /* NULL: not started */
	struct doca_flow_pipe *roots[2];        /* what comes in; what the program transmits */
	struct si_order *orders[SI_PIPE_QUEUES];
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

	struct doca_standin_capacity capacity;
	struct doca_standin_failures failures;
	uint32_t ordered;
	struct doca_standin_live live;
};

extern struct si si;

/* ---- A packet on its way (nic.c, act.c) ------------------------------------------------------ */

struct si_walk {
	struct dp_packet packet;
	uint32_t u32[DOCA_FLOW_META_SCRATCH_PAD_MAX];
	uint16_t port_id;
	uint16_t random;
	uint8_t hops;
	bool decrypted;   /* packet.len ends before the ICV, which is still there on a device */
	bool sealed_room; /* ENCAP was done: the ICV's room is at the end */
	bool encrypts;    /* ENCRYPT was done with crypto_id: sealed when it leaves */
	uint32_t crypto_id;
	uint8_t *spare; /* a buffer for reformatting; swapped with `buf` */
	uint8_t *buf;
};

/* Octets of the frame as a device has it. */
static inline uint32_t si_len(const struct si_walk *walk)
{
	return walk->packet.len + (walk->decrypted ? PSP_ICV_LEN : 0);
}

/* act.c. False: the packet is dropped. */
bool si_act(struct si_walk *walk, const struct si_rule *rule);
bool si_encrypt(struct si_walk *walk);

/* nic.c */
doca_error_t si_nic_start(void);
void si_nic_stop(void);

/* rules.c */
bool si_strict(enum doca_standin_rule rule);
void si_rules_up(void);

/* calls.c: counts a use of a function; true: it is one to be refused. `name` is kept. */
bool si_refuses(const char *name);
/* The same as an answer. */
doca_error_t si_said(const char *name);
/* What a function begins with that a device may refuse. */
#define SI_ASK()                                                                                   \
	do {                                                                                       \
		if (si_refuses(__func__))                                                          \
			return DOCA_ERROR_NOT_SUPPORTED;                                           \
	} while (0)
/* And in front of DPDK. */
#define SI_ASK_DPDK()                                                                              \
	do {                                                                                       \
		if (si_refuses(__func__))                                                          \
			return -ENOTSUP;                                                           \
	} while (0)

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

static inline bool si_is_egress(enum doca_flow_pipe_domain domain)
{
	return domain == DOCA_FLOW_PIPE_DOMAIN_EGRESS ||
	       domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
}

static inline bool si_is_port(const void *port)
{
	for (uint32_t i = 0; port != NULL && i < SI_PORTS; i++) {
		if (si.ports[i] == port)
			return true;
	}
	return false;
}

/* A pipe that is there: any other pointer may be one that has gone. */
static inline bool si_is_pipe(const struct doca_flow_pipe *pipe)
{
	for (uint32_t i = 0; i < SI_PORTS; i++) {
		const struct doca_flow_pipe *p = si.ports[i] != NULL ? si.ports[i]->pipes : NULL;

		for (; p != NULL; p = p->next) {
			if (p == pipe)
				return true;
		}
	}
	return false;
}

uint64_t si_now_ns(void);
/* Adds to a counter; what programs see of it. */
void si_count_add(struct si_count *count, uint32_t bytes);
void si_count_read(const struct si_count *count, struct doca_flow_resource_query *out);

/* match.c: which fields a mask names, comparing, and what a packet has in them */

/* Puts types where only parser_meta has them, and a mask where there is none; checks. */
doca_error_t si_match_set(const struct doca_flow_match *value, const struct doca_flow_match *mask,
			  struct si_match *out);
void si_match_mask(const struct doca_flow_match *value, const struct doca_flow_match *mask,
		   struct doca_flow_match *out);
/* Octets of `match` that are all ones under `mask` are the entry's, the others the pipe's. */
void si_match_fill(const struct si_match *pipe, const struct doca_flow_match *entry,
		   struct doca_flow_match *out);
bool si_match_same(const struct doca_flow_match *a, const struct doca_flow_match *b);
uint32_t si_match_hash(const struct doca_flow_match *match);
/* The packet's fields where `mask` looks, masked. */
void si_match_of(const struct si_walk *walk, const struct doca_flow_match *mask,
		 struct doca_flow_match *out);

/* template.c: what pipes and entries say, checked and put together */
doca_error_t si_fwd_read(const struct doca_flow_fwd *fwd, const struct doca_flow_pipe_cfg *from,
			 struct si_fwd *out);
doca_error_t si_actions_check(const struct doca_flow_actions *actions,
			      const struct doca_flow_pipe_cfg *cfg);
doca_error_t si_rule_fill(const struct doca_flow_pipe *pipe, const struct si_give *give,
			  struct si_rule *out);

/* entry.c: NULL: no entry is hit */
struct doca_flow_pipe_entry *si_lookup(const struct doca_flow_pipe *pipe, struct si_walk *walk);
void si_entries_drop(struct doca_flow_pipe *pipe);
void si_entries_free(void);
uint32_t si_root_masks(const struct doca_flow_pipe *root);
/* What the functions of the API do, which differ by release (release.c). */
doca_error_t si_basic_add(uint16_t queue, struct doca_flow_pipe *pipe, const struct si_give *give,
			  struct doca_flow_pipe_entry **out);
doca_error_t si_control_add(uint16_t queue, struct doca_flow_pipe *pipe, const struct si_give *give,
			    struct doca_flow_pipe_entry **out);
doca_error_t si_numbered_add(uint16_t queue, struct doca_flow_pipe *pipe,
			     enum doca_flow_pipe_type type, const struct si_give *give,
			     struct doca_flow_pipe_entry **out);
doca_error_t si_basic_update(uint16_t queue, struct doca_flow_pipe *pipe,
			     const struct si_give *give, struct doca_flow_pipe_entry *entry);

/* resource.c */
doca_error_t si_keys_up(void);
void si_keys_down(void);
/* Room for so many ids; NO_MEMORY: more than the device has. */
doca_error_t si_shared_up(uint32_t psp, uint32_t mirrors);
void si_shared_down(void);
struct psp_aead_key *si_derive(uint32_t spi, uint32_t version);
doca_error_t si_psp_set(uint32_t id, const struct doca_flow_crypto_key_cfg *cfg);
/* By the program (before 3.2), or the next free one (from 3.2 on), and back. */
doca_error_t si_psp_bind(uint32_t id);
doca_error_t si_psp_take(uint32_t *id);
doca_error_t si_psp_give(uint32_t id);

/* device.c, pool.c */
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
