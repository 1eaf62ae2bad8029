/* SPDX-License-Identifier: Apache-2.0 */
/* hw.c: pipes and entries of the hardware, made and taken out. */
#include "hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"

/* ---- pipes ----------------------------------------------------------------------------------- */

/* For the trace. */
static const char *const type_names[] = {
	[DOCA_FLOW_PIPE_BASIC] = "basic",
	[DOCA_FLOW_PIPE_CONTROL] = "control",
	[DOCA_FLOW_PIPE_ORDERED_LIST] = "list",
	[DOCA_FLOW_PIPE_HASH] = "flood",
};
static const char *const domain_names[] = {
	[DOCA_FLOW_PIPE_DOMAIN_DEFAULT] = "default",
	[DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS] = "secure_ingress",
	[DOCA_FLOW_PIPE_DOMAIN_EGRESS] = "egress",
	[DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS] = "secure_egress",
};

/* Over the queues of one class. Where there is one nothing is spread: samples name one type alone then, for others too. */
static void spread_rss(const struct dpu_to *to, struct dpu_queues *queues,
		       struct doca_flow_fwd *fwd)
{
	fwd->rss_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	if (to->readers == DPU_OPEN) {
		fwd->rss.nr_queues = -1;
		return;
	}
	for (uint16_t i = 0; i < to->readers; i++)
		queues->at[i] = dpu_queue(i, to->class);
	fwd->rss.outer_flags = to->l3 == PSP_DP_L3_IPV6 ? DOCA_FLOW_RSS_IPV6 : DOCA_FLOW_RSS_IPV4;
	fwd->rss.queues_array = queues->at;
	fwd->rss.nr_queues = to->readers;
}

void dpu_hw_fwd(struct psp_dp *dp, const struct dpu_to *to, struct dpu_queues *queues,
		struct doca_flow_fwd *fwd)
{
	struct doca_flow_pipe *pipe = to->pipe != NULL ? to->pipe->pipe : NULL;

	memset(fwd, 0, sizeof(*fwd));
	fwd->type = to->type;
	switch (to->type) {
	case DOCA_FLOW_FWD_PORT:
		fwd->port_id = to->port_id;
		break;
	case DOCA_FLOW_FWD_RSS:
		spread_rss(to, queues, fwd);
		break;
	case DOCA_FLOW_FWD_PIPE:
		fwd->next_pipe = pipe;
		break;
	case DOCA_FLOW_FWD_TARGET:
		fwd->target = dp->kernel;
		break;
	case DOCA_FLOW_FWD_ORDERED_LIST_PIPE:
		fwd->ordered_list_pipe.pipe = pipe;
		fwd->ordered_list_pipe.idx = to->number;
		break;
	case DOCA_FLOW_FWD_HASH_PIPE:
		fwd->hash_pipe.pipe = pipe;
		fwd->hash_pipe.algorithm = DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING;
		break;
	default:
		break;
	}
}

static doca_error_t set_basics(struct psp_dp *dp, struct doca_flow_pipe_cfg *cfg,
			       const struct dpu_hw_spec *spec)
{
	doca_error_t result = DPU_ASK(dp, doca_flow_pipe_cfg_set_name, cfg, spec->name);

	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_pipe_cfg_set_type, cfg, spec->type);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_pipe_cfg_set_domain, cfg, spec->domain);
	if (result == DOCA_SUCCESS && spec->type == DOCA_FLOW_PIPE_BASIC)
		result = compat_pipe_direction(&dp->call, cfg, spec->domain);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_pipe_cfg_set_is_root, cfg, spec->root);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_pipe_cfg_set_nr_entries, cfg, spec->entries);
	if (result == DOCA_SUCCESS && spec->miss_counter)
		result = DPU_ASK(dp, doca_flow_pipe_cfg_set_miss_counter, cfg, true);
	return result;
}

static doca_error_t set_monitor(struct psp_dp *dp, struct doca_flow_pipe_cfg *cfg,
				const struct dpu_hw_spec *spec)
{
	struct doca_flow_monitor monitor = {0};

	if (!spec->counter && !spec->mirror)
		return DOCA_SUCCESS;
	if (spec->counter)
		monitor.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	if (spec->mirror)
		compat_monitor_mirror(&monitor, UINT32_MAX);
	return DPU_ASK(dp, doca_flow_pipe_cfg_set_monitor, cfg, &monitor);
}

static struct doca_flow_action_desc add_to_ttl(const struct dpu_hw_acts *acts)
{
	struct doca_flow_action_desc desc;

	memset(&desc, 0, sizeof(desc));
	desc.type = DOCA_FLOW_ACTION_ADD;
	desc.field_op.dst.field_string = acts->actions.outer.l3_type == DOCA_FLOW_L3_TYPE_IP4
						 ? "outer.ipv4.ttl"
						 : "outer.ipv6.hop_limit";
	desc.field_op.width = 8;
	return desc;
}

/* Up to 3.1 crypto is among the actions; the caller makes lists of it later. */
static doca_error_t set_actions(struct psp_dp *dp, struct doca_flow_pipe_cfg *cfg,
				const struct dpu_hw_shape *shape)
{
	struct doca_flow_actions *actions[COMPAT_TEMPLATES_MAX], *masks[COMPAT_TEMPLATES_MAX];
	struct doca_flow_action_desc lower;
	struct doca_flow_action_descs descs[COMPAT_TEMPLATES_MAX], *all[COMPAT_TEMPLATES_MAX];
	bool modify = false, lowers = false;

	if (shape->n == 0)
		return DOCA_SUCCESS;
	memset(descs, 0, sizeof(descs));
	for (uint32_t i = 0; i < shape->n; i++) {
		struct dpu_hw_acts *acts = &shape->templates[i];

		if (acts->crypto)
			compat_actions_crypto(&acts->actions, &acts->part);
		modify = modify || acts->modify;
		actions[i] = &acts->actions;
		masks[i] = &acts->mask;
		all[i] = &descs[i];
		if (!acts->lowers_ttl)
			continue;
		lowers = true;
		lower = add_to_ttl(acts);
		descs[i].nb_action_desc = 1;
		descs[i].desc_array = &lower;
	}
	/* Samples that add have no masks: what is not 0 in the actions is meant. */
	if (lowers)
		return DPU_ASK(dp, doca_flow_pipe_cfg_set_actions, cfg, actions, NULL, all,
			       shape->n);
	return DPU_ASK(dp, doca_flow_pipe_cfg_set_actions, cfg, actions, modify ? masks : NULL,
		       NULL, shape->n);
}

static doca_error_t set_lists(struct psp_dp *dp, struct doca_flow_pipe_cfg *cfg,
			      const struct dpu_hw_shape *shape)
{
	struct compat_crypto parts[COMPAT_TEMPLATES_MAX];

	for (uint32_t i = 0; i < shape->n; i++)
		parts[i] = shape->templates[i].part;
	return compat_pipe_crypto_lists(&dp->call, cfg, parts, shape->n);
}

static doca_error_t set_by_type(struct psp_dp *dp, struct doca_flow_pipe_cfg *cfg,
				const struct dpu_hw_spec *spec)
{
	doca_error_t result;

	switch (spec->type) {
	case DOCA_FLOW_PIPE_BASIC:
		result = DPU_ASK(dp, doca_flow_pipe_cfg_set_match, cfg, &spec->match, &spec->mask);
		if (result == DOCA_SUCCESS)
			result = set_monitor(dp, cfg, spec);
		return result == DOCA_SUCCESS ? set_actions(dp, cfg, &spec->shape) : result;
	case DOCA_FLOW_PIPE_ORDERED_LIST:
		return set_lists(dp, cfg, &spec->shape);
	case DOCA_FLOW_PIPE_HASH:
		return DPU_ASK(dp, doca_flow_pipe_cfg_set_hash_map_algorithm, cfg,
			       DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING);
	default:
		return DOCA_SUCCESS;
	}
}

static doca_error_t create(struct psp_dp *dp, const struct dpu_hw_spec *spec,
			   struct doca_flow_pipe **pipe)
{
	struct doca_flow_pipe_cfg *cfg = NULL;
	struct doca_flow_fwd fwd, miss;
	struct dpu_queues queues, miss_queues;
	doca_error_t result = DPU_ASK(dp, doca_flow_pipe_cfg_create, &cfg, dp->switch_port);

	if (result != DOCA_SUCCESS)
		return result;
	dpu_hw_fwd(dp, &spec->fwd, &queues, &fwd);
	dpu_hw_fwd(dp, &spec->miss, &miss_queues, &miss);
	result = set_basics(dp, cfg, spec);
	if (result == DOCA_SUCCESS)
		result = set_by_type(dp, cfg, spec);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_pipe_create, cfg,
				 spec->fwd.type != DOCA_FLOW_FWD_NONE ? &fwd : NULL,
				 spec->miss.type != DOCA_FLOW_FWD_NONE ? &miss : NULL, pipe);
	(void)doca_flow_pipe_cfg_destroy(cfg);
	return result;
}

int32_t dpu_hw_pipe_create(struct psp_dp *dp, const struct dpu_hw_spec *spec,
			   struct dpu_hw_pipe *out)
{
	char match[256], fwd[80], miss[80], what[96];
	doca_error_t result = create(dp, spec, &out->pipe);

	(void)dpu_trace(&dp->trace, result,
			"pipe_create name=%s type=%s domain=%s root=%d entries=%u match=%s "
			"templates=%u fwd=%s miss=%s",
			spec->name, type_names[spec->type], domain_names[spec->domain], spec->root,
			spec->entries,
			spec->type == DOCA_FLOW_PIPE_BASIC
				? dpu_trace_match(NULL, &spec->mask, match, sizeof(match))
				: "-",
			spec->shape.n, dpu_hw_to_text(&spec->fwd, fwd, sizeof(fwd)),
			dpu_hw_to_text(&spec->miss, miss, sizeof(miss)));
	if (result != DOCA_SUCCESS) {
		out->pipe = NULL;
		(void)snprintf(what, sizeof(what), "Cannot create pipe \"%s\" in hardware",
			       spec->name);
		return dpu_fail_doca(dp, what, result);
	}
	out->type = spec->type;
	memcpy(out->name, spec->name, sizeof(out->name));
	return 0;
}

void dpu_hw_pipe_destroy(struct psp_dp *dp, struct dpu_hw_pipe *pipe)
{
	if (pipe->pipe == NULL)
		return;
	doca_flow_pipe_destroy(pipe->pipe);
	(void)dpu_trace(&dp->trace, DOCA_SUCCESS, "pipe_destroy name=%s", pipe->name);
	pipe->pipe = NULL;
}

const char *dpu_hw_to_text(const struct dpu_to *to, char *buf, uint32_t cap)
{
	const char *name = to->pipe != NULL ? to->pipe->name : "*";

	switch (to->type) {
	case DOCA_FLOW_FWD_PORT:
		(void)snprintf(buf, cap, "port:%u", to->port_id);
		return buf;
	case DOCA_FLOW_FWD_RSS:
		if (to->readers == DPU_OPEN)
			return "rss:*";
		(void)snprintf(buf, cap, to->readers > 1 ? "rss:%u/%u" : "rss:%u", to->class,
			       to->readers);
		return buf;
	case DOCA_FLOW_FWD_PIPE:
	case DOCA_FLOW_FWD_HASH_PIPE:
		(void)snprintf(buf, cap, "%s:%s", to->type == DOCA_FLOW_FWD_PIPE ? "pipe" : "flood",
			       name);
		return buf;
	case DOCA_FLOW_FWD_ORDERED_LIST_PIPE:
		(void)snprintf(buf, cap, "list:%s:%d", name, (int32_t)to->number);
		return buf;
	case DOCA_FLOW_FWD_DROP:
		return "drop";
	case DOCA_FLOW_FWD_TARGET:
		return "kernel";
	case DOCA_FLOW_FWD_CHANGEABLE:
		return "entry";
	default:
		return "-";
	}
}

/* ---- entries --------------------------------------------------------------------------------- */

/*
 * DOCA Flow takes an order and reports later, from doca_flow_entries_process(), whether it was carried out; nothing is
 * reported as done before that.
 */

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

/*
 * After an answer to an order. True: it was "try again", since too much is on its way, and what is has been waited for;
 * completions come to whom they belong to. `tries` counts.
 */
static bool again(struct psp_dp *dp, doca_error_t result, uint32_t *tries)
{
	if (result != DOCA_ERROR_AGAIN || (*tries)++ == ROUNDS)
		return false;
	result = doca_flow_entries_process(dp->switch_port, COMPAT_QUEUE, ROUND_US, 1);
	return result == DOCA_SUCCESS || result == DOCA_ERROR_AGAIN;
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
	uint32_t tries = 0;

	memset(piece, 0, sizeof(*piece));
	piece->number = ++dp->pieces;
	order_fill(dp, entry, piece, &order);
	do
		result = give_order(dp, pipe, entry, &order, piece);
	while (again(dp, result, &tries));
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
	doca_error_t result;
	uint32_t tries = 0;

	piece->done = false;
	order_fill(dp, entry, piece, &order);
	do
		result = compat_basic_update(&dp->call, pipe->pipe, &order.compat, piece->entry);
	while (again(dp, result, &tries));
	return ordered(dp, piece, result);
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
	uint32_t tries = 0;

	piece->done = piece->entry == NULL;
	if (piece->entry == NULL)
		return DOCA_SUCCESS;
	do
		result = DPU_ASK(dp, doca_flow_pipe_remove_entry, COMPAT_QUEUE, COMPAT_NO_WAIT,
				 piece->entry);
	while (again(dp, result, &tries));
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
