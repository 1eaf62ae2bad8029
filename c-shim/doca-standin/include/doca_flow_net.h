/* SPDX-License-Identifier: Apache-2.0 */
/* doca_flow_net.h: header fields that can be matched and set. See doca_version.h. */
#ifndef DOCA_FLOW_NET_H
#define DOCA_FLOW_NET_H

#include "doca_types.h"

#define DOCA_FLOW_ETHER_ADDR_LEN (6)
#define DOCA_FLOW_PROTO_ICMP6 (58)
#define DOCA_FLOW_PSP_DEFAULT_PORT (1000)

/* L2 with two tags, IPv6, UDP, PSP with its cookie: the longest header that crypto_encap takes. */
#define DOCA_FLOW_CRYPTO_HEADER_LEN_MAX (12 + 2 + 8 + 60 + 8 + 24)

enum doca_flow_l3_type {
	DOCA_FLOW_L3_TYPE_NONE = 0,
	DOCA_FLOW_L3_TYPE_IP4,
	DOCA_FLOW_L3_TYPE_IP6,
};

enum doca_flow_l4_type_ext {
	DOCA_FLOW_L4_TYPE_EXT_NONE = 0,
	DOCA_FLOW_L4_TYPE_EXT_TCP,
	DOCA_FLOW_L4_TYPE_EXT_UDP,
	DOCA_FLOW_L4_TYPE_EXT_ICMP,
	DOCA_FLOW_L4_TYPE_EXT_ICMP6,
	DOCA_FLOW_L4_TYPE_EXT_TRANSPORT,
};

struct doca_flow_header_eth {
	uint8_t src_mac[DOCA_FLOW_ETHER_ADDR_LEN];
	uint8_t dst_mac[DOCA_FLOW_ETHER_ADDR_LEN];
	doca_be16_t type;
};

struct doca_flow_header_ip4 {
	doca_be32_t src_ip, dst_ip;
	doca_be16_t total_len;
	uint8_t next_proto, ttl;
};

struct doca_flow_header_ip6 {
	doca_be32_t src_ip[4], dst_ip[4];
	doca_be16_t payload_len;
	uint8_t next_proto, hop_limit;
};

struct doca_flow_header_l4_port {
	doca_be16_t src_port, dst_port;
};

struct doca_flow_header_udp {
	struct doca_flow_header_l4_port l4_port;
};

struct doca_flow_header_tcp {
	struct doca_flow_header_l4_port l4_port;
	uint8_t flags; /* the octet of TCP's header: SYN is 0x02 */
};

struct doca_flow_header_icmp {
	uint8_t type, code;
};

/* In the order of the wire: see the PSP specification. */
struct doca_flow_header_psp {
	uint8_t nexthdr, hdrextlen, res_cryptofst, s_d_ver_v;
	doca_be32_t spi;
	doca_be64_t iv;
	doca_be64_t vc;
};

enum doca_flow_tun_type {
	DOCA_FLOW_TUN_NONE = 0,
	DOCA_FLOW_TUN_PSP = 7,
};

struct doca_flow_tun {
	enum doca_flow_tun_type type;
	struct doca_flow_header_psp psp;
};

#endif
