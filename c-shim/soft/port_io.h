/* SPDX-License-Identifier: Apache-2.0 */
/* port_io.h: what port.c and port_gso.c share. Private to the port. */
#ifndef PSP_SOFT_PORT_IO_H
#define PSP_SOFT_PORT_IO_H

#include "port.h"

#define PORT_NAME_LEN 16u /* IFNAMSIZ, with the 0 */
#define PORT_GSO_KINDS 4u /* of enum dp_gso */

/* Fields change in the thread that sends, or never after open. */
struct soft_port {
	int fd;
	uint32_t ifindex;
	uint16_t vlan; /* 0: untagged */
	uint8_t port;  /* enum psp_dp_port */
	char name[PORT_NAME_LEN];
	bool cuts
		[PORT_GSO_KINDS]; /* super-frames of this kind are cut here: the kernel refused one */
};

/* One frame as two parts and what the kernel shall still do to it. Offsets count from head. */
struct soft_port_frame {
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

/* Hands one frame to the kernel, tagged with the port's VLAN. 0 or an errno. */
int soft_port_write(const struct soft_port *port, const struct soft_port_frame *frame);

/* Sends a super-frame as packets. 0, or the errno of the first that failed; *sent counts those before it. */
int soft_port_cut(const struct soft_port *port, const struct dp_packet *packet, uint32_t *sent);

#endif
