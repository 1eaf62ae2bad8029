/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to a service manager: they arrive, the reload's with its time, and nonsense is refused. */
#include "../psp_dp.h"
#include "test.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket in the abstract namespace: it goes with its descriptor. */
static int listen_at(char name[64], uint32_t *len)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*len = (uint32_t)snprintf(name, 64, "@psp-notify-%d", (int)getpid());
	memcpy(own.sun_path + 1, name + 1, *len - 1);
	if (bind(fd, (struct sockaddr *)&own,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + *len)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void what_is_said_arrives(void)
{
	static const char ready[] = "READY=1\nSTATUS=up", reload[] = "RELOADING=1";
	char name[64], got[256] = {0};
	long long usec = 0;
	uint32_t len;
	int fd = listen_at(name, &len);

	CHECK(fd >= 0);
	CHECK_EQ(psp_dp_notify(name, len, ready, sizeof(ready) - 1), PSP_DP_OK);
	CHECK_EQ(recv(fd, got, sizeof(got), 0), sizeof(ready) - 1);
	CHECK_MEM(got, ready, sizeof(ready) - 1);
	CHECK_EQ(psp_dp_notify(name, len, reload, sizeof(reload) - 1), PSP_DP_OK);
	memset(got, 0, sizeof(got));
	CHECK(recv(fd, got, sizeof(got) - 1, 0) > 0);
	CHECK_EQ(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	CHECK(usec > 0);
	(void)close(fd);
	CHECK_EQ(psp_dp_notify(name, len, ready, sizeof(ready) - 1), PSP_DP_EIO);
}

static void nonsense_is_refused(void)
{
	static const char text[5000] = "READY=1";
	char path[200];

	memset(path, '/', sizeof(path));
	CHECK_EQ(psp_dp_notify(NULL, 4, text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/", 1, text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("relative", 8, text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify(path, sizeof(path), text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/run/none", 9, NULL, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/run/none", 9, text, 0), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/run/none", 9, text, sizeof(text)), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/nowhere/none", 13, text, 7), PSP_DP_EIO);
}

int main(void)
{
	RUN(what_is_said_arrives);
	RUN(nonsense_is_refused);
	return test_summary();
}
