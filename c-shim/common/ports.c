/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.c: ports: which there are, how they come and go, and what the agent asks of them; where the kernel's routes and
 * neighbours send a packet to an outer address first, and frames that go past the pipes.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "net.h"
#include "plane.h"
#include "random.h"

#define REPLY_MAX 8192u

/* ---- the kernel's routes and neighbours ------------------------------------------------------ */

struct request {
	struct nlmsghdr header;
	union {
		struct rtmsg route;
		struct ndmsg neighbour;
	} body;
	uint8_t attributes[64];
};

static const uint8_t V4_MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static uint8_t family_of(const uint8_t ip[16])
{
	return memcmp(ip, V4_MAPPED, sizeof(V4_MAPPED)) == 0 ? AF_INET : AF_INET6;
}

static uint32_t address_len(uint8_t family)
{
	return family == AF_INET ? 4u : 16u;
}

static const uint8_t *address_of(const uint8_t ip[16], uint8_t family)
{
	return family == AF_INET ? ip + 12 : ip;
}

static void map_address(uint8_t out[16], const uint8_t *address, uint8_t family)
{
	if (family == AF_INET)
		net_map_v4(out, address);
	else
		memcpy(out, address, 16);
}

static void put_attribute(struct request *request, uint16_t type, const void *data, uint32_t len)
{
	uint32_t at = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
	uint8_t *p = (uint8_t *)request + at;

	memcpy(p, &attribute, sizeof(attribute));
	memcpy(p + RTA_LENGTH(0), data, len);
	request->header.nlmsg_len = at + (uint32_t)RTA_LENGTH(len);
}

/* Sends a request over a netlink socket and reads its one answer. Octets read, or a negative status. */
static int32_t ask(int fd, struct request *request, uint8_t *reply)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t len;

	request->header.nlmsg_flags |= NLM_F_REQUEST;
	if (sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return PSP_DP_EIO;
	len = recv(fd, reply, REPLY_MAX, 0);
	return len >= (ssize_t)sizeof(struct nlmsghdr) ? (int32_t)len : PSP_DP_EIO;
}

/* The value of an attribute in the first message of a reply, or NULL. */
static const uint8_t *find_attribute(const uint8_t *reply, int32_t len, size_t body, uint16_t type,
				     uint32_t size)
{
	struct nlmsghdr header;
	struct rtattr attribute;
	size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(body);

	memcpy(&header, reply, sizeof(header));
	if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_len > (uint32_t)len)
		return NULL;
	while (at + sizeof(attribute) <= header.nlmsg_len) {
		memcpy(&attribute, reply + at, sizeof(attribute));
		if (attribute.rta_len < sizeof(attribute) ||
		    at + attribute.rta_len > header.nlmsg_len)
			return NULL;
		if (attribute.rta_type == type && attribute.rta_len >= RTA_LENGTH(size))
			return reply + at + RTA_LENGTH(0);
		at += RTA_ALIGN(attribute.rta_len);
	}
	return NULL;
}

/* The router of a route's answer, and its family; NULL: the outer address is on the link. */
static const uint8_t *router_of(const uint8_t *reply, int32_t len, uint8_t *family)
{
	const uint8_t *gateway =
		find_attribute(reply, len, sizeof(struct rtmsg), RTA_GATEWAY, address_len(*family));
	struct rtvia via;

	if (gateway != NULL)
		return gateway;
	/* An IPv4 route whose router has an IPv6 address alone, as BGP makes them between unnumbered ports. */
	gateway = find_attribute(reply, len, sizeof(struct rtmsg), RTA_VIA, sizeof(via) + 16);
	if (gateway == NULL)
		return NULL;
	memcpy(&via, gateway, sizeof(via));
	if (via.rtvia_family != AF_INET6)
		return NULL;
	*family = AF_INET6;
	return gateway + sizeof(via);
}

/* What is asked of the kernel's routes. */
struct route_question {
	const uint8_t *pip;
	const uint8_t *source; /* NULL: as the kernel sees fit */
	uint32_t ifindex;
	uint8_t family;
	bool by_uplink; /* only routes over it */
};

/* Fills hop->via_gateway and hop->address, whose family is *family. */
static int32_t query_route(int fd, const struct route_question *question,
			   struct psp_dp_next_hop *hop, uint8_t *family)
{
	uint8_t reply[REPLY_MAX];
	const uint32_t size = address_len(question->family);
	struct request request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			   .nlmsg_type = RTM_GETROUTE},
		.body.route = {.rtm_family = question->family, .rtm_dst_len = (uint8_t)(size * 8u)},
	};
	const uint8_t *out_if, *router;
	uint32_t index;
	int32_t len;

	put_attribute(&request, RTA_DST, address_of(question->pip, question->family), size);
	if (question->source != NULL) {
		request.body.route.rtm_src_len = request.body.route.rtm_dst_len;
		put_attribute(&request, RTA_SRC, address_of(question->source, question->family),
			      size);
	}
	if (question->by_uplink)
		put_attribute(&request, RTA_OIF, &question->ifindex, sizeof(question->ifindex));
	len = ask(fd, &request, reply);
	if (len < 0)
		return len;
	out_if = find_attribute(reply, len, sizeof(struct rtmsg), RTA_OIF, sizeof(index));
	if (out_if == NULL)
		return PSP_DP_ENOENT;
	memcpy(&index, out_if, sizeof(index));
	if (index != question->ifindex)
		return PSP_DP_ENOENT;
	*family = question->family;
	router = router_of(reply, len, family);
	/* For an interface without a route the kernel takes every address to be on its link. */
	if (router == NULL && question->by_uplink)
		return PSP_DP_ENOENT;
	hop->via_gateway = router != NULL;
	map_address(hop->address, router != NULL ? router : address_of(question->pip, *family),
		    *family);
	return PSP_DP_OK;
}

/* By the rules that hold for the source, then by any, then by routes of the uplink that others are preferred to. */
static int32_t find_route(int fd, struct route_question *question, struct psp_dp_next_hop *hop,
			  uint8_t *family)
{
	static const uint8_t nothing[16];
	int32_t status = PSP_DP_ENOENT;

	if (memcmp(hop->source, nothing, sizeof(nothing)) != 0 &&
	    family_of(hop->source) == question->family) {
		question->source = hop->source;
		status = query_route(fd, question, hop, family);
		question->source = NULL;
	}
	if (status == PSP_DP_ENOENT)
		status = query_route(fd, question, hop, family);
	question->by_uplink = true;
	return status == PSP_DP_ENOENT ? query_route(fd, question, hop, family) : status;
}

/* Has the kernel make or change its neighbour at an address. */
static int32_t put_neighbour(int fd, const struct ndmsg *neighbour, uint16_t how,
			     const uint8_t address[16])
{
	const uint8_t family = neighbour->ndm_family;
	uint8_t reply[REPLY_MAX];
	struct request request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
			   .nlmsg_type = RTM_NEWNEIGH,
			   .nlmsg_flags = how | NLM_F_ACK},
		.body.neighbour = *neighbour,
	};

	put_attribute(&request, NDA_DST, address_of(address, family), address_len(family));
	return ask(fd, &request, reply) < 0 ? PSP_DP_EIO : PSP_DP_OK;
}

/* NTF_USE: the kernel resolves the neighbour as if it had a packet for it, without sending one. */
static int32_t resolve(int fd, uint32_t ifindex, uint8_t family, const uint8_t address[16])
{
	const struct ndmsg used = {
		.ndm_family = family, .ndm_ifindex = (int32_t)ifindex, .ndm_flags = NTF_USE};

	return put_neighbour(fd, &used, NLM_F_CREATE, address);
}

/* The kernel asks the neighbour at its MAC, and has it failed where nothing comes of that. Needs CAP_NET_ADMIN. */
static void probe(int fd, const struct ndmsg *neighbour, const uint8_t address[16])
{
	const struct ndmsg doubted = {
		.ndm_family = neighbour->ndm_family,
		.ndm_ifindex = neighbour->ndm_ifindex,
		.ndm_state = NUD_PROBE,
		/* Whoever is not said to be a router again is none any more. */
		.ndm_flags = neighbour->ndm_flags};

	(void)put_neighbour(fd, &doubted, NLM_F_REPLACE, address);
}

static int32_t query_neighbour(int fd, uint32_t ifindex, uint8_t family,
			       struct psp_dp_next_hop *hop)
{
	uint8_t reply[REPLY_MAX];
	struct ndmsg neighbour;
	struct request request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
			   .nlmsg_type = RTM_GETNEIGH},
		.body.neighbour = {.ndm_family = family, .ndm_ifindex = (int32_t)ifindex},
	};
	const uint8_t *mac;
	int32_t len;

	put_attribute(&request, NDA_DST, address_of(hop->address, family), address_len(family));
	len = ask(fd, &request, reply);
	if (len < 0)
		return len;
	mac = find_attribute(reply, len, sizeof(neighbour), NDA_LLADDR, sizeof(hop->mac));
	if (mac == NULL)
		return resolve(fd, ifindex, family, hop->address);
	memcpy(&neighbour, reply + NLMSG_HDRLEN, sizeof(neighbour));
	if ((neighbour.ndm_state &
	     (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)) == 0)
		return resolve(fd, ifindex, family, hop->address);
	memcpy(hop->mac, mac, sizeof(hop->mac));
	hop->resolved = 1;
	if (hop->probe != 0 &&
	    (neighbour.ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY)) != 0) {
		probe(fd, &neighbour, hop->address);
		return PSP_DP_OK;
	}
	/* A stale address still carries packets, but the kernel should check it: nothing of ours tells it. */
	if ((neighbour.ndm_state & NUD_STALE) != 0)
		return resolve(fd, ifindex, family, hop->address);
	return PSP_DP_OK;
}

/*
 * pip: 16 octets, v4-mapped for IPv4. Fills *hop. An unresolved neighbour is left to the kernel to resolve:
 * ask again a little later. PSP_DP_ENOENT: no route, or none over this interface. Does not block.
 */
static int32_t next_hop(uint32_t ifindex, const uint8_t pip[16], struct psp_dp_next_hop *hop)
{
	struct route_question question = {.pip = pip, .ifindex = ifindex, .family = family_of(pip)};
	uint8_t family = question.family;
	int32_t status;
	int fd;

	hop->via_gateway = 0;
	hop->resolved = 0;
	memset(hop->mac, 0, sizeof(hop->mac));
	memset(hop->address, 0, sizeof(hop->address));
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return PSP_DP_EIO;
	status = find_route(fd, &question, hop, &family);
	if (status == PSP_DP_OK)
		status = query_neighbour(fd, ifindex, family, hop);
	close(fd);
	return status;
}

/* ---- which ports there are -------------------------------------------------------------------- */

int32_t dp_port_check(const struct psp_dp_port_desc *desc, char *why, size_t cap)
{
	const char *wrong = NULL;

	if (desc->size != sizeof(*desc)) {
		(void)snprintf(why, cap, "a port has size %u, not %zu", desc->size, sizeof(*desc));
		return PSP_DP_EINVAL;
	}
	if (desc->kind > PSP_DP_PORT_HOST)
		wrong = "there is no such kind of port";
	else if (memchr(desc->name, 0, sizeof(desc->name)) == NULL || desc->name[0] == 0)
		wrong = desc->kind == PSP_DP_PORT_UPLINK
				? "uplink has no name, or one without an end"
				: "host port has no name, or one without an end";
	else if (desc->guard > PSP_DP_GUARD_NEVER)
		wrong = "guard of a port is not auto, require or off";
	else if (desc->kind == PSP_DP_PORT_UPLINK &&
		 (desc->network != 0 || desc->hold_flows != 0 || desc->hold_bytes != 0))
		wrong = "an uplink has no network and holds nothing";
	if (wrong != NULL) {
		(void)snprintf(why, cap, "%s", wrong);
		return PSP_DP_EINVAL;
	}
	return dp_limits_hold_port(desc, why, cap) ? 0 : PSP_DP_EINVAL;
}

int32_t dp_ports_check(const struct psp_dp_port_desc *descs, uint32_t n, char *why, size_t cap)
{
	uint32_t uplinks = 0;

	if (n > PSP_DP_PORTS_MAX) {
		(void)snprintf(why, cap, "%u ports are more than %u", n, PSP_DP_PORTS_MAX);
		return PSP_DP_ENOSPC;
	}
	for (uint32_t i = 0; i < n; i++) {
		const int32_t status = dp_port_check(&descs[i], why, cap);

		if (status != 0)
			return status;
		uplinks += descs[i].kind == PSP_DP_PORT_UPLINK;
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(descs[i].name, descs[j].name) == 0) {
				(void)snprintf(why, cap, "two ports are the same, \"%.63s\"",
					       descs[i].name);
				return PSP_DP_EINVAL;
			}
		}
	}
	if (uplinks == 1)
		return 0;
	(void)snprintf(why, cap,
		       "it has %u uplinks, and no plane can have another number than 1 yet",
		       uplinks);
	return PSP_DP_ENOTSUP;
}

/* A slot that is free and was given least often, so that the first ports have the first handles. PORTS_MAX: none. */
static uint32_t free_slot(struct dp_ports *ports)
{
	uint32_t best = PSP_DP_PORTS_MAX;

	for (uint32_t i = 0; i < PSP_DP_PORTS_MAX; i++) {
		if (atomic_load_explicit(&ports->slot[i], memory_order_relaxed) == NULL &&
		    (best == PSP_DP_PORTS_MAX || ports->used[i] < ports->used[best]))
			best = i;
	}
	return best;
}

/* What 0 stands for. */
static struct psp_dp_rate rate_or(const struct psp_dp_rate *rate, uint32_t per_s, uint32_t burst)
{
	return rate->per_s != 0 ? *rate : (struct psp_dp_rate){.per_s = per_s, .burst = burst};
}

/* What it may have of exceptions, and of the hold. */
static int32_t make_shares(struct dp_port *port)
{
	const struct psp_dp_port_desc *desc = &port->desc;
	const struct psp_dp_rate miss = rate_or(&desc->miss, PSP_DP_MISS_PER_S, PSP_DP_MISS_BURST);
	const struct psp_dp_rate miss_per_mac =
		rate_or(&desc->miss_per_mac, PSP_DP_MISS_PER_MAC_PER_S, PSP_DP_MISS_PER_MAC_BURST);
	const struct psp_dp_rate exception =
		rate_or(&desc->exception, PSP_DP_EXCEPTION_PER_S, PSP_DP_EXCEPTION_BURST);
	const struct psp_dp_rate exception_per_mac =
		rate_or(&desc->exception_per_mac, PSP_DP_EXCEPTION_PER_MAC_PER_S,
			PSP_DP_EXCEPTION_PER_MAC_BURST);
	uint64_t seeds[2];

	if (dp_random(seeds, sizeof(seeds)) != 0)
		return PSP_DP_EIO;
	dp_gate_init(&port->hold.misses, &miss, &miss_per_mac, seeds[0]);
	dp_gate_init(&port->exceptions, &exception, &exception_per_mac, seeds[1]);
	port->hold.max_flows = desc->hold_flows;
	port->hold.max_bytes = desc->hold_bytes;
	return 0;
}

int32_t dp_port_make(struct psp_dp *dp, const struct psp_dp_port_desc *desc, struct dp_port **out)
{
	struct dp_ports *ports = &dp_plane_of(dp)->ports;
	const uint32_t slot = free_slot(ports);
	struct dp_port *port;

	*out = NULL;
	if (slot == PSP_DP_PORTS_MAX)
		return PSP_DP_ENOSPC;
	port = plane_port_alloc();
	if (port == NULL)
		return PSP_DP_ENOMEM;
	port->desc = *desc;
	port->handle = (uint16_t)(ports->used[slot] % DP_PORT_TURNS * PSP_DP_PORTS_MAX + slot + 1);
	if (make_shares(port) != 0) {
		plane_port_free(port);
		return PSP_DP_EIO;
	}
	ports->used[slot]++;
	*out = port;
	return 0;
}

void dp_port_publish(struct psp_dp *dp, struct dp_port *port)
{
	atomic_store_explicit(&dp_plane_of(dp)->ports.slot[dp_port_slot(port->handle)], port,
			      memory_order_release);
}

static bool has_name(struct psp_dp *dp, const char *name)
{
	struct dp_ports *ports = &dp_plane_of(dp)->ports;

	for (uint32_t i = 0; i < PSP_DP_PORTS_MAX; i++) {
		const struct dp_port *port =
			atomic_load_explicit(&ports->slot[i], memory_order_relaxed);

		if (port != NULL && strcmp(port->desc.name, name) == 0)
			return true;
	}
	return false;
}

/* ---- the ABI --------------------------------------------------------------------------------- */

static int32_t add(struct psp_dp *dp, const struct psp_dp_port_desc *desc, uint32_t *out)
{
	struct dp_port *port;
	char why[200] = "";
	int32_t status = dp_port_check(desc, why, sizeof(why));

	if (status != 0)
		return dp_fail(dp, status, "Cannot add port: %s", why);
	if (dp_plane_of(dp)->stopped)
		return dp_fail(dp, PSP_DP_ECLOSED, "Cannot add port \"%s\": the plane has stopped",
			       desc->name);
	if (desc->kind == PSP_DP_PORT_UPLINK)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot add port \"%s\": no plane can have two uplinks yet",
			       desc->name);
	if (has_name(dp, desc->name))
		return dp_fail(dp, PSP_DP_EEXIST, "Cannot add port \"%s\": it is there already",
			       desc->name);
	status = dp_port_make(dp, desc, &port);
	if (status != 0)
		return dp_fail(dp, status, "Cannot add port \"%s\": %s", desc->name,
			       status == PSP_DP_ENOMEM   ? "out of memory"
			       : status == PSP_DP_ENOSPC ? "there are as many as there may be"
							 : "the kernel gives no random octets");
	status = plane_port_up(dp, port, why, sizeof(why));
	if (status != 0) {
		plane_port_free(port);
		return dp_fail(dp, status, "%s", why);
	}
	dp_port_publish(dp, port);
	*out = port->handle;
	return 0;
}

int32_t psp_dp_port_add(struct psp_dp *dp, const struct psp_dp_port_desc *desc, uint32_t *port)
{
	int32_t status;

	if (dp == NULL || desc == NULL || port == NULL)
		return PSP_DP_EINVAL;
	*port = 0;
	dp_lock(dp);
	status = add(dp, desc, port);
	dp_unlock(dp);
	return status;
}

/* Nobody finds it any more. */
static void hide(struct psp_dp *dp, const struct dp_port *port)
{
	struct dp_ports *ports = &dp_plane_of(dp)->ports;

	pthread_rwlock_wrlock(&ports->lock);
	atomic_store_explicit(&ports->slot[dp_port_slot(port->handle)], NULL, memory_order_release);
	pthread_rwlock_unlock(&ports->lock);
}

int32_t psp_dp_port_remove(struct psp_dp *dp, uint32_t handle)
{
	struct dp_port *port;
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	port = dp_port_find(&dp_plane_of(dp)->ports, handle);
	if (port == NULL)
		status = dp_fail(dp, PSP_DP_ENOENT, "Cannot remove port %u: there is none", handle);
	else if (dp_plane_of(dp)->stopped)
		status = dp_fail(dp, PSP_DP_ECLOSED, "Cannot remove port %u: the plane has stopped",
				 handle);
	else if (port->desc.kind == PSP_DP_PORT_UPLINK)
		status =
			dp_fail(dp, PSP_DP_ENOTSUP,
				"Cannot remove port %u: no plane can be without an uplink", handle);
	else if (port->refs != 0)
		status = dp_fail(dp, PSP_DP_EBUSY,
				 "Cannot remove port %u: %u pipes or entries forward to it", handle,
				 port->refs);
	else
		status = plane_port_may_go(dp, port);
	if (status == 0) {
		hide(dp, port);
		plane_port_down(dp, port);
		dp_hold_drop_share(&dp_plane_of(dp)->hold, &port->hold);
		plane_port_free(port);
	}
	dp_unlock(dp);
	return status;
}

static int32_t query(struct psp_dp *dp, struct dp_port *port, struct psp_dp_port_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->kind = port->desc.kind;
	info->network = port->desc.network;
	info->identity = 1;
	memcpy(info->name, port->desc.name, sizeof(info->name));
	info->misses_limited =
		atomic_load_explicit(&port->hold.misses.limited, memory_order_relaxed);
	info->exceptions_limited =
		atomic_load_explicit(&port->exceptions.limited, memory_order_relaxed);
	return plane_port_query(dp, port, info);
}

int32_t psp_dp_port_query(struct psp_dp *dp, uint32_t handle, struct psp_dp_port_info *info)
{
	struct dp_port *port;
	int32_t status;

	if (dp == NULL || info == NULL)
		return PSP_DP_EINVAL;
	if (info->size != sizeof(*info))
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot query port %u: size %u is not known",
			       handle, info->size);
	dp_ports_read(dp);
	port = dp_port_find(&dp_plane_of(dp)->ports, handle);
	status = port != NULL ? query(dp, port, info)
			      : dp_fail(dp, PSP_DP_ENOENT, "Cannot query port %u: there is none",
					handle);
	dp_ports_done(dp);
	return status;
}

/* There is one, and it stays. */
static struct dp_port *uplink_of(struct psp_dp *dp)
{
	struct dp_ports *ports = &dp_plane_of(dp)->ports;

	for (uint32_t i = 0; i < PSP_DP_PORTS_MAX; i++) {
		struct dp_port *port = atomic_load_explicit(&ports->slot[i], memory_order_acquire);

		if (port != NULL && port->desc.kind == PSP_DP_PORT_UPLINK)
			return port;
	}
	return NULL;
}

int32_t psp_dp_next_hop_query(struct psp_dp *dp, const uint8_t pip[16], struct psp_dp_next_hop *hop)
{
	struct psp_dp_port_info info;
	int32_t status;

	if (dp == NULL || pip == NULL || hop == NULL)
		return PSP_DP_EINVAL;
	if (hop->size != sizeof(*hop))
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot find next hop: size %u is not known",
			       hop->size);
	dp_ports_read(dp);
	status = query(dp, uplink_of(dp), &info);
	dp_ports_done(dp);
	if (status == 0)
		status = next_hop(info.ifindex, pip, hop);
	if (status != 0)
		return dp_fail(dp, status, "Cannot find next hop: %s",
			       status == PSP_DP_ENOENT ? "no route over the uplink"
						       : "the kernel refused");
	return 0;
}

int32_t psp_dp_inject(struct psp_dp *dp, uint32_t handle, const uint8_t *frame, uint32_t len)
{
	struct dp_port *port;
	int32_t status;

	if (dp == NULL || frame == NULL)
		return PSP_DP_EINVAL;
	dp_ports_read(dp);
	port = dp_port_find(&dp_plane_of(dp)->ports, handle);
	if (port == NULL || len < NET_ETH_LEN || len > DP_FRAME_MAX)
		status = dp_fail(dp, PSP_DP_EINVAL, "Cannot inject %u octets into port %u", len,
				 handle);
	else
		status = plane_inject(dp, port, frame, len);
	dp_ports_done(dp);
	return status;
}
