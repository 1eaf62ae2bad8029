/* SPDX-License-Identifier: Apache-2.0 */
/* rights.h: what this process may, and what it finds of a device: for reports, and for a plane that cannot open one. */
#ifndef PSP_RIGHTS_H
#define PSP_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PSP_MEMLOCK_UNLIMITED UINT64_MAX

struct psp_rights {
	uint64_t capabilities; /* effective ones, bit n: CAP_... n */
	uint64_t memlock;      /* octets that may be locked without CAP_IPC_LOCK */
	uint32_t verbs,
		verbs_open; /* files of /dev/infiniband/uverbs*; of these, those that can be opened */
	int64_t hugepages_mb; /* free ones of any size; -1: this kernel has none */
};

/* root: where /dev and /sys are, "" outside of tests. */
void psp_rights_look(const char *root, struct psp_rights *out);
/*
 * What mlx5 asks of whoever opens a device, and this process has not: "CAP_SYS_RAWIO is missing". False: it has all.
 * Source: DPDK, doc/guides/platform/mlx5.rst, "Run as Non-Root".
 */
bool psp_rights_lack(const struct psp_rights *rights, char *text, size_t cap);
/*
 * What else may be the reason that no device is found or opened: "there is no /dev/infiniband/uverbs*", "CAP_IPC_LOCK is
 * missing, and only 64 KiB may be locked without it". False: nothing.
 */
bool psp_rights_suspect(const struct psp_rights *rights, char *text, size_t cap);

#endif
