/* SPDX-License-Identifier: Apache-2.0 */
/* device.h: the device as device.c opened it, and what of the configuration is in the words of DPDK and DOCA Flow. */
#ifndef PSP_DPU_DEVICE_H
#define PSP_DPU_DEVICE_H

#include <doca_dev.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../psp_dp.h"

struct psp_dp;

struct dpu_device {
	struct doca_dev *dev;
	char rep_words[1280];                         /* what DPDK calls the representors */
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE]; /* the uplink's */
	FILE *log;
};

struct dpu_options {
	char cores[128];  /* EAL's core list. Without cpus: 0 */
	uint32_t n_cores; /* 1 at least */
	uint16_t core[PSP_DP_CPUS_MAX];
	int32_t hugepages_mb; /* 0: none are reserved, ordinary pages are used; -1: EAL's own */
};

/* NULL, or what is wrong with the texts of a configuration. */
const char *dpu_options_complaint(const struct psp_dp_config *config);
/* False: the processors do not fit a core list. */
bool dpu_options_read(const struct psp_dp_config *config, struct dpu_options *out);

/* 0, or the error text says what is to be done. What sysfs does not tell is no reason to refuse. */
int32_t dpu_preflight(struct psp_dp *dp);
/*
 * No device was found, or it was not opened, and the error text says so: what may be the reason comes first in it from
 * now on, as far as this process can see one. Returns `status`.
 */
int32_t dpu_preflight_blame(struct psp_dp *dp, int32_t status);

/* DPDK's environment, for one plane at a time. 0; PSP_DP_EBUSY: another plane of this process has it. */
int32_t dpu_eal_take(struct psp_dp *dp);
/* It stays for the next plane: DPDK cannot start twice. */
void dpu_eal_give(void);

/* Undone by dpu_device_down(), also when it had failed. */
int32_t dpu_device_up(struct psp_dp *dp);
void dpu_device_down(struct psp_dp *dp);

#endif
