/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h: where the fields of Ethernet, IP, TCP and UDP lie, and one reader for both IP versions.
 * Offsets count from the start of the header they belong to. Private to the packet steps.
 */
#ifndef PSP_COMMON_NET_H
#define PSP_COMMON_NET_H

#include <string.h>

#include "packet.h"

#define NET_ETH_LEN 14u
#define NET_ETH_SRC 6u
#define NET_ETH_TYPE 12u
#define NET_ETH_GROUP 1u /* of the first octet of a MAC: broadcast or multicast */
#define NET_TYPE_IPV4 0x0800u
#define NET_TYPE_ARP 0x0806u
#define NET_TYPE_VLAN 0x8100u
#define NET_TYPE_IPV6 0x86ddu
#define NET_ARP_LEN 28u
#define NET_VLAN_LEN 4u
#define NET_VLAN_ID 0x0fffu

#define NET_IP4_LEN 20u
#define NET_IP4_HEAD_MAX 60u
#define NET_IP4_TOS 1u
#define NET_IP4_TOTAL 2u
#define NET_IP4_ID 4u
#define NET_IP4_FRAG 6u
#define NET_IP4_TTL 8u
#define NET_IP4_PROTO 9u
#define NET_IP4_CSUM 10u
#define NET_IP4_SRC 12u
#define NET_IP4_DST 16u
#define NET_IP4_OFFSET 0x1fffu /* of a fragment, in units of 8 octets */
#define NET_IP4_GROUPS 224u /* the first octet of groups, of what is reserved, and of everybody */
#define NET_IP4_MF_OFFSET 0x3fffu /* more fragments, and the fragment offset */

#define NET_IP6_LEN 40u
#define NET_IP6_PLEN 4u
#define NET_IP6_NEXT 6u
#define NET_IP6_HOPS 7u
#define NET_IP6_SRC 8u
#define NET_IP6_DST 24u
#define NET_IP6_GROUPS 0xffu /* the first octet of a group */
#define NET_IP6_LABEL 0x000fffffu
#define NET_IP6_OFFSET 0xfff8u /* of a fragment header, in octets */

#define NET_PROTO_HOPOPTS 0u
#define NET_PROTO_ICMP 1u
#define NET_PROTO_IPIP 4u
#define NET_PROTO_TCP 6u
#define NET_PROTO_UDP 17u
#define NET_PROTO_IPV6 41u
#define NET_PROTO_ROUTING 43u
#define NET_PROTO_FRAGMENT 44u
#define NET_PROTO_ICMP6 58u
#define NET_PROTO_DSTOPTS 60u

#define NET_ND_FIRST 133u /* ICMPv6: router solicitation */
#define NET_ND_LAST 137u  /* redirect */

#define NET_TCP_LEN 20u
#define NET_TCP_SEQ 4u
#define NET_TCP_ACK 8u
#define NET_TCP_OFFSET 12u
#define NET_TCP_FLAGS 13u
#define NET_TCP_WINDOW 14u
#define NET_TCP_CSUM 16u
#define NET_FIN 0x01u
#define NET_SYN 0x02u
#define NET_PSH 0x08u
#define NET_ACK 0x10u
#define NET_CWR 0x80u

#define NET_SCTP_CSUM 8u

#define NET_UDP_LEN 8u
#define NET_UDP_SRC 0u
#define NET_UDP_DST 2u
#define NET_UDP_LENGTH 4u
#define NET_UDP_CSUM 6u

#define NET_ECN 0x03u
#define NET_ECT1 0x01u
#define NET_ECT0 0x02u
#define NET_CE 0x03u

/*
 * Ethernet to IP and UDP of a frame that is cut into packets. Larger ones (long chains of IPv6 extension
 * headers) are never made and not cut.
 */
#define NET_HEAD_MAX 256u

/*
 * A super-frame stays below the 65,536 octets, Ethernet included, at which the kernel takes it for too
 * large for any device and segments it in software.
 */
#define NET_SUPER_MAX 65535u

struct dp_ip {
	uint32_t len;      /* the packet's, header included: by its own length field */
	uint32_t l4_off;   /* of the upper-layer header (a later fragment: of its data) */
	uint32_t next_off; /* of the octet that names the upper layer */
	uint8_t proto;     /* the upper layer */
	bool v6;
	bool fragment;
};

/* Reads an IP header with its options or extension headers; `avail` octets may be read. False: contradictory. */
bool dp_ip_read(const uint8_t *ip, uint32_t avail, struct dp_ip *out);

/* Traffic class or TOS octet. ip is at least 2 octets long. */
static inline uint8_t net_tos(const uint8_t *ip)
{
	return (ip[0] >> 4) == 6 ? (uint8_t)(psp_get16(ip) >> 4) : ip[1];
}

static inline void net_map_v4(uint8_t out[16], const uint8_t *v4)
{
	/* In words, as it will be read: a word that was written in parts keeps its reader waiting. */
	memset(out, 0, 8);
	psp_put64(out + 8, UINT64_C(0xffff) << 32 | psp_get32(v4));
}

/*
 * Is one of the addresses of an IPv6 header what an IPv4 address is told as here? No packet may have it (RFC 4942, 2.2): it
 * would pass for the IPv4 address.
 */
static inline bool net_has_mapped_v4(const uint8_t *ip6)
{
	const uint8_t *src = ip6 + NET_IP6_SRC, *dst = ip6 + NET_IP6_DST;

	return (psp_get64(src) == 0 && psp_get32(src + 8) == 0xffffu) ||
	       (psp_get64(dst) == 0 && psp_get32(dst + 8) == 0xffffu);
}

/*
 * A copy of a super-frame's headers becomes the nth packet's. IP, of `len` octets: its length, and for IPv4 the
 * identification, and the checksum, which was right, by difference. TCP, whose payload starts `off` octets into the super-frame's: sequence number, and
 * the flags that only the first or the last packet has; not the checksum.
 */
void dp_segment_ip(uint8_t *ip, uint32_t len, uint32_t nth);
void dp_segment_tcp(uint8_t *tcp, uint32_t off, bool first, bool last);

/* Fills tun_psp_* of a UDP packet to port 1000 from the octets after its UDP header. */
void dp_parse_psp(struct dp_packet *packet);

#endif
