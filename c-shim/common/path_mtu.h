/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_mtu.h: what a router of the underlay says of a PSP packet that it could not pass on: "fragmentation needed"
 * (RFC 792, RFC 1191) or "packet too big" (RFC 4443). A pure function over the caller's frame.
 */
#ifndef PSP_COMMON_PATH_MTU_H
#define PSP_COMMON_PATH_MTU_H

#include "packet.h"

struct dp_path_mtu {
	uint32_t mtu; /* octets of IP that its next link carries; 0: the router does not say */
	uint32_t spi; /* of the quoted packet */
	uint8_t src[16], dst[16]; /* its outer addresses, IPv4 mapped */
};

/*
 * True when a parsed packet is such a report, whole, with a right checksum, and quotes the start of a PSP packet up to
 * its SPI: whoever sends it has seen the packet, or guesses 32 bits.
 */
bool dp_path_mtu_read(const struct dp_packet *packet, struct dp_path_mtu *out);

#endif
