/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_test.h: what the stand-in offers to tests and no DOCA has: failures on purpose, and what is alive.
 *
 * DOCA_STANDIN_FAIL in the environment is "error/7": every 7th order completes as failed; "late/7": it completes only
 * at the third call of doca_flow_entries_process(); "never/7": its completion never comes.
 */
#ifndef STANDIN_TEST_H
#define STANDIN_TEST_H

#include <stdint.h>

enum doca_standin_failure {
	DOCA_STANDIN_NONE = 0,
	DOCA_STANDIN_ERROR,
	DOCA_STANDIN_LATE,
	DOCA_STANDIN_NEVER,
};

struct doca_standin_failures {
	enum doca_standin_failure kind;
	uint32_t every; /* 0: never */
};

struct doca_standin_live {
	uint32_t pipes, entries; /* entries: in the pipes, or on their way in or out */
	uint32_t orders;         /* that were not yet completed */
	uint32_t mbufs;          /* that the program has */
	uint32_t leaked_mbufs;   /* that it had when it freed their pool */
	uint32_t bulks;          /* of SPIs and keys */
	uint32_t keys;           /* in shared resources */
	uint64_t failed, late, lost;
};

/* For orders from now on. */
void doca_standin_fail(const struct doca_standin_failures *failures);
void doca_standin_live(struct doca_standin_live *out);

#endif
