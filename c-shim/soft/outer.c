/* SPDX-License-Identifier: Apache-2.0 */
#include "outer.h"
#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

#define SOURCE_PORT_FIRST 49152u /* the dynamic range of RFC 6335: its top two bits */
#define SOURCE_PORT_BITS 0x3fffu
#define ECN_OF_TOS 0x03u

/* The UDP and PSP headers at `off`, to the end of encap_data. */
static bool read_udp_psp(const struct psp_dp_actions *encap, uint32_t off, struct soft_outer *outer)
{
	const uint8_t *udp = encap->encap_data + off;
	const uint8_t *psp = udp + NET_UDP_LEN;

	if (encap->encap_size < off + NET_UDP_LEN + PSP_HEADER_LEN)
		return false;
	outer->psp = psp;
	outer->psp_size = encap->encap_size - off - NET_UDP_LEN;
	if (psp_get16(udp + NET_UDP_DST) != PSP_UDP_PORT)
		return false;
	if ((psp[3] & PSP_FLAG_V) != 0 && outer->psp_size < PSP_HEADER_LEN + PSP_VC_LEN)
		return false;
	return outer->psp_size == 8u * (psp[1] + 1u);
}

static bool read_tunnel(const struct psp_dp_actions *encap, struct soft_outer *outer)
{
	const uint8_t *ip = encap->encap_data + NET_ETH_LEN;
	uint16_t type = psp_get16(encap->encap_data + NET_ETH_TYPE);
	uint32_t ip_len = NET_IP4_LEN;

	if (encap->encap_size < NET_ETH_LEN + NET_IP4_LEN)
		return false;
	if (type == NET_TYPE_IPV4) {
		if (ip[0] != 0x45 || ip[NET_IP4_PROTO] != NET_PROTO_UDP)
			return false;
	} else if (type == NET_TYPE_IPV6) {
		if ((ip[0] >> 4) != 6 || ip[NET_IP6_NEXT] != NET_PROTO_UDP)
			return false;
		outer->v6 = true;
		ip_len = NET_IP6_LEN;
	} else {
		return false;
	}
	outer->udp_off = NET_ETH_LEN + ip_len;
	return read_udp_psp(encap, outer->udp_off, outer);
}

static bool read_transport(const struct dp_packet *packet, struct soft_outer *outer)
{
	struct dp_ip ip;

	/* A PSP packet in transport mode carries a whole TCP or UDP packet, nothing else. */
	if (packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_TCP &&
	    packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP)
		return false;
	if (!dp_ip_read(packet->frame + packet->l3_off, packet->len - packet->l3_off, &ip))
		return false;
	outer->transport = true;
	outer->v6 = ip.v6;
	outer->next_off = packet->l3_off + ip.next_off;
	outer->next_header = ip.proto;
	outer->copy_off = packet->l4_off;
	outer->udp_off = packet->l4_off;
	return read_udp_psp(packet->encap, NET_ETH_LEN, outer);
}

bool soft_outer_read(const struct dp_packet *packet, struct soft_outer *outer)
{
	const struct psp_dp_actions *encap = packet->encap;
	uint8_t l3 = packet->fields.parser_meta_outer_l3_type;

	memset(outer, 0, sizeof(*outer));
	if (encap == NULL || encap->encap_size < NET_ETH_LEN ||
	    encap->encap_size > sizeof(encap->encap_data))
		return false;
	if (l3 != PSP_DP_L3_IPV4 && l3 != PSP_DP_L3_IPV6)
		return false;
	outer->data = encap->encap_data;
	outer->copy_dscp = (encap->flags & PSP_DP_ACTION_COPY_DSCP) != 0;
	if (encap->encap_net_type == PSP_DP_NET_PSP_TUNNEL) {
		outer->next_header = l3 == PSP_DP_L3_IPV6 ? PSP_NEXT_IPV6 : PSP_NEXT_IPV4;
		outer->copy_off = packet->l3_off;
		if (!read_tunnel(encap, outer))
			return false;
	} else if (encap->encap_net_type != PSP_DP_NET_PSP_TRANSPORT ||
		   !read_transport(packet, outer)) {
		return false;
	}
	outer->head_len = outer->udp_off + NET_UDP_LEN;
	return outer->head_len <= NET_HEAD_MAX;
}

/* RFC 6040, normal mode: the inner ECN field is copied outward; DSCP only by action. */
static uint8_t outer_tos(const struct soft_outer *outer, const struct dp_packet *packet)
{
	uint8_t inner = net_tos(packet->frame + packet->l3_off);
	uint8_t given = net_tos(outer->data + NET_ETH_LEN);

	if (outer->copy_dscp)
		return inner;
	return (uint8_t)((given & ~ECN_OF_TOS) | (inner & ECN_OF_TOS));
}

static void write_tunnel(const struct soft_outer *outer, const struct dp_packet *packet,
			 uint8_t *frame, uint32_t udp_len, uint16_t id, uint32_t hash)
{
	uint8_t *ip = frame + NET_ETH_LEN;
	uint8_t tos = outer_tos(outer, packet);
	uint32_t label;

	memcpy(frame, outer->data, outer->head_len);
	if (!outer->v6) {
		ip[NET_IP4_TOS] = tos;
		psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(NET_IP4_LEN + udp_len));
		psp_put16(ip + NET_IP4_ID, id);
		dp_csum_ipv4(ip);
		return;
	}
	label = psp_get32(ip) & NET_IP6_LABEL;
	if (label == 0)
		label = hash & NET_IP6_LABEL;
	psp_put32(ip, 0x60000000u | ((uint32_t)tos << 20) | label);
	psp_put16(ip + NET_IP6_PLEN, (uint16_t)udp_len);
}

static void write_transport(const struct soft_outer *outer, const struct dp_packet *packet,
			    uint8_t *frame, uint32_t udp_len, uint32_t first)
{
	uint8_t *ip = frame + NET_ETH_LEN;
	uint32_t ip_len = (uint32_t)packet->l4_off - packet->l3_off;

	memcpy(frame, outer->data, NET_ETH_TYPE);
	psp_put16(frame + NET_ETH_TYPE, outer->v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	memcpy(ip, packet->frame + packet->l3_off, ip_len);
	memcpy(frame + outer->udp_off, outer->data + NET_ETH_LEN, NET_UDP_LEN);
	frame[outer->next_off - packet->l3_off + NET_ETH_LEN] = NET_PROTO_UDP;
	if (outer->v6) {
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(ip_len - NET_IP6_LEN + udp_len));
		return;
	}
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(ip_len + udp_len));
	psp_put16(ip + NET_IP4_ID, (uint16_t)(psp_get16(ip + NET_IP4_ID) + first));
	dp_csum_ipv4(ip);
}

void soft_outer_write(const struct soft_outer *outer, const struct dp_packet *packet,
		      uint8_t *frame, uint32_t udp_len, uint16_t id, uint32_t first, bool partial)
{
	uint8_t *udp = frame + outer->udp_off;
	uint32_t hash = dp_flow_hash(packet);
	uint16_t csum = 0;

	if (outer->transport)
		write_transport(outer, packet, frame, udp_len, first);
	else
		write_tunnel(outer, packet, frame, udp_len, id, hash);
	if (psp_get16(udp + NET_UDP_SRC) == 0)
		psp_put16(udp + NET_UDP_SRC,
			  (uint16_t)(SOURCE_PORT_FIRST | (hash & SOURCE_PORT_BITS)));
	psp_put16(udp + NET_UDP_LENGTH, (uint16_t)udp_len);
	if (partial)
		csum = dp_csum_fold(dp_csum_pseudo(frame + NET_ETH_LEN, NET_PROTO_UDP, udp_len));
	psp_put16(udp + NET_UDP_CSUM, csum);
}
