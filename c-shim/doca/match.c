/* SPDX-License-Identifier: Apache-2.0 */
/*
 * match.c: what a pipe or an entry matches and does, as DOCA's matches, actions and crypto parts, and the templates that
 * a pipe has for them.
 */
#include "match.h"

#include <endian.h>
#include <string.h>

#include "../common/net.h"
#include "../psp/wire.h"

/* ---- matches --------------------------------------------------------------------------------- */

static bool any(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint8_t set = 0;

	for (size_t i = 0; i < len; i++)
		set |= at[i];
	return set != 0;
}

static bool v4_mapped(const uint8_t ip[16])
{
	return !any(ip, 10) && ip[10] == 0xff && ip[11] == 0xff;
}

bool dpu_match_outer_ip(const struct psp_dp_match *mask)
{
	return any(mask->outer_ip_src, 16) || any(mask->outer_ip_dst, 16);
}

bool dpu_match_inner_ip(const struct psp_dp_match *mask)
{
	return any(mask->inner_ip_src, 16) || any(mask->inner_ip_dst, 16);
}

bool dpu_match_both_ips(const struct psp_dp_match *mask)
{
	return (any(mask->outer_ip_src, 16) && any(mask->outer_ip_dst, 16)) ||
	       (any(mask->inner_ip_src, 16) && any(mask->inner_ip_dst, 16));
}

const char *dpu_match_check(const struct psp_dp_match *mask, bool control)
{
	if (dpu_match_outer_ip(mask) && dpu_match_inner_ip(mask))
		return "hardware matches outer or inner addresses, not both";
	if (mask->outer_ip_proto != 0 && !dpu_match_outer_ip(mask))
		return "hardware matches the IP protocol together with outer addresses alone: "
		       "match parser_meta.outer_l4_type instead";
	if (mask->meta_network != 0)
		return "hardware has no networks: meta.network cannot be matched";
	if (!control && mask->outer_icmp_type != 0)
		return "hardware matches the ICMP type in control pipes alone";
	return NULL;
}

uint32_t dpu_match_l3(const struct psp_dp_match *value, const struct psp_dp_match *mask)
{
	const uint8_t *values[4] = {value->outer_ip_src, value->outer_ip_dst, value->inner_ip_src,
				    value->inner_ip_dst};
	const uint8_t *masks[4] = {mask->outer_ip_src, mask->outer_ip_dst, mask->inner_ip_src,
				   mask->inner_ip_dst};
	uint32_t seen = 0;

	for (uint32_t i = 0; i < 4; i++) {
		if (any(masks[i], 16))
			seen |= 1u << (v4_mapped(values[i]) ? PSP_DP_L3_IPV4 : PSP_DP_L3_IPV6);
	}
	if (seen == 1u << PSP_DP_L3_IPV4)
		return PSP_DP_L3_IPV4;
	return seen == 1u << PSP_DP_L3_IPV6 ? PSP_DP_L3_IPV6 : PSP_DP_L3_NONE;
}

/* Values: as they are. Templates: all bits of the fields that a mask names. */
struct fill {
	const struct psp_dp_match *value, *mask;
	const struct dpu_match_ports *ports; /* NULL: the mask names none */
	bool template;
	uint32_t l3;
	struct doca_flow_match *match, *match_mask;
};

/* A field of the match and of its mask; `v` and `m` are in the field's own order. */
#define SET(fill, field, v, m)                                                                     \
	do {                                                                                       \
		if ((m) != 0) {                                                                    \
			(fill)->match_mask->field = (m);                                           \
			(fill)->match->field = (v);                                                \
			if ((fill)->template)                                                      \
				memset(&(fill)->match->field, 0xff, sizeof((fill)->match->field)); \
		}                                                                                  \
	} while (0)

static void fill_port(const struct fill *fill)
{
	const struct dpu_match_ports *ports = fill->ports;
	uint32_t number = fill->value->parser_meta_port_id - 1u;

	if (ports == NULL || fill->mask->parser_meta_port_id == 0)
		return;
	if (ports->form == DPU_PORT_WORD)
		SET(fill, meta.u32[DPU_ORIGIN_WORD], htobe32(number), UINT32_MAX);
	if (ports->form == DPU_PORT_ID)
		SET(fill, parser_meta.port_id,
		    !fill->template && number < ports->n ? ports->ids[number] : 0, UINT16_MAX);
}

static void fill_parser_meta(const struct fill *fill)
{
	const struct psp_dp_match *v = fill->value, *m = fill->mask;

	fill_port(fill);
	SET(fill, parser_meta.random, htobe16(v->parser_meta_random),
	    htobe16(m->parser_meta_random));
	SET(fill, parser_meta.psp_syndrome, v->parser_meta_psp_syndrome,
	    m->parser_meta_psp_syndrome);
	/* The ABI's values are DOCA's. Types are matched whole. */
	if (m->parser_meta_outer_l3_type != 0)
		SET(fill, parser_meta.outer_l3_type,
		    (enum doca_flow_l3_meta)v->parser_meta_outer_l3_type,
		    (enum doca_flow_l3_meta)UINT32_MAX);
	if (m->parser_meta_inner_l3_type != 0)
		SET(fill, parser_meta.inner_l3_type,
		    (enum doca_flow_l3_meta)v->parser_meta_inner_l3_type,
		    (enum doca_flow_l3_meta)UINT32_MAX);
	SET(fill, meta.pkt_meta, htobe32(v->meta_pkt_meta), htobe32(m->meta_pkt_meta));
}

/* DOCA has one type for both ICMPs: the IP version tells them apart. */
static void fill_l4(const struct fill *fill)
{
	const struct psp_dp_match *v = fill->value, *m = fill->mask;
	bool icmp6 = v->parser_meta_outer_l4_type == PSP_DP_L4_ICMP6 && !fill->template;
	uint32_t type = icmp6 ? DOCA_FLOW_L4_META_ICMP : v->parser_meta_outer_l4_type;
	enum doca_flow_l4_type_ext ext = DOCA_FLOW_L4_TYPE_EXT_TRANSPORT;

	if (m->parser_meta_outer_l4_type != 0) {
		SET(fill, parser_meta.outer_l4_type, (enum doca_flow_l4_meta)type,
		    (enum doca_flow_l4_meta)UINT32_MAX);
		if (icmp6)
			SET(fill, parser_meta.outer_l3_type, DOCA_FLOW_L3_META_IPV6,
			    (enum doca_flow_l3_meta)UINT32_MAX);
		if (v->parser_meta_outer_l4_type == PSP_DP_L4_UDP && !fill->template)
			ext = DOCA_FLOW_L4_TYPE_EXT_UDP;
		if (v->parser_meta_outer_l4_type == PSP_DP_L4_TCP && !fill->template)
			ext = DOCA_FLOW_L4_TYPE_EXT_TCP;
	}
	if (m->outer_icmp_type != 0) {
		ext = icmp6 ? DOCA_FLOW_L4_TYPE_EXT_ICMP6 : DOCA_FLOW_L4_TYPE_EXT_ICMP;
		fill->match->outer.l4_type_ext = ext;
		fill->match_mask->outer.l4_type_ext = ext;
		SET(fill, outer.icmp.type, v->outer_icmp_type, m->outer_icmp_type);
		return;
	}
	if (m->outer_l4_src_port == 0 && m->outer_l4_dst_port == 0)
		return;
	fill->match->outer.l4_type_ext = ext;
	fill->match_mask->outer.l4_type_ext = ext;
	/* The ports of TCP, UDP and "transport" lie in the same place of the union. */
	SET(fill, outer.transport.src_port, htobe16(v->outer_l4_src_port),
	    htobe16(m->outer_l4_src_port));
	SET(fill, outer.transport.dst_port, htobe16(v->outer_l4_dst_port),
	    htobe16(m->outer_l4_dst_port));
}

static void fill_ip4(doca_be32_t *match, doca_be32_t *match_mask, const uint8_t *value,
		     const uint8_t *mask, bool template)
{
	if (!any(mask, 16))
		return;
	memcpy(match, value + 12, sizeof(*match));
	memcpy(match_mask, mask + 12, sizeof(*match_mask));
	if (template)
		memset(match, 0xff, sizeof(*match));
}

static void fill_ip6(doca_be32_t match[4], doca_be32_t match_mask[4], const uint8_t *value,
		     const uint8_t *mask, bool template)
{
	if (!any(mask, 16))
		return;
	memcpy(match, value, 16);
	memcpy(match_mask, mask, 16);
	if (template)
		memset(match, 0xff, 16);
}

static void fill_header(const struct fill *fill, bool outer)
{
	struct doca_flow_header_format *match = outer ? &fill->match->outer : &fill->match->inner;
	struct doca_flow_header_format *mask =
		outer ? &fill->match_mask->outer : &fill->match_mask->inner;
	const uint8_t *src = outer ? fill->value->outer_ip_src : fill->value->inner_ip_src;
	const uint8_t *dst = outer ? fill->value->outer_ip_dst : fill->value->inner_ip_dst;
	const uint8_t *src_mask = outer ? fill->mask->outer_ip_src : fill->mask->inner_ip_src;
	const uint8_t *dst_mask = outer ? fill->mask->outer_ip_dst : fill->mask->inner_ip_dst;
	bool v4 = fill->l3 == PSP_DP_L3_IPV4;

	if (!any(src_mask, 16) && !any(dst_mask, 16))
		return;
	match->l3_type = v4 ? DOCA_FLOW_L3_TYPE_IP4 : DOCA_FLOW_L3_TYPE_IP6;
	mask->l3_type = match->l3_type;
	if (v4) {
		fill_ip4(&match->ip4.src_ip, &mask->ip4.src_ip, src, src_mask, fill->template);
		fill_ip4(&match->ip4.dst_ip, &mask->ip4.dst_ip, dst, dst_mask, fill->template);
	} else {
		fill_ip6(match->ip6.src_ip, mask->ip6.src_ip, src, src_mask, fill->template);
		fill_ip6(match->ip6.dst_ip, mask->ip6.dst_ip, dst, dst_mask, fill->template);
	}
	if (!outer)
		return;
	if (v4)
		SET(fill, outer.ip4.next_proto, fill->value->outer_ip_proto,
		    fill->mask->outer_ip_proto);
	else
		SET(fill, outer.ip6.next_proto, fill->value->outer_ip_proto,
		    fill->mask->outer_ip_proto);
}

static void fill_psp(const struct fill *fill)
{
	const struct psp_dp_match *v = fill->value, *m = fill->mask;

	if (m->tun_psp_spi == 0 && m->tun_psp_nexthdr == 0 && m->tun_psp_hdrextlen == 0 &&
	    m->tun_psp_res_cryptofst == 0 && m->tun_psp_s_d_ver_v == 0 && m->tun_psp_vc == 0)
		return;
	fill->match->tun.type = DOCA_FLOW_TUN_PSP;
	fill->match_mask->tun.type = DOCA_FLOW_TUN_PSP;
	SET(fill, tun.psp.spi, htobe32(v->tun_psp_spi), htobe32(m->tun_psp_spi));
	SET(fill, tun.psp.nexthdr, v->tun_psp_nexthdr, m->tun_psp_nexthdr);
	SET(fill, tun.psp.hdrextlen, v->tun_psp_hdrextlen, m->tun_psp_hdrextlen);
	SET(fill, tun.psp.res_cryptofst, v->tun_psp_res_cryptofst, m->tun_psp_res_cryptofst);
	SET(fill, tun.psp.s_d_ver_v, v->tun_psp_s_d_ver_v, m->tun_psp_s_d_ver_v);
	SET(fill, tun.psp.vc, htobe64(v->tun_psp_vc), htobe64(m->tun_psp_vc));
}

static void fill_all(const struct fill *fill)
{
	memset(fill->match, 0, sizeof(*fill->match));
	memset(fill->match_mask, 0, sizeof(*fill->match_mask));
	fill_parser_meta(fill);
	SET(fill, outer.eth.type, htobe16(fill->value->outer_eth_type),
	    htobe16(fill->mask->outer_eth_type));
	fill_l4(fill);
	fill_header(fill, true);
	fill_header(fill, false);
	fill_psp(fill);
}

void dpu_match_template(const struct psp_dp_match *mask, uint32_t l3,
			const struct dpu_match_ports *ports, struct doca_flow_match *match,
			struct doca_flow_match *match_mask)
{
	const struct fill fill = {.value = mask,
				  .mask = mask,
				  .ports = ports,
				  .template = true,
				  .l3 = l3,
				  .match = match,
				  .match_mask = match_mask};

	fill_all(&fill);
}

void dpu_match_entry(const struct psp_dp_match *value, const struct psp_dp_match *mask, uint32_t l3,
		     const struct dpu_match_ports *ports, struct doca_flow_match *match,
		     struct doca_flow_match *match_mask)
{
	const struct fill fill = {.value = value,
				  .mask = mask,
				  .ports = ports,
				  .l3 = l3,
				  .match = match,
				  .match_mask = match_mask};

	fill_all(&fill);
}

/* ---- beyond the ABI's fields ------------------------------------------------------------------ */

void dpu_match_syn(struct doca_flow_match *match, struct doca_flow_match *match_mask)
{
	match->parser_meta.outer_l4_type = DOCA_FLOW_L4_META_TCP;
	match_mask->parser_meta.outer_l4_type = (enum doca_flow_l4_meta)UINT32_MAX;
	match->outer.l4_type_ext = DOCA_FLOW_L4_TYPE_EXT_TCP;
	match_mask->outer.l4_type_ext = DOCA_FLOW_L4_TYPE_EXT_TCP;
	match->outer.tcp.flags = NET_SYN;
	match_mask->outer.tcp.flags = NET_SYN;
}

void dpu_match_length(uint32_t l3, uint16_t value, uint16_t mask, struct doca_flow_match *match,
		      struct doca_flow_match *match_mask)
{
	bool v4 = l3 == PSP_DP_L3_IPV4;

	match->parser_meta.outer_l3_type = (enum doca_flow_l3_meta)l3;
	match_mask->parser_meta.outer_l3_type = (enum doca_flow_l3_meta)UINT32_MAX;
	match->outer.l3_type = v4 ? DOCA_FLOW_L3_TYPE_IP4 : DOCA_FLOW_L3_TYPE_IP6;
	match_mask->outer.l3_type = match->outer.l3_type;
	if (v4) {
		match->outer.ip4.total_len = htobe16(value);
		match_mask->outer.ip4.total_len = htobe16(mask);
	} else {
		match->outer.ip6.payload_len = htobe16(value);
		match_mask->outer.ip6.payload_len = htobe16(mask);
	}
}

/* ---- actions: encapsulation, decapsulation, routing ----------------------------------------- */

#define MACS_LEN 12u /* destination, source */

static bool is_tunnel(const struct psp_dp_actions *actions)
{
	return actions->encap_net_type == PSP_DP_NET_PSP_TUNNEL;
}

static enum doca_flow_crypto_encap_net_type net_type(const struct psp_dp_actions *actions,
						     uint32_t l3)
{
	if (is_tunnel(actions))
		return DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL;
	return l3 == PSP_DP_L3_IPV6 ? DOCA_FLOW_CRYPTO_HEADER_PSP_OVER_IPV6
				    : DOCA_FLOW_CRYPTO_HEADER_PSP_OVER_IPV4;
}

static void set_macs(struct dpu_hw_acts *out, const uint8_t *macs)
{
	out->modify = true;
	memcpy(out->actions.outer.eth.dst_mac, macs, 6);
	memcpy(out->actions.outer.eth.src_mac, macs + 6, 6);
	memset(out->mask.outer.eth.dst_mac, 0xff, 6);
	memset(out->mask.outer.eth.src_mac, 0xff, 6);
}

/*
 * Tunnel: the whole header, a VLAN tag behind the MACs when the uplink has one; the next header follows from the IP
 * version of what is inside. Transport: UDP and PSP; the packet keeps its Ethernet header but for the MACs, and the
 * device fills in the next header.
 */
static const char *encap(const struct dpu_acts_input *input, struct dpu_hw_acts *out)
{
	const struct psp_dp_actions *actions = input->actions;
	struct doca_flow_crypto_encap_action *reformat = &out->part.encap;
	const uint8_t *from = actions->encap_data;
	uint32_t size = actions->encap_size, at = 0;

	if (!is_tunnel(actions)) {
		if (input->vlan != 0)
			return "hardware puts no VLAN tag on packets in transport mode";
		set_macs(out, from);
		from += NET_ETH_LEN;
		size -= NET_ETH_LEN;
	} else if (input->vlan != 0) {
		memcpy(reformat->encap_data, from, MACS_LEN);
		psp_put16(reformat->encap_data + MACS_LEN, NET_TYPE_VLAN);
		psp_put16(reformat->encap_data + MACS_LEN + 2, input->vlan);
		at = MACS_LEN + NET_VLAN_LEN;
		from += MACS_LEN;
		size -= MACS_LEN;
	}
	if (at + size > sizeof(reformat->encap_data))
		return "the header is longer than hardware takes";
	memcpy(reformat->encap_data + at, from, size);
	out->crypto = true;
	out->part.reformat = true;
	reformat->action_type = DOCA_FLOW_CRYPTO_REFORMAT_ENCAP;
	reformat->net_type = net_type(actions, input->l3);
	reformat->icv_size = DPU_ICV_LEN;
	reformat->data_size = (uint16_t)(at + size);
	if (is_tunnel(actions) && input->l3 != PSP_DP_L3_NONE) {
		bool outer_v4 = psp_get16(actions->encap_data + NET_ETH_TYPE) == NET_TYPE_IPV4;
		uint32_t psp = (at != 0 ? NET_VLAN_LEN : 0) + NET_ETH_LEN +
			       (outer_v4 ? NET_IP4_LEN : NET_IP6_LEN) + NET_UDP_LEN;

		reformat->encap_data[psp] =
			input->l3 == PSP_DP_L3_IPV6 ? PSP_NEXT_IPV6 : PSP_NEXT_IPV4;
	}
	return NULL;
}

static const char *decap(const struct dpu_acts_input *input, struct dpu_hw_acts *out)
{
	const struct psp_dp_actions *actions = input->actions;
	struct doca_flow_crypto_encap_action *reformat = &out->part.encap;
	uint8_t header[NET_ETH_LEN];

	if (input->l3 == PSP_DP_L3_NONE)
		return "hardware decapsulates in pipes that match addresses alone";
	memcpy(header, actions->eth_dst, 6);
	memcpy(header + 6, actions->eth_src, 6);
	psp_put16(header + MACS_LEN, input->l3 == PSP_DP_L3_IPV6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	out->crypto = true;
	out->part.reformat = true;
	reformat->action_type = DOCA_FLOW_CRYPTO_REFORMAT_DECAP;
	reformat->net_type = net_type(actions, input->l3);
	reformat->icv_size = DPU_ICV_LEN;
	if (!is_tunnel(actions)) {
		set_macs(out, header);
		return NULL;
	}
	memcpy(reformat->encap_data, header, NET_ETH_LEN);
	reformat->data_size = NET_ETH_LEN;
	return NULL;
}

/* As a router does: new MACs, a TTL or hop limit one less. The addition of 255 to 8 bits is in NVIDIA's samples. */
static const char *route(const struct dpu_acts_input *input, struct dpu_hw_acts *out)
{
	struct doca_flow_header_format *outer = &out->actions.outer;
	uint8_t macs[MACS_LEN];

	if (input->l3 == PSP_DP_L3_NONE)
		return "hardware routes in pipes that match addresses alone";
	memcpy(macs, input->actions->eth_dst, 6);
	memcpy(macs + 6, input->actions->eth_src, 6);
	set_macs(out, macs);
	out->lowers_ttl = true;
	if (input->l3 == PSP_DP_L3_IPV4) {
		outer->l3_type = DOCA_FLOW_L3_TYPE_IP4;
		outer->ip4.ttl = UINT8_MAX;
	} else {
		outer->l3_type = DOCA_FLOW_L3_TYPE_IP6;
		outer->ip6.hop_limit = UINT8_MAX;
	}
	return NULL;
}

/* ---- actions of entries ---------------------------------------------------------------------- */

const char *dpu_acts_entry(const struct dpu_acts_input *input, struct dpu_hw_acts *out)
{
	const struct psp_dp_actions *actions = input->actions;
	const char *wrong = NULL;

	memset(out, 0, sizeof(*out));
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0)
		wrong = encap(input, out);
	else if ((actions->flags & PSP_DP_ACTION_DECAP) != 0)
		wrong = decap(input, out);
	else if ((actions->flags & PSP_DP_ACTION_ROUTE) != 0)
		wrong = route(input, out);
	if (wrong != NULL)
		return wrong;
	if ((actions->flags & (PSP_DP_ACTION_ENCRYPT | PSP_DP_ACTION_DECRYPT)) != 0) {
		bool encrypt = (actions->flags & PSP_DP_ACTION_ENCRYPT) != 0;

		out->crypto = true;
		out->part.crypto = (struct doca_flow_crypto_action){
			.action_type = encrypt ? DOCA_FLOW_CRYPTO_ACTION_ENCRYPT
					       : DOCA_FLOW_CRYPTO_ACTION_DECRYPT,
			.resource_type = DOCA_FLOW_CRYPTO_RESOURCE_PSP,
			.crypto_id = encrypt ? input->resource : DOCA_FLOW_PSP_DECRYPTION_ID,
		};
	}
	if ((actions->flags & PSP_DP_ACTION_SET_PKT_META) != 0) {
		out->modify = true;
		out->actions.meta.pkt_meta = htobe32(actions->pkt_meta);
		out->mask.meta.pkt_meta = UINT32_MAX;
	}
	if ((actions->flags & PSP_DP_ACTION_SET_S) != 0) {
		out->modify = true;
		out->actions.tun.type = DOCA_FLOW_TUN_PSP;
		out->actions.tun.psp.s_d_ver_v = PSP_FLAG_S;
		out->mask.tun.type = DOCA_FLOW_TUN_PSP;
		out->mask.tun.psp.s_d_ver_v = PSP_FLAG_S;
	}
	return NULL;
}

/* ---- actions: templates ---------------------------------------------------------------------- */

/* All bits of what entries bring; what is the same for all of them stands as it is. */
static void open_up(struct dpu_hw_acts *out)
{
	struct doca_flow_crypto_encap_action *reformat = &out->part.encap;

	if (out->mask.meta.pkt_meta != 0)
		out->actions.meta.pkt_meta = UINT32_MAX;
	if (out->mask.outer.eth.dst_mac[0] != 0) {
		memset(out->actions.outer.eth.dst_mac, 0xff, 6);
		memset(out->actions.outer.eth.src_mac, 0xff, 6);
	}
	memset(reformat->encap_data, 0xff, reformat->data_size);
	if (out->part.crypto.action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT)
		out->part.crypto.crypto_id = UINT32_MAX;
}

/* A header of this form: its octets do not matter, its length does. */
static void sample_header(struct psp_dp_actions *actions, bool outer_v6, bool vc)
{
	uint32_t size = NET_ETH_LEN + NET_UDP_LEN + PSP_HEADER_LEN + (vc ? PSP_VC_LEN : 0);

	if (is_tunnel(actions))
		size += outer_v6 ? NET_IP6_LEN : NET_IP4_LEN;
	memset(actions->encap_data, 0, sizeof(actions->encap_data));
	psp_put16(actions->encap_data + NET_ETH_TYPE, outer_v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	actions->encap_size = (uint16_t)size;
}

uint32_t dpu_acts_templates(const struct dpu_acts_input *input, struct dpu_hw_acts *out)
{
	struct psp_dp_actions actions = *input->actions;
	struct dpu_acts_input sample = *input;
	bool encaps = (actions.flags & PSP_DP_ACTION_ENCAP) != 0;
	uint32_t n = 0, forms = 1;

	if (encaps)
		forms = is_tunnel(&actions) ? 4 : 2;
	sample.actions = &actions;
	if (input->routes) {
		actions.flags = PSP_DP_ACTION_ROUTE;
		if (dpu_acts_entry(&sample, &out[0]) != NULL)
			return 0;
		open_up(&out[0]);
		/* And one for packets that stay as they are. */
		memset(&out[1], 0, sizeof(out[1]));
		return 2;
	}
	for (uint32_t form = 0; form < forms; form++) {
		if (encaps)
			sample_header(&actions, (form & 2u) != 0, (form & 1u) != 0);
		if (dpu_acts_entry(&sample, &out[n]) != NULL)
			continue;
		open_up(&out[n]);
		if (out[n].modify || out[n].crypto)
			n++;
	}
	return n;
}

uint32_t dpu_acts_choose(const struct dpu_hw_shape *shape, const struct dpu_hw_acts *acts)
{
	for (uint32_t i = 0; i < shape->n; i++) {
		const struct dpu_hw_acts *template = &shape->templates[i];

		if (template->lowers_ttl == acts->lowers_ttl &&
		    template->part.encap.data_size == acts->part.encap.data_size &&
		    template->part.encap.net_type == acts->part.encap.net_type)
			return i;
	}
	return shape->n == 0 && !acts->modify && !acts->crypto ? 0 : UINT32_MAX;
}
