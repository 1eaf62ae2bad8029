/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipe.h: pipes, entries and rules as both planes have them. A plane's own structs begin with these, or hold them.
 * All of it is the writer's, but for what a plane's threads read of a published pipe or rule.
 */
#ifndef PSP_COMMON_PIPE_H
#define PSP_COMMON_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "../psp_dp.h"
#include "port.h"

#define DP_PIPES_MAX 256u /* 8 bits of a pipe's id */
#define DP_NAME_LEN 32u

/* A forward, resolved. pipe and port stay while a published rule or pipe says so: they count who refers to them. */
struct dp_fwd {
	uint32_t type;   /* enum psp_dp_fwd_type */
	uint32_t target; /* RSS: enum psp_dp_rss; PORT: its kind */
	struct dp_pipe *pipe;
	struct dp_port *port;
};

/* What an entry does: its pipe's actions and its own, merged. */
struct dp_rule {
	struct dp_fwd fwd; /* never NONE */
	bool count, mirror, notify;
	struct psp_dp_actions actions;
};

struct dp_pipe {
	uint32_t id, type; /* type: enum psp_dp_pipe_type */
	char name[DP_NAME_LEN];
	bool miss_counter, count;
	struct psp_dp_actions actions;
	struct psp_dp_monitor monitor;
	struct dp_fwd fwd, fwd_miss;
	struct dp_entry *entries;
	uint32_t n_entries;
	uint32_t refs; /* pipes and entries of other pipes that forward here */
};

struct dp_entry {
	struct dp_entry *prev, *next; /* of its pipe */
	struct dp_pipe *pipe;
	uint32_t id, priority;
};

/* ---- pipes ---- */

static inline uint32_t dp_pipe_index(uint32_t id)
{
	return id & (DP_PIPES_MAX - 1);
}

/* For the writer, and for readers under RCU. NULL: no such pipe. */
struct dp_pipe *dp_pipe_of(struct psp_dp *dp, uint32_t id);
/* Nobody finds the pipe any more. */
void dp_pipe_hide(struct psp_dp *dp, const struct dp_pipe *pipe);

/* ---- rules ---- */

/* Checks and merges actions; a plane that can do less refuses between this and dp_rule_forward(). */
int32_t dp_rule_actions(struct psp_dp *dp, const char *what, const struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_rule *rule);
int32_t dp_rule_forward(struct psp_dp *dp, const char *what, const struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_rule *rule);
/* "Cannot set entry of pipe ...", for the two above. */
#define DP_WHAT_LEN 80u
void dp_rule_what(const struct dp_pipe *pipe, char what[DP_WHAT_LEN]);
/* Where encap_data's PSP header begins; 0: encap_data contradicts itself. */
uint32_t dp_encap_psp(const struct psp_dp_actions *actions);
/* Octets that encap_data adds to an inner IP packet: outer IP to PSP header, and the ICV. */
uint32_t dp_overhead(const struct psp_dp_actions *encap);
/* Octets of outer IP that may be sent by this encap_data where the uplink carries `uplink`. */
uint32_t dp_max_ip(const struct psp_dp_actions *encap, uint32_t uplink);

/* ---- entries ---- */

/* Gives it an id, or says why there is none left. */
int32_t dp_entry_name(struct psp_dp *dp, struct dp_entry *entry);
void dp_entry_unname(struct psp_dp *dp, const struct dp_entry *entry);
/* Into its pipe's list, and out of it; `to` is where its rule forwards. */
void dp_entry_link(struct dp_entry *entry, const struct dp_fwd *to);
void dp_entry_unlink(struct dp_entry *entry, const struct dp_fwd *to);
/* The rule is replaced by one that forwards elsewhere. */
void dp_entry_forward(const struct dp_fwd *from, const struct dp_fwd *to);
/* The sentences that both planes refuse an entry with. */
int32_t dp_entry_no_memory(struct psp_dp *dp, const struct dp_pipe *pipe);
int32_t dp_entry_is_there(struct psp_dp *dp, const struct dp_pipe *pipe);

/* ---- what a plane does, with the writer's lock held ---- */

/* What it cannot do of a descriptor that is sound; 0 or PSP_DP_ENOTSUP. */
int32_t plane_pipe_check(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc);
/* Zeroed memory for a pipe; NULL: out of memory. */
struct dp_pipe *plane_pipe_alloc(void);
/* Sets up a pipe that has its id, before it is published. On failure plane_pipe_free() is called. */
int32_t plane_pipe_up(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
		      struct dp_pipe *pipe);
/* Nobody refers to the pipe. On success it has no entries and is hidden, and no thread is in it. */
int32_t plane_pipe_down(struct psp_dp *dp, struct dp_pipe *pipe);
void plane_pipe_free(struct psp_dp *dp, struct dp_pipe *pipe);
/* Fills in packets, bytes, last_used_ns and the misses. */
void plane_pipe_query(struct psp_dp *dp, struct dp_pipe *pipe, struct psp_dp_stats *stats);

/* The sizes in desc are right. *out: with its id and in its pipe's list. */
int32_t plane_entry_add(struct psp_dp *dp, struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_entry **out);
int32_t plane_entry_update(struct psp_dp *dp, struct dp_entry *entry,
			   const struct psp_dp_entry_desc *desc);
int32_t plane_entry_remove(struct psp_dp *dp, struct dp_entry *entry);
/*
 * Several, each by itself, in their order: a plane may have many on their way at a time. What is refused is in the
 * statuses, and the first of them noted.
 */
struct dp_adding {
	struct dp_pipe *pipe;
	const struct psp_dp_entry_desc *desc; /* as for plane_entry_add() */
	struct dp_entry *entry;               /* NULL: refused */
	uint32_t rank;                        /* for dp_first_note() */
	int32_t status;
};
struct dp_updating {
	struct dp_entry *entry;               /* no other item has the same */
	const struct psp_dp_entry_desc *desc; /* as for plane_entry_update() */
	uint32_t rank;
	int32_t status;
};
struct dp_taking {
	struct dp_entry *entry; /* no other item has the same */
	struct psp_dp_stats
		*last; /* what it has counted in all, once plane_settle() has returned */
	uint32_t rank;
	int32_t status;
};
struct dp_first;
void plane_entries_add(struct psp_dp *dp, struct dp_adding *items, uint32_t n,
		       struct dp_first *first);
void plane_entries_update(struct psp_dp *dp, struct dp_updating *items, uint32_t n,
			  struct dp_first *first);
void plane_entries_take(struct psp_dp *dp, struct dp_taking *items, uint32_t n,
			struct dp_first *first);
void plane_entry_query(struct psp_dp *dp, struct dp_entry *entry, struct psp_dp_stats *stats);

#endif
