/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "plane.h"

/* A pipe id: generation above, index below. */
#define INDEX_BITS 8u
_Static_assert(DP_PIPES_MAX == 1u << INDEX_BITS, "the index of a pipe fills its bits");

struct dp_pipe *dp_pipe_of(struct psp_dp *dp, uint32_t id)
{
	struct dp_pipe *pipe = atomic_load_explicit(&dp_plane_of(dp)->pipes[dp_pipe_index(id)],
						    memory_order_acquire);

	return pipe != NULL && pipe->id == id ? pipe : NULL;
}

void dp_pipe_hide(struct psp_dp *dp, const struct dp_pipe *pipe)
{
	struct dp_plane *plane = dp_plane_of(dp);

	if (atomic_load_explicit(&plane->root, memory_order_relaxed) == pipe)
		atomic_store_explicit(&plane->root, NULL, memory_order_release);
	atomic_store_explicit(&plane->pipes[dp_pipe_index(pipe->id)], NULL, memory_order_release);
}

void dp_pipe_refer(const struct dp_pipe *pipe)
{
	if (pipe->fwd.pipe != NULL)
		pipe->fwd.pipe->refs++;
	if (pipe->fwd_miss.pipe != NULL)
		pipe->fwd_miss.pipe->refs++;
}

void dp_pipe_release(const struct dp_pipe *pipe)
{
	if (pipe->fwd.pipe != NULL)
		pipe->fwd.pipe->refs--;
	if (pipe->fwd_miss.pipe != NULL)
		pipe->fwd_miss.pipe->refs--;
}

int32_t dp_fwd_resolve(struct psp_dp *dp, const char *what, const struct psp_dp_fwd *fwd,
		       struct dp_fwd *out)
{
	memset(out, 0, sizeof(*out));
	if (fwd->size != sizeof(*fwd))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: the forward has size %u, not %zu", what,
			       fwd->size, sizeof(*fwd));
	out->type = fwd->type;
	switch (fwd->type) {
	case PSP_DP_FWD_NONE:
	case PSP_DP_FWD_DROP:
	case PSP_DP_FWD_KERNEL:
		return 0;
	case PSP_DP_FWD_PORT:
		if (fwd->target > PSP_DP_PORT_HOST)
			return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no port %u", what,
				       fwd->target);
		break;
	case PSP_DP_FWD_RSS:
		if (fwd->target > PSP_DP_RSS_EXCEPTION)
			return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no RSS target %u", what,
				       fwd->target);
		break;
	case PSP_DP_FWD_PIPE:
		out->pipe = dp_pipe_of(dp, fwd->target);
		if (out->pipe == NULL)
			return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no pipe %u to forward to",
				       what, fwd->target);
		break;
	default:
		return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no forward type %u", what,
			       fwd->type);
	}
	out->target = fwd->target;
	return 0;
}

/* ---- create ---------------------------------------------------------------------------------- */

static int32_t check_sizes(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc)
{
	if (desc->monitor.size != sizeof(desc->monitor))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: the monitor has size %u, not %zu", what,
			       desc->monitor.size, sizeof(desc->monitor));
	/* The mask of a CONTROL pipe is unused, and so is its size. */
	if (desc->type == PSP_DP_PIPE_BASIC && desc->match_mask.size != sizeof(desc->match_mask))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: the match mask has size %u, not %zu", what,
			       desc->match_mask.size, sizeof(desc->match_mask));
	return 0;
}

static int32_t check(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, char *what, size_t cap)
{
	int32_t status;

	if (desc->size != sizeof(*desc))
		return dp_fail(dp, PSP_DP_EINVAL,
			       "Cannot create pipe: the descriptor has size %u, not %zu",
			       desc->size, sizeof(*desc));
	if (desc->name[0] == 0 || memchr(desc->name, 0, sizeof(desc->name)) == NULL)
		return dp_fail(dp, PSP_DP_EINVAL,
			       "Cannot create pipe: it has no name, or one without an end");
	(void)snprintf(what, cap, "Cannot create pipe \"%s\"", desc->name);
	if (desc->type > PSP_DP_PIPE_CONTROL)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no pipe type %u", what, desc->type);
	if (desc->domain > PSP_DP_DOMAIN_SECURE_EGRESS)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no domain %u", what, desc->domain);
	status = check_sizes(dp, what, desc);
	if (status == 0)
		status = plane_pipe_check(dp, what, desc);
	return status == 0 ? dp_actions_check(dp, what, &desc->actions) : status;
}

/* An index that is free, or DP_PIPES_MAX. PSP_DP_EEXIST when the name or the root is there already. */
static int32_t find_place(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
			  uint32_t *index)
{
	struct dp_plane *plane = dp_plane_of(dp);

	*index = DP_PIPES_MAX;
	for (uint32_t i = DP_PIPES_MAX; i-- > 0;) {
		const struct dp_pipe *pipe =
			atomic_load_explicit(&plane->pipes[i], memory_order_relaxed);

		if (pipe == NULL)
			*index = i;
		else if (strcmp(pipe->name, desc->name) == 0)
			return dp_fail(dp, PSP_DP_EEXIST, "%s: a pipe of this name is there", what);
	}
	if (*index == DP_PIPES_MAX)
		return dp_fail(dp, PSP_DP_ENOSPC, "%s: there are %u pipes already", what,
			       DP_PIPES_MAX);
	if (desc->is_root != 0 && atomic_load_explicit(&plane->root, memory_order_relaxed) != NULL)
		return dp_fail(dp, PSP_DP_EEXIST, "%s: there is a root pipe already", what);
	return 0;
}

static int32_t fill(struct psp_dp *dp, const char *what, const struct psp_dp_pipe_desc *desc,
		    struct dp_pipe *pipe)
{
	int32_t status;

	memcpy(pipe->name, desc->name, sizeof(pipe->name));
	pipe->type = desc->type;
	pipe->miss_counter = desc->miss_counter != 0;
	pipe->count = desc->monitor.counter != 0;
	pipe->actions = desc->actions;
	pipe->monitor = desc->monitor;
	status = dp_fwd_resolve(dp, what, &desc->fwd, &pipe->fwd);
	if (status == 0)
		status = dp_fwd_resolve(dp, what, &desc->fwd_miss, &pipe->fwd_miss);
	if (status == 0 && pipe->fwd_miss.type == PSP_DP_FWD_NONE)
		status = dp_fail(dp, PSP_DP_EINVAL, "%s: it does not say where a miss goes", what);
	return status;
}

static uint32_t next_id(struct dp_plane *plane, uint32_t index)
{
	uint32_t *generation = &plane->pipe_generation[index];

	*generation += 1;
	if (*generation >> (32u - INDEX_BITS) != 0)
		*generation = 1;
	return (*generation << INDEX_BITS) | index;
}

int32_t psp_dp_pipe_create(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, uint32_t *out)
{
	struct dp_plane *plane = dp_plane_of(dp);
	char what[DP_WHAT_LEN] = "Cannot create pipe";
	struct dp_pipe *pipe = NULL;
	uint32_t index;
	int32_t status;

	if (dp == NULL || desc == NULL || out == NULL)
		return PSP_DP_EINVAL;
	*out = 0;
	dp_lock(dp);
	status = check(dp, desc, what, sizeof(what));
	if (status == 0)
		status = find_place(dp, what, desc, &index);
	if (status != 0)
		goto out;
	pipe = plane_pipe_alloc();
	if (pipe == NULL) {
		status = dp_fail(dp, PSP_DP_ENOMEM, "%s: out of memory", what);
		goto out;
	}
	status = fill(dp, what, desc, pipe);
	if (status != 0)
		goto out;
	pipe->id = next_id(plane, index);
	status = plane_pipe_up(dp, what, desc, pipe);
	if (status != 0)
		goto out;
	dp_pipe_refer(pipe);
	atomic_store_explicit(&plane->pipes[index], pipe, memory_order_release);
	if (desc->is_root != 0)
		atomic_store_explicit(&plane->root, pipe, memory_order_release);
	*out = pipe->id;
	pipe = NULL;
out:
	if (pipe != NULL)
		plane_pipe_free(dp, pipe);
	dp_unlock(dp);
	return status;
}

/* ---- destroy --------------------------------------------------------------------------------- */

int32_t psp_dp_pipe_destroy(struct psp_dp *dp, uint32_t id)
{
	struct dp_pipe *pipe;
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	pipe = dp_pipe_of(dp, id);
	if (pipe == NULL)
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot remove pipe %u: there is none", id);
	else if (pipe->refs != 0)
		status = dp_fail(dp, PSP_DP_EBUSY,
				 "Cannot remove pipe \"%s\": %u pipes or entries forward to it",
				 pipe->name, pipe->refs);
	else
		status = plane_pipe_down(dp, pipe);
	if (status == 0) {
		dp_hold_drop_pipe(&dp_plane_of(dp)->hold, id);
		dp_pipe_release(pipe);
		plane_pipe_free(dp, pipe);
	}
	dp_unlock(dp);
	return status;
}
