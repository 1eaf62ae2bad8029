/* SPDX-License-Identifier: Apache-2.0 */
/* match.c: doca_flow_match as fields: which of them a mask names, comparing, and what a packet has in them. */
#include <endian.h>
#include <string.h>

#include "../common/net.h"
#include "../psp/wire.h"
#include "standin.h"

/* Which part of a union, or which tunnel, must be named for a field to mean anything. */
enum when {
	ALWAYS,
	OUTER_IP4,
	OUTER_IP6,
	OUTER_PORTS,
	OUTER_TCP,
	OUTER_ICMP,
	INNER_IP4,
	INNER_IP6,
	INNER_PORTS,
	INNER_TCP,
	INNER_ICMP,
	PSP
};

struct field {
	uint16_t offset, len;
	enum when when;
};

#define FIELD(name, when)                                                                          \
	{                                                                                          \
		offsetof(struct doca_flow_match, name),                                            \
			sizeof(((struct doca_flow_match *)NULL)->name), when                       \
	}
#define HEADER(where, IP4, IP6, PORTS, TCP, ICMP)                                                  \
	FIELD(where.eth.src_mac, ALWAYS), FIELD(where.eth.dst_mac, ALWAYS),                        \
		FIELD(where.eth.type, ALWAYS), FIELD(where.ip4.src_ip, IP4),                       \
		FIELD(where.ip4.dst_ip, IP4), FIELD(where.ip4.next_proto, IP4),                    \
		FIELD(where.ip6.src_ip, IP6), FIELD(where.ip6.dst_ip, IP6),                        \
		FIELD(where.ip6.next_proto, IP6), FIELD(where.ip4.total_len, IP4),                 \
		FIELD(where.ip6.payload_len, IP6), FIELD(where.transport.src_port, PORTS),         \
		FIELD(where.transport.dst_port, PORTS), FIELD(where.tcp.flags, TCP),               \
		FIELD(where.icmp.type, ICMP), FIELD(where.icmp.code, ICMP)

static const struct field fields[] = {
	FIELD(meta.pkt_meta, ALWAYS),
	FIELD(meta.u32[0], ALWAYS),
	FIELD(meta.u32[1], ALWAYS),
	FIELD(meta.u32[2], ALWAYS),
	FIELD(meta.u32[3], ALWAYS),
	FIELD(meta.u32[4], ALWAYS),
	FIELD(meta.u32[5], ALWAYS),
	FIELD(meta.u32[6], ALWAYS),
	FIELD(meta.u32[7], ALWAYS),
	FIELD(meta.u32[8], ALWAYS),
	FIELD(meta.u32[9], ALWAYS),
	FIELD(parser_meta.port_id, ALWAYS),
	FIELD(parser_meta.random, ALWAYS),
	FIELD(parser_meta.psp_syndrome, ALWAYS),
	FIELD(parser_meta.outer_l3_ok, ALWAYS),
	FIELD(parser_meta.outer_ip4_checksum_ok, ALWAYS),
	FIELD(parser_meta.outer_l3_type, ALWAYS),
	FIELD(parser_meta.inner_l3_type, ALWAYS),
	FIELD(parser_meta.outer_l4_type, ALWAYS),
	HEADER(outer, OUTER_IP4, OUTER_IP6, OUTER_PORTS, OUTER_TCP, OUTER_ICMP),
	HEADER(inner, INNER_IP4, INNER_IP6, INNER_PORTS, INNER_TCP, INNER_ICMP),
	FIELD(tun.psp.nexthdr, PSP),
	FIELD(tun.psp.hdrextlen, PSP),
	FIELD(tun.psp.res_cryptofst, PSP),
	FIELD(tun.psp.s_d_ver_v, PSP),
	FIELD(tun.psp.spi, PSP),
	FIELD(tun.psp.iv, PSP),
	FIELD(tun.psp.vc, PSP),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static bool named(const struct doca_flow_match *mask, enum when when)
{
	switch (when) {
	case OUTER_IP4:
		return mask->outer.l3_type == DOCA_FLOW_L3_TYPE_IP4;
	case OUTER_IP6:
		return mask->outer.l3_type == DOCA_FLOW_L3_TYPE_IP6;
	case OUTER_PORTS:
		return si_is_ports(mask->outer.l4_type_ext);
	case OUTER_TCP:
		return mask->outer.l4_type_ext == DOCA_FLOW_L4_TYPE_EXT_TCP;
	case OUTER_ICMP:
		return si_is_icmp(mask->outer.l4_type_ext);
	case INNER_IP4:
		return mask->inner.l3_type == DOCA_FLOW_L3_TYPE_IP4;
	case INNER_IP6:
		return mask->inner.l3_type == DOCA_FLOW_L3_TYPE_IP6;
	case INNER_PORTS:
		return si_is_ports(mask->inner.l4_type_ext);
	case INNER_TCP:
		return mask->inner.l4_type_ext == DOCA_FLOW_L4_TYPE_EXT_TCP;
	case INNER_ICMP:
		return si_is_icmp(mask->inner.l4_type_ext);
	case PSP:
		return mask->tun.type == DOCA_FLOW_TUN_PSP;
	default:
		return true;
	}
}

static const uint8_t *at(const struct doca_flow_match *match, const struct field *field)
{
	return (const uint8_t *)match + field->offset;
}

static uint8_t *to(struct doca_flow_match *match, const struct field *field)
{
	return (uint8_t *)match + field->offset;
}

static bool any(const uint8_t *octets, size_t len, uint8_t than)
{
	for (size_t i = 0; i < len; i++) {
		if (octets[i] != than)
			return true;
	}
	return false;
}

/* ---- checking -------------------------------------------------------------------------------- */

/* Some octet of the header is set, and nothing says which kind of header it is. */
static bool blind(const void *header, size_t len, bool is_named)
{
	return !is_named && any(header, len, 0);
}

#define BEHIND(format, first, behind)                                                              \
	&(format)->first, offsetof(struct doca_flow_header_format, behind) -                       \
				  offsetof(struct doca_flow_header_format, first)

static bool format_blind(const struct doca_flow_header_format *mask)
{
	return blind(BEHIND(mask, ip4, l4_type_ext), mask->l3_type != DOCA_FLOW_L3_TYPE_NONE) ||
	       blind(&mask->icmp, sizeof(*mask) - offsetof(struct doca_flow_header_format, icmp),
		     mask->l4_type_ext != DOCA_FLOW_L4_TYPE_EXT_NONE);
}

/* In a mask a type of all ones stands for the type in the value. */
static void settle_type(uint32_t value, uint32_t *mask)
{
	if (*mask == UINT32_MAX)
		*mask = value;
}

/* A header whose version parser_meta says, and the match does not. */
static void settle_l3(enum doca_flow_l3_meta meta, enum doca_flow_l3_type *value,
		      enum doca_flow_l3_type *mask)
{
	if (*mask != DOCA_FLOW_L3_TYPE_NONE)
		return;
	if (meta == DOCA_FLOW_L3_META_IPV4)
		*mask = DOCA_FLOW_L3_TYPE_IP4;
	else if (meta == DOCA_FLOW_L3_META_IPV6)
		*mask = DOCA_FLOW_L3_TYPE_IP6;
	*value = *mask;
}

static void settle(struct si_match *match)
{
	struct doca_flow_match *value = &match->value, *mask = &match->mask;
	uint32_t types[4] = {mask->outer.l3_type, mask->inner.l3_type, mask->outer.l4_type_ext,
			     mask->inner.l4_type_ext};

	settle_type(value->outer.l3_type, &types[0]);
	settle_type(value->inner.l3_type, &types[1]);
	settle_type(value->outer.l4_type_ext, &types[2]);
	settle_type(value->inner.l4_type_ext, &types[3]);
	mask->outer.l3_type = (enum doca_flow_l3_type)types[0];
	mask->inner.l3_type = (enum doca_flow_l3_type)types[1];
	mask->outer.l4_type_ext = (enum doca_flow_l4_type_ext)types[2];
	mask->inner.l4_type_ext = (enum doca_flow_l4_type_ext)types[3];
	settle_l3(value->parser_meta.outer_l3_type, &value->outer.l3_type, &mask->outer.l3_type);
	settle_l3(value->parser_meta.inner_l3_type, &value->inner.l3_type, &mask->inner.l3_type);
}

/* Without a mask what is not 0 is matched whole. */
static void imply(const struct doca_flow_match *value, struct doca_flow_match *mask)
{
	memset(mask, 0, sizeof(*mask));
	mask->outer.l3_type = value->outer.l3_type;
	mask->outer.l4_type_ext = value->outer.l4_type_ext;
	mask->inner.l3_type = value->inner.l3_type;
	mask->inner.l4_type_ext = value->inner.l4_type_ext;
	mask->tun.type = value->tun.type;
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *field = &fields[i];

		if (named(mask, field->when) && any(at(value, field), field->len, 0))
			memset(to(mask, field), 0xff, field->len);
	}
}

static doca_error_t check(const struct si_match *match)
{
	const struct doca_flow_match *value = &match->value, *mask = &match->mask;

	if (format_blind(&mask->outer) || format_blind(&mask->inner) ||
	    blind(&mask->tun.psp, sizeof(mask->tun.psp), mask->tun.type == DOCA_FLOW_TUN_PSP))
		return DOCA_ERROR_INVALID_VALUE;
	if (value->outer.l3_type != mask->outer.l3_type ||
	    value->inner.l3_type != mask->inner.l3_type || value->tun.type != mask->tun.type)
		return DOCA_ERROR_INVALID_VALUE;
	/* A value that the mask does not look at is a mistake, not a wish. */
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *field = &fields[i];

		if (named(mask, field->when) && !any(at(mask, field), field->len, 0) &&
		    any(at(value, field), field->len, 0))
			return DOCA_ERROR_INVALID_VALUE;
	}
	return DOCA_SUCCESS;
}

doca_error_t si_match_set(const struct doca_flow_match *value, const struct doca_flow_match *mask,
			  struct si_match *out)
{
	out->value = *value;
	if (mask != NULL)
		out->mask = *mask;
	else
		imply(value, &out->mask);
	settle(out);
	return si_strict(DOCA_STANDIN_NAMED) ? check(out) : DOCA_SUCCESS;
}

/* ---- values ---------------------------------------------------------------------------------- */

void si_match_mask(const struct doca_flow_match *value, const struct doca_flow_match *mask,
		   struct doca_flow_match *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *field = &fields[i];

		for (uint16_t j = 0; named(mask, field->when) && j < field->len; j++)
			to(out, field)[j] = at(value, field)[j] & at(mask, field)[j];
	}
}

void si_match_fill(const struct si_match *pipe, const struct doca_flow_match *entry,
		   struct doca_flow_match *out)
{
	const struct doca_flow_match *mask = &pipe->mask;
	struct doca_flow_match filled = pipe->value;

	for (size_t i = 0; entry != NULL && i < FIELDS; i++) {
		const struct field *field = &fields[i];

		if (named(mask, field->when) && any(at(mask, field), field->len, 0) &&
		    !any(at(&pipe->value, field), field->len, 0xff))
			memcpy(to(&filled, field), at(entry, field), field->len);
	}
	si_match_mask(&filled, mask, out);
}

bool si_match_same(const struct doca_flow_match *a, const struct doca_flow_match *b)
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (memcmp(at(a, &fields[i]), at(b, &fields[i]), fields[i].len) != 0)
			return false;
	}
	return true;
}

uint32_t si_match_hash(const struct doca_flow_match *match)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < FIELDS; i++) {
		for (uint16_t j = 0; j < fields[i].len; j++)
			hash = (hash ^ at(match, &fields[i])[j]) * 16777619u;
	}
	return hash ^ hash >> 16;
}

/* ---- packets --------------------------------------------------------------------------------- */

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
	all.parser_meta.outer_l3_ok = from->parser_meta_outer_l3_type != 0;
	all.parser_meta.outer_ip4_checksum_ok = from->parser_meta_outer_l3_type == PSP_DP_L3_IPV4;
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
