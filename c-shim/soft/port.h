/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h: one Linux interface by AF_PACKET with PACKET_VNET_HDR. One thread receives, one follows the interface; any
 * thread may send meanwhile.
 */
#ifndef PSP_SOFT_PORT_H
#define PSP_SOFT_PORT_H

#include <stdatomic.h>

#include "frame.h"

#define SOFT_PORT_NAME_LEN 16u /* IFNAMSIZ, with the 0 */
#define SOFT_PORT_GSO_KINDS 4u /* of enum dp_gso */
#define SOFT_PORT_BATCH 32u    /* frames of one call */

/* port.c's, but for `watched`, which is the worker's. What is not atomic never changes after open. */
struct soft_port {
	int fd; /* receives */
	/*
	 * Sends, and receives nothing. The kernel tells whoever waits for a socket of each frame of it that has left: for this
	 * one nobody waits.
	 */
	int tx;
	_Atomic uint32_t ifindex; /* of the interface that it is bound to */
	uint16_t vlan;            /* 0: untagged */
	uint8_t port;             /* enum psp_dp_port_kind */
	char name[SOFT_PORT_NAME_LEN];
	int32_t group; /* of sockets among which its packets are shared by flow; below 0: it is in none */
	uint8_t gateway[6];   /* the MAC whose frames a host port takes; all 0: any */
	bool beside;          /* another one has its packets while it is in no group */
	_Atomic bool watched; /* its socket has been put among those that its worker asks for */
	/* Frames for us that no header describes, such as SCTP's super-frames, or that no buffer holds. Its reader takes them out. */
	uint32_t unreadable;
	/* Super-frames of this kind are cut here: the kernel refused one. */
	_Atomic bool cuts[SOFT_PORT_GSO_KINDS];
};

/* err: one sentence on failure. vlan: id to tag with and to accept, 0: untagged. status: negative PSP_DP_E... */
int32_t soft_port_open(const char *name, uint8_t port, uint16_t vlan, struct soft_port **out,
		       char *err, uint32_t err_cap);
void soft_port_close(struct soft_port *port);
int32_t soft_port_query(struct soft_port *port, struct psp_dp_port_info *info);

/*
 * Looks whether the interface of its name is still the one that it is bound to, and binds to another one. 1: it has; 0:
 * nothing to do; PSP_DP_ENODEV: there is none, or none that will do. What others send meanwhile goes to either.
 */
int32_t soft_port_follow(struct soft_port *port);

/*
 * Shares what the interface receives, by flow, among all sockets of a group. soft_port_group(): the group of this one,
 * made if it was in none; below 0: the kernel refuses, as some do while the interface is down. soft_port_beside(): another
 * socket on the same interface, which receives nothing until soft_port_join() has made it one of the group. A port that
 * follows another interface is in no group any more.
 */
int32_t soft_port_group(struct soft_port *port);
int32_t soft_port_beside(const struct soft_port *port, struct soft_port **out);
bool soft_port_join(struct soft_port *port, int32_t group);

/* Frames that found the socket's queue full since this was last asked. */
uint32_t soft_port_lost(const struct soft_port *port);
/* For poll(2): the same number as long as the port is open, though perhaps another socket after soft_port_follow(). */
int soft_port_fd(const struct soft_port *port);
/* For poll(2) until there is room for what leaves. */
int soft_port_tx_fd(const struct soft_port *port);

/*
 * Reads frames, at most `max` (SOFT_PORT_BATCH), each into cap octets of buf, one behind the other (DP_HEADROOM octets
 * are left free in front), and fills packets in order, not parsed. Their number; 0: none waiting, or the interface is
 * down; negative: PSP_DP_EIO. Not returned: frames that this host sends, frames of another VLAN, and frames
 * that are for another MAC: on the uplink than its own, on a host port than the gateway's. Nor those that count as unreadable.
 */
int32_t soft_port_recv(struct soft_port *port, uint8_t *buf, uint32_t cap,
		       struct dp_packet *packets, uint32_t max);

/*
 * Sends frames in order, a super-frame whole when the device takes it, else cut here, decided once by what the kernel
 * answers. How many went before one that did not; of that one *retry is true when the queue is full for the moment.
 */
uint32_t soft_port_send_all(struct soft_port *port, const struct soft_frame *frames, uint32_t n,
			    bool *retry);
/* One. 0 or PSP_DP_EIO. */
static inline int32_t soft_port_send(struct soft_port *port, const struct dp_packet *packet,
				     bool *retry)
{
	const struct iovec part = {packet->frame, packet->len};
	struct soft_frame frame = soft_frame_of(packet);

	frame.parts = &part;
	frame.n_parts = 1;
	return soft_port_send_all(port, &frame, 1, retry) == 1 ? PSP_DP_OK : PSP_DP_EIO;
}

/*
 * Sockets that keep the kernel from answering PSP packets (UDP 1000) with port unreachable. fds[1] is -1 where
 * the kernel has no IPv6. PSP_DP_EBUSY: another program has the port. The caller closes them.
 */
int32_t soft_port_sink_open(int fds[2], char *err, uint32_t err_cap);

#endif
