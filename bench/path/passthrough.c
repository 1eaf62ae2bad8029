/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passthrough.c: the least that a gateway in user space can do: each frame of one interface leaves through the other,
 * with the virtio-net header that it came with, and nothing else is read or changed.
 *
 *   passthrough IFACE IFACE     prints "ready"; ends with a signal
 *
 * One thread for each direction, which sleeps in recv(). Frames that this host sends are not returned, and what the
 * kernel cannot describe is skipped.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BUFFER (32 << 20) /* as the plane's: with less, eight streams lose what that keeps */
#define FRAME_MAX 65550u

struct way {
	int from, to;
	uint8_t buf[sizeof(struct virtio_net_hdr) + FRAME_MAX];
};

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int open_port(const char *name)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name)};
	struct packet_mreq all = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || at.sll_ifindex == 0 || set(fd, SOL_PACKET, PACKET_VNET_HDR, 1) != 0 ||
	    set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) != 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0 ||
	    set(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) != 0 ||
	    set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
		(void)fprintf(stderr, "Cannot open \"%s\": %s\n", name, strerror(errno));
		return -1;
	}
	return fd;
}

static void *carry(void *arg)
{
	struct way *way = arg;

	for (;;) {
		ssize_t n = recv(way->from, way->buf, sizeof(way->buf), MSG_TRUNC);

		if (n < 0 && errno != EINTR && errno != EINVAL && errno != ENETDOWN)
			return NULL;
		if (n <= (ssize_t)sizeof(struct virtio_net_hdr) || (size_t)n > sizeof(way->buf))
			continue;
		/* A full queue holds the sender up; what the device refuses is lost, as on any wire. */
		while (send(way->to, way->buf, (size_t)n, 0) < 0 && errno == EINTR)
			;
	}
}

int main(int argc, char **argv)
{
	static struct way ways[2];
	pthread_t thread;

	if (argc != 3) {
		(void)fputs("usage: passthrough IFACE IFACE\n", stderr);
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		ways[i].from = open_port(argv[1 + i]);
		ways[1 - i].to = ways[i].from;
		if (ways[i].from < 0)
			return 1;
	}
	if (pthread_create(&thread, NULL, carry, &ways[1]) != 0)
		return 1;
	(void)puts("ready");
	(void)fflush(stdout);
	(void)carry(&ways[0]);
	(void)fprintf(stderr, "Cannot receive: %s\n", strerror(errno));
	return 1;
}
