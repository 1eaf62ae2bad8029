/* SPDX-License-Identifier: Apache-2.0 */
/* soft_packet_received.h: a PSP packet as the frame that it came in. */
#ifndef PSP_SOFT_PACKET_RECEIVED_H
#define PSP_SOFT_PACKET_RECEIVED_H

#include "soft_packet_frames.h"
#include "vectors_types.h"

#define VERSIONS 0xfu

static uint8_t in_buf[BUF_LEN];
static struct dp_packet packet;

/* A PSP packet (UDP payload) as a frame in in_buf, parsed. */
static inline bool frame_of(const struct octets *psp, const struct frame_spec *around)
{
	struct frame_spec spec = *around;
	uint8_t *udp;

	spec.proto = 17;
	spec.dst_port = PSP_UDP_PORT;
	spec.payload = (uint32_t)psp->len;
	make_frame(&packet, in_buf, &spec);
	packet.port = PSP_DP_PORT_UPLINK;
	udp = packet.frame + packet.len - psp->len - 8;
	memcpy(udp + 8, psp->at, psp->len);
	psp_put16(udp + 6, 0);
	return dp_parse(&packet);
}

#endif
