/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "../common/net.h"
#include "port_io.h"

#define HDR_GSO_UDP_L4 5u /* VIRTIO_NET_HDR_GSO_UDP_L4, younger than the headers of Debian 12 */

static const uint8_t hdr_gso[PORT_GSO_KINDS] = {
	[DP_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
	[DP_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
	[DP_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
	[DP_GSO_UDP] = HDR_GSO_UDP_L4,
};

int soft_port_write(const struct soft_port *port, const struct soft_port_frame *frame)
{
	struct virtio_net_hdr hdr = {.gso_type = hdr_gso[frame->gso]};
	uint16_t shift = port->vlan != 0 ? NET_VLAN_LEN : 0;
	uint8_t tag[NET_VLAN_LEN];
	struct iovec parts[5];
	struct msghdr message = {.msg_iov = parts};
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
	parts[n++] = (struct iovec){&hdr, sizeof(hdr)};
	if (shift != 0) {
		psp_put16(tag, NET_TYPE_VLAN);
		psp_put16(tag + 2, port->vlan);
		parts[n++] = (struct iovec){(void *)frame->head, NET_ETH_TYPE};
		parts[n++] = (struct iovec){tag, sizeof(tag)};
		parts[n++] = (struct iovec){(void *)(frame->head + NET_ETH_TYPE),
					    frame->head_len - NET_ETH_TYPE};
	} else {
		parts[n++] = (struct iovec){(void *)frame->head, frame->head_len};
	}
	if (frame->body_len != 0)
		parts[n++] = (struct iovec){(void *)frame->body, frame->body_len};
	message.msg_iovlen = n;
	while (sendmsg(port->fd, &message, 0) < 0) {
		if (errno != EINTR)
			return errno;
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
	int error = soft_port_cut(port, packet, &sent);

	/* Once some have gone the rest is lost: sending all again would double those. */
	*retry = is_full(error) && sent == 0;
	return error == 0 ? PSP_DP_OK : PSP_DP_EIO;
}

int32_t soft_port_send(struct soft_port *port, const struct dp_packet *packet, bool *retry)
{
	struct soft_port_frame frame = {.head = packet->frame,
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
	    packet->gso >= PORT_GSO_KINDS)
		return PSP_DP_EIO;
	if (port->cuts[packet->gso])
		return send_cut(port, packet, retry);
	error = soft_port_write(port, &frame);
	if (error == 0)
		return PSP_DP_OK;
	if (packet->gso != DP_GSO_NONE && is_refusal(error)) {
		status = send_cut(port, packet, retry);
		/* Remembered only if its packets are welcome: else the frame was at fault. */
		port->cuts[packet->gso] = status == PSP_DP_OK;
		return status;
	}
	*retry = is_full(error);
	return PSP_DP_EIO;
}
