/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h: a frame that is to leave, as it lies in memory: in parts, so that payloads stay where they were opened.
 */
#ifndef PSP_SOFT_FRAME_H
#define PSP_SOFT_FRAME_H

#include <sys/uio.h>

#include "../common/packet.h"

#define SOFT_FRAME_PARTS_MAX 200u

/* Its first part holds at least the headers to the end of L4. The rest is as in struct dp_packet. */
struct soft_frame {
	const struct iovec *parts; /* only read */
	uint32_t n_parts, len;
	uint16_t l3_off, l4_off, payload_off;
	uint8_t gso;
	bool needs_csum;
	uint16_t gso_size;
	uint16_t csum_start, csum_offset;
};

/* All but the parts. */
static inline struct soft_frame soft_frame_of(const struct dp_packet *packet)
{
	return (struct soft_frame){.len = packet->len,
				   .l3_off = packet->l3_off,
				   .l4_off = packet->l4_off,
				   .payload_off = packet->payload_off,
				   .gso = packet->gso,
				   .needs_csum = packet->needs_csum,
				   .gso_size = packet->gso_size,
				   .csum_start = packet->csum_start,
				   .csum_offset = packet->csum_offset};
}

/* Number of packets that it stands for. */
static inline uint32_t soft_frame_segments(const struct soft_frame *frame)
{
	if (frame->gso == DP_GSO_NONE || frame->gso_size == 0 || frame->len <= frame->payload_off)
		return 1;
	return (frame->len - frame->payload_off + frame->gso_size - 1u) / frame->gso_size;
}

#endif
