/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hw_entry.c: entries of the hardware. DOCA Flow takes an order and reports later, from doca_flow_entries_process(),
 * whether it was carried out; nothing is reported as done before that.
 */
#include <stdio.h>
#include <string.h>

#include "dpu.h"

#define ROUND_US 10000u /* as long as the samples wait */
#define ROUNDS 20u      /* 200 ms in all: a DPU needs microseconds */

void dpu_hw_completed(struct doca_flow_pipe_entry *entry, uint16_t queue,
		      enum doca_flow_entry_status status, enum doca_flow_entry_op op, void *ctx)
{
	struct dpu_piece *piece = ctx;

	(void)entry;
	(void)queue;
	if (piece == NULL || op == DOCA_FLOW_ENTRY_OP_AGED)
		return;
	piece->done = true;
	piece->good = status == DOCA_FLOW_ENTRY_STATUS_SUCCESS;
}

static uint32_t on_their_way(struct dpu_piece *const *pieces, uint32_t n)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++)
		left += pieces[i]->done ? 0 : 1;
	return left;
}

/* Between an order and this call the completion may have come already: control entries report at once. */
void dpu_hw_wait(struct psp_dp *dp, struct dpu_piece *const *pieces, uint32_t n)
{
	uint32_t left = on_their_way(pieces, n);

	/* Rounds in which nothing came. */
	for (uint32_t idle = 0; left > 0 && idle < ROUNDS; idle++) {
		doca_error_t result =
			doca_flow_entries_process(dp->switch_port, COMPAT_QUEUE, ROUND_US, left);
		uint32_t now = on_their_way(pieces, n);

		if (result != DOCA_SUCCESS && result != DOCA_ERROR_AGAIN)
			break;
		if (now < left)
			idle = 0;
		left = now;
	}
}

/* What came of an order that was given, and waited for. */
static doca_error_t outcome(struct dpu_piece *piece, doca_error_t begun)
{
	if (begun != DOCA_SUCCESS)
		return begun;
	if (piece->done)
		return piece->good ? DOCA_SUCCESS : DOCA_ERROR_DRIVER;
	piece->lost = true;
	return DOCA_ERROR_TIME_OUT;
}

/* Our structs as DOCA's; everything that compat points to lives in here. */
struct order {
	struct compat_entry compat;
	struct doca_flow_actions actions, mask;
	struct doca_flow_monitor monitor;
	struct doca_flow_fwd fwd;
	struct dpu_queues queues;
};

static void order_fill(struct psp_dp *dp, const struct dpu_hw_entry *entry, struct dpu_piece *piece,
		       struct order *order)
{
	const struct dpu_hw_acts *acts = &entry->acts;

	memset(order, 0, sizeof(*order));
	order->compat = (struct compat_entry){.match = &entry->match,
					      .match_mask = &entry->mask,
					      .template = (uint8_t)entry->template,
					      .priority = entry->level,
					      .ctx = piece};
	/* One that brings nothing still says which template that is. */
	if (acts->modify || acts->crypto || entry->template != 0) {
		order->actions = acts->actions;
		order->mask = acts->mask;
		order->compat.actions = &order->actions;
		order->compat.actions_mask = &order->mask;
	}
	if (acts->crypto)
		compat_actions_crypto(&order->actions, &acts->part);
	if (entry->counter || entry->mirror != 0) {
		order->monitor.counter_type = entry->counter ? DOCA_FLOW_RESOURCE_TYPE_NON_SHARED
							     : DOCA_FLOW_RESOURCE_TYPE_NONE;
		if (entry->mirror != 0)
			compat_monitor_mirror(&order->monitor, entry->mirror);
		order->compat.monitor = &order->monitor;
	}
	if (entry->to.type != DOCA_FLOW_FWD_NONE) {
		dpu_hw_fwd(dp, &entry->to, &order->queues, &order->fwd);
		order->compat.fwd = &order->fwd;
	}
}

static doca_error_t give_order(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			       const struct dpu_hw_entry *entry, const struct order *order,
			       struct dpu_piece *piece)
{
	switch (pipe->type) {
	case DOCA_FLOW_PIPE_CONTROL:
		return compat_control_add(&dp->call, pipe->pipe, &order->compat, &piece->entry);
	case DOCA_FLOW_PIPE_ORDERED_LIST:
		return compat_list_add(&dp->call, pipe->pipe, entry->at, entry->template,
				       &entry->acts.part, order->compat.fwd, piece, &piece->entry);
	case DOCA_FLOW_PIPE_HASH:
		return compat_flood_add(&dp->call, pipe->pipe, entry->at, order->compat.fwd, piece,
					&piece->entry);
	default:
		return compat_basic_add(&dp->call, pipe->pipe, &order->compat, &piece->entry);
	}
}

/* "encap/54,encrypt/3,meta,macs,s": what an entry does. */
static const char *acts_text(const struct dpu_hw_acts *acts, char *buf, uint32_t cap)
{
	static const char *const crypto_names[] = {"", "encrypt", "decrypt"};
	const struct compat_crypto *part = &acts->part;
	char reformat[24] = "", crypto[24] = "";

	if (acts->crypto && part->reformat)
		(void)snprintf(reformat, sizeof(reformat), "%s/%u,",
			       part->encap.action_type == DOCA_FLOW_CRYPTO_REFORMAT_ENCAP ? "encap"
											  : "decap",
			       part->encap.data_size);
	if (acts->crypto && part->crypto.action_type != DOCA_FLOW_CRYPTO_ACTION_NONE)
		(void)snprintf(crypto, sizeof(crypto), "%s/%d,",
			       crypto_names[part->crypto.action_type],
			       (int32_t)part->crypto.crypto_id);
	(void)snprintf(buf, cap, "%s%s%s%s%s%s%s%s", reformat, crypto,
		       acts->modify && acts->mask.meta.pkt_meta != 0 ? "pkt_meta," : "",
		       acts->modify && acts->mask.meta.u32[2] != 0 ? "meta.u32.2," : "",
		       acts->modify && acts->mask.meta.u32[1] != 0 ? "meta.u32.1," : "",
		       acts->lowers_ttl ? "ttl," : "",
		       acts->modify && acts->mask.outer.eth.dst_mac[0] != 0 ? "macs," : "",
		       acts->modify && acts->mask.tun.type == DOCA_FLOW_TUN_PSP ? "psp.s," : "");
	return buf[0] != 0 ? buf : "-";
}

static void trace_order(struct psp_dp *dp, doca_error_t result, const char *call,
			const struct dpu_hw_pipe *pipe, const struct dpu_hw_entry *entry,
			const struct dpu_piece *piece)
{
	char match[384], acts[96], to[80];
	bool matches = pipe->type == DOCA_FLOW_PIPE_BASIC || pipe->type == DOCA_FLOW_PIPE_CONTROL;

	(void)dpu_trace(&dp->trace, result,
			"%s pipe=%s entry=%u level=%u at=%u template=%u match=%s acts=%s "
			"mirror=%u fwd=%s",
			call, pipe->name, piece->number, entry->level, entry->at, entry->template,
			matches ? dpu_trace_match(&entry->match, &entry->mask, match, sizeof(match))
				: "-",
			acts_text(&entry->acts, acts, sizeof(acts)), entry->mirror,
			dpu_hw_to_text(&entry->to, to, sizeof(to)));
}

/* Nobody waits for what was refused. */
static doca_error_t ordered(const struct psp_dp *dp, struct dpu_piece *piece, doca_error_t result)
{
	piece->done = piece->done || result != DOCA_SUCCESS;
	piece->by = result == DOCA_SUCCESS ? "doca_flow_entries_process" : dp->call.name;
	return result;
}

static int32_t fail(struct psp_dp *dp, const char *verb, const struct dpu_hw_pipe *pipe,
		    const struct dpu_piece *piece, doca_error_t result)
{
	char what[112];

	/* Others may have been refused since it was ordered. */
	dp->call.name = piece->by;
	(void)snprintf(what, sizeof(what), "Cannot %s pipe \"%s\" in hardware", verb, pipe->name);
	return dpu_fail_doca(dp, what, result);
}

doca_error_t dpu_hw_begin_add(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			      const struct dpu_hw_entry *entry, struct dpu_piece *piece)
{
	struct order order;
	doca_error_t result;

	memset(piece, 0, sizeof(*piece));
	piece->number = ++dp->pieces;
	order_fill(dp, entry, piece, &order);
	result = give_order(dp, pipe, entry, &order, piece);
	return ordered(dp, piece, result);
}

int32_t dpu_hw_end_add(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
		       const struct dpu_hw_entry *entry, struct dpu_piece *piece,
		       doca_error_t begun)
{
	doca_error_t result = outcome(piece, begun);

	trace_order(dp, result, "entry_add", pipe, entry, piece);
	if (result == DOCA_SUCCESS)
		return 0;
	/* An entry whose addition failed is not there: it must not be removed. */
	piece->entry = NULL;
	return fail(dp, "add entry to", pipe, piece, result);
}

int32_t dpu_hw_add(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
		   const struct dpu_hw_entry *entry, struct dpu_piece *piece)
{
	doca_error_t begun = dpu_hw_begin_add(dp, pipe, entry, piece);

	dpu_hw_wait(dp, &piece, 1);
	return dpu_hw_end_add(dp, pipe, entry, piece, begun);
}

doca_error_t dpu_hw_begin_update(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
				 const struct dpu_hw_entry *entry, struct dpu_piece *piece)
{
	struct order order;

	piece->done = false;
	order_fill(dp, entry, piece, &order);
	return ordered(dp, piece,
		       compat_basic_update(&dp->call, pipe->pipe, &order.compat, piece->entry));
}

int32_t dpu_hw_end_update(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			  const struct dpu_hw_entry *entry, struct dpu_piece *piece,
			  doca_error_t begun)
{
	doca_error_t result = outcome(piece, begun);

	trace_order(dp, result, "entry_update", pipe, entry, piece);
	return result == DOCA_SUCCESS ? 0 : fail(dp, "update entry of", pipe, piece, result);
}

doca_error_t dpu_hw_begin_remove(struct psp_dp *dp, struct dpu_piece *piece)
{
	doca_error_t result;

	piece->done = piece->entry == NULL;
	if (piece->entry == NULL)
		return DOCA_SUCCESS;
	result = DPU_ASK(dp, doca_flow_pipe_remove_entry, COMPAT_QUEUE, COMPAT_NO_WAIT,
			 piece->entry);
	return ordered(dp, piece, result);
}

int32_t dpu_hw_end_remove(struct psp_dp *dp, const struct dpu_hw_pipe *pipe,
			  struct dpu_piece *piece, doca_error_t begun)
{
	doca_error_t result;

	if (piece->entry == NULL)
		return 0;
	result = outcome(piece, begun);
	(void)dpu_trace(&dp->trace, result, "entry_remove pipe=%s entry=%u", pipe->name,
			piece->number);
	if (result != DOCA_SUCCESS)
		return fail(dp, "remove entry from", pipe, piece, result);
	piece->entry = NULL;
	return 0;
}

int32_t dpu_hw_remove(struct psp_dp *dp, const struct dpu_hw_pipe *pipe, struct dpu_piece *piece)
{
	doca_error_t begun = dpu_hw_begin_remove(dp, piece);

	dpu_hw_wait(dp, &piece, 1);
	return dpu_hw_end_remove(dp, pipe, piece, begun);
}

bool dpu_hw_query(const struct dpu_piece *piece, struct dpu_total *out)
{
	struct doca_flow_resource_query query;

	memset(&query, 0, sizeof(query));
	memset(out, 0, sizeof(*out));
	if (piece->entry == NULL ||
	    doca_flow_resource_query_entry(piece->entry, &query) != DOCA_SUCCESS)
		return false;
	out->packets = query.counter.total_pkts;
	out->bytes = query.counter.total_bytes;
	return true;
}

bool dpu_hw_query_miss(const struct dpu_hw_pipe *pipe, struct dpu_total *out)
{
	struct doca_flow_resource_query query;

	memset(&query, 0, sizeof(query));
	memset(out, 0, sizeof(*out));
	if (pipe->pipe == NULL ||
	    doca_flow_resource_query_pipe_miss(pipe->pipe, &query) != DOCA_SUCCESS)
		return false;
	out->packets = query.counter.total_pkts;
	out->bytes = query.counter.total_bytes;
	return true;
}
