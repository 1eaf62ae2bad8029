/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft.h: the soft plane from inside: what hangs on struct psp_dp, and how its parts call one another.
 *
 * Threads. Each worker carries packets of all ports, in both directions; where there are several, each has a socket of
 * its own on each port, and the kernel shares packets among them by flow. The first looks after the ports as well. Any API
 * thread that changes tables, ports or keys holds the writer's lock (common/plane.h). What the workers read of those is
 * published under RCU. The `seen` and `gate` locks of a port are leaves.
 */
#ifndef PSP_SOFT_H
#define PSP_SOFT_H

#include <pthread.h>
#include <unistd.h>

#include "../common/plane.h"
#include "../common/random.h"
#include "../psp/pages.h"
#include "../psp/slab.h"
#include "cache.h"
#include "guard.h"
#include "keys.h"
#include "pace.h"
#include "port.h"
#include "queue.h"
#include "rcu.h"
#include "steps.h"
#include "table.h"
#include "turns.h"

#define SOFT_HOPS_MAX 32u /* pipes in a row: more is a loop */
/* Each received frame has so many octets: whole cache lines, and not whole pages, so that frames lie in different sets. */
#define SOFT_FRAME_OCTETS ((DP_HEADROOM + DP_FRAME_MAX + 63u) / 64u * 64u)
#define SOFT_RX_FRAMES (4u * SOFT_PORT_BATCH) /* that a worker keeps until it sends: of one turn */
#define SOFT_RX_OCTETS (SOFT_RX_FRAMES * SOFT_FRAME_OCTETS)
#define SOFT_SPLIT_DEPTH 3u /* super-frames cut out of super-frames */

/* Actions behind which a packet has other fields than before. */
#define SOFT_CHANGES_FIELDS                                                                        \
	((uint32_t)(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_SET_PKT_META))

/* What an entry does, with its pipe's actions; replaced whole by an update. As long as its encap is. */
struct soft_rule {
	struct dp_fwd fwd;  /* never NONE */
	uint32_t flags;     /* enum psp_dp_action */
	uint32_t crypto_id; /* ENCRYPT */
	uint32_t pkt_meta;  /* SET_PKT_META */
	bool count, mirror, notify;
	struct soft_strip strip;   /* DECAP; of ROUTE the addresses */
	struct soft_replay replay; /* CHECK_REPLAY: the entry's */
	struct soft_rcu_head rcu;
	struct soft_encap encap; /* ENCAP: else it is not there */
};

#define SOFT_RULE_GRAIN (PSP_PAGES_LINE / 2u)
#define SOFT_RULE_SIZES                                                                            \
	((sizeof(struct soft_rule) + SOFT_ENCAP_DATA_MAX + SOFT_ENCAP_SLACK) / SOFT_RULE_GRAIN + 1u)

/* Of an entry that is found by every word there is. */
#define SOFT_ENTRY_LINES_MAX                                                                       \
	((sizeof(struct soft_entry) + SOFT_MATCH_WORDS * 8u) / PSP_PAGES_LINE + 1u)

struct soft_pipe {
	struct dp_pipe base;              /* first */
	_Atomic bool random;              /* an entry looks at parser_meta_random */
	struct soft_shape shape;          /* BASIC */
	struct soft_table table;          /* BASIC */
	_Atomic(struct soft_list *) list; /* CONTROL; RCU */
	struct soft_stats hits, misses;
	_Atomic(struct soft_reach *) reach; /* RCU; NULL: no trail starts here */
	struct soft_looks looks;            /* writer */
};

static inline struct soft_pipe *soft_pipe(struct dp_pipe *base)
{
	return (struct soft_pipe *)base;
}

/* What misses here waits for an entry. */
static inline bool soft_pipe_holds(const struct soft_pipe *pipe)
{
	return pipe->base.fwd_miss.type == PSP_DP_FWD_RSS &&
	       pipe->base.fwd_miss.target == PSP_DP_RSS_MISS;
}

/* A packet on its way through the pipes. */
struct soft_walk {
	struct dp_packet *packet;
	const struct soft_encap *encap; /* the ENCAP that was met */
	uint32_t crypto_id;             /* of the ENCRYPT that was met, or 0 */
	uint32_t hops;
	uint32_t segments;
	uint64_t bytes; /* octets of IP, over all segments */
	bool decrypted; /* DECRYPT was met: packet->verdict holds */
	bool counted;   /* its verdict was a drop, and is counted already */
	bool decapped;
	bool routed;  /* ROUTE was met */
	bool sampled; /* the rule that is met mirrors, and its packets were reported one by one */
	struct soft_step step;
	const struct soft_pipe
		*begins; /* the first pipe behind the root: where it runs again when it was held */
};

struct soft_link;
struct soft_worker;

#define SOFT_JOINS 16u /* flows whose packets are joined at one time */

/* One of the joiners of a worker. */
struct soft_joining {
	struct soft_join join;
	struct soft_out out;
	struct soft_worker *worker;
	struct soft_link *to; /* the host port that its frames leave by */
};

struct soft_joins {
	struct soft_joining of[SOFT_JOINS]; /* by flow */
	uint32_t open;                      /* a bit for each that may hold something */
	uint32_t parts;                     /* that those hold at most */
};

#define SOFT_WORKERS_DEFAULT_MAX 8u /* where nobody says how many */
#define SOFT_WORKERS_MAX ((uint32_t)PSP_DP_WORKERS_MAX)

struct soft_worker {
	struct psp_dp *dp;
	struct soft_link *link; /* whose packet is at work */
	uint32_t number;        /* as RCU reader and counter block */
	struct psp_crypto *crypto;
	struct soft_rx_keys rx_keys;
	struct soft_cache cache;
	struct dp_rng rng;
	struct dp_limit syndromes, too_bigs, path_mtus, sources;
	uint8_t *buffers; /* one allocation: those below */
	uint8_t *rx_buf;  /* SOFT_RX_OCTETS */
	uint8_t *held_buf, *split_buf[SOFT_SPLIT_DEPTH], *cut_buf[2], *tunnelled_buf;
	struct dp_packet packets[SOFT_PORT_BATCH];
	bool sound[SOFT_PORT_BATCH];             /* of these, what was parsed well */
	struct soft_step steps[SOFT_PORT_BATCH]; /* of these, from the root on */
	uint32_t split_depth;
	bool resubmitting;
	struct soft_out seal_out;
	struct soft_joins joins;
	struct soft_queue queue;
	uint32_t chains;             /* of held packets, that it has run and not flushed */
	struct soft_sealing sealing; /* whose frames seal_out gets */
	uint32_t sealed;             /* packets of it that are queued */
	uint64_t now_ns;             /* CLOCK_MONOTONIC at the current batch */
	uint64_t looked_ns, packet_ns, mended_ns;
	uint32_t max_ip; /* octets of IP that fit the uplink */
	/* By slot of a port: frames to ask for, fewer when they are large. */
	uint8_t want[PSP_DP_PORTS_MAX];
	struct soft_turns turns;
	uint32_t unasked; /* cost of what was carried since the kernel was asked who has frames */
	bool deaf;        /* a port failed and is not watched */
	bool misses_link; /* the first worker: an interface was not there when it last looked */
	bool woken;       /* since it last thought of sleep */
	int epoll;        /* ports by their handles, and 0, wake */
	int wake;         /* eventfd */
	int schedstat;    /* what the scheduler says of it; -1: nothing */
	struct soft_pace pace;
	pthread_t thread;
	bool running;
};

/* A port of the plane. */
struct soft_link {
	struct dp_port base;    /* first */
	struct soft_port *port; /* the first worker's socket, and what the kernel is asked by */
	/* By worker; where there is none, the others have its packets. */
	_Atomic(struct soft_port *) ports[SOFT_WORKERS_MAX];
	pthread_mutex_t gate; /* for base.exceptions */
	pthread_mutex_t seen; /* for `last` and what says whether it is there */
	struct psp_dp_port_info last;
	bool present;
	uint32_t identity;
	bool guarded;         /* the guard has it */
	uint8_t guard_reason; /* enum psp_dp_guard_reason: why not */
	_Atomic uint64_t tx_busy, tx_error;
	/* What every packet asks for, and changes: two cache lines. */
	_Alignas(64) struct soft_stats rx;
	_Alignas(64) _Atomic uint32_t mtu; /* octets of IP, as last seen; any worker reads it */
	struct soft_stats tx;
};

static inline struct soft_link *soft_link(struct dp_port *base)
{
	return (struct soft_link *)base;
}

/* Taken out of the tables, and perhaps still in a worker's hands: one of the two. */
struct soft_taken {
	struct soft_entry *entry;
	struct soft_tx_slot *slot;
	struct psp_dp_stats *last; /* where its counters go */
};

struct psp_dp {
	struct dp_plane base; /* first */
	struct soft_link *uplink;
	struct soft_guard *guard; /* NULL: none */
	int sink[2]; /* an uplink without a guard: sockets that keep the kernel quiet on UDP 1000 */
	_Atomic bool stop;
	uint32_t n_workers;
	struct soft_worker *workers[SOFT_WORKERS_MAX];
	_Atomic uint32_t chains; /* of held packets that workers run: see soft_chain_begin() */
	struct soft_rcu rcu;
	/* Of the tables: see cache.h. A line of its own, that the workers read for each packet. */
	_Alignas(64) _Atomic uint64_t cache_generation;
	bool without_cache; /* set before psp_dp_start(), by tests */
	_Alignas(64) struct soft_keys keys;
	/* What there is of each tunnel, side by side, entries and rules by their sizes. Writer. */
	struct psp_slab rules[SOFT_RULE_SIZES], slots, entries[SOFT_ENTRY_LINES_MAX];
	struct soft_replays replays;
	struct soft_taken taken[PSP_DP_LIST_MAX]; /* since plane_settle(); writer */
	uint32_t n_taken;
};

/* ---- lookup.c ---- */

/* For workers under RCU and for the writer. */
struct soft_entry *soft_pipe_find(const struct soft_pipe *pipe, const struct psp_dp_match *fields);
/* On a worker: before the first of n packets is run, which are parsed and at the start of their trails. */
void soft_ahead(struct soft_worker *worker, const struct soft_pipe *root, uint32_t n);

/* ---- pipe.c ---- */

void soft_pipes_free(struct psp_dp *dp);

/* ---- worker.c ---- */

/* As many as the configuration says, or as fit the machine. */
uint32_t soft_workers_wanted(const struct psp_dp_config *config);
/* 0 or a status; soft_worker_free() undoes it, as far as it came. */
int32_t soft_worker_new(struct psp_dp *dp, uint32_t number, struct soft_worker **out);
int32_t soft_worker_start(struct soft_worker *worker);
void soft_worker_join(struct soft_worker *worker); /* dp->stop is set and it was woken */
void soft_worker_free(struct soft_worker *worker);
/* Has it read a link's socket, if it has one there and was not told so of that socket before. */
void soft_worker_watch(const struct soft_worker *worker, struct soft_link *link);
void soft_worker_ignore(const struct soft_worker *worker, struct soft_link *link);

static inline void soft_worker_wake(struct soft_worker *worker)
{
	const uint64_t one = 1;

	/* Full means that it is awake already. */
	if (write(worker->wake, &one, sizeof(one)) < 0)
		return;
}

static inline void soft_worker_count(struct soft_worker *worker, enum dp_counter counter,
				     uint64_t n)
{
	dp_count_own(&worker->dp->base.counters, worker->number, counter, n);
}

/* ---- link.c ---- */

/* The first link whose slot is n or above; NULL: there is none. For the writer, and while nothing runs. */
struct soft_link *soft_link_from(struct psp_dp *dp, uint32_t n);
#define SOFT_EACH_LINK(dp, link)                                                                   \
	for (struct soft_link *link = soft_link_from(dp, 0); link != NULL;                         \
	     link = soft_link_from(dp, dp_port_slot(link->base.handle) + 1))
/* Opens its interface; on failure err says why, and soft_link_close() undoes what was done. */
int32_t soft_link_open(struct psp_dp *dp, struct soft_link *link, char *err, uint32_t err_cap);
void soft_link_close(struct soft_link *link);
/*
 * The first worker looks whether the interface is there and the same, binds to another of its name, and reports a change.
 * Also gives each worker a socket, where one is missing: they are to be watched, if the interface is present.
 */
void soft_link_look(struct soft_worker *worker, struct soft_link *link);
/* As it is now, or as it was last when its interface is not there. Any thread. */
int32_t soft_link_query(struct soft_link *link, struct psp_dp_port_info *info);

static inline struct soft_port *soft_link_port(struct soft_link *link, uint32_t worker)
{
	return atomic_load_explicit(&link->ports[worker], memory_order_acquire);
}

/* The socket that a worker sends by. */
static inline struct soft_port *soft_link_sender(struct soft_link *link, uint32_t worker)
{
	struct soft_port *own = soft_link_port(link, worker);

	return own != NULL ? own : link->port;
}

/* ---- join.c: on a worker ---- */

void soft_joins_init(struct soft_worker *worker);
/* A packet for a workload; what soft_join_add() says of its place holds, and the queue has room for it. */
void soft_joins_add(struct soft_worker *worker, const struct dp_packet *packet,
		    struct soft_link *to);
/* What was joined goes to the queue. */
void soft_joins_flush(struct soft_worker *worker);

/* ---- run.c, open.c: on a worker, within an RCU section ---- */

/* The first n of its packets as they came in by one port: parsed, counted, and each run from the root pipe to its end. */
void soft_run(struct soft_worker *worker, uint32_t n);
/* Resubmits a chain of held packets, oldest first, and frees them. */
void soft_run_held(struct soft_worker *worker, struct dp_held *chain);
/*
 * Before a worker takes a chain of held packets it says so, until what it made of them has left (soft_flush()): another
 * worker that has a later packet of their flow waits for that.
 */
static inline void soft_chain_begin(struct soft_worker *worker)
{
	worker->chains++;
	atomic_fetch_add(&worker->dp->chains, 1);
}
/* What was joined and queued leaves. */
void soft_flush(struct soft_worker *worker);
/* Where the worker's sealer leaves what it has made: in its queue. */
int32_t soft_out_send_uplink(void *worker, const struct soft_frame *frame);
uint32_t soft_out_room_uplink(void *worker, uint32_t len);

/* Opens a single packet; false: the walk has ended (dropped and counted). */
bool soft_walk_decrypt(struct soft_worker *worker, struct soft_walk *walk);

#endif
