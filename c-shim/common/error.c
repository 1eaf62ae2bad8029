/* SPDX-License-Identifier: Apache-2.0 */
/* error.c: the sentence that says why something was refused. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plane.h"

int32_t dp_fail(struct psp_dp *dp, int32_t status, const char *format, ...)
{
	struct dp_plane *plane = dp_plane_of(dp);
	va_list args;

	pthread_mutex_lock(&plane->error_lock);
	va_start(args, format);
	(void)vsnprintf(plane->error, sizeof(plane->error), format, args);
	va_end(args);
	pthread_mutex_unlock(&plane->error_lock);
	return status;
}

void dp_first_note(struct psp_dp *dp, struct dp_first *first, uint32_t rank, int32_t status)
{
	struct dp_plane *plane = dp_plane_of(dp);

	if (status == 0 || (first->status != 0 && first->rank <= rank))
		return;
	first->status = status;
	first->rank = rank;
	pthread_mutex_lock(&plane->error_lock);
	memcpy(first->text, plane->error, sizeof(first->text));
	pthread_mutex_unlock(&plane->error_lock);
}

int32_t dp_first_tell(struct psp_dp *dp, const struct dp_first *first)
{
	return first->status == 0 ? 0 : dp_fail(dp, first->status, "%s", first->text);
}

void dp_open_fail(char *err, uint32_t err_cap, const char *why)
{
	if (err_cap > 0)
		(void)snprintf(err, err_cap, "Cannot open plane: %s", why);
}

int32_t psp_dp_error_text(struct psp_dp *dp, char *buf, uint32_t cap, uint32_t *len)
{
	struct dp_plane *plane = dp_plane_of(dp);
	int32_t status = 0;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&plane->error_lock);
	*len = (uint32_t)strlen(plane->error);
	if (*len > cap)
		status = PSP_DP_ERANGE;
	else
		memcpy(buf, plane->error, *len);
	pthread_mutex_unlock(&plane->error_lock);
	return status;
}
