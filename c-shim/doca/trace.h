/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h: a record of the calls to DOCA, one line each, in order, for golden tests and for a reviewer with a DPU.
 * PSP_DOCA_TRACE names the file; it is appended to. Lines have names and numbers of ours instead of pointers, and
 * never a key. Queries of counters are not written: they come whenever somebody looks.
 *
 *   call key=value ... -> ok | DOCA_ERROR_...
 */
#ifndef PSP_DPU_TRACE_H
#define PSP_DPU_TRACE_H

#include <doca_error.h>
#include <doca_flow.h>
#include <pthread.h>
#include <stdio.h>

struct dpu_trace {
	FILE *file; /* NULL: no record is kept */
	pthread_mutex_t lock;
};

void dpu_trace_open(struct dpu_trace *trace);
void dpu_trace_close(struct dpu_trace *trace);

/* One line. Returns the result, so that it can stand around a call. */
doca_error_t dpu_trace(struct dpu_trace *trace, doca_error_t result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "outer.ip4.src,tun.psp.spi=0x..,": the fields that a mask has; with their values unless value is NULL. */
const char *dpu_trace_match(const struct doca_flow_match *value, const struct doca_flow_match *mask,
			    char *buf, uint32_t cap);

#endif
