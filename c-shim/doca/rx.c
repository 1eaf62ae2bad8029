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

static void count(struct psp_dp *dp, const struct dp_packet *packet, enum dp_counter counter)
{
	dp_count_own(&dp->base.counters, packet->reader, counter, 1);
}

/* By its mark; a packet whose pipe is gone, or that no pipe of ours sent, ends here. */
static void handle(struct psp_dp *dp, uint32_t mark, struct dp_packet *packet)
{
	uint32_t argument = dpu_mark_argument(mark);
	uint32_t pipe =
		atomic_load_explicit(&dp->pipe_ids[dpu_mark_pipe(mark)], memory_order_acquire);
	const uint32_t number = dpu_mark_kind(mark) == DPU_MARK_SYNDROME || argument >= dp->n_ports
					? DPU_UPLINK
					: argument;
	const struct dp_port *port = &dpu_port(dp, number)->base;
	const bool from_host = number != DPU_UPLINK;

	packet->port = (uint8_t)port->desc.kind;
	packet->handle = port->handle;
	packet->network = port->desc.network;
	if (!dp_parse(packet)) {
		count(dp, packet, from_host ? DP_HOST_MALFORMED : DP_UPLINK_MALFORMED);
		return;
	}
	if (pipe == 0) {
		count(dp, packet, from_host ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
		return;
	}
	switch (dpu_mark_kind(mark)) {
	case DPU_MARK_MISS:
		/* Only what came from the host waits: it is clear text as it was, and can be sent again. */
		if (!from_host || packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE)
			count(dp, packet, from_host ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
		else
			dp_hold_add(&dp->base.hold, pipe, packet, &dpu_port(dp, number)->base.hold,
				    dp_now_ns());
		break;
	case DPU_MARK_INSPECT:
		dpu_run_again(dp, pipe, packet);
		break;
	case DPU_MARK_EXCEPTION:
		dpu_report_exception(dp, packet, pipe);
		break;
	case DPU_MARK_SAMPLE:
		dpu_report_sample(dp, packet, pipe);
		break;
	case DPU_MARK_SYNDROME:
		dpu_report_syndrome(dp, packet, pipe, argument);
		break;
	default:
		count(dp, packet, DP_DROP_PIPE);
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

uint32_t dpu_rx_round(struct psp_dp *dp, uint16_t reader, uint16_t class, uint16_t most)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(dp->ids[DPU_UPLINK], dpu_queue(reader, class), mbufs,
				      most < BURST_MAX ? most : BURST_MAX);

	for (uint16_t i = 0; i < n; i++) {
		uint32_t mark = mark_of(mbufs[i]);
		struct dp_packet packet;

		/* Whatever becomes of it: what did not come here is lost. See stats.c. */
		if (dpu_mark_kind(mark) == DPU_MARK_INSPECT)
			atomic_fetch_add_explicit(&dp->inspected, 1, memory_order_relaxed);
		memset(&packet, 0, sizeof(packet));
		packet.reader = reader;
		if (rte_pktmbuf_linearize(mbufs[i]) == 0) {
			packet.frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
			packet.len = rte_pktmbuf_data_len(mbufs[i]);
			strip_tag(&packet.frame, &packet.len);
			handle(dp, mark, &packet);
		} else {
			count(dp, &packet, DP_PORT_ERRORS);
		}
		rte_pktmbuf_free(mbufs[i]);
	}
	return n;
}
