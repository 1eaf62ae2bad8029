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

uint8_t psp_forwarding(const char *interface)
{
	uint8_t found = 0;

	if (is_on("ipv4", interface, "forwarding"))
		found |= PSP_FORWARDS_IPV4;
	/* For IPv6 the kernel asks the switch of all interfaces, unless this one has no IPv6 at all. */
	if (is_on("ipv6", "all", "forwarding") && !is_on("ipv6", interface, "disable_ipv6"))
		found |= PSP_FORWARDS_IPV6;
	return found;
}
