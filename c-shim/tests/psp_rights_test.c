/* SPDX-License-Identifier: Apache-2.0 */
/* What a process may and finds of a device, with directories of our own in place of /dev and /sys. */
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../psp/rights.h"
#include "test.h"

#define BIT(n) (UINT64_C(1) << (n))
#define ALL (BIT(CAP_NET_RAW) | BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_RAWIO) | BIT(CAP_IPC_LOCK))

static char root[64];

static bool put(const char *path, const char *text, mode_t mode)
{
	char whole[256];
	int fd;
	bool good;

	(void)snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *at = strchr(whole + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
		*at = 0;
		(void)mkdir(whole, 0755);
		*at = '/';
	}
	fd = open(whole, O_CREAT | O_WRONLY | O_TRUNC, mode);
	if (fd < 0)
		return false;
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	return close(fd) == 0 && good;
}

static void what_is_not_there_is_nothing(void)
{
	struct psp_rights rights;

	psp_rights_look(root, &rights);
	CHECK_EQ(rights.verbs, 0);
	CHECK_EQ(rights.verbs_open, 0);
	CHECK_EQ(rights.hugepages_mb, -1);
}

static void devices_and_free_hugepages_are_counted(void)
{
	struct psp_rights rights;

	CHECK(put("/dev/infiniband/rdma_cm", "", 0600));
	CHECK(put("/dev/infiniband/uverbs0", "", 0600));
	CHECK(put("/dev/infiniband/uverbs1", "", 0600));
	CHECK(put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "12\n", 0644));
	CHECK(put("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n", 0644));
	psp_rights_look(root, &rights);
	CHECK_EQ(rights.verbs, 2);
	CHECK_EQ(rights.verbs_open, 2);
	CHECK_EQ(rights.hugepages_mb, 12 * 2 + 1024);
}

/* A directory of that name cannot be opened for writing, whoever asks. */
static void a_device_that_cannot_be_opened_is_told_apart(void)
{
	struct psp_rights rights;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/dev/infiniband/uverbs2", root);
	CHECK_EQ(mkdir(path, 0700), 0);
	psp_rights_look(root, &rights);
	CHECK_EQ(rights.verbs, 3);
	CHECK_EQ(rights.verbs_open, 2);
}

static void each_missing_capability_has_its_name(void)
{
	static const struct {
		uint64_t capabilities;
		const char *text;
	} rows[] = {
		{ALL, ""},
		{ALL & ~BIT(CAP_IPC_LOCK), ""},
		{ALL & ~BIT(CAP_SYS_RAWIO), "CAP_SYS_RAWIO is missing"},
		{BIT(CAP_NET_ADMIN), "CAP_NET_RAW is missing, CAP_SYS_RAWIO is missing"},
		{0, "CAP_NET_RAW is missing, CAP_NET_ADMIN is missing, CAP_SYS_RAWIO is missing"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct psp_rights rights = {.capabilities = rows[i].capabilities};
		char text[128];

		CONTEXT("row %zu", i);
		CHECK_EQ(psp_rights_lack(&rights, text, sizeof(text)), rows[i].text[0] != 0);
		CHECK(strcmp(text, rows[i].text) == 0);
	}
}

static void what_keeps_a_device_from_being_found_is_suspected(void)
{
	static const struct {
		struct psp_rights rights;
		const char *text;
	} rows[] = {
		{{.capabilities = ALL, .verbs = 1, .verbs_open = 1}, ""},
		{{.memlock = PSP_MEMLOCK_UNLIMITED, .verbs = 1, .verbs_open = 1}, ""},
		{{.capabilities = ALL}, "there is no /dev/infiniband/uverbs*"},
		{{.capabilities = ALL, .verbs = 2}, "/dev/infiniband/uverbs* cannot be opened"},
		{{.memlock = 65536, .verbs = 1},
		 "/dev/infiniband/uverbs* cannot be opened, CAP_IPC_LOCK is missing, and only 64 "
		 "KiB "
		 "may be locked without it"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[160];

		CONTEXT("row %zu", i);
		CHECK_EQ(psp_rights_suspect(&rows[i].rights, text, sizeof(text)),
			 rows[i].text[0] != 0);
		CHECK(strcmp(text, rows[i].text) == 0);
	}
}

/* Whatever the room: cut, and never beyond. */
static void a_text_is_cut_to_its_room(void)
{
	struct psp_rights rights = {0};
	char text[32];

	for (size_t cap = 1; cap <= sizeof(text); cap++) {
		CONTEXT("room for %zu", cap);
		memset(text, 'x', sizeof(text));
		(void)psp_rights_lack(&rights, text, cap);
		CHECK(memchr(text, 0, cap) != NULL);
		CHECK(cap == sizeof(text) || text[cap] == 'x');
	}
}

int main(void)
{
	char command[96];
	int gone;

	(void)snprintf(root, sizeof(root), "/tmp/psp-rights-XXXXXX");
	if (mkdtemp(root) == NULL)
		return 1;
	RUN(what_is_not_there_is_nothing);
	RUN(devices_and_free_hugepages_are_counted);
	RUN(a_device_that_cannot_be_opened_is_told_apart);
	RUN(each_missing_capability_has_its_name);
	RUN(what_keeps_a_device_from_being_found_is_suspected);
	RUN(a_text_is_cut_to_its_room);
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	gone = system(command);
	return gone == 0 ? test_summary() : 1;
}
