/* SPDX-License-Identifier: Apache-2.0 */
/* place.h: where the payload may be unpacked. */
#ifndef PLACE_H
#define PLACE_H

#include <limits.h>

/* A directory of ours alone. */
struct place {
	char path[PATH_MAX];
	int fd; /* -1 when closed */
};

/* Candidates in order, from 0; returns 0 when there is no such candidate or its variable is not set. */
#define PLACES 8
int place_name(unsigned int n, char path[PATH_MAX]);

/*
 * Creates the last two parts of `path` where they are missing, and opens it when it is safe: a directory
 * of this user's that nobody else can write to, on a file system that allows programs, and nobody but root
 * and this user can exchange a directory above it: not below another user's HOME. Returns NULL, or why not.
 */
const char *place_open(const char *path, struct place *out);

#endif
