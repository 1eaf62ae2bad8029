/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "../common/net.h"
#include "port_io.h"

#define HDR_GSO_UDP_L4 5u /* VIRTIO_NET_HDR_GSO_UDP_L4, younger than the headers of Debian 12 */
#define OFF_LINE_MAX 64u  /* frames passed over in one call, so that it ends */

/* A frame as recvmsg() left it. */
struct arrival {
	struct virtio_net_hdr hdr;
	struct sockaddr_ll from;
	struct tpacket_auxdata aux;
	bool has_aux;
};

static bool set_gso(struct dp_packet *packet, const struct virtio_net_hdr *hdr)
{
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		packet->gso = DP_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		packet->gso = DP_GSO_TCP6;
		break;
	case HDR_GSO_UDP_L4:
		packet->gso = DP_GSO_UDP;
		break;
	default:
		return false;
	}
	packet->gso_size = hdr->gso_size;
	return true;
}

/* A tag that the kernel left in the frame. */
static void strip_tag(struct dp_packet *packet)
{
	if (packet->len < NET_ETH_LEN + NET_VLAN_LEN ||
	    psp_get16(packet->frame + NET_ETH_TYPE) != NET_TYPE_VLAN)
		return;
	packet->vlan_tci = psp_get16(packet->frame + NET_ETH_LEN);
	memmove(packet->frame + NET_VLAN_LEN, packet->frame, NET_ETH_TYPE);
	packet->frame += NET_VLAN_LEN;
	packet->len -= NET_VLAN_LEN;
	if (packet->needs_csum && packet->csum_start >= NET_VLAN_LEN)
		packet->csum_start = (uint16_t)(packet->csum_start - NET_VLAN_LEN);
}

/* False: not for this port, or nothing that a packet can stand for. */
static bool accept_frame(const struct soft_port *port, const struct arrival *arrival,
			 struct dp_packet *packet)
{
	const struct virtio_net_hdr *hdr = &arrival->hdr;

	/* A switch floods what it does not know; the host's own stack passes that over, too. */
	if (port->port == PSP_DP_PORT_UPLINK && arrival->from.sll_pkttype == PACKET_OTHERHOST)
		return false;
	if (packet->len < NET_ETH_LEN || !set_gso(packet, hdr))
		return false;
	packet->needs_csum = (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
	packet->csum_valid = (hdr->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0;
	if (packet->needs_csum) {
		packet->csum_start = hdr->csum_start;
		packet->csum_offset = hdr->csum_offset;
	}
	if (arrival->has_aux && (arrival->aux.tp_status & TP_STATUS_CSUM_VALID) != 0)
		packet->csum_valid = true;
	if (arrival->has_aux && (arrival->aux.tp_status & TP_STATUS_VLAN_VALID) != 0)
		packet->vlan_tci = arrival->aux.tp_vlan_tci;
	else
		strip_tag(packet);
	/* Id 0 is a priority tag: untagged by 802.1Q. */
	return (packet->vlan_tci & NET_VLAN_ID) == port->vlan;
}

static void read_aux(struct msghdr *message, struct arrival *arrival)
{
	arrival->has_aux = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
		    c->cmsg_len < CMSG_LEN(sizeof(arrival->aux)))
			continue;
		memcpy(&arrival->aux, CMSG_DATA(c), sizeof(arrival->aux));
		arrival->has_aux = true;
	}
}

int32_t soft_port_recv(struct soft_port *port, uint8_t *buf, uint32_t cap, struct dp_packet *packet)
{
	union {
		struct cmsghdr align;
		uint8_t space[CMSG_SPACE(sizeof(struct tpacket_auxdata)) + 64];
	} control;
	struct arrival arrival;
	struct iovec parts[2] = {{&arrival.hdr, sizeof(arrival.hdr)},
				 {buf + DP_HEADROOM, cap - DP_HEADROOM}};

	if (cap <= DP_HEADROOM)
		return PSP_DP_EIO;
	for (uint32_t i = 0; i < OFF_LINE_MAX; i++) {
		struct msghdr message = {.msg_name = &arrival.from,
					 .msg_namelen = sizeof(arrival.from),
					 .msg_iov = parts,
					 .msg_iovlen = 2,
					 .msg_control = &control,
					 .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(port->fd, &message, 0);

		if (n < 0) {
			if (errno == EAGAIN || errno == ENETDOWN)
				return 0;
			/* EINVAL: a kind of super-frame that no header describes; it is gone. */
			if (errno == EINTR || errno == EINVAL)
				continue;
			return PSP_DP_EIO;
		}
		if ((message.msg_flags & MSG_TRUNC) != 0 || (size_t)n < sizeof(arrival.hdr))
			continue;
		read_aux(&message, &arrival);
		memset(packet, 0, sizeof(*packet));
		packet->frame = buf + DP_HEADROOM;
		packet->len = (uint32_t)((size_t)n - sizeof(arrival.hdr));
		packet->port = port->port;
		if (accept_frame(port, &arrival, packet))
			return 1;
	}
	return 0;
}
