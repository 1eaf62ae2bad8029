/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c: once for each version; a process that is killed on the way leaves nothing that is used. */
#include "unpack.h"
#include "payload.h"
#include "sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zstd.h>

#define LOCK ".lock"
#define UNFINISHED ".unfinished"
/* Of every unpacked file. Whoever changes one without meaning harm leaves another time. */
#define MTIME 946684800 /* 2000-01-01 */

/* Who waits at a terminal longer than this is told what for, and after as long again how far it is. */
#define PATIENCE_MS 1000

struct progress {
	int64_t told_ms;
	uint64_t done;
	uint64_t total; /* octets */
};

static int64_t now_ms(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct progress progress_begin(void)
{
	struct progress progress = {.told_ms = now_ms()};

	for (size_t i = 0; i < payload_file_count; i++)
		progress.total += payload_files[i].size;
	return progress;
}

static void progress_add(struct progress *progress, size_t octets)
{
	int64_t now = now_ms();

	progress->done += octets;
	if (now - progress->told_ms < PATIENCE_MS || isatty(STDERR_FILENO) == 0)
		return;
	progress->told_ms = now;
	(void)fprintf(stderr, "psp-agent: unpacking, once for each version: %u of %u MB\n",
		      (unsigned int)(progress->done / 1000000),
		      (unsigned int)(progress->total / 1000000));
}

static bool is_whole(int dir)
{
	struct stat st;
	bool whole = fstat(dir, &st) == 0 && st.st_uid == geteuid() &&
		     (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;

	for (size_t i = 0; whole && i < payload_file_count; i++) {
		const struct payload_file *file = &payload_files[i];

		whole = fstatat(dir, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
			(st.st_mode & 07777) == file->mode && (uint64_t)st.st_size == file->size &&
			st.st_mtim.tv_sec == MTIME;
	}
	return whole;
}

/* A directory of files, as we make them. */
static void remove_tree(int place, const char *name)
{
	int fd = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)unlinkat(fd, entry->d_name, 0);
	(void)closedir(dir);
	(void)unlinkat(place, name, AT_REMOVEDIR);
}

/* Nobody runs from there: a running program keeps a shared lock, see hold(). */
static bool is_idle(int place, const char *name)
{
	int fd = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool idle = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;

	if (fd >= 0)
		(void)close(fd);
	return idle;
}

/* Versions that were here before this one. */
static void remove_others(int place)
{
	int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (strlen(entry->d_name) == strlen(payload_id) &&
		    strspn(entry->d_name, "0123456789abcdef") == strlen(payload_id) &&
		    strcmp(entry->d_name, payload_id) != 0 && is_idle(place, entry->d_name))
			remove_tree(place, entry->d_name);
	(void)closedir(dir);
}

static bool write_all(int fd, const uint8_t *in, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, in, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		in += n;
		len -= (size_t)n;
	}
	return true;
}

static const char *inflate(const struct payload_file *file, int fd, struct progress *progress)
{
	static uint8_t buffer[1 << 20];
	ZSTD_inBuffer in = {file->start, (size_t)(file->end - file->start), 0};
	ZSTD_DStream *stream = ZSTD_createDStream();
	const char *reason = stream == NULL ? "out of memory" : NULL;
	uint8_t hash[SHA256_LEN];
	struct sha256 sha;
	size_t left = 1;

	sha256_init(&sha);
	while (reason == NULL && left != 0) {
		ZSTD_outBuffer out = {buffer, sizeof(buffer), 0};

		left = ZSTD_decompressStream(stream, &out, &in);
		if (ZSTD_isError(left) || (left != 0 && in.pos == in.size && out.pos < out.size))
			reason = "this program is damaged";
		else if (!write_all(fd, buffer, out.pos))
			reason = strerror(errno);
		else
			sha256_update(&sha, buffer, out.pos);
		progress_add(progress, out.pos);
	}
	(void)ZSTD_freeDStream(stream);
	if (reason != NULL)
		return reason;
	sha256_final(&sha, hash);
	return memcmp(hash, file->sha256, sizeof(hash)) == 0 ? NULL : "this program is damaged";
}

static const char *unpack_file(int dir, const struct payload_file *file, struct progress *progress)
{
	const struct timespec times[2] = {{.tv_sec = MTIME}, {.tv_sec = MTIME}};
	int fd =
		openat(dir, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const char *reason;

	if (fd < 0)
		return strerror(errno);
	reason = inflate(file, fd, progress);
	if (reason == NULL &&
	    (fchmod(fd, file->mode) != 0 || fsync(fd) != 0 || futimens(fd, times) != 0))
		reason = strerror(errno);
	if (close(fd) != 0 && reason == NULL)
		reason = strerror(errno);
	return reason;
}

/* With the lock held, so that everything unfinished is a dead process's. */
static const char *unpack_all(int place)
{
	struct progress progress = progress_begin();
	const char *reason = NULL;
	int dir;

	remove_tree(place, UNFINISHED);
	remove_tree(place, payload_id);
	/* Before, so that the room of one version is enough for an upgrade. */
	remove_others(place);
	if (mkdirat(place, UNFINISHED, 0700) != 0)
		return strerror(errno);
	dir = openat(place, UNFINISHED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return strerror(errno);
	for (size_t i = 0; reason == NULL && i < payload_file_count; i++)
		reason = unpack_file(dir, &payload_files[i], &progress);
	(void)close(dir);
	if (reason == NULL && renameat(place, UNFINISHED, place, payload_id) != 0)
		reason = strerror(errno);
	if (reason != NULL)
		remove_tree(place, UNFINISHED);
	return reason;
}

/* Waits for another process that unpacks. */
static bool lock_place(int lock)
{
	const struct timespec look = {.tv_nsec = 50000000};
	int64_t since = now_ms();

	if (isatty(STDERR_FILENO) != 0) {
		while (flock(lock, LOCK_EX | LOCK_NB) != 0) {
			if (errno != EWOULDBLOCK && errno != EINTR)
				return false;
			if (now_ms() - since >= PATIENCE_MS) {
				(void)fputs("psp-agent: another process unpacks: waiting for it\n",
					    stderr);
				break;
			}
			(void)nanosleep(&look, NULL);
		}
	}
	return flock(lock, LOCK_EX) == 0;
}

/* The directory of the files, if it is whole, locked against removal; -1: it is not there, or not whole. */
static int hold(int place)
{
	int dir = openat(place, payload_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (dir < 0)
		return -1;
	(void)flock(dir, LOCK_SH | LOCK_NB);
	if (is_whole(dir))
		return dir;
	(void)close(dir);
	return -1;
}

const char *unpack(const struct place *place, int *dir)
{
	const char *reason = NULL;
	int lock;

	*dir = hold(place->fd);
	if (*dir >= 0)
		return NULL;
	lock = openat(place->fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0)
		return strerror(errno);
	if (!lock_place(lock)) {
		reason = strerror(errno);
	} else if ((*dir = hold(place->fd)) < 0) {
		reason = unpack_all(place->fd);
		*dir = reason == NULL ? hold(place->fd) : -1;
		if (reason == NULL && *dir < 0)
			reason = "what was unpacked there is gone again";
	}
	(void)close(lock);
	return reason;
}
