/* SPDX-License-Identifier: Apache-2.0 */
#include "forwarding.h"

#include <stdio.h>

#include "../psp/forwarding.h"

int32_t soft_forwarding_refuse(const char *host, char *err, uint32_t err_cap)
{
	const uint8_t found = psp_forwarding(host);

	if (found & PSP_FORWARDS_IPV4) {
		(void)snprintf(err, err_cap,
			       "Cannot open host port \"%s\": the kernel forwards its IPv4 packets "
			       "in clear text; set net.ipv4.conf.%s.forwarding=0, "
			       "or let the agent have its ingress guard",
			       host, host);
		return PSP_DP_EPERM;
	}
	if (found & PSP_FORWARDS_IPV6) {
		(void)snprintf(err, err_cap,
			       "Cannot open host port \"%s\": the kernel forwards its IPv6 packets "
			       "in clear text; set net.ipv6.conf.%s.disable_ipv6=1, "
			       "or let the agent have its ingress guard",
			       host, host);
		return PSP_DP_EPERM;
	}
	return PSP_DP_OK;
}
