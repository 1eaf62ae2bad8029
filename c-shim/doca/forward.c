/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c: where packets go next, from the ABI's words to the hardware's. */
#include <string.h>

#include "dpu.h"
#include "mark.h"

int32_t dpu_goto_resolve(struct psp_dp *dp, const char *what, const struct psp_dp_fwd *fwd,
			 struct dpu_goto *out)
{
	memset(out, 0, sizeof(*out));
	if (fwd->size != sizeof(*fwd))
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: the forward has size %u, not %zu", what,
				fwd->size, sizeof(*fwd));
	out->type = fwd->type;
	switch (fwd->type) {
	case PSP_DP_FWD_NONE:
	case PSP_DP_FWD_DROP:
	case PSP_DP_FWD_KERNEL:
		return 0;
	case PSP_DP_FWD_PORT:
		if (fwd->target > PSP_DP_PORT_HOST)
			return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no port %u", what,
					fwd->target);
		break;
	case PSP_DP_FWD_RSS:
		if (fwd->target > PSP_DP_RSS_EXCEPTION)
			return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no RSS target %u", what,
					fwd->target);
		break;
	case PSP_DP_FWD_PIPE:
		out->pipe = dpu_pipe_of(dp, fwd->target);
		if (out->pipe == NULL)
			return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no pipe %u to forward to",
					what, fwd->target);
		break;
	default:
		return dpu_fail(dp, PSP_DP_EINVAL, "%s: there is no forward type %u", what,
				fwd->type);
	}
	out->target = fwd->target;
	return 0;
}

int32_t dpu_goto_hw(struct psp_dp *dp, struct dpu_pipe *from, const struct dpu_goto *to,
		    uint32_t port, struct dpu_to *out)
{
	uint32_t index = from->id & (DPU_PIPES_MAX - 1);

	memset(out, 0, sizeof(*out));
	switch (to->type) {
	case PSP_DP_FWD_PORT:
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PORT,
				       .port_id = dpu_port_id(dp, to->target)};
		return 0;
	case PSP_DP_FWD_PIPE:
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = to->pipe->entrance};
		return 0;
	case PSP_DP_FWD_RSS:
		return dpu_tap_get(
			dp, from,
			dpu_mark(to->target == PSP_DP_RSS_MISS ? DPU_MARK_MISS : DPU_MARK_EXCEPTION,
				 port, index),
			out);
	case PSP_DP_FWD_KERNEL:
		if (dp->kernel == NULL)
			return dpu_fail(dp, PSP_DP_ENOTSUP,
					"Cannot forward from pipe \"%s\" to the kernel: this DOCA "
					"offers no such target",
					from->name);
		out->type = DOCA_FLOW_FWD_TARGET;
		return 0;
	default:
		out->type = DOCA_FLOW_FWD_DROP;
		return 0;
	}
}
