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
 * of this user's that nobody else can write to, in one where nobody else can exchange it, on a file
 * system that allows programs. Returns NULL, or why not.
 */
const char *place_open(const char *path, struct place *out);

#endif
