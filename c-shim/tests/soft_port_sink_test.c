/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that keep the host's own stack quiet. */
#define _GNU_SOURCE /* unshare(), setresuid() */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soft_port_link.h"

/* True when somebody answers "port unreachable" to UDP port 1000 here. */
static bool is_refused(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PSP_UDP_PORT)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PSP_UDP_PORT)};
	int fd = socket(family, SOCK_DGRAM, 0);
	bool refused;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	(void)connect(
		fd, family == AF_INET ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6,
		family == AF_INET ? sizeof(v4) : sizeof(v6));
	refused = send(fd, "x", 1, 0) < 0 || send(fd, "x", 1, 0) < 0;
	(void)close(fd);
	return refused;
}

static void the_sink_keeps_the_kernel_silent(void)
{
	int fds[2], more[2];
	char octet;

	CHECK(is_refused(AF_INET));
	CHECK(is_refused(AF_INET6));
	CHECK_EQ(soft_port_sink_open(fds, err, sizeof(err)), 0);
	CHECK(!is_refused(AF_INET));
	CHECK(!is_refused(AF_INET6));
	CHECK_EQ(recv(fds[0], &octet, 1, 0), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(recv(fds[1], &octet, 1, 0), -1);
	CHECK_EQ(soft_port_sink_open(more, err, sizeof(err)), PSP_DP_EBUSY);
	CHECK_EQ(more[0], -1);
	CHECK(strcmp(err, "Cannot bind UDP port 1000: another program (perhaps another agent) "
			  "owns it") == 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

#define NOBODY 65534u

/* Nobody, with these capabilities (bits) and no others. */
static bool become_nobody(uint32_t capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = capabilities, .permitted = capabilities}};

	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
	       syscall(SYS_capset, &header, data) == 0;
}

/* What a process with these capabilities gets when it asks for the sink; -1 when there can be no such process. */
static int open_as_nobody(uint32_t capabilities)
{
	const pid_t child = fork();
	int fds[2], status = 0;

	if (child == 0)
		_exit(become_nobody(capabilities) ? -soft_port_sink_open(fds, err, sizeof(err))
						  : 255);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) < 255
		       ? -WEXITSTATUS(status)
		       : -1;
}

#define PORT_IS_PRIVILEGED "test $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start) = 1024"

static void net_admin_is_enough_for_the_port(void)
{
	CHECK(shell(PORT_IS_PRIVILEGED));
	CHECK_EQ(open_as_nobody(1u << CAP_NET_ADMIN), PSP_DP_OK);
	CHECK(shell(PORT_IS_PRIVILEGED));
	CHECK_EQ(open_as_nobody(1u << CAP_NET_BIND_SERVICE), PSP_DP_OK);
	CHECK_EQ(open_as_nobody(1u << CAP_NET_RAW), PSP_DP_EPERM);
	CHECK(shell(PORT_IS_PRIVILEGED));
}

int main(void)
{
	if (!link_up())
		return link_missing();
	RUN(the_sink_keeps_the_kernel_silent);
	RUN(net_admin_is_enough_for_the_port);
	return test_summary();
}
