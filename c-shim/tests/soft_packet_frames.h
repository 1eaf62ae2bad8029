/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_packet_frames.h: frames by description, encap_data, and a collector for what a step sends. Its
 * checksums are computed octet by octet, so that they check those of the plane.
 */
#ifndef PSP_SOFT_PACKET_FRAMES_H
#define PSP_SOFT_PACKET_FRAMES_H

#include <stdlib.h>

#include "../soft/steps.h"
#include "ports.h"
#include "soft_packet_rule.h"
#include "test.h"

#define ETH 14u
#define BUF_LEN (DP_HEADROOM + DP_FRAME_MAX + 64u)

/* A frame to be made. Zeroes are a plain IPv4 TCP packet without payload. */
struct frame_spec {
	bool v6;
	uint8_t proto;   /* 0: TCP */
	uint8_t options; /* octets of IPv4 options or of an IPv6 destination options header */
	uint8_t tos;
	uint8_t flags;     /* TCP; 0: ACK */
	uint8_t tcp_opts;  /* octets of TCP options */
	uint16_t dst_port; /* 0: 5001 */
	uint16_t frag;     /* IPv4 fragment word, or 1: an IPv6 fragment header */
	uint16_t id;
	uint32_t seq;
	uint32_t payload;
	uint16_t gso_size; /* 0: no super-frame */
	bool partial;      /* leave the checksum partial */
};

/* RFC 1071, straight from its first page. */
static inline uint32_t naive_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += (i & 1) != 0 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* The sum over pseudo-header and L4: 0xffff when the checksum is right. */
static inline uint32_t naive_l4(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t len)
{
	uint32_t sum = naive_sum(l4, len) + proto + len;

	sum += (ip[0] >> 4) == 6 ? naive_sum(ip + 8, 32) : naive_sum(ip + 12, 8);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline uint8_t payload_octet(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
}

static inline void put_v4_csum(uint8_t *ip)
{
	psp_put16(ip + 10, 0);
	psp_put16(ip + 10, (uint16_t)~naive_sum(ip, (ip[0] & 15u) * 4u));
}

static inline uint32_t put_ip(uint8_t *ip, const struct frame_spec *spec, uint8_t proto,
			      uint32_t l4_len)
{
	uint32_t len = 20u + spec->options;

	if (!spec->v6) {
		memset(ip, 1, len); /* options: NOPs */
		ip[0] = (uint8_t)(0x40 | len / 4);
		ip[1] = spec->tos;
		psp_put16(ip + 2, (uint16_t)(len + l4_len));
		psp_put16(ip + 4, spec->id);
		psp_put16(ip + 6, spec->frag);
		ip[8] = 64;
		ip[9] = proto;
		psp_put32(ip + 12, 0x0a000001);
		psp_put32(ip + 16, 0x0a000002);
		put_v4_csum(ip);
		return len;
	}
	len = 40;
	memset(ip, 0, 40);
	psp_put32(ip, 0x60000000u | ((uint32_t)spec->tos << 20) | 0x54321u);
	ip[6] = proto;
	ip[7] = 64;
	ip[8] = 0xfd;
	ip[23] = 1;
	ip[24] = 0xfd;
	ip[39] = 2;
	if (spec->options != 0) {
		memset(ip + len, 0, spec->options); /* Pad1 */
		ip[6] = 60;
		ip[len] = proto;
		ip[len + 1] = (uint8_t)(spec->options / 8 - 1);
		len += spec->options;
	}
	if (spec->frag != 0) {
		memset(ip + len, 0, 8);
		ip[spec->options != 0 ? 40 : 6] = 44;
		ip[len] = proto;
		ip[len + 3] = 1;
		len += 8;
	}
	psp_put16(ip + 4, (uint16_t)(len - 40 + l4_len));
	return len;
}

/* Makes the frame in buf behind DP_HEADROOM; *packet is not parsed. */
static inline void make_frame(struct dp_packet *packet, uint8_t *buf, const struct frame_spec *spec)
{
	uint8_t proto = spec->proto != 0 ? spec->proto : 6;
	uint32_t header = proto == 6 ? 20u + spec->tcp_opts : 8u;
	uint32_t at = proto == 6 ? 16 : (proto == 17 ? 6 : 2), l4_len = header + spec->payload;
	uint8_t *frame = buf + DP_HEADROOM, *l4;
	uint32_t sum;

	memset(packet, 0, sizeof(*packet));
	memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	psp_put16(frame + 12, spec->v6 ? 0x86dd : 0x0800);
	l4 = frame + ETH + put_ip(frame + ETH, spec, proto, l4_len);
	memset(l4, 0, header);
	psp_put16(l4, 40000);
	psp_put16(l4 + 2, spec->dst_port != 0 ? spec->dst_port : 5001);
	if (proto == 6) {
		psp_put32(l4 + 4, spec->seq);
		psp_put32(l4 + 8, 0x01020304);
		l4[12] = (uint8_t)(header / 4 << 4);
		l4[13] = spec->flags != 0 ? spec->flags : 0x10;
		psp_put16(l4 + 14, 501);
		memset(l4 + 20, 1, spec->tcp_opts);
	} else if (proto == 17) {
		psp_put16(l4 + 4, (uint16_t)l4_len);
	} else {
		psp_put16(l4, 0x0800);
	}
	for (uint32_t i = 0; i < spec->payload; i++)
		l4[header + i] = payload_octet(i);
	if (spec->partial)
		sum = naive_l4(frame + ETH, proto, l4, 0) + l4_len;
	else
		sum = proto == 1 ? (uint16_t)~naive_sum(l4, l4_len)
				 : (uint16_t)~naive_l4(frame + ETH, proto, l4, l4_len);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	psp_put16(l4 + at, (uint16_t)sum);
	packet->frame = frame;
	packet->len = (uint32_t)(l4 - frame) + l4_len;
	packet->port = PSP_DP_PORT_HOST;
	packet->handle = HOST;
	if (spec->partial) {
		packet->needs_csum = true;
		packet->csum_start = (uint16_t)(l4 - frame);
		packet->csum_offset = (uint16_t)at;
	}
	if (spec->gso_size != 0) {
		packet->gso = proto == 17 ? DP_GSO_UDP : (spec->v6 ? DP_GSO_TCP6 : DP_GSO_TCP4);
		packet->gso_size = spec->gso_size;
	}
}

/* encap_data to be made. */
struct encap_spec {
	bool transport;
	bool v6;
	uint8_t version;
	bool vc;
	uint8_t crypt_offset;
	uint8_t tos;
	uint16_t src_port; /* 0: by flow hash */
	uint32_t label;
};

#define TEST_SPI 0x12345678u
#define TEST_VC 0x1122334455667788u

static inline void make_encap(struct psp_dp_actions *actions, const struct encap_spec *spec)
{
	uint8_t *at = actions->encap_data;

	memset(actions, 0, sizeof(*actions));
	actions->size = sizeof(*actions);
	actions->flags = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT;
	actions->encap_net_type =
		spec->transport ? PSP_DP_NET_PSP_TRANSPORT : PSP_DP_NET_PSP_TUNNEL;
	memcpy(actions->eth_dst, "\x02\0\0\0\0\x05", 6);
	memcpy(actions->eth_src, "\x02\0\0\0\0\x06", 6);
	memcpy(at, "\x02\0\0\0\0\x03\x02\0\0\0\0\x04", 12);
	psp_put16(at + 12, spec->v6 ? 0x86dd : 0x0800);
	at += 14;
	if (!spec->transport && spec->v6) {
		psp_put32(at, 0x60000000u | ((uint32_t)spec->tos << 20) | spec->label);
		at[6] = 17;
		at[7] = 50;
		memset(at + 8, 0xfc, 32);
		at += 40;
	} else if (!spec->transport) {
		at[0] = 0x45;
		at[1] = spec->tos;
		at[6] = 0x40;
		at[8] = 50;
		at[9] = 17;
		psp_put32(at + 12, 0xc0a80001);
		psp_put32(at + 16, 0xc0a80002);
		at += 20;
	}
	psp_put16(at, spec->src_port);
	psp_put16(at + 2, PSP_UDP_PORT);
	at += 8;
	at[1] = spec->vc ? 2 : 1;
	at[2] = spec->crypt_offset;
	at[3] = (uint8_t)(spec->version << 2 | 1 | (spec->vc ? 2 : 0));
	psp_put32(at + 4, TEST_SPI);
	at += 16;
	if (spec->vc) {
		psp_put64(at, TEST_VC);
		at += 8;
	}
	actions->encap_size = (uint16_t)(at - actions->encap_data);
}

/* What a step has sent, frame by frame, each in a buffer of its own. */
#define SENT_MAX 256u
struct sent {
	uint32_t count;
	struct dp_packet packets[SENT_MAX];
	uint8_t *bufs[SENT_MAX];
	uint32_t parts[SENT_MAX]; /* of the frame as it lay in memory */
};

/* As the packet that would be received, if nobody cut it. */
static inline void flatten(const struct soft_frame *frame, uint8_t *to, struct dp_packet *packet)
{
	*packet = (struct dp_packet){.frame = to,
				     .len = frame->len,
				     .l3_off = frame->l3_off,
				     .l4_off = frame->l4_off,
				     .payload_off = frame->payload_off,
				     .gso = frame->gso,
				     .gso_size = frame->gso_size,
				     .needs_csum = frame->needs_csum,
				     .csum_start = frame->csum_start,
				     .csum_offset = frame->csum_offset};
	for (uint32_t i = 0; i < frame->n_parts; i++) {
		memcpy(to, frame->parts[i].iov_base, frame->parts[i].iov_len);
		to += frame->parts[i].iov_len;
	}
}

static inline int32_t collect(void *arg, const struct soft_frame *frame)
{
	struct sent *sent = arg;
	uint8_t *buf;
	size_t len = 0;

	for (uint32_t i = 0; i < frame->n_parts; i++)
		len += frame->parts[i].iov_len;
	/* Headers in one piece, and all the octets that it says. */
	if (len != frame->len || frame->parts[0].iov_len < frame->payload_off)
		return PSP_DP_EINVAL;
	if (sent->count == SENT_MAX)
		return PSP_DP_ENOSPC;
	/* To the octet at its end, so that a sanitizer sees what reads past it. */
	buf = malloc(DP_HEADROOM + len);
	if (buf == NULL)
		return PSP_DP_ENOMEM;
	flatten(frame, buf + DP_HEADROOM, &sent->packets[sent->count]);
	sent->parts[sent->count] = frame->n_parts;
	sent->bufs[sent->count++] = buf;
	return PSP_DP_OK;
}

static inline void sent_clear(struct sent *sent)
{
	for (uint32_t i = 0; i < sent->count; i++)
		free(sent->bufs[i]);
	sent->count = 0;
}

#endif
