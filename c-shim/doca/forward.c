/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c: where packets go next, from the ABI's words to the hardware's. */
#include <string.h>

#include "dpu.h"
#include "mark.h"

int32_t dpu_goto_hw(struct psp_dp *dp, struct dpu_pipe *from, const struct dp_fwd *to,
		    struct dpu_to *out)
{
	uint32_t index = dp_pipe_index(from->base.id);

	memset(out, 0, sizeof(*out));
	switch (to->type) {
	case PSP_DP_FWD_PORT:
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PORT,
				       .port_id = dp->ids[dpu_port_number(to->port)]};
		return 0;
	case PSP_DP_FWD_PIPE:
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE,
				       .pipe = dpu_pipe(to->pipe)->entrance};
		return 0;
	case PSP_DP_FWD_RSS:
		return dpu_tap_get(
			dp, from,
			dpu_mark(to->target == PSP_DP_RSS_MISS ? DPU_MARK_MISS : DPU_MARK_EXCEPTION,
				 DPU_ANY_HOST, index),
			out);
	case PSP_DP_FWD_KERNEL:
		return dpu_kernel_get(dp, from, out);
	default:
		out->type = DOCA_FLOW_FWD_DROP;
		return 0;
	}
}
