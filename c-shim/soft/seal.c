/* SPDX-License-Identifier: Apache-2.0 */
/* seal.c: a packet on its way to PSP packets: cut, each part with its headers, encapsulated and sealed. */
#include <stdatomic.h>

#include "../psp/seal.h"
#include "../common/csum.h"
#include "../common/net.h"
#include "outer.h"
#include "steps.h"

#define SOURCE_PORT_FIRST 49152u /* the dynamic range of RFC 6335: its top two bits */
#define SOURCE_PORT_BITS 0x3fffu
#define COPIED_MAX                                                                                 \
	512u /* octets of payload that are sealed sooner in one piece, where they go to */
#define HEADER_COPY                                                                                \
	32u /* octets, copied at once; whatever is behind the header is written after it */

_Static_assert(HEADER_COPY <= PSP_HEADER_LEN + SOFT_ENCAP_SLACK, "so much follows in encap_data");

/* ---- outer headers --------------------------------------------------------------------------- */

size_t soft_encap_octets(const struct psp_dp_actions *actions)
{
	return offsetof(struct soft_encap, data) + SOFT_ENCAP_SLACK +
	       (actions->encap_size <= SOFT_ENCAP_DATA_MAX ? actions->encap_size : 0u);
}

/* Are there a UDP and a PSP header at `off`, to the end of the data? */
static bool is_udp_psp(const struct soft_encap *encap, uint32_t off)
{
	const uint8_t *udp = encap->data + off;
	const uint8_t *psp = udp + NET_UDP_LEN;
	uint32_t psp_size;

	if (encap->size < off + NET_UDP_LEN + PSP_HEADER_LEN)
		return false;
	psp_size = encap->size - off - NET_UDP_LEN;
	if (psp_get16(udp + NET_UDP_DST) != PSP_UDP_PORT)
		return false;
	if ((psp[3] & PSP_FLAG_V) != 0 && psp_size < PSP_HEADER_LEN + PSP_VC_LEN)
		return false;
	return psp_size == 8u * (psp[1] + 1u);
}

/* Where the UDP header of a tunnel begins; 0: there is none. */
static uint32_t read_tunnel(struct soft_encap *encap)
{
	const uint8_t *ip = encap->data + NET_ETH_LEN;
	uint32_t sum;

	if (encap->size < NET_ETH_LEN + NET_IP4_LEN)
		return 0;
	switch (psp_get16(encap->data + NET_ETH_TYPE)) {
	case NET_TYPE_IPV4:
		if (ip[0] != 0x45 || ip[NET_IP4_PROTO] != NET_PROTO_UDP)
			return 0;
		sum = dp_csum_ip4_head(ip, NET_IP4_LEN);
		sum += 0xffffu - ip[NET_IP4_TOS];
		sum += 0xffffu - psp_get16(ip + NET_IP4_TOTAL);
		sum += 0xffffu - psp_get16(ip + NET_IP4_ID);
		sum += 0xffffu - psp_get16(ip + NET_IP4_CSUM);
		encap->ip4_sum = dp_csum_fold(sum);
		return NET_ETH_LEN + NET_IP4_LEN;
	case NET_TYPE_IPV6:
		if ((ip[0] >> 4) != 6 || ip[NET_IP6_NEXT] != NET_PROTO_UDP)
			return 0;
		encap->v6 = true;
		return NET_ETH_LEN + NET_IP6_LEN;
	default:
		return 0;
	}
}

void soft_encap_make(struct soft_encap *encap, const struct psp_dp_actions *actions)
{
	uint32_t udp = 0;

	memset(encap, 0, soft_encap_octets(actions));
	encap->path_mtu = actions->path_mtu;
	encap->net_type = actions->encap_net_type;
	encap->copy_dscp = (actions->flags & PSP_DP_ACTION_COPY_DSCP) != 0;
	if (actions->encap_size < NET_ETH_LEN || actions->encap_size > SOFT_ENCAP_DATA_MAX)
		return;
	encap->size = actions->encap_size;
	memcpy(encap->data, actions->encap_data, encap->size);
	if (encap->net_type == PSP_DP_NET_PSP_TUNNEL)
		udp = read_tunnel(encap);
	else if (encap->net_type == PSP_DP_NET_PSP_TRANSPORT)
		udp = NET_ETH_LEN;
	if (udp != 0 && is_udp_psp(encap, udp))
		encap->udp = (uint8_t)udp;
}

uint32_t soft_encap_overhead(const struct soft_encap *encap)
{
	/* Both modes: everything but Ethernet, and the ICV. */
	return (encap->size < NET_ETH_LEN ? 0 : encap->size - NET_ETH_LEN) + PSP_ICV_LEN;
}

static bool read_transport(const struct dp_packet *packet, struct soft_outer *outer)
{
	struct dp_ip ip;

	/* A PSP packet in transport mode carries a whole TCP or UDP packet, nothing else. */
	if (packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_TCP &&
	    packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP)
		return false;
	if (!dp_ip_read(packet->frame + packet->l3_off, packet->len - packet->l3_off, &ip))
		return false;
	outer->transport = true;
	outer->v6 = ip.v6;
	outer->next_off = packet->l3_off + ip.next_off;
	outer->next_header = ip.proto;
	outer->copy_off = packet->l4_off;
	outer->udp_off = packet->l4_off;
	return true;
}

bool soft_outer_read(const struct dp_packet *packet, struct soft_outer *outer)
{
	const struct soft_encap *encap = packet->encap;
	const uint8_t l3 = packet->fields.parser_meta_outer_l3_type;

	memset(outer, 0, sizeof(*outer));
	if (encap == NULL || encap->udp == 0 || (l3 != PSP_DP_L3_IPV4 && l3 != PSP_DP_L3_IPV6))
		return false;
	outer->encap = encap;
	outer->psp = encap->data + encap->udp + NET_UDP_LEN;
	outer->psp_size = (uint32_t)encap->size - encap->udp - NET_UDP_LEN;
	if (encap->net_type == PSP_DP_NET_PSP_TUNNEL) {
		outer->next_header = l3 == PSP_DP_L3_IPV6 ? PSP_NEXT_IPV6 : PSP_NEXT_IPV4;
		outer->copy_off = packet->l3_off;
		outer->udp_off = encap->udp;
		outer->v6 = encap->v6;
	} else if (!read_transport(packet, outer)) {
		return false;
	}
	outer->head_len = outer->udp_off + NET_UDP_LEN;
	return outer->head_len <= NET_HEAD_MAX;
}

/* RFC 6040, normal mode: the inner ECN field is copied outward; DSCP only by action. */
static uint8_t outer_tos(const struct soft_outer *outer, const struct dp_packet *packet)
{
	uint8_t inner = net_tos(packet->frame + packet->l3_off);
	uint8_t given = net_tos(outer->encap->data + NET_ETH_LEN);

	if (outer->encap->copy_dscp)
		return inner;
	return (uint8_t)((given & ~NET_ECN) | (inner & NET_ECN));
}

static void write_ip4(const struct soft_encap *encap, uint8_t *ip, uint8_t tos, uint16_t len,
		      uint16_t id)
{
	ip[NET_IP4_TOS] = tos;
	psp_put16(ip + NET_IP4_TOTAL, len);
	psp_put16(ip + NET_IP4_ID, id);
	psp_put16(ip + NET_IP4_CSUM,
		  (uint16_t)~dp_csum_fold((uint32_t)encap->ip4_sum + tos + len + id));
}

static void write_tunnel(const struct soft_outer *outer, const struct dp_packet *packet,
			 uint8_t *frame, uint32_t udp_len, uint16_t id, uint32_t hash)
{
	uint8_t *ip = frame + NET_ETH_LEN;
	uint8_t tos = outer_tos(outer, packet);
	uint32_t label;

	if (!outer->v6) {
		memcpy(frame, outer->encap->data, NET_ETH_LEN + NET_IP4_LEN + NET_UDP_LEN);
		write_ip4(outer->encap, ip, tos, (uint16_t)(NET_IP4_LEN + udp_len), id);
		return;
	}
	memcpy(frame, outer->encap->data, NET_ETH_LEN + NET_IP6_LEN + NET_UDP_LEN);
	label = psp_get32(ip) & NET_IP6_LABEL;
	if (label == 0)
		label = hash & NET_IP6_LABEL;
	psp_put32(ip, 0x60000000u | ((uint32_t)tos << 20) | label);
	psp_put16(ip + NET_IP6_PLEN, (uint16_t)udp_len);
}

static void write_transport(const struct soft_outer *outer, const struct dp_packet *packet,
			    uint8_t *frame, uint32_t udp_len, uint32_t first)
{
	uint8_t *ip = frame + NET_ETH_LEN;
	uint32_t ip_len = (uint32_t)packet->l4_off - packet->l3_off;

	memcpy(frame, outer->encap->data, NET_ETH_TYPE);
	psp_put16(frame + NET_ETH_TYPE, outer->v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	memcpy(ip, packet->frame + packet->l3_off, ip_len);
	memcpy(frame + outer->udp_off, outer->encap->data + NET_ETH_LEN, NET_UDP_LEN);
	frame[outer->next_off - packet->l3_off + NET_ETH_LEN] = NET_PROTO_UDP;
	dp_segment_ip(ip, ip_len + udp_len, first);
	if (!outer->v6)
		dp_csum_ipv4(ip);
}

void soft_outer_write(const struct soft_outer *outer, const struct dp_packet *packet,
		      uint8_t *frame, uint32_t udp_len, uint16_t id, uint32_t first, bool partial)
{
	uint8_t *udp = frame + outer->udp_off;
	uint32_t hash = packet->flow != 0 ? packet->flow : dp_flow_hash(packet);
	uint16_t csum = 0;

	if (outer->transport)
		write_transport(outer, packet, frame, udp_len, first);
	else
		write_tunnel(outer, packet, frame, udp_len, id, hash);
	if (psp_get16(udp + NET_UDP_SRC) == 0)
		psp_put16(udp + NET_UDP_SRC,
			  (uint16_t)(SOURCE_PORT_FIRST | (hash & SOURCE_PORT_BITS)));
	psp_put16(udp + NET_UDP_LENGTH, (uint16_t)udp_len);
	if (partial)
		csum = dp_csum_fold(dp_csum_pseudo(frame + NET_ETH_LEN, NET_PROTO_UDP, udp_len));
	psp_put16(udp + NET_UDP_CSUM, csum);
}

/* ---- packets --------------------------------------------------------------------------------- */

/* A packet on its way to PSP packets: `count` segments of `head` octets and at most `step` of the payload. */
struct cut {
	struct dp_packet *packet;
	struct soft_outer outer;
	const struct psp_crypto_backend *backend;
	struct psp_crypto *crypto;
	const struct soft_tx_key *key;
	uint32_t head;    /* octets from copy_off that each segment repeats */
	uint32_t step;    /* payload octets of each segment but the last */
	uint32_t payload; /* payload octets in all */
	uint32_t count;
	uint64_t first_iv;
	uint32_t l4_sum; /* pseudo-header without the length */
};

static uint32_t payload_of(const struct cut *cut, uint32_t segment)
{
	uint32_t off = segment * cut->step;

	return cut->payload - off < cut->step ? cut->payload - off : cut->step;
}

/* Octets of a segment as it stands in the UDP payload. */
static uint32_t slice_len(const struct cut *cut, uint32_t segment)
{
	return cut->outer.psp_size + cut->head + payload_of(cut, segment) + PSP_ICV_LEN;
}

static bool is_tcp(const struct dp_packet *packet)
{
	return packet->fields.parser_meta_outer_l4_type == PSP_DP_L4_TCP;
}

/* What every segment's pseudo-header sums to but for the length. */
static uint32_t pseudo_without_length(const struct dp_packet *packet)
{
	const uint8_t *l4 = packet->frame + packet->l4_off;
	const uint8_t *stored = l4 + (is_tcp(packet) ? NET_TCP_CSUM : NET_UDP_CSUM);
	uint32_t l4_len = packet->len - packet->l4_off;

	/* The partial sum knows the final destination behind a routing header; we do not. */
	if (packet->needs_csum)
		return psp_get16(stored) + (0xffffu - l4_len);
	return dp_csum_pseudo(packet->frame + packet->l3_off, packet->fields.outer_ip_proto, 0);
}

static bool prepare(struct cut *cut, struct dp_packet *packet, const struct soft_tx_key *key)
{
	const struct soft_outer *outer = &cut->outer;
	uint32_t version;

	if (!soft_outer_read(packet, &cut->outer))
		return false;
	cut->packet = packet;
	cut->key = key;
	cut->count = dp_segments(packet);
	cut->head = (uint32_t)packet->payload_off - outer->copy_off;
	cut->payload = packet->len - packet->payload_off;
	cut->step = cut->count > 1 ? packet->gso_size : cut->payload;
	version = (uint32_t)(outer->psp[3] >> PSP_VERSION_SHIFT) & PSP_VERSION_MASK;
	return version == key->version && psp_get32(outer->psp + 4) == key->spi;
}

static bool fits(const struct cut *cut, uint32_t max_ip)
{
	uint32_t ip = cut->outer.head_len - NET_ETH_LEN + slice_len(cut, 0);

	return ip <= max_ip && ip <= NET_SUPER_MAX - NET_ETH_LEN;
}

/* All or nothing, and never past the end even when the counter is at its own. */
static bool take_ivs(struct soft_tx_key *key, uint32_t count, uint64_t *first)
{
	uint64_t next = atomic_load_explicit(&key->next_iv, memory_order_relaxed);

	if (key->alone) {
		if (next == 0 || next > key->iv_last || key->iv_last - next < count - 1u)
			return false;
		atomic_store_explicit(&key->next_iv, next + count, memory_order_relaxed);
		*first = next;
		return true;
	}
	do {
		if (next == 0 || next > key->iv_last || key->iv_last - next < count - 1u)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&key->next_iv, &next, next + count, memory_order_relaxed, memory_order_relaxed));
	*first = next;
	return true;
}

/* Makes a copy of the super-frame's headers those of one segment. */
static void mend_segment(const struct cut *cut, uint8_t *copy, uint32_t segment)
{
	const struct dp_packet *packet = cut->packet;
	const uint8_t *payload = packet->frame + packet->payload_off + segment * cut->step;
	uint8_t *l4 = copy + (packet->l4_off - cut->outer.copy_off);
	uint32_t l4_head = (uint32_t)packet->payload_off - packet->l4_off, sum;
	uint32_t l4_len = l4_head + payload_of(cut, segment);
	uint32_t ip_len = (uint32_t)packet->l4_off - packet->l3_off;
	uint8_t *stored = l4 + NET_UDP_CSUM;
	uint16_t csum;

	if (!cut->outer.transport)
		dp_segment_ip(copy, ip_len + l4_len, segment);
	if (is_tcp(packet)) {
		dp_segment_tcp(l4, segment * cut->step, segment == 0, segment == cut->count - 1);
		stored = l4 + NET_TCP_CSUM;
	} else {
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)l4_len);
		if (!packet->needs_csum && psp_get16(stored) == 0)
			return; /* the sender does without */
	}
	psp_put16(stored, 0);
	/* Headers of TCP and UDP have whole words: the payload's begin where it does. */
	sum = dp_csum_add(cut->l4_sum + l4_len, l4, l4_head);
	csum = (uint16_t)~dp_csum_fold(dp_csum_add(sum, payload, l4_len - l4_head));
	psp_put16(stored, csum == 0 ? 0xffffu : csum);
}

/* A packet shorter than the crypt offset is authenticated to its end and has nothing left to encrypt. */
static uint8_t crypt_offset_of(const struct cut *cut, uint32_t segment)
{
	uint32_t words = (slice_len(cut, segment) - PSP_HEADER_LEN - PSP_ICV_LEN) / 4u;
	uint32_t offset = cut->outer.psp[2] & PSP_CRYPT_OFFSET_MASK;

	return (uint8_t)(offset < words ? offset : words);
}

static enum soft_seal_status sealed(int32_t status)
{
	if (status == PSP_DP_OK)
		return SOFT_SEAL_OK;
	return status == PSP_DP_EINVAL ? SOFT_SEAL_MALFORMED : SOFT_SEAL_FAILED;
}

static enum soft_seal_status seal_segment(const struct cut *cut, uint32_t segment, uint8_t *psp)
{
	const struct dp_packet *packet = cut->packet;
	const struct soft_outer *outer = &cut->outer;
	uint8_t *copy = psp + outer->psp_size;
	uint32_t len = payload_of(cut, segment);
	int32_t status;

	/* In nearly all packets the PSP header and what may follow it are the first 32 octets: no length to look at. */
	if (outer->psp_size <= HEADER_COPY)
		memcpy(psp, outer->psp, HEADER_COPY);
	else
		memcpy(psp, outer->psp, outer->psp_size);
	psp[0] = outer->next_header;
	psp[2] = (uint8_t)((psp[2] & ~PSP_CRYPT_OFFSET_MASK) | crypt_offset_of(cut, segment));
	if (dp_is_marked(packet, segment))
		psp[3] |= PSP_FLAG_S;
	psp_put64(psp + 8, cut->first_iv + segment);
	if (packet->gso == DP_GSO_NONE && len <= COPIED_MAX) {
		memcpy(copy, packet->frame + outer->copy_off, cut->head + len);
		status = psp_seal(cut->backend, cut->crypto, cut->key->aead, psp,
				  outer->psp_size + cut->head + len);
		return sealed(status);
	}
	memcpy(copy, packet->frame + outer->copy_off, cut->head);
	if (packet->gso != DP_GSO_NONE)
		mend_segment(cut, copy, segment);
	if (len <= COPIED_MAX) {
		memcpy(copy + cut->head, packet->frame + packet->payload_off + segment * cut->step,
		       len);
		status = psp_seal(cut->backend, cut->crypto, cut->key->aead, psp,
				  outer->psp_size + cut->head + len);
		return sealed(status);
	}
	status = psp_seal_from(cut->backend, cut->crypto, cut->key->aead, psp,
			       outer->psp_size + cut->head + len,
			       packet->frame + packet->payload_off + segment * cut->step, len);
	return sealed(status);
}

/* Seals segments first..first + n - 1 one after the other and sends them as one frame. */
static enum soft_seal_status seal_frame(const struct cut *cut, uint32_t first, uint32_t n,
					struct soft_out *out)
{
	const struct soft_outer *outer = &cut->outer;
	struct iovec part = {.iov_base = out->arena->at};
	struct soft_frame frame = {.parts = &part, .n_parts = 1};
	uint8_t *psp = out->arena->at + outer->head_len;
	enum soft_seal_status status;

	if (out->arena->left < DP_FRAME_MAX)
		return SOFT_SEAL_FAILED;
	for (uint32_t i = 0; i < n; i++) {
		status = seal_segment(cut, first + i, psp);
		if (status != SOFT_SEAL_OK)
			return status;
		psp += slice_len(cut, first + i);
	}
	frame.len = (uint32_t)(psp - out->arena->at);
	part.iov_len = frame.len;
	frame.l3_off = NET_ETH_LEN;
	frame.l4_off = (uint16_t)outer->udp_off;
	frame.payload_off = (uint16_t)outer->head_len;
	if (n > 1) {
		frame.gso = DP_GSO_UDP;
		frame.gso_size = (uint16_t)slice_len(cut, first);
		frame.needs_csum = true;
		frame.csum_start = frame.l4_off;
		frame.csum_offset = NET_UDP_CSUM;
	}
	soft_outer_write(outer, cut->packet, out->arena->at, frame.len - outer->udp_off,
			 (uint16_t)(cut->first_iv + first), first, n > 1);
	/* What cannot be sent is the port's to count: the other frames still may. */
	(void)out->send(out->arg, &frame);
	return SOFT_SEAL_OK;
}

/* How many segments from i on go into the next frame. */
static uint32_t next_frame(const struct cut *cut, uint32_t i, const struct soft_out *out)
{
	const uint32_t len = slice_len(cut, 0), left = cut->count - i;
	uint32_t n = (NET_SUPER_MAX - cut->outer.head_len) / len, room = 0;

	if (n > SOFT_SEGMENTS_MAX)
		n = SOFT_SEGMENTS_MAX;
	if (out->room != NULL)
		room = out->room(out->arg, len);
	if (room != 0 && room < n)
		n = room;
	return left < n ? left : n;
}

enum soft_seal_status soft_seal(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
				struct dp_packet *packet, struct soft_tx_key *key, uint32_t max_ip,
				struct soft_out *out)
{
	struct cut cut = {.backend = backend, .crypto = crypto};
	enum soft_seal_status status = SOFT_SEAL_OK;

	if (!prepare(&cut, packet, key))
		return SOFT_SEAL_MALFORMED;
	if (!fits(&cut, max_ip))
		return SOFT_SEAL_TOO_BIG;
	if (!take_ivs(key, cut.count, &cut.first_iv))
		return SOFT_SEAL_EXPIRED;
	if (packet->gso != DP_GSO_NONE)
		cut.l4_sum = pseudo_without_length(packet);
	else if (packet->needs_csum)
		dp_csum_complete(packet);

	(void)dp_flow(packet);
	if (cut.count == 1)
		return seal_frame(&cut, 0, 1, out);
	for (uint32_t i = 0, n; i < cut.count && status == SOFT_SEAL_OK; i += n) {
		n = next_frame(&cut, i, out);
		status = seal_frame(&cut, i, n, out);
	}
	return status;
}
