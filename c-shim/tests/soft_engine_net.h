/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_engine_net.h: two network namespaces joined by a veth, each with a workload behind another veth. They
 * belong to the test program alone and are gone with it.
 *
 *   workload a_v -- a_host [plane A] a_up -- b_up [plane B] b_host -- b_v workload
 */
#ifndef PSP_SOFT_ENGINE_NET_H
#define PSP_SOFT_ENGINE_NET_H

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "../soft/soft.h"
#include "ports.h"
#include "test.h"

/* Until a frame or an event that has to come is held to be lost: on a busy machine, under a sanitizer. */
#define NET_HANG_MS 60000

struct net_side {
	int ns;                /* the namespace */
	struct soft_port *end; /* the workload's end of the host veth */
	uint8_t up_mac[6], host_mac[6], end_mac[6];
	struct psp_dp *dp;
	uint8_t vip[4], pip[4];
};

struct net {
	struct net_side a, b;
};

/* posix_spawn() copies no page tables: with sanitizers, fork() takes a tenth of a second. */
static inline bool net_run(const char *const *args)
{
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;
	bool ok;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return false;
	ok = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) == 0 &&
	     posix_spawnp(&pid, args[0], &actions, NULL, (char *const *)(uintptr_t)args, environ) ==
		     0;
	(void)posix_spawn_file_actions_destroy(&actions);
	return ok && waitpid(pid, &status, 0) == pid && status == 0;
}

#define NET_IP(...) net_run((const char *const[]){"ip", __VA_ARGS__, NULL})

/* A switch of this namespace's kernel. */
static inline bool net_set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return true; /* a kernel without IPv6 */
	ok = write(fd, value, 1) == 1;
	(void)close(fd);
	return ok;
}

/*
 * Neighbour discovery and the like would add packets that no test has sent; forwarding, which a new
 * namespace inherits, would keep the plane from opening.
 */
static inline bool net_quiet(void)
{
	return net_set("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1") &&
	       net_set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") &&
	       net_set("/proc/sys/net/ipv4/ip_forward", "0");
}

/* A namespace of its own for this thread; returns a descriptor of it, or -1. */
static inline int net_namespace(void)
{
	if (unshare(CLONE_NEWNET) != 0 || !net_quiet() || !NET_IP("link", "set", "lo", "up"))
		return -1;
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static inline bool net_enter(const struct net_side *side)
{
	return setns(side->ns, CLONE_NEWNET) == 0;
}

/*
 * Waits until the kernel sends what an interface is given, ten seconds at most. It drops all until its own queue of
 * link events has come to the carrier, which takes a second on a machine where many links come and go.
 */
static inline bool net_running(const char *name)
{
	const int running = IFF_UP | IFF_RUNNING;
	struct ifreq flags;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = false;

	memset(&flags, 0, sizeof(flags));
	(void)snprintf(flags.ifr_name, sizeof(flags.ifr_name), "%s", name);
	for (uint32_t i = 0; fd >= 0 && !ok && i < 10000; i++) {
		ok = ioctl(fd, SIOCGIFFLAGS, &flags) == 0 && (flags.ifr_flags & running) == running;
		if (!ok)
			usleep(1000);
	}
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

static inline bool net_veth(const char *one, const char *other)
{
	return NET_IP("link", "add", one, "type", "veth", "peer", "name", other) &&
	       NET_IP("link", "set", one, "up", "mtu", "1500") &&
	       NET_IP("link", "set", other, "up", "mtu", "1500") && net_running(one) &&
	       net_running(other);
}

/* Makes the namespaces and their links; the thread is in A's. */
static inline bool net_up(struct net *net)
{
	char path[64];

	memset(net, 0, sizeof(*net));
	net->b.ns = net_namespace();
	if (net->b.ns < 0 || !net_veth("b_host", "b_v"))
		return false;
	net->a.ns = net_namespace();
	if (net->a.ns < 0 || !net_veth("a_host", "a_v") || !net_veth("a_up", "b_up"))
		return false;
	/* The descriptor is inherited by ip: by its number there. */
	(void)fcntl(net->b.ns, F_SETFD, 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", net->b.ns);
	if (!NET_IP("link", "set", "b_up", "netns", path))
		return false;
	(void)fcntl(net->b.ns, F_SETFD, FD_CLOEXEC);
	memcpy(net->a.vip, (uint8_t[]){10, 1, 0, 1}, 4);
	memcpy(net->b.vip, (uint8_t[]){10, 1, 0, 2}, 4);
	memcpy(net->a.pip, (uint8_t[]){192, 0, 2, 1}, 4);
	memcpy(net->b.pip, (uint8_t[]){192, 0, 2, 2}, 4);
	return net_enter(&net->b) && NET_IP("link", "set", "b_up", "up", "mtu", "1500") &&
	       net_enter(&net->a) && NET_IP("link", "set", "a_up", "up", "mtu", "1500") &&
	       net_running("a_up") && net_enter(&net->b) && net_running("b_up") &&
	       net_enter(&net->a);
}

static inline bool net_mac(struct soft_port *port, uint8_t mac[6])
{
	struct psp_dp_port_info info = {.size = sizeof(info)};

	if (soft_port_query(port, &info) != 0)
		return false;
	memcpy(mac, info.mac, 6);
	return true;
}

/* Opens a side's plane and its workload's end. config: its size is filled in; guard: of both ports. */
static inline bool net_open_guarded(struct net_side *side, char letter,
				    struct psp_dp_config *config, uint8_t guard)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	char err[200], uplink[16], host[16], name[16];

	config->size = sizeof(*config);
	(void)snprintf(uplink, sizeof(uplink), "%c_up", letter);
	(void)snprintf(host, sizeof(host), "%c_host", letter);
	(void)snprintf(name, sizeof(name), "%c_v", letter);
	if (!net_enter(side))
		return false;
	if (ports_open(config, uplink, host, guard, &side->dp, err, sizeof(err)) != 0) {
		printf("# %s\n", err);
		return false;
	}
	side->dp->without_cache = getenv("PSP_TEST_WITHOUT_CACHE") != NULL;
	if (psp_dp_port_query(side->dp, UPLINK, &info) != 0)
		return false;
	memcpy(side->up_mac, info.mac, 6);
	if (psp_dp_port_query(side->dp, HOST, &info) != 0)
		return false;
	memcpy(side->host_mac, info.mac, 6);
	return soft_port_open(name, PSP_DP_PORT_HOST, 0, &side->end, err, sizeof(err)) == 0 &&
	       net_mac(side->end, side->end_mac);
}

static inline bool net_open(struct net_side *side, char letter, struct psp_dp_config *config)
{
	return net_open_guarded(side, letter, config, PSP_DP_GUARD_AUTO);
}

static inline void net_close(struct net_side *side)
{
	if (side->dp != NULL)
		(void)!psp_dp_close(side->dp);
	if (side->end != NULL)
		soft_port_close(side->end);
	side->dp = NULL;
	side->end = NULL;
}

/* ---- frames ---------------------------------------------------------------------------------- */

struct net_frame {
	struct dp_packet packet;
	uint8_t buf[DP_HEADROOM + DP_FRAME_MAX + 2];
};

/* A UDP packet from one workload to another, with a number in front of its payload. */
static inline void net_udp(struct net_frame *f, const struct net_side *from,
			   const struct net_side *to, uint32_t number, uint32_t payload)
{
	uint8_t *eth = f->buf + DP_HEADROOM, *ip = eth + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	uint32_t l4_len = NET_UDP_LEN + payload;

	memset(&f->packet, 0, sizeof(f->packet));
	memset(eth, 0, NET_ETH_LEN + NET_IP4_LEN + l4_len);
	memcpy(eth, from->host_mac, 6);
	memcpy(eth + 6, from->end_mac, 6);
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(NET_IP4_LEN + l4_len));
	ip[NET_IP4_TTL] = 64;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	memcpy(ip + NET_IP4_SRC, from->vip, 4);
	memcpy(ip + NET_IP4_DST, to->vip, 4);
	dp_csum_ipv4(ip);
	psp_put16(udp + NET_UDP_SRC, 4000);
	psp_put16(udp + NET_UDP_DST, 5000);
	psp_put16(udp + NET_UDP_LENGTH, (uint16_t)l4_len);
	for (uint32_t i = 4; i < payload; i++)
		udp[NET_UDP_LEN + i] = (uint8_t)(i * 7);
	if (payload >= 4)
		psp_put32(udp + NET_UDP_LEN, number);
	f->packet.frame = eth;
	f->packet.len = NET_ETH_LEN + NET_IP4_LEN + l4_len;
	f->packet.port = PSP_DP_PORT_HOST;
}

/* A TCP super-frame of `segments` packets of `mss` octets. */
static inline void net_tso(struct net_frame *f, const struct net_side *from,
			   const struct net_side *to, uint32_t segments, uint32_t mss)
{
	uint8_t *eth = f->buf + DP_HEADROOM, *ip = eth + NET_ETH_LEN, *tcp = ip + NET_IP4_LEN;
	uint32_t payload = segments * mss - mss / 2, l4_len = NET_TCP_LEN + payload;

	net_udp(f, from, to, 0, 12 + payload);
	ip[NET_IP4_PROTO] = NET_PROTO_TCP;
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(NET_IP4_LEN + l4_len));
	dp_csum_ipv4(ip);
	memset(tcp, 0, NET_TCP_LEN);
	psp_put16(tcp, 4000);
	psp_put16(tcp + 2, 5000);
	psp_put32(tcp + NET_TCP_SEQ, 1000);
	tcp[NET_TCP_OFFSET] = 5 << 4;
	tcp[NET_TCP_FLAGS] = NET_ACK | NET_PSH;
	psp_put16(tcp + NET_TCP_WINDOW, 1000);
	for (uint32_t i = 0; i < payload; i++)
		tcp[NET_TCP_LEN + i] = (uint8_t)((i * 31) ^ (i >> 8));
	psp_put16(tcp + NET_TCP_CSUM, dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_TCP, l4_len)));
	f->packet.gso = DP_GSO_TCP4;
	f->packet.gso_size = (uint16_t)mss;
	f->packet.needs_csum = true;
	f->packet.csum_start = NET_ETH_LEN + NET_IP4_LEN;
	f->packet.csum_offset = NET_TCP_CSUM;
	f->packet.payload_off = NET_ETH_LEN + NET_IP4_LEN + NET_TCP_LEN;
	f->packet.l4_off = f->packet.csum_start;
	f->packet.l3_off = NET_ETH_LEN;
}

static inline bool net_send(const struct net_side *side, const struct net_frame *f)
{
	bool retry = true;

	for (uint32_t i = 0; i < 1000 && retry; i++) {
		if (soft_port_send(side->end, &f->packet, &retry) == 0)
			return true;
		if (retry)
			usleep(100);
	}
	return false;
}

/* The next frame at a port within timeout_ms, parsed; false: none came. */
static inline bool net_recv_port(struct soft_port *port, struct net_frame *f, int timeout_ms)
{
	struct pollfd fd = {.fd = soft_port_fd(port), .events = POLLIN};

	for (;;) {
		memset(&f->packet, 0, sizeof(f->packet));
		if (soft_port_recv(port, f->buf, sizeof(f->buf), &f->packet, 1) == 1)
			return dp_parse(&f->packet);
		if (poll(&fd, 1, timeout_ms) <= 0)
			return false;
	}
}

static inline bool net_recv(const struct net_side *side, struct net_frame *f, int timeout_ms)
{
	return net_recv_port(side->end, f, timeout_ms);
}

/* The number in a UDP packet of net_udp(). */
static inline uint32_t net_number(const struct net_frame *f)
{
	return psp_get32(f->packet.frame + f->packet.payload_off);
}

#endif
