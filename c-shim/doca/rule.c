/* SPDX-License-Identifier: Apache-2.0 */
/* rule.c: what hardware cannot do of what an entry says. */
#include "../common/net.h"
#include "dpu.h"

/* COPY_DSCP has no counterpart in hardware: the header goes out as it was given. See docs/doca.md. */
#define ACTIONS_IN_HARDWARE (~(uint32_t)PSP_DP_ACTION_COPY_DSCP)
#define ACTIONS_CRYPTO                                                                             \
	(PSP_DP_ACTION_DECRYPT | PSP_DP_ACTION_DECAP | PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT)

static int32_t check_actions(struct psp_dp *dp, const char *what, const struct dpu_pipe *pipe,
			     const struct psp_dp_actions *actions)
{
	uint32_t beyond = actions->flags & ~pipe->base.actions.flags & ACTIONS_IN_HARDWARE;

	if (pipe->base.type == PSP_DP_PIPE_BASIC && beyond != 0)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: in hardware an entry has no actions (0x%x) that its pipe lacks",
			       what, beyond);
	if (pipe->base.type == PSP_DP_PIPE_CONTROL && (actions->flags & ACTIONS_CRYPTO) != 0)
		return dp_fail(dp, PSP_DP_ENOTSUP, "%s: hardware has crypto in basic pipes alone",
			       what);
	return 0;
}

/* What hardware counts of tunnels is frames: the octets of their outer headers are taken off. See stats.c. */
static void note_outer(struct psp_dp *dp, const struct psp_dp_actions *actions)
{
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0 &&
	    actions->encap_net_type == PSP_DP_NET_PSP_TUNNEL)
		dp->outer_ip_len = dp_encap_psp(actions) - NET_ETH_LEN - NET_UDP_LEN;
}

static bool same_fwd(const struct dp_fwd *a, const struct dp_fwd *b)
{
	return a->type == b->type && a->target == b->target && a->pipe == b->pipe;
}

int32_t dpu_rule_fill(struct psp_dp *dp, struct dpu_pipe *pipe,
		      const struct psp_dp_entry_desc *desc, struct dp_rule *rule)
{
	char what[DP_WHAT_LEN];
	int32_t status;

	dp_rule_what(&pipe->base, what);
	status = dp_rule_actions(dp, what, &pipe->base, desc, rule);
	if (status != 0)
		return status;
	note_outer(dp, &rule->actions);
	status = check_actions(dp, what, pipe, &rule->actions);
	if (status == 0)
		status = dp_rule_forward(dp, what, &pipe->base, desc, rule);
	if (status != 0)
		return status;
	if (pipe->base.type == PSP_DP_PIPE_BASIC && pipe->fixed_fwd &&
	    (!same_fwd(&rule->fwd, &pipe->base.fwd) || rule->mirror || rule->notify))
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: hardware has the pipe's forward for all its entries, without "
			       "copies and reports of their own",
			       what);
	if (pipe->base.type == PSP_DP_PIPE_BASIC && rule->count && !pipe->base.count)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "%s: in hardware an entry counts only when its pipe does", what);
	return 0;
}
