/* SPDX-License-Identifier: Apache-2.0 */
/*
 * again.c: packets that run again at a pipe: those that were held and are released, and those of the detours. They
 * enter by the transmit root, at the pipe that encapsulates.
 *
 * From one workload of this host to another, packets meet a pipe of the default domain in front of that one, whose
 * misses it gets. Nothing comes back there from the egress domains, so what is local the CPU itself sends on.
 */
#include "dpu.h"
#include "mark.h"

void dpu_local_note(struct psp_dp *dp, const struct dpu_pipe *pipe, bool come)
{
	const struct dp_pipe *behind = pipe->base.fwd_miss.pipe;

	if (pipe->routes && behind != NULL)
		atomic_store_explicit(&dp->front_ids[dp_pipe_index(behind->id)],
				      come ? pipe->base.id : 0, memory_order_release);
}

static void send(struct psp_dp *dp, const struct dp_port *to, const struct dp_packet *packet)
{
	if (!dpu_tx_host(dp, to, packet)) {
		dp_count_own(&dp->base.counters, packet->reader, DP_HOST_TX_BUSY, 1);
		return;
	}
	dp_count_own(&dp->base.counters, packet->reader, DP_HOST_TX_PACKETS, 1);
	dp_count_own(&dp->base.counters, packet->reader, DP_LOCAL_PACKETS, 1);
}

static bool take_local(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet)
{
	uint32_t front =
		atomic_load_explicit(&dp->front_ids[dp_pipe_index(pipe)], memory_order_acquire);
	struct dp_rule rule;

	if (front == 0 || !dpu_rule_find(dp, front, packet, &rule))
		return false;
	if (rule.fwd.type == PSP_DP_FWD_PORT && dp_route(packet, &rule.actions))
		send(dp, rule.fwd.port, packet);
	else
		dpu_report_exception(dp, packet, front);
	return true;
}

void dpu_run_again(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet)
{
	if (!take_local(dp, pipe, packet) && dpu_inspect(dp, pipe, packet))
		dpu_tx_resubmit(dp, pipe, packet);
}

static void release(struct psp_dp *dp, struct dp_held *held)
{
	uint32_t index = dp_pipe_index(held->pipe);

	/* Its pipe may have gone in the meantime. */
	if (atomic_load_explicit(&dp->pipe_ids[index], memory_order_acquire) != held->pipe) {
		dp_count_own(&dp->base.counters, held->packet.reader, DP_DROP_SHUTDOWN,
			     held->segments);
		return;
	}
	dp_count_own(&dp->base.counters, held->packet.reader, DP_HELD_RELEASED, held->segments);
	/* Its tunnel is there now, if it ever is, or its workload. */
	dpu_run_again(dp, held->pipe, &held->packet);
}

bool dpu_released(struct psp_dp *dp, uint16_t reader)
{
	struct dp_held *chain;
	bool any = false;

	if (!dp_hold_is_releasing(&dp->base.hold))
		return false;
	while ((chain = dp_hold_next_read(&dp->base.hold, reader)) != NULL) {
		any = true;
		while (chain != NULL) {
			struct dp_held *held = chain;

			chain = held->next;
			release(dp, held);
			dp_held_free(held);
		}
	}
	return any;
}
