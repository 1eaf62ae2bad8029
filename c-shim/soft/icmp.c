/* SPDX-License-Identifier: Apache-2.0 */
/* icmp.c: what a router tells of a packet that is too long for its next link (RFC 1191, RFC 1812, 4.3.2; RFC 4443, 2.4 and 3.2). */
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

#define HEAD_LEN 8u
#define IP4_MAX 576u  /* octets of the whole error: what everybody takes */
#define IP6_MAX 1280u /* likewise */
#define TTL 64u
#define IP4_OFFSET 0x1fffu
#define IP6_FIRST_QUERY 128u /* types below are errors */

/* Only of these is it certain that they are no errors. */
static bool is_query(uint8_t type)
{
	return type == 0 || type == 8 || type == 13 || type == 14;
}

/* Is it an error itself, or a piece of which nobody can tell? */
static bool is_silent(const struct dp_packet *packet, bool v6)
{
	const uint8_t *ip = packet->frame + packet->l3_off, *l4 = packet->frame + packet->l4_off;
	const bool has_type = packet->len > packet->l4_off;

	if (v6)
		return packet->fields.outer_ip_proto == NET_PROTO_ICMP6 &&
		       (packet->fragment || !has_type || l4[0] < IP6_FIRST_QUERY);
	if ((psp_get16(ip + NET_IP4_FRAG) & IP4_OFFSET) != 0)
		return true;
	return ip[NET_IP4_PROTO] == NET_PROTO_ICMP && (!has_type || !is_query(l4[0]));
}

/* From its destination to its source: `len` octets of ICMP behind the header. */
static void write_ip4(uint8_t *out, const uint8_t *ip, uint32_t len)
{
	memset(out, 0, NET_IP4_LEN);
	out[0] = 0x45;
	out[NET_IP4_TTL] = TTL;
	out[NET_IP4_PROTO] = NET_PROTO_ICMP;
	memcpy(out + NET_IP4_SRC, ip + NET_IP4_DST, 4);
	memcpy(out + NET_IP4_DST, ip + NET_IP4_SRC, 4);
	psp_put16(out + NET_IP4_TOTAL, (uint16_t)(NET_IP4_LEN + len));
	dp_csum_ipv4(out);
}

static void write_ip6(uint8_t *out, const uint8_t *ip, uint32_t len)
{
	memset(out, 0, NET_IP6_LEN);
	out[0] = 0x60;
	psp_put16(out + NET_IP6_PLEN, (uint16_t)len);
	out[NET_IP6_NEXT] = NET_PROTO_ICMP6;
	out[NET_IP6_HOPS] = TTL;
	memcpy(out + NET_IP6_SRC, ip + NET_IP6_DST, 16);
	memcpy(out + NET_IP6_DST, ip + NET_IP6_SRC, 16);
}

bool soft_too_big(const struct dp_packet *packet, uint32_t mtu, uint8_t *buf,
		  struct dp_packet *error)
{
	const bool v6 = packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_IPV6;
	const uint8_t *ip = packet->frame + packet->l3_off;
	const uint32_t ip_len = v6 ? NET_IP6_LEN : NET_IP4_LEN;
	const uint32_t room = (v6 ? IP6_MAX : IP4_MAX) - ip_len - HEAD_LEN;
	const uint32_t octets = packet->len - packet->l3_off,
		       quoted = octets < room ? octets : room;
	uint8_t *frame = buf + DP_HEADROOM, *icmp = frame + NET_ETH_LEN + ip_len;
	uint32_t sum = 0;

	if ((!v6 && packet->fields.parser_meta_outer_l3_type != PSP_DP_L3_IPV4) ||
	    is_silent(packet, v6))
		return false;
	*error =
		(struct dp_packet){.frame = frame, .len = NET_ETH_LEN + ip_len + HEAD_LEN + quoted};
	memcpy(frame, packet->frame + 6, 6);
	memcpy(frame + 6, packet->frame, 6);
	psp_put16(frame + NET_ETH_TYPE, v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	memset(icmp, 0, HEAD_LEN);
	memcpy(icmp + HEAD_LEN, ip, quoted);
	if (v6) {
		write_ip6(frame + NET_ETH_LEN, ip, HEAD_LEN + quoted);
		icmp[0] = 2;
		psp_put32(icmp + 4, mtu);
		sum = dp_csum_pseudo(frame + NET_ETH_LEN, NET_PROTO_ICMP6, HEAD_LEN + quoted);
	} else {
		write_ip4(frame + NET_ETH_LEN, ip, HEAD_LEN + quoted);
		icmp[0] = 3;
		icmp[1] = 4;
		psp_put16(icmp + 6, (uint16_t)(mtu < UINT16_MAX ? mtu : UINT16_MAX));
	}
	psp_put16(icmp + 2, (uint16_t)~dp_csum_fold(dp_csum_add(sum, icmp, HEAD_LEN + quoted)));
	return true;
}
