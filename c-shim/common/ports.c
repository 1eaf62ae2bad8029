/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.c: the two interfaces as the agent asks about them, where the kernel's routes and neighbours send a packet to an
 * outer address first, and frames that go past the pipes.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "plane.h"

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

/* Sends a request and reads one answer. Octets read, or a negative status. */
static int32_t ask(struct request *request, uint8_t *reply)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int32_t status = PSP_DP_EIO;
	ssize_t len;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return PSP_DP_EIO;
	request->header.nlmsg_flags |= NLM_F_REQUEST;
	if (sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		goto out;
	len = recv(fd, reply, REPLY_MAX, 0);
	if (len >= (ssize_t)sizeof(struct nlmsghdr))
		status = (int32_t)len;
out:
	close(fd);
	return status;
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

static int32_t query_route(uint32_t ifindex, uint8_t family, struct psp_dp_next_hop *hop,
			   const uint8_t pip[16])
{
	uint8_t reply[REPLY_MAX];
	struct request request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			   .nlmsg_type = RTM_GETROUTE},
		.body.route = {.rtm_family = family,
			       .rtm_dst_len = (uint8_t)(address_len(family) * 8u)},
	};
	const uint8_t *out_if, *gateway;
	uint32_t index;
	int32_t len;

	put_attribute(&request, RTA_DST, address_of(pip, family), address_len(family));
	len = ask(&request, reply);
	if (len < 0)
		return len;
	out_if = find_attribute(reply, len, sizeof(struct rtmsg), RTA_OIF, sizeof(index));
	if (out_if == NULL)
		return PSP_DP_ENOENT;
	memcpy(&index, out_if, sizeof(index));
	if (index != ifindex)
		return PSP_DP_ENOENT;
	gateway =
		find_attribute(reply, len, sizeof(struct rtmsg), RTA_GATEWAY, address_len(family));
	hop->via_gateway = gateway != NULL;
	map_address(hop->address, gateway != NULL ? gateway : address_of(pip, family), family);
	return PSP_DP_OK;
}

/* NTF_USE: the kernel resolves the neighbour as if it had a packet for it, without sending one. */
static int32_t resolve(uint32_t ifindex, uint8_t family, const uint8_t address[16])
{
	uint8_t reply[REPLY_MAX];
	struct request request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
			   .nlmsg_type = RTM_NEWNEIGH,
			   .nlmsg_flags = NLM_F_CREATE | NLM_F_ACK},
		.body.neighbour = {.ndm_family = family,
				   .ndm_ifindex = (int32_t)ifindex,
				   .ndm_flags = NTF_USE},
	};

	put_attribute(&request, NDA_DST, address_of(address, family), address_len(family));
	return ask(&request, reply) < 0 ? PSP_DP_EIO : PSP_DP_OK;
}

static int32_t query_neighbour(uint32_t ifindex, uint8_t family, struct psp_dp_next_hop *hop)
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
	len = ask(&request, reply);
	if (len < 0)
		return len;
	mac = find_attribute(reply, len, sizeof(neighbour), NDA_LLADDR, sizeof(hop->mac));
	if (mac == NULL)
		return resolve(ifindex, family, hop->address);
	memcpy(&neighbour, reply + NLMSG_HDRLEN, sizeof(neighbour));
	if ((neighbour.ndm_state &
	     (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)) == 0)
		return resolve(ifindex, family, hop->address);
	memcpy(hop->mac, mac, sizeof(hop->mac));
	hop->resolved = 1;
	/* A stale address still carries packets, but the kernel should check it: nothing of ours tells it. */
	if ((neighbour.ndm_state & NUD_STALE) != 0)
		return resolve(ifindex, family, hop->address);
	return PSP_DP_OK;
}

/*
 * pip: 16 octets, v4-mapped for IPv4. Fills *hop. An unresolved neighbour is left to the kernel to resolve:
 * ask again a little later. PSP_DP_ENOENT: no route, or none over this interface. Does not block.
 */
static int32_t next_hop(uint32_t ifindex, const uint8_t pip[16], struct psp_dp_next_hop *hop)
{
	uint8_t family = memcmp(pip, V4_MAPPED, sizeof(V4_MAPPED)) == 0 ? AF_INET : AF_INET6;
	int32_t status;

	hop->via_gateway = 0;
	hop->resolved = 0;
	memset(hop->mac, 0, sizeof(hop->mac));
	memset(hop->address, 0, sizeof(hop->address));
	status = query_route(ifindex, family, hop, pip);
	if (status != PSP_DP_OK)
		return status;
	return query_neighbour(ifindex, family, hop);
}

/* ---- the ABI --------------------------------------------------------------------------------- */

int32_t psp_dp_port_query(struct psp_dp *dp, uint32_t port, struct psp_dp_port_info *info)
{
	if (dp == NULL || info == NULL)
		return PSP_DP_EINVAL;
	if (port > PSP_DP_PORT_HOST || info->size != sizeof(*info))
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot query port %u: no such port, or size %u",
			       port, info->size);
	return plane_port_query(dp, port, info);
}

int32_t psp_dp_next_hop_query(struct psp_dp *dp, const uint8_t pip[16], struct psp_dp_next_hop *hop)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	int32_t status;

	if (dp == NULL || pip == NULL || hop == NULL)
		return PSP_DP_EINVAL;
	if (hop->size != sizeof(*hop))
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot find next hop: size %u is not known",
			       hop->size);
	status = plane_port_query(dp, PSP_DP_PORT_UPLINK, &info);
	if (status == 0)
		status = next_hop(info.ifindex, pip, hop);
	if (status != 0)
		return dp_fail(dp, status, "Cannot find next hop: %s",
			       status == PSP_DP_ENOENT ? "no route over the uplink"
						       : "the kernel refused");
	return 0;
}

int32_t psp_dp_inject(struct psp_dp *dp, uint32_t port, const uint8_t *frame, uint32_t len)
{
	if (dp == NULL || frame == NULL)
		return PSP_DP_EINVAL;
	if (port > PSP_DP_PORT_HOST || len < NET_ETH_LEN || len > DP_FRAME_MAX)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot inject %u octets into port %u", len,
			       port);
	return plane_inject(dp, port, frame, len);
}
