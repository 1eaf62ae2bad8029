/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.c: DOCA Flow started on all ports, and the transmit root: where packets enter that this process sends. It
 * knows them by their mark: to a port (inject), or to the pipe where they had missed (entries of pipe.c).
 */
#include <rte_common.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "dpu.h"
#include "mark.h"
#include "match.h"

#define PIPE_QUEUES 1u
#define QUEUE_DEPTH (2u * DPU_ORDERS_MAX) /* twice what is on its way, as in flow_skeleton.c */
#define COUNTERS_EXTRA 4096u              /* beyond entries: those of misses and of our own pipes */
#define ACTION_OCTETS 128u /* of an entry, at most (DOCA_FLOW_MAX_ENTRY_ACTIONS_MEM_SIZE) */
#define PIECES                                                                                     \
	3u /* entries of hardware with actions that one of the ABI's may need: stage, match, list */
#define CYCLE_MS 100u /* of the cache of counters: limits of keys are looked at as often */
#define TX_ROOT_ENTRIES 64u

static struct compat_resources resources_of(const struct psp_dp *dp)
{
	return (struct compat_resources){.counters = dp->base.config.max_entries + COUNTERS_EXTRA,
					 .psp_keys = dp->base.config.max_crypto_ids,
					 .mirrors = DPU_MIRRORS};
}

static int32_t init(struct psp_dp *dp)
{
	const char *own = dp->base.config.flow_mode;
	const char *mode = own[0] != 0 ? own : compat_mode_args();
	uint16_t queues[DPU_QUEUES_MAX];
	struct doca_flow_resource_rss_cfg rss;
	struct compat_resources resources = resources_of(dp);
	struct doca_flow_cfg *cfg = NULL;
	doca_error_t result = DPU_ASK(dp, doca_flow_cfg_create, &cfg);

	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "DOCA Flow cannot be configured", result);
	memset(&rss, 0, sizeof(rss));
	for (uint16_t i = 0; i < dpu_n_queues(dp); i++)
		queues[i] = i;
	rss.queues_array = queues;
	rss.nr_queues = (int)dpu_n_queues(dp);
	result = DPU_ASK(dp, doca_flow_cfg_set_pipe_queues, cfg, PIPE_QUEUES);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_cfg_set_queue_depth, cfg, QUEUE_DEPTH);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_cfg_set_mode_args, cfg, mode);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_cfg_set_cb_entry_process, cfg, dpu_hw_completed);
	if (result == DOCA_SUCCESS)
		result = compat_flow_resources(&dp->call, cfg, &resources, &rss);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_init, cfg);
	(void)dpu_trace(&dp->trace, result, "flow_init mode=%s counters=%u psp_keys=%u", mode,
			resources.counters, resources.psp_keys);
	(void)doca_flow_cfg_destroy(cfg);
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "DOCA Flow does not start", result);
	dp->flow_up = true;
	return 0;
}

uint32_t dpu_actions_memory(const struct psp_dp *dp)
{
	uint64_t wanted = (uint64_t)dp->base.config.max_entries * PIECES * ACTION_OCTETS;

	if (dp->base.config.actions_memory != 0)
		wanted = dp->base.config.actions_memory;
	if (wanted < PSP_DP_ACTIONS_MEMORY_MIN)
		return PSP_DP_ACTIONS_MEMORY_MIN;
	return wanted > UINT32_C(1) << 31 ? UINT32_C(1) << 31 : rte_align32pow2((uint32_t)wanted);
}

static doca_error_t configure_port(struct psp_dp *dp, uint32_t number,
				   struct doca_flow_port_cfg *cfg)
{
	struct compat_resources resources = resources_of(dp);
	doca_error_t result = DPU_ASK(dp, doca_flow_port_cfg_set_port_id, cfg, dp->ids[number]);

	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_port_cfg_set_actions_mem_size, cfg,
				 dpu_actions_memory(dp));
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_port_cfg_set_service_threads_cycle, cfg, CYCLE_MS);
	if (result != DOCA_SUCCESS)
		return result;
	if (number != DPU_UPLINK)
		return compat_port_rep(&dp->call, cfg, dpu_port(dp, number)->rep);
	result = DPU_ASK(dp, doca_flow_port_cfg_set_dev, cfg, dp->device->dev);
	return result == DOCA_SUCCESS ? compat_port_resources(&dp->call, cfg, &resources) : result;
}

static int32_t start_port(struct psp_dp *dp, uint32_t number)
{
	struct dpu_port *port = dpu_port(dp, number);
	struct doca_flow_port_cfg *cfg = NULL;
	doca_error_t result = DPU_ASK(dp, doca_flow_port_cfg_create, &cfg);

	if (result == DOCA_SUCCESS) {
		result = configure_port(dp, number, cfg);
		if (result == DOCA_SUCCESS)
			result = DPU_ASK(dp, doca_flow_port_start, cfg, &port->flow);
		(void)doca_flow_port_cfg_destroy(cfg);
	}
	(void)dpu_trace(&dp->trace, result, "port_start port=%s id=%u",
			number == DPU_UPLINK ? "uplink" : "host", dp->ids[number]);
	if (result == DOCA_SUCCESS)
		return 0;
	port->flow = NULL;
	return dpu_fail_doca(
		dp,
		number == DPU_UPLINK
			? "the uplink does not start (does another program own the e-switch?)"
			: "the representor does not start",
		result);
}

static int32_t add_inject(struct psp_dp *dp, uint32_t number, struct dpu_hw_entry *entry)
{
	struct psp_dp_match value = {.meta_pkt_meta = dpu_mark(DPU_MARK_INJECT, number, 0)};
	struct psp_dp_match mask = {.meta_pkt_meta = UINT32_MAX};

	memset(entry, 0, sizeof(*entry));
	dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, NULL, &entry->match, &entry->mask);
	if (dpu_has_tags(dp))
		dpu_tag_acts(number, &entry->acts);
	entry->to = (struct dpu_to){.type = DOCA_FLOW_FWD_PORT, .port_id = dp->ids[number]};
	return dpu_hw_add(dp, &dp->tx_root, entry, &dpu_port(dp, number)->inject);
}

static int32_t make_tx_root(struct psp_dp *dp)
{
	struct psp_dp_match mask = {.meta_pkt_meta = UINT32_MAX};
	struct dpu_hw_spec *spec = calloc(1, sizeof(*spec));
	struct dpu_hw_entry *entry = calloc(1, sizeof(*entry));
	struct dpu_hw_acts *tag = calloc(1, sizeof(*tag));
	int32_t status = PSP_DP_ENOMEM;

	if (spec == NULL || entry == NULL || tag == NULL) {
		(void)dp_fail(dp, status, "out of memory");
		goto out;
	}
	(void)snprintf(spec->name, sizeof(spec->name), "TX_ROOT");
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = compat_tx_root_domain();
	spec->root = true;
	/* Released packets enter at few of the pipes: with the number of their port, where there are several. */
	spec->entries = TX_ROOT_ENTRIES * (dp->n_ports - DPU_HOST);
	if (dpu_has_tags(dp)) {
		dpu_tag_acts(UINT32_MAX, tag);
		spec->shape = (struct dpu_hw_shape){.n = 1, .templates = tag};
	}
	dpu_match_template(&mask, PSP_DP_L3_NONE, NULL, &spec->match, &spec->mask);
	spec->fwd.type = DOCA_FLOW_FWD_CHANGEABLE;
	/* Clear text never leaves the uplink: what has no mark of ours goes nowhere. */
	spec->miss.type = DOCA_FLOW_FWD_DROP;
	status = dpu_hw_pipe_create(dp, spec, &dp->tx_root);
	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++)
		status = add_inject(dp, i, entry);
out:
	free(tag);
	free(entry);
	free(spec);
	return status;
}

int32_t dpu_flow_up(struct psp_dp *dp)
{
	int32_t status = init(dp);

	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++)
		status = start_port(dp, i);
	if (status != 0)
		return status;
	dp->switch_port = doca_flow_port_switch_get(dpu_port(dp, DPU_UPLINK)->flow);
	if (dp->switch_port == NULL)
		return dp_fail(dp, PSP_DP_EIO,
			       "doca_flow_port_switch_get finds no switch port (does "
			       "plane.flow_mode say \"switch\"?)");
	if (dpu_trace(&dp->trace,
		      DPU_ASK(dp, doca_flow_get_target, DOCA_FLOW_TARGET_KERNEL, &dp->kernel),
		      "get_target kernel") != DOCA_SUCCESS)
		dp->kernel = NULL;
	/* Refused: a pipe behind the root leads there, as in earlier releases. */
	dp->default_miss = compat_has_default_miss() &&
			   dpu_trace(&dp->trace, compat_default_miss(&dp->call, dp->switch_port),
				     "default_miss kernel") == DOCA_SUCCESS;
	return make_tx_root(dp);
}

/* Pipes and entries go with their port: taken out one by one before it, they keep ports of some releases from stopping. */
void dpu_flow_down(struct psp_dp *dp)
{
	for (uint32_t i = dp->n_ports; i-- > 0;) {
		struct dpu_port *port = dpu_port(dp, i);

		if (port->flow == NULL)
			continue;
		(void)dpu_trace(&dp->trace, doca_flow_port_stop(port->flow), "port_stop id=%u",
				dp->ids[i]);
		port->flow = NULL;
	}
	if (!dp->flow_up)
		return;
	doca_flow_destroy();
	(void)dpu_trace(&dp->trace, DOCA_SUCCESS, "flow_destroy");
	dp->flow_up = false;
}
