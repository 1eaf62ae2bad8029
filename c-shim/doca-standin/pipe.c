/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.c: pipes described, made and destroyed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

/* ---- the description ------------------------------------------------------------------------- */

doca_error_t doca_flow_pipe_cfg_create(struct doca_flow_pipe_cfg **cfg, struct doca_flow_port *port)
{
	if (cfg == NULL || port == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*cfg = calloc(1, sizeof(**cfg));
	if (*cfg == NULL)
		return DOCA_ERROR_NO_MEMORY;
	(*cfg)->port = port;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_destroy(struct doca_flow_pipe_cfg *cfg)
{
	free(cfg);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_name(struct doca_flow_pipe_cfg *cfg, const char *name)
{
	if (name == NULL || strlen(name) >= sizeof(cfg->name))
		return DOCA_ERROR_INVALID_VALUE;
	memcpy(cfg->name, name, strlen(name) + 1);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_type(struct doca_flow_pipe_cfg *cfg,
					 enum doca_flow_pipe_type type)
{
	if (type != DOCA_FLOW_PIPE_BASIC && type != DOCA_FLOW_PIPE_CONTROL)
		return DOCA_ERROR_NOT_SUPPORTED;
	cfg->type = type;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_domain(struct doca_flow_pipe_cfg *cfg,
					   enum doca_flow_pipe_domain domain)
{
	if (domain > DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->domain = domain;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_is_root(struct doca_flow_pipe_cfg *cfg, bool is_root)
{
	cfg->is_root = is_root;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_nr_entries(struct doca_flow_pipe_cfg *cfg, uint32_t n)
{
	cfg->nr_entries = n;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_miss_counter(struct doca_flow_pipe_cfg *cfg, bool on)
{
	cfg->miss_counter = on;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_dir_info(struct doca_flow_pipe_cfg *cfg,
					     enum doca_flow_direction_info direction)
{
	(void)cfg;
	return direction <= DOCA_FLOW_DIRECTION_HOST_TO_NETWORK ? DOCA_SUCCESS
								: DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_pipe_cfg_set_match(struct doca_flow_pipe_cfg *cfg,
					  const struct doca_flow_match *match,
					  const struct doca_flow_match *mask)
{
	if (match == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->match = *match;
	/* Without a mask what is not 0 is matched whole; the shim always gives one. */
	cfg->mask = mask != NULL ? *mask : *match;
	cfg->has_match = true;
	cfg->has_mask = mask != NULL;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_actions(struct doca_flow_pipe_cfg *cfg,
					    struct doca_flow_actions *const *actions,
					    struct doca_flow_actions *const *masks,
					    struct doca_flow_action_descs *const *descs, size_t n)
{
	if (actions == NULL || n == 0 || n > SI_TEMPLATES || descs != NULL)
		return DOCA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < n; i++) {
		if (actions[i] == NULL || (masks != NULL && masks[i] == NULL))
			return DOCA_ERROR_INVALID_VALUE;
		cfg->actions[i] = *actions[i];
		if (masks != NULL)
			cfg->action_masks[i] = *masks[i];
	}
	cfg->n_actions = (uint32_t)n;
	cfg->has_action_masks = masks != NULL;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_monitor(struct doca_flow_pipe_cfg *cfg,
					    const struct doca_flow_monitor *monitor)
{
	if (monitor == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->monitor = *monitor;
	return DOCA_SUCCESS;
}

/* For hash pipes, which 3.2 floods with and 3.0 has no use for here. */
doca_error_t doca_flow_pipe_cfg_set_hash_map_algorithm(struct doca_flow_pipe_cfg *cfg,
						       uint32_t algorithms)
{
	(void)cfg;
	(void)algorithms;
	return DOCA_ERROR_NOT_SUPPORTED;
}

/* ---- the pipe -------------------------------------------------------------------------------- */

static bool is_ours(const struct doca_flow_pipe *pipe)
{
	for (uint32_t i = 0; i < SI_PORTS; i++) {
		const struct doca_flow_pipe *p = si.ports[i] != NULL ? si.ports[i]->pipes : NULL;

		for (; p != NULL; p = p->next) {
			if (p == pipe)
				return true;
		}
	}
	return false;
}

static doca_error_t check(const struct doca_flow_pipe *pipe)
{
	const struct doca_flow_pipe_cfg *cfg = &pipe->cfg;
	doca_error_t result = DOCA_SUCCESS;

	if (!si.up || si.ports[cfg->port->index] != cfg->port)
		return DOCA_ERROR_BAD_STATE;
	if (cfg->type == DOCA_FLOW_PIPE_BASIC)
		result = si_match_check(&cfg->match, &cfg->mask);
	for (uint32_t i = 0; result == DOCA_SUCCESS && i < cfg->n_actions; i++)
		result = si_actions_check(&cfg->actions[i], cfg->domain);
	if (result != DOCA_SUCCESS)
		return result;
	/* A pipe of which nobody can say where its packets go. */
	if (cfg->type == DOCA_FLOW_PIPE_BASIC && pipe->fwd.type == DOCA_FLOW_FWD_NONE)
		return DOCA_ERROR_INVALID_VALUE;
	if (pipe->miss.type == DOCA_FLOW_FWD_CHANGEABLE ||
	    (pipe->miss.type == DOCA_FLOW_FWD_PIPE && pipe->miss.pipe == NULL))
		return DOCA_ERROR_INVALID_VALUE;
	if (cfg->nr_entries == 0)
		return DOCA_ERROR_INVALID_VALUE;
	return DOCA_SUCCESS;
}

/* One root for what comes in, and one for what the program transmits. */
static struct doca_flow_pipe **root_of(const struct doca_flow_pipe *pipe)
{
	return &si.roots[pipe->cfg.domain == DOCA_FLOW_PIPE_DOMAIN_EGRESS ||
			 pipe->cfg.domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS];
}

static doca_error_t publish(struct doca_flow_pipe *pipe)
{
	struct doca_flow_pipe **root = root_of(pipe);

	if (pipe->cfg.is_root) {
		if (*root != NULL)
			return DOCA_ERROR_ALREADY_EXIST;
		if (pipe->cfg.domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS)
			return DOCA_ERROR_NOT_SUPPORTED;
		*root = pipe;
	}
	pipe->next = pipe->cfg.port->pipes;
	pipe->cfg.port->pipes = pipe;
	si.live.pipes++;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_create(const struct doca_flow_pipe_cfg *cfg,
				   const struct doca_flow_fwd *fwd,
				   const struct doca_flow_fwd *fwd_miss,
				   struct doca_flow_pipe **pipe)
{
	struct doca_flow_pipe *made;
	doca_error_t result;

	if (cfg == NULL || pipe == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return DOCA_ERROR_NO_MEMORY;
	made->cfg = *cfg;
	pthread_mutex_lock(&si.lock);
	result = si_fwd_read(fwd, cfg->domain, &made->fwd);
	if (result == DOCA_SUCCESS)
		result = si_fwd_read(fwd_miss, cfg->domain, &made->miss);
	if (result == DOCA_SUCCESS && ((made->fwd.pipe != NULL && !is_ours(made->fwd.pipe)) ||
				       (made->miss.pipe != NULL && !is_ours(made->miss.pipe))))
		result = DOCA_ERROR_INVALID_VALUE;
	if (result == DOCA_SUCCESS)
		result = check(made);
	if (result == DOCA_SUCCESS)
		result = publish(made);
	pthread_mutex_unlock(&si.lock);
	if (result != DOCA_SUCCESS) {
		free(made);
		return result;
	}
	*pipe = made;
	return DOCA_SUCCESS;
}

/* ---- its end --------------------------------------------------------------------------------- */

static void check_unused(const struct doca_flow_pipe *by, const struct doca_flow_pipe *pipe)
{
	if (by == pipe)
		return;
	if (by->fwd.pipe == pipe || by->miss.pipe == pipe)
		si_die("pipe \"%s\" is destroyed, but pipe \"%s\" forwards to it", pipe->cfg.name,
		       by->cfg.name);
	for (const struct doca_flow_pipe_entry *e = by->entries; e != NULL; e = e->next) {
		if (e->rule.fwd.pipe == pipe)
			si_die("pipe \"%s\" is destroyed, but an entry of pipe \"%s\" forwards to "
			       "it",
			       pipe->cfg.name, by->cfg.name);
	}
}

void doca_flow_pipe_destroy(struct doca_flow_pipe *pipe)
{
	struct doca_flow_pipe **at;

	if (pipe == NULL)
		return;
	pthread_mutex_lock(&si.lock);
	if (!is_ours(pipe))
		si_die("a pipe is destroyed that is not there");
	si_entries_drop(pipe);
	for (at = &pipe->cfg.port->pipes; *at != pipe; at = &(*at)->next)
		;
	*at = pipe->next;
	for (const struct doca_flow_pipe *by = pipe->cfg.port->pipes; by != NULL; by = by->next)
		check_unused(by, pipe);
	if (*root_of(pipe) == pipe)
		*root_of(pipe) = NULL;
	si.live.pipes--;
	pthread_mutex_unlock(&si.lock);
	free(pipe);
}

doca_error_t doca_flow_resource_query_pipe_miss(struct doca_flow_pipe *pipe,
						struct doca_flow_resource_query *out)
{
	if (pipe == NULL || out == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (!pipe->cfg.miss_counter)
		return DOCA_ERROR_NOT_SUPPORTED;
	pthread_mutex_lock(&si.lock);
	out->counter.total_pkts = pipe->miss_packets;
	out->counter.total_bytes = pipe->miss_bytes;
	pthread_mutex_unlock(&si.lock);
	return DOCA_SUCCESS;
}
