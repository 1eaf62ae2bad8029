/* SPDX-License-Identifier: Apache-2.0 */
/* doca_dev.h: devices and their representors: found in a list, opened, closed. See doca_version.h. */
#ifndef DOCA_DEV_H
#define DOCA_DEV_H

#include <stdint.h>

#include "doca_error.h"
#include "doca_types.h"

#define DOCA_DEVINFO_IFACE_NAME_SIZE 256

struct doca_dev;
struct doca_dev_rep;
struct doca_devinfo;
struct doca_devinfo_rep;

/* Bits of a filter; 0 is no filter. */
enum doca_devinfo_rep_filter {
	DOCA_DEVINFO_REP_FILTER_ALL = 0,
	DOCA_DEVINFO_REP_FILTER_NET = 1 << 1,
};

doca_error_t doca_devinfo_create_list(struct doca_devinfo ***list, uint32_t *n);
doca_error_t doca_devinfo_destroy_list(struct doca_devinfo **list);
doca_error_t doca_devinfo_is_equal_pci_addr(const struct doca_devinfo *info, const char *address,
					    uint8_t *equal);
doca_error_t doca_devinfo_get_iface_name(const struct doca_devinfo *info, char *name,
					 uint32_t size);
doca_error_t doca_dev_open(struct doca_devinfo *info, struct doca_dev **dev);
doca_error_t doca_dev_close(struct doca_dev *dev);

/* Representors can be listed on the DPU alone. */
doca_error_t doca_devinfo_rep_create_list(struct doca_dev *dev, int filter,
					  struct doca_devinfo_rep ***list, uint32_t *n);
doca_error_t doca_devinfo_rep_destroy_list(struct doca_devinfo_rep **list);
doca_error_t doca_devinfo_rep_is_equal_pci_addr(const struct doca_devinfo_rep *info,
						const char *address, uint8_t *equal);
doca_error_t doca_devinfo_rep_get_iface_name(const struct doca_devinfo_rep *info, char *name,
					     uint32_t size);
doca_error_t doca_devinfo_rep_get_pci_func_type(const struct doca_devinfo_rep *info,
						enum doca_pci_func_type *type);
doca_error_t doca_dev_rep_open(struct doca_devinfo_rep *info, struct doca_dev_rep **rep);
doca_error_t doca_dev_rep_close(struct doca_dev_rep *rep);

#endif
