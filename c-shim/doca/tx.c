/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tx.c: packets that the CPU sends, through the switch port, where the transmit root finds their way by their mark.
 * A buffer that rte_eth_tx_burst() has taken is DPDK's and never touched again; one that it has not is freed here.
 */
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <string.h>
#include <time.h>

#include "../psp/wire.h"
#include "../common/net.h"
#include "dpu.h"
#include "mark.h"
#include "nic.h"

#define TRIES 10u
#define NAP_NS 50000

/* False: the queue stays full. */
static bool transmit(struct psp_dp *dp, uint16_t queue, struct rte_mbuf *mbuf)
{
	const uint16_t id = dp->ids[DPU_UPLINK];

	for (uint32_t i = 0; i < TRIES; i++) {
		if (i > 0)
			nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
		if (rte_eth_tx_burst(id, queue, &mbuf, 1) == 1)
			return true;
	}
	rte_pktmbuf_free(mbuf);
	return false;
}

/* A buffer with a copy of a frame and a mark, with a tag behind the MACs unless vlan is 0. NULL: none is free. */
static struct rte_mbuf *fill(struct psp_dp *dp, const uint8_t *frame, uint32_t len, uint16_t vlan,
			     uint32_t mark)
{
	uint32_t tag = vlan != 0 ? NET_VLAN_LEN : 0;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(dp->nic->pool);
	char *to;

	if (mbuf == NULL)
		return NULL;
	to = len + tag <= UINT16_MAX ? rte_pktmbuf_append(mbuf, (uint16_t)(len + tag)) : NULL;
	if (to == NULL) {
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	memcpy(to, frame, NET_ETH_TYPE);
	if (tag != 0) {
		psp_put16((uint8_t *)to + NET_ETH_TYPE, NET_TYPE_VLAN);
		psp_put16((uint8_t *)to + NET_ETH_TYPE + 2, vlan);
	}
	memcpy(to + NET_ETH_TYPE + tag, frame + NET_ETH_TYPE, len - NET_ETH_TYPE);
	rte_flow_dynf_metadata_set(mbuf, mark);
	mbuf->ol_flags |= rte_flow_dynf_metadata_mask;
	return mbuf;
}

void dpu_tx_resubmit(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet)
{
	struct rte_mbuf *mbuf = fill(
		dp, packet->frame, packet->len, 0,
		dpu_mark(DPU_MARK_RESUBMIT, dp_port_slot(packet->handle), dp_pipe_index(pipe)));

	if (mbuf == NULL || !transmit(dp, packet->reader, mbuf))
		dp_count_own(&dp->base.counters, packet->reader, DP_UPLINK_TX_BUSY, 1);
}

bool dpu_tx_host(struct psp_dp *dp, const struct dp_port *to, const struct dp_packet *packet)
{
	struct rte_mbuf *mbuf = fill(dp, packet->frame, packet->len, to->desc.vlan,
				     dpu_mark(DPU_MARK_INJECT, dpu_port_number(to), 0));

	return mbuf != NULL && transmit(dp, packet->reader, mbuf);
}

int32_t plane_inject(struct psp_dp *dp, struct dp_port *to, const uint8_t *frame, uint32_t len)
{
	uint16_t vlan;
	struct rte_mbuf *mbuf;
	bool sent = false;

	vlan = to->desc.vlan;
	pthread_mutex_lock(&dp->nic->inject_lock);
	mbuf = fill(dp, frame, len, vlan, dpu_mark(DPU_MARK_INJECT, dpu_port_number(to), 0));
	if (mbuf != NULL)
		sent = transmit(dp, (uint16_t)dp->n_readers, mbuf);
	pthread_mutex_unlock(&dp->nic->inject_lock);
	if (!sent)
		return dp_fail(dp, PSP_DP_EIO, "Cannot inject into port %u: %s", to->handle,
			       mbuf == NULL ? "no packet buffer is free, or it is too long"
					    : "its queue is full");
	return 0;
}
