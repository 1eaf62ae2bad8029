/* SPDX-License-Identifier: Apache-2.0 */
/* error.c: what DOCA refuses, in the ABI's words; and memory that DOCA may still write to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"

/* Memory that is freed when DOCA Flow is down. */
struct dpu_limbo {
	struct dpu_limbo *next;
	void *memory;
};

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

static int32_t status_of_errno(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return PSP_DP_EPERM;
	case EBUSY:
	case EAGAIN:
		return PSP_DP_EBUSY;
	case ENOTSUP:
		return PSP_DP_ENOTSUP;
	case ENOMEM:
		return PSP_DP_ENOMEM;
	default:
		return PSP_DP_EIO;
	}
}

/* What to do about it. */
static const char *advice(int32_t status)
{
	switch (status) {
	case PSP_DP_EPERM:
		return "docs/install.md, \"Rights\"";
	case PSP_DP_EBUSY:
		return "stop whoever has it: another program on the e-switch, or an agent";
	case PSP_DP_ENOTSUP:
		return "psp-agent doctor --hardware says what else this device refuses";
	case PSP_DP_ENOMEM:
	case PSP_DP_ENOSPC:
		return "ask for less: plane.max_entries, plane.max_crypto_ids, "
		       "plane.actions_memory_mb";
	case PSP_DP_ENODEV:
		return "devlink port lists what there is";
	default:
		return "PSP_DOCA_LOG=file has the SDK's own words";
	}
}

static const char *asked(const struct psp_dp *dp)
{
	return dp->call.name != NULL ? dp->call.name : "DOCA";
}

int32_t dpu_fail_doca(struct psp_dp *dp, const char *what, doca_error_t result)
{
	const int32_t status = status_of(result);

	return dp_fail(dp, status, "%s: %s answers %s: %s (%s)", what, asked(dp),
		       doca_error_get_name(result), doca_error_get_descr(result), advice(status));
}

int32_t dpu_fail_dpdk(struct psp_dp *dp, const char *what, int error)
{
	const int32_t status = status_of_errno(-error);

	return dp_fail(dp, status, "%s: %s answers %d: %s (%s)", what, asked(dp), error,
		       strerror(-error), advice(status));
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
