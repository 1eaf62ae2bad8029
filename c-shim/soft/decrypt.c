/* SPDX-License-Identifier: Apache-2.0 */
#include "../psp/seal.h"
#include "../common/csum.h"
#include "../common/net.h"
#include "steps.h"

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

/* The addresses that a tunnel's inner packet has; what is not IP has none. */
static void read_inner(struct dp_packet *packet)
{
	struct psp_dp_match *fields = &packet->fields;
	const uint8_t *ip = packet->frame + packet->inner_off;
	struct dp_ip read;

	if (packet->psp.next_header != PSP_NEXT_IPV4 && packet->psp.next_header != PSP_NEXT_IPV6)
		return;
	if (!dp_ip_read(ip, packet->len - packet->inner_off, &read) ||
	    read.v6 != (packet->psp.next_header == PSP_NEXT_IPV6))
		return;
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
