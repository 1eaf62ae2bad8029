/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h: the ports that a test's plane is opened with, an uplink and a host
 * port, and their handles. */
#ifndef PSP_TESTS_PORTS_H
#define PSP_TESTS_PORTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../psp_dp.h"

#define UPLINK 1u
#define HOST 2u

static inline struct psp_dp_port_desc port_desc(uint32_t kind, const char *name)
{
	struct psp_dp_port_desc desc = {.size = sizeof(desc), .kind = kind};

	(void)snprintf(desc.name, sizeof(desc.name), "%s", name);
	return desc;
}

/* guard: enum psp_dp_guard_mode, of both. PSP_TEST_WORKERS: how many, where a test does not say. */
static inline int32_t ports_open(const struct psp_dp_config *config, const char *uplink,
				 const char *host, uint8_t guard, struct psp_dp **dp, char *err,
				 uint32_t err_cap)
{
	struct psp_dp_port_desc ports[2] = {port_desc(PSP_DP_PORT_UPLINK, uplink),
					    port_desc(PSP_DP_PORT_HOST, host)};

	const char *workers = getenv("PSP_TEST_WORKERS");
	struct psp_dp_config all = *config;

	ports[0].guard = guard;
	ports[1].guard = guard;
	if (workers != NULL && all.workers == 0)
		all.workers = (uint32_t)atoi(workers);
	return psp_dp_open(&all, ports, 2, dp, err, err_cap);
}

#endif
