/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* readlink, secure_getenv */
#include "preflight.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../psp/rights.h"
#include "dpu.h"

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

/* Somebody else may give them back: the same again may help. */
static int32_t check_hugepages(struct psp_dp *dp)
{
	long wanted = dp->options.hugepages_mb > 0 ? dp->options.hugepages_mb : 1;
	struct psp_rights rights;

	psp_rights_look("", &rights);
	/* 0: ordinary pages are used. */
	if (dp->options.hugepages_mb == 0 || rights.hugepages_mb < 0 ||
	    rights.hugepages_mb >= wanted || secure_getenv("PSP_DOCA_EAL") != NULL)
		return 0;
	return dp_fail(dp, PSP_DP_EBUSY,
		       "%ld MiB of hugepages are free, %ld are needed (echo 1024 > "
		       "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)",
		       (long)rights.hugepages_mb, wanted);
}

static int32_t check_rights(struct psp_dp *dp)
{
	struct psp_rights rights;
	char lack[128];

	psp_rights_look("", &rights);
	if (!psp_rights_lack(&rights, lack, sizeof(lack)))
		return 0;
	return dp_fail(dp, PSP_DP_EPERM, "%s: the device asks for it (docs/install.md, \"Rights\")",
		       lack);
}

int32_t dpu_preflight_blame(struct psp_dp *dp, int32_t status)
{
	char why[160], said[sizeof(dp->base.error)];
	struct psp_rights rights;

	psp_rights_look("", &rights);
	if (!psp_rights_suspect(&rights, why, sizeof(why)))
		return status;
	(void)snprintf(said, sizeof(said), "%s", dp->base.error);
	return dp_fail(dp, status, "%s (docs/install.md, \"Rights\"): %s", why, said);
}

int32_t dpu_preflight(struct psp_dp *dp)
{
	int32_t status = check_rights(dp);

	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++)
		status = check_switch(dp, dpu_desc(dp, i)->name);
	return status == 0 ? check_hugepages(dp) : status;
}
