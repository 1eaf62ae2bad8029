/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* secure_getenv */
/* device.c: the device and the representor, found by PCI address or interface name and opened. */
#include <doca_log.h>
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

	result = dpu_trace(&dp->trace, doca_devinfo_create_list(&list, &n), "devinfo_list");
	if (result != DOCA_SUCCESS)
		return dpu_preflight_blame(
			dp, dpu_fail_doca(dp, "the devices cannot be listed", result));
	result = DOCA_ERROR_NOT_FOUND;
	for (uint32_t i = 0; i < n && device->dev == NULL; i++) {
		if (!is_device(list[i], dpu_desc(dp, PSP_DP_PORT_UPLINK)->name))
			continue;
		(void)doca_devinfo_get_iface_name(list[i], device->interface,
						  sizeof(device->interface));
		result = dpu_trace(&dp->trace, doca_dev_open(list[i], &device->dev),
				   "dev_open name=%s", dpu_desc(dp, PSP_DP_PORT_UPLINK)->name);
	}
	(void)doca_devinfo_destroy_list(list);
	if (result == DOCA_ERROR_NOT_FOUND)
		return dpu_preflight_blame(
			dp, dp_fail(dp, PSP_DP_ENODEV,
				    "there is no DOCA device \"%s\" (lspci -d 15b3: lists them)",
				    dpu_desc(dp, PSP_DP_PORT_UPLINK)->name));
	if (result == DOCA_SUCCESS)
		return 0;
	return dpu_preflight_blame(dp, dpu_fail_doca(dp, "the device cannot be opened", result));
}

/* ---- the representor ------------------------------------------------------------------------- */

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

/* DPDK's word for it, which DOCA 3.0 probes by. */
static void name_rep(const struct doca_devinfo_rep *info, const struct psp_dp_config *config,
		     char *out, size_t cap)
{
	enum doca_pci_func_type type = DOCA_PCI_FUNC_TYPE_PF;
	uint16_t number = 0;

	if (config->representor[0] != 0) {
		(void)snprintf(out, cap, "%s", config->representor);
		return;
	}
	out[0] = 0;
	if (doca_devinfo_rep_get_pci_func_type(info, &type) != DOCA_SUCCESS)
		return;
	if (type == DOCA_PCI_FUNC_TYPE_VF &&
	    doca_dpdk_get_rep_vf_index(info, &number) == DOCA_SUCCESS)
		(void)snprintf(out, cap, "[%u]", number);
	if (type == DOCA_PCI_FUNC_TYPE_SF &&
	    doca_dpdk_get_rep_sf_num(info, &number) == DOCA_SUCCESS)
		(void)snprintf(out, cap, "sf[%u]", number);
	/* The host's own function, pf0hpf: mlx5 gives its representor the number behind all VFs. */
	if (type == DOCA_PCI_FUNC_TYPE_PF)
		(void)snprintf(out, cap, "[%u]", UINT16_MAX);
}

static int32_t open_rep(struct psp_dp *dp, struct dpu_device *device)
{
	struct doca_devinfo_rep **list = NULL;
	doca_error_t result;
	uint32_t n = 0;

	result = dpu_trace(
		&dp->trace,
		doca_devinfo_rep_create_list(device->dev, DOCA_DEVINFO_REP_FILTER_NET, &list, &n),
		"devinfo_rep_list");
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "its representors cannot be listed (on the DPU alone)",
				     result);
	result = DOCA_ERROR_NOT_FOUND;
	for (uint32_t i = 0; i < n && device->rep == NULL; i++) {
		if (!is_rep(list[i], dpu_desc(dp, PSP_DP_PORT_HOST)->name))
			continue;
		name_rep(list[i], &dp->base.config, device->rep_word, sizeof(device->rep_word));
		result = dpu_trace(&dp->trace, doca_dev_rep_open(list[i], &device->rep),
				   "dev_rep_open name=%s", dpu_desc(dp, PSP_DP_PORT_HOST)->name);
	}
	(void)doca_devinfo_rep_destroy_list(list);
	if (result == DOCA_ERROR_NOT_FOUND)
		return dp_fail(dp, PSP_DP_ENODEV,
			       "the device has no representor \"%s\" (devlink port lists them)",
			       dpu_desc(dp, PSP_DP_PORT_HOST)->name);
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "the representor cannot be opened", result);
	if (compat_probes_by_word() && device->rep_word[0] == 0)
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
	return status == 0 ? open_rep(dp, device) : status;
}

void dpu_device_down(struct psp_dp *dp)
{
	struct dpu_device *device = dp->device;

	if (device == NULL)
		return;
	if (device->rep != NULL)
		(void)dpu_trace(&dp->trace, doca_dev_rep_close(device->rep), "dev_rep_close");
	if (device->dev != NULL)
		(void)dpu_trace(&dp->trace, doca_dev_close(device->dev), "dev_close");
	free(device);
	dp->device = NULL;
}
