/* SPDX-License-Identifier: Apache-2.0 */
/* preflight.h: what is usually wrong on a DPU, looked at before DPDK is asked, which would say it less plainly. */
#ifndef PSP_DPU_PREFLIGHT_H
#define PSP_DPU_PREFLIGHT_H

#include <stdint.h>

struct psp_dp;

/* 0, or the error text says what is to be done. What sysfs does not tell is no reason to refuse. */
int32_t dpu_preflight(struct psp_dp *dp);
/*
 * No device was found, or it was not opened, and the error text says so: what may be the reason comes first in it from now on, as
 * far as this process can see one. Returns `status`.
 */
int32_t dpu_preflight_blame(struct psp_dp *dp, int32_t status);

#endif
