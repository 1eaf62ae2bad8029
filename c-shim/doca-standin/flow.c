/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c: the library and its ports: configured, started, stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

struct si si = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct doca_flow_cfg {
	uint16_t queues;
	bool switch_mode;
	uint32_t counters, psp, mirrors, depth;
	doca_flow_entry_process_cb done;
};

struct doca_flow_port_cfg {
	uint16_t port_id;
	bool has_port_id;
	struct doca_dev *dev;
	struct doca_dev_rep *rep;
	uint32_t actions_mem, cycle_ms;
	uint32_t counters, psp; /* from 3.2 on */
};

/* ---- the library ----------------------------------------------------------------------------- */

doca_error_t doca_flow_cfg_create(struct doca_flow_cfg **cfg)
{
	SI_ASK();
	*cfg = calloc(1, sizeof(**cfg));
	return *cfg != NULL ? DOCA_SUCCESS : DOCA_ERROR_NO_MEMORY;
}

doca_error_t doca_flow_cfg_destroy(struct doca_flow_cfg *cfg)
{
	free(cfg);
	return si_said(__func__);
}

doca_error_t doca_flow_cfg_set_pipe_queues(struct doca_flow_cfg *cfg, uint16_t queues)
{
	SI_ASK();
	if (queues == 0 || queues > SI_PIPE_QUEUES)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->queues = queues;
	return DOCA_SUCCESS;
}

/* From 3.3 on isolation goes without saying. */
static bool takes_mode(const char *args)
{
	return DOCA_STANDIN >= 303 ? strstr(args, "isolated") == NULL
				   : strstr(args, "isolated") != NULL;
}

doca_error_t doca_flow_cfg_set_mode_args(struct doca_flow_cfg *cfg, const char *args)
{
	SI_ASK();
	if (args == NULL || strstr(args, "hws") == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (si_strict(DOCA_STANDIN_MODE) && !takes_mode(args))
		return DOCA_ERROR_INVALID_VALUE;
	cfg->switch_mode = strstr(args, "switch") != NULL;
	/* The one arrangement that is executed here. */
	return cfg->switch_mode && strstr(args, "expert") != NULL ? DOCA_SUCCESS
								  : DOCA_ERROR_NOT_SUPPORTED;
}

doca_error_t doca_flow_cfg_set_queue_depth(struct doca_flow_cfg *cfg, uint32_t depth)
{
	SI_ASK();
	cfg->depth = depth;
	return depth != 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_cfg_set_cb_entry_process(struct doca_flow_cfg *cfg,
						doca_flow_entry_process_cb cb)
{
	SI_ASK();
	cfg->done = cb;
	return DOCA_SUCCESS;
}

#if DOCA_STANDIN < 302
doca_error_t doca_flow_cfg_set_nr_counters(struct doca_flow_cfg *cfg, uint32_t n)
{
	SI_ASK();
	cfg->counters = n;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_cfg_set_nr_shared_resource(struct doca_flow_cfg *cfg, uint32_t n,
						  enum doca_flow_shared_resource_type type)
{
	SI_ASK();
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
	SI_ASK();
	(void)cfg;
	return rss != NULL && rss->queues_array != NULL && rss->nr_queues > 0
		       ? DOCA_SUCCESS
		       : DOCA_ERROR_INVALID_VALUE;
}

#else
doca_error_t doca_flow_cfg_set_resource_mode(struct doca_flow_cfg *cfg,
					     enum doca_flow_resource_mode mode)
{
	SI_ASK();
	(void)cfg;
	/* The one that is executed here. */
	return mode == DOCA_FLOW_RESOURCE_MODE_PORT ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
}
#endif

static void read_failures(void)
{
	static const char *const kinds[] = {
		[DOCA_STANDIN_ERROR] = "error/",
		[DOCA_STANDIN_DELAY] = "late/",
		[DOCA_STANDIN_NEVER] = "never/",
	};
	const char *text = getenv("DOCA_STANDIN_FAIL");

	for (uint32_t i = DOCA_STANDIN_ERROR; text != NULL && i <= DOCA_STANDIN_NEVER; i++) {
		if (strncmp(text, kinds[i], strlen(kinds[i])) == 0)
			si.failures = (struct doca_standin_failures){
				.kind = (enum doca_standin_failure)i,
				.every = (uint32_t)strtoul(text + strlen(kinds[i]), NULL, 10),
			};
	}
}

doca_error_t doca_flow_init(struct doca_flow_cfg *cfg)
{
	SI_ASK();
	doca_error_t result;

	if (cfg == NULL || cfg->queues == 0 || !cfg->switch_mode)
		return DOCA_ERROR_BAD_CONFIG;
	if (si.up)
		return DOCA_ERROR_BAD_STATE;
	si_rules_up();
	result = cfg->counters <= si.capacity.counters ? si_keys_up() : DOCA_ERROR_NO_MEMORY;
	if (result != DOCA_SUCCESS)
		return result;
	result = si_shared_up(cfg->psp, cfg->mirrors);
	if (result != DOCA_SUCCESS) {
		si_keys_down();
		return result;
	}
	read_failures();
	si.n_queues = cfg->queues;
	si.depth = cfg->depth != 0 ? cfg->depth : SI_DEPTH;
	si.n_counters = cfg->counters;
	si.done = cfg->done;
	si.ordered = 0;
	si.began_ns = si_now_ns();
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
	SI_ASK();
	if (type != DOCA_FLOW_TARGET_KERNEL || target == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*target = &si.kernel;
	return DOCA_SUCCESS;
}

void doca_standin_live(struct doca_standin_live *out)
{
	pthread_mutex_lock(&si.lock);
	*out = si.live;
	out->root_masks = si_root_masks(si.roots[0]);
	for (uint32_t i = 0; i < SI_PORTS; i++)
		out->actions_mem += si.ports[i] != NULL ? si.ports[i]->actions_used : 0;
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
	SI_ASK();
	*cfg = calloc(1, sizeof(**cfg));
	return *cfg != NULL ? DOCA_SUCCESS : DOCA_ERROR_NO_MEMORY;
}

doca_error_t doca_flow_port_cfg_destroy(struct doca_flow_port_cfg *cfg)
{
	free(cfg);
	return si_said(__func__);
}

doca_error_t doca_flow_port_cfg_set_port_id(struct doca_flow_port_cfg *cfg, uint16_t port_id)
{
	SI_ASK();
	cfg->port_id = port_id;
	cfg->has_port_id = true;
	return DOCA_SUCCESS;
}

/* NULL: a representor has none of its own. */
doca_error_t doca_flow_port_cfg_set_dev(struct doca_flow_port_cfg *cfg, struct doca_dev *dev)
{
	SI_ASK();
	cfg->dev = dev;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_port_cfg_set_actions_mem_size(struct doca_flow_port_cfg *cfg, uint32_t size)
{
	SI_ASK();
	cfg->actions_mem = size;
	return size >= 64 && (size & (size - 1)) == 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_port_cfg_set_service_threads_cycle(struct doca_flow_port_cfg *cfg,
							  uint32_t cycle_ms)
{
	SI_ASK();
	cfg->cycle_ms = cycle_ms;
	return cycle_ms != 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

#if DOCA_STANDIN >= 301
/* NULL: the switch port is no representor. */
doca_error_t doca_flow_port_cfg_set_dev_rep(struct doca_flow_port_cfg *cfg,
					    struct doca_dev_rep *rep)
{
	SI_ASK();
	cfg->rep = rep;
	return DOCA_SUCCESS;
}
#endif

#if DOCA_STANDIN >= 302
doca_error_t doca_flow_port_cfg_set_nr_resources(struct doca_flow_port_cfg *cfg,
						 enum doca_flow_resource resource, uint32_t n)
{
	SI_ASK();
	if (resource == DOCA_FLOW_RESOURCE_COUNTER)
		cfg->counters = n;
	else if (resource == DOCA_FLOW_RESOURCE_PSP)
		cfg->psp = n;
	else
		return DOCA_ERROR_NOT_SUPPORTED;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_port_update_default_miss(struct doca_flow_port *port,
						enum doca_flow_port_default_miss_type miss,
						bool counter_en)
{
	SI_ASK();
	if (port == NULL || port != si.ports[SI_SWITCH] ||
	    miss != DOCA_FLOW_PORT_DEFAULT_MISS_KERNEL || counter_en)
		return DOCA_ERROR_INVALID_VALUE;
	port->misses_to_kernel = true;
	return DOCA_SUCCESS;
}
#endif

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
	if (*index == SI_SWITCH)
		return cfg->dev != NULL && port->pools[0] != NULL ? DOCA_SUCCESS
								  : DOCA_ERROR_BAD_STATE;
	if (DOCA_STANDIN >= 301 && cfg->rep == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	return si.ports[SI_SWITCH] != NULL ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

/* From 3.2 on a port has counters and ids of its own: the switch port, to which all pipes belong here. */
static doca_error_t port_resources(const struct doca_flow_port_cfg *cfg)
{
	if (cfg->actions_mem > si.capacity.actions_mem || cfg->counters > si.capacity.counters)
		return DOCA_ERROR_NO_MEMORY;
	if (DOCA_STANDIN < 302 || cfg->dev == NULL)
		return DOCA_SUCCESS;
	si.n_counters = cfg->counters;
	si_shared_down();
	return si_shared_up(cfg->psp, 0);
}

doca_error_t doca_flow_port_start(const struct doca_flow_port_cfg *cfg,
				  struct doca_flow_port **port)
{
	SI_ASK();
	struct doca_flow_port *made;
	uint32_t index = 0;
	doca_error_t result = check_port(cfg, &index);

	if (result == DOCA_SUCCESS)
		result = port_resources(cfg);
	if (result != DOCA_SUCCESS)
		return result;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return DOCA_ERROR_NO_MEMORY;
	made->nic = &si.nic[index];
	made->index = index;
	made->actions_mem = cfg->actions_mem;
	made->cycle_ms = cfg->cycle_ms != 0 ? cfg->cycle_ms : SI_CYCLE_MS;
	pthread_mutex_lock(&si.lock);
	si.ports[index] = made;
	pthread_mutex_unlock(&si.lock);
	if (index == SI_SWITCH)
		result = si_nic_start();
	atomic_store(&made->nic->started, result == DOCA_SUCCESS);
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
		free(pipe->slots);
		free(pipe);
	}
	memset(si.roots, 0, sizeof(si.roots));
	pthread_mutex_unlock(&si.lock);
}

static bool has_representors(void)
{
	for (uint32_t i = 1; i < SI_PORTS; i++) {
		if (si.ports[i] != NULL)
			return true;
	}
	return false;
}

doca_error_t doca_flow_port_stop(struct doca_flow_port *port)
{
	if (!si_is_port(port))
		return DOCA_ERROR_INVALID_VALUE;
	if (port->index == SI_SWITCH && has_representors())
		return DOCA_ERROR_IN_USE;
	atomic_store(&port->nic->started, false);
	if (port->index == SI_SWITCH) {
		si_nic_stop();
		drop_pipes(port);
	}
	pthread_mutex_lock(&si.lock);
	si.ports[port->index] = NULL;
	pthread_mutex_unlock(&si.lock);
	free(port);
	return si_said(__func__);
}

struct doca_flow_port *doca_flow_port_switch_get(const struct doca_flow_port *port)
{
	(void)port;
	return si_refuses(__func__) ? NULL : si.ports[SI_SWITCH];
}
