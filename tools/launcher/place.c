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
static bool holds_still(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) &&
	       ((st->st_mode & (S_IWGRP | S_IWOTH)) == 0 || (st->st_mode & S_ISVTX) != 0);
}

const char *place_open(const char *path, struct place *out)
{
	char parent[PATH_MAX];
	const char *reason = NULL;
	struct statvfs fs;
	struct stat st;
	char *slash;

	snprintf(out->path, sizeof(out->path), "%s", path);
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	*(slash == parent ? slash + 1 : slash) = '\0';
	if ((mkdir(parent, 0700) != 0 && errno != EEXIST) || stat(parent, &st) != 0)
		return strerror(errno);
	if (!holds_still(&st))
		return "others can write to the directory around it";
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return strerror(errno);
	out->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out->fd < 0)
		return strerror(errno);
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
