/* SPDX-License-Identifier: Apache-2.0 */
/* next_hop.h: asks the kernel's routes and neighbours where a packet to an outer address goes first. */
#ifndef PSP_COMMON_NEXT_HOP_H
#define PSP_COMMON_NEXT_HOP_H

#include "../psp_dp.h"

/*
 * pip: 16 octets, v4-mapped for IPv4. Fills *hop. An unresolved neighbour is left to the kernel to resolve:
 * ask again a little later. PSP_DP_ENOENT: no route, or none over this interface. Does not block.
 */
int32_t dp_next_hop(uint32_t ifindex, const uint8_t pip[16], struct psp_dp_next_hop *hop);

#endif
