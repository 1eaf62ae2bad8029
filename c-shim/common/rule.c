/* SPDX-License-Identifier: Apache-2.0 */
/* rule.c: what an entry says, checked once and merged with what its pipe says. */
#include <stdio.h>
#include <string.h>

#include "net.h"
#include "plane.h"

#define ACTIONS_ALL                                                                                \
	((uint32_t)(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP |            \
		    PSP_DP_ACTION_ENCRYPT | PSP_DP_ACTION_SET_PKT_META | PSP_DP_ACTION_SET_S |     \
		    PSP_DP_ACTION_COPY_DSCP | PSP_DP_ACTION_CHECK_CRYPT_OFFSET))

int32_t dp_actions_check(struct psp_dp *dp, const char *what, const struct psp_dp_actions *actions)
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
	if ((own->flags & PSP_DP_ACTION_CHECK_CRYPT_OFFSET) == 0 && own->crypt_offset == 0)
		out->crypt_offset = pipe->crypt_offset;
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
	status = dp_actions_check(dp, what, &desc->actions);
	if (status != 0)
		return status;
	merge(&pipe->actions, &desc->actions, &rule->actions);
	if ((actions->flags & PSP_DP_ACTION_ENCRYPT) != 0 &&
	    (actions->crypto_id == 0 || actions->crypto_id > ids))
		return dp_fail(dp, PSP_DP_EINVAL, "%s: crypto id %u is not within 1 to %u", what,
			       actions->crypto_id, ids);
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0 && dp_encap_psp(actions) == 0)
		return dp_fail(dp, PSP_DP_EINVAL,
			       "%s: encap_data is not Ethernet, IP, UDP and PSP of %u octets", what,
			       actions->encap_size);
	return 0;
}

int32_t dp_rule_forward(struct psp_dp *dp, const char *what, const struct dp_pipe *pipe,
			const struct psp_dp_entry_desc *desc, struct dp_rule *rule)
{
	int32_t status = dp_fwd_resolve(dp, what, &desc->fwd, &rule->fwd);

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
