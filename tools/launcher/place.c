/* SPDX-License-Identifier: Apache-2.0 */
/* place.c: the first of the usual directories that is ours alone and lets programs run. */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A variable with a directory, or none and a directory; and what comes behind it. */
static const struct {
	const char *variable, *directory, *leaf;
} CANDIDATES[PLACES] = {
	{"PSP_AGENT_CACHE", NULL, ""},
	/* systemd's */
	{"STATE_DIRECTORY", NULL, "/program"},
	{"RUNTIME_DIRECTORY", NULL, "/program"},
	{"XDG_CACHE_HOME", NULL, "/psp-agent"},
	{"HOME", NULL, "/.cache/psp-agent"},
	{NULL, "/var/lib/psp-agent", "/program"},
	{NULL, "/run/psp-agent", "/program"},
	{NULL, "/tmp", "/psp-agent-"},
};

int place_name(unsigned int n, char path[PATH_MAX])
{
	const char *directory = CANDIDATES[n].directory;
	int len;

	if (CANDIDATES[n].variable != NULL)
		directory = getenv(CANDIDATES[n].variable);
	/* An empty HOME, or one that is no path, is none. */
	if (directory == NULL || directory[0] != '/')
		return 0;
	/* systemd names several with colons between them. */
	len = snprintf(path, PATH_MAX, "%.*s%s", (int)strcspn(directory, ":"), directory,
		       CANDIDATES[n].leaf);
	/* /tmp is everybody's: there each user has a directory of their own. */
	if (len > 0 && len < PATH_MAX && path[len - 1] == '-')
		len += snprintf(path + len, (size_t)(PATH_MAX - len), "%u",
				(unsigned int)geteuid());
	return len > 0 && len < PATH_MAX;
}

/* Nobody but root and us can put something else in the place of what lies in it. */
static bool holds_still(int dir)
{
	struct stat st;

	return fstat(dir, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (st.st_mode & S_ISVTX) != 0);
}

/* One directory further down. `dir` is closed, whatever comes of it. */
static int descend(int dir, const char *name, const char **reason)
{
	int next = -1;

	if (!holds_still(dir))
		*reason = "others can exchange a directory of its path";
	else if ((next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		*reason = strerror(errno);
	(void)close(dir);
	return next;
}

/* Opens a directory that is there, and every one above it, from the root on: links are resolved before. */
static int open_still(const char *path, const char **reason)
{
	char real[PATH_MAX], *rest = real, *name;
	int dir;

	if (realpath(path, real) == NULL ||
	    (dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		*reason = strerror(errno);
		return -1;
	}
	while (dir >= 0 && (name = strsep(&rest, "/")) != NULL)
		if (name[0] != '\0')
			dir = descend(dir, name, reason);
	return dir;
}

/* The same, one further down, where it is made if it is missing. `dir` is closed. */
static int make_still(int dir, const char *name, const char **reason)
{
	if (mkdirat(dir, name, 0700) != 0 && errno != EEXIST) {
		*reason = strerror(errno);
		(void)close(dir);
		return -1;
	}
	return descend(dir, name, reason);
}

const char *place_open(const char *path, struct place *out)
{
	char above[PATH_MAX], *leaf, *middle;
	const char *reason = NULL;
	struct statvfs fs;
	struct stat st;

	snprintf(out->path, sizeof(out->path), "%s", path);
	snprintf(above, sizeof(above), "%s", path);
	leaf = strrchr(above, '/');
	*leaf++ = '\0';
	middle = strrchr(above, '/');
	if (middle != NULL)
		*middle++ = '\0';
	out->fd = open_still(above[0] == '\0' ? "/" : above, &reason);
	if (out->fd >= 0 && middle != NULL && middle[0] != '\0')
		out->fd = make_still(out->fd, middle, &reason);
	if (out->fd >= 0)
		out->fd = make_still(out->fd, leaf, &reason);
	if (out->fd < 0)
		return reason;
	if (fstat(out->fd, &st) != 0 || fstatvfs(out->fd, &fs) != 0)
		reason = strerror(errno);
	else if (st.st_uid != geteuid())
		reason = "it belongs to another user";
	else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		reason = "others can write to it";
	else if ((fs.f_flag & ST_NOEXEC) != 0)
		reason = "its file system is mounted noexec";
	if (reason != NULL) {
		(void)close(out->fd);
		out->fd = -1;
	}
	return reason;
}
