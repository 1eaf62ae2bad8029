/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.c: checksums, what is read of a frame, what becomes of its headers where a super-frame is cut or a router sends
 * it on, and the MSS that a SYN asks for.
 */
#include <string.h>

#include "csum.h"
#include "csum_blocks.h"
#include "net.h"

#define EXTENSION_HEADERS_MAX 8u /* more than any real packet has; bounds the walk */
#define PACKET_MAX 65535u        /* octets that the fragments of a packet are put together to */
#define OPTION_END 0u
#define OPTION_NOP 1u
#define OPTION_MSS 2u
#define OPTION_MSS_LEN 4u

/* ---- checksums ------------------------------------------------------------------------------- */

/* Summed in memory order; the sum of swapped words is the swapped sum (RFC 1071, 2B). */
static uint16_t in_host_order(uint64_t total)
{
	uint8_t folded[2];
	uint16_t word;

	total = (total & 0xffffffffu) + (total >> 32);
	total = (total & 0xffffffffu) + (total >> 32);
	word = dp_csum_fold((uint32_t)total);
	memcpy(folded, &word, 2);
	return psp_get16(folded);
}

uint32_t dp_csum_add(uint32_t sum, const uint8_t *data, size_t len)
{
	const size_t blocks = len / DP_CSUM_BLOCK;
	uint64_t total = blocks != 0 ? dp_csum_blocks(data, blocks) : 0;

	data += blocks * DP_CSUM_BLOCK;
	len -= blocks * DP_CSUM_BLOCK;
	for (; len >= 8; data += 8, len -= 8) {
		uint64_t word64;

		memcpy(&word64, data, 8);
		total += (word64 & 0xffffffffu) + (word64 >> 32);
	}
	if (len >= 4) {
		uint32_t word32;

		memcpy(&word32, data, 4);
		total += word32;
		data += 4;
		len -= 4;
	}
	if (len >= 2) {
		uint16_t word16;

		memcpy(&word16, data, 2);
		total += word16;
		data += 2;
		len -= 2;
	}
	if (len != 0) {
		const uint8_t rest[2] = {data[0], 0};
		uint16_t word16;

		memcpy(&word16, rest, 2);
		total += word16;
	}
	return sum + in_host_order(total);
}

uint32_t dp_csum_ip4_head(const uint8_t *ip, uint32_t len)
{
	uint64_t first, second;
	uint32_t last;

	if (len != NET_IP4_LEN)
		return dp_csum_add(0, ip, len);
	memcpy(&first, ip, 8);
	memcpy(&second, ip + 8, 8);
	memcpy(&last, ip + 16, 4);
	return in_host_order((first & 0xffffffffu) + (first >> 32) + (second & 0xffffffffu) +
			     (second >> 32) + last);
}

uint32_t dp_csum_pseudo(const uint8_t *ip, uint8_t proto, uint32_t l4_len)
{
	uint32_t sum = proto + l4_len;

	if ((ip[0] >> 4) == 6)
		return dp_csum_add(sum, ip + NET_IP6_SRC, 32);
	return dp_csum_add(sum, ip + NET_IP4_SRC, 8);
}

void dp_csum_ipv4(uint8_t *ip)
{
	psp_put16(ip + NET_IP4_CSUM, 0);
	psp_put16(ip + NET_IP4_CSUM,
		  (uint16_t)~dp_csum_fold(dp_csum_ip4_head(ip, (ip[0] & 0x0fu) * 4u)));
}

uint16_t dp_csum_update(uint16_t csum, uint16_t from, uint16_t to)
{
	uint32_t sum = (uint16_t)~csum;

	sum += (uint16_t)~from;
	sum += to;
	return (uint16_t)~dp_csum_fold(sum);
}

bool dp_csum_verify(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t len)
{
	return dp_csum_fold(dp_csum_add(dp_csum_pseudo(ip, proto, len), l4, len)) == 0xffffu;
}

/* RFC 9260, appendix A: the reflected polynomial 0x1edc6f41, half an octet at a time. */
static uint32_t crc32c(const uint8_t *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		crc = table[crc & 15u] ^ crc >> 4;
		crc = table[crc & 15u] ^ crc >> 4;
	}
	return ~crc;
}

/* Its low octet goes first. */
static void complete_sctp(uint8_t *sctp, size_t len)
{
	uint32_t crc;

	psp_put32(sctp + NET_SCTP_CSUM, 0);
	crc = crc32c(sctp, len);
	for (uint32_t i = 0; i < 4; i++)
		sctp[NET_SCTP_CSUM + i] = (uint8_t)(crc >> 8 * i);
}

void dp_csum_complete(struct dp_packet *packet)
{
	uint8_t *start = packet->frame + packet->csum_start;
	const bool is_crc = dp_csum_is_crc(packet);
	uint16_t csum;

	packet->needs_csum = false;
	if (is_crc) {
		complete_sctp(start, packet->len - packet->csum_start);
		return;
	}
	csum = (uint16_t)~dp_csum_fold(dp_csum_add(0, start, packet->len - packet->csum_start));
	/* 0 would say "no checksum" in UDP, and is the same number as 0xffff everywhere else. */
	psp_put16(start + packet->csum_offset, csum == 0 ? 0xffffu : csum);
}

/* ---- read ------------------------------------------------------------------------------------ */

static bool read_ipv6(const uint8_t *ip, uint32_t avail, struct dp_ip *out)
{
	uint32_t off = NET_IP6_LEN;

	if (avail < NET_IP6_LEN || net_has_mapped_v4(ip))
		return false;
	out->len = NET_IP6_LEN + psp_get16(ip + NET_IP6_PLEN);
	if (out->len > avail)
		return false;
	out->next_off = NET_IP6_NEXT;
	out->proto = ip[NET_IP6_NEXT];
	for (uint32_t i = 0; i <= EXTENSION_HEADERS_MAX; i++) {
		bool extension = out->proto == NET_PROTO_HOPOPTS ||
				 out->proto == NET_PROTO_ROUTING || out->proto == NET_PROTO_DSTOPTS;

		if (out->proto != NET_PROTO_FRAGMENT && !extension) {
			out->l4_off = off;
			return true;
		}
		if (out->len - off < 8)
			return false;
		out->next_off = off;
		out->proto = ip[off];
		if (!extension) {
			out->fragment = true;
			out->l4_off = off + 8;
			/* RFC 8200, 4.5: of the packet that it is part of the fragment header is none. */
			return off + (psp_get16(ip + off + 2) & NET_IP6_OFFSET) +
				       (out->len - out->l4_off) <=
			       PACKET_MAX;
		}
		off += 8u * (ip[off + 1] + 1u);
		if (off > out->len)
			return false;
	}
	return false;
}

bool dp_ip_read(const uint8_t *ip, uint32_t avail, struct dp_ip *out)
{
	uint32_t word;

	memset(out, 0, sizeof(*out));
	if (avail < NET_IP4_LEN)
		return false;
	out->v6 = (ip[0] >> 4) == 6;
	if (out->v6)
		return read_ipv6(ip, avail, out);
	out->len = psp_get16(ip + NET_IP4_TOTAL);
	out->l4_off = (ip[0] & 0x0fu) * 4u;
	out->next_off = NET_IP4_PROTO;
	out->proto = ip[NET_IP4_PROTO];
	word = psp_get16(ip + NET_IP4_FRAG);
	out->fragment = (word & NET_IP4_MF_OFFSET) != 0;
	/* What ends beyond the largest packet could not be cut further, nor put together (RFC 791, 3.1). */
	return (ip[0] >> 4) == 4 && out->l4_off >= NET_IP4_LEN && out->l4_off <= out->len &&
	       out->len <= avail && (word & NET_IP4_OFFSET) * 8u + out->len <= PACKET_MAX;
}

void dp_parse_psp(struct dp_packet *packet)
{
	struct psp_dp_match *fields = &packet->fields;
	const uint8_t *psp = packet->frame + packet->payload_off;
	uint32_t len = packet->len - packet->payload_off;

	if (len < PSP_HEADER_LEN) {
		/* Of a packet cut out of another it would have that one's. */
		fields->tun_psp_nexthdr = 0;
		fields->tun_psp_hdrextlen = 0;
		fields->tun_psp_res_cryptofst = 0;
		fields->tun_psp_s_d_ver_v = 0;
		fields->tun_psp_spi = 0;
		fields->tun_psp_vc = 0;
		return;
	}
	fields->tun_psp_nexthdr = psp[0];
	fields->tun_psp_hdrextlen = psp[1];
	fields->tun_psp_res_cryptofst = psp[2];
	fields->tun_psp_s_d_ver_v = psp[3];
	fields->tun_psp_spi = psp_get32(psp + 4);
	fields->tun_psp_vc = 0;
	/* Only a VC in clear: two words of crypt offset cover it. */
	if ((psp[3] & PSP_FLAG_V) != 0 && psp[1] >= 2 && (psp[2] & PSP_CRYPT_OFFSET_MASK) >= 2 &&
	    len >= PSP_HEADER_LEN + PSP_VC_LEN)
		fields->tun_psp_vc = psp_get64(psp + PSP_HEADER_LEN);
}

static bool parse_tcp(struct dp_packet *packet, uint32_t len)
{
	const uint8_t *tcp = packet->frame + packet->l4_off;
	uint32_t header;

	if (len < NET_TCP_LEN)
		return false;
	header = (uint32_t)(tcp[NET_TCP_OFFSET] >> 4) * 4u;
	if (header < NET_TCP_LEN || header > len)
		return false;
	packet->payload_off = (uint16_t)(packet->l4_off + header);
	packet->fields.parser_meta_outer_l4_type = PSP_DP_L4_TCP;
	return true;
}

static bool parse_udp(struct dp_packet *packet, uint32_t len)
{
	const uint8_t *udp = packet->frame + packet->l4_off;
	uint32_t said;

	if (len < NET_UDP_LEN)
		return false;
	said = psp_get16(udp + NET_UDP_LENGTH);
	/* What the length field of a UDP super-frame counts differs between those who make them. */
	if (packet->gso == DP_GSO_NONE && (said < NET_UDP_LEN || said > len))
		return false;
	packet->payload_off = (uint16_t)(packet->l4_off + NET_UDP_LEN);
	packet->fields.parser_meta_outer_l4_type = PSP_DP_L4_UDP;
	if (psp_get16(udp + NET_UDP_DST) == PSP_UDP_PORT)
		dp_parse_psp(packet);
	return true;
}

static bool parse_l4(struct dp_packet *packet)
{
	struct psp_dp_match *fields = &packet->fields;
	const uint8_t *l4 = packet->frame + packet->l4_off;
	uint32_t len = packet->len - packet->l4_off;
	bool v6 = fields->parser_meta_outer_l3_type == PSP_DP_L3_IPV6;

	switch (fields->outer_ip_proto) {
	case NET_PROTO_TCP:
		if (!parse_tcp(packet, len))
			return false;
		break;
	case NET_PROTO_UDP:
		if (!parse_udp(packet, len))
			return false;
		break;
	case NET_PROTO_ICMP:
	case NET_PROTO_ICMP6:
		if ((fields->outer_ip_proto == NET_PROTO_ICMP6) != v6)
			return true;
		if (len == 0)
			return false;
		fields->outer_icmp_type = l4[0];
		fields->parser_meta_outer_l4_type = v6 ? PSP_DP_L4_ICMP6 : PSP_DP_L4_ICMP;
		return true;
	default:
		return true;
	}
	fields->outer_l4_src_port = psp_get16(l4);
	fields->outer_l4_dst_port = psp_get16(l4 + 2);
	return true;
}

static bool parse_ip(struct dp_packet *packet, bool v6)
{
	struct psp_dp_match *fields = &packet->fields;
	const uint8_t *ip = packet->frame + NET_ETH_LEN;
	struct dp_ip read;

	if (!dp_ip_read(ip, packet->len - NET_ETH_LEN, &read) || read.v6 != v6)
		return false;
	packet->len = NET_ETH_LEN + read.len;
	packet->l4_off = (uint16_t)(NET_ETH_LEN + read.l4_off);
	packet->payload_off = packet->l4_off;
	packet->fragment = read.fragment;
	fields->outer_ip_proto = read.proto;
	if (v6) {
		fields->parser_meta_outer_l3_type = PSP_DP_L3_IPV6;
		memcpy(fields->outer_ip_src, ip + NET_IP6_SRC, 16);
		memcpy(fields->outer_ip_dst, ip + NET_IP6_DST, 16);
	} else {
		/* Headers are mended further on; a broken one must not come out right. */
		if (dp_csum_fold(dp_csum_ip4_head(ip, read.l4_off)) != 0xffffu)
			return false;
		fields->parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
		net_map_v4(fields->outer_ip_src, ip + NET_IP4_SRC);
		net_map_v4(fields->outer_ip_dst, ip + NET_IP4_DST);
	}
	return read.fragment || parse_l4(packet);
}

/* Does what the port said about segmentation and checksum hold for what is in the frame? */
static bool offloads_agree(const struct dp_packet *packet)
{
	const struct psp_dp_match *fields = &packet->fields;
	uint8_t l3 = fields->parser_meta_outer_l3_type;
	uint8_t l4 = fields->parser_meta_outer_l4_type;

	if (packet->needs_csum && (packet->l4_off == 0 || packet->csum_start < packet->l4_off ||
				   (uint32_t)packet->csum_start + packet->csum_offset +
						   (dp_csum_is_crc(packet) ? 4u : 2u) >
					   packet->len))
		return false;
	if (packet->gso == DP_GSO_NONE)
		return true;
	if (packet->gso_size == 0 || packet->fragment || packet->len <= packet->payload_off ||
	    dp_segments(packet) > DP_SEGMENTS_MAX)
		return false;
	if (packet->needs_csum &&
	    (packet->csum_start != packet->l4_off ||
	     packet->csum_offset != (l4 == PSP_DP_L4_TCP ? NET_TCP_CSUM : NET_UDP_CSUM)))
		return false;
	switch (packet->gso) {
	case DP_GSO_TCP4:
		return l3 == PSP_DP_L3_IPV4 && l4 == PSP_DP_L4_TCP;
	case DP_GSO_TCP6:
		return l3 == PSP_DP_L3_IPV6 && l4 == PSP_DP_L4_TCP;
	case DP_GSO_UDP:
		return l4 == PSP_DP_L4_UDP;
	default:
		return false;
	}
}

bool dp_parse(struct dp_packet *packet)
{
	struct psp_dp_match *fields = &packet->fields;

	memset(fields, 0, sizeof(*fields));
	fields->size = sizeof(*fields);
	fields->parser_meta_port_id = packet->handle;
	fields->meta_network = packet->network;
	packet->fragment = false;
	packet->flow = 0;
	packet->inner_off = 0;
	packet->inner_len = 0;
	packet->verdict = PSP_DP_VERDICT_OK;
	packet->l3_off = NET_ETH_LEN;
	packet->l4_off = 0;
	packet->payload_off = NET_ETH_LEN;
	/* Nobody's MAC is that of a group (IEEE 802.3, 3.2.3): it would be learned as a workload's. */
	if (packet->len < NET_ETH_LEN || packet->len > DP_FRAME_MAX ||
	    (packet->frame[NET_ETH_SRC] & NET_ETH_GROUP) != 0)
		return false;
	fields->outer_eth_type = psp_get16(packet->frame + NET_ETH_TYPE);
	switch (fields->outer_eth_type) {
	case NET_TYPE_IPV4:
	case NET_TYPE_IPV6:
		return parse_ip(packet, fields->outer_eth_type == NET_TYPE_IPV6) &&
		       offloads_agree(packet);
	case NET_TYPE_ARP:
		return packet->len >= NET_ETH_LEN + NET_ARP_LEN && offloads_agree(packet);
	default:
		return offloads_agree(packet);
	}
}

uint32_t dp_segments(const struct dp_packet *packet)
{
	if (packet->gso == DP_GSO_NONE || packet->gso_size == 0 ||
	    packet->len <= packet->payload_off)
		return 1;
	return (packet->len - packet->payload_off + packet->gso_size - 1u) / packet->gso_size;
}

uint32_t dp_flow_hash(const struct dp_packet *packet)
{
	const struct psp_dp_match *fields = &packet->fields;
	uint64_t hash = ((uint64_t)fields->outer_ip_proto << 32) |
			((uint32_t)fields->outer_l4_src_port << 16) | fields->outer_l4_dst_port;

	/* Multiply and shift (the steps of MurmurHash3's finaliser), eight octets at a time. */
	for (uint32_t i = 0; i < 32; i += 8) {
		hash ^= i < 16 ? psp_get64(fields->outer_ip_src + i)
			       : psp_get64(fields->outer_ip_dst + (i - 16));
		hash *= 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
	}
	hash *= 0xc4ceb9fe1a85ec53u;
	return (uint32_t)(hash >> 32);
}

/* ---- packets of a super-frame ---------------------------------------------------------------- */

void dp_segment_ip(uint8_t *ip, uint32_t len, uint32_t nth)
{
	uint16_t csum, total, id;

	if ((ip[0] >> 4) == 6) {
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(len - NET_IP6_LEN));
		return;
	}
	/* By difference: to read in whole words what was just written in halves makes the processor wait. */
	csum = psp_get16(ip + NET_IP4_CSUM);
	total = psp_get16(ip + NET_IP4_TOTAL);
	id = psp_get16(ip + NET_IP4_ID);
	csum = dp_csum_update(csum, total, (uint16_t)len);
	csum = dp_csum_update(csum, id, (uint16_t)(id + nth));
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)len);
	psp_put16(ip + NET_IP4_ID, (uint16_t)(id + nth));
	psp_put16(ip + NET_IP4_CSUM, csum);
}

void dp_segment_tcp(uint8_t *tcp, uint32_t off, bool first, bool last)
{
	uint8_t flags = tcp[NET_TCP_FLAGS];

	psp_put32(tcp + NET_TCP_SEQ, psp_get32(tcp + NET_TCP_SEQ) + off);
	if (!last)
		flags &= (uint8_t) ~(NET_FIN | NET_PSH);
	if (!first)
		flags &= (uint8_t)~NET_CWR;
	tcp[NET_TCP_FLAGS] = flags;
}

/* ---- routes ---------------------------------------------------------------------------------- */

bool dp_route(struct dp_packet *packet, const uint8_t eth_dst[6], const uint8_t eth_src[6])
{
	uint8_t *ip = packet->frame + packet->l3_off;
	const bool v6 = packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_IPV6;
	uint8_t *ttl = ip + (v6 ? NET_IP6_HOPS : NET_IP4_TTL);
	uint16_t word;

	if (*ttl <= 1)
		return false;
	/* TTL and protocol are one word of the checksum. */
	word = psp_get16(ttl);
	(*ttl)--;
	if (!v6)
		psp_put16(ip + NET_IP4_CSUM,
			  dp_csum_update(psp_get16(ip + NET_IP4_CSUM), word, psp_get16(ttl)));
	memcpy(packet->frame, eth_dst, 6);
	memcpy(packet->frame + 6, eth_src, 6);
	return true;
}

/* ---- MSS ------------------------------------------------------------------------------------- */

static uint16_t swapped(uint16_t v)
{
	return (uint16_t)((uint16_t)(v << 8) | (v >> 8));
}

/* at: of the value, from the TCP header. */
static bool lower(const struct dp_packet *packet, uint8_t *tcp, uint32_t at, uint16_t most)
{
	uint16_t old = psp_get16(tcp + at), csum = psp_get16(tcp + NET_TCP_CSUM);

	if (old <= most)
		return false;
	psp_put16(tcp + at, most);
	/* A partial checksum does not cover the options yet. */
	if (packet->needs_csum)
		return true;
	/* At an odd offset each octet lies in the other half of its word. */
	if ((at & 1u) != 0)
		csum = dp_csum_update(csum, swapped(old), swapped(most));
	else
		csum = dp_csum_update(csum, old, most);
	psp_put16(tcp + NET_TCP_CSUM, csum);
	return true;
}

bool dp_mss_clamp(struct dp_packet *packet, uint32_t max_inner)
{
	bool v6 = packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_IPV6;
	/* RFC 6691: the MSS leaves room for the fixed headers; options are the sender's to subtract. */
	uint32_t fixed = (v6 ? NET_IP6_LEN : NET_IP4_LEN) + NET_TCP_LEN;
	uint32_t most, end, at = NET_TCP_LEN;
	bool changed = false;
	uint8_t *tcp;

	if (packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_TCP || max_inner <= fixed)
		return false;
	tcp = packet->frame + packet->l4_off;
	if ((tcp[NET_TCP_FLAGS] & NET_SYN) == 0)
		return false;
	most = max_inner - fixed > UINT16_MAX ? UINT16_MAX : max_inner - fixed;
	end = (uint32_t)packet->payload_off - packet->l4_off;
	while (at < end && tcp[at] != OPTION_END) {
		uint32_t len = 1;

		if (tcp[at] != OPTION_NOP) {
			if (end - at < 2)
				break;
			len = tcp[at + 1];
			if (len < 2 || len > end - at)
				break;
			/* A stack takes the last of several: each is lowered. */
			if (tcp[at] == OPTION_MSS && len == OPTION_MSS_LEN &&
			    lower(packet, tcp, at + 2, (uint16_t)most))
				changed = true;
		}
		at += len;
	}
	return changed;
}
