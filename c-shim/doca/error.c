/* SPDX-License-Identifier: Apache-2.0 */
/* error.c: what DOCA refuses, in the ABI's words; and memory that DOCA may still write to. */
#include <stdlib.h>

#include "dpu.h"

static int32_t status_of(doca_error_t result)
{
	switch (result) {
	case DOCA_SUCCESS:
		return 0;
	case DOCA_ERROR_NOT_PERMITTED:
		return PSP_DP_EPERM;
	case DOCA_ERROR_IN_USE:
	case DOCA_ERROR_AGAIN:
		return PSP_DP_EBUSY;
	case DOCA_ERROR_NOT_SUPPORTED:
		return PSP_DP_ENOTSUP;
	case DOCA_ERROR_NO_MEMORY:
		return PSP_DP_ENOMEM;
	case DOCA_ERROR_NOT_FOUND:
		return PSP_DP_ENODEV;
	case DOCA_ERROR_FULL:
	case DOCA_ERROR_EMPTY: /* no resource id is left */
	case DOCA_ERROR_TOO_BIG:
		return PSP_DP_ENOSPC;
	default:
		return PSP_DP_EIO;
	}
}

int32_t dpu_fail_doca(struct psp_dp *dp, const char *what, doca_error_t result)
{
	return dp_fail(dp, status_of(result), "%s: DOCA answers %s: %s", what,
		       doca_error_get_name(result), doca_error_get_descr(result));
}

void dpu_free(struct psp_dp *dp, void *memory, bool lost)
{
	struct dpu_limbo *limbo;

	if (!lost) {
		free(memory);
		return;
	}
	limbo = malloc(sizeof(*limbo));
	/* Without memory it is lost for good: better than freed too early. */
	if (limbo == NULL)
		return;
	limbo->memory = memory;
	limbo->next = dp->limbo;
	dp->limbo = limbo;
}

void dpu_limbo_free(struct psp_dp *dp)
{
	while (dp->limbo != NULL) {
		struct dpu_limbo *limbo = dp->limbo;

		dp->limbo = limbo->next;
		free(limbo->memory);
		free(limbo);
	}
}
