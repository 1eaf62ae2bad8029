/* SPDX-License-Identifier: Apache-2.0 */
/* path_mtu.c: reports of routers about packets that are too long for their next link. */
#include "path_mtu.h"

#include "csum.h"
#include "net.h"

#define PSP_SPI_OFF 4u /* in the PSP header */
#define ICMP_LEN 8u    /* type, code, checksum, rest of the header */
#define ICMP_UNREACHABLE 3u
#define ICMP_FRAGMENTATION_NEEDED 4u
#define ICMP_MTU 6u /* 16 bits */
#define ICMP6_PACKET_TOO_BIG 2u
#define ICMP6_MTU 4u /* 32 bits */

/* A quote is cut where the router wanted: only what is read here has to be there. */
static bool read_quote(const uint8_t *ip, uint32_t avail, bool v6, struct dp_path_mtu *out)
{
	uint32_t udp;

	if (avail < (v6 ? NET_IP6_LEN : NET_IP4_LEN) || (ip[0] >> 4) != (v6 ? 6 : 4))
		return false;
	if (v6) {
		/* Our outer headers have no extension. */
		if (ip[NET_IP6_NEXT] != NET_PROTO_UDP)
			return false;
		udp = NET_IP6_LEN;
		memcpy(out->src, ip + NET_IP6_SRC, sizeof(out->src));
		memcpy(out->dst, ip + NET_IP6_DST, sizeof(out->dst));
	} else {
		udp = (ip[0] & 0x0fu) * 4u;
		if (udp < NET_IP4_LEN || ip[NET_IP4_PROTO] != NET_PROTO_UDP ||
		    (psp_get16(ip + NET_IP4_FRAG) & NET_IP4_MF_OFFSET) != 0)
			return false;
		net_map_v4(out->src, ip + NET_IP4_SRC);
		net_map_v4(out->dst, ip + NET_IP4_DST);
	}
	if (avail < udp + NET_UDP_LEN + PSP_SPI_OFF + 4u ||
	    psp_get16(ip + udp + NET_UDP_DST) != PSP_UDP_PORT)
		return false;
	out->spi = psp_get32(ip + udp + NET_UDP_LEN + PSP_SPI_OFF);
	return true;
}

bool dp_path_mtu_read(const struct dp_packet *packet, struct dp_path_mtu *out)
{
	const bool v6 = packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_IPV6;
	const uint8_t *ip = packet->frame + packet->l3_off;
	struct dp_ip header;
	const uint8_t *icmp;
	uint32_t len;

	if (packet->fragment || packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE ||
	    !dp_ip_read(ip, packet->len - packet->l3_off, &header) || header.len < header.l4_off)
		return false;
	icmp = ip + header.l4_off;
	len = header.len - header.l4_off;
	if (len < ICMP_LEN || header.proto != (v6 ? NET_PROTO_ICMP6 : NET_PROTO_ICMP))
		return false;
	if (v6 ? icmp[0] != ICMP6_PACKET_TOO_BIG
	       : icmp[0] != ICMP_UNREACHABLE || icmp[1] != ICMP_FRAGMENTATION_NEEDED)
		return false;
	if (v6 ? !dp_csum_verify(ip, NET_PROTO_ICMP6, icmp, len)
	       : dp_csum_fold(dp_csum_add(0, icmp, len)) != 0xffffu)
		return false;
	out->mtu = v6 ? psp_get32(icmp + ICMP6_MTU) : psp_get16(icmp + ICMP_MTU);
	return read_quote(icmp + ICMP_LEN, len - ICMP_LEN, v6, out);
}
