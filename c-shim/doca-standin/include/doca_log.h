/* SPDX-License-Identifier: Apache-2.0 */
/* doca_log.h: where the SDK's own messages go. See doca_version.h. */
#ifndef DOCA_LOG_H
#define DOCA_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "doca_error.h"

struct doca_log_backend;

enum doca_log_level {
	DOCA_LOG_LEVEL_WARNING = 40,
	DOCA_LOG_LEVEL_INFO = 50,
};

doca_error_t doca_log_backend_create_with_file_sdk(FILE *file, struct doca_log_backend **backend);
doca_error_t doca_log_backend_set_sdk_level(struct doca_log_backend *backend, uint32_t level);

#endif
