/* SPDX-License-Identifier: Apache-2.0 */
/* host_report.c: for psp-agent doctor, and which interfaces there are. The runtime keeps /proc and /sys from programs without every permission. */
#include "../psp_dp.h"
#include "devices.h"
#include "forwarding.h"
#include "nftables.h"
#include "rights.h"

#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Text that grows beyond its room: then only its length counts. */
struct report {
	char *at;
	uint32_t cap, len;
};

__attribute__((format(printf, 2, 3))) static void line(struct report *report, const char *format,
						       ...)
{
	char text[512];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (n <= 0 || n >= (int)sizeof(text))
		return;
	if (report->len + (uint32_t)n <= report->cap)
		memcpy(report->at + report->len, text, (size_t)n);
	report->len += (uint32_t)n;
}

static void rights(struct report *report)
{
	struct psp_rights rights;

	psp_rights_look("", &rights);
	line(report, "cap-eff %" PRIx64 "\n", rights.capabilities);
	if (rights.memlock == PSP_MEMLOCK_UNLIMITED)
		line(report, "memlock unlimited\n");
	else
		line(report, "memlock %" PRIu64 "\n", rights.memlock);
	line(report, "verbs %u %u\n", rights.verbs, rights.verbs_open);
	if (rights.hugepages_mb >= 0)
		line(report, "hugepages-mb %" PRId64 "\n", rights.hugepages_mb);
}

static void limit(struct report *report, const char *key, const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t value;

	if (file == NULL)
		return;
	if (fscanf(file, "%" SCNu64, &value) == 1)
		line(report, "%s %" PRIu64 "\n", key, value);
	(void)fclose(file);
}

static void interfaces(struct report *report)
{
	struct if_nameindex *names = if_nameindex();
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (struct if_nameindex *at = names; fd >= 0 && at != NULL && at->if_index != 0; at++) {
		struct ifreq request = {0};
		uint8_t forwards = psp_forwarding(at->if_name);
		bool up;

		(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", at->if_name);
		if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
			continue;
		up = (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0;
		if (ioctl(fd, SIOCGIFMTU, &request) == 0)
			line(report, "interface %s %s %d\n", at->if_name, up ? "up" : "down",
			     request.ifr_mtu);
		if (forwards != 0)
			line(report, "forwards %s %u\n", at->if_name, forwards);
	}
	if (fd >= 0)
		(void)close(fd);
	if (names != NULL)
		if_freenameindex(names);
}

int32_t psp_dp_interfaces(char *buf, uint32_t cap, uint32_t *len)
{
	struct report report = {.at = buf, .cap = cap};
	struct if_nameindex *names;

	if (len == NULL || (buf == NULL && cap != 0))
		return PSP_DP_EINVAL;
	names = if_nameindex();
	if (names == NULL)
		return PSP_DP_EIO;
	for (struct if_nameindex *at = names; at->if_index != 0; at++)
		line(&report, "%s\n", at->if_name);
	if_freenameindex(names);
	*len = report.len;
	return report.len <= cap ? PSP_DP_OK : PSP_DP_ERANGE;
}

static void device(void *context, const char *text)
{
	line(context, "%s\n", text);
}

int32_t psp_dp_host_report(char *buf, uint32_t cap, uint32_t *len)
{
	struct report report = {.at = buf, .cap = cap};

	if (len == NULL || (buf == NULL && cap != 0))
		return PSP_DP_EINVAL;
	line(&report, "page-size %ld\n", sysconf(_SC_PAGESIZE));
	rights(&report);
	limit(&report, "rmem-max", "/proc/sys/net/core/rmem_max");
	limit(&report, "wmem-max", "/proc/sys/net/core/wmem_max");
	line(&report, "guard %u\n", psp_nft_probe());
	interfaces(&report);
	psp_devices_tell("", device, &report);
	*len = report.len;
	return report.len <= cap ? PSP_DP_OK : PSP_DP_ERANGE;
}
