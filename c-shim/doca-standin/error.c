/* SPDX-License-Identifier: Apache-2.0 */
#include <doca_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "standin.h"

struct text {
	const char *name, *descr;
};

#define TEXT(symbol, sentence) [DOCA_##symbol] = {"DOCA_" #symbol, sentence}
static const struct text texts[] = {
	TEXT(SUCCESS, "Success"),
	TEXT(ERROR_UNKNOWN, "Unknown error"),
	TEXT(ERROR_NOT_PERMITTED, "Operation not permitted"),
	TEXT(ERROR_IN_USE, "Resource already in use"),
	TEXT(ERROR_NOT_SUPPORTED, "Operation not supported"),
	TEXT(ERROR_AGAIN, "Resource temporarily unavailable, try again"),
	TEXT(ERROR_INVALID_VALUE, "Invalid input"),
	TEXT(ERROR_NO_MEMORY, "Memory allocation failure"),
	TEXT(ERROR_INITIALIZATION, "Resource initialization failure"),
	TEXT(ERROR_TIME_OUT, "Timer expired waiting for resource"),
	TEXT(ERROR_NOT_FOUND, "Resource not found"),
	TEXT(ERROR_IO_FAILED, "Input or output operation failed"),
	TEXT(ERROR_BAD_STATE, "Bad state"),
	TEXT(ERROR_UNSUPPORTED_VERSION, "Unsupported version"),
	TEXT(ERROR_OPERATING_SYSTEM, "Operating system call failure"),
	TEXT(ERROR_DRIVER, "Driver call failure"),
	TEXT(ERROR_UNEXPECTED, "An unexpected scenario was detected"),
	TEXT(ERROR_ALREADY_EXIST, "Resource already exists"),
	TEXT(ERROR_FULL, "No more space in resource"),
	TEXT(ERROR_EMPTY, "No entry is available in resource"),
	TEXT(ERROR_IN_PROGRESS, "Operation is in progress"),
	TEXT(ERROR_TOO_BIG, "Requested operation too big to be contained"),
	TEXT(ERROR_BAD_CONFIG, "Bad configuration"),
};

static const struct text *text_of(doca_error_t error)
{
	uint32_t at = (uint32_t)error;

	return at < sizeof(texts) / sizeof(texts[0]) && texts[at].name != NULL
		       ? &texts[at]
		       : &texts[DOCA_ERROR_UNKNOWN];
}

const char *doca_error_get_name(doca_error_t error)
{
	return text_of(error)->name;
}

const char *doca_error_get_descr(doca_error_t error)
{
	return text_of(error)->descr;
}

const char *doca_version_runtime(void)
{
	const char *named = getenv("DOCA_STANDIN_VERSION");

	return named != NULL ? named : DOCA_VERSION_STRING;
}

/* ---- its own log ----------------------------------------------------------------------------- */

struct doca_log_backend {
	FILE *file;
};

doca_error_t doca_log_backend_create_with_file_sdk(FILE *file, struct doca_log_backend **backend)
{
	SI_ASK();
	static struct doca_log_backend only;

	if (file == NULL || backend == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	only.file = file;
	*backend = &only;
	return DOCA_SUCCESS;
}

doca_error_t doca_log_backend_set_sdk_level(struct doca_log_backend *backend, uint32_t level)
{
	SI_ASK();
	return backend != NULL && level <= 70 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

void si_die(const char *format, ...)
{
	va_list args;

	(void)fputs("doca-standin: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputs("\n", stderr);
	abort();
}
