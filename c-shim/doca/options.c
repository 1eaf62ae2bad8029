/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "mark.h"

const char *dpu_options_complaint(const struct psp_dp_config *config)
{
	if (memchr(config->devargs, 0, sizeof(config->devargs)) == NULL)
		return "devargs have no end";
	if (memchr(config->representor, 0, sizeof(config->representor)) == NULL)
		return "representor has no end";
	if (memchr(config->flow_mode, 0, sizeof(config->flow_mode)) == NULL)
		return "flow_mode has no end";
	if (config->busy_poll_us != 0)
		return "busy_poll_us is of the soft plane";
	_Static_assert(DPU_READERS_MAX == 16, "the sentence says so");
	if (config->workers > DPU_READERS_MAX)
		return "workers are at most 16";
	return NULL;
}

static bool may(const struct psp_dp_config *config, uint32_t cpu)
{
	return cpu < PSP_DP_CPUS_MAX && ((uint32_t)config->cpus[cpu / 8] >> cpu % 8 & 1u) != 0;
}

/* "0-1,3" */
static bool list_cores(const struct psp_dp_config *config, char *out, size_t cap)
{
	size_t at = 0;

	out[0] = 0;
	for (uint32_t first = 0; first < PSP_DP_CPUS_MAX; first++) {
		const char *comma = at > 0 ? "," : "";
		uint32_t last = first;
		int n;

		if (!may(config, first))
			continue;
		while (may(config, last + 1))
			last++;
		n = last > first ? snprintf(out + at, cap - at, "%s%u-%u", comma, first, last)
				 : snprintf(out + at, cap - at, "%s%u", comma, first);
		if (n < 0 || (size_t)n >= cap - at)
			return false;
		at += (size_t)n;
		first = last;
	}
	return true;
}

bool dpu_options_read(const struct psp_dp_config *config, struct dpu_options *out)
{
	if (!list_cores(config, out->cores, sizeof(out->cores)))
		return false;
	out->n_cores = 0;
	for (uint32_t i = 0; i < PSP_DP_CPUS_MAX; i++) {
		if (may(config, i))
			out->core[out->n_cores++] = (uint16_t)i;
	}
	if (out->n_cores == 0) {
		memcpy(out->cores, "0", 2);
		out->core[out->n_cores++] = 0;
	}
	out->hugepages_mb = (int32_t)config->hugepages_mb;
	if (config->hugepages_mb == PSP_DP_HUGEPAGES_NONE)
		out->hugepages_mb = 0;
	else if (config->hugepages_mb == 0)
		out->hugepages_mb = -1;
	return true;
}
