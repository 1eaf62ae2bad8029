/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port.h"

#define FIRST_UNPRIVILEGED "/proc/sys/net/ipv4/ip_unprivileged_port_start"

static int32_t refuse(int error, char *err, uint32_t err_cap)
{
	int32_t status = PSP_DP_EIO;
	const char *why = strerror(error);

	if (error == EADDRINUSE) {
		status = PSP_DP_EBUSY;
		why = "another program (perhaps another agent) owns it";
	} else if (error == EACCES || error == EPERM) {
		status = PSP_DP_EPERM;
		why = "CAP_NET_BIND_SERVICE is missing, or CAP_NET_ADMIN and a writable /proc/sys";
	}
	if (err_cap != 0)
		(void)snprintf(err, err_cap, "Cannot bind UDP port %u: %s", PSP_UDP_PORT, why);
	return status;
}

/* The kernel would cut each super-frame into packets for a socket that does not say that it takes them whole. */
static void take_whole(int fd)
{
	const int one = 1;

	/* Before Linux 5.0 there is no such option, nor such super-frames. */
	(void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
}

/* A socket that owns the port and takes nothing: the filter keeps every packet out of its queue. 0 or an errno. */
static int open_sink(int family, int *out)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &drop};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PSP_UDP_PORT)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PSP_UDP_PORT)};
	const struct sockaddr *address =
		family == AF_INET ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
	socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int one = 1, error = 0, fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	if ((family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ||
	    bind(fd, address, len) != 0) {
		error = errno;
		(void)close(fd);
		return error;
	}
	take_whole(fd);
	*out = fd;
	return 0;
}

static int open_sinks(int fds[2])
{
	int error = open_sink(AF_INET, &fds[0]);

	if (error != 0)
		return error;
	error = open_sink(AF_INET6, &fds[1]);
	/* A kernel without IPv6 has nobody who would answer. */
	if (error == 0 || error == EAFNOSUPPORT)
		return 0;
	(void)close(fds[0]);
	fds[0] = -1;
	return error;
}

static bool write_number(int fd, long number)
{
	char text[16];
	const int len = snprintf(text, sizeof(text), "%ld", number);

	return pwrite(fd, text, (size_t)len, 0) == len;
}

/*
 * The way of a process that has CAP_NET_ADMIN and not CAP_NET_BIND_SERVICE: for the moment of the bind the port is
 * nobody's privilege in this network namespace, and then again what it was. `refused`, where that cannot be done.
 */
static int open_sinks_unprivileged(int fds[2], int refused)
{
	const int fd = open(FIRST_UNPRIVILEGED, O_RDWR | O_CLOEXEC);
	char text[16] = "";
	long first = 0;
	int error = refused;

	if (fd < 0)
		return refused;
	if (pread(fd, text, sizeof(text) - 1, 0) > 0)
		first = strtol(text, NULL, 10);
	if (first > PSP_UDP_PORT && write_number(fd, PSP_UDP_PORT)) {
		error = open_sinks(fds);
		(void)write_number(fd, first);
	}
	(void)close(fd);
	return error;
}

int32_t soft_port_sink_open(int fds[2], char *err, uint32_t err_cap)
{
	int error;

	fds[0] = -1;
	fds[1] = -1;
	error = open_sinks(fds);
	if (error == EACCES)
		error = open_sinks_unprivileged(fds, error);
	return error == 0 ? PSP_DP_OK : refuse(error, err, err_cap);
}
