/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_test.h: what the stand-in offers to tests and no DOCA has: rules and limits that can be set, failures on
 * purpose, and what is alive.
 *
 * Environment, read at doca_flow_init():
 *   DOCA_STANDIN_RELAX     rules that do not hold, by name, with commas: "domain,late"
 *   DOCA_STANDIN_CAPACITY  limits of the device: "actions_mem=1048576,psp=256,counters=1000,root_masks=8"
 *   DOCA_STANDIN_FAIL      "error/7": every 7th order completes as failed; "late/7": it completes 5 ms late; "never/7":
 *                          its completion never comes
 * and whenever it is asked:
 *   DOCA_STANDIN_REFUSE    functions of the API that refuse, each time, or the time that is named, with commas:
 *                          "rte_flow_isolate,doca_flow_pipe_create/7". What completions say is refused by the names
 *                          "add", "update" and "remove", and never comes by "add_lost", "update_lost", "remove_lost"
 *   DOCA_STANDIN_VERSION   what the library says that it is: "3.5.0"
 */
#ifndef STANDIN_TEST_H
#define STANDIN_TEST_H

#include <stdbool.h>
#include <stdint.h>

/* What a device does not allow, or does otherwise than a program may hope. Sources: rules.c. All hold by default. */
enum doca_standin_rule {
	DOCA_STANDIN_DOMAIN,      /* an action in a domain where no sample of the release has it */
	DOCA_STANDIN_LIST,        /* from 3.2 on: crypto outside an ordered list */
	DOCA_STANDIN_LIST_DOMAIN, /* a jump to an ordered list from another domain */
	DOCA_STANDIN_JUMP,        /* a jump from an egress domain to an ingress one */
	DOCA_STANDIN_ROOT_TARGET, /* the kernel as a target in a root pipe */
	DOCA_STANDIN_ROOT_LEVEL,  /* more priorities than a root table has */
	DOCA_STANDIN_ACTIONS_MEM, /* more entries with actions than the port's memory for them holds */
	DOCA_STANDIN_TEMPLATES,    /* more action templates than a table takes */
	DOCA_STANDIN_DECRYPT_MISS, /* from 3.2 on: what a list cannot decrypt misses there */
	DOCA_STANDIN_BIND, /* an id that is not bound (before 3.2) or was not handed out (from then on) */
	DOCA_STANDIN_KEYED,    /* an id without a key in an entry */
	DOCA_STANDIN_COUNTERS, /* more counters than were asked for */
	DOCA_STANDIN_NAMED,    /* a mask on a header that nothing names */
	DOCA_STANDIN_MODE,     /* words of the mode that the release does not take */
	DOCA_STANDIN_MTU,      /* an MTU of 0 becomes 1500, and the netdev's */
	DOCA_STANDIN_STALE,    /* counters are a cache, refreshed each service cycle */
	DOCA_STANDIN_LATE,     /* orders complete after a while */
	DOCA_STANDIN_SHUFFLE,  /* in any order */
	DOCA_STANDIN_DEPTH,    /* more orders on their way than a queue is deep */
	DOCA_STANDIN_AGAIN, /* an update may be told to come again while orders are on their way */
	DOCA_STANDIN_META, /* the scratch words of a packet hold anything until a pipe has set them */
	DOCA_STANDIN_MISS, /* what misses goes to a port, to queues or to a pipe's numbered entries */
	DOCA_STANDIN_RULES,
};

/* Where a rule comes from; name: for DOCA_STANDIN_RELAX. */
struct doca_standin_source {
	const char *name, *file, *lines, *tag;
};

/* Whether a rule holds from now on. */
void doca_standin_hold(enum doca_standin_rule rule, bool holds);
/* NULL beyond the last. */
const struct doca_standin_source *doca_standin_source(enum doca_standin_rule rule);

/* What a device has, whatever it is asked for. UINT32_MAX: as much as anybody wants. */
struct doca_standin_capacity {
	uint32_t actions_mem; /* octets, each port */
	uint32_t psp;         /* ids */
	uint32_t counters;
	uint32_t root_masks; /* different masks among the entries of a root */
};

void doca_standin_capacity(const struct doca_standin_capacity *capacity);

enum doca_standin_failure {
	DOCA_STANDIN_NONE = 0,
	DOCA_STANDIN_ERROR,
	DOCA_STANDIN_DELAY,
	DOCA_STANDIN_NEVER,
};

struct doca_standin_failures {
	enum doca_standin_failure kind;
	uint32_t every; /* 0: never */
};

struct doca_standin_live {
	uint32_t pipes, entries; /* entries: in the pipes, or on their way in or out */
	uint32_t orders;         /* that were not yet completed */
	uint32_t most_orders;    /* the most of them that there were at a time */
	uint32_t mbufs;          /* that the program has */
	uint32_t leaked_mbufs;   /* that it had when it freed their pool */
	uint32_t bulks;          /* of SPIs and keys */
	uint32_t keys;           /* in shared resources */
	uint32_t ids;            /* of shared resources, bound or handed out */
	uint32_t counters;       /* in use */
	uint32_t actions_mem;    /* octets in use */
	uint32_t root_masks;     /* different masks among the entries of the root */
	uint64_t failed, late, lost;
	uint64_t
		default_missed; /* packets that a root left to the kernel, which was made its default */
};

/* As DOCA_STANDIN_REFUSE, which does not count from now on; uses are counted anew. NULL: it counts again. */
void doca_standin_refuse(const char *list);
/* The functions that were used, and how often; NULL: there are no more. */
const char *doca_standin_used(uint32_t at, uint32_t *uses);
/* Uses that were refused. */
uint32_t doca_standin_refused(void);

/* For orders from now on. */
void doca_standin_fail(const struct doca_standin_failures *failures);
void doca_standin_live(struct doca_standin_live *out);

#endif
