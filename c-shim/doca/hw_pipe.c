/* SPDX-License-Identifier: Apache-2.0 */
/* hw_pipe.c: pipes of the hardware, made and destroyed. */
#include <stdlib.h>
#include <string.h>

#include "dpu.h"

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
static void spread(const struct dpu_to *to, struct dpu_queues *queues, struct doca_flow_fwd *fwd)
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
		spread(to, queues, fwd);
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
