/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h: a frame on its way through a plane, and what both planes read of it. Pure functions over the caller's
 * buffers: no sockets, no tables, no clock.
 *
 * The unit of work is a super-frame: one Ethernet frame of up to 64 KiB that stands for several packets
 * (TSO from a workload, UDP segmentation from a peer). It is parsed and matched once.
 */
#ifndef PSP_COMMON_PACKET_H
#define PSP_COMMON_PACKET_H

#include <stdbool.h>

#include "../psp/wire.h"
#include "../psp_dp.h"

#define DP_HEADROOM 256u    /* octets in front of each received frame that belong to it */
#define DP_FRAME_MAX 65550u /* Ethernet header and 64 KiB - 1 of IP */

/* Packets of a super-frame: 64 KiB at Linux' least MSS, 48 with options, are fewer. More is somebody's way to make much of little. */
#define DP_SEGMENTS_MAX 2048u
#define DP_MARKED_MAX 128u /* packets of a super-frame that are marked each for itself */

struct soft_encap;

enum dp_gso { DP_GSO_NONE = 0, DP_GSO_TCP4 = 1, DP_GSO_TCP6 = 2, DP_GSO_UDP = 3 };

/*
 * One owner at a time. `frame` points into a buffer that the owner of the packet keeps alive and that has
 * DP_HEADROOM free octets before it. VLAN tags were taken off by the port. Offsets count from `frame`.
 */
struct dp_packet {
	uint8_t *frame;
	uint32_t len;      /* Ethernet to the end of IP: padding is cut off by dp_parse() */
	uint8_t port;      /* enum psp_dp_port_kind: where it came in */
	uint16_t handle;   /* of that port */
	uint32_t network;  /* of that port */
	uint16_t reader;   /* doca: which of its readers received it; 0 elsewhere */
	uint8_t gso;       /* enum dp_gso */
	uint16_t gso_size; /* payload octets of each segment but the last */
	bool needs_csum; /* the L4 checksum is partial: complete it before anything leaves sealed */
	bool csum_valid; /* the kernel vouches for the L4 checksum */
	uint16_t csum_start;  /* where summing starts, from `frame` */
	uint16_t csum_offset; /* where it is stored, from csum_start */
	uint16_t vlan_tci;    /* 0: untagged */
	uint16_t
		tail; /* octets at its end that are overwritten once it is done with: see soft_cut() */
	const uint8_t *under; /* what its outer headers were written over: see soft_cut() */

	/* set by dp_parse() */
	uint16_t l3_off, l4_off,
		payload_off; /* payload: after the TCP or UDP header; l4_off when there is none */
	bool fragment;       /* any fragment of an IP packet, also the first */
	uint32_t flow;       /* dp_flow(); 0: nobody has asked yet */
	struct psp_dp_match fields;

	/* set by soft_decrypt() */
	struct psp_header psp; /* valid when the PSP header parsed */
	uint16_t inner_off;    /* tunnel: inner IP header; transport: L4 header */
	uint16_t inner_len;    /* tunnel: of the inner IP packet, as it says; 0: it is none */
	uint8_t verdict;       /* enum psp_dp_verdict */

	/* set by the engine as actions are met, consumed by soft_seal() */
	const struct soft_encap *encap;
	bool set_s;
	uint64_t s_segments[DP_MARKED_MAX /
			    64]; /* of a super-frame: its packets that get the S bit */
};

static inline bool dp_is_marked(const struct dp_packet *packet, uint32_t segment)
{
	return packet->set_s || (segment < DP_MARKED_MAX &&
				 (packet->s_segments[segment / 64] >> segment % 64 & 1u) != 0);
}

/*
 * Reads Ethernet, IP (options, extension headers), L4, ND; fills fields and offsets and cuts Ethernet padding.
 * fields.outer_* describe the first IP header; a PSP packet (UDP 1000, not a later fragment) also gets tun_psp_*.
 * False: too short or contradictory to be forwarded, a wrong IPv4 header checksum included (a frame that is
 * merely not IP is true, with l3_type NONE). A fragment has no ports, and l4_type NONE.
 */
bool dp_parse(struct dp_packet *packet);

/* Lowers the MSS option of a TCP SYN to what max_inner allows (checksum mended). True when it changed. */
bool dp_mss_clamp(struct dp_packet *packet, uint32_t max_inner);

/*
 * Makes a packet one that a router sent on: new Ethernet addresses, TTL or hop limit one less, IPv4's checksum mended.
 * False: its TTL is used up, and it is as it was.
 */
bool dp_route(struct dp_packet *packet, const uint8_t eth_dst[6], const uint8_t eth_src[6]);

/* Number of packets that this frame stands for. */
uint32_t dp_segments(const struct dp_packet *packet);

/* Hash of the 5-tuple (fragments: without ports), which differs by direction. */
uint32_t dp_flow_hash(const struct dp_packet *packet);
/* The same, computed once. */
static inline uint32_t dp_flow(struct dp_packet *packet)
{
	if (packet->flow == 0)
		packet->flow = dp_flow_hash(packet);
	return packet->flow;
}

#endif
