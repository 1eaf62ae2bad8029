/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hw.h: a thin layer over DOCA Flow's pipes and entries: one call, its completion waited for, one line in the trace.
 * It knows nothing of the ABI's pipes. All calls are the writer's.
 */
#ifndef PSP_DPU_HW_H
#define PSP_DPU_HW_H

#include <stdbool.h>
#include <stdint.h>

#include "../psp_dp.h"
#include "compat.h"
#include "rss.h"

#define DPU_HW_NAME_LEN 48u

struct dpu_hw_pipe {
	struct doca_flow_pipe *pipe; /* NULL: not there */
	enum doca_flow_pipe_type type;
	char name[DPU_HW_NAME_LEN];
};

/* A forward. `pipe`: PIPE, ORDERED_LIST_PIPE, HASH_PIPE; NULL there means that each entry brings its own. */
struct dpu_to {
	enum doca_flow_fwd_type type;
	uint16_t port_id; /* PORT */
	uint16_t class;   /* RSS: of the queues */
	uint16_t readers; /* RSS: over their queues; DPU_OPEN: each entry brings its own */
	uint8_t l3;       /* RSS over several: enum psp_dp_l3, by whose addresses */
	const struct dpu_hw_pipe *pipe;
	uint32_t
		number; /* ORDERED_LIST_PIPE: of the list's entry; UINT32_MAX: each entry brings its own */
};

#define DPU_OPEN UINT16_MAX

/* Memory of a forward's queues. */
struct dpu_queues {
	uint16_t at[DPU_READERS_MAX];
};

struct dpu_total {
	uint64_t packets, bytes;
};

/* An entry in hardware. Its memory is hardware's from the call that adds it until it is gone. */
struct dpu_piece {
	struct doca_flow_pipe_entry *entry; /* NULL: not there */
	uint32_t number;                    /* in the trace */
	bool done, good;                    /* written by the completion */
	const char *by;                     /* the function that says so of a refusal */
	bool lost;                          /* no completion came: may be written any time */
};

/* What one of a pipe's templates sets, or what an entry fills into one. */
struct dpu_hw_acts {
	bool modify;     /* actions and mask are used */
	bool crypto;     /* crypto is used */
	bool lowers_ttl; /* what stands in the TTL, or hop limit, of actions is added to the packet's */
	struct doca_flow_actions actions, mask;
	struct compat_crypto part;
};

struct dpu_hw_shape {
	uint32_t n;
	struct dpu_hw_acts *templates; /* NULL when n is 0 */
};

/* A pipe to be made. */
struct dpu_hw_spec {
	char name[DPU_HW_NAME_LEN];
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool root, counter, miss_counter, mirror;
	uint32_t entries;
	struct doca_flow_match match, mask; /* BASIC */
	struct dpu_hw_shape shape;          /* BASIC, ORDERED_LIST */
	struct dpu_to fwd, miss;            /* NONE: not given */
};

/* An entry to be added, or what it is to become. */
struct dpu_hw_entry {
	struct doca_flow_match match, mask; /* mask: CONTROL */
	struct dpu_hw_acts acts;
	uint32_t template;
	bool counter;
	uint32_t mirror;  /* 0: none */
	uint32_t level;   /* CONTROL */
	uint32_t at;      /* ORDERED_LIST, HASH: its number in the pipe */
	struct dpu_to to; /* NONE: as the pipe says */
};

int32_t dpu_hw_pipe_create(struct psp_dp *dp, const struct dpu_hw_spec *spec,
			   struct dpu_hw_pipe *out);
/* Does nothing for a pipe that is not there. */
void dpu_hw_pipe_destroy(struct psp_dp *dp, struct dpu_hw_pipe *pipe);

/*
 * Many at a time: orders are given, waited for together, and each is asked what came of it. What a begin returned goes
 * to the end of the same piece.
 */
#define DPU_ORDERS_MAX 512u /* that may be on their way, half of the queue's depth: see port.c */
doca_error_t dpu_hw_begin_add(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			      const struct dpu_hw_entry *entry, struct dpu_piece *piece);
/* BASIC. */
doca_error_t dpu_hw_begin_update(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
				 const struct dpu_hw_entry *entry, struct dpu_piece *piece);
doca_error_t dpu_hw_begin_remove(struct psp_dp *dp, struct dpu_piece *piece);
void dpu_hw_wait(struct psp_dp *dp, struct dpu_piece *const *pieces, uint32_t n);
/* As dpu_hw_add() and dpu_hw_remove(). */
int32_t dpu_hw_end_add(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
		       const struct dpu_hw_entry *entry, struct dpu_piece *piece,
		       doca_error_t begun);
/* On failure the entry is as it was. */
int32_t dpu_hw_end_update(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			  const struct dpu_hw_entry *entry, struct dpu_piece *piece,
			  doca_error_t begun);
int32_t dpu_hw_end_remove(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			  struct dpu_piece *piece, doca_error_t begun);

/* 0 when the completion said success; else nothing is there, or piece->lost. */
int32_t dpu_hw_add(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
		   const struct dpu_hw_entry *entry, struct dpu_piece *piece);
/* On failure the entry is still there, or piece->lost. Does nothing for one that is not there. */
int32_t dpu_hw_remove(struct psp_dp *dp, const struct dpu_hw_pipe *pipe, struct dpu_piece *piece);

/* False: the device gives no figures, *out is 0. */
bool dpu_hw_query(const struct dpu_piece *piece, struct dpu_total *out);
bool dpu_hw_query_miss(const struct dpu_hw_pipe *pipe, struct dpu_total *out);

/* For doca_flow_cfg_set_cb_entry_process(). */
void dpu_hw_completed(struct doca_flow_pipe_entry *entry, uint16_t queue,
		      enum doca_flow_entry_status status, enum doca_flow_entry_op op, void *ctx);

/* For the trace. */
const char *dpu_hw_to_text(const struct dpu_to *to, char *buf, uint32_t cap);

/* Fills the DOCA struct; queues must live as long as fwd. */
void dpu_hw_fwd(struct psp_dp *dp, const struct dpu_to *to, struct dpu_queues *queues,
		struct doca_flow_fwd *fwd);

#endif
