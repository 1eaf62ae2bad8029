/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c: tells the service manager what the agent is about, since JavaScript has no such socket. */
#include "../psp_dp.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RELOADING "RELOADING=1"
#define TEXT_MAX 4096u

int32_t psp_dp_notify(const char *path, uint32_t path_len, const char *text, uint32_t len)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char message[TEXT_MAX + 64];
	struct timespec now;
	ssize_t sent;
	int fd;

	if (path == NULL || path_len < 2 || path_len >= sizeof(to.sun_path) ||
	    (path[0] != '/' && path[0] != '@') || text == NULL || len == 0 || len > TEXT_MAX)
		return PSP_DP_EINVAL;
	memcpy(to.sun_path, path, path_len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	memcpy(message, text, len);
	if (len >= strlen(RELOADING) && memcmp(text, RELOADING, strlen(RELOADING)) == 0) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		len += (uint32_t)snprintf(message + len, sizeof(message) - len,
					  "\nMONOTONIC_USEC=%" PRId64,
					  (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return PSP_DP_EIO;
	sent = sendto(fd, message, len, MSG_NOSIGNAL, (const struct sockaddr *)&to,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len));
	(void)close(fd);
	return sent == (ssize_t)len ? PSP_DP_OK : PSP_DP_EIO;
}
