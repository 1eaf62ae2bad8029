/* SPDX-License-Identifier: Apache-2.0 */
/* read.c: what a packet has in the fields of a doca_flow_match. */
#include <endian.h>
#include <string.h>

#include "../psp/wire.h"
#include "../common/net.h"
#include "standin.h"

static void read_ip(const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
		    enum doca_flow_l3_type want, uint8_t is, struct doca_flow_header_format *out)
{
	if (want == DOCA_FLOW_L3_TYPE_IP4 && is == PSP_DP_L3_IPV4) {
		memcpy(&out->ip4.src_ip, src + 12, 4);
		memcpy(&out->ip4.dst_ip, dst + 12, 4);
		out->ip4.next_proto = proto;
	} else if (want == DOCA_FLOW_L3_TYPE_IP6 && is == PSP_DP_L3_IPV6) {
		memcpy(out->ip6.src_ip, src, 16);
		memcpy(out->ip6.dst_ip, dst, 16);
		out->ip6.next_proto = proto;
	}
}

/* As the header says, whatever else is in the frame. */
static void read_length(const struct dp_packet *packet, enum doca_flow_l3_type want,
			struct doca_flow_header_format *out)
{
	const uint8_t *ip = packet->frame + packet->l3_off;
	uint8_t is = packet->fields.parser_meta_outer_l3_type;

	if (want == DOCA_FLOW_L3_TYPE_IP4 && is == PSP_DP_L3_IPV4)
		memcpy(&out->ip4.total_len, ip + NET_IP4_TOTAL, sizeof(out->ip4.total_len));
	else if (want == DOCA_FLOW_L3_TYPE_IP6 && is == PSP_DP_L3_IPV6)
		memcpy(&out->ip6.payload_len, ip + NET_IP6_PLEN, sizeof(out->ip6.payload_len));
}

static enum doca_flow_l4_meta l4_meta(uint8_t type)
{
	return type == PSP_DP_L4_ICMP6 ? DOCA_FLOW_L4_META_ICMP : (enum doca_flow_l4_meta)type;
}

static void read_outer(const struct si_walk *walk, const struct doca_flow_match *mask,
		       struct doca_flow_match *out)
{
	const struct psp_dp_match *from = &walk->packet.fields;
	uint8_t l4 = from->parser_meta_outer_l4_type;

	memcpy(out->outer.eth.dst_mac, walk->packet.frame, 6);
	memcpy(out->outer.eth.src_mac, walk->packet.frame + 6, 6);
	out->outer.eth.type = htobe16(from->outer_eth_type);
	read_ip(from->outer_ip_src, from->outer_ip_dst, from->outer_ip_proto, mask->outer.l3_type,
		from->parser_meta_outer_l3_type, &out->outer);
	read_length(&walk->packet, mask->outer.l3_type, &out->outer);
	if (si_is_ports(mask->outer.l4_type_ext) && (l4 == PSP_DP_L4_TCP || l4 == PSP_DP_L4_UDP)) {
		out->outer.transport.src_port = htobe16(from->outer_l4_src_port);
		out->outer.transport.dst_port = htobe16(from->outer_l4_dst_port);
		if (l4 == PSP_DP_L4_TCP)
			out->outer.tcp.flags =
				walk->packet.frame[walk->packet.l4_off + NET_TCP_FLAGS];
	} else if (si_is_icmp(mask->outer.l4_type_ext) &&
		   (l4 == PSP_DP_L4_ICMP || l4 == PSP_DP_L4_ICMP6)) {
		out->outer.icmp.type = from->outer_icmp_type;
	}
}

void si_match_of(const struct si_walk *walk, const struct doca_flow_match *mask,
		 struct doca_flow_match *out)
{
	const struct psp_dp_match *from = &walk->packet.fields;
	struct doca_flow_match all;

	memset(&all, 0, sizeof(all));
	all.meta.pkt_meta = htobe32(from->meta_pkt_meta);
	memcpy(all.meta.u32, walk->u32, sizeof(all.meta.u32));
	all.parser_meta.port_id = walk->port_id;
	all.parser_meta.random = walk->random;
	all.parser_meta.psp_syndrome = from->parser_meta_psp_syndrome;
	all.parser_meta.outer_l3_type = (enum doca_flow_l3_meta)from->parser_meta_outer_l3_type;
	all.parser_meta.inner_l3_type = (enum doca_flow_l3_meta)from->parser_meta_inner_l3_type;
	all.parser_meta.outer_l4_type = l4_meta(from->parser_meta_outer_l4_type);
	read_outer(walk, mask, &all);
	read_ip(from->inner_ip_src, from->inner_ip_dst, 0, mask->inner.l3_type,
		from->parser_meta_inner_l3_type, &all.inner);
	all.tun.psp.nexthdr = from->tun_psp_nexthdr;
	all.tun.psp.hdrextlen = from->tun_psp_hdrextlen;
	all.tun.psp.res_cryptofst = from->tun_psp_res_cryptofst;
	all.tun.psp.s_d_ver_v = from->tun_psp_s_d_ver_v;
	all.tun.psp.spi = htobe32(from->tun_psp_spi);
	all.tun.psp.vc = htobe64(from->tun_psp_vc);
	si_match_mask(&all, mask, out);
}
