/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* recvmmsg(), sendmmsg() */
/* port.c: an interface by its packet socket: opened, received from, sent to. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
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
#define OFF_LINE_MAX                                                                               \
	64u /* times that nothing but frames to be passed over came, so that a call ends */
#define FANOUT_IGNORES_OUTGOING                                                                    \
	0x4000           /* PACKET_FANOUT_FLAG_IGNORE_OUTGOING, younger than those headers */
#define BATCH_PARTS 512u /* of the frames of one sendmmsg() */

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
static void grow_buffers(const struct soft_port *port)
{
	if (set_int(port->tx, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) != 0)
		(void)set_int(port->tx, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
	if (set_int(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) != 0)
		(void)set_int(port->fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
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

static int bind_to(int fd, uint32_t ifindex, uint16_t protocol)
{
	const struct sockaddr_ll address = {.sll_family = AF_PACKET,
					    .sll_protocol = htons(protocol),
					    .sll_ifindex = (int)ifindex};

	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

/* The one that receives is bound last: where it is says where both are. */
static int attach(const struct soft_port *port)
{
	const int error = bind_to(port->tx, port->ifindex, 0);

	return error == 0 ? bind_to(port->fd, port->ifindex, ETH_P_ALL) : error;
}

/* Until it is in a group, where its share is nobody else's. */
static int set_deaf(const struct soft_port *port)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &drop};

	if (!port->beside)
		return 0;
	return setsockopt(port->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0
		       ? 0
		       : errno;
}

static int set_up(struct soft_port *port)
{
	int error = set_int(port->fd, SOL_PACKET, PACKET_VNET_HDR, 1);

	if (error == 0)
		error = set_int(port->tx, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (error == 0)
		error = set_int(port->fd, SOL_PACKET, PACKET_AUXDATA, 1);
	if (error == 0)
		error = set_int(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (error == 0)
		error = set_promiscuous(port);
	if (error == 0)
		error = set_deaf(port);
	if (error != 0)
		return error;
	grow_buffers(port);
	return attach(port);
}

static int request(const struct soft_port *port, unsigned long what, struct ifreq *answer)
{
	memset(answer, 0, sizeof(*answer));
	memcpy(answer->ifr_name, port->name, sizeof(port->name));
	return ioctl(port->fd, what, answer) == 0 ? 0 : errno;
}

/* Protocol 0: nothing is received before bind() says from where. */
static int open_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
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
	made->group = -1;
	memcpy(made->name, name, strlen(name));
	made->fd = open_socket();
	made->tx = made->fd >= 0 ? open_socket() : -1;
	if (made->tx < 0) {
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

/* A socket in a group cannot be bound anew: another one takes its number. */
static bool replace_socket(struct soft_port *port)
{
	struct soft_port fresh = *port;
	bool done;

	fresh.fd = open_socket();
	if (fresh.fd < 0)
		return false;
	done = set_up(&fresh) == 0 && dup3(fresh.fd, port->fd, O_CLOEXEC) >= 0;
	(void)close(fresh.fd);
	if (!done)
		return false;
	port->group = -1;
	/* Whoever watched the one before watches nothing any more. */
	atomic_store_explicit(&port->watched, false, memory_order_release);
	return true;
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
	if (port->group >= 0 || port->beside)
		return replace_socket(port) ? 1 : PSP_DP_ENODEV;
	return set_promiscuous(port) == 0 && attach(port) == 0 ? 1 : PSP_DP_ENODEV;
}

/* ---- one of several sockets ------------------------------------------------------------------ */

/* Its flags are those of the group, but that it names the group. */
static int32_t fanout(int flags)
{
	return (int32_t)((uint32_t)(PACKET_FANOUT_HASH | FANOUT_IGNORES_OUTGOING | flags) << 16);
}

int32_t soft_port_group(struct soft_port *port)
{
	socklen_t len = sizeof(int);
	int value = fanout(PACKET_FANOUT_FLAG_UNIQUEID);

	if (port->group < 0 && set_int(port->fd, SOL_PACKET, PACKET_FANOUT, value) == 0 &&
	    getsockopt(port->fd, SOL_PACKET, PACKET_FANOUT, &value, &len) == 0)
		port->group = value & 0xffff;
	return port->group;
}

int32_t soft_port_beside(const struct soft_port *port, struct soft_port **out)
{
	struct soft_port *made = calloc(1, sizeof(*made));

	*out = made;
	if (made == NULL)
		return PSP_DP_ENOMEM;
	*made = *port;
	made->group = -1;
	made->beside = true;
	made->watched = false;
	made->fd = open_socket();
	made->tx = open_socket();
	if (made->fd >= 0 && made->tx >= 0 && set_up(made) == 0)
		return PSP_DP_OK;
	soft_port_close(made);
	*out = NULL;
	return PSP_DP_EIO;
}

bool soft_port_join(struct soft_port *port, int32_t group)
{
	const int value = fanout(0) | group;

	if (port->group == group)
		return true;
	if (set_int(port->fd, SOL_PACKET, PACKET_FANOUT, value) != 0)
		return false;
	port->group = group;
	return set_int(port->fd, SOL_SOCKET, SO_DETACH_FILTER, 0) == 0;
}

void soft_port_close(struct soft_port *port)
{
	if (port == NULL)
		return;
	if (port->fd >= 0)
		(void)close(port->fd);
	if (port->tx >= 0)
		(void)close(port->tx);
	free(port);
}

int soft_port_fd(const struct soft_port *port)
{
	return port->fd;
}

int soft_port_tx_fd(const struct soft_port *port)
{
	return port->tx;
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

/* packet(7): the kernel begins anew each time. */
uint32_t soft_port_lost(const struct soft_port *port)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	return getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0
		       ? stats.tp_drops
		       : 0;
}

/* ---- receive --------------------------------------------------------------------------------- */

/* A frame as the kernel left it: its virtio-net header stands in front of it, for a call with one part takes less. */
struct arrival {
	struct sockaddr_ll from;
	struct iovec part;
	union {
		struct cmsghdr align;
		uint8_t space[CMSG_SPACE(sizeof(struct tpacket_auxdata)) + 64];
	} control;
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

/* What the kernel said beside the frame: false, nothing. */
static bool read_aux(struct msghdr *message, struct tpacket_auxdata *aux)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
		    c->cmsg_len < CMSG_LEN(sizeof(*aux)))
			continue;
		memcpy(aux, CMSG_DATA(c), sizeof(*aux));
		return true;
	}
	return false;
}

/*
 * A switch floods what it does not know, and a bridge as host port shows what its guests say to one another: a router
 * passes that over.
 */
static bool is_ours(const struct soft_port *port, const struct arrival *arrival,
		    const uint8_t *frame)
{
	static const uint8_t any[6];

	if (port->port == PSP_DP_PORT_UPLINK)
		return arrival->from.sll_pkttype != PACKET_OTHERHOST;
	return (frame[0] & NET_ETH_GROUP) != 0 || memcmp(frame, port->gateway, 6) == 0 ||
	       memcmp(port->gateway, any, 6) == 0;
}

/* False: not for this port, or nothing that a packet can stand for. */
static bool accept_frame(const struct soft_port *port, const struct arrival *arrival,
			 const struct virtio_net_hdr *hdr, struct msghdr *message,
			 struct dp_packet *packet)
{
	struct tpacket_auxdata aux;
	bool has_aux;

	/* A group of sockets hears what this host sends, where the kernel is older than the flag against it. */
	if (arrival->from.sll_pkttype == PACKET_OUTGOING)
		return false;
	if (packet->len < NET_ETH_LEN || !is_ours(port, arrival, packet->frame) ||
	    !set_gso(packet, hdr))
		return false;
	packet->needs_csum = (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
	packet->csum_valid = (hdr->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0;
	if (packet->needs_csum) {
		packet->csum_start = hdr->csum_start;
		packet->csum_offset = hdr->csum_offset;
	}
	has_aux = read_aux(message, &aux);
	if (has_aux && (aux.tp_status & TP_STATUS_CSUM_VALID) != 0)
		packet->csum_valid = true;
	/* A provider's tag (802.1ad) goes by its number as well: what is left to the kernel goes by that alone. */
	if (has_aux && (aux.tp_status & TP_STATUS_VLAN_VALID) != 0)
		packet->vlan_tci = aux.tp_vlan_tci;
	else
		strip_tag(packet);
	/* Id 0 is a priority tag: untagged by 802.1Q. */
	return (packet->vlan_tci & NET_VLAN_ID) == port->vlan;
}

/* False: it is passed over. */
static bool take_frame(struct soft_port *port, const struct arrival *arrival,
		       struct mmsghdr *message, struct dp_packet *packet)
{
	struct virtio_net_hdr hdr;

	if (message->msg_len < sizeof(hdr))
		return false;
	if ((message->msg_hdr.msg_flags & MSG_TRUNC) != 0) {
		port->unreadable +=
			arrival->from.sll_pkttype != PACKET_OUTGOING &&
			is_ours(port, arrival, (uint8_t *)arrival->part.iov_base + sizeof(hdr));
		return false;
	}
	memcpy(&hdr, arrival->part.iov_base, sizeof(hdr));
	memset(packet, 0, offsetof(struct dp_packet, fields));
	packet->encap = NULL;
	packet->set_s = false;
	memset(packet->s_segments, 0, sizeof(packet->s_segments));
	packet->frame = (uint8_t *)arrival->part.iov_base + sizeof(hdr);
	packet->len = message->msg_len - (uint32_t)sizeof(hdr);
	packet->port = port->port;
	return accept_frame(port, arrival, &hdr, &message->msg_hdr, packet);
}

int32_t soft_port_recv(struct soft_port *port, uint8_t *buf, uint32_t cap,
		       struct dp_packet *packets, uint32_t max)
{
	struct arrival arrivals[SOFT_PORT_BATCH];
	struct mmsghdr messages[SOFT_PORT_BATCH];
	const uint32_t before = DP_HEADROOM - (uint32_t)sizeof(struct virtio_net_hdr);
	int32_t taken = 0;

	if (cap <= DP_HEADROOM || max == 0 || max > SOFT_PORT_BATCH)
		return PSP_DP_EIO;
	for (uint32_t tries = 0; tries < OFF_LINE_MAX && taken == 0; tries++) {
		int n;

		for (uint32_t i = 0; i < max; i++) {
			struct arrival *at = &arrivals[i];

			at->part = (struct iovec){buf + (size_t)i * cap + before, cap - before};
			messages[i].msg_hdr =
				(struct msghdr){.msg_name = &at->from,
						.msg_namelen = sizeof(at->from),
						.msg_iov = &at->part,
						.msg_iovlen = 1,
						.msg_control = &at->control,
						.msg_controllen = sizeof(at->control)};
		}
		n = recvmmsg(port->fd, messages, max, MSG_DONTWAIT, NULL);
		if (n < 0) {
			if (errno == EAGAIN || errno == ENETDOWN)
				return 0;
			if (errno == EINTR)
				continue;
			/* A kind of super-frame that no header describes: it is gone. */
			if (errno == EINVAL) {
				port->unreadable++;
				continue;
			}
			return PSP_DP_EIO;
		}
		for (int i = 0; i < n; i++)
			taken += take_frame(port, &arrivals[i], &messages[i], &packets[taken]);
	}
	return taken;
}

/* ---- send ------------------------------------------------------------------------------------ */

static const uint8_t hdr_gso[SOFT_PORT_GSO_KINDS] = {
	[DP_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
	[DP_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
	[DP_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
	[DP_GSO_UDP] = HDR_GSO_UDP_L4,
};

/* Frames as sendmmsg() wants them. */
struct batch {
	uint32_t n, n_parts;
	struct virtio_net_hdr hdrs[SOFT_PORT_BATCH];
	uint8_t tags[SOFT_PORT_BATCH][NET_VLAN_LEN];
	struct mmsghdr messages[SOFT_PORT_BATCH];
	struct iovec parts[BATCH_PARTS];
};

static void add_part(struct batch *batch, const void *from, size_t len)
{
	/* sendmmsg() only reads what iov_base points to. */
	batch->parts[batch->n_parts++] = (struct iovec){(void *)(uintptr_t)from, len};
}

/* Tagged with the port's VLAN. False: no room is left for it. */
static bool add_frame(struct batch *batch, const struct soft_port *port,
		      const struct soft_frame *frame)
{
	struct virtio_net_hdr *hdr = &batch->hdrs[batch->n];
	uint8_t *tag = batch->tags[batch->n];
	uint16_t shift = port->vlan != 0 ? NET_VLAN_LEN : 0;
	const struct iovec *first = &frame->parts[0];
	struct mmsghdr *message = &batch->messages[batch->n];

	/* Beside its parts: the header, and two that a tag makes. */
	if (batch->n == SOFT_PORT_BATCH || batch->n_parts + frame->n_parts + 3 > BATCH_PARTS)
		return false;
	*hdr = (struct virtio_net_hdr){.gso_type = hdr_gso[frame->gso]};
	if (frame->gso != DP_GSO_NONE) {
		hdr->gso_size = frame->gso_size;
		hdr->hdr_len = (uint16_t)(frame->payload_off + shift);
	}
	if (frame->needs_csum) {
		hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr->csum_start = (uint16_t)(frame->csum_start + shift);
		hdr->csum_offset = frame->csum_offset;
	}
	message->msg_hdr = (struct msghdr){.msg_iov = &batch->parts[batch->n_parts]};
	add_part(batch, hdr, sizeof(*hdr));
	if (shift != 0) {
		psp_put16(tag, NET_TYPE_VLAN);
		psp_put16(tag + 2, port->vlan);
		add_part(batch, first->iov_base, NET_ETH_TYPE);
		add_part(batch, tag, NET_VLAN_LEN);
		add_part(batch, (const uint8_t *)first->iov_base + NET_ETH_TYPE,
			 first->iov_len - NET_ETH_TYPE);
	} else {
		add_part(batch, first->iov_base, first->iov_len);
	}
	for (uint32_t i = 1; i < frame->n_parts; i++)
		add_part(batch, frame->parts[i].iov_base, frame->parts[i].iov_len);
	message->msg_hdr.msg_iovlen =
		(size_t)(&batch->parts[batch->n_parts] - message->msg_hdr.msg_iov);
	batch->n++;
	return true;
}

/* Hands a batch to the kernel. How many went; errno is that of the one behind them. */
static uint32_t write_batch(const struct soft_port *port, struct batch *batch)
{
	uint32_t sent = 0;

	errno = 0;
	while (sent < batch->n) {
		int n = sendmmsg(port->tx, batch->messages + sent, batch->n - sent, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		sent += (uint32_t)n;
	}
	return sent;
}

/* 0 or an errno. */
static int write_frame(const struct soft_port *port, const struct soft_frame *frame)
{
	struct batch batch;

	batch.n = 0;
	batch.n_parts = 0;
	if (!add_frame(&batch, port, frame))
		return EINVAL;
	return write_batch(port, &batch) == 1 ? 0 : errno;
}

/* ---- segmentation for a kernel that will not do it ------------------------------------------- */

/* Where `off` octets into a frame lie, and how many follow there. */
struct place {
	const struct iovec *part;
	size_t off;
};

static struct place place_of(const struct soft_frame *frame, uint32_t off)
{
	struct place place = {.part = frame->parts, .off = off};

	while (place.off >= place.part->iov_len) {
		place.off -= place.part->iov_len;
		place.part++;
	}
	return place;
}

/* The next `len` octets as parts; their number. */
static uint32_t slice(struct place *place, uint32_t len, struct iovec *parts)
{
	uint32_t n = 0;

	while (len > 0) {
		size_t here = place->part->iov_len - place->off;
		uint32_t taken = here < len ? (uint32_t)here : len;

		parts[n++] = (struct iovec){(uint8_t *)place->part->iov_base + place->off, taken};
		place->off += taken;
		len -= taken;
		if (place->off == place->part->iov_len) {
			place->part++;
			place->off = 0;
		}
	}
	return n;
}

static void mend_l4(const struct soft_frame *frame, uint8_t *head, uint32_t off,
		    const struct iovec *body, uint32_t n, uint32_t len)
{
	bool udp = frame->gso == DP_GSO_UDP;
	uint8_t *ip = head + frame->l3_off, *l4 = head + frame->l4_off;
	uint8_t *stored = l4 + (udp ? NET_UDP_CSUM : NET_TCP_CSUM);
	uint32_t head_len = (uint32_t)frame->payload_off - frame->l4_off, sum, odd = 0;
	uint16_t csum;

	if (udp)
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)(head_len + len));
	else
		dp_segment_tcp(l4, off, off == 0, frame->payload_off + off + len == frame->len);
	psp_put16(stored, 0);
	/* PSP may go without a checksum. */
	if (udp && psp_get16(l4 + NET_UDP_DST) == PSP_UDP_PORT)
		return;
	sum = dp_csum_pseudo(ip, udp ? NET_PROTO_UDP : NET_PROTO_TCP, head_len + len);
	sum = dp_csum_add(sum, l4, head_len);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t part = dp_csum_fold(dp_csum_add(0, body[i].iov_base, body[i].iov_len));

		/* Behind an odd number of octets each one lies in the other half of its word. */
		sum += odd != 0 ? ((part & 0xffu) << 8 | part >> 8) : part;
		odd ^= (uint32_t)body[i].iov_len & 1u;
	}
	csum = (uint16_t)~dp_csum_fold(sum);
	psp_put16(stored, udp && csum == 0 ? 0xffffu : csum);
}

/* Sends a super-frame as packets. 0, or the errno of the first that failed; *sent counts those before it. */
static int write_packets(const struct soft_port *port, const struct soft_frame *whole,
			 uint32_t *sent)
{
	struct iovec parts[SOFT_FRAME_PARTS_MAX + 1];
	uint8_t head[NET_HEAD_MAX];
	struct soft_frame frame = {.parts = parts,
				   .l3_off = whole->l3_off,
				   .l4_off = whole->l4_off,
				   .payload_off = whole->payload_off};
	uint32_t off = 0, payload = whole->len - whole->payload_off;
	struct place place;

	*sent = 0;
	if (whole->payload_off > NET_HEAD_MAX || whole->len <= whole->payload_off ||
	    whole->gso_size == 0 || whole->l4_off <= whole->l3_off ||
	    whole->n_parts > SOFT_FRAME_PARTS_MAX)
		return EINVAL;
	place = place_of(whole, whole->payload_off);
	parts[0] = (struct iovec){head, whole->payload_off};
	while (off < payload) {
		uint32_t len = payload - off < whole->gso_size ? payload - off : whole->gso_size;
		uint32_t ip_len = (uint32_t)whole->payload_off - whole->l3_off + len, n;
		int error;

		memcpy(head, whole->parts[0].iov_base, whole->payload_off);
		n = slice(&place, len, parts + 1);
		dp_segment_ip(head + whole->l3_off, ip_len, *sent);
		mend_l4(whole, head, off, parts + 1, n, len);
		frame.n_parts = n + 1;
		frame.len = whole->payload_off + len;
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

static bool send_cut(struct soft_port *port, const struct soft_frame *frame, bool *retry)
{
	uint32_t sent = 0;
	int error = write_packets(port, frame, &sent);

	/* Once some have gone the rest is lost: sending all again would double those. */
	*retry = is_full(error) && sent == 0;
	return error == 0;
}

static bool cuts(const struct soft_port *port, const struct soft_frame *frame)
{
	return atomic_load_explicit(&port->cuts[frame->gso], memory_order_relaxed);
}

static bool can_be_sent(const struct soft_frame *frame)
{
	return frame->len >= NET_ETH_LEN && frame->len <= DP_FRAME_MAX &&
	       frame->gso < SOFT_PORT_GSO_KINDS;
}

/* What the kernel did not take whole: cut, if that is why. True: it has gone. */
static bool send_refused(struct soft_port *port, const struct soft_frame *frame, int error,
			 bool *retry)
{
	bool sent = false;

	if (frame->gso == DP_GSO_NONE || !is_refusal(error)) {
		*retry = is_full(error);
		return false;
	}
	sent = send_cut(port, frame, retry);
	/* Remembered only if its packets are welcome: else the frame was at fault. */
	atomic_store_explicit(&port->cuts[frame->gso], sent, memory_order_relaxed);
	return sent;
}

uint32_t soft_port_send_all(struct soft_port *port, const struct soft_frame *frames, uint32_t n,
			    bool *retry)
{
	struct batch batch;
	uint32_t done = 0;

	*retry = false;
	while (done < n) {
		uint32_t end = done, sent;

		batch.n = 0;
		batch.n_parts = 0;
		while (end < n && can_be_sent(&frames[end]) && !cuts(port, &frames[end]) &&
		       add_frame(&batch, port, &frames[end]))
			end++;
		sent = write_batch(port, &batch);
		done += sent;
		if (sent < batch.n && !send_refused(port, &frames[done], errno, retry))
			return done;
		if (sent < batch.n) {
			done++;
			continue;
		}
		if (batch.n > 0)
			continue;
		/* The first one was no part of a batch. */
		if (!can_be_sent(&frames[done]) || !cuts(port, &frames[done]) ||
		    !send_cut(port, &frames[done], retry))
			return done;
		done++;
	}
	return done;
}
