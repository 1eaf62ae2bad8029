/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipe.c: pipes, what an entry says, checked once and merged with what its pipe says, and entries: what both planes
 * share of them, and the functions of the ABI.
 */
#include <stdio.h>
#include <string.h>

#include "net.h"
#include "plane.h"

/* A pipe id: generation above, index below. */
#define INDEX_BITS 8u
_Static_assert(DP_PIPES_MAX == 1u << INDEX_BITS, "the index of a pipe fills its bits");

#define ACTIONS_ALL                                                                                \
	((uint32_t)(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP |            \
		    PSP_DP_ACTION_ENCRYPT | PSP_DP_ACTION_SET_PKT_META | PSP_DP_ACTION_SET_S |     \
		    PSP_DP_ACTION_COPY_DSCP | PSP_DP_ACTION_CHECK_CRYPT_OFFSET |                   \
		    PSP_DP_ACTION_CHECK_REPLAY | PSP_DP_ACTION_ROUTE))

/* ---- pipes, for the planes ------------------------------------------------------------------- */

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

/* What a forward names is referred to, or no longer. */
static void refer(const struct dp_fwd *fwd)
{
	if (fwd->pipe != NULL)
		fwd->pipe->refs++;
	if (fwd->port != NULL)
		fwd->port->refs++;
}

static void release(const struct dp_fwd *fwd)
{
	if (fwd->pipe != NULL)
		fwd->pipe->refs--;
	if (fwd->port != NULL)
		fwd->port->refs--;
}

/* 0 or PSP_DP_EINVAL; types that need no target leave pipe NULL. */
static int32_t fwd_resolve(struct psp_dp *dp, const char *what, const struct psp_dp_fwd *fwd,
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
		out->port = dp_port_find(&dp_plane_of(dp)->ports, fwd->target);
		if (out->port == NULL)
			return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no port %u", what,
				       fwd->target);
		out->target = out->port->desc.kind;
		return 0;
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

/* ---- rules ----------------------------------------------------------------------------------- */

static int32_t actions_check(struct psp_dp *dp, const char *what,
			     const struct psp_dp_actions *actions)
{
	if (actions->size != sizeof(*actions))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: the actions have size %u, not %zu", what,
			       actions->size, sizeof(*actions));
	if ((actions->flags & ~ACTIONS_ALL) != 0)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: there are no actions 0x%x", what,
			       actions->flags & ~ACTIONS_ALL);
	if (actions->encap_net_type > PSP_DP_NET_PSP_TRANSPORT)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: there is no encap type %u", what,
			       actions->encap_net_type);
	if (actions->crypt_offset > PSP_CRYPT_OFFSET_MASK)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: crypt offset %u is not within 0 to %u", what,
			       actions->crypt_offset, PSP_CRYPT_OFFSET_MASK);
	if (actions->replay_window != 0 && (actions->replay_window < PSP_DP_REPLAY_WINDOW_MIN ||
					    actions->replay_window > PSP_DP_REPLAY_WINDOW_MAX))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: replay_window %u is not within %u and %u",
			       what, actions->replay_window, PSP_DP_REPLAY_WINDOW_MIN,
			       PSP_DP_REPLAY_WINDOW_MAX);
	if (actions->encap_size > sizeof(actions->encap_data))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: encap_size is %u, more than %zu", what,
			       actions->encap_size, sizeof(actions->encap_data));
	return 0;
}

uint32_t dp_encap_psp(const struct psp_dp_actions *actions)
{
	const uint8_t *data = actions->encap_data;
	uint32_t size = actions->encap_size, off = NET_ETH_LEN;

	if (actions->encap_net_type == PSP_DP_NET_PSP_TUNNEL) {
		if (size < NET_ETH_LEN + NET_IP4_LEN)
			return 0;
		if (psp_get16(data + NET_ETH_TYPE) == NET_TYPE_IPV4)
			off += (data[NET_ETH_LEN] & 0x0fu) * 4u;
		else if (psp_get16(data + NET_ETH_TYPE) == NET_TYPE_IPV6)
			off += NET_IP6_LEN;
		else
			return 0;
	}
	off += NET_UDP_LEN;
	if (off + PSP_HEADER_LEN > size)
		return 0;
	return off + 8u + 8u * data[off + 1] == size ? off : 0;
}

uint32_t dp_overhead(const struct psp_dp_actions *encap)
{
	/* Both modes: everything of encap_data but Ethernet, and the ICV. */
	if (encap->encap_size < NET_ETH_LEN)
		return PSP_ICV_LEN;
	return encap->encap_size - NET_ETH_LEN + PSP_ICV_LEN;
}

uint32_t dp_max_ip(const struct psp_dp_actions *encap, uint32_t uplink)
{
	return encap->path_mtu != 0 && encap->path_mtu < uplink ? encap->path_mtu : uplink;
}

/* An entry's own values win: those that its flags name, or that are not 0. */
static void merge(const struct psp_dp_actions *pipe, const struct psp_dp_actions *own,
		  struct psp_dp_actions *out)
{
	static const uint8_t no_mac[6];

	*out = *own;
	out->flags |= pipe->flags;
	if ((own->flags & PSP_DP_ACTION_ENCRYPT) == 0 && own->crypto_id == 0)
		out->crypto_id = pipe->crypto_id;
	if ((own->flags & PSP_DP_ACTION_SET_PKT_META) == 0 && own->pkt_meta == 0)
		out->pkt_meta = pipe->pkt_meta;
	if ((own->flags & (PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ROUTE)) == 0 &&
	    memcmp(own->eth_dst, no_mac, 6) == 0 && memcmp(own->eth_src, no_mac, 6) == 0) {
		memcpy(out->eth_dst, pipe->eth_dst, 6);
		memcpy(out->eth_src, pipe->eth_src, 6);
	}
	if ((own->flags & PSP_DP_ACTION_ENCAP) == 0 && own->encap_size == 0) {
		out->encap_size = pipe->encap_size;
		memcpy(out->encap_data, pipe->encap_data, sizeof(out->encap_data));
		out->path_mtu = pipe->path_mtu;
	}
	if ((own->flags & PSP_DP_ACTION_CHECK_CRYPT_OFFSET) == 0 && own->crypt_offset == 0)
		out->crypt_offset = pipe->crypt_offset;
	if ((own->flags & PSP_DP_ACTION_CHECK_REPLAY) == 0 && own->replay_window == 0)
		out->replay_window = pipe->replay_window;
	if ((own->flags & (PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_DECAP)) == 0 && own->encap_size == 0)
		out->encap_net_type = pipe->encap_net_type;
}

void dp_rule_what(const struct dp_pipe *pipe, char what[DP_WHAT_LEN])
{
	(void)snprintf(what, DP_WHAT_LEN, "Cannot set entry of pipe \"%s\"", pipe->name);
}

int32_t dp_rule_actions(struct psp_dp *dp, const char *what, const struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_rule *rule)
{
	const struct psp_dp_actions *actions = &rule->actions;
	uint32_t ids = dp_plane_of(dp)->config.max_crypto_ids;
	int32_t status;

	if (desc->monitor.size != sizeof(desc->monitor))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: the monitor has size %u, not %zu", what,
			       desc->monitor.size, sizeof(desc->monitor));
	status = actions_check(dp, what, &desc->actions);
	if (status != 0)
		return status;
	merge(&pipe->actions, &desc->actions, &rule->actions);
	if ((actions->flags & PSP_DP_ACTION_ENCRYPT) != 0 &&
	    (actions->crypto_id == 0 || actions->crypto_id > ids))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: crypto id %u is not within 1 to %u", what,
			       actions->crypto_id, ids);
	if ((actions->flags & PSP_DP_ACTION_CHECK_REPLAY) != 0 && actions->replay_window == 0)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: a check for replays needs a window", what);
	if ((actions->flags & PSP_DP_ACTION_ROUTE) != 0 &&
	    (actions->flags & ~(uint32_t)PSP_DP_ACTION_ROUTE) != 0)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: ROUTE goes with no other action", what);
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0 && dp_encap_psp(actions) == 0)
		return dp_fail(dp, PSP_DP_EINVAL,
			       "%s: encap_data is not Ethernet, IP, UDP and PSP of %u octets", what,
			       actions->encap_size);
	return 0;
}

int32_t dp_rule_forward(struct psp_dp *dp, const char *what, const struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_rule *rule)
{
	int32_t status = fwd_resolve(dp, what, &desc->fwd, &rule->fwd);

	if (status != 0)
		return status;
	if (rule->fwd.type == PSP_DP_FWD_NONE)
		rule->fwd = pipe->fwd;
	if (rule->fwd.type == PSP_DP_FWD_NONE)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: neither it nor the pipe has a forward",
			       what);
	if (rule->fwd.pipe == pipe)
		return dp_fail(dp, PSP_DP_EINVAL, "%s: it forwards to its own pipe", what);
	rule->count = desc->monitor.counter != 0 || pipe->monitor.counter != 0;
	rule->mirror = desc->monitor.mirror != 0 || pipe->monitor.mirror != 0;
	rule->notify = desc->monitor.notify != 0 || pipe->monitor.notify != 0;
	return 0;
}

/* ---- pipes: create --------------------------------------------------------------------------- */

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

static int32_t check_pipe(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc, char *what,
			  size_t cap)
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
	return status == 0 ? actions_check(dp, what, &desc->actions) : status;
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
	status = fwd_resolve(dp, what, &desc->fwd, &pipe->fwd);
	if (status == 0)
		status = fwd_resolve(dp, what, &desc->fwd_miss, &pipe->fwd_miss);
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
	status = check_pipe(dp, desc, what, sizeof(what));
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
	refer(&pipe->fwd);
	refer(&pipe->fwd_miss);
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

/* ---- pipes: destroy -------------------------------------------------------------------------- */

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
		release(&pipe->fwd);
		release(&pipe->fwd_miss);
		plane_pipe_free(dp, pipe);
	}
	dp_unlock(dp);
	return status;
}

/* ---- entries, for the planes ----------------------------------------------------------------- */

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
	refer(to);
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
	release(to);
}

void dp_entry_forward(const struct dp_fwd *from, const struct dp_fwd *to)
{
	refer(to);
	release(from);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int32_t check_entry(struct psp_dp *dp, const struct dp_pipe *pipe,
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

/* 0, or why the pipe does not take such an entry. */
static int32_t find_pipe(struct psp_dp *dp, uint32_t pipe_id, const struct psp_dp_entry_desc *desc,
			 struct dp_pipe **out)
{
	*out = dp_pipe_of(dp, pipe_id);
	if (*out == NULL)
		return dp_fail(dp, PSP_DP_ENOENT, "Cannot add entry to pipe %u: there is none",
			       pipe_id);
	return check_entry(dp, *out, desc);
}

static int32_t add_entry(struct psp_dp *dp, uint32_t pipe_id, const struct psp_dp_entry_desc *desc,
			 uint32_t *out)
{
	struct dp_entry *entry = NULL;
	struct dp_pipe *pipe;
	int32_t status = find_pipe(dp, pipe_id, desc, &pipe);

	*out = 0;
	if (status == 0)
		status = plane_entry_add(dp, pipe, desc, &entry);
	if (status == 0)
		*out = entry->id;
	return status;
}

int32_t psp_dp_entry_add(struct psp_dp *dp, uint32_t pipe, const struct psp_dp_entry_desc *desc,
			 uint32_t *out)
{
	int32_t status;

	if (dp == NULL || desc == NULL || out == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = add_entry(dp, pipe, desc, out);
	dp_unlock(dp);
	return status;
}

/* NULL, and a sentence: there is none. */
static struct dp_entry *find_entry(struct psp_dp *dp, uint32_t id, const char *verb)
{
	struct dp_entry *entry = dp_handle_find(&dp_plane_of(dp)->entries, id);

	if (entry == NULL)
		(void)dp_fail(dp, PSP_DP_ENOENT, "Cannot %s entry %u: there is none", verb, id);
	return entry;
}

static int32_t update_entry(struct psp_dp *dp, uint32_t id, const struct psp_dp_entry_desc *desc)
{
	struct dp_entry *entry = find_entry(dp, id, "update");
	int32_t status;

	if (entry == NULL)
		return PSP_DP_ENOENT;
	status = check_entry(dp, entry->pipe, desc);
	return status == 0 ? plane_entry_update(dp, entry, desc) : status;
}

int32_t psp_dp_entry_update(struct psp_dp *dp, uint32_t id, const struct psp_dp_entry_desc *desc)
{
	int32_t status;

	if (dp == NULL || desc == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = update_entry(dp, id, desc);
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
	entry = find_entry(dp, id, "remove");
	status = entry != NULL ? plane_entry_remove(dp, entry) : PSP_DP_ENOENT;
	dp_unlock(dp);
	return status;
}

/* ---- what they have seen --------------------------------------------------------------------- */

int32_t psp_dp_pipe_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dp_pipe *pipe;
	int32_t status = 0;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	dp_lock(dp);
	pipe = dp_pipe_of(dp, id);
	if (pipe == NULL) {
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot query pipe %u: there is none", id);
	} else {
		dp_stats_clear(stats);
		stats->entries = pipe->n_entries;
		plane_pipe_query(dp, pipe, stats);
	}
	dp_unlock(dp);
	return status;
}

static int32_t query_entry(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	struct dp_entry *entry = find_entry(dp, id, "query");

	if (entry == NULL)
		return PSP_DP_ENOENT;
	dp_stats_clear(stats);
	plane_entry_query(dp, entry, stats);
	return 0;
}

int32_t psp_dp_entry_query(struct psp_dp *dp, uint32_t id, struct psp_dp_stats *stats)
{
	int32_t status;

	if (dp == NULL || stats == NULL || stats->size != sizeof(*stats))
		return PSP_DP_EINVAL;
	dp_lock(dp);
	status = query_entry(dp, id, stats);
	dp_unlock(dp);
	return status;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Of one kind, one behind the other, as many as a plane gets at a time. */
#define TOGETHER 256u

static int32_t adding_fill(struct psp_dp *dp, struct psp_dp_entry_item *item,
			   struct dp_adding *adding)
{
	dp_stats_clear(&item->stats);
	item->entry = 0;
	*adding = (struct dp_adding){.desc = &item->desc};
	return find_pipe(dp, item->pipe, &item->desc, &adding->pipe);
}

static void add_items(struct psp_dp *dp, struct psp_dp_entry_item *items, uint32_t n, uint32_t rank,
		      struct dp_first *first)
{
	struct psp_dp_entry_item *of[TOGETHER];
	struct dp_adding adding[TOGETHER];
	uint32_t sound = 0;

	for (uint32_t i = 0; i < n; i++) {
		items[i].status = adding_fill(dp, &items[i], &adding[sound]);
		dp_first_note(dp, first, rank + i, items[i].status);
		adding[sound].rank = rank + i;
		if (items[i].status == 0)
			of[sound++] = &items[i];
	}
	plane_entries_add(dp, adding, sound, first);
	for (uint32_t i = 0; i < sound; i++) {
		of[i]->status = adding[i].status;
		of[i]->entry = adding[i].entry != NULL ? adding[i].entry->id : 0;
	}
}

static int32_t updating_fill(struct psp_dp *dp, struct psp_dp_entry_item *item,
			     struct dp_updating *updating)
{
	struct dp_entry *entry = find_entry(dp, item->entry, "update");

	dp_stats_clear(&item->stats);
	*updating = (struct dp_updating){.entry = entry, .desc = &item->desc};
	return entry != NULL ? check_entry(dp, entry->pipe, &item->desc) : PSP_DP_ENOENT;
}

static void update_items(struct psp_dp *dp, struct psp_dp_entry_item *items, uint32_t n,
			 uint32_t rank, struct dp_first *first)
{
	struct psp_dp_entry_item *of[TOGETHER];
	struct dp_updating updating[TOGETHER];
	uint32_t sound = 0;

	for (uint32_t i = 0; i < n; i++) {
		items[i].status = updating_fill(dp, &items[i], &updating[sound]);
		dp_first_note(dp, first, rank + i, items[i].status);
		updating[sound].rank = rank + i;
		if (items[i].status == 0)
			of[sound++] = &items[i];
	}
	plane_entries_update(dp, updating, sound, first);
	for (uint32_t i = 0; i < sound; i++) {
		of[i]->status = updating[i].status;
		if (of[i]->status == 0)
			plane_entry_query(dp, updating[i].entry, &of[i]->stats);
	}
}

static bool is_taken(const struct dp_taking *taking, uint32_t n, const struct dp_entry *entry)
{
	for (uint32_t i = 0; i < n; i++) {
		if (taking[i].entry == entry)
			return true;
	}
	return false;
}

static void take_items(struct psp_dp *dp, struct psp_dp_entry_item *items, uint32_t n,
		       uint32_t rank, struct dp_first *first)
{
	struct psp_dp_entry_item *of[TOGETHER];
	struct dp_taking taking[TOGETHER];
	uint32_t there = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dp_entry *entry = find_entry(dp, items[i].entry, "remove");

		if (entry != NULL && is_taken(taking, there, entry)) {
			(void)dp_fail(dp, PSP_DP_ENOENT, "Cannot remove entry %u: there is none",
				      items[i].entry);
			entry = NULL;
		}
		dp_stats_clear(&items[i].stats);
		items[i].status = entry != NULL ? 0 : PSP_DP_ENOENT;
		dp_first_note(dp, first, rank + i, items[i].status);
		if (entry == NULL)
			continue;
		taking[there] = (struct dp_taking){
			.entry = entry, .last = &items[i].stats, .rank = rank + i};
		of[there++] = &items[i];
	}
	plane_entries_take(dp, taking, there, first);
	for (uint32_t i = 0; i < there; i++)
		of[i]->status = taking[i].status;
}

static void query_item(struct psp_dp *dp, struct psp_dp_entry_item *item, uint32_t rank,
		       struct dp_first *first)
{
	dp_stats_clear(&item->stats);
	item->status = query_entry(dp, item->entry, &item->stats);
	dp_first_note(dp, first, rank, item->status);
}

/* An entry that is updated twice gets the one before the other. */
static bool comes_again(const struct psp_dp_entry_item *items, uint32_t at)
{
	for (uint32_t i = 0; items[at].op == PSP_DP_OP_UPDATE && i < at; i++) {
		if (items[i].entry == items[at].entry)
			return true;
	}
	return false;
}

/* How many from here on are of the kind of the first. */
static uint32_t run_of(const struct psp_dp_entry_item *items, uint32_t n)
{
	uint32_t run = 1;

	while (run < n && run < TOGETHER && items[run].op == items[0].op &&
	       items[0].op != PSP_DP_OP_QUERY && !comes_again(items, run))
		run++;
	return run;
}

int32_t psp_dp_entry_list(struct psp_dp *dp, struct psp_dp_entry_item *items, uint32_t n)
{
	struct dp_first first = {0};

	if (dp == NULL || (items == NULL && n > 0))
		return PSP_DP_EINVAL;
	if (n > PSP_DP_LIST_MAX)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot change entries: %u are more than %u", n,
			       PSP_DP_LIST_MAX);
	for (uint32_t i = 0; i < n; i++) {
		if (items[i].size != sizeof(items[i]) || items[i].op > PSP_DP_OP_QUERY)
			return dp_fail(dp, PSP_DP_EINVAL,
				       "Cannot change entries: item %u has size %u and op %u", i,
				       items[i].size, items[i].op);
	}
	dp_lock(dp);
	for (uint32_t i = 0, run; i < n; i += run) {
		const uint32_t op = items[i].op;

		run = run_of(items + i, n - i);
		if (op == PSP_DP_OP_ADD)
			add_items(dp, items + i, run, i, &first);
		else if (op == PSP_DP_OP_REMOVE)
			take_items(dp, items + i, run, i, &first);
		else if (op == PSP_DP_OP_UPDATE)
			update_items(dp, items + i, run, i, &first);
		else
			query_item(dp, &items[i], i, &first);
	}
	plane_settle(dp);
	dp_unlock(dp);
	return dp_first_tell(dp, &first);
}
