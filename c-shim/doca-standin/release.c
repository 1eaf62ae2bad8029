/* SPDX-License-Identifier: Apache-2.0 */
/* release.c: functions of the API that are not the same in each release, over what they have in common. */
#include <string.h>

#include "standin.h"

#if DOCA_STANDIN < 303
doca_error_t doca_flow_pipe_control_add_entry(
	uint16_t queue, uint32_t priority, struct doca_flow_pipe *pipe,
	const struct doca_flow_match *match, const struct doca_flow_match *match_mask,
	const struct doca_flow_match_condition *condition, const struct doca_flow_actions *actions,
	const struct doca_flow_actions *actions_mask, const struct doca_flow_action_descs *descs,
	const struct doca_flow_monitor *monitor, const struct doca_flow_fwd *fwd, void *ctx,
	struct doca_flow_pipe_entry **out)
#else
doca_error_t doca_flow_pipe_control_add_entry(
	uint16_t queue, struct doca_flow_pipe *pipe, const struct doca_flow_match *match,
	const struct doca_flow_match *match_mask, const struct doca_flow_match_condition *condition,
	const struct doca_flow_actions *actions, const struct doca_flow_actions *actions_mask,
	const struct doca_flow_action_descs *descs, const struct doca_flow_monitor *monitor,
	uint32_t priority, const struct doca_flow_fwd *fwd, void *ctx,
	struct doca_flow_pipe_entry **out)
#endif
{
	SI_ASK();
	const struct si_give give = {.match = match,
				     .match_mask = match_mask,
				     .condition = condition,
				     .actions = actions,
				     .actions_mask = actions_mask,
				     .monitor = monitor,
				     .fwd = fwd,
				     .priority = priority,
				     .ctx = ctx};

	return descs == NULL ? si_control_add(queue, pipe, &give, out) : DOCA_ERROR_NOT_SUPPORTED;
}

/* ---- 3.0 and 3.1 ----------------------------------------------------------------------------- */

#if DOCA_STANDIN == 300
doca_error_t doca_flow_pipe_cfg_set_dir_info(struct doca_flow_pipe_cfg *cfg,
					     enum doca_flow_direction_info direction)
{
	SI_ASK();
	(void)cfg;
	return direction <= DOCA_FLOW_DIRECTION_HOST_TO_NETWORK ? DOCA_SUCCESS
								: DOCA_ERROR_INVALID_VALUE;
}
#endif

#if DOCA_STANDIN < 302
doca_error_t doca_flow_pipe_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
				      const struct doca_flow_match *match,
				      const struct doca_flow_actions *actions,
				      const struct doca_flow_monitor *monitor,
				      const struct doca_flow_fwd *fwd, uint32_t flags, void *ctx,
				      struct doca_flow_pipe_entry **out)
{
	SI_ASK();
	const struct si_give give = {.match = match,
				     .actions = actions,
				     .template = actions != NULL ? actions->action_idx : 0,
				     .monitor = monitor,
				     .fwd = fwd,
				     .ctx = ctx};

	(void)flags; /* a batch is completed with what comes after it: here, too */
	return si_basic_add(queue, pipe, &give, out);
}

doca_error_t doca_flow_pipe_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					 const struct doca_flow_actions *actions,
					 const struct doca_flow_monitor *monitor,
					 const struct doca_flow_fwd *fwd,
					 enum doca_flow_flags_type flags,
					 struct doca_flow_pipe_entry *entry)
{
	SI_ASK();
	const struct si_give give = {.actions = actions,
				     .template = actions != NULL ? actions->action_idx : 0,
				     .monitor = monitor,
				     .fwd = fwd};

	(void)flags;
	return si_basic_update(queue, pipe, &give, entry);
}
#endif

/* ---- 3.2 and later --------------------------------------------------------------------------- */

#if DOCA_STANDIN >= 302
/* Lists of one element, crypto, are what the samples have. */
static doca_error_t read_list(const struct doca_flow_ordered_list *list,
			      struct doca_flow_actions *out)
{
	const struct doca_flow_crypto *crypto;

	if (list == NULL || list->size != 1 || list->elements == NULL ||
	    list->elements[0].type != DOCA_FLOW_ORDERED_LIST_ELEMENT_CRYPTO ||
	    list->elements[0].crypto == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	crypto = list->elements[0].crypto;
	memset(out, 0, sizeof(*out));
	out->has_crypto_encap = crypto->has_crypto_encap;
	out->crypto_encap = crypto->crypto_encap;
	out->crypto = crypto->crypto;
	return DOCA_SUCCESS;
}

doca_error_t doca_flow_pipe_cfg_set_ordered_lists(struct doca_flow_pipe_cfg *cfg,
						  struct doca_flow_ordered_list *const *lists,
						  size_t n)
{
	SI_ASK();
	if (lists == NULL || n == 0 || n > SI_TEMPLATES)
		return DOCA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < n; i++) {
		/* Entries name a list by its number. */
		if (lists[i] == NULL || lists[i]->idx != i ||
		    read_list(lists[i], &cfg->actions[i]) != DOCA_SUCCESS)
			return DOCA_ERROR_INVALID_VALUE;
	}
	cfg->n_actions = (uint32_t)n;
	return DOCA_SUCCESS;
}

static doca_error_t list_add(uint16_t queue, struct doca_flow_pipe *pipe, uint32_t idx,
			     const struct doca_flow_ordered_list *list,
			     const struct doca_flow_fwd *fwd, void *ctx,
			     struct doca_flow_pipe_entry **out)
{
	struct doca_flow_actions actions;
	struct si_give give = {.actions = &actions, .fwd = fwd, .at = idx, .ctx = ctx};
	doca_error_t result = read_list(list, &actions);

	if (result != DOCA_SUCCESS)
		return result;
	give.template = list->idx;
	return si_numbered_add(queue, pipe, DOCA_FLOW_PIPE_ORDERED_LIST, &give, out);
}

static doca_error_t hash_add(uint16_t queue, struct doca_flow_pipe *pipe, uint32_t at,
			     uint8_t action_idx, const struct doca_flow_actions *actions,
			     const struct doca_flow_monitor *monitor,
			     const struct doca_flow_fwd *fwd, void *ctx,
			     struct doca_flow_pipe_entry **out)
{
	const struct si_give give = {.actions = actions,
				     .template = action_idx,
				     .monitor = monitor,
				     .fwd = fwd,
				     .at = at,
				     .ctx = ctx};

	return si_numbered_add(queue, pipe, DOCA_FLOW_PIPE_HASH, &give, out);
}
#endif

#if DOCA_STANDIN == 302
doca_error_t doca_flow_pipe_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
				      const struct doca_flow_match *match, uint8_t action_idx,
				      const struct doca_flow_actions *actions,
				      const struct doca_flow_monitor *monitor,
				      const struct doca_flow_fwd *fwd, uint32_t flags, void *ctx,
				      struct doca_flow_pipe_entry **out)
#elif DOCA_STANDIN >= 303
doca_error_t doca_flow_pipe_basic_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					    const struct doca_flow_match *match, uint8_t action_idx,
					    const struct doca_flow_actions *actions,
					    const struct doca_flow_monitor *monitor,
					    const struct doca_flow_fwd *fwd, uint32_t flags,
					    void *ctx, struct doca_flow_pipe_entry **out)
#endif
#if DOCA_STANDIN >= 302
{
	SI_ASK();
	const struct si_give give = {.match = match,
				     .actions = actions,
				     .template = action_idx,
				     .monitor = monitor,
				     .fwd = fwd,
				     .ctx = ctx};

	(void)flags;
	return si_basic_add(queue, pipe, &give, out);
}
#endif

#if DOCA_STANDIN == 302
doca_error_t doca_flow_pipe_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					 uint8_t action_idx,
					 const struct doca_flow_actions *actions,
					 const struct doca_flow_monitor *monitor,
					 const struct doca_flow_fwd *fwd,
					 enum doca_flow_flags_type flags,
					 struct doca_flow_pipe_entry *entry)
#elif DOCA_STANDIN >= 303
	doca_error_t
	doca_flow_pipe_basic_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					  uint8_t action_idx,
					  const struct doca_flow_actions *actions,
					  const struct doca_flow_monitor *monitor,
					  const struct doca_flow_fwd *fwd, uint32_t flags,
					  struct doca_flow_pipe_entry *entry)
#endif
#if DOCA_STANDIN >= 302
{
	SI_ASK();
	const struct si_give give = {
		.actions = actions, .template = action_idx, .monitor = monitor, .fwd = fwd};

	(void)flags;
	return si_basic_update(queue, pipe, &give, entry);
}
#endif

#if DOCA_STANDIN == 302
doca_error_t doca_flow_pipe_hash_add_entry(uint16_t queue, struct doca_flow_pipe *pipe, uint32_t at,
					   uint8_t action_idx,
					   const struct doca_flow_actions *actions,
					   const struct doca_flow_monitor *monitor,
					   const struct doca_flow_fwd *fwd,
					   enum doca_flow_flags_type flags, void *ctx,
					   struct doca_flow_pipe_entry **out)
{
	SI_ASK();
	(void)flags;
	return hash_add(queue, pipe, at, action_idx, actions, monitor, fwd, ctx, out);
}

doca_error_t doca_flow_pipe_ordered_list_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
						   uint32_t idx,
						   const struct doca_flow_ordered_list *list,
						   const struct doca_flow_fwd *fwd,
						   enum doca_flow_flags_type flags, void *ctx,
						   struct doca_flow_pipe_entry **out)
{
	SI_ASK();
	(void)flags;
	return list_add(queue, pipe, idx, list, fwd, ctx, out);
}
#elif DOCA_STANDIN >= 303
		doca_error_t
	doca_flow_pipe_hash_add_entry(uint16_t queue, struct doca_flow_pipe *pipe, uint32_t at,
				      uint8_t action_idx, const struct doca_flow_actions *actions,
				      const struct doca_flow_monitor *monitor,
				      const struct doca_flow_fwd *fwd, uint32_t flags, void *ctx,
				      struct doca_flow_pipe_entry **out)
{
	SI_ASK();
	(void)flags;
	return hash_add(queue, pipe, at, action_idx, actions, monitor, fwd, ctx, out);
}

doca_error_t doca_flow_pipe_ordered_list_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
						   uint32_t idx,
						   const struct doca_flow_ordered_list *list,
						   const struct doca_flow_fwd *fwd, uint32_t flags,
						   void *ctx, struct doca_flow_pipe_entry **out)
{
	SI_ASK();
	(void)flags;
	return list_add(queue, pipe, idx, list, fwd, ctx, out);
}
#endif
