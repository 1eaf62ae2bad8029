/* SPDX-License-Identifier: Apache-2.0 */
/* match.c: doca_flow_match as fields: which of them a mask names, and comparing. See read.c. */
#include <endian.h>
#include <string.h>

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

doca_error_t si_match_check(const struct doca_flow_match *value, const struct doca_flow_match *mask)
{
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

bool si_match_random(const struct doca_flow_match *mask)
{
	return mask->parser_meta.random != 0;
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

void si_match_fill(const struct doca_flow_match *pipe, const struct doca_flow_match *mask,
		   const struct doca_flow_match *entry, struct doca_flow_match *out)
{
	struct doca_flow_match filled = *pipe;

	for (size_t i = 0; entry != NULL && i < FIELDS; i++) {
		const struct field *field = &fields[i];

		if (named(mask, field->when) && any(at(mask, field), field->len, 0) &&
		    !any(at(pipe, field), field->len, 0xff))
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
