/* SPDX-License-Identifier: Apache-2.0 */
#include "forwarding.h"

#include <stdbool.h>
#include <stdio.h>

/* One octet of a switch under /proc/sys/net/<family>/conf/<name>/; a switch that is not there is off. */
static bool is_on(const char *family, const char *name, const char *setting)
{
	char path[256];
	bool on = false;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, setting);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	on = fgetc(file) == '1';
	(void)fclose(file);
	return on;
}

int32_t soft_forwarding_refuse(const char *host, char *err, uint32_t err_cap)
{
	if (is_on("ipv4", host, "forwarding")) {
		(void)snprintf(err, err_cap,
			       "Cannot open host port \"%s\": the kernel forwards its IPv4 packets "
			       "in clear "
			       "text; set net.ipv4.conf.%s.forwarding=0",
			       host, host);
		return PSP_DP_EPERM;
	}
	/* For IPv6 the kernel asks the switch of all interfaces, unless this one has no IPv6 at all. */
	if (is_on("ipv6", "all", "forwarding") && !is_on("ipv6", host, "disable_ipv6")) {
		(void)snprintf(err, err_cap,
			       "Cannot open host port \"%s\": the kernel forwards its IPv6 packets "
			       "in clear "
			       "text; set net.ipv6.conf.%s.disable_ipv6=1",
			       host, host);
		return PSP_DP_EPERM;
	}
	return PSP_DP_OK;
}
