/* SPDX-License-Identifier: Apache-2.0 */
/* decap.c: the reverse of seal.c: a PSP packet is opened with a key, and becomes the packet that is in it. */
#include "../psp/seal.h"
#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

/* ---- opened ---------------------------------------------------------------------------------- */

static bool udp_checksum_ok(const struct dp_packet *packet, uint32_t udp_len)
{
	const uint8_t *udp = packet->frame + packet->l4_off;

	if (psp_get16(udp + NET_UDP_CSUM) == 0 || packet->needs_csum || packet->csum_valid)
		return true;
	return dp_csum_verify(packet->frame + packet->l3_off, NET_PROTO_UDP, udp, udp_len);
}

static void set_verdict(struct dp_packet *packet, uint32_t verdict)
{
	uint8_t syndrome = PSP_DP_SYNDROME_BAD_TRAILER;

	if (verdict == PSP_DP_VERDICT_OK || verdict == PSP_DP_VERDICT_POLICY)
		syndrome = PSP_DP_SYNDROME_OK;
	else if (verdict == PSP_DP_VERDICT_ICV)
		syndrome = PSP_DP_SYNDROME_ICV;
	packet->verdict = (uint8_t)verdict;
	packet->fields.parser_meta_psp_syndrome = syndrome;
}

/* Length and addresses of a tunnel's inner packet; what is not IP has none. */
static void read_inner(struct dp_packet *packet)
{
	struct psp_dp_match *fields = &packet->fields;
	const uint8_t *ip = packet->frame + packet->inner_off;
	struct dp_ip read;

	packet->inner_len = 0;
	if (packet->psp.next_header != PSP_NEXT_IPV4 && packet->psp.next_header != PSP_NEXT_IPV6)
		return;
	if (!dp_ip_read(ip, packet->len - packet->inner_off, &read) ||
	    read.v6 != (packet->psp.next_header == PSP_NEXT_IPV6))
		return;
	packet->inner_len = (uint16_t)read.len;
	if (read.v6) {
		fields->parser_meta_inner_l3_type = PSP_DP_L3_IPV6;
		memcpy(fields->inner_ip_src, ip + NET_IP6_SRC, 16);
		memcpy(fields->inner_ip_dst, ip + NET_IP6_DST, 16);
	} else {
		fields->parser_meta_inner_l3_type = PSP_DP_L3_IPV4;
		net_map_v4(fields->inner_ip_src, ip + NET_IP4_SRC);
		net_map_v4(fields->inner_ip_dst, ip + NET_IP4_DST);
	}
}

bool soft_decrypt_known(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
			const struct psp_aead_key *key, struct dp_packet *packet, uint32_t len)
{
	uint8_t *psp = packet->frame + packet->payload_off;
	int32_t opened;

	if (!udp_checksum_ok(packet, len + NET_UDP_LEN))
		return false;
	opened = psp_open(backend, crypto, key, &packet->psp, psp, len);
	if (opened < 0)
		return false;
	if (opened != PSP_DP_VERDICT_OK) {
		set_verdict(packet, (uint32_t)opened);
		return true;
	}
	packet->len = packet->payload_off + len - PSP_ICV_LEN;
	/* The ICV is the first that nobody misses. */
	packet->tail = packet->tail > PSP_ICV_LEN ? (uint16_t)(packet->tail - PSP_ICV_LEN) : 0;
	packet->inner_off = (uint16_t)(packet->payload_off + packet->psp.size);
	packet->fields.tun_psp_vc = packet->psp.vc;
	read_inner(packet);
	set_verdict(packet, psp_policy(&packet->psp, len - PSP_ICV_LEN - packet->psp.size));
	return true;
}

bool soft_decrypt(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		  const struct psp_aead_key *key, uint32_t versions, struct dp_packet *packet)
{
	uint32_t verdict, len;

	packet->inner_off = 0;
	if (packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP ||
	    packet->gso != DP_GSO_NONE) {
		set_verdict(packet, PSP_DP_VERDICT_MALFORMED);
		return true;
	}
	/* UDP's length rules: octets behind it are not of the datagram. */
	len = (uint32_t)psp_get16(packet->frame + packet->l4_off + NET_UDP_LENGTH) - NET_UDP_LEN;
	verdict =
		psp_header_parse(packet->frame + packet->payload_off, len, versions, &packet->psp);
	if (verdict == PSP_DP_VERDICT_OK)
		return soft_decrypt_known(backend, crypto, key, packet, len);
	if (!udp_checksum_ok(packet, len + NET_UDP_LEN))
		return false;
	set_verdict(packet, verdict);
	return true;
}

/* ---- unwrapped ------------------------------------------------------------------------------- */

/* RFC 6040, figure 4: row inner, column outer; what the inner field becomes. */
#define DROP 0xffu
static const uint8_t ecn_combined[4][4] = {
	/* outer:       Not-ECT   ECT(1)    ECT(0)    CE */
	/* Not-ECT */ {0, 0, 0, DROP},
	/* ECT(1)  */ {NET_ECT1, NET_ECT1, NET_ECT1, NET_CE},
	/* ECT(0)  */ {NET_ECT0, NET_ECT1, NET_ECT0, NET_CE},
	/* CE      */ {NET_CE, NET_CE, NET_CE, NET_CE},
};

static bool combine_ecn(const uint8_t *outer, uint8_t *inner)
{
	uint8_t now = net_tos(inner) & NET_ECN;
	uint8_t ecn = ecn_combined[now][net_tos(outer) & NET_ECN];
	uint16_t word;

	if (ecn == DROP)
		return false;
	if (ecn == now)
		return true;
	if ((inner[0] >> 4) == 6) {
		inner[1] = (uint8_t)((inner[1] & ~(NET_ECN << 4)) | (uint32_t)ecn << 4);
		return true;
	}
	/* By difference: a header that came with a wrong checksum keeps one. */
	word = psp_get16(inner);
	inner[NET_IP4_TOS] = (uint8_t)((inner[NET_IP4_TOS] & ~NET_ECN) | ecn);
	psp_put16(inner + NET_IP4_CSUM,
		  dp_csum_update(psp_get16(inner + NET_IP4_CSUM), word, psp_get16(inner)));
	return true;
}

/* Leaves the inner packet with an Ethernet header's room in front; *type is its Ethernet type. */
static bool decap_tunnel(struct dp_packet *packet, uint16_t *type)
{
	uint8_t *inner = packet->frame + packet->inner_off;

	if (packet->inner_len == 0 || !combine_ecn(packet->frame + packet->l3_off, inner))
		return false;
	/* The packet in front may leave before this one is done with. */
	if (packet->under != NULL)
		memcpy(packet->frame, packet->under, packet->payload_off);
	packet->under = NULL;
	packet->frame = inner - NET_ETH_LEN;
	packet->len = NET_ETH_LEN + (uint32_t)packet->inner_len;
	*type = packet->psp.next_header == PSP_NEXT_IPV6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4;
	return true;
}

/* Moves the IP header up against what was sealed, and takes UDP and PSP out of it. */
static bool decap_transport(struct dp_packet *packet, uint16_t *type)
{
	uint32_t ip_len = (uint32_t)packet->l4_off - packet->l3_off;
	uint32_t l4_len = packet->len - packet->inner_off;
	uint8_t *ip = packet->frame + packet->inner_off - ip_len;
	struct dp_ip read;

	if (packet->psp.next_header != PSP_NEXT_TCP && packet->psp.next_header != PSP_NEXT_UDP)
		return false;
	/* As dp_parse() read it: what its length field says was there, ICV included. */
	if (!dp_ip_read(packet->frame + packet->l3_off, DP_FRAME_MAX, &read) || read.fragment)
		return false;
	memmove(ip, packet->frame + packet->l3_off, ip_len);
	ip[read.next_off] = packet->psp.next_header;
	dp_segment_ip(ip, ip_len + l4_len, 0);
	if (!read.v6)
		dp_csum_ipv4(ip);
	packet->frame = ip - NET_ETH_LEN;
	packet->len = NET_ETH_LEN + ip_len + l4_len;
	*type = read.v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4;
	return true;
}

/*
 * Neighbour discovery is believed when its hop limit is 255, which says that no router has sent it on (RFC 4861, 3.1): a
 * tunnel, which leaves it as it is, must not carry it.
 */
static bool is_of_a_link(const struct dp_packet *packet)
{
	const struct psp_dp_match *fields = &packet->fields;

	return fields->parser_meta_outer_l4_type == PSP_DP_L4_ICMP6 &&
	       fields->outer_icmp_type >= NET_ND_FIRST && fields->outer_icmp_type <= NET_ND_LAST;
}

struct soft_strip soft_strip_of(const struct psp_dp_actions *actions)
{
	struct soft_strip strip = {.net_type = actions->encap_net_type,
				   .crypt_offset = actions->crypt_offset};

	memcpy(strip.eth_dst, actions->eth_dst, sizeof(strip.eth_dst));
	memcpy(strip.eth_src, actions->eth_src, sizeof(strip.eth_src));
	return strip;
}

bool soft_decap(struct dp_packet *packet, const struct soft_strip *strip)
{
	uint32_t pkt_meta = packet->fields.meta_pkt_meta;
	uint16_t type;
	bool whole;

	/* Only what soft_decrypt() let pass has an inner packet. */
	if (packet->inner_off == 0 || packet->verdict != PSP_DP_VERDICT_OK)
		return false;
	if (strip->net_type == PSP_DP_NET_PSP_TUNNEL)
		whole = decap_tunnel(packet, &type);
	else if (strip->net_type == PSP_DP_NET_PSP_TRANSPORT)
		whole = decap_transport(packet, &type);
	else
		return false;
	if (!whole)
		return false;
	memcpy(packet->frame, strip->eth_dst, 6);
	memcpy(packet->frame + 6, strip->eth_src, 6);
	psp_put16(packet->frame + NET_ETH_TYPE, type);
	/* What the kernel said of the outer checksum does not hold for the inner one. */
	packet->needs_csum = false;
	packet->csum_valid = false;
	packet->gso = DP_GSO_NONE;
	packet->vlan_tci = 0;
	whole = dp_parse(packet) && !is_of_a_link(packet);
	packet->fields.meta_pkt_meta = pkt_meta;
	return whole;
}
