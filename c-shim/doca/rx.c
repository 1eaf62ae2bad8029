/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rx.c: packets that hardware sends to the CPU, told apart by their mark. A received buffer is ours until it is freed
 * here: what is held is a copy, so a flood of misses is bounded by the hold and never empties the pool.
 */
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <string.h>

#include "../psp/wire.h"
#include "../common/net.h"
#include "dpu.h"
#include "mark.h"
#include "nic.h"

#define BURST_MAX 64u

static void count(struct psp_dp *dp, enum dp_counter counter)
{
	dp_count_own(&dp->base.counters, 0, counter, 1);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void push(struct psp_dp *dp, const struct psp_dp_event *event, const uint8_t *data,
		 uint32_t len, enum dp_counter lost)
{
	if (!dp_events_push(&dp->base.events, event, data, len))
		count(dp, lost);
}

static void report_exception(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe)
{
	struct psp_dp_event event;

	if (!dp_gate_pass(&dpu_port(dp, packet->port)->exceptions, packet->frame + 6,
			  dp_now_ns())) {
		count(dp, DP_EXCEPTIONS_LIMITED);
		return;
	}
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_EXCEPTION;
	event.packet_len = packet->len;
	push(dp, &event, packet->frame, least(packet->len, DP_EXCEPTION_BYTES), DP_EXCEPTIONS_LOST);
	count(dp, DP_EXCEPTIONS);
}

static void report_syndrome(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe,
			    uint32_t syndrome)
{
	struct psp_dp_event event;

	if (!dp_limit_allows(&dp->syndromes, packet->fields.tun_psp_spi, dp_now_ns()))
		return;
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_SYNDROME;
	event.syndrome = (uint8_t)syndrome;
	event.packet_len = packet->len - packet->l3_off;
	push(dp, &event, NULL, 0, DP_SYNDROMES_LOST);
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

static void report_sample(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe)
{
	bool ip;
	uint32_t from = inner_of(packet, &ip), len = packet->len - from;
	struct psp_dp_event event;

	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_SAMPLE;
	if (ip)
		len = read_inner(packet->frame + from, len, &event);
	event.packet_len = len;
	count(dp, DP_SAMPLES);
	push(dp, &event, packet->frame + from, least(len, dp->base.config.sample_bytes),
	     DP_SAMPLES_LOST);
}

/* By its mark; a packet whose pipe is gone, or that no pipe of ours sent, ends here. */
static void handle(struct psp_dp *dp, uint32_t mark, struct dp_packet *packet)
{
	uint32_t argument = dpu_mark_argument(mark);
	uint32_t pipe =
		atomic_load_explicit(&dp->pipe_ids[dpu_mark_pipe(mark)], memory_order_acquire);
	bool from_host = dpu_mark_kind(mark) != DPU_MARK_SYNDROME &&
			 (dpu_mark_kind(mark) == DPU_MARK_SAMPLE ? argument != 0
								 : argument == PSP_DP_PORT_HOST);

	packet->port = from_host ? PSP_DP_PORT_HOST : PSP_DP_PORT_UPLINK;
	packet->handle = (uint16_t)(packet->port + 1u);
	if (!dp_parse(packet)) {
		count(dp, from_host ? DP_HOST_MALFORMED : DP_UPLINK_MALFORMED);
		return;
	}
	if (pipe == 0) {
		count(dp, from_host ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
		return;
	}
	switch (dpu_mark_kind(mark)) {
	case DPU_MARK_MISS:
		/* Only what came from the host waits: it is clear text as it was, and can be sent again. */
		if (!from_host || packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE)
			count(dp, from_host ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
		else
			dp_hold_add(&dp->base.hold, pipe, packet, &dpu_port(dp, packet->port)->hold,
				    dp_now_ns());
		break;
	case DPU_MARK_INSPECT:
		if (dpu_inspect(dp, pipe, packet))
			dpu_tx_resubmit(dp, pipe, packet);
		break;
	case DPU_MARK_EXCEPTION:
		report_exception(dp, packet, pipe);
		break;
	case DPU_MARK_SAMPLE:
		report_sample(dp, packet, pipe);
		break;
	case DPU_MARK_SYNDROME:
		report_syndrome(dp, packet, pipe, argument);
		break;
	default:
		count(dp, DP_DROP_PIPE);
		break;
	}
}

static uint32_t mark_of(struct rte_mbuf *mbuf)
{
	return (mbuf->ol_flags & rte_flow_dynf_metadata_mask) != 0
		       ? rte_flow_dynf_metadata_get(mbuf)
		       : 0;
}

/* A tag that the workload's port or the uplink left on is not part of what the agent sees. */
static void strip_tag(uint8_t **frame, uint32_t *len)
{
	if (*len < NET_ETH_LEN + NET_VLAN_LEN || psp_get16(*frame + NET_ETH_TYPE) != NET_TYPE_VLAN)
		return;
	memmove(*frame + NET_VLAN_LEN, *frame, NET_ETH_TYPE);
	*frame += NET_VLAN_LEN;
	*len -= NET_VLAN_LEN;
}

uint32_t dpu_rx_round(struct psp_dp *dp, uint16_t queue, uint16_t most)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(dpu_port_id(dp, PSP_DP_PORT_UPLINK), queue, mbufs,
				      most < BURST_MAX ? most : BURST_MAX);

	for (uint16_t i = 0; i < n; i++) {
		uint32_t mark = mark_of(mbufs[i]);
		struct dp_packet packet;

		/* Whatever becomes of it: what did not come here is lost. See stats.c. */
		if (dpu_mark_kind(mark) == DPU_MARK_INSPECT)
			atomic_fetch_add_explicit(&dp->inspected, 1, memory_order_relaxed);
		memset(&packet, 0, sizeof(packet));
		if (rte_pktmbuf_linearize(mbufs[i]) == 0) {
			packet.frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
			packet.len = rte_pktmbuf_data_len(mbufs[i]);
			strip_tag(&packet.frame, &packet.len);
			handle(dp, mark, &packet);
		} else {
			count(dp, DP_PORT_ERRORS);
		}
		rte_pktmbuf_free(mbufs[i]);
	}
	return n;
}
