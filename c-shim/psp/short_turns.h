/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PSP_SHORT_TURNS_H
#define PSP_SHORT_TURNS_H

#include <stdbool.h>

/* psp_dp_short_turns() for who goes on without: false, the kernel has no such turns. */
bool psp_short_turns(void);

#endif
