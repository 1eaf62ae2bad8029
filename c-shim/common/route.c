/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "csum.h"
#include "net.h"
#include "packet.h"

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
