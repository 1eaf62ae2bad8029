/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: what the poll thread tells the agent of a packet: exceptions, bad packets, samples. */
#include <string.h>

#include "../psp/wire.h"
#include "../common/net.h"
#include "dpu.h"

static void count(struct psp_dp *dp, const struct dp_packet *packet, enum dp_counter counter)
{
	dp_count_own(&dp->base.counters, packet->reader, counter, 1);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What of a packet is told. */
struct telling {
	const struct psp_dp_event *event;
	const uint8_t *data;
	uint32_t len;
	enum dp_counter lost; /* where there is no room */
};

static void push(struct psp_dp *dp, const struct dp_packet *packet, const struct telling *telling)
{
	if (!dp_events_push(&dp->base.events, telling->event, telling->data, telling->len))
		count(dp, packet, telling->lost);
}

static struct dp_port *port_of(const struct psp_dp *dp, const struct dp_packet *packet)
{
	return &dpu_port(dp, dp_port_slot(packet->handle))->base;
}

void dpu_report_exception(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe)
{
	struct psp_dp_event event;

	if (!dp_gate_pass(&port_of(dp, packet)->exceptions, packet->frame + 6, dp_now_ns())) {
		count(dp, packet, DP_EXCEPTIONS_LIMITED);
		return;
	}
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_EXCEPTION;
	event.packet_len = packet->len;
	push(dp, packet,
	     &(struct telling){.event = &event,
			       .data = packet->frame,
			       .len = least(packet->len, DP_EXCEPTION_BYTES),
			       .lost = DP_EXCEPTIONS_LOST});
	count(dp, packet, DP_EXCEPTIONS);
}

void dpu_report_syndrome(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe,
			 uint32_t syndrome)
{
	struct psp_dp_event event;

	if (!dp_limit_allows(&dp->readers[packet->reader].syndromes, packet->fields.tun_psp_spi,
			     dp_now_ns()))
		return;
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_SYNDROME;
	event.syndrome = (uint8_t)syndrome;
	event.packet_len = packet->len - packet->l3_off;
	push(dp, packet, &(struct telling){.event = &event, .lost = DP_SYNDROMES_LOST});
}

/*
 * Samples have their outer header and PSP header, in clear: on the way out they are copied before encryption, on the
 * way in after decryption. The event has the tenant's packet. Returns where that starts and, in *ip, whether it is
 * an IP packet of its own (tunnel) or the packet itself with UDP and PSP in between (transport).
 */
static uint32_t inner_of(const struct dp_packet *packet, bool *ip)
{
	const uint8_t *psp = packet->frame + packet->payload_off;
	uint32_t room = packet->len - packet->payload_off, size;

	*ip = false;
	if (packet->fields.tun_psp_spi == 0 || room < PSP_HEADER_LEN)
		return packet->l3_off;
	size = 8u + 8u * psp[1];
	if (size < PSP_HEADER_LEN || size >= room)
		return packet->l3_off;
	*ip = psp[0] == PSP_NEXT_IPV4 || psp[0] == PSP_NEXT_IPV6;
	return *ip ? packet->payload_off + size : packet->l3_off;
}

/* The addresses of the tenant's packet, and its length by its own header: behind it stands the ICV. */
static uint32_t read_inner(const uint8_t *ip, uint32_t room, struct psp_dp_event *event)
{
	if (room >= NET_IP4_LEN && ip[0] >> 4 == 4) {
		net_map_v4(event->src, ip + NET_IP4_SRC);
		net_map_v4(event->dst, ip + NET_IP4_DST);
		return least(room, psp_get16(ip + NET_IP4_TOTAL));
	}
	if (room >= NET_IP6_LEN && ip[0] >> 4 == 6) {
		memcpy(event->src, ip + NET_IP6_SRC, 16);
		memcpy(event->dst, ip + NET_IP6_DST, 16);
		return least(room, NET_IP6_LEN + psp_get16(ip + NET_IP6_PLEN));
	}
	return room;
}

void dpu_report_sample(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe)
{
	bool ip;
	uint32_t from = inner_of(packet, &ip), len = packet->len - from;
	struct psp_dp_event event;

	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_SAMPLE;
	if (ip)
		len = read_inner(packet->frame + from, len, &event);
	event.packet_len = len;
	count(dp, packet, DP_SAMPLES);
	push(dp, packet,
	     &(struct telling){.event = &event,
			       .data = packet->frame + from,
			       .len = least(len, dp->base.config.sample_bytes),
			       .lost = DP_SAMPLES_LOST});
}
