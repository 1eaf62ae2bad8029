/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: what pipes and entries say, checked as a device's library does, and put together into rules. */
#include <string.h>

#include "standin.h"

/* ---- forwards -------------------------------------------------------------------------------- */

static doca_error_t read_rss(const struct doca_flow_fwd *fwd, struct si_fwd *out)
{
	if (fwd->rss_type != DOCA_FLOW_RESOURCE_TYPE_NON_SHARED)
		return DOCA_ERROR_INVALID_VALUE;
	/* A number of -1: each entry names its queues. */
	out->open = fwd->rss.nr_queues == -1;
	if (out->open)
		return DOCA_SUCCESS;
	if (fwd->rss.queues_array == NULL || fwd->rss.nr_queues < 1 ||
	    fwd->rss.nr_queues > (int)SI_QUEUES)
		return DOCA_ERROR_INVALID_VALUE;
	out->n_queues = (uint32_t)fwd->rss.nr_queues;
	out->spreads = fwd->rss.outer_flags;
	for (uint32_t i = 0; i < out->n_queues; i++) {
		out->queues[i] = fwd->rss.queues_array[i];
		if (out->queues[i] >= SI_QUEUES || si.nic[0].pools[out->queues[i]] == NULL)
			return DOCA_ERROR_INVALID_VALUE;
	}
	return DOCA_SUCCESS;
}

/* A flood may send a copy of what leaves to a pipe of the default domain. */
static doca_error_t check_jump(const struct doca_flow_pipe *pipe,
			       const struct doca_flow_pipe_cfg *from)
{
	if (!si_is_pipe(pipe))
		return DOCA_ERROR_INVALID_VALUE;
	if (!si_strict(DOCA_STANDIN_JUMP) || !si_is_egress(from->domain) ||
	    si_is_egress(pipe->cfg.domain) ||
	    (from->type == DOCA_FLOW_PIPE_HASH &&
	     pipe->cfg.domain == DOCA_FLOW_PIPE_DOMAIN_DEFAULT))
		return DOCA_SUCCESS;
	return DOCA_ERROR_NOT_SUPPORTED;
}

/* To a pipe of this type, in which entries have numbers. */
static doca_error_t read_numbered(const struct doca_flow_pipe_cfg *from,
				  enum doca_flow_pipe_type type, struct si_fwd *out)
{
	doca_error_t result = check_jump(out->pipe, from);

	if (result != DOCA_SUCCESS)
		return result;
	return out->pipe->cfg.type == type ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

static doca_error_t read_list(const struct doca_flow_fwd *fwd,
			      const struct doca_flow_pipe_cfg *from, struct si_fwd *out)
{
	doca_error_t result;

	out->pipe = fwd->ordered_list_pipe.pipe;
	out->at = fwd->ordered_list_pipe.idx;
	out->open = out->at == UINT32_MAX;
	result = read_numbered(from, DOCA_FLOW_PIPE_ORDERED_LIST, out);
	if (result != DOCA_SUCCESS)
		return result;
	if (si_strict(DOCA_STANDIN_LIST_DOMAIN) && out->pipe->cfg.domain != from->domain)
		return DOCA_ERROR_NOT_SUPPORTED;
	return out->open || out->at < out->pipe->cfg.nr_entries ? DOCA_SUCCESS
								: DOCA_ERROR_INVALID_VALUE;
}

static doca_error_t read_hash(const struct doca_flow_fwd *fwd,
			      const struct doca_flow_pipe_cfg *from, struct si_fwd *out)
{
	out->pipe = fwd->hash_pipe.pipe;
	if (fwd->hash_pipe.algorithm != DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING)
		return DOCA_ERROR_NOT_SUPPORTED;
	return read_numbered(from, DOCA_FLOW_PIPE_HASH, out);
}

static doca_error_t read_target(const struct doca_flow_fwd *fwd,
				const struct doca_flow_pipe_cfg *from)
{
	if (fwd->target != &si.kernel)
		return DOCA_ERROR_INVALID_VALUE;
	if (from->domain != DOCA_FLOW_PIPE_DOMAIN_DEFAULT)
		return DOCA_ERROR_NOT_SUPPORTED;
	return from->is_root && si_strict(DOCA_STANDIN_ROOT_TARGET) ? DOCA_ERROR_NOT_SUPPORTED
								    : DOCA_SUCCESS;
}

doca_error_t si_fwd_read(const struct doca_flow_fwd *fwd, const struct doca_flow_pipe_cfg *from,
			 struct si_fwd *out)
{
	memset(out, 0, sizeof(*out));
	if (fwd == NULL)
		return DOCA_SUCCESS;
	out->type = fwd->type;
	switch (fwd->type) {
	case DOCA_FLOW_FWD_NONE:
	case DOCA_FLOW_FWD_DROP:
		return DOCA_SUCCESS;
	case DOCA_FLOW_FWD_CHANGEABLE:
		out->open = true;
		return DOCA_SUCCESS;
	case DOCA_FLOW_FWD_RSS:
		return read_rss(fwd, out);
	case DOCA_FLOW_FWD_PORT:
		out->port_id = fwd->port_id;
		return si_nic_port_of(fwd->port_id) != NULL ? DOCA_SUCCESS
							    : DOCA_ERROR_INVALID_VALUE;
	case DOCA_FLOW_FWD_PIPE:
		out->pipe = fwd->next_pipe;
		out->open = out->pipe == NULL;
		return out->open ? DOCA_SUCCESS : check_jump(out->pipe, from);
	case DOCA_FLOW_FWD_TARGET:
		return read_target(fwd, from);
	case DOCA_FLOW_FWD_ORDERED_LIST_PIPE:
		return read_list(fwd, from, out);
	case DOCA_FLOW_FWD_HASH_PIPE:
		return read_hash(fwd, from, out);
	default:
		return DOCA_ERROR_NOT_SUPPORTED;
	}
}

static bool same_fwd(const struct si_fwd *a, const struct si_fwd *b)
{
	return a->type == b->type && a->port_id == b->port_id && a->pipe == b->pipe &&
	       a->at == b->at && a->n_queues == b->n_queues &&
	       memcmp(a->queues, b->queues, sizeof(a->queues)) == 0;
}

/* ---- actions --------------------------------------------------------------------------------- */

static doca_error_t allow(bool does)
{
	return does || !si_strict(DOCA_STANDIN_DOMAIN) ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
}

/* At 3.0 a packet may be decapsulated in the default domain too. */
static bool may_decap(enum doca_flow_pipe_domain domain)
{
	return domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS ||
	       (DOCA_STANDIN == 300 && domain == DOCA_FLOW_PIPE_DOMAIN_DEFAULT);
}

static doca_error_t check_encap(const struct doca_flow_crypto_encap_action *encap,
				enum doca_flow_pipe_domain domain)
{
	bool tunnel = encap->net_type == DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL;

	if (!tunnel && encap->net_type != DOCA_FLOW_CRYPTO_HEADER_PSP_OVER_IPV4 &&
	    encap->net_type != DOCA_FLOW_CRYPTO_HEADER_PSP_OVER_IPV6)
		return DOCA_ERROR_INVALID_VALUE;
	if (encap->icv_size != PSP_ICV_LEN || encap->data_size > DOCA_FLOW_CRYPTO_HEADER_LEN_MAX)
		return DOCA_ERROR_INVALID_VALUE;
	if (encap->action_type == DOCA_FLOW_CRYPTO_REFORMAT_ENCAP)
		return allow(domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS);
	/* The Ethernet header that stays is the tunnel's to give. */
	if (tunnel && encap->data_size < 14)
		return DOCA_ERROR_INVALID_VALUE;
	return allow(may_decap(domain));
}

doca_error_t si_actions_check(const struct doca_flow_actions *actions,
			      const struct doca_flow_pipe_cfg *cfg)
{
	const struct doca_flow_crypto_action *crypto = &actions->crypto;
	bool listed = cfg->type == DOCA_FLOW_PIPE_ORDERED_LIST;

	if (actions->has_crypto_encap) {
		doca_error_t result = check_encap(&actions->crypto_encap, cfg->domain);

		if (result != DOCA_SUCCESS)
			return result;
	}
	if (crypto->action_type == DOCA_FLOW_CRYPTO_ACTION_NONE)
		return DOCA_SUCCESS;
	if (DOCA_STANDIN >= 302 && !listed && si_strict(DOCA_STANDIN_LIST))
		return DOCA_ERROR_NOT_SUPPORTED;
	if (crypto->resource_type != DOCA_FLOW_CRYPTO_RESOURCE_PSP)
		return DOCA_ERROR_INVALID_VALUE;
	if (crypto->action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT)
		return allow(cfg->domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS);
	if (crypto->crypto_id != DOCA_FLOW_PSP_DECRYPTION_ID)
		return DOCA_ERROR_INVALID_VALUE;
	return allow(cfg->domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS);
}

static bool all_ones(const void *octets, size_t len)
{
	const uint8_t *at = octets;

	for (size_t i = 0; i < len; i++) {
		if (at[i] != 0xff)
			return false;
	}
	return true;
}

/* What an entry fills in; without anything: NULL. */
struct filling {
	const struct doca_flow_actions *from;
	struct si_rule *rule;
	bool lacks; /* the template leaves something to the entry, which brings nothing */
};

/* Octets of ones in a template are the entry's. */
static void fill(struct filling *filling, void *to, size_t len, const void *from)
{
	if (len == 0 || !all_ones(to, len))
		return;
	filling->rule->own_actions = true;
	if (filling->from == NULL)
		filling->lacks = true;
	else
		memcpy(to, from, len);
}

#define FILL(filling, field)                                                                       \
	fill(filling, &(filling)->rule->actions.field, sizeof((filling)->rule->actions.field),     \
	     (filling)->from != NULL ? &(filling)->from->field : NULL)

/* Without a mask what is not 0 is set whole. */
static void imply_mask(const struct doca_flow_actions *actions, struct doca_flow_actions *mask)
{
	static const uint8_t none[6];

	memset(mask, 0, sizeof(*mask));
	mask->meta.pkt_meta = actions->meta.pkt_meta != 0 ? UINT32_MAX : 0;
	for (uint32_t i = 0; i < DOCA_FLOW_META_SCRATCH_PAD_MAX; i++)
		mask->meta.u32[i] = actions->meta.u32[i] != 0 ? UINT32_MAX : 0;
	memset(mask->outer.eth.dst_mac, memcmp(actions->outer.eth.dst_mac, none, 6) != 0 ? 0xff : 0,
	       6);
	memset(mask->outer.eth.src_mac, memcmp(actions->outer.eth.src_mac, none, 6) != 0 ? 0xff : 0,
	       6);
	mask->tun.type = actions->tun.type;
	mask->tun.psp.s_d_ver_v = actions->tun.psp.s_d_ver_v;
}

static doca_error_t fill_crypto(struct filling *filling)
{
	struct doca_flow_crypto_encap_action *encap = &filling->rule->actions.crypto_encap;
	const struct doca_flow_actions *from = filling->from;
	struct doca_flow_crypto_action *crypto = &filling->rule->actions.crypto;

	if (filling->rule->actions.has_crypto_encap) {
		/* The size is the template's; an entry may leave it out. */
		if (from != NULL && from->crypto_encap.data_size != 0 &&
		    from->crypto_encap.data_size != encap->data_size)
			return DOCA_ERROR_INVALID_VALUE;
		fill(filling, encap->encap_data, encap->data_size,
		     from != NULL ? from->crypto_encap.encap_data : NULL);
	}
	if (crypto->action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT)
		FILL(filling, crypto.crypto_id);
	return DOCA_SUCCESS;
}

static doca_error_t fill_actions(const struct doca_flow_pipe *pipe, const struct si_give *give,
				 struct si_rule *out)
{
	const struct doca_flow_pipe_cfg *cfg = &pipe->cfg;
	struct filling filling = {.from = give->actions, .rule = out};
	doca_error_t result;

	if (cfg->n_actions == 0)
		return give->actions == NULL ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
	if (give->template >= cfg->n_actions)
		return DOCA_ERROR_INVALID_VALUE;
	out->has_actions = true;
	out->actions = cfg->actions[give->template];
	out->adds_ttl = cfg->adds_ttl[give->template];
	if (cfg->has_action_masks)
		out->mask = cfg->action_masks[give->template];
	else
		imply_mask(&out->actions, &out->mask);
	FILL(&filling, meta.pkt_meta);
	for (uint32_t i = 0; i < DOCA_FLOW_META_SCRATCH_PAD_MAX; i++)
		FILL(&filling, meta.u32[i]);
	FILL(&filling, outer.eth.dst_mac);
	FILL(&filling, outer.eth.src_mac);
	result = fill_crypto(&filling);
	if (result != DOCA_SUCCESS)
		return result;
	return filling.lacks ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static doca_error_t check_slot(const struct doca_flow_crypto_action *crypto)
{
	const struct si_slot *slot;

	if (crypto->crypto_id >= si.n_slots)
		return DOCA_ERROR_INVALID_VALUE;
	slot = &si.slots[crypto->crypto_id];
	if (!slot->bound && si_strict(DOCA_STANDIN_BIND))
		return DOCA_ERROR_BAD_STATE;
	return slot->set || !si_strict(DOCA_STANDIN_KEYED) ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

static doca_error_t check_resources(const struct si_rule *rule)
{
	if (rule->has_actions &&
	    rule->actions.crypto.action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT) {
		doca_error_t result = check_slot(&rule->actions.crypto);

		if (result != DOCA_SUCCESS)
			return result;
	}
	if (rule->mirror == 0)
		return DOCA_SUCCESS;
	if (rule->mirror >= si.n_mirrors)
		return DOCA_ERROR_INVALID_VALUE;
	return si.mirrors[rule->mirror].set && si.mirrors[rule->mirror].bound
		       ? DOCA_SUCCESS
		       : DOCA_ERROR_BAD_STATE;
}

static doca_error_t fill_monitor(const struct doca_flow_pipe *pipe,
				 const struct doca_flow_monitor *monitor, struct si_rule *out)
{
	const struct doca_flow_monitor *given = &pipe->cfg.monitor;
	bool control = pipe->cfg.type == DOCA_FLOW_PIPE_CONTROL;

	out->count = given->counter_type == DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	out->mirror = given->shared_mirror_id;
	if (monitor == NULL)
		return out->mirror == UINT32_MAX ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;
	if (control) {
		out->count = monitor->counter_type == DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
		out->mirror = monitor->shared_mirror_id;
		return DOCA_SUCCESS;
	}
	/* The pipe has room for what its own monitor named, and for nothing else. */
	if (monitor->counter_type == DOCA_FLOW_RESOURCE_TYPE_NON_SHARED && !out->count)
		return DOCA_ERROR_INVALID_VALUE;
	if (monitor->shared_mirror_id != 0 && given->shared_mirror_id != UINT32_MAX)
		return DOCA_ERROR_INVALID_VALUE;
	if (given->shared_mirror_id == UINT32_MAX)
		out->mirror = monitor->shared_mirror_id;
	return DOCA_SUCCESS;
}

static doca_error_t fill_fwd(const struct doca_flow_pipe *pipe, const struct doca_flow_fwd *fwd,
			     struct si_rule *out)
{
	const struct si_fwd *given = &pipe->fwd;
	bool open = given->open || pipe->cfg.type == DOCA_FLOW_PIPE_CONTROL;
	doca_error_t result;

	if (!open && (fwd == NULL || fwd->type == DOCA_FLOW_FWD_NONE)) {
		out->fwd = *given;
		return DOCA_SUCCESS;
	}
	result = si_fwd_read(fwd, &pipe->cfg, &out->fwd);
	if (result != DOCA_SUCCESS)
		return result;
	/* What the pipe says may be said again. */
	if (!open)
		return same_fwd(given, &out->fwd) ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
	if (out->fwd.type == DOCA_FLOW_FWD_NONE || out->fwd.open)
		return DOCA_ERROR_INVALID_VALUE;
	return pipe->cfg.type == DOCA_FLOW_PIPE_CONTROL ||
			       given->type == DOCA_FLOW_FWD_CHANGEABLE ||
			       given->type == out->fwd.type
		       ? DOCA_SUCCESS
		       : DOCA_ERROR_INVALID_VALUE;
}

static doca_error_t fill_control(const struct doca_flow_pipe *pipe, const struct si_give *give,
				 struct si_rule *out)
{
	if (give->actions == NULL)
		return DOCA_SUCCESS;
	out->has_actions = true;
	out->own_actions = true;
	out->actions = *give->actions;
	if (give->actions_mask != NULL)
		out->mask = *give->actions_mask;
	else
		imply_mask(give->actions, &out->mask);
	return si_actions_check(give->actions, &pipe->cfg);
}

doca_error_t si_rule_fill(const struct doca_flow_pipe *pipe, const struct si_give *give,
			  struct si_rule *out)
{
	doca_error_t result;

	memset(out, 0, sizeof(*out));
	result = pipe->cfg.type == DOCA_FLOW_PIPE_CONTROL ? fill_control(pipe, give, out)
							  : fill_actions(pipe, give, out);
	if (result == DOCA_SUCCESS)
		result = fill_monitor(pipe, give->monitor, out);
	if (result == DOCA_SUCCESS)
		result = fill_fwd(pipe, give->fwd, out);
	return result == DOCA_SUCCESS ? check_resources(out) : result;
}
