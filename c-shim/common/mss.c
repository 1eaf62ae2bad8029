/* SPDX-License-Identifier: Apache-2.0 */
#include "csum.h"
#include "net.h"

#define OPTION_END 0u
#define OPTION_NOP 1u
#define OPTION_MSS 2u
#define OPTION_MSS_LEN 4u

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
