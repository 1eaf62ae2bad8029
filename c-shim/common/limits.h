/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h: the bounds of every size that a plane is opened with, from psp_dp.h. */
#ifndef PSP_COMMON_LIMITS_H
#define PSP_COMMON_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "../psp_dp.h"

/* Puts in what 0 stands for. */
void dp_limits_fill(struct psp_dp_config *config);
/* False: a size is out of bounds, and why says which. What is 0 stands for its default. */
bool dp_limits_hold(const struct psp_dp_config *config, char *why, size_t cap);

/* The same of a port. */
bool dp_limits_hold_port(const struct psp_dp_port_desc *desc, char *why, size_t cap);

#endif
