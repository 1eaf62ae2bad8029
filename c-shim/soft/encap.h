/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encap.h: what a rule puts around a packet or takes off it, read once when the rule is made, and in as few octets as that
 * takes: with many tunnels each packet has to fetch it from memory.
 */
#ifndef PSP_SOFT_ENCAP_H
#define PSP_SOFT_ENCAP_H

#include <stdbool.h>
#include <stddef.h>

#include "../psp_dp.h"

/* Behind the octets of encap_data: so that those from the PSP header on may be copied 32 at a time. */
#define SOFT_ENCAP_SLACK 16u
#define SOFT_ENCAP_DATA_MAX ((uint32_t)sizeof(((struct psp_dp_actions *)0)->encap_data))

/* encap_data and what it says of itself. As long as its data are. */
struct soft_encap {
	uint32_t path_mtu; /* as in psp_dp_actions */
	uint16_t size;     /* octets of data in use */
	uint16_t
		ip4_sum; /* tunnel of IPv4: of the header's words but TOS, length, identification and checksum */
	uint8_t net_type; /* enum psp_dp_net_type */
	uint8_t udp;      /* offset of the UDP header in data; 0: data contradict themselves */
	bool v6;          /* tunnel */
	bool copy_dscp;
	uint8_t data[]; /* size, and SOFT_ENCAP_SLACK of zeros */
};

/* Octets that soft_encap_make() writes. */
size_t soft_encap_octets(const struct psp_dp_actions *actions);
void soft_encap_make(struct soft_encap *encap, const struct psp_dp_actions *actions);

/* Octets that it adds to an inner IP packet: outer IP to PSP header, and the ICV. */
uint32_t soft_encap_overhead(const struct soft_encap *encap);

/* Octets of outer IP that may be sent by it where the uplink carries `uplink`. */
static inline uint32_t soft_encap_max_ip(const struct soft_encap *encap, uint32_t uplink)
{
	return encap->path_mtu != 0 && encap->path_mtu < uplink ? encap->path_mtu : uplink;
}

/* What takes a PSP packet's outer headers off, and the addresses of the Ethernet header that a packet gets then. */
struct soft_strip {
	uint8_t net_type;     /* enum psp_dp_net_type */
	uint8_t crypt_offset; /* as in psp_dp_actions */
	uint8_t eth_dst[6], eth_src[6];
};

struct soft_strip soft_strip_of(const struct psp_dp_actions *actions);

#endif
