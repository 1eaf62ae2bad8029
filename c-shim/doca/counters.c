/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counters.c: what hardware counted, in the soft plane's units: octets of IP. Hardware counts frames, so the Ethernet
 * header of each packet is taken off. Counters of the plane are sums over entries, by what an entry means; whatever
 * an entry has counted since the last look is added once ("settled").
 */
#include <stddef.h>
#include <string.h>

#include "../common/net.h"
#include "../psp/wire.h"
#include "dpu.h"

static struct dpu_total since(const struct dpu_total *now, const struct dpu_total *then)
{
	return (struct dpu_total){.packets = now->packets - then->packets,
				  .bytes = now->bytes - then->bytes};
}

static void add(struct psp_dp *dp, enum dp_counter counter, uint64_t n)
{
	dp_count(&dp->base.counters, counter, n);
}

static uint64_t less(uint64_t bytes, uint64_t packets, uint64_t each)
{
	return bytes > packets * each ? bytes - packets * each : 0;
}

/* Frames to octets of IP. A device that starts anew after an update reads less than before: it goes on from there. */
static void raw_settle(const struct dpu_total *raw, struct dpu_total *raw_last,
		       struct dpu_total *total)
{
	struct dpu_total fresh;

	if (raw->packets < raw_last->packets)
		memset(raw_last, 0, sizeof(*raw_last));
	fresh = since(raw, raw_last);
	*raw_last = *raw;
	total->packets += fresh.packets;
	total->bytes += less(fresh.bytes, fresh.packets, NET_ETH_LEN);
}

/* What a piece has counted since the last look. */
static void piece_settle(const struct dpu_piece *piece, struct dpu_total *raw_last,
			 struct dpu_total *total)
{
	struct dpu_total raw;

	if (dpu_hw_query(piece, &raw))
		raw_settle(&raw, raw_last, total);
}

void dpu_detours_settle(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_total seen = {0};

	if (entry->inspector == NULL)
		return;
	/* The entry in front of them has counted the same packets. */
	for (struct dpu_detour *d = entry->inspector->detours; d != NULL; d = d->next)
		piece_settle(&d->piece, &d->raw, &seen);
	dp->diverted += seen.packets;
}

static bool from_uplink(const struct dpu_entry *entry)
{
	return entry->match.parser_meta_port_id == DPU_UPLINK + 1;
}

static void count_drop(struct psp_dp *dp, const struct dpu_entry *entry, uint64_t packets)
{
	static const enum dp_counter by_syndrome[] = {
		[PSP_DP_SYNDROME_OK] = DP_RX_NO_SA,
		[PSP_DP_SYNDROME_ICV] = DP_RX_AUTH_FAIL,
		[PSP_DP_SYNDROME_BAD_TRAILER] = DP_RX_ERROR,
	};
	uint32_t syndrome = entry->match.parser_meta_psp_syndrome;

	if (entry->mask.parser_meta_psp_syndrome == 0 || syndrome > PSP_DP_SYNDROME_BAD_TRAILER) {
		add(dp, DP_DROP_PIPE, packets);
		return;
	}
	add(dp, by_syndrome[syndrome], packets);
	if (syndrome == PSP_DP_SYNDROME_OK)
		add(dp, DP_RX_PACKETS, packets);
}

/* The kernel's names count octets after the IV, without the ICV. */
static void count_port(struct psp_dp *dp, const struct dpu_entry *entry,
		       const struct dpu_total *fresh)
{
	uint32_t flags = entry->rule.actions.flags;
	const struct dpu_slot *slot = NULL;

	if (entry->rule.fwd.target == PSP_DP_PORT_HOST) {
		add(dp, DP_HOST_TX_PACKETS, fresh->packets);
		if ((flags & PSP_DP_ACTION_ROUTE) != 0)
			add(dp, DP_LOCAL_PACKETS, fresh->packets);
		if ((flags & PSP_DP_ACTION_DECAP) == 0)
			return;
		add(dp, DP_RX_PACKETS, fresh->packets);
		add(dp, DP_RX_BYTES,
		    less(fresh->bytes, fresh->packets,
			 dp->outer_ip_len + NET_UDP_LEN + PSP_HEADER_LEN + PSP_ICV_LEN));
		return;
	}
	if ((flags & PSP_DP_ACTION_ENCRYPT) != 0)
		slot = &dp->slots[entry->rule.actions.crypto_id];
	if (slot != NULL && !slot->keyed) {
		add(dp, DP_TX_KEY_EXPIRED, fresh->packets);
		return;
	}
	add(dp, DP_TX_PACKETS, fresh->packets);
	add(dp, DP_TX_BYTES, fresh->bytes);
}

static void count(struct psp_dp *dp, const struct dpu_entry *entry, const struct dpu_total *fresh)
{
	if (dpu_pipe(entry->base.pipe)->root && entry->mask.parser_meta_port_id != 0)
		add(dp, from_uplink(entry) ? DP_UPLINK_RX_PACKETS : DP_HOST_RX_PACKETS,
		    fresh->packets);
	switch (entry->rule.fwd.type) {
	case PSP_DP_FWD_DROP:
		count_drop(dp, entry, fresh->packets);
		break;
	case PSP_DP_FWD_PORT:
		count_port(dp, entry, fresh);
		break;
	case PSP_DP_FWD_KERNEL:
		add(dp, from_uplink(entry) ? DP_UPLINK_KERNEL : DP_HOST_UNMATCHED, fresh->packets);
		break;
	default:
		break;
	}
}

void dpu_entry_settle(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_total fresh;

	piece_settle(&entry->piece, &entry->raw, &entry->total);
	dpu_detours_settle(dp, entry);
	fresh = since(&entry->total, &entry->settled);
	entry->settled = entry->total;
	if (fresh.packets == 0)
		return;
	/* Hardware does not say when: it was used since the last look. */
	entry->last_used_ns = dp_now_ns();
	dpu_pipe(entry->base.pipe)->last_used_ns = entry->last_used_ns;
	count(dp, entry, &fresh);
	if ((entry->rule.actions.flags & PSP_DP_ACTION_ENCRYPT) != 0) {
		struct dpu_slot *slot = &dp->slots[entry->rule.actions.crypto_id];

		slot->sealed.packets += slot->keyed ? fresh.packets : 0;
		slot->sealed.bytes += slot->keyed ? fresh.bytes : 0;
		slot->last_used_ns = entry->last_used_ns;
	}
}

/* ---- what misses ----------------------------------------------------------------------------- */

static void add_miss(const struct dpu_hw_pipe *hw, struct dpu_total *misses)
{
	struct dpu_total raw;

	if (!dpu_hw_query_miss(hw, &raw))
		return;
	misses->packets += raw.packets;
	misses->bytes += less(raw.bytes, raw.packets, NET_ETH_LEN);
}

static void settle_misses(struct psp_dp *dp, struct dpu_pipe *pipe, const struct dpu_total *misses)
{
	struct dpu_total fresh = since(misses, &pipe->misses_settled);

	if (misses->packets < pipe->misses_settled.packets)
		return;
	pipe->misses_settled = *misses;
	if (pipe->base.fwd_miss.type == PSP_DP_FWD_DROP)
		add(dp, DP_DROP_PIPE, fresh.packets);
}

/* What a root leaves to the default is counted at the pipe. */
static void settle_default(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	struct dpu_total raw;

	if (pipe->root && !pipe->gated && dp->default_miss &&
	    dpu_hw_query_miss(&pipe->control, &raw))
		raw_settle(&raw, &pipe->catches[DPU_UPLINK].raw, &pipe->catches[DPU_UPLINK].total);
}

/* A control pipe's misses are entries of ours, or the default's: see switch.c. */
static void settle_catch_all(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_total *misses)
{
	for (uint32_t i = 0; i < dp->n_ports; i++) {
		struct dpu_catch *caught = &pipe->catches[i];
		const struct dpu_total before = caught->total;
		uint64_t fresh;

		piece_settle(&caught->piece, &caught->raw, &caught->total);
		if (i == DPU_UPLINK)
			settle_default(dp, pipe);
		misses->packets += caught->total.packets;
		misses->bytes += caught->total.bytes;
		fresh = caught->total.packets - before.packets;
		if (pipe->root && pipe->base.fwd_miss.type == PSP_DP_FWD_KERNEL) {
			add(dp, i == DPU_UPLINK ? DP_UPLINK_RX_PACKETS : DP_HOST_RX_PACKETS, fresh);
			add(dp, i == DPU_UPLINK ? DP_UPLINK_KERNEL : DP_HOST_UNMATCHED, fresh);
		} else if (pipe->base.fwd_miss.type == PSP_DP_FWD_DROP) {
			add(dp, DP_DROP_PIPE, fresh);
		}
	}
}

void dpu_pipe_settle(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_total *misses)
{
	memset(misses, 0, sizeof(*misses));
	for (struct dp_entry *at = pipe->base.entries; at != NULL; at = at->next)
		dpu_entry_settle(dp, dpu_entry(at));
	if (pipe->base.type == PSP_DP_PIPE_CONTROL) {
		settle_catch_all(dp, pipe, misses);
		return;
	}
	if (!pipe->base.miss_counter)
		return;
	add_miss(&pipe->split, misses);
	for (uint32_t i = 0; i < pipe->n_legs; i++) {
		add_miss(&pipe->legs[i].stage, misses);
		add_miss(&pipe->legs[i].hw, misses);
	}
	settle_misses(dp, pipe, misses);
}

/* ---- what was diverted ----------------------------------------------------------------------- */

/* Of the reader that has rested least. */
static uint64_t least_rests(const struct psp_dp *dp)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < dp->n_readers; i++) {
		uint64_t rests = atomic_load_explicit(&dp->readers[i].rests, memory_order_acquire);

		least = rests < least ? rests : least;
	}
	return least;
}

/*
 * What was diverted at the last look, and was not seen when the queues have run empty since, is lost. Empty twice:
 * the first time may have been before that look, and was counted after it.
 */
static void detours_lost(struct psp_dp *dp)
{
	uint64_t rests = least_rests(dp);
	uint64_t inspected = atomic_load_explicit(&dp->inspected, memory_order_relaxed);

	if (rests - dp->rests_before < 2)
		return;
	if (dp->diverted_before > inspected + dp->lost) {
		dp_count(&dp->base.counters, DP_UPLINK_TX_BUSY,
			 dp->diverted_before - inspected - dp->lost);
		dp->lost = dp->diverted_before - inspected;
	}
	dp->rests_before = rests;
	dp->diverted_before = dp->diverted;
}

/* ---- for the ABI ----------------------------------------------------------------------------- */

static void fill(struct psp_dp_stats *stats, const struct dpu_total *total, uint64_t last_used_ns)
{
	stats->packets = total->packets;
	stats->bytes = total->bytes;
	stats->last_used_ns = last_used_ns;
}

void plane_entry_query(struct psp_dp *dp, struct dp_entry *base, struct psp_dp_stats *stats)
{
	struct dpu_entry *entry = dpu_entry(base);

	dpu_entry_settle(dp, entry);
	fill(stats, &entry->total, entry->last_used_ns);
}

void plane_pipe_query(struct psp_dp *dp, struct dp_pipe *base, struct psp_dp_stats *stats)
{
	struct dpu_pipe *pipe = dpu_pipe(base);
	struct dpu_total hits, misses;

	dpu_pipe_settle(dp, pipe, &misses);
	hits = pipe->hits;
	for (struct dp_entry *at = base->entries; at != NULL; at = at->next) {
		hits.packets += dpu_entry(at)->total.packets;
		hits.bytes += dpu_entry(at)->total.bytes;
	}
	fill(stats, &hits, pipe->last_used_ns);
	stats->miss_packets = misses.packets;
	stats->miss_bytes = misses.bytes;
}

void plane_crypto_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	const struct dpu_slot *slot = &dp->slots[id];

	for (struct dpu_entry *user = slot->users; user != NULL; user = user->slot_next)
		dpu_entry_settle(dp, user);
	fill(stats, &slot->sealed, slot->last_used_ns);
}

void plane_count(struct psp_dp *dp)
{
	struct dpu_total misses;

	dp_lock(dp);
	for (uint32_t i = 0; i < DP_PIPES_MAX; i++) {
		struct dp_pipe *pipe =
			atomic_load_explicit(&dp->base.pipes[i], memory_order_relaxed);

		if (pipe != NULL)
			dpu_pipe_settle(dp, dpu_pipe(pipe), &misses);
	}
	detours_lost(dp);
	dp_unlock(dp);
}
