/* SPDX-License-Identifier: Apache-2.0 */
/* device.h: what device.c opened, for nic.c and flow.c. */
#ifndef PSP_DPU_DEVICE_H
#define PSP_DPU_DEVICE_H

#include <doca_dev.h>
#include <stdio.h>

struct dpu_device {
	struct doca_dev *dev;
	char rep_words[1280];                         /* what DPDK calls the representors */
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE]; /* the uplink's */
	FILE *log;
};

#endif
