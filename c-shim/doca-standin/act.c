/* SPDX-License-Identifier: Apache-2.0 */
/*
 * act.c: what entries do to packets, with the soft plane's steps. As on the device encapsulation happens where its
 * entry stands, and sealing when the packet leaves: what changes the PSP header in between is sealed too.
 */
#include <endian.h>
#include <string.h>

#include "../psp/seal.h"
#include "../common/csum.h"
#include "../common/net.h"
#include "../soft/outer.h"
#include "standin.h"

#define CRYPT_WORD 4u /* unit of the crypt offset */

/* Reads the packet anew after a change; what does not parse has no fields but those of Ethernet. */
static void reparse(struct si_walk *walk)
{
	uint32_t pkt_meta = walk->packet.fields.meta_pkt_meta;
	uint8_t syndrome = walk->packet.fields.parser_meta_psp_syndrome;
	uint32_t len = walk->packet.len;

	(void)dp_parse(&walk->packet);
	walk->packet.len = len;
	walk->packet.fields.meta_pkt_meta = pkt_meta;
	walk->packet.fields.parser_meta_psp_syndrome = syndrome;
}

/* ---- decryption ------------------------------------------------------------------------------ */

static void set_syndrome(struct si_walk *walk, uint32_t verdict)
{
	uint8_t syndrome = PSP_DP_SYNDROME_BAD_TRAILER;

	if (verdict == PSP_DP_VERDICT_OK || verdict == PSP_DP_VERDICT_POLICY)
		syndrome = PSP_DP_SYNDROME_OK;
	else if (verdict == PSP_DP_VERDICT_ICV)
		syndrome = PSP_DP_SYNDROME_ICV;
	walk->packet.fields.parser_meta_psp_syndrome = syndrome;
}

/* A packet that is no PSP packet passes the engine as a bad one. */
static bool decrypt(struct si_walk *walk)
{
	struct dp_packet *packet = &walk->packet;
	struct psp_header header;
	struct psp_aead_key *key;
	uint32_t udp_len, verdict;
	bool done;

	set_syndrome(walk, PSP_DP_VERDICT_MALFORMED);
	if (packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP || packet->fragment)
		return true;
	udp_len = psp_get16(packet->frame + packet->l4_off + NET_UDP_LENGTH);
	if (udp_len < NET_UDP_LEN || udp_len > packet->len - packet->l4_off)
		return true;
	verdict = psp_header_parse(packet->frame + packet->payload_off, udp_len - NET_UDP_LEN,
				   PSP_VERSIONS_DEFAULT, &header);
	set_syndrome(walk, verdict);
	if (verdict != PSP_DP_VERDICT_OK)
		return true;
	key = si_derive(header.spi, header.version);
	if (key == NULL)
		return false;
	/* The engine does not look at UDP's checksum: the ICV says more. */
	packet->csum_valid = true;
	done = soft_decrypt(si.backend, si.crypto, key, PSP_VERSIONS_DEFAULT, packet);
	si.backend->key_free(key);
	if (done)
		set_syndrome(walk, packet->verdict);
	walk->decrypted = done && packet->inner_off != 0;
	return done;
}

/* ---- reformatting ---------------------------------------------------------------------------- */

static void forget_ecn(struct dp_packet *packet)
{
	uint8_t *ip = packet->frame + packet->l3_off;

	if (ip[0] >> 4 == 6)
		ip[1] &= (uint8_t)~0x30u;
	else
		ip[NET_IP4_TOS] &= (uint8_t)~0x03u;
}

static bool decap(struct si_walk *walk, const struct doca_flow_crypto_encap_action *encap)
{
	bool tunnel = encap->net_type == DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL;
	struct soft_strip strip = {
		.net_type = tunnel ? PSP_DP_NET_PSP_TUNNEL : PSP_DP_NET_PSP_TRANSPORT,
	};
	uint8_t syndrome = walk->packet.fields.parser_meta_psp_syndrome;

	/* The tenant's header stays as it is, whatever a router has marked on the way. */
	if (tunnel)
		forget_ecn(&walk->packet);
	memcpy(strip.eth_dst, tunnel ? encap->encap_data : walk->packet.frame, 6);
	memcpy(strip.eth_src, tunnel ? encap->encap_data + 6 : walk->packet.frame + 6, 6);
	if (!walk->decrypted || !soft_decap(&walk->packet, &strip))
		return false;
	walk->decrypted = false;
	/* The type is as given, right or not. */
	if (tunnel) {
		memcpy(walk->packet.frame + NET_ETH_TYPE, encap->encap_data + NET_ETH_TYPE, 2);
		reparse(walk);
	}
	walk->packet.fields.parser_meta_psp_syndrome = syndrome;
	return true;
}

/* encap_data as the soft plane has it: a VLAN tag goes aside, and transport mode gets the packet's own Ethernet. */
static bool read_header(const struct si_walk *walk,
			const struct doca_flow_crypto_encap_action *encap,
			struct psp_dp_actions *actions, uint32_t *tag)
{
	const uint8_t *data = encap->encap_data;
	uint32_t size = encap->data_size, at = NET_ETH_TYPE;

	memset(actions, 0, sizeof(*actions));
	*tag = 0;
	actions->encap_net_type = encap->net_type == DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL
					  ? PSP_DP_NET_PSP_TUNNEL
					  : PSP_DP_NET_PSP_TRANSPORT;
	if (actions->encap_net_type == PSP_DP_NET_PSP_TRANSPORT) {
		memcpy(actions->encap_data, walk->packet.frame, NET_ETH_LEN);
		memcpy(actions->encap_data + NET_ETH_LEN, data, size);
		actions->encap_size = (uint16_t)(NET_ETH_LEN + size);
		return true;
	}
	if (size < NET_ETH_LEN + NET_VLAN_LEN)
		return false;
	memcpy(actions->encap_data, data, at);
	if (psp_get16(data + at) == NET_TYPE_VLAN) {
		*tag = psp_get32(data + at);
		data += NET_VLAN_LEN;
		size -= NET_VLAN_LEN;
	}
	memcpy(actions->encap_data + at, data + at, size - at);
	actions->encap_size = (uint16_t)size;
	return true;
}

/* A device does not look at the inner header for DSCP, ECN and flow label. */
static void as_given(uint8_t *ip, const uint8_t *given)
{
	if (given[0] >> 4 == 6) {
		memcpy(ip, given, 4);
		return;
	}
	ip[NET_IP4_TOS] = given[NET_IP4_TOS];
	dp_csum_ipv4(ip);
}

static bool encap(struct si_walk *walk, const struct doca_flow_crypto_encap_action *action)
{
	struct dp_packet *packet = &walk->packet;
	union {
		struct soft_encap encap;
		uint8_t room[sizeof(struct soft_encap) + SOFT_ENCAP_DATA_MAX + SOFT_ENCAP_SLACK];
	} made;
	struct psp_dp_actions actions;
	struct soft_outer outer;
	uint32_t tag, payload, udp_len;
	uint8_t *frame = walk->spare + DP_HEADROOM;

	if (walk->sealed_room || !read_header(walk, action, &actions, &tag))
		return false;
	soft_encap_make(&made.encap, &actions);
	packet->encap = &made.encap;
	if (!soft_outer_read(packet, &outer))
		return false;
	payload = packet->len - outer.copy_off;
	udp_len = NET_UDP_LEN + outer.psp_size + payload + PSP_ICV_LEN;
	soft_outer_write(&outer, packet, frame, udp_len, 0, 0, false);
	if (!outer.transport)
		as_given(frame + NET_ETH_LEN, actions.encap_data + NET_ETH_LEN);
	memcpy(frame + outer.head_len, outer.psp, outer.psp_size);
	/* In transport mode alone the device knows the next header. */
	if (outer.transport)
		frame[outer.head_len] = outer.next_header;
	memcpy(frame + outer.head_len + outer.psp_size, packet->frame + outer.copy_off, payload);
	memset(frame + outer.head_len + outer.psp_size + payload, 0, PSP_ICV_LEN);
	packet->encap = NULL;
	packet->len = outer.head_len - NET_UDP_LEN + udp_len;
	packet->frame = frame;
	packet->vlan_tci = (uint16_t)tag;
	walk->spare = walk->buf;
	walk->buf = frame - DP_HEADROOM;
	walk->sealed_room = true;
	reparse(walk);
	return true;
}

/* ---- sealing --------------------------------------------------------------------------------- */

bool si_encrypt(struct si_walk *walk)
{
	struct si_slot *slot = &si.slots[walk->crypto_id];
	struct dp_packet *packet = &walk->packet;
	uint8_t *psp = packet->frame + packet->payload_off;
	uint32_t size = packet->len - packet->payload_off, words;

	if (!walk->sealed_room || !slot->bound || slot->aead == NULL ||
	    packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP ||
	    size < PSP_HEADER_LEN + PSP_ICV_LEN)
		return false;
	psp_put64(psp + 8, atomic_fetch_add(&slot->next_iv, 1));
	words = (size - PSP_HEADER_LEN - PSP_ICV_LEN) / CRYPT_WORD;
	if ((psp[2] & PSP_CRYPT_OFFSET_MASK) > words)
		psp[2] = (uint8_t)((psp[2] & ~PSP_CRYPT_OFFSET_MASK) | words);
	return psp_seal(si.backend, si.crypto, slot->aead, psp, size - PSP_ICV_LEN) == 0;
}

/* ---- header fields --------------------------------------------------------------------------- */

static void set_octets(uint8_t *at, const uint8_t *value, const uint8_t *mask, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)((at[i] & ~mask[i]) | (value[i] & mask[i]));
}

static void modify(struct si_walk *walk, const struct doca_flow_actions *actions,
		   const struct doca_flow_actions *mask)
{
	struct dp_packet *packet = &walk->packet;
	uint32_t meta = htobe32(packet->fields.meta_pkt_meta);

	meta = (meta & ~mask->meta.pkt_meta) | (actions->meta.pkt_meta & mask->meta.pkt_meta);
	packet->fields.meta_pkt_meta = be32toh(meta);
	for (uint32_t i = 0; i < DOCA_FLOW_META_SCRATCH_PAD_MAX; i++)
		walk->u32[i] = (walk->u32[i] & ~mask->meta.u32[i]) |
			       (actions->meta.u32[i] & mask->meta.u32[i]);
	set_octets(packet->frame, actions->outer.eth.dst_mac, mask->outer.eth.dst_mac, 6);
	set_octets(packet->frame + 6, actions->outer.eth.src_mac, mask->outer.eth.src_mac, 6);
	if (mask->tun.type == DOCA_FLOW_TUN_PSP && packet->fields.tun_psp_spi != 0) {
		set_octets(packet->frame + packet->payload_off + 3, &actions->tun.psp.s_d_ver_v,
			   &mask->tun.psp.s_d_ver_v, 1);
		dp_parse_psp(packet);
	}
}

/* 8 bits, which wrap; the device mends IPv4's checksum. */
static void add_ttl(const struct dp_packet *packet, const struct doca_flow_header_format *outer)
{
	uint8_t *ip = packet->frame + packet->l3_off;

	if (outer->l3_type == DOCA_FLOW_L3_TYPE_IP4) {
		ip[NET_IP4_TTL] = (uint8_t)(ip[NET_IP4_TTL] + outer->ip4.ttl);
		dp_csum_ipv4(ip);
	} else {
		ip[NET_IP6_HOPS] = (uint8_t)(ip[NET_IP6_HOPS] + outer->ip6.hop_limit);
	}
}

bool si_act(struct si_walk *walk, const struct si_rule *rule)
{
	const struct doca_flow_actions *actions = &rule->actions;
	const struct doca_flow_crypto_encap_action *reformat = &actions->crypto_encap;

	if (!rule->has_actions)
		return true;
	if (actions->crypto.action_type == DOCA_FLOW_CRYPTO_ACTION_DECRYPT && !decrypt(walk))
		return false;
	if (actions->has_crypto_encap && reformat->action_type == DOCA_FLOW_CRYPTO_REFORMAT_DECAP &&
	    !decap(walk, reformat))
		return false;
	modify(walk, actions, &rule->mask);
	if (rule->adds_ttl)
		add_ttl(&walk->packet, &actions->outer);
	if (actions->has_crypto_encap && reformat->action_type == DOCA_FLOW_CRYPTO_REFORMAT_ENCAP &&
	    !encap(walk, reformat))
		return false;
	if (actions->crypto.action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT) {
		walk->encrypts = true;
		walk->crypto_id = actions->crypto.crypto_id;
	}
	return true;
}
