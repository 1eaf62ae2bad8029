/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* secure_getenv */
/* trace.c: the lines of the record, and matches as text for them. */
#include "trace.h"

#include <endian.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void dpu_trace_open(struct dpu_trace *trace)
{
	const char *name = secure_getenv("PSP_DOCA_TRACE");

	pthread_mutex_init(&trace->lock, NULL);
	trace->file = name != NULL && name[0] != 0 ? fopen(name, "ae") : NULL;
}

void dpu_trace_close(struct dpu_trace *trace)
{
	if (trace->file != NULL)
		(void)fclose(trace->file);
	trace->file = NULL;
	pthread_mutex_destroy(&trace->lock);
}

doca_error_t dpu_trace(struct dpu_trace *trace, doca_error_t result, const char *format, ...)
{
	va_list args;

	if (trace->file == NULL)
		return result;
	pthread_mutex_lock(&trace->lock);
	va_start(args, format);
	(void)vfprintf(trace->file, format, args);
	va_end(args);
	(void)fprintf(trace->file, " -> %s\n",
		      result == DOCA_SUCCESS ? "ok" : doca_error_get_name(result));
	/* The last line before a crash is the one that is wanted. */
	(void)fflush(trace->file);
	pthread_mutex_unlock(&trace->lock);
	return result;
}

struct text {
	char *at;
	uint32_t left;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	if (n < 0 || (uint32_t)n >= text->left)
		n = text->left > 0 ? (int)text->left - 1 : 0;
	text->at += n;
	text->left -= (uint32_t)n;
}

static void add_number(struct text *text, const char *name, uint64_t mask, uint64_t value,
		       bool with_value)
{
	if (mask != 0 && with_value)
		add(text, "%s=0x%" PRIx64 ",", name, value);
	else if (mask != 0)
		add(text, "%s,", name);
}

static void add_ip6(struct text *text, const char *name, const doca_be32_t mask[4],
		    const doca_be32_t value[4], bool with_value)
{
	if ((mask[0] | mask[1] | mask[2] | mask[3]) == 0)
		return;
	if (!with_value) {
		add(text, "%s,", name);
		return;
	}
	add(text, "%s=%08x:%08x:%08x:%08x,", name, be32toh(value[0]), be32toh(value[1]),
	    be32toh(value[2]), be32toh(value[3]));
}

static void add_header(struct text *text, const char *where,
		       const struct doca_flow_header_format *value,
		       const struct doca_flow_header_format *mask, bool with_value)
{
	char name[32];

#define NUMBER(field, text_name, swap)                                                             \
	(void)snprintf(name, sizeof(name), "%s.%s", where, text_name);                             \
	add_number(text, name, mask->field, swap(value->field), with_value)
/* With the mask: lengths are matched by their upper bits. */
#define MASKED(field, text_name)                                                                   \
	if (mask->field != 0)                                                                      \
	add(text, "%s.%s=0x%x/0x%x,", where, text_name, be16toh(value->field), be16toh(mask->field))
	NUMBER(eth.type, "eth.type", be16toh);
	if (mask->l3_type == DOCA_FLOW_L3_TYPE_IP4) {
		NUMBER(ip4.src_ip, "ip4.src", be32toh);
		NUMBER(ip4.dst_ip, "ip4.dst", be32toh);
		NUMBER(ip4.next_proto, "ip4.proto", );
		MASKED(ip4.total_len, "ip4.len");
	} else if (mask->l3_type == DOCA_FLOW_L3_TYPE_IP6) {
		(void)snprintf(name, sizeof(name), "%s.ip6.src", where);
		add_ip6(text, name, mask->ip6.src_ip, value->ip6.src_ip, with_value);
		(void)snprintf(name, sizeof(name), "%s.ip6.dst", where);
		add_ip6(text, name, mask->ip6.dst_ip, value->ip6.dst_ip, with_value);
		NUMBER(ip6.next_proto, "ip6.proto", );
		MASKED(ip6.payload_len, "ip6.len");
	}
	if (mask->l4_type_ext == DOCA_FLOW_L4_TYPE_EXT_ICMP ||
	    mask->l4_type_ext == DOCA_FLOW_L4_TYPE_EXT_ICMP6) {
		NUMBER(icmp.type, "icmp.type", );
	} else if (mask->l4_type_ext != DOCA_FLOW_L4_TYPE_EXT_NONE) {
		NUMBER(transport.src_port, "port.src", be16toh);
		NUMBER(transport.dst_port, "port.dst", be16toh);
		if (mask->l4_type_ext == DOCA_FLOW_L4_TYPE_EXT_TCP) {
			NUMBER(tcp.flags, "tcp.flags", );
		}
	}
#undef NUMBER
#undef MASKED
}

const char *dpu_trace_match(const struct doca_flow_match *value, const struct doca_flow_match *mask,
			    char *buf, uint32_t cap)
{
	struct text text = {.at = buf, .left = cap};
	bool with_value = value != NULL;
	char name[32];

	if (!with_value)
		value = mask;
	buf[0] = 0;
#define NUMBER(field, swap)                                                                        \
	add_number(&text, #field, (uint64_t)mask->field, (uint64_t)swap(value->field), with_value)
	NUMBER(parser_meta.port_id, );
	NUMBER(parser_meta.random, be16toh);
	NUMBER(parser_meta.psp_syndrome, );
	NUMBER(parser_meta.outer_l3_type, );
	NUMBER(parser_meta.outer_l4_type, );
	NUMBER(parser_meta.inner_l3_type, );
	NUMBER(meta.pkt_meta, be32toh);
	for (uint32_t i = 0; i < DOCA_FLOW_META_SCRATCH_PAD_MAX; i++) {
		(void)snprintf(name, sizeof(name), "meta.u32.%u", i);
		add_number(&text, name, mask->meta.u32[i], be32toh(value->meta.u32[i]), with_value);
	}
	add_header(&text, "outer", &value->outer, &mask->outer, with_value);
	add_header(&text, "inner", &value->inner, &mask->inner, with_value);
	if (mask->tun.type == DOCA_FLOW_TUN_PSP) {
		NUMBER(tun.psp.spi, be32toh);
		NUMBER(tun.psp.nexthdr, );
		NUMBER(tun.psp.hdrextlen, );
		NUMBER(tun.psp.res_cryptofst, );
		NUMBER(tun.psp.s_d_ver_v, );
		NUMBER(tun.psp.vc, be64toh);
	}
#undef NUMBER
	return buf[0] != 0 ? buf : "-";
}
