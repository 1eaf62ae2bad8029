/* SPDX-License-Identifier: Apache-2.0 */
/* port.c: an interface by its packet socket: opened, received from, sent to. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "port.h"

#define SOCKET_BUFFER                                                                              \
	(32 << 20)        /* octets: some hundred super-frames, whatever truesize they have */
#define HDR_GSO_UDP_L4 5u /* VIRTIO_NET_HDR_GSO_UDP_L4, younger than the headers of Debian 12 */
#define OFF_LINE_MAX 64u  /* frames passed over in one call, so that it ends */

static const char *role(uint8_t port)
{
	return port == PSP_DP_PORT_UPLINK ? "uplink" : "host port";
}

static int32_t refuse(const char *name, uint8_t port, int32_t status, const char *why, char *err,
		      uint32_t err_cap)
{
	if (err_cap != 0)
		(void)snprintf(err, err_cap, "Cannot open %s \"%.63s\": %s", role(port), name, why);
	return status;
}

/* The sentence for the errno of a call that needs CAP_NET_RAW, or failed for another reason. */
static int32_t refuse_errno(const char *name, uint8_t port, int error, char *err, uint32_t err_cap)
{
	char why[96];

	if (error == EPERM || error == EACCES)
		return refuse(name, port, PSP_DP_EPERM, "CAP_NET_RAW is missing", err, err_cap);
	if (error == ENODEV || error == ENXIO)
		return refuse(name, port, PSP_DP_ENODEV, "no such interface", err, err_cap);
	(void)snprintf(why, sizeof(why), "%s", strerror(error));
	return refuse(name, port, error == ENOMEM ? PSP_DP_ENOMEM : PSP_DP_EIO, why, err, err_cap);
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : errno;
}

/* As root the limits of sysctl do not bind; else what they allow is taken. */
static void grow_buffers(int fd)
{
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) != 0)
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) != 0)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
}

_Static_assert(sizeof(((struct soft_port *)0)->name) == IFNAMSIZ, "names are the kernel's");

/* Whatever the tenant's gateway MAC is, the host port must hear it; the uplink has its own. */
static int set_promiscuous(const struct soft_port *port)
{
	struct packet_mreq request = {.mr_ifindex = (int)port->ifindex,
				      .mr_type = PACKET_MR_PROMISC};

	if (port->port == PSP_DP_PORT_UPLINK)
		return 0;
	if (setsockopt(port->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) != 0)
		return errno;
	return 0;
}

static int attach(const struct soft_port *port)
{
	const struct sockaddr_ll address = {.sll_family = AF_PACKET,
					    .sll_protocol = htons(ETH_P_ALL),
					    .sll_ifindex = (int)port->ifindex};

	return bind(port->fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static int set_up(struct soft_port *port)
{
	int error = set_int(port->fd, SOL_PACKET, PACKET_VNET_HDR, 1);

	if (error == 0)
		error = set_int(port->fd, SOL_PACKET, PACKET_AUXDATA, 1);
	if (error == 0)
		error = set_int(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (error == 0)
		error = set_promiscuous(port);
	if (error != 0)
		return error;
	grow_buffers(port->fd);
	return attach(port);
}

static int request(const struct soft_port *port, unsigned long what, struct ifreq *answer)
{
	memset(answer, 0, sizeof(*answer));
	memcpy(answer->ifr_name, port->name, sizeof(port->name));
	return ioctl(port->fd, what, answer) == 0 ? 0 : errno;
}

int32_t soft_port_open(const char *name, uint8_t port, uint16_t vlan, struct soft_port **out,
		       char *err, uint32_t err_cap)
{
	struct soft_port *made;
	struct ifreq answer;
	int32_t status;
	int error;

	*out = NULL;
	if (name[0] == 0 || strlen(name) >= IFNAMSIZ)
		return refuse(name, port, PSP_DP_ENODEV, "no such interface", err, err_cap);
	if (vlan >= NET_VLAN_ID)
		return refuse(name, port, PSP_DP_EINVAL, "a VLAN id is 1 to 4094", err, err_cap);
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return refuse(name, port, PSP_DP_ENOMEM, "out of memory", err, err_cap);
	made->port = port;
	made->vlan = vlan;
	memcpy(made->name, name, strlen(name));
	/* Protocol 0: nothing is received before bind() says from where. */
	made->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made->fd < 0) {
		status = refuse_errno(name, port, errno, err, err_cap);
		goto out;
	}
	error = request(made, SIOCGIFHWADDR, &answer);
	if (error == 0 && answer.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
		status = refuse(name, port, PSP_DP_ENOTSUP, "it is not an Ethernet interface", err,
				err_cap);
		goto out;
	}
	if (error == 0)
		error = request(made, SIOCGIFINDEX, &answer);
	if (error == 0) {
		made->ifindex = (uint32_t)answer.ifr_ifindex;
		error = set_up(made);
	}
	if (error != 0) {
		status = refuse_errno(name, port, error, err, err_cap);
		goto out;
	}
	*out = made;
	return PSP_DP_OK;
out:
	soft_port_close(made);
	return status;
}

/* The socket's own word: that of an interface that has gone is not the one it was given. */
static bool is_bound(const struct soft_port *port, uint32_t ifindex)
{
	struct sockaddr_ll address;
	socklen_t len = sizeof(address);

	return ifindex == port->ifindex &&
	       getsockname(port->fd, (struct sockaddr *)&address, &len) == 0 &&
	       address.sll_ifindex == (int)ifindex;
}

int32_t soft_port_follow(struct soft_port *port)
{
	struct ifreq answer;
	uint32_t ifindex;

	if (request(port, SIOCGIFINDEX, &answer) != 0)
		return PSP_DP_ENODEV;
	ifindex = (uint32_t)answer.ifr_ifindex;
	if (is_bound(port, ifindex))
		return 0;
	if (request(port, SIOCGIFHWADDR, &answer) != 0 ||
	    answer.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return PSP_DP_ENODEV;
	port->ifindex = ifindex;
	for (uint32_t i = 0; i < SOFT_PORT_GSO_KINDS; i++)
		atomic_store_explicit(&port->cuts[i], false, memory_order_relaxed);
	return set_promiscuous(port) == 0 && attach(port) == 0 ? 1 : PSP_DP_ENODEV;
}

void soft_port_close(struct soft_port *port)
{
	if (port == NULL)
		return;
	if (port->fd >= 0)
		(void)close(port->fd);
	free(port);
}

int soft_port_fd(const struct soft_port *port)
{
	return port->fd;
}

int32_t soft_port_query(struct soft_port *port, struct psp_dp_port_info *info)
{
	const int running = IFF_UP | IFF_RUNNING;
	struct ifreq mtu, address, flags;
	int error = request(port, SIOCGIFMTU, &mtu);

	if (error == 0)
		error = request(port, SIOCGIFHWADDR, &address);
	if (error == 0)
		error = request(port, SIOCGIFFLAGS, &flags);
	if (error != 0)
		return error == ENODEV ? PSP_DP_ENODEV : PSP_DP_EIO;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->ifindex = port->ifindex;
	info->mtu = (uint32_t)mtu.ifr_mtu;
	memcpy(info->mac, address.ifr_hwaddr.sa_data, sizeof(info->mac));
	info->link_up = (flags.ifr_flags & running) == running;
	return PSP_DP_OK;
}

/* ---- receive --------------------------------------------------------------------------------- */

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

/* ---- send ------------------------------------------------------------------------------------ */

/* One frame as two parts and what the kernel shall still do to it. Offsets count from head. */
struct parts {
	const uint8_t *head;
	uint32_t head_len; /* at least Ethernet's addresses */
	const uint8_t *body;
	uint32_t body_len;
	uint8_t gso; /* enum dp_gso */
	uint16_t gso_size;
	uint16_t gso_head; /* GSO: octets in front of the payload */
	bool needs_csum;
	uint16_t csum_start;
	uint16_t csum_offset;
};

static const uint8_t hdr_gso[SOFT_PORT_GSO_KINDS] = {
	[DP_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
	[DP_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
	[DP_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
	[DP_GSO_UDP] = HDR_GSO_UDP_L4,
};

/* Hands one frame to the kernel, tagged with the port's VLAN. 0 or an errno. */
static int write_frame(const struct soft_port *port, const struct parts *frame)
{
	struct virtio_net_hdr hdr = {.gso_type = hdr_gso[frame->gso]};
	uint16_t shift = port->vlan != 0 ? NET_VLAN_LEN : 0;
	uint8_t tag[NET_VLAN_LEN];
	struct iovec vectors[5];
	struct msghdr message = {.msg_iov = vectors};
	size_t n = 0;

	if (frame->gso != DP_GSO_NONE) {
		hdr.gso_size = frame->gso_size;
		hdr.hdr_len = (uint16_t)(frame->gso_head + shift);
	}
	if (frame->needs_csum) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = (uint16_t)(frame->csum_start + shift);
		hdr.csum_offset = frame->csum_offset;
	}
	/* sendmsg() only reads what iov_base points to. */
	vectors[n++] = (struct iovec){&hdr, sizeof(hdr)};
	if (shift != 0) {
		psp_put16(tag, NET_TYPE_VLAN);
		psp_put16(tag + 2, port->vlan);
		vectors[n++] = (struct iovec){(void *)frame->head, NET_ETH_TYPE};
		vectors[n++] = (struct iovec){tag, sizeof(tag)};
		vectors[n++] = (struct iovec){(void *)(frame->head + NET_ETH_TYPE),
					      frame->head_len - NET_ETH_TYPE};
	} else {
		vectors[n++] = (struct iovec){(void *)frame->head, frame->head_len};
	}
	if (frame->body_len != 0)
		vectors[n++] = (struct iovec){(void *)frame->body, frame->body_len};
	message.msg_iovlen = n;
	while (sendmsg(port->fd, &message, 0) < 0) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

/* ---- segmentation for a kernel that will not do it ------------------------------------------- */

static void mend_tcp(const struct dp_packet *packet, uint8_t *head, uint32_t off,
		     const uint8_t *body, uint32_t len)
{
	uint8_t *tcp = head + packet->l4_off;
	uint32_t head_len = (uint32_t)packet->payload_off - packet->l4_off, sum;
	bool last = packet->payload_off + off + len == packet->len;

	dp_segment_tcp(tcp, off, off == 0, last);
	psp_put16(tcp + NET_TCP_CSUM, 0);
	sum = dp_csum_pseudo(head + packet->l3_off, NET_PROTO_TCP, head_len + len);
	sum = dp_csum_add(dp_csum_add(sum, tcp, head_len), body, len);
	psp_put16(tcp + NET_TCP_CSUM, (uint16_t)~dp_csum_fold(sum));
}

/* Sends a super-frame as packets. 0, or the errno of the first that failed; *sent counts those before it. */
static int write_packets(const struct soft_port *port, const struct dp_packet *packet,
			 uint32_t *sent)
{
	uint8_t head[NET_HEAD_MAX];
	struct parts frame = {.head = head, .head_len = packet->payload_off};
	uint32_t off = 0, payload = packet->len - packet->payload_off;

	*sent = 0;
	if (packet->payload_off > NET_HEAD_MAX || packet->len <= packet->payload_off ||
	    packet->gso_size == 0 || packet->l4_off <= packet->l3_off)
		return EINVAL;
	while (off < payload) {
		uint32_t len = payload - off < packet->gso_size ? payload - off : packet->gso_size;
		uint32_t ip_len = (uint32_t)packet->payload_off - packet->l3_off + len;
		int error;

		memcpy(head, packet->frame, packet->payload_off);
		frame.body = packet->frame + packet->payload_off + off;
		frame.body_len = len;
		dp_segment_ip(head + packet->l3_off, ip_len, *sent);
		if (packet->gso == DP_GSO_UDP) {
			/* PSP, the only UDP that is sent so, may go without a checksum. */
			psp_put16(head + packet->l4_off + NET_UDP_LENGTH,
				  (uint16_t)(NET_UDP_LEN + len));
			psp_put16(head + packet->l4_off + NET_UDP_CSUM, 0);
		} else {
			mend_tcp(packet, head, off, frame.body, len);
		}
		error = write_frame(port, &frame);
		if (error != 0)
			return error;
		off += len;
		(*sent)++;
	}
	return 0;
}

/* The answers of a kernel or driver that cannot do this kind of segmentation. */
static bool is_refusal(int error)
{
	return error == EINVAL || error == EOPNOTSUPP || error == EPROTONOSUPPORT;
}

static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

static int32_t send_cut(struct soft_port *port, const struct dp_packet *packet, bool *retry)
{
	uint32_t sent = 0;
	int error = write_packets(port, packet, &sent);

	/* Once some have gone the rest is lost: sending all again would double those. */
	*retry = is_full(error) && sent == 0;
	return error == 0 ? PSP_DP_OK : PSP_DP_EIO;
}

int32_t soft_port_send(struct soft_port *port, const struct dp_packet *packet, bool *retry)
{
	struct parts frame = {.head = packet->frame,
			      .head_len = packet->len,
			      .gso = packet->gso,
			      .gso_size = packet->gso_size,
			      .gso_head = packet->payload_off,
			      .needs_csum = packet->needs_csum,
			      .csum_start = packet->csum_start,
			      .csum_offset = packet->csum_offset};
	int32_t status;
	int error;

	*retry = false;
	if (packet->len < NET_ETH_LEN || packet->len > DP_FRAME_MAX ||
	    packet->gso >= SOFT_PORT_GSO_KINDS)
		return PSP_DP_EIO;
	if (atomic_load_explicit(&port->cuts[packet->gso], memory_order_relaxed))
		return send_cut(port, packet, retry);
	error = write_frame(port, &frame);
	if (error == 0)
		return PSP_DP_OK;
	if (packet->gso != DP_GSO_NONE && is_refusal(error)) {
		status = send_cut(port, packet, retry);
		/* Remembered only if its packets are welcome: else the frame was at fault. */
		atomic_store_explicit(&port->cuts[packet->gso], status == PSP_DP_OK,
				      memory_order_relaxed);
		return status;
	}
	*retry = is_full(error);
	return PSP_DP_EIO;
}
