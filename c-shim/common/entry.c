/* SPDX-License-Identifier: Apache-2.0 */
#include "plane.h"

/* ---- for the planes -------------------------------------------------------------------------- */

int32_t dp_entry_no_memory(struct psp_dp *dp, const struct dp_pipe *pipe)
{
	return dp_fail(dp, PSP_DP_ENOMEM, "Cannot add entry to pipe \"%s\": out of memory",
		       pipe->name);
}

int32_t dp_entry_is_there(struct psp_dp *dp, const struct dp_pipe *pipe)
{
	return dp_fail(dp, PSP_DP_EEXIST,
		       "Cannot add entry to pipe \"%s\": one with this match is there", pipe->name);
}

int32_t dp_entry_name(struct psp_dp *dp, struct dp_entry *entry)
{
	struct dp_handles *handles = &dp_plane_of(dp)->entries;

	entry->id = dp_handle_take(handles, entry);
	if (entry->id != 0)
		return 0;
	return dp_fail(dp, PSP_DP_ENOSPC,
		       "Cannot add entry to pipe \"%s\": there are %u entries already",
		       entry->pipe->name, handles->used);
}

void dp_entry_unname(struct psp_dp *dp, const struct dp_entry *entry)
{
	dp_handle_give(&dp_plane_of(dp)->entries, entry->id);
}

void dp_entry_link(struct dp_entry *entry, const struct dp_fwd *to)
{
	struct dp_pipe *pipe = entry->pipe;

	entry->next = pipe->entries;
	if (pipe->entries != NULL)
		pipe->entries->prev = entry;
	pipe->entries = entry;
	pipe->n_entries++;
	if (to->pipe != NULL)
		to->pipe->refs++;
}

void dp_entry_unlink(struct dp_entry *entry, const struct dp_fwd *to)
{
	struct dp_pipe *pipe = entry->pipe;

	if (entry->prev != NULL)
		entry->prev->next = entry->next;
	else
		pipe->entries = entry->next;
	if (entry->next != NULL)
		entry->next->prev = entry->prev;
	pipe->n_entries--;
	if (to->pipe != NULL)
		to->pipe->refs--;
}

void dp_entry_forward(const struct dp_fwd *from, const struct dp_fwd *to)
{
	if (to->pipe != NULL)
		to->pipe->refs++;
	if (from->pipe != NULL)
		from->pipe->refs--;
}

/* ---- the ABI --------------------------------------------------------------------------------- */

static int32_t check(struct psp_dp *dp, const struct dp_pipe *pipe,
		     const struct psp_dp_entry_desc *desc)
{
	if (desc->size != sizeof(*desc))
		return dp_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": the descriptor has size %u, not %zu",
			pipe->name, desc->size, sizeof(*desc));
	if (desc->match.size != sizeof(desc->match) ||
	    (pipe->type == PSP_DP_PIPE_CONTROL &&
	     desc->match_mask.size != sizeof(desc->match_mask)))
		return dp_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": match or mask has a size that is not %zu",
			pipe->name, sizeof(desc->match));
	return 0;
}

int32_t psp_dp_entry_add(struct psp_dp *dp, uint32_t pipe_id, const struct psp_dp_entry_desc *desc,
			 uint32_t *out)
{
	struct dp_entry *entry = NULL;
	struct dp_pipe *pipe;
	int32_t status;

	if (dp == NULL || desc == NULL || out == NULL)
		return PSP_DP_EINVAL;
	*out = 0;
	dp_lock(dp);
	pipe = dp_pipe_of(dp, pipe_id);
	if (pipe == NULL)
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot add entry to pipe %u: there is none",
				 pipe_id);
	else
		status = check(dp, pipe, desc);
	if (status == 0)
		status = plane_entry_add(dp, pipe, desc, &entry);
	if (status == 0)
		*out = entry->id;
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_entry_update(struct psp_dp *dp, uint32_t id, const struct psp_dp_entry_desc *desc)
{
	struct dp_entry *entry;
	int32_t status;

	if (dp == NULL || desc == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	entry = dp_handle_find(&dp_plane_of(dp)->entries, id);
	if (entry == NULL)
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot update entry %u: there is none", id);
	else
		status = check(dp, entry->pipe, desc);
	if (status == 0)
		status = plane_entry_update(dp, entry, desc);
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_entry_remove(struct psp_dp *dp, uint32_t id)
{
	struct dp_entry *entry;
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	entry = dp_handle_find(&dp_plane_of(dp)->entries, id);
	if (entry == NULL)
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot remove entry %u: there is none", id);
	else
		status = plane_entry_remove(dp, entry);
	dp_unlock(dp);
	return status;
}
