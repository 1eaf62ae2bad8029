/* SPDX-License-Identifier: Apache-2.0 */
/* compat_entry.h: entries by release. Part of compat.h. */
#ifndef PSP_DPU_COMPAT_ENTRY_H
#define PSP_DPU_COMPAT_ENTRY_H

/* The one pipe queue: the API's threads take turns. */
#define COMPAT_QUEUE 0u

#if COMPAT_DOCA >= 303
#define COMPAT_NO_WAIT DOCA_FLOW_ENTRY_FLAGS_NO_WAIT
#else
#define COMPAT_NO_WAIT DOCA_FLOW_NO_WAIT
#endif

/* What an entry brings; NULL: as its pipe says. */
struct compat_entry {
	const struct doca_flow_match *match, *match_mask; /* the mask: control entries */
	struct doca_flow_actions *actions, *actions_mask; /* the mask: control entries */
	uint8_t template; /* which actions of the pipe it fills in */
	const struct doca_flow_monitor *monitor;
	const struct doca_flow_fwd *fwd;
	uint32_t priority; /* control entries */
	void *ctx;         /* valid until the entry is gone */
};

static inline doca_error_t compat_basic_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    const struct compat_entry *entry,
					    struct doca_flow_pipe_entry **out)
{
#if COMPAT_DOCA >= 303
	return COMPAT_ASK(call, doca_flow_pipe_basic_add_entry, COMPAT_QUEUE, pipe, entry->match,
			  entry->template, entry->actions, entry->monitor, entry->fwd,
			  COMPAT_NO_WAIT, entry->ctx, out);
#elif COMPAT_DOCA >= 302
	return COMPAT_ASK(call, doca_flow_pipe_add_entry, COMPAT_QUEUE, pipe, entry->match,
			  entry->template, entry->actions, entry->monitor, entry->fwd,
			  COMPAT_NO_WAIT, entry->ctx, out);
#else
	if (entry->actions != NULL)
		entry->actions->action_idx = entry->template;
	return COMPAT_ASK(call, doca_flow_pipe_add_entry, COMPAT_QUEUE, pipe, entry->match,
			  entry->actions, entry->monitor, entry->fwd, COMPAT_NO_WAIT, entry->ctx,
			  out);
#endif
}

static inline doca_error_t compat_basic_update(struct compat_call *call,
					       struct doca_flow_pipe *pipe,
					       const struct compat_entry *entry,
					       struct doca_flow_pipe_entry *old)
{
#if COMPAT_DOCA >= 303
	return COMPAT_ASK(call, doca_flow_pipe_basic_update_entry, COMPAT_QUEUE, pipe,
			  entry->template, entry->actions, entry->monitor, entry->fwd,
			  COMPAT_NO_WAIT, old);
#elif COMPAT_DOCA >= 302
	return COMPAT_ASK(call, doca_flow_pipe_update_entry, COMPAT_QUEUE, pipe, entry->template,
			  entry->actions, entry->monitor, entry->fwd, COMPAT_NO_WAIT, old);
#else
	if (entry->actions != NULL)
		entry->actions->action_idx = entry->template;
	return COMPAT_ASK(call, doca_flow_pipe_update_entry, COMPAT_QUEUE, pipe, entry->actions,
			  entry->monitor, entry->fwd, COMPAT_NO_WAIT, old);
#endif
}

static inline doca_error_t compat_control_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					      const struct compat_entry *entry,
					      struct doca_flow_pipe_entry **out)
{
#if COMPAT_DOCA >= 303
	return COMPAT_ASK(call, doca_flow_pipe_control_add_entry, COMPAT_QUEUE, pipe, entry->match,
			  entry->match_mask, NULL, entry->actions, entry->actions_mask, NULL,
			  entry->monitor, entry->priority, entry->fwd, entry->ctx, out);
#else
	return COMPAT_ASK(call, doca_flow_pipe_control_add_entry, COMPAT_QUEUE, entry->priority,
			  pipe, entry->match, entry->match_mask, NULL, entry->actions,
			  entry->actions_mask, NULL, entry->monitor, entry->fwd, entry->ctx, out);
#endif
}

/* Copies a packet to more than one place: by a mirror up to 3.1, by a flooding pipe from 3.2 on. */
static inline bool compat_has_mirror(void)
{
#if COMPAT_DOCA >= 302
	return false;
#else
	return true;
#endif
}

static inline doca_error_t compat_flood_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    uint32_t at, const struct doca_flow_fwd *fwd, void *ctx,
					    struct doca_flow_pipe_entry **out)
{
#if COMPAT_DOCA >= 302
	return COMPAT_ASK(call, doca_flow_pipe_hash_add_entry, COMPAT_QUEUE, pipe, at, 0, NULL,
			  NULL, fwd, COMPAT_NO_WAIT, ctx, out);
#else
	(void)call;
	(void)pipe;
	(void)at;
	(void)fwd;
	(void)ctx;
	(void)out;
	return DOCA_ERROR_NOT_SUPPORTED;
#endif
}

/* Sets mirror `id` up on a port: a copy goes to `copy`, the packet where its entry says. */
static inline doca_error_t compat_mirror_set(struct compat_call *call, struct doca_flow_port *port,
					     uint32_t id, bool bound,
					     const struct doca_flow_fwd *copy)
{
#if COMPAT_DOCA >= 302
	(void)call;
	(void)port;
	(void)id;
	(void)bound;
	(void)copy;
	return DOCA_ERROR_NOT_SUPPORTED;
#else
	struct doca_flow_mirror_target target = {.fwd = *copy};
	struct doca_flow_shared_resource_cfg cfg = {
		.mirror_cfg = {.nr_targets = 1, .target = &target},
	};
	doca_error_t result = COMPAT_ASK(call, doca_flow_shared_resource_set_cfg,
					 DOCA_FLOW_SHARED_RESOURCE_MIRROR, id, &cfg);

	return result == DOCA_SUCCESS && !bound
		       ? COMPAT_ASK(call, doca_flow_shared_resources_bind,
				    DOCA_FLOW_SHARED_RESOURCE_MIRROR, &id, 1, port)
		       : result;
#endif
}

static inline void compat_monitor_mirror(struct doca_flow_monitor *monitor, uint32_t id)
{
#if COMPAT_DOCA >= 302
	(void)monitor;
	(void)id;
#else
	monitor->shared_mirror_id = id;
#endif
}

#endif
