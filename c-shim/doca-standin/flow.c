/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c: the library and its ports: configured, started, stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "order.h"
#include "standin.h"

struct si si = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct doca_flow_cfg {
	uint16_t queues;
	bool switch_mode, isolated, expert;
	uint32_t counters, psp, mirrors;
	doca_flow_entry_process_cb done;
};

struct doca_flow_port_cfg {
	uint16_t port_id;
	bool has_port_id;
	struct doca_dev *dev;
};

/* ---- the library ----------------------------------------------------------------------------- */

doca_error_t doca_flow_cfg_create(struct doca_flow_cfg **cfg)
{
	*cfg = calloc(1, sizeof(**cfg));
	return *cfg != NULL ? DOCA_SUCCESS : DOCA_ERROR_NO_MEMORY;
}

doca_error_t doca_flow_cfg_destroy(struct doca_flow_cfg *cfg)
{
	free(cfg);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_cfg_set_pipe_queues(struct doca_flow_cfg *cfg, uint16_t queues)
{
	if (queues == 0 || queues > SI_PIPE_QUEUES)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->queues = queues;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_cfg_set_mode_args(struct doca_flow_cfg *cfg, const char *args)
{
	if (args == NULL || strstr(args, "hws") == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->switch_mode = strstr(args, "switch") != NULL;
	cfg->isolated = strstr(args, "isolated") != NULL;
	cfg->expert = strstr(args, "expert") != NULL;
	/* The one arrangement that is executed here. */
	return cfg->switch_mode && cfg->isolated && cfg->expert ? DOCA_SUCCESS
								: DOCA_ERROR_NOT_SUPPORTED;
}

doca_error_t doca_flow_cfg_set_queue_depth(struct doca_flow_cfg *cfg, uint32_t depth)
{
	(void)cfg;
	return depth != 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_cfg_set_cb_entry_process(struct doca_flow_cfg *cfg,
						doca_flow_entry_process_cb cb)
{
	cfg->done = cb;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_cfg_set_nr_counters(struct doca_flow_cfg *cfg, uint32_t n)
{
	cfg->counters = n;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_cfg_set_nr_shared_resource(struct doca_flow_cfg *cfg, uint32_t n,
						  enum doca_flow_shared_resource_type type)
{
	if (type == DOCA_FLOW_SHARED_RESOURCE_PSP)
		cfg->psp = n;
	else if (type == DOCA_FLOW_SHARED_RESOURCE_MIRROR)
		cfg->mirrors = n;
	else
		return DOCA_ERROR_NOT_SUPPORTED;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_cfg_set_default_rss(struct doca_flow_cfg *cfg,
					   const struct doca_flow_resource_rss_cfg *rss)
{
	(void)cfg;
	return rss != NULL && rss->queues_array != NULL && rss->nr_queues > 0
		       ? DOCA_SUCCESS
		       : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_init(struct doca_flow_cfg *cfg)
{
	doca_error_t result;

	if (cfg == NULL || cfg->queues == 0 || !cfg->switch_mode)
		return DOCA_ERROR_BAD_CONFIG;
	if (si.up)
		return DOCA_ERROR_BAD_STATE;
	result = si_keys_up();
	if (result != DOCA_SUCCESS)
		return result;
	si.slots = calloc(cfg->psp + 1, sizeof(*si.slots));
	si.mirrors = calloc(cfg->mirrors + 1, sizeof(*si.mirrors));
	if (si.slots == NULL || si.mirrors == NULL) {
		si_shared_down();
		si_keys_down();
		return DOCA_ERROR_NO_MEMORY;
	}
	si.n_slots = cfg->psp;
	si.n_mirrors = cfg->mirrors;
	si.n_queues = cfg->queues;
	si.n_counters = cfg->counters;
	si.counters_used = 0;
	si.done = cfg->done;
	si_orders_up();
	si.up = true;
	return DOCA_SUCCESS;
}

void doca_flow_destroy(void)
{
	if (!si.up)
		return;
	for (uint32_t i = 0; i < SI_PORTS; i++) {
		if (si.ports[i] != NULL)
			si_die("DOCA Flow is destroyed, but port %u runs", i);
	}
	si_entries_free();
	si_shared_down();
	si_keys_down();
	si.up = false;
}

doca_error_t doca_flow_get_target(enum doca_flow_target_type type, struct doca_flow_target **target)
{
	if (type != DOCA_FLOW_TARGET_KERNEL || target == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*target = &si.kernel;
	return DOCA_SUCCESS;
}

void doca_standin_live(struct doca_standin_live *out)
{
	pthread_mutex_lock(&si.lock);
	*out = si.live;
	for (uint32_t i = 0; i < SI_QUEUES; i++) {
		struct rte_mempool *pool = si.nic[0].pools[i];

		/* Queues share a pool. */
		if (pool != NULL && (i == 0 || pool != si.nic[0].pools[i - 1]))
			out->mbufs += rte_mempool_in_use_count(pool);
	}
	pthread_mutex_unlock(&si.lock);
}

/* ---- ports ----------------------------------------------------------------------------------- */

doca_error_t doca_flow_port_cfg_create(struct doca_flow_port_cfg **cfg)
{
	*cfg = calloc(1, sizeof(**cfg));
	return *cfg != NULL ? DOCA_SUCCESS : DOCA_ERROR_NO_MEMORY;
}

doca_error_t doca_flow_port_cfg_destroy(struct doca_flow_port_cfg *cfg)
{
	free(cfg);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_port_cfg_set_port_id(struct doca_flow_port_cfg *cfg, uint16_t port_id)
{
	cfg->port_id = port_id;
	cfg->has_port_id = true;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_port_cfg_set_dev(struct doca_flow_port_cfg *cfg, struct doca_dev *dev)
{
	cfg->dev = dev;
	return dev != NULL ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_port_cfg_set_actions_mem_size(struct doca_flow_port_cfg *cfg, uint32_t size)
{
	(void)cfg;
	return size != 0 && (size & (size - 1)) == 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

/* The switch port has its device; a representor has none of its own, and comes after it. */
static doca_error_t check_port(const struct doca_flow_port_cfg *cfg, uint32_t *index)
{
	const struct si_nic_port *port;

	if (cfg == NULL || !cfg->has_port_id)
		return DOCA_ERROR_INVALID_VALUE;
	if (!si.up)
		return DOCA_ERROR_BAD_STATE;
	port = si_nic_port_of(cfg->port_id);
	if (port == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*index = (uint32_t)(port - si.nic);
	if (si.ports[*index] != NULL)
		return DOCA_ERROR_ALREADY_EXIST;
	if (*index == PSP_DP_PORT_UPLINK)
		return cfg->dev != NULL && port->pools[0] != NULL ? DOCA_SUCCESS
								  : DOCA_ERROR_BAD_STATE;
	return si.ports[PSP_DP_PORT_UPLINK] != NULL ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t doca_flow_port_start(const struct doca_flow_port_cfg *cfg,
				  struct doca_flow_port **port)
{
	struct doca_flow_port *made;
	uint32_t index = 0;
	doca_error_t result = check_port(cfg, &index);

	if (result != DOCA_SUCCESS)
		return result;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return DOCA_ERROR_NO_MEMORY;
	made->nic = &si.nic[index];
	made->index = index;
	pthread_mutex_lock(&si.lock);
	si.ports[index] = made;
	pthread_mutex_unlock(&si.lock);
	if (index == PSP_DP_PORT_HOST)
		result = si_nic_start();
	if (result != DOCA_SUCCESS) {
		si_nic_stop();
		si.ports[index] = NULL;
		free(made);
		return result;
	}
	*port = made;
	return DOCA_SUCCESS;
}

/* Pipes go with their port, whoever forwards to whom. */
static void drop_pipes(struct doca_flow_port *port)
{
	pthread_mutex_lock(&si.lock);
	for (struct doca_flow_pipe *pipe = port->pipes; pipe != NULL; pipe = pipe->next)
		si_entries_drop(pipe);
	while (port->pipes != NULL) {
		struct doca_flow_pipe *pipe = port->pipes;

		port->pipes = pipe->next;
		si.live.pipes--;
		free(pipe);
	}
	memset(si.roots, 0, sizeof(si.roots));
	pthread_mutex_unlock(&si.lock);
}

doca_error_t doca_flow_port_stop(struct doca_flow_port *port)
{
	if (port == NULL || (port != si.ports[0] && port != si.ports[1]))
		return DOCA_ERROR_INVALID_VALUE;
	if (port->index == PSP_DP_PORT_UPLINK && si.ports[PSP_DP_PORT_HOST] != NULL)
		return DOCA_ERROR_IN_USE;
	if (port->index == PSP_DP_PORT_HOST)
		si_nic_stop();
	else
		drop_pipes(port);
	pthread_mutex_lock(&si.lock);
	si.ports[port->index] = NULL;
	pthread_mutex_unlock(&si.lock);
	free(port);
	return DOCA_SUCCESS;
}

struct doca_flow_port *doca_flow_port_switch_get(const struct doca_flow_port *port)
{
	(void)port;
	return si.ports[PSP_DP_PORT_UPLINK];
}
