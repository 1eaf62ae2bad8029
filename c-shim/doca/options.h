/* SPDX-License-Identifier: Apache-2.0 */
/* options.h: what psp_dp_config says for DPDK and DOCA Flow, in their words. */
#ifndef PSP_DPU_OPTIONS_H
#define PSP_DPU_OPTIONS_H

#include <stdbool.h>

#include "../psp_dp.h"

struct dpu_options {
	char cores[128];  /* EAL's core list. Without cpus: 0 */
	uint32_t n_cores; /* 1 at least */
	uint16_t core[PSP_DP_CPUS_MAX];
	int32_t hugepages_mb; /* 0: none are reserved, ordinary pages are used; -1: EAL's own */
};

/* NULL, or what is wrong with the texts of a configuration. */
const char *dpu_options_complaint(const struct psp_dp_config *config);
/* False: the processors do not fit a core list. */
bool dpu_options_read(const struct psp_dp_config *config, struct dpu_options *out);

#endif
