/* SPDX-License-Identifier: Apache-2.0 */
#include "rights.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_LEN 512u

/* Raw Ethernet queues; link status and MTU; flow groups beyond the first. */
static const struct {
	uint32_t bit;
	const char *name;
} needed[] = {
	{CAP_NET_RAW, "CAP_NET_RAW"},
	{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	{CAP_SYS_RAWIO, "CAP_SYS_RAWIO"},
};
#define NEEDED (sizeof(needed) / sizeof(needed[0]))

static bool has(const struct psp_rights *rights, uint32_t bit)
{
	return (rights->capabilities >> bit & 1) != 0;
}

static uint64_t effective(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) != 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static uint64_t may_lock(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		return 0;
	return limit.rlim_cur == RLIM_INFINITY ? PSP_MEMLOCK_UNLIMITED : limit.rlim_cur;
}

static void count_verbs(const char *root, struct psp_rights *out)
{
	char path[PATH_LEN];
	struct dirent *item;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/dev/infiniband", root);
	dir = opendir(path);
	while (dir != NULL && (item = readdir(dir)) != NULL) {
		int fd;

		if (strncmp(item->d_name, "uverbs", 6) != 0)
			continue;
		out->verbs++;
		(void)snprintf(path, sizeof(path), "%s/dev/infiniband/%.64s", root, item->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		out->verbs_open++;
		(void)close(fd);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static int64_t read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	int64_t value = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%" SCNd64, &value) != 1)
		value = 0;
	(void)fclose(file);
	return value;
}

static int64_t free_hugepages(const char *root)
{
	char path[PATH_LEN];
	struct dirent *item;
	int64_t mib = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/sys/kernel/mm/hugepages", root);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	while ((item = readdir(dir)) != NULL) {
		int64_t kib = 0;

		if (sscanf(item->d_name, "hugepages-%" SCNd64 "kB", &kib) != 1)
			continue;
		(void)snprintf(path, sizeof(path),
			       "%s/sys/kernel/mm/hugepages/%.64s/free_hugepages", root,
			       item->d_name);
		mib += read_number(path) * kib / 1024;
	}
	(void)closedir(dir);
	return mib;
}

void psp_rights_look(const char *root, struct psp_rights *out)
{
	*out = (struct psp_rights){
		.capabilities = effective(),
		.memlock = may_lock(),
		.hugepages_mb = free_hugepages(root),
	};
	count_verbs(root, out);
}

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t cap, const char *format,
						      ...)
{
	size_t at = strlen(text);
	va_list list;

	if (at > 0 && at < cap)
		at += (size_t)snprintf(text + at, cap - at, ", ");
	if (at >= cap)
		return;
	va_start(list, format);
	(void)vsnprintf(text + at, cap - at, format, list);
	va_end(list);
}

bool psp_rights_lack(const struct psp_rights *rights, char *text, size_t cap)
{
	text[0] = 0;
	for (size_t i = 0; i < NEEDED; i++) {
		if (!has(rights, needed[i].bit))
			add(text, cap, "%s is missing", needed[i].name);
	}
	return text[0] != 0;
}

bool psp_rights_suspect(const struct psp_rights *rights, char *text, size_t cap)
{
	text[0] = 0;
	if (rights->verbs == 0)
		add(text, cap, "there is no /dev/infiniband/uverbs*");
	else if (rights->verbs_open == 0)
		add(text, cap, "/dev/infiniband/uverbs* cannot be opened");
	/* The device works on memory that must stay where it is. */
	if (!has(rights, CAP_IPC_LOCK) && rights->memlock != PSP_MEMLOCK_UNLIMITED)
		add(text, cap,
		    "CAP_IPC_LOCK is missing, and only %" PRIu64 " KiB may be locked without it",
		    rights->memlock / 1024);
	return text[0] != 0;
}
