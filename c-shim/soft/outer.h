/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outer.h: the headers in front of a PSP header, by encap_data. In tunnel mode they are encap_data's Ethernet,
 * IP and UDP; in transport mode the packet's own IP header stands between encap_data's Ethernet and UDP.
 * Private to the packet steps.
 */
#ifndef PSP_SOFT_OUTER_H
#define PSP_SOFT_OUTER_H

#include "../common/packet.h"
#include "encap.h"

/* A packet's outer headers, checked against encap_data and the packet. Offsets count from the frame. */
struct soft_outer {
	const struct soft_encap *encap;
	const uint8_t *psp;  /* in encap's data */
	uint32_t psp_size;   /* PSP header with its extensions */
	uint32_t udp_off;    /* in the frame to be built */
	uint32_t head_len;   /* Ethernet to UDP: where the first PSP header stands */
	uint32_t next_off;   /* transport: the octet that names the upper layer */
	uint32_t copy_off;   /* in the packet: where what becomes the PSP payload starts */
	uint8_t next_header; /* PSP's */
	bool transport;
	bool v6;
};

/* False: encap_data or the packet contradicts itself or the other. */
bool soft_outer_read(const struct dp_packet *packet, struct soft_outer *outer);

/*
 * Writes head_len octets for a frame whose UDP header and payload are udp_len octets. id: IPv4 identification
 * in tunnel mode (transport: the packet's own, plus `first`, the number of the frame's first segment). The UDP
 * checksum is 0, or for a super-frame (`partial`) the pseudo-header's sum.
 */
void soft_outer_write(const struct soft_outer *outer, const struct dp_packet *packet,
		      uint8_t *frame, uint32_t udp_len, uint16_t id, uint32_t first, bool partial);

#endif
