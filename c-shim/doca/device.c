/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* secure_getenv */
/* device.c: the device and its representors, found by PCI address or interface name and opened. */
#include <doca_log.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "dpu.h"
#include "preflight.h"

/* PSP_DOCA_LOG names a file for what the SDK has to say: without it a refusal is a code and no more. */
static void open_log(struct dpu_device *device)
{
	const char *name = secure_getenv("PSP_DOCA_LOG");
	struct doca_log_backend *backend = NULL;

	device->log = name != NULL && name[0] != 0 ? fopen(name, "ae") : NULL;
	/* The SDK keeps the file; there is no call that would take it back. */
	if (device->log != NULL &&
	    doca_log_backend_create_with_file_sdk(device->log, &backend) == DOCA_SUCCESS)
		(void)doca_log_backend_set_sdk_level(backend, DOCA_LOG_LEVEL_INFO);
}

/* ---- the device ------------------------------------------------------------------------------ */

static bool is_device(const struct doca_devinfo *info, const char *name)
{
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE] = "";
	uint8_t equal = 0;

	if (doca_devinfo_is_equal_pci_addr(info, name, &equal) == DOCA_SUCCESS && equal != 0)
		return true;
	return doca_devinfo_get_iface_name(info, interface, sizeof(interface)) == DOCA_SUCCESS &&
	       strcmp(interface, name) == 0;
}

static int32_t open_device(struct psp_dp *dp, struct dpu_device *device)
{
	struct doca_devinfo **list = NULL;
	doca_error_t result;
	uint32_t n = 0;

	result = dpu_trace(&dp->trace, DPU_ASK(dp, doca_devinfo_create_list, &list, &n),
			   "devinfo_list");
	if (result != DOCA_SUCCESS)
		return dpu_preflight_blame(
			dp, dpu_fail_doca(dp, "the devices cannot be listed", result));
	result = DOCA_ERROR_NOT_FOUND;
	for (uint32_t i = 0; i < n && device->dev == NULL; i++) {
		if (!is_device(list[i], dpu_desc(dp, DPU_UPLINK)->name))
			continue;
		(void)doca_devinfo_get_iface_name(list[i], device->interface,
						  sizeof(device->interface));
		result = dpu_trace(&dp->trace, DPU_ASK(dp, doca_dev_open, list[i], &device->dev),
				   "dev_open name=%s", dpu_desc(dp, DPU_UPLINK)->name);
	}
	(void)doca_devinfo_destroy_list(list);
	if (result == DOCA_ERROR_NOT_FOUND)
		return dpu_preflight_blame(
			dp, dp_fail(dp, PSP_DP_ENODEV,
				    "there is no DOCA device \"%s\" (lspci -d 15b3: lists them)",
				    dpu_desc(dp, DPU_UPLINK)->name));
	if (result == DOCA_SUCCESS)
		return 0;
	return dpu_preflight_blame(dp, dpu_fail_doca(dp, "the device cannot be opened", result));
}

/* ---- representors ------------------------------------------------------------------------- */

static bool is_rep(const struct doca_devinfo_rep *info, const char *name)
{
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE] = "";
	uint8_t equal = 0;

	if (doca_devinfo_rep_is_equal_pci_addr(info, name, &equal) == DOCA_SUCCESS && equal != 0)
		return true;
	return doca_devinfo_rep_get_iface_name(info, interface, sizeof(interface)) ==
		       DOCA_SUCCESS &&
	       strcmp(interface, name) == 0;
}

/* DPDK's words for representors, which DOCA 3.0 probes by: "[0,2]" or "sf[88]". */
struct words {
	enum doca_pci_func_type kind;
	bool mixed, unknown;
	uint32_t n;
	char numbers[1024];
};

static void add_word(struct words *words, enum doca_pci_func_type kind, uint16_t number)
{
	size_t at = strlen(words->numbers);
	int len = snprintf(words->numbers + at, sizeof(words->numbers) - at, "%s%u",
			   at > 0 ? "," : "", number);

	words->mixed = words->mixed || (words->n > 0 && kind != words->kind);
	words->unknown = words->unknown || len < 0 || (size_t)len >= sizeof(words->numbers) - at;
	words->kind = kind;
	words->n++;
}

static void name_rep(const struct doca_devinfo_rep *info, struct words *words)
{
	enum doca_pci_func_type type = DOCA_PCI_FUNC_TYPE_PF;
	uint16_t number = 0;

	if (doca_devinfo_rep_get_pci_func_type(info, &type) != DOCA_SUCCESS)
		words->unknown = true;
	/* The host's own function, pf0hpf: mlx5 gives its representor the number behind all VFs. */
	else if (type == DOCA_PCI_FUNC_TYPE_PF)
		add_word(words, DOCA_PCI_FUNC_TYPE_VF, UINT16_MAX);
	else if (type == DOCA_PCI_FUNC_TYPE_VF &&
		 doca_dpdk_get_rep_vf_index(info, &number) == DOCA_SUCCESS)
		add_word(words, type, number);
	else if (type == DOCA_PCI_FUNC_TYPE_SF &&
		 doca_dpdk_get_rep_sf_num(info, &number) == DOCA_SUCCESS)
		add_word(words, type, number);
	else
		words->unknown = true;
}

static int32_t open_rep(struct psp_dp *dp, struct doca_devinfo_rep **list, uint32_t n,
			struct dpu_port *port, struct words *words)
{
	const char *name = port->base.desc.name;
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE] = "";
	doca_error_t result = DOCA_ERROR_NOT_FOUND;

	for (uint32_t i = 0; i < n && port->rep == NULL; i++) {
		if (!is_rep(list[i], name))
			continue;
		name_rep(list[i], words);
		if (doca_devinfo_rep_get_iface_name(list[i], interface, sizeof(interface)) ==
		    DOCA_SUCCESS)
			port->ifindex = if_nametoindex(interface);
		result = dpu_trace(&dp->trace, DPU_ASK(dp, doca_dev_rep_open, list[i], &port->rep),
				   "dev_rep_open name=%s", name);
	}
	if (result == DOCA_ERROR_NOT_FOUND)
		return dp_fail(dp, PSP_DP_ENODEV,
			       "the device has no representor \"%s\" (devlink port lists them)",
			       name);
	return result == DOCA_SUCCESS
		       ? 0
		       : dpu_fail_doca(dp, "the representor cannot be opened", result);
}

/* What was opened is in the ports, whatever came of the others. */
static int32_t open_reps(struct psp_dp *dp, struct dpu_device *device)
{
	const char *own = dp->base.config.representor;
	struct doca_devinfo_rep **list = NULL;
	struct words words = {.n = 0};
	doca_error_t result;
	int32_t status = 0;
	uint32_t n = 0;

	result = dpu_trace(&dp->trace,
			   DPU_ASK(dp, doca_devinfo_rep_create_list, device->dev,
				   DOCA_DEVINFO_REP_FILTER_NET, &list, &n),
			   "devinfo_rep_list");
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "its representors cannot be listed (on the DPU alone)",
				     result);
	for (uint32_t i = DPU_HOST; status == 0 && i < dp->n_ports; i++)
		status = open_rep(dp, list, n, dpu_port(dp, i), &words);
	(void)doca_devinfo_rep_destroy_list(list);
	if (status != 0)
		return status;
	(void)snprintf(device->rep_words, sizeof(device->rep_words), "%s[%s]",
		       words.kind == DOCA_PCI_FUNC_TYPE_SF ? "sf" : "", words.numbers);
	if (own[0] != 0)
		(void)snprintf(device->rep_words, sizeof(device->rep_words), "%s", own);
	else if (compat_probes_by_word() && words.mixed)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "the representors are of several kinds, which this DOCA cannot "
			       "probe at once: say plane.dpdk_representor");
	else if (compat_probes_by_word() && words.unknown)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "the representor is of no kind that is known: say "
			       "plane.dpdk_representor");
	return 0;
}

int32_t dpu_device_up(struct psp_dp *dp)
{
	struct dpu_device *device = calloc(1, sizeof(*device));
	int32_t status;

	if (device == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "out of memory");
	dp->device = device;
	open_log(device);
	status = open_device(dp, device);
	return status == 0 ? open_reps(dp, device) : status;
}

void dpu_device_down(struct psp_dp *dp)
{
	struct dpu_device *device = dp->device;

	if (device == NULL)
		return;
	for (uint32_t i = DPU_HOST; i < dp->n_ports; i++) {
		struct dpu_port *port = dpu_port(dp, i);

		if (port->rep != NULL)
			(void)dpu_trace(&dp->trace, doca_dev_rep_close(port->rep), "dev_rep_close");
		port->rep = NULL;
	}
	if (device->dev != NULL)
		(void)dpu_trace(&dp->trace, doca_dev_close(device->dev), "dev_close");
	free(device);
	dp->device = NULL;
}
