/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doca_version.h: which release these declarations stand in for: 3.0, or with -DDOCA_STANDIN=302 or 303 what is
 * known of 3.2 and 3.3.
 *
 * This directory holds declarations of our own for the part of NVIDIA's DOCA API that c-shim/doca uses: the names,
 * types and values are facts of that interface (public doxygen listings of 3.0, BSD-licensed samples of 3.0 to 3.3),
 * the text is ours. Compiled against it, the shim is source-compatible with the SDK; it is not binary-compatible:
 * structs have only the fields that are used.
 */
#ifndef DOCA_VERSION_H
#define DOCA_VERSION_H

#include <stddef.h>

#ifndef DOCA_STANDIN
#define DOCA_STANDIN 300
#endif

#define DOCA_VERSION_MAJOR (DOCA_STANDIN / 100)
#define DOCA_VERSION_MINOR (DOCA_STANDIN % 100)
#define DOCA_VERSION_PATCH 0
#define DOCA_VERSION_STRING "stand-in"

static inline const char *doca_version(void)
{
	return DOCA_VERSION_STRING;
}

/* Of the library that is loaded, which may be another. */
const char *doca_version_runtime(void);

#endif
