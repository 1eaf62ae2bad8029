/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.c: pipes described, made and destroyed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

/* ---- the description ------------------------------------------------------------------------- */

doca_error_t doca_flow_pipe_cfg_create(struct doca_flow_pipe_cfg **cfg, struct doca_flow_port *port)
{
	SI_ASK();
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
	return si_said(__func__);
}

doca_error_t doca_flow_pipe_cfg_set_name(struct doca_flow_pipe_cfg *cfg, const char *name)
{
	SI_ASK();
	if (name == NULL || strlen(name) >= sizeof(cfg->name))
		return DOCA_ERROR_INVALID_VALUE;
	memcpy(cfg->name, name, strlen(name) + 1);
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_type(struct doca_flow_pipe_cfg *cfg,
					 enum doca_flow_pipe_type type)
{
	SI_ASK();
	if (type != DOCA_FLOW_PIPE_BASIC && type != DOCA_FLOW_PIPE_CONTROL &&
	    (DOCA_STANDIN < 302 ||
	     (type != DOCA_FLOW_PIPE_ORDERED_LIST && type != DOCA_FLOW_PIPE_HASH)))
		return DOCA_ERROR_NOT_SUPPORTED;
	cfg->type = type;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_domain(struct doca_flow_pipe_cfg *cfg,
					   enum doca_flow_pipe_domain domain)
{
	SI_ASK();
	if (domain > DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->domain = domain;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_is_root(struct doca_flow_pipe_cfg *cfg, bool is_root)
{
	SI_ASK();
	cfg->is_root = is_root;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_nr_entries(struct doca_flow_pipe_cfg *cfg, uint32_t n)
{
	SI_ASK();
	cfg->nr_entries = n;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_miss_counter(struct doca_flow_pipe_cfg *cfg, bool on)
{
	SI_ASK();
	cfg->miss_counter = on;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_match(struct doca_flow_pipe_cfg *cfg,
					  const struct doca_flow_match *match,
					  const struct doca_flow_match *mask)
{
	SI_ASK();
	if (match == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	return si_match_set(match, mask, &cfg->match);
}

/* One field can be added to here: the sample that does so (flow_modify_header) has it without masks. */
static doca_error_t read_descs(const struct doca_flow_action_descs *descs,
			       const struct doca_flow_actions *actions, bool *adds_ttl)
{
	const struct doca_flow_action_desc *desc = descs != NULL ? descs->desc_array : NULL;
	const char *field;

	if (descs == NULL || descs->nb_action_desc == 0)
		return DOCA_SUCCESS;
	field = desc != NULL ? desc->field_op.dst.field_string : NULL;
	if (descs->nb_action_desc != 1 || field == NULL || desc->type != DOCA_FLOW_ACTION_ADD ||
	    desc->field_op.dst.bit_offset != 0 || desc->field_op.width != 8)
		return DOCA_ERROR_NOT_SUPPORTED;
	*adds_ttl = (strcmp(field, "outer.ipv4.ttl") == 0 &&
		     actions->outer.l3_type == DOCA_FLOW_L3_TYPE_IP4) ||
		    (strcmp(field, "outer.ipv6.hop_limit") == 0 &&
		     actions->outer.l3_type == DOCA_FLOW_L3_TYPE_IP6);
	return *adds_ttl ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

doca_error_t doca_flow_pipe_cfg_set_actions(struct doca_flow_pipe_cfg *cfg,
					    struct doca_flow_actions *const *actions,
					    struct doca_flow_actions *const *masks,
					    struct doca_flow_action_descs *const *descs, size_t n)
{
	SI_ASK();
	doca_error_t result = DOCA_SUCCESS;

	if (actions == NULL || n == 0 || n > SI_TEMPLATES_ROOM)
		return DOCA_ERROR_INVALID_VALUE;
	if (n > SI_TEMPLATES && si_strict(DOCA_STANDIN_TEMPLATES))
		return DOCA_ERROR_TOO_BIG;
	for (size_t i = 0; i < n && result == DOCA_SUCCESS; i++) {
		if (actions[i] == NULL || (masks != NULL && masks[i] == NULL))
			return DOCA_ERROR_INVALID_VALUE;
		cfg->actions[i] = *actions[i];
		if (masks != NULL)
			cfg->action_masks[i] = *masks[i];
		if (descs != NULL)
			result = read_descs(descs[i], actions[i], &cfg->adds_ttl[i]);
	}
	cfg->n_actions = (uint32_t)n;
	cfg->has_action_masks = masks != NULL;
	return result;
}

doca_error_t doca_flow_pipe_cfg_set_monitor(struct doca_flow_pipe_cfg *cfg,
					    const struct doca_flow_monitor *monitor)
{
	SI_ASK();
	if (monitor == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	cfg->monitor = *monitor;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_hash_map_algorithm(struct doca_flow_pipe_cfg *cfg,
						       uint32_t algorithms)
{
	SI_ASK();
	cfg->floods = algorithms == DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING;
	return cfg->floods ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
}

/* ---- the pipe -------------------------------------------------------------------------------- */

/* What a pipe of each type must say. */
static doca_error_t check_type(const struct doca_flow_pipe *pipe)
{
	const struct doca_flow_pipe_cfg *cfg = &pipe->cfg;
	bool forwards = pipe->fwd.type != DOCA_FLOW_FWD_NONE;

	switch (cfg->type) {
	case DOCA_FLOW_PIPE_CONTROL:
		/* Each entry has its own. */
		return !forwards && cfg->n_actions == 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
	case DOCA_FLOW_PIPE_ORDERED_LIST:
		return forwards && cfg->n_actions != 0 && !cfg->is_root ? DOCA_SUCCESS
									: DOCA_ERROR_INVALID_VALUE;
	case DOCA_FLOW_PIPE_HASH:
		return pipe->fwd.type == DOCA_FLOW_FWD_CHANGEABLE && cfg->floods && !cfg->is_root
			       ? DOCA_SUCCESS
			       : DOCA_ERROR_INVALID_VALUE;
	default:
		/* A pipe of which nobody can say where its packets go. */
		return forwards ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
	}
}

static doca_error_t check(const struct doca_flow_pipe *pipe)
{
	const struct doca_flow_pipe_cfg *cfg = &pipe->cfg;
	doca_error_t result;

	if (!si.up || si.ports[cfg->port->index] != cfg->port)
		return DOCA_ERROR_BAD_STATE;
	result = check_type(pipe);
	for (uint32_t i = 0; result == DOCA_SUCCESS && i < cfg->n_actions; i++)
		result = si_actions_check(&cfg->actions[i], cfg);
	if (result != DOCA_SUCCESS)
		return result;
	return pipe->miss.open || cfg->nr_entries == 0 ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;
}

/* One root for what comes in, and one for what the program transmits. */
static struct doca_flow_pipe **root_of(const struct doca_flow_pipe *pipe)
{
	return &si.roots[si_is_egress(pipe->cfg.domain)];
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

static doca_error_t check_miss(const struct doca_flow_fwd *miss)
{
	if (miss == NULL || !si_strict(DOCA_STANDIN_MISS))
		return DOCA_SUCCESS;
	return miss->type == DOCA_FLOW_FWD_NONE || miss->type == DOCA_FLOW_FWD_PIPE ||
			       miss->type == DOCA_FLOW_FWD_DROP ||
			       miss->type == DOCA_FLOW_FWD_TARGET
		       ? DOCA_SUCCESS
		       : DOCA_ERROR_NOT_SUPPORTED;
}

static bool is_numbered(enum doca_flow_pipe_type type)
{
	return type == DOCA_FLOW_PIPE_ORDERED_LIST || type == DOCA_FLOW_PIPE_HASH;
}

doca_error_t doca_flow_pipe_create(const struct doca_flow_pipe_cfg *cfg,
				   const struct doca_flow_fwd *fwd,
				   const struct doca_flow_fwd *fwd_miss,
				   struct doca_flow_pipe **pipe)
{
	SI_ASK();
	struct doca_flow_pipe *made;
	doca_error_t result;

	if (cfg == NULL || pipe == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return DOCA_ERROR_NO_MEMORY;
	made->cfg = *cfg;
	pthread_mutex_lock(&si.lock);
	result = si_fwd_read(fwd, cfg, &made->fwd);
	if (result == DOCA_SUCCESS)
		result = check_miss(fwd_miss);
	if (result == DOCA_SUCCESS)
		result = si_fwd_read(fwd_miss, cfg, &made->miss);
	if (result == DOCA_SUCCESS)
		result = check(made);
	if (result == DOCA_SUCCESS && is_numbered(cfg->type)) {
		made->slots = calloc(cfg->nr_entries, sizeof(*made->slots));
		result = made->slots != NULL ? DOCA_SUCCESS : DOCA_ERROR_NO_MEMORY;
	}
	if (result == DOCA_SUCCESS)
		result = publish(made);
	pthread_mutex_unlock(&si.lock);
	if (result != DOCA_SUCCESS) {
		free(made->slots);
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
	if (!si_is_pipe(pipe))
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
	free(pipe->slots);
	free(pipe);
}

doca_error_t doca_flow_resource_query_pipe_miss(struct doca_flow_pipe *pipe,
						struct doca_flow_resource_query *out)
{
	SI_ASK();
	if (pipe == NULL || out == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (!pipe->cfg.miss_counter)
		return DOCA_ERROR_NOT_SUPPORTED;
	pthread_mutex_lock(&si.lock);
	si_count_read(&pipe->misses, out);
	pthread_mutex_unlock(&si.lock);
	return DOCA_SUCCESS;
}
