/* SPDX-License-Identifier: Apache-2.0 */
/* forwarding.h: whether the kernel sends on, by itself, what comes in on an interface. */
#ifndef PSP_FORWARDING_H
#define PSP_FORWARDING_H

#include <stdint.h>

enum { PSP_FORWARDS_IPV4 = 1, PSP_FORWARDS_IPV6 = 2 };

/* Bits of the above. What cannot be read is off. */
uint8_t psp_forwarding(const char *interface);

#endif
