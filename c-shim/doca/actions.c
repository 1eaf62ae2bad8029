/* SPDX-License-Identifier: Apache-2.0 */
/* actions.c: what an entry does, as DOCA's actions and crypto parts, and the templates that a pipe has for them. */
#include <endian.h>
#include <string.h>

#include "../psp/wire.h"
#include "../common/net.h"
#include "match.h"

#define MACS_LEN 12u /* destination, source */

/* ---- encapsulation --------------------------------------------------------------------------- */

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

/* ---- entries --------------------------------------------------------------------------------- */

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

/* ---- templates ------------------------------------------------------------------------------- */

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
