/* SPDX-License-Identifier: Apache-2.0 */
/* doca_types.h: integers in network order, and kinds of PCI functions. See doca_version.h. */
#ifndef DOCA_TYPES_H
#define DOCA_TYPES_H

#include <linux/types.h>
#include <stdint.h>

typedef __be16 doca_be16_t;
typedef __be32 doca_be32_t;
typedef __be64 doca_be64_t;

enum doca_pci_func_type {
	DOCA_PCI_FUNC_TYPE_PF = 0,
	DOCA_PCI_FUNC_TYPE_VF = 1,
	DOCA_PCI_FUNC_TYPE_SF = 2,
};

#endif
