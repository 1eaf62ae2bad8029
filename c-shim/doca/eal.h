/* SPDX-License-Identifier: Apache-2.0 */
/* eal.h: DPDK's environment, for one plane at a time. */
#ifndef PSP_DPU_EAL_H
#define PSP_DPU_EAL_H

#include <stdint.h>

struct psp_dp;

/* 0; PSP_DP_EBUSY: another plane of this process has it. */
int32_t dpu_eal_take(struct psp_dp *dp);
/* It stays for the next plane: DPDK cannot start twice. */
void dpu_eal_give(void);

#endif
