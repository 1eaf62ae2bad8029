/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_port_link.h: a veth pair in a network namespace that lives as long as the test program, and the ports
 * at its ends. The including file defines _GNU_SOURCE.
 */
#ifndef PSP_SOFT_PORT_LINK_H
#define PSP_SOFT_PORT_LINK_H

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "../soft/port.h"
#include "soft_packet_frames.h"

#define WAIT_MS 2000
#define QUIET_MS 20

static uint8_t rx_buf[BUF_LEN];
static struct soft_port *a, *b; /* the two ends */
static char err[256];

/* Waits for a frame: 1, or 0 after timeout_ms. */
static inline int32_t receive(struct soft_port *port, struct dp_packet *packet, int timeout_ms)
{
	struct pollfd fd = {.fd = soft_port_fd(port), .events = POLLIN};
	int32_t got = soft_port_recv(port, rx_buf, sizeof(rx_buf), packet, 1);

	if (got == 0 && poll(&fd, 1, timeout_ms) > 0)
		got = soft_port_recv(port, rx_buf, sizeof(rx_buf), packet, 1);
	return got;
}

static inline bool shell(const char *command)
{
	return system(command) == 0;
}

static inline void close_both(void)
{
	soft_port_close(a);
	soft_port_close(b);
	a = NULL;
	b = NULL;
}

/* pa as an uplink and pb as a host port, which is promiscuous: frames there have any MAC. */
static inline bool open_both(uint16_t vlan_a, uint16_t vlan_b)
{
	return soft_port_open("pa", PSP_DP_PORT_UPLINK, vlan_a, &a, err, sizeof(err)) == 0 &&
	       soft_port_open("pb", PSP_DP_PORT_HOST, vlan_b, &b, err, sizeof(err)) == 0;
}

/*
 * A link that has come up swallows frames until the kernel has given it its queue: sends from one end until
 * the other hears it, and then until it is quiet.
 */
static inline bool link_carries(struct soft_port *from, struct soft_port *to)
{
	static uint8_t buf[BUF_LEN];
	struct dp_packet probe, got;
	bool retry, heard = false;

	make_frame(&probe, buf, &(struct frame_spec){.proto = 17});
	memset(probe.frame, 0xff, 6); /* an uplink, too, takes a broadcast */
	for (uint32_t i = 0; i < WAIT_MS / QUIET_MS && !heard; i++) {
		(void)soft_port_send(from, &probe, &retry);
		heard = receive(to, &got, QUIET_MS) == 1;
	}
	while (receive(to, &got, QUIET_MS) == 1)
		;
	return heard;
}

/* False: not allowed here, or veth is missing. */
static inline bool link_up(void)
{
	bool carries;

	/* Neighbour discovery and multicast reports would come between: no IPv6 on the pair. */
	if (unshare(CLONE_NEWNET) != 0 ||
	    !shell("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; ip link set lo up && "
		   "ip link add pa type veth peer name pb && ip link set pa up && "
		   "ip link set pb up"))
		return false;
	carries = open_both(0, 0) && link_carries(a, b) && link_carries(b, a);
	close_both();
	return carries;
}

/* What main() returns without a link: without root the tests are skipped, as root they failed. */
static inline int link_missing(void)
{
	bool root = geteuid() == 0;

	printf("%s: no veth pair in a namespace of its own\n0 passed, %u failed\n",
	       root ? "not ok link_up" : "# skipped", root ? 1u : 0u);
	return root ? 1 : 0;
}

#endif
