/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "match.h"

/* ---- tables ---------------------------------------------------------------------------------- */

static void link_entry(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_pipe *pipe = entry->pipe;

	dpu_match_link(dp, entry);
	entry->next = pipe->entries;
	if (pipe->entries != NULL)
		pipe->entries->prev = entry;
	pipe->entries = entry;
	pipe->n_entries++;
	if (entry->rule.fwd.pipe != NULL)
		entry->rule.fwd.pipe->refs++;
	dpu_slot_link(dp, entry);
	dpu_encap_note(dp, &entry->rule.actions, true);
}

static void unlink_entry(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_pipe *pipe = entry->pipe;

	dpu_match_unlink(dp, entry);
	if (entry->prev != NULL)
		entry->prev->next = entry->next;
	else
		pipe->entries = entry->next;
	if (entry->next != NULL)
		entry->next->prev = entry->prev;
	pipe->n_entries--;
	if (entry->rule.fwd.pipe != NULL)
		entry->rule.fwd.pipe->refs--;
	dpu_slot_unlink(dp, entry);
	dpu_encap_note(dp, &entry->rule.actions, false);
	dpu_handle_give(&dp->handles, entry->id);
}

int32_t dpu_entry_unlink(struct psp_dp *dp, struct dpu_entry *entry)
{
	int32_t status;

	/* Afterwards there is no counter to read. */
	dpu_entry_settle(dp, entry);
	status = dpu_uninstall(dp, entry);
	if (status != 0)
		return status;
	entry->pipe->hits.packets += entry->total.packets;
	entry->pipe->hits.bytes += entry->total.bytes;
	unlink_entry(dp, entry);
	dpu_free(dp, entry, entry->piece.lost);
	return 0;
}

/* ---- the ABI --------------------------------------------------------------------------------- */

static int32_t check(struct psp_dp *dp, const struct dpu_pipe *pipe,
		     const struct psp_dp_entry_desc *desc)
{
	const char *wrong = NULL;

	if (desc->size != sizeof(*desc))
		return dpu_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": the descriptor has size %u, not %zu",
			pipe->name, desc->size, sizeof(*desc));
	if (desc->match.size != sizeof(desc->match) ||
	    (pipe->type == PSP_DP_PIPE_CONTROL &&
	     desc->match_mask.size != sizeof(desc->match_mask)))
		return dpu_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": match or mask has a size that is not %zu",
			pipe->name, sizeof(desc->match));
	if (pipe->type == PSP_DP_PIPE_CONTROL)
		wrong = dpu_match_check(&desc->match_mask, true);
	return wrong == NULL ? 0
			     : dpu_fail(dp, PSP_DP_ENOTSUP, "Cannot add entry to pipe \"%s\": %s",
					pipe->name, wrong);
}

/* What it matches, under its mask, and the leg for that. */
static int32_t fill_match(struct psp_dp *dp, const struct psp_dp_entry_desc *desc,
			  struct dpu_entry *entry)
{
	struct dpu_pipe *pipe = entry->pipe;
	struct psp_dp_match value = desc->match;
	uint32_t l3;

	if (pipe->authentic)
		value.parser_meta_psp_syndrome = PSP_DP_SYNDROME_OK;
	entry->priority = pipe->type == PSP_DP_PIPE_CONTROL ? desc->priority : 0;
	entry->mask = pipe->type == PSP_DP_PIPE_CONTROL ? desc->match_mask : pipe->mask;
	dpu_match_set(entry, &value);
	if (pipe->type == PSP_DP_PIPE_CONTROL)
		return 0;
	if (pipe->n_legs == 1) {
		entry->leg = &pipe->legs[0];
		return 0;
	}
	/* Under a mask of fewer than all bits a v4-mapped address would not look like one. */
	l3 = dpu_match_l3(&desc->match, &entry->mask);
	if (l3 == PSP_DP_L3_NONE)
		return dpu_fail(
			dp, PSP_DP_EINVAL,
			"Cannot add entry to pipe \"%s\": its addresses are of both families",
			pipe->name);
	entry->leg = &pipe->legs[l3 == PSP_DP_L3_IPV4 ? 0 : 1];
	return 0;
}

static int32_t entry_add(struct psp_dp *dp, const struct psp_dp_entry_desc *desc,
			 struct dpu_entry *entry)
{
	struct dpu_pipe *pipe = entry->pipe;
	int32_t status = fill_match(dp, desc, entry);

	if (status == 0)
		status = dpu_rule_fill(dp, pipe, desc, &entry->rule);
	if (status == 0 && pipe->type == PSP_DP_PIPE_CONTROL)
		status = dpu_control_level(dp, entry);
	if (status != 0)
		return status;
	if (dpu_match_is_there(dp, entry))
		return dpu_fail(dp, PSP_DP_EEXIST,
				"Cannot add entry to pipe \"%s\": one with this match is there",
				pipe->name);
	entry->id = dpu_handle_take(&dp->handles, entry);
	if (entry->id == 0)
		return dpu_fail(dp, PSP_DP_ENOSPC,
				"Cannot add entry to pipe \"%s\": there are %u entries already",
				pipe->name, dp->handles.used);
	status = dpu_install(dp, entry);
	if (status != 0)
		dpu_handle_give(&dp->handles, entry->id);
	else
		link_entry(dp, entry);
	return status;
}

int32_t psp_dp_entry_add(struct psp_dp *dp, uint32_t pipe_id, const struct psp_dp_entry_desc *desc,
			 uint32_t *out)
{
	struct dpu_entry *entry;
	struct dpu_pipe *pipe;
	int32_t status;

	if (dp == NULL || desc == NULL || out == NULL)
		return PSP_DP_EINVAL;
	*out = 0;
	pthread_mutex_lock(&dp->writer);
	pipe = dpu_pipe_of(dp, pipe_id);
	if (pipe == NULL) {
		status = dpu_fail(dp, PSP_DP_ENOENT, "Cannot add entry to pipe %u: there is none",
				  pipe_id);
		goto out;
	}
	status = check(dp, pipe, desc);
	if (status != 0)
		goto out;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL) {
		status = dpu_fail(dp, PSP_DP_ENOMEM,
				  "Cannot add entry to pipe \"%s\": out of memory", pipe->name);
		goto out;
	}
	entry->pipe = pipe;
	status = entry_add(dp, desc, entry);
	if (status == 0)
		*out = entry->id;
	else
		dpu_free(dp, entry, entry->piece.lost);
out:
	pthread_mutex_unlock(&dp->writer);
	return status;
}

static void take_rule(struct psp_dp *dp, struct dpu_entry *entry, const struct dpu_rule *rule)
{
	dpu_slot_unlink(dp, entry);
	if (rule->fwd.pipe != NULL)
		rule->fwd.pipe->refs++;
	if (entry->rule.fwd.pipe != NULL)
		entry->rule.fwd.pipe->refs--;
	dpu_encap_note(dp, &rule->actions, true);
	dpu_encap_note(dp, &entry->rule.actions, false);
	dpu_rule_set(dp, entry, rule);
	dpu_slot_link(dp, entry);
}

int32_t psp_dp_entry_update(struct psp_dp *dp, uint32_t id, const struct psp_dp_entry_desc *desc)
{
	struct dpu_rule rule = {.count = false};
	struct dpu_entry *entry;
	int32_t status;

	if (dp == NULL || desc == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	entry = dpu_handle_entry(&dp->handles, id);
	if (entry == NULL) {
		status = dpu_fail(dp, PSP_DP_ENOENT, "Cannot update entry %u: there is none", id);
		goto out;
	}
	status = check(dp, entry->pipe, desc);
	if (status == 0)
		status = dpu_rule_fill(dp, entry->pipe, desc, &rule);
	if (status != 0)
		goto out;
	/* What was counted so far belongs to the old rule and its key. */
	dpu_entry_settle(dp, entry);
	status = dpu_reinstall(dp, entry, &rule);
	if (status == 0)
		take_rule(dp, entry, &rule);
out:
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_entry_remove(struct psp_dp *dp, uint32_t id)
{
	struct dpu_entry *entry;
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	entry = dpu_handle_entry(&dp->handles, id);
	status = entry == NULL
			 ? dpu_fail(dp, PSP_DP_ENOENT, "Cannot remove entry %u: there is none", id)
			 : dpu_entry_unlink(dp, entry);
	pthread_mutex_unlock(&dp->writer);
	return status;
}
