/* SPDX-License-Identifier: Apache-2.0 */
/* rule.c: what an entry says, checked once and merged with what its pipe says. Answers as soft/rule.c does. */
#include <stdio.h>
#include <string.h>

#include "../psp/wire.h"
#include "../common/net.h"
#include "dpu.h"

#define ACTIONS_ALL                                                                                \
	((uint32_t)(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP |            \
		    PSP_DP_ACTION_ENCRYPT | PSP_DP_ACTION_SET_PKT_META | PSP_DP_ACTION_SET_S |     \
		    PSP_DP_ACTION_COPY_DSCP))
/* COPY_DSCP has no counterpart in hardware: the header goes out as it was given. See docs/doca.md. */
#define ACTIONS_IN_HARDWARE (ACTIONS_ALL & ~(uint32_t)PSP_DP_ACTION_COPY_DSCP)
#define ACTIONS_CRYPTO                                                                             \
	(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT)

int32_t dpu_actions_check(struct psp_dp *dp, const char *what, const struct psp_dp_actions *actions)
{
	if (actions->size != sizeof(*actions))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: the actions have size %u, not %zu", what,
				actions->size, sizeof(*actions));
	if ((actions->flags & ~ACTIONS_ALL) != 0)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: there are no actions 0x%x", what,
				actions->flags & ~ACTIONS_ALL);
	if (actions->encap_net_type > PSP_DP_NET_PSP_TRANSPORT)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no encap type %u", what,
				actions->encap_net_type);
	if (actions->encap_size > sizeof(actions->encap_data))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: encap_size is %u, more than %zu", what,
				actions->encap_size, sizeof(actions->encap_data));
	return 0;
}

/* Octets of the outer IP header in encap_data, 0 in transport mode; UINT32_MAX: it contradicts itself. */
static uint32_t outer_ip_len(const struct psp_dp_actions *actions)
{
	const uint8_t *data = actions->encap_data;
	uint32_t size = actions->encap_size, ip = 0, psp;

	if (actions->encap_net_type == PSP_DP_NET_PSP_TUNNEL) {
		if (size < NET_ETH_LEN + NET_IP4_LEN)
			return UINT32_MAX;
		if (psp_get16(data + NET_ETH_TYPE) == NET_TYPE_IPV4)
			ip = (data[NET_ETH_LEN] & 0x0fu) * 4u;
		else if (psp_get16(data + NET_ETH_TYPE) == NET_TYPE_IPV6)
			ip = NET_IP6_LEN;
		else
			return UINT32_MAX;
	}
	psp = NET_ETH_LEN + ip + NET_UDP_LEN;
	if (psp + PSP_HEADER_LEN > size || psp + 8u + 8u * data[psp + 1] != size)
		return UINT32_MAX;
	return ip;
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
	if ((own->flags & PSP_DP_ACTION_DECAP) == 0 && memcmp(own->eth_dst, no_mac, 6) == 0 &&
	    memcmp(own->eth_src, no_mac, 6) == 0) {
		memcpy(out->eth_dst, pipe->eth_dst, 6);
		memcpy(out->eth_src, pipe->eth_src, 6);
	}
	if ((own->flags & PSP_DP_ACTION_ENCAP) == 0 && own->encap_size == 0) {
		out->encap_size = pipe->encap_size;
		memcpy(out->encap_data, pipe->encap_data, sizeof(out->encap_data));
	}
	if ((own->flags & (PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_DECAP)) == 0 && own->encap_size == 0)
		out->encap_net_type = pipe->encap_net_type;
}

static int32_t check_actions(struct psp_dp *dp, const char *what, const struct dpu_pipe *pipe,
			     const struct psp_dp_actions *actions)
{
	uint32_t beyond = actions->flags & ~pipe->actions.flags & ACTIONS_IN_HARDWARE;
	uint32_t ip_len = 0;

	if ((actions->flags & PSP_DP_ACTION_ENCRYPT) != 0 &&
	    (actions->crypto_id == 0 || actions->crypto_id > dp->config.max_crypto_ids))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: crypto id %u is not within 1 to %u", what,
				actions->crypto_id, dp->config.max_crypto_ids);
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0)
		ip_len = outer_ip_len(actions);
	if (ip_len == UINT32_MAX)
		return dpu_fail(dp, PSP_DP_EINVAL,
				"%s: encap_data is not Ethernet, IP, UDP and PSP of %u octets",
				what, actions->encap_size);
	if (ip_len != 0)
		dp->outer_ip_len = ip_len;
	if (pipe->type == PSP_DP_PIPE_BASIC && beyond != 0)
		return dpu_fail(
			dp, PSP_DP_ENOTSUP,
			"%s: in hardware an entry has no actions (0x%x) that its pipe lacks", what,
			beyond);
	if (pipe->type == PSP_DP_PIPE_CONTROL && (actions->flags & ACTIONS_CRYPTO) != 0)
		return dpu_fail(dp, PSP_DP_ENOTSUP, "%s: hardware has crypto in basic pipes alone",
				what);
	return 0;
}

static bool same_goto(const struct dpu_goto *a, const struct dpu_goto *b)
{
	return a->type == b->type && a->target == b->target && a->pipe == b->pipe;
}

int32_t dpu_rule_fill(struct psp_dp *dp, const struct dpu_pipe *pipe,
		      const struct psp_dp_entry_desc *desc, struct dpu_rule *rule)
{
	char what[80];
	int32_t status;

	(void)snprintf(what, sizeof(what), "Cannot set entry of pipe \"%s\"", pipe->name);
	if (desc->monitor.size != sizeof(desc->monitor))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: the monitor has size %u, not %zu", what,
				desc->monitor.size, sizeof(desc->monitor));
	status = dpu_actions_check(dp, what, &desc->actions);
	if (status != 0)
		return status;
	merge(&pipe->actions, &desc->actions, &rule->actions);
	status = check_actions(dp, what, pipe, &rule->actions);
	if (status == 0)
		status = dpu_goto_resolve(dp, what, &desc->fwd, &rule->fwd);
	if (status != 0)
		return status;
	if (rule->fwd.type == PSP_DP_FWD_NONE)
		rule->fwd = pipe->fwd;
	if (rule->fwd.type == PSP_DP_FWD_NONE)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: neither it nor the pipe has a forward",
				what);
	if (rule->fwd.pipe == pipe)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: it forwards to its own pipe", what);
	rule->count = desc->monitor.counter != 0 || pipe->monitor.counter != 0;
	rule->mirror = desc->monitor.mirror != 0 || pipe->monitor.mirror != 0;
	rule->notify = desc->monitor.notify != 0 || pipe->monitor.notify != 0;
	if (pipe->type == PSP_DP_PIPE_BASIC && pipe->fixed_fwd &&
	    (!same_goto(&rule->fwd, &pipe->fwd) || rule->mirror || rule->notify))
		return dpu_fail(dp, PSP_DP_ENOTSUP,
				"%s: hardware has the pipe's forward for all its entries, without "
				"copies and reports of their own",
				what);
	if (pipe->type == PSP_DP_PIPE_BASIC && rule->count && !pipe->count)
		return dpu_fail(dp, PSP_DP_ENOTSUP,
				"%s: in hardware an entry counts only when its pipe does", what);
	return 0;
}
