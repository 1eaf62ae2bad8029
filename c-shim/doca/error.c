/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* clock_gettime */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dpu.h"

uint64_t dpu_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int32_t dpu_fail(struct psp_dp *dp, int32_t status, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&dp->error_lock);
	va_start(args, format);
	(void)vsnprintf(dp->error, sizeof(dp->error), format, args);
	va_end(args);
	pthread_mutex_unlock(&dp->error_lock);
	return status;
}

int32_t dpu_status_of(doca_error_t result)
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
	return dpu_fail(dp, dpu_status_of(result), "%s: DOCA answers %s: %s", what,
			doca_error_get_name(result), doca_error_get_descr(result));
}

int32_t psp_dp_error_text(struct psp_dp *dp, char *buf, uint32_t cap, uint32_t *len)
{
	int32_t status = 0;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->error_lock);
	*len = (uint32_t)strlen(dp->error);
	if (*len > cap)
		status = PSP_DP_ERANGE;
	else
		memcpy(buf, dp->error, *len);
	pthread_mutex_unlock(&dp->error_lock);
	return status;
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
