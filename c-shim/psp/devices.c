/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* readlink */
#include "devices.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_LEN 512u
#define WORD_LEN 64u

/* The first word of a file; "-": there is none. */
static void read_word(const char *root, const char *folder, const char *item, const char *name,
		      char word[WORD_LEN])
{
	char path[PATH_LEN];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/sys/class/%s/%.64s/%s", root, folder, item, name);
	file = fopen(path, "re");
	if (file == NULL || fscanf(file, "%63s", word) != 1)
		(void)snprintf(word, WORD_LEN, "-");
	if (file != NULL)
		(void)fclose(file);
}

/* "0000:03:00.0", the last part of where its link leads. */
static void read_address(const char *root, const char *item, char word[WORD_LEN])
{
	char path[PATH_LEN], target[PATH_LEN];
	const char *last;
	ssize_t len;

	(void)snprintf(path, sizeof(path), "%s/sys/class/infiniband/%.64s/device", root, item);
	len = readlink(path, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = 0;
	last = strrchr(target, '/');
	(void)snprintf(word, WORD_LEN, "%.63s", len <= 0 ? "-" : last != NULL ? last + 1 : target);
}

static void tell_hca(const char *root, const char *item, char *line, size_t cap)
{
	char address[WORD_LEN], type[WORD_LEN], firmware[WORD_LEN], board[WORD_LEN];

	read_address(root, item, address);
	read_word(root, "infiniband", item, "hca_type", type);
	read_word(root, "infiniband", item, "fw_ver", firmware);
	read_word(root, "infiniband", item, "board_id", board);
	(void)snprintf(line, cap, "hca %s %.64s %s %s %s", address, item, type, firmware, board);
}

static void tell_switch(const char *root, const char *item, char *line, size_t cap)
{
	char id[WORD_LEN], port[WORD_LEN];

	read_word(root, "net", item, "phys_switch_id", id);
	read_word(root, "net", item, "phys_port_name", port);
	line[0] = 0;
	if (strcmp(id, "-") != 0)
		(void)snprintf(line, cap, "switch %.64s %s %s", item, id, port);
}

static void each(const char *root, const char *folder,
		 void tell(const char *root, const char *item, char *line, size_t cap),
		 psp_devices_line *say, void *context)
{
	char path[PATH_LEN], line[PATH_LEN];
	struct dirent *item;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/sys/class/%s", root, folder);
	dir = opendir(path);
	while (dir != NULL && (item = readdir(dir)) != NULL) {
		if (item->d_name[0] == '.')
			continue;
		tell(root, item->d_name, line, sizeof(line));
		if (line[0] != 0)
			say(context, line);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

void psp_devices_tell(const char *root, psp_devices_line *say, void *context)
{
	each(root, "infiniband", tell_hca, say, context);
	each(root, "net", tell_switch, say, context);
}
