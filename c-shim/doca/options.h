/* SPDX-License-Identifier: Apache-2.0 */
/* options.h: psp_dp_config.options of the DOCA plane: "key=value,key=value". */
#ifndef PSP_DPU_OPTIONS_H
#define PSP_DPU_OPTIONS_H

#include <stdint.h>

/*
 * cores         EAL's core list; the poll thread takes the last one. A value may have commas: what has no '=' belongs
 *               to the value before it. Default: 0
 * hugepages_mb  memory for DPDK in MiB; 0: none are reserved, ordinary pages are used (tests). Default: EAL's own
 * representor   DPDK's word for the representor when `host` is not one, such as "pf0vf0" (DOCA 3.0 alone)
 * devargs       more of mlx5's devargs, ';' for ','
 * mode          DOCA Flow's mode words, ';' for ','. Default: by release
 * mbufs         packet buffers. Default: 8192
 */
struct dpu_options {
	char cores[128];
	char representor[64];
	char devargs[128];
	char mode[64];
	int32_t hugepages_mb; /* -1: not given */
	uint32_t mbufs;
};

/* NULL, or what is wrong: a sentence's end in why (of cap octets). */
const char *dpu_options_parse(const char *text, struct dpu_options *out, char *why, uint32_t cap);

#endif
