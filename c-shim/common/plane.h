/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plane.h: what every plane has, and what it does for the code that the planes share.
 *
 * The functions of the ABI are here in common/: they check their arguments, take the writer's lock, look up what is
 * named, and then call the plane_*() below. A library holds one plane, so the linker finds them.
 *
 * A plane's struct psp_dp begins with a struct dp_plane, its pipes with a struct dp_pipe; see pipe.h.
 * Locks, outermost first: writer, ports, hold, event ring; the error text's lock is a leaf.
 */
#ifndef PSP_COMMON_PLANE_H
#define PSP_COMMON_PLANE_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "../psp/crypto.h"
#include "counters.h"
#include "events.h"
#include "handle.h"
#include "hold.h"
#include "keys.h"
#include "pipe.h"
#include "port.h"

_Static_assert(PSP_DP_MAX_ENTRIES_MAX == 1 << 24, "8 bits of a handle are left to its generation");

struct dp_plane {
	struct psp_dp_config config; /* with the defaults filled in */

	pthread_mutex_t writer;   /* held by whoever changes tables or keys */
	pthread_mutex_t stopping; /* held while the workers end; within it no other lock is held */
	bool started, stopped;
	bool no_gmac;                   /* the plane has PSP versions 0 and 1 alone */
	_Atomic(struct dp_pipe *) root; /* RCU, where a plane has readers */
	_Atomic(struct dp_pipe *) pipes[DP_PIPES_MAX]; /* likewise */
	uint32_t pipe_generation[DP_PIPES_MAX];
	struct dp_handles entries;
	struct dp_ports ports;
	struct dp_keys keys;
	struct dp_master master;

	struct dp_events events;
	struct dp_hold hold;
	struct dp_counters counters;

	pthread_mutex_t error_lock;
	char error[512];
};

static inline struct dp_plane *dp_plane_of(struct psp_dp *dp)
{
	return (struct dp_plane *)dp;
}

/* CLOCK_MONOTONIC */
static inline uint64_t dp_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void dp_lock(struct psp_dp *dp)
{
	pthread_mutex_lock(&dp_plane_of(dp)->writer);
}

static inline void dp_unlock(struct psp_dp *dp)
{
	pthread_mutex_unlock(&dp_plane_of(dp)->writer);
}

/* While it is held no port goes. Not by whoever has the writer's lock. */
static inline void dp_ports_read(struct psp_dp *dp)
{
	pthread_rwlock_rdlock(&dp_plane_of(dp)->ports.lock);
}

static inline void dp_ports_done(struct psp_dp *dp)
{
	pthread_rwlock_unlock(&dp_plane_of(dp)->ports.lock);
}

/* ---- error.c ---- */

/* Keeps the sentence for psp_dp_error_text() and returns status. */
int32_t dp_fail(struct psp_dp *dp, int32_t status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The first refusal of several: its status, and its sentence kept while others fail. Start with {0}. */
struct dp_first {
	int32_t status;
	uint32_t rank;
	char text[256];
};
/* rank: which of them it is. What failed may be told in another order. */
void dp_first_note(struct psp_dp *dp, struct dp_first *first, uint32_t rank, int32_t status);
/* The status, with its sentence as the error text. */
int32_t dp_first_tell(struct psp_dp *dp, const struct dp_first *first);
/* All 0 but the size: what an object has that was never met. */
static inline void dp_stats_clear(struct psp_dp_stats *stats)
{
	*stats = (struct psp_dp_stats){.size = sizeof(*stats)};
}

/* Why a plane does not open, into psp_dp_open()'s err. */
void dp_open_fail(char *err, uint32_t err_cap, const char *why);

/* ---- what a plane does; with the writer's lock held, but for those marked (free) ---- */

/* Its name, its version and what it is built on. (free) */
void plane_version(char *text, size_t cap);
/*
 * 0, PSP_DP_EINVAL or PSP_DP_ENOTSUP: a configuration whose sizes are within their bounds says what this plane cannot
 * be or do, and why names it. Sizes that are 0 stand for their defaults. (free)
 */
int32_t plane_check(const struct psp_dp_config *config, const struct psp_dp_port_desc *ports,
		    uint32_t n_ports, char *why, size_t cap);
/* Zeroed memory for a struct psp_dp, aligned for its counters; NULL: out of memory. (free) */
struct psp_dp *plane_alloc(void);
/* Opens everything; the struct dp_plane is ready, its ports are made and published. On failure plane_down() is called all the same. (free) */
int32_t plane_up(struct psp_dp *dp, char *err, uint32_t err_cap);
/* Gives back what plane_up() took, however far that came; nothing runs. (free) */
void plane_down(struct psp_dp *dp);
/* What it can do, of enum psp_dp_feature. (free) */
uint32_t plane_features(const struct psp_dp *dp);
/* Fills in workers, queues, mbufs and actions_memory. (free) */
void plane_granted(struct psp_dp *dp, struct psp_dp_granted *granted);
int32_t plane_start(struct psp_dp *dp);
/* Stops what plane_start() started; also when it was never called, and again. (free) */
void plane_stop(struct psp_dp *dp);

/* A flow was released: its packets can go. (free) */
void plane_released(struct psp_dp *dp);
/* Adds what the device has counted since the last call to the counters. (free) */
void plane_count(struct psp_dp *dp);

/* Sets a key, or clears it (NULL). `last`: of the key that was there; NULL: of no interest. Until plane_settle(). */
int32_t plane_crypto_put(struct psp_dp *dp, uint32_t id, const struct psp_dp_key *key,
			 struct psp_dp_stats *last);
bool plane_crypto_has(struct psp_dp *dp, uint32_t id);
void plane_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats);
/*
 * What was taken out since the last call has carried its last packet, and is wiped and freed: the `last` of each is filled
 * in. At most PSP_DP_LIST_MAX at a time.
 */
void plane_settle(struct psp_dp *dp);
int32_t plane_spi_generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys,
			   uint32_t n);
/* On success the master key that was not active has been drawn anew; what is active is the caller's to note. */
int32_t plane_rotate(struct psp_dp *dp);

#endif
