/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c: what the CPU does to packets that hardware encapsulates next: those of the detours, and those that were
 * held and are released. Answers as the soft plane does where it seals (soft/run.c).
 */
#include <string.h>

#include "../common/net.h"
#include "../psp/wire.h"
#include "dpu.h"
#include "match.h"

static void report_too_big(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
			   const struct psp_dp_actions *encap, uint32_t max_inner)
{
	uint32_t len = packet->len - packet->l3_off;
	struct psp_dp_event event;

	dp_count_own(&dp->base.counters, packet->reader, DP_TOO_BIG, 1);
	if (!dp_limit_allows(&dp->readers[packet->reader].too_bigs, dp_flow_hash(packet),
			     dp_now_ns()))
		return;
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_TOO_BIG;
	event.spi = psp_get32(encap->encap_data + dp_encap_psp(encap) + 4);
	event.packet_len = len;
	event.mtu = max_inner;
	if (!dp_events_push(&dp->base.events, &event, packet->frame + packet->l3_off,
			    len < DP_TOO_BIG_BYTES ? len : DP_TOO_BIG_BYTES))
		dp_count_own(&dp->base.counters, packet->reader, DP_EXCEPTIONS_LOST, 1);
}

bool dpu_inspect(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet)
{
	struct psp_dp_actions encap;
	uint32_t max_ip = atomic_load_explicit(&dp->max_ip, memory_order_relaxed);
	uint32_t overhead, max_inner;

	/* Without a tunnel it misses, waits for one, and comes here again when it is released. */
	if (!dpu_tunnel_find(dp, pipe, packet, &encap))
		return true;
	overhead = dp_overhead(&encap);
	max_ip = dp_max_ip(&encap, max_ip);
	max_inner = max_ip > overhead ? max_ip - overhead : 0;
	if (dp->base.config.mss_clamp != 0 && dp_mss_clamp(packet, max_inner))
		dp_count_own(&dp->base.counters, packet->reader, DP_MSS_CLAMPED, 1);
	if (packet->len - packet->l3_off <= max_inner)
		return true;
	report_too_big(dp, pipe, packet, &encap, max_inner);
	return false;
}
