/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forwarding.h: the soft plane reads frames beside the kernel, it does not take them away. Where there is no ingress
 * guard (guard.h), a kernel that forwards what comes in on the host port would send tenants' packets on in clear text.
 */
#ifndef PSP_SOFT_FORWARDING_H
#define PSP_SOFT_FORWARDING_H

#include "../psp_dp.h"

/* PSP_DP_EPERM, and in err what to set, when the kernel would forward packets from this interface. */
int32_t soft_forwarding_refuse(const char *host, char *err, uint32_t err_cap);

#endif
