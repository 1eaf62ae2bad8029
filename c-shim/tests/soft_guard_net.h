/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_guard_net.h: a host with two interfaces, "p0" and "vf0", whose other ends are elsewhere. What the host's
 * kernel works on is read from its own counters. The including file defines _GNU_SOURCE.
 */
#ifndef PSP_SOFT_GUARD_NET_H
#define PSP_SOFT_GUARD_NET_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "soft_engine_net.h"

#define GUARD_MARK 0x88b5u  /* EtherType for local experiments */
#define GUARD_MARK_MS 10000 /* a mark that takes longer never comes */

struct guard_net {
	int near, far;                  /* the namespaces */
	int up, host;                   /* packet sockets at the far ends */
	int near_up, near_host;         /* and at the host's own */
	uint8_t up_mac[6], host_mac[6]; /* of the host's own ends */
};

static inline bool guard_shell(const char *command)
{
	return system(command) == 0;
}

static inline int guard_socket(const char *device)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(device)};
	const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return -1;
	return fd;
}

/* ---- when all that was sent is through ------------------------------------------------------- */

static inline bool guard_send(int fd, const uint8_t *frame, uint32_t len)
{
	return send(fd, frame, len, 0) == (ssize_t)len;
}

/*
 * Sends a mark, and reads at the other end until it comes. What one processor sends over veths is worked on in its order: the
 * kernel is through with everything before the mark then, however busy the machine is. Returns how many of the frames before
 * it were for this end, or for everybody who asks by ARP: what a host's IPv6 says of itself is multicast, and none.
 */
static inline uint32_t guard_mark(int from, int to)
{
	static uint32_t serial;
	uint8_t mark[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, frame[2048];
	struct pollfd readable = {.fd = to, .events = POLLIN};
	uint32_t n = 0;

	psp_put16(mark + NET_ETH_TYPE, GUARD_MARK);
	psp_put32(mark + NET_ETH_LEN, ++serial);
	if (!guard_send(from, mark, sizeof(mark)))
		return UINT32_MAX;
	while (poll(&readable, 1, GUARD_MARK_MS) == 1) {
		if (recv(to, frame, sizeof(frame), 0) < 0)
			return UINT32_MAX;
		if (memcmp(frame, mark, NET_ETH_LEN + 4) == 0)
			return n;
		n += psp_get16(frame + NET_ETH_TYPE) != GUARD_MARK &&
		     ((frame[0] & 1) == 0 || psp_get16(frame + NET_ETH_TYPE) == NET_TYPE_ARP);
	}
	return UINT32_MAX;
}

/* The host's kernel has worked on all that was sent to it. */
static inline void guard_settle(const struct guard_net *net)
{
	(void)guard_mark(net->up, net->near_up);
	(void)guard_mark(net->host, net->near_host);
}

/* Answers that came to a far end since the last call. */
static inline uint32_t guard_answers(const struct guard_net *net, int far)
{
	guard_settle(net);
	return guard_mark(far == net->up ? net->near_up : net->near_host, far);
}

/* All that this process sends has one order. */
static inline bool guard_one_processor(void)
{
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return false;
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &one);
			break;
		}
	}
	return sched_setaffinity(0, sizeof(one), &one) == 0;
}

/* A veth whose near end has an address, .1 of a /24, and IPv6, and whose far end is quiet. */
static inline bool guard_link(struct guard_net *net, const char *near, const char *far,
			      const char *address, int *socket, int *near_socket, uint8_t mac[6])
{
	char command[800], err[200];
	struct soft_port *port;

	/* The neighbour is known: an address that nobody answers for would make the kernel talk to itself, later. */
	(void)snprintf(command, sizeof(command),
		       "ip link add %1$s type veth peer name %2$s netns /proc/%3$d/fd/%4$d && "
		       "for k in accept_dad accept_ra router_solicitations disable_ipv6; do "
		       "echo 0 >/proc/sys/net/ipv6/conf/%1$s/$k; done; "
		       "ip addr add %5$s.1/24 dev %1$s && ip link set %1$s up && "
		       "for a in %5$s.2 fe80::2; do "
		       "ip neigh add $a lladdr 02:00:00:00:00:02 dev %1$s nud permanent; done",
		       near, far, (int)getpid(), net->far, address);
	if (!guard_shell(command) || setns(net->far, CLONE_NEWNET) != 0 ||
	    !NET_IP("link", "set", far, "up") || !net_running(far))
		return false;
	*socket = guard_socket(far);
	if (setns(net->near, CLONE_NEWNET) != 0 || *socket < 0 || !net_running(near) ||
	    (*near_socket = guard_socket(near)) < 0 ||
	    soft_port_open(near, PSP_DP_PORT_UPLINK, 0, &port, err, sizeof(err)) != 0)
		return false;
	(void)net_mac(port, mac);
	soft_port_close(port);
	return true;
}

/* The thread is in the host's namespace then. */
static inline bool guard_net_up(struct guard_net *net)
{
	net->far = net_namespace();
	net->near = net->far < 0 ? -1 : net_namespace();
	return net->near >= 0 && guard_one_processor() &&
	       guard_link(net, "p0", "far_p0", "192.0.2", &net->up, &net->near_up, net->up_mac) &&
	       guard_link(net, "vf0", "far_vf0", "198.51.100", &net->host, &net->near_host,
			  net->host_mac);
}

/* Without root the tests are skipped; as root they failed. */
static inline int guard_net_missing(void)
{
	const bool root = geteuid() == 0;

	printf("%s: no veth pairs in namespaces of their own\n0 passed, %u failed\n",
	       root ? "not ok guard_net_up" : "# skipped", root ? 1u : 0u);
	return root ? 1 : 0;
}

/* ---- what the kernel works on ---------------------------------------------------------------- */

/* "Ip6InReceives" of /proc/net/snmp6, or "Ip:" and "InReceives" of /proc/net/snmp. */
static inline uint64_t guard_snmp(const char *table, const char *name)
{
	char names[2048], values[2048], *n, *v, *next_n = NULL, *next_v = NULL;
	FILE *file = fopen(
		table == NULL ? "/proc/thread-self/net/snmp6" : "/proc/thread-self/net/snmp", "re");
	uint64_t found = UINT64_MAX;

	while (table == NULL && fgets(values, sizeof(values), file) != NULL)
		if (strncmp(values, name, strlen(name)) == 0 && values[strlen(name)] <= ' ')
			found = strtoull(values + strlen(name), NULL, 10);
	while (table != NULL && fgets(names, sizeof(names), file) != NULL &&
	       fgets(values, sizeof(values), file) != NULL) {
		if (strncmp(names, table, strlen(table)) != 0)
			continue;
		n = strtok_r(names, " \n", &next_n);
		v = strtok_r(values, " \n", &next_v);
		while (n != NULL && v != NULL && strcmp(n, name) != 0) {
			n = strtok_r(NULL, " \n", &next_n);
			v = strtok_r(NULL, " \n", &next_v);
		}
		if (v != NULL)
			found = strtoull(v, NULL, 10);
	}
	(void)fclose(file);
	return found;
}

/* What the kernel's IP layer counts of what comes in, and of what it answers: not what IPv6 says by itself. */
struct guard_counts {
	uint64_t ip, ip6, udp, udp_no_port, icmp_out, icmp6_out;
};

static inline struct guard_counts guard_count(const struct guard_net *net)
{
	guard_settle(net);
	return (struct guard_counts){
		.ip = guard_snmp("Ip:", "InReceives"),
		.ip6 = guard_snmp(NULL, "Ip6InReceives"),
		.udp = guard_snmp("Udp:", "InDatagrams") + guard_snmp("Udp:", "InErrors"),
		.udp_no_port = guard_snmp("Udp:", "NoPorts") + guard_snmp(NULL, "Udp6NoPorts"),
		.icmp_out = guard_snmp("Icmp:", "OutMsgs"),
		.icmp6_out = guard_snmp(NULL, "Icmp6OutDestUnreachs") +
			     guard_snmp(NULL, "Icmp6OutParmProblems") +
			     guard_snmp(NULL, "Icmp6OutNeighborAdvertisements"),
	};
}

static inline bool guard_moved(const struct guard_net *net, const struct guard_counts *before)
{
	const struct guard_counts now = guard_count(net);

	return memcmp(&now, before, sizeof(now)) != 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

#define GUARD_TAGS 2u
#define GUARD_HEADERS 10u

/* A frame of 20 octets of UDP payload to port 1000, but for what is said. */
struct guard_frame {
	const char *what;
	bool v6;
	uint8_t protocol;               /* 0: UDP */
	uint16_t port;                  /* 0: 1000 */
	uint16_t fragment;              /* IPv4: flags and offset; IPv6 needs a fragment header */
	uint8_t options;                /* IPv4: octets */
	uint8_t headers[GUARD_HEADERS]; /* IPv6: before UDP; hop-by-hop is 255 here */
	uint16_t tags[GUARD_TAGS][2];   /* TPID and id, outermost first */
	uint8_t to;                     /* 0: the host, 1: another, 2: everybody */
	bool taken, taken_vlan;         /* by a plane without a VLAN, by one with VLAN 5 */
};

#define GUARD_HOPOPTS 255u

static inline uint8_t *guard_put_ip4(uint8_t *ip, const struct guard_frame *f, uint32_t l4_len)
{
	const uint32_t head = NET_IP4_LEN + f->options;

	memset(ip, 0, head);
	ip[0] = (uint8_t)(0x40 | head / 4);
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(head + l4_len));
	psp_put16(ip + NET_IP4_FRAG, f->fragment);
	ip[NET_IP4_TTL] = 64;
	ip[NET_IP4_PROTO] = f->protocol != 0 ? f->protocol : NET_PROTO_UDP;
	memcpy(ip + NET_IP4_SRC, (uint8_t[]){192, 0, 2, 2}, 4);
	memcpy(ip + NET_IP4_DST, (uint8_t[]){192, 0, 2, 1}, 4);
	memset(ip + NET_IP4_LEN, 1, f->options); /* no operation */
	dp_csum_ipv4(ip);
	return ip + head;
}

static inline uint8_t *guard_put_ip6(uint8_t *ip, const struct guard_frame *f, uint32_t l4_len)
{
	uint8_t *next = ip + NET_IP6_NEXT, *at = ip + NET_IP6_LEN;

	memset(ip, 0, NET_IP6_LEN);
	ip[0] = 0x60;
	ip[NET_IP6_HOPS] = 64;
	ip[NET_IP6_SRC] = 0xfe;
	ip[NET_IP6_SRC + 1] = 0x80;
	ip[NET_IP6_SRC + 15] = 2;
	memcpy(ip + NET_IP6_DST, (uint8_t[]){0xff, 2}, 2);
	ip[NET_IP6_DST + 15] = 1;
	for (uint32_t i = 0; i < GUARD_HEADERS && f->headers[i] != 0; i++) {
		*next = f->headers[i] == GUARD_HOPOPTS ? NET_PROTO_HOPOPTS : f->headers[i];
		memset(at, 0, 8);
		if (f->headers[i] == NET_PROTO_FRAGMENT)
			psp_put16(at + 2, f->fragment);
		else if (f->headers[i] == NET_PROTO_ROUTING)
			at[2] = 253; /* a type that nobody has, with no segments left */
		else if (f->headers[i] != 51)
			at[2] = 1, at[3] = 4; /* PadN */
		next = at;
		at += 8;
	}
	*next = f->protocol != 0 ? f->protocol : NET_PROTO_UDP;
	psp_put16(ip + NET_IP6_PLEN, (uint16_t)((at - ip) - (ptrdiff_t)NET_IP6_LEN + l4_len));
	return at;
}

static inline uint32_t guard_build(const struct guard_net *net, const struct guard_frame *f,
				   uint8_t frame[512])
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0x77, 7};
	const uint32_t l4_len = NET_UDP_LEN + 20;
	uint8_t *at = frame + 12, *l4;

	memcpy(frame, f->to == 0 ? net->up_mac : other, 6);
	if (f->to == 2)
		memset(frame, 0xff, 6);
	memcpy(frame + 6, (uint8_t[]){2, 0, 0, 0, 0, 2}, 6);
	for (uint32_t i = 0; i < GUARD_TAGS && f->tags[i][0] != 0; i++, at += 4) {
		psp_put16(at, f->tags[i][0]);
		psp_put16(at + 2, f->tags[i][1]);
	}
	psp_put16(at, f->v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	at += 2;
	l4 = f->v6 ? guard_put_ip6(at, f, l4_len) : guard_put_ip4(at, f, l4_len);
	memset(l4, 0, l4_len);
	psp_put16(l4, 50000);
	psp_put16(l4 + 2, f->port != 0 ? f->port : PSP_UDP_PORT);
	if (f->protocol == NET_PROTO_TCP)
		l4[NET_TCP_OFFSET] = 5 << 4;
	else
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)l4_len);
	return (uint32_t)(l4 - frame) + l4_len;
}

#endif
