/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* readlink */
#include "preflight.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dpu.h"

#define HUGE_DIR "/sys/kernel/mm/hugepages"

/* Open vSwitch's kernel ports have it as their master, whatever the bridge. */
static bool in_ovs(const char *interface)
{
	char path[320], master[320];
	const char *name;
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/sys/class/net/%.255s/master", interface);
	len = readlink(path, master, sizeof(master) - 1);
	if (len <= 0)
		return false;
	master[len] = 0;
	name = strrchr(master, '/');
	return strcmp(name != NULL ? name + 1 : master, "ovs-system") == 0;
}

static int32_t refuse_ovs(struct psp_dp *dp, const char *interface)
{
	return dp_fail(dp, PSP_DP_EBUSY,
		       "Open vSwitch owns \"%.64s\": take it out of its bridge first "
		       "(ovs-vsctl del-port %.64s)",
		       interface, interface);
}

/* The interfaces of a PCI device, or the name itself where an interface was given. */
static int32_t check_switch(struct psp_dp *dp, const char *device)
{
	char path[128];
	struct dirent *item;
	int32_t status = 0;
	DIR *dir;

	if (in_ovs(device))
		return refuse_ovs(dp, device);
	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.63s/net", device);
	dir = opendir(path);
	while (dir != NULL && status == 0 && (item = readdir(dir)) != NULL) {
		if (item->d_name[0] != '.' && in_ovs(item->d_name))
			status = refuse_ovs(dp, item->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return status;
}

static long read_number(const char *path)
{
	char text[32] = "";
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	if (fgets(text, sizeof(text), file) == NULL)
		text[0] = 0;
	(void)fclose(file);
	return strtol(text, NULL, 10);
}

/* MiB of free hugepages of any size; negative: this kernel has none at all. */
static long free_hugepages(void)
{
	DIR *dir = opendir(HUGE_DIR);
	struct dirent *item;
	char path[384];
	long mib = 0;

	if (dir == NULL)
		return -1;
	while ((item = readdir(dir)) != NULL) {
		long kib = 0;

		if (sscanf(item->d_name, "hugepages-%ldkB", &kib) != 1)
			continue;
		(void)snprintf(path, sizeof(path), HUGE_DIR "/%.255s/free_hugepages", item->d_name);
		mib += read_number(path) * kib / 1024;
	}
	(void)closedir(dir);
	return mib;
}

static int32_t check_hugepages(struct psp_dp *dp)
{
	long wanted = dp->options.hugepages_mb > 0 ? dp->options.hugepages_mb : 1;
	long there = free_hugepages();

	/* 0: ordinary pages are used. */
	if (dp->options.hugepages_mb == 0 || there < 0 || there >= wanted ||
	    secure_getenv("PSP_DOCA_EAL") != NULL)
		return 0;
	return dp_fail(dp, PSP_DP_ENOMEM,
		       "%ld MiB of hugepages are free, %ld are needed (echo 1024 > " HUGE_DIR
		       "/hugepages-2048kB/nr_hugepages)",
		       there, wanted);
}

int32_t dpu_preflight(struct psp_dp *dp)
{
	int32_t status = check_switch(dp, dpu_desc(dp, PSP_DP_PORT_UPLINK)->name);

	if (status == 0)
		status = check_switch(dp, dpu_desc(dp, PSP_DP_PORT_HOST)->name);
	return status == 0 ? check_hugepages(dp) : status;
}
