/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: what pipes and entries say, checked as a device's library does, and put together into rules. */
#include <string.h>

#include "standin.h"

static bool is_egress(enum doca_flow_pipe_domain domain)
{
	return domain == DOCA_FLOW_PIPE_DOMAIN_EGRESS ||
	       domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
}

/* ---- forwards -------------------------------------------------------------------------------- */

static bool is_queue(const struct doca_flow_fwd *fwd)
{
	return fwd->rss_type == DOCA_FLOW_RESOURCE_TYPE_NON_SHARED &&
	       fwd->rss.queues_array != NULL && fwd->rss.nr_queues >= 1 &&
	       fwd->rss.queues_array[0] < SI_QUEUES &&
	       si.nic[0].pools[fwd->rss.queues_array[0]] != NULL;
}

static doca_error_t read_pipe(struct doca_flow_pipe *pipe, enum doca_flow_pipe_domain from,
			      struct si_fwd *out)
{
	out->pipe = pipe;
	/* What is on its way out does not come in again. */
	if (pipe != NULL && is_egress(from) && !is_egress(pipe->cfg.domain))
		return DOCA_ERROR_NOT_SUPPORTED;
	return DOCA_SUCCESS;
}

doca_error_t si_fwd_read(const struct doca_flow_fwd *fwd, enum doca_flow_pipe_domain from,
			 struct si_fwd *out)
{
	memset(out, 0, sizeof(*out));
	if (fwd == NULL)
		return DOCA_SUCCESS;
	out->type = fwd->type;
	switch (fwd->type) {
	case DOCA_FLOW_FWD_NONE:
	case DOCA_FLOW_FWD_DROP:
	case DOCA_FLOW_FWD_CHANGEABLE:
		return DOCA_SUCCESS;
	case DOCA_FLOW_FWD_RSS:
		if (!is_queue(fwd))
			return DOCA_ERROR_INVALID_VALUE;
		out->queue = fwd->rss.queues_array[0];
		return DOCA_SUCCESS;
	case DOCA_FLOW_FWD_PORT:
		out->port_id = fwd->port_id;
		return si_nic_port_of(fwd->port_id) != NULL ? DOCA_SUCCESS
							    : DOCA_ERROR_INVALID_VALUE;
	case DOCA_FLOW_FWD_PIPE:
		return read_pipe(fwd->next_pipe, from, out);
	case DOCA_FLOW_FWD_TARGET:
		if (fwd->target != &si.kernel)
			return DOCA_ERROR_INVALID_VALUE;
		return from == DOCA_FLOW_PIPE_DOMAIN_DEFAULT ? DOCA_SUCCESS
							     : DOCA_ERROR_NOT_SUPPORTED;
	default:
		return DOCA_ERROR_NOT_SUPPORTED;
	}
}

/* ---- actions --------------------------------------------------------------------------------- */

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
		return is_egress(domain) ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
	/* The Ethernet header that stays is the tunnel's to give. */
	if (tunnel && encap->data_size < 14)
		return DOCA_ERROR_INVALID_VALUE;
	return is_egress(domain) ? DOCA_ERROR_NOT_SUPPORTED : DOCA_SUCCESS;
}

doca_error_t si_actions_check(const struct doca_flow_actions *actions,
			      enum doca_flow_pipe_domain domain)
{
	const struct doca_flow_crypto_action *crypto = &actions->crypto;

	if (actions->has_crypto_encap) {
		doca_error_t result = check_encap(&actions->crypto_encap, domain);

		if (result != DOCA_SUCCESS)
			return result;
	}
	if (crypto->action_type == DOCA_FLOW_CRYPTO_ACTION_NONE)
		return DOCA_SUCCESS;
	if (crypto->resource_type != DOCA_FLOW_CRYPTO_RESOURCE_PSP)
		return DOCA_ERROR_INVALID_VALUE;
	if (crypto->action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT)
		return domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS ? DOCA_SUCCESS
								     : DOCA_ERROR_NOT_SUPPORTED;
	if (crypto->crypto_id != DOCA_FLOW_PSP_DECRYPTION_ID)
		return DOCA_ERROR_INVALID_VALUE;
	return domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS ? DOCA_SUCCESS
							      : DOCA_ERROR_NOT_SUPPORTED;
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

/* A template's field of ones is the entry's. */
#define FILL(out, from, field)                                                                     \
	do {                                                                                       \
		if (all_ones(&(out)->field, sizeof((out)->field)))                                 \
			memcpy(&(out)->field, &(from)->field, sizeof((out)->field));               \
	} while (0)

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

static doca_error_t fill_crypto(const struct doca_flow_actions *from, struct doca_flow_actions *out)
{
	struct doca_flow_crypto_encap_action *encap = &out->crypto_encap;

	if (out->has_crypto_encap) {
		if (from->crypto_encap.data_size != encap->data_size)
			return DOCA_ERROR_INVALID_VALUE;
		if (encap->data_size != 0 && all_ones(encap->encap_data, encap->data_size))
			memcpy(encap->encap_data, from->crypto_encap.encap_data, encap->data_size);
	}
	if (out->crypto.action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT &&
	    out->crypto.crypto_id == UINT32_MAX)
		out->crypto.crypto_id = from->crypto.crypto_id;
	return DOCA_SUCCESS;
}

static doca_error_t fill_actions(const struct doca_flow_pipe *pipe,
				 const struct doca_flow_actions *from, struct si_rule *out)
{
	const struct doca_flow_pipe_cfg *cfg = &pipe->cfg;
	uint32_t which = from != NULL ? from->action_idx : 0;

	if (cfg->n_actions == 0)
		return from == NULL ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
	if (from == NULL || which >= cfg->n_actions)
		return DOCA_ERROR_INVALID_VALUE;
	out->has_actions = true;
	out->actions = cfg->actions[which];
	if (cfg->has_action_masks)
		out->mask = cfg->action_masks[which];
	else
		imply_mask(&out->actions, &out->mask);
	FILL(&out->actions, from, meta.pkt_meta);
	for (uint32_t i = 0; i < DOCA_FLOW_META_SCRATCH_PAD_MAX; i++)
		FILL(&out->actions, from, meta.u32[i]);
	FILL(&out->actions, from, outer.eth.dst_mac);
	FILL(&out->actions, from, outer.eth.src_mac);
	return fill_crypto(from, &out->actions);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static doca_error_t check_resources(const struct si_rule *rule)
{
	const struct doca_flow_crypto_action *crypto = &rule->actions.crypto;

	if (rule->has_actions && crypto->action_type == DOCA_FLOW_CRYPTO_ACTION_ENCRYPT) {
		if (crypto->crypto_id >= si.n_slots)
			return DOCA_ERROR_INVALID_VALUE;
		if (!si.slots[crypto->crypto_id].bound)
			return DOCA_ERROR_BAD_STATE;
	}
	if (rule->mirror != 0) {
		if (rule->mirror >= si.n_mirrors)
			return DOCA_ERROR_INVALID_VALUE;
		if (!si.mirrors[rule->mirror].bound)
			return DOCA_ERROR_BAD_STATE;
	}
	return DOCA_SUCCESS;
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
	bool open = given->type == DOCA_FLOW_FWD_CHANGEABLE ||
		    (given->type == DOCA_FLOW_FWD_PIPE && given->pipe == NULL) ||
		    pipe->cfg.type == DOCA_FLOW_PIPE_CONTROL;
	doca_error_t result;

	if (!open) {
		out->fwd = *given;
		return fwd == NULL || fwd->type == DOCA_FLOW_FWD_NONE ? DOCA_SUCCESS
								      : DOCA_ERROR_INVALID_VALUE;
	}
	result = si_fwd_read(fwd, pipe->cfg.domain, &out->fwd);
	if (result != DOCA_SUCCESS)
		return result;
	if (out->fwd.type == DOCA_FLOW_FWD_NONE || out->fwd.type == DOCA_FLOW_FWD_CHANGEABLE ||
	    (out->fwd.type == DOCA_FLOW_FWD_PIPE && out->fwd.pipe == NULL))
		return DOCA_ERROR_INVALID_VALUE;
	if (given->type == DOCA_FLOW_FWD_PIPE && out->fwd.type != DOCA_FLOW_FWD_PIPE)
		return DOCA_ERROR_INVALID_VALUE;
	return DOCA_SUCCESS;
}

doca_error_t si_rule_fill(const struct doca_flow_pipe *pipe,
			  const struct doca_flow_actions *actions,
			  const struct doca_flow_actions *mask,
			  const struct doca_flow_monitor *monitor, const struct doca_flow_fwd *fwd,
			  struct si_rule *out)
{
	doca_error_t result = DOCA_SUCCESS;

	memset(out, 0, sizeof(*out));
	if (pipe->cfg.type != DOCA_FLOW_PIPE_CONTROL) {
		result = fill_actions(pipe, actions, out);
	} else if (actions != NULL) {
		out->has_actions = true;
		out->actions = *actions;
		if (mask != NULL)
			out->mask = *mask;
		else
			imply_mask(actions, &out->mask);
		result = si_actions_check(actions, pipe->cfg.domain);
	}
	if (result == DOCA_SUCCESS)
		result = fill_monitor(pipe, monitor, out);
	if (result == DOCA_SUCCESS)
		result = fill_fwd(pipe, fwd, out);
	return result == DOCA_SUCCESS ? check_resources(out) : result;
}
