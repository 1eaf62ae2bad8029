/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c: entries asked for, changed and removed; packets see it once the order is completed (order.c). */
#include <stdlib.h>
#include <string.h>

#include "order.h"
#include "standin.h"

static bool is_pipe(const struct doca_flow_pipe *pipe)
{
	for (uint32_t i = 0; i < SI_PORTS; i++) {
		for (const struct doca_flow_pipe *p = si.ports[i] != NULL ? si.ports[i]->pipes
									  : NULL;
		     p != NULL; p = p->next) {
			if (p == pipe)
				return true;
		}
	}
	return false;
}

static doca_error_t add(uint16_t queue, struct doca_flow_pipe_entry *entry,
			struct doca_flow_pipe_entry **out)
{
	struct doca_flow_pipe *pipe = entry->pipe;

	if (pipe->n_entries >= pipe->cfg.nr_entries)
		return DOCA_ERROR_FULL;
	if (entry->rule.count && si.counters_used >= si.n_counters)
		return DOCA_ERROR_FULL;
	if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC &&
	    si_entry_find(pipe, &entry->match.value) != NULL)
		return DOCA_ERROR_ALREADY_EXIST;
	if (!si_order(queue, entry, DOCA_FLOW_ENTRY_OP_ADD))
		return DOCA_ERROR_NO_MEMORY;
	if (entry->rule.count)
		si.counters_used++;
	pipe->n_entries++;
	si.live.entries++;
	*out = entry;
	return DOCA_SUCCESS;
}

static struct doca_flow_pipe_entry *entry_new(struct doca_flow_pipe *pipe, void *ctx)
{
	struct doca_flow_pipe_entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	entry->pipe = pipe;
	entry->ctx = ctx;
	entry->state = SI_ADDING;
	return entry;
}

/* An entry belongs to a pipe of its type, and to a queue that there is. */
static doca_error_t check_pipe(uint16_t queue, const struct doca_flow_pipe *pipe,
			       enum doca_flow_pipe_type type)
{
	if (!si.up)
		return DOCA_ERROR_BAD_STATE;
	if (!is_pipe(pipe) || pipe->cfg.type != type || queue >= si.n_queues)
		return DOCA_ERROR_INVALID_VALUE;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
				      const struct doca_flow_match *match,
				      const struct doca_flow_actions *actions,
				      const struct doca_flow_monitor *monitor,
				      const struct doca_flow_fwd *fwd, uint32_t flags, void *ctx,
				      struct doca_flow_pipe_entry **out)
{
	struct doca_flow_pipe_entry *entry = entry_new(pipe, ctx);
	doca_error_t result;

	(void)flags; /* a batch is completed with what comes after it: here, too */
	if (entry == NULL)
		return DOCA_ERROR_NO_MEMORY;
	pthread_mutex_lock(&si.lock);
	result = out != NULL ? check_pipe(queue, pipe, DOCA_FLOW_PIPE_BASIC)
			     : DOCA_ERROR_INVALID_VALUE;
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, actions, NULL, monitor, fwd, &entry->rule);
	if (result == DOCA_SUCCESS) {
		si_match_fill(&pipe->cfg.match, &pipe->cfg.mask, match, &entry->match.value);
		entry->hash = si_match_hash(&entry->match.value);
		result = add(queue, entry, out);
	}
	pthread_mutex_unlock(&si.lock);
	if (result != DOCA_SUCCESS)
		free(entry);
	return result;
}

doca_error_t doca_flow_pipe_control_add_entry(
	uint16_t queue, uint32_t priority, struct doca_flow_pipe *pipe,
	const struct doca_flow_match *match, const struct doca_flow_match *match_mask,
	const struct doca_flow_match_condition *condition, const struct doca_flow_actions *actions,
	const struct doca_flow_actions *actions_mask, const struct doca_flow_action_descs *descs,
	const struct doca_flow_monitor *monitor, const struct doca_flow_fwd *fwd, void *ctx,
	struct doca_flow_pipe_entry **out)
{
	struct doca_flow_pipe_entry *entry = entry_new(pipe, ctx);
	doca_error_t result;

	if (entry == NULL)
		return DOCA_ERROR_NO_MEMORY;
	pthread_mutex_lock(&si.lock);
	result = out != NULL && match != NULL && condition == NULL && descs == NULL &&
				 priority < SI_LEVELS
			 ? check_pipe(queue, pipe, DOCA_FLOW_PIPE_CONTROL)
			 : DOCA_ERROR_INVALID_VALUE;
	if (result == DOCA_SUCCESS) {
		entry->priority = priority;
		entry->match.mask = match_mask != NULL ? *match_mask : *match;
		result = si_match_check(match, &entry->match.mask);
	}
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, actions, actions_mask, monitor, fwd, &entry->rule);
	if (result == DOCA_SUCCESS) {
		si_match_mask(match, &entry->match.mask, &entry->match.value);
		result = add(queue, entry, out);
	}
	pthread_mutex_unlock(&si.lock);
	if (result != DOCA_SUCCESS)
		free(entry);
	return result;
}

static doca_error_t check_entry(uint16_t queue, const struct doca_flow_pipe_entry *entry)
{
	if (queue >= si.n_queues)
		return DOCA_ERROR_INVALID_VALUE;
	if (entry->state == SI_DEAD)
		si_die("an entry is used after it was gone");
	return entry->state == SI_LIVE ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t doca_flow_pipe_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					 const struct doca_flow_actions *actions,
					 const struct doca_flow_monitor *monitor,
					 const struct doca_flow_fwd *fwd,
					 enum doca_flow_flags_type flags,
					 struct doca_flow_pipe_entry *entry)
{
	struct si_rule fresh;
	doca_error_t result;

	(void)flags;
	if (entry == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	result = check_pipe(queue, pipe, DOCA_FLOW_PIPE_BASIC);
	if (result == DOCA_SUCCESS)
		result = check_entry(queue, entry);
	if (result == DOCA_SUCCESS && entry->pipe != pipe)
		result = DOCA_ERROR_INVALID_VALUE;
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, actions, NULL, monitor, fwd, &fresh);
	if (result == DOCA_SUCCESS && !si_order(queue, entry, DOCA_FLOW_ENTRY_OP_UPD))
		result = DOCA_ERROR_NO_MEMORY;
	if (result == DOCA_SUCCESS) {
		entry->fresh = fresh;
		entry->state = SI_UPDATING;
	}
	pthread_mutex_unlock(&si.lock);
	return result;
}

doca_error_t doca_flow_pipe_remove_entry(uint16_t queue, uint32_t flags,
					 struct doca_flow_pipe_entry *entry)
{
	doca_error_t result;

	(void)flags;
	if (entry == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	result = check_entry(queue, entry);
	if (result == DOCA_SUCCESS && !si_order(queue, entry, DOCA_FLOW_ENTRY_OP_DEL))
		result = DOCA_ERROR_NO_MEMORY;
	if (result == DOCA_SUCCESS)
		entry->state = SI_REMOVING;
	pthread_mutex_unlock(&si.lock);
	return result;
}

doca_error_t doca_flow_resource_query_entry(struct doca_flow_pipe_entry *entry,
					    struct doca_flow_resource_query *out)
{
	doca_error_t result = DOCA_SUCCESS;

	if (entry == NULL || out == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	if (entry->state == SI_DEAD)
		si_die("an entry is queried after it was gone");
	if (entry->rule.count) {
		out->counter.total_pkts = entry->packets;
		out->counter.total_bytes = entry->bytes;
	} else {
		result = DOCA_ERROR_NOT_SUPPORTED;
	}
	pthread_mutex_unlock(&si.lock);
	return result;
}
