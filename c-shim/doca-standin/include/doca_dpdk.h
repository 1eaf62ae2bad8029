/* SPDX-License-Identifier: Apache-2.0 */
/* doca_dpdk.h: a device handed to DPDK. See doca_version.h. */
#ifndef DOCA_DPDK_H
#define DOCA_DPDK_H

#include <stdint.h>

#include "doca_error.h"
#include "doca_version.h"

struct doca_dev;
struct doca_dev_rep;
struct doca_devinfo_rep;

doca_error_t doca_dpdk_port_probe(struct doca_dev *dev, const char *devargs);
doca_error_t doca_dpdk_get_first_port_id(const struct doca_dev *dev, uint16_t *port_id);
doca_error_t doca_dpdk_get_rep_vf_index(const struct doca_devinfo_rep *info, uint16_t *vf);
doca_error_t doca_dpdk_get_rep_sf_num(const struct doca_devinfo_rep *info, uint16_t *sf);

#if DOCA_STANDIN >= 301
doca_error_t doca_dpdk_port_probe_with_representors(struct doca_dev *dev, const char *devargs,
						    struct doca_dev_rep **reps, uint16_t n);
#endif

#endif
