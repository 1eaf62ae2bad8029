/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* ppoll, pthread_setname_np */
/*
 * nic.c: the NIC: one thread that takes what comes from the interfaces, and what the program transmits, through the
 * pipes. A super-frame of the kernel is several packets here, each with its checksum complete: hardware has no others.
 */
#include <poll.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "../soft/soft.h"
#include "standin.h"

#define BUFFER_LEN (DP_HEADROOM + DP_FRAME_MAX + PSP_ICV_LEN + 2u)
#define BATCH 64u
#define NAP_NS 250000l /* the transmit rings cannot wake anybody */

static struct nic {
	pthread_t thread;
	_Atomic bool stop;
	bool running;
	int sink[2];
	uint8_t *buffers, *rx, *split, *spare;
} nic = {.sink = {-1, -1}};

/* ---- out ------------------------------------------------------------------------------------- */

static void put_tag(struct dp_packet *packet)
{
	uint8_t tag[NET_VLAN_LEN];

	psp_put16(tag, NET_TYPE_VLAN);
	psp_put16(tag + 2, packet->vlan_tci);
	memmove(packet->frame - NET_VLAN_LEN, packet->frame, NET_ETH_TYPE);
	packet->frame -= NET_VLAN_LEN;
	packet->len += NET_VLAN_LEN;
	memcpy(packet->frame + NET_ETH_TYPE, tag, sizeof(tag));
}

void si_to_wire(struct si_walk *walk, uint16_t port_id)
{
	struct si_nic_port *port = si_nic_port_of(port_id);
	struct dp_packet frame = {.frame = walk->packet.frame, .len = si_len(walk)};
	bool busy;

	frame.vlan_tci = walk->packet.vlan_tci;
	if (walk->sealed_room && frame.vlan_tci != 0)
		put_tag(&frame);
	/* What does not fit, or finds no room, is lost as on any wire. */
	if (port != NULL)
		(void)soft_port_send(port->wire, &frame, &busy);
}

void si_to_program(const struct si_walk *walk, uint16_t queue)
{
	struct si_nic_port *port = &si.nic[PSP_DP_PORT_UPLINK];
	struct rte_mempool *pool = port->pools[queue];
	struct rte_mbuf *mbuf = pool != NULL ? rte_pktmbuf_alloc(pool) : NULL;
	uint32_t len = si_len(walk);
	char *data;

	if (mbuf == NULL)
		return;
	data = len <= UINT16_MAX ? rte_pktmbuf_append(mbuf, (uint16_t)len) : NULL;
	if (data == NULL) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	memcpy(data, walk->packet.frame, len);
	mbuf->port = port->id;
	if (rte_flow_dynf_metadata_avail()) {
		rte_flow_dynf_metadata_set(mbuf, walk->packet.fields.meta_pkt_meta);
		mbuf->ol_flags |= RTE_MBUF_DYNFLAG_RX_METADATA;
	}
	if (rte_ring_enqueue(port->rx[queue], mbuf) != 0)
		rte_pktmbuf_free(mbuf);
}

/* ---- in -------------------------------------------------------------------------------------- */

static void run_one(struct dp_packet *packet, uint16_t port_id, struct doca_flow_pipe *root)
{
	struct si_walk *walk = &(struct si_walk){
		.packet = *packet, .port_id = port_id, .buf = nic.split, .spare = nic.spare};

	if (packet->needs_csum) {
		dp_csum_complete(&walk->packet);
		walk->packet.needs_csum = false;
	}
	si_run(walk, root);
}

static void run_segment(void *port_id, struct dp_packet *segment)
{
	run_one(segment, *(const uint16_t *)port_id, si.roots[0]);
}

static void run_frame(const struct si_nic_port *port, struct dp_packet *packet)
{
	uint16_t port_id = port->id;
	bool sound = dp_parse(packet);
	uint32_t n = dp_segments(packet);

	if (!sound || n == 1) {
		packet->gso = DP_GSO_NONE;
		packet->needs_csum = packet->needs_csum && sound;
		run_one(packet, port_id, si.roots[0]);
	} else if (packet->gso == DP_GSO_UDP && packet->port == PSP_DP_PORT_UPLINK) {
		soft_cut(packet, run_segment, &port_id);
	} else {
		for (uint32_t i = 0; i < n; i++) {
			struct dp_packet piece;

			soft_split(packet, i, 1, nic.split, &piece);
			run_one(&piece, port_id, si.roots[0]);
		}
	}
}

static bool receive(struct si_nic_port *port)
{
	struct dp_packet packet;
	uint32_t n = 0;

	while (n < BATCH && soft_port_recv(port->wire, nic.rx, BUFFER_LEN, &packet) == 1) {
		pthread_mutex_lock(&si.lock);
		run_frame(port, &packet);
		pthread_mutex_unlock(&si.lock);
		n++;
	}
	return n != 0;
}

static void run_transmitted(const struct si_nic_port *port, struct rte_mbuf *mbuf)
{
	struct dp_packet packet = {.frame = nic.rx + DP_HEADROOM, .port = PSP_DP_PORT_HOST};
	uint32_t len = rte_pktmbuf_pkt_len(mbuf);
	const void *data;

	si_mbuf_take(mbuf);
	if (len <= DP_FRAME_MAX) {
		data = rte_pktmbuf_read(mbuf, 0, len, packet.frame);
		if (data != packet.frame)
			memcpy(packet.frame, data, len);
		packet.len = len;
		(void)dp_parse(&packet);
		packet.fields.meta_pkt_meta = 0;
		if ((mbuf->ol_flags & RTE_MBUF_DYNFLAG_TX_METADATA) != 0)
			packet.fields.meta_pkt_meta = rte_flow_dynf_metadata_get(mbuf);
		run_one(&packet, port->id, si.roots[1]);
	}
	si_mbuf_free(mbuf);
}

static bool transmit(const struct si_nic_port *port)
{
	bool any = false;

	for (uint32_t q = 0; q < SI_QUEUES; q++) {
		void *mbuf;

		for (uint32_t i = 0; i < BATCH && rte_ring_dequeue(port->tx[q], &mbuf) == 0; i++) {
			pthread_mutex_lock(&si.lock);
			run_transmitted(port, mbuf);
			pthread_mutex_unlock(&si.lock);
			any = true;
		}
	}
	return any;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *work(void *arg)
{
	struct pollfd fds[SI_PORTS];
	const struct timespec nap = {.tv_nsec = NAP_NS};

	(void)arg;
	(void)pthread_setname_np(pthread_self(), "doca-standin");
	for (uint32_t i = 0; i < SI_PORTS; i++)
		fds[i] = (struct pollfd){.fd = soft_port_fd(si.nic[i].wire), .events = POLLIN};
	while (!atomic_load(&nic.stop)) {
		bool busy = transmit(&si.nic[PSP_DP_PORT_UPLINK]);

		for (uint32_t i = 0; i < SI_PORTS; i++)
			busy = receive(&si.nic[i]) || busy;
		if (!busy)
			(void)ppoll(fds, SI_PORTS, &nap, NULL);
	}
	return NULL;
}

doca_error_t si_nic_start(void)
{
	sigset_t all, before;
	char why[160] = "";
	int error;

	/* The device keeps PSP packets from the kernel; here the kernel must be kept from answering them. */
	if (soft_port_sink_open(nic.sink, why, sizeof(why)) != 0) {
		(void)fprintf(stderr, "doca-standin: %s\n", why);
		return DOCA_ERROR_DRIVER;
	}
	nic.buffers = calloc(3, BUFFER_LEN);
	if (nic.buffers == NULL)
		return DOCA_ERROR_NO_MEMORY;
	nic.rx = nic.buffers;
	nic.split = nic.rx + BUFFER_LEN;
	nic.spare = nic.split + BUFFER_LEN;
	atomic_store(&nic.stop, false);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&nic.thread, NULL, work, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	nic.running = error == 0;
	return nic.running ? DOCA_SUCCESS : DOCA_ERROR_OPERATING_SYSTEM;
}

/* What was received and not fetched, or transmitted and not sent, goes back to its pool. */
static void drain(struct rte_ring *ring, bool transmitted)
{
	void *mbuf;

	while (rte_ring_dequeue(ring, &mbuf) == 0) {
		if (transmitted)
			si_mbuf_take(mbuf);
		si_mbuf_free(mbuf);
	}
}

void si_nic_stop(void)
{
	atomic_store(&nic.stop, true);
	if (nic.running)
		(void)pthread_join(nic.thread, NULL);
	nic.running = false;
	for (uint32_t i = 0; i < SI_PORTS * SI_QUEUES; i++) {
		struct si_nic_port *port = &si.nic[i / SI_QUEUES];

		if (port->probed) {
			drain(port->rx[i % SI_QUEUES], false);
			drain(port->tx[i % SI_QUEUES], true);
		}
	}
	for (uint32_t i = 0; i < 2; i++) {
		if (nic.sink[i] >= 0)
			(void)close(nic.sink[i]);
		nic.sink[i] = -1;
	}
	free(nic.buffers);
	nic.buffers = NULL;
}
