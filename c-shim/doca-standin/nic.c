/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* ppoll, pthread_setname_np */
/*
 * nic.c: the NIC: one thread that takes what comes from the interfaces, and what the program transmits, from pipe to
 * pipe, to a port, to the program, or to its end. A super-frame of the kernel is several packets here, each with its
 * checksum complete: hardware has no others.
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
#define SEND_TRIES 20u

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

static void to_wire(struct si_walk *walk, uint16_t port_id)
{
	struct si_nic_port *port = si_nic_port_of(port_id);
	struct dp_packet frame = {.frame = walk->packet.frame, .len = si_len(walk)};
	const struct timespec nap = {.tv_nsec = NAP_NS};
	bool busy;

	frame.vlan_tci = walk->packet.vlan_tci;
	if (walk->sealed_room && frame.vlan_tci != 0)
		put_tag(&frame);
	if (port == NULL)
		return;
	/* A NIC has a queue to the wire. What does not fit, or finds no room for 5 ms, is lost as on any wire. */
	for (uint32_t i = 0; i < SEND_TRIES; i++) {
		busy = false;
		if (soft_port_send(port->wire, &frame, &busy) == 0 || !busy)
			return;
		(void)nanosleep(&nap, NULL);
	}
}

static void to_program(const struct si_walk *walk, uint16_t queue)
{
	struct si_nic_port *port = &si.nic[SI_SWITCH];
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

/* ---- pipes ----------------------------------------------------------------------------------- */

/* Each flow has its queue: packets of the kinds that are named, by their addresses. Others come to the first. */
static uint16_t queue_of(const struct si_walk *walk, const struct si_fwd *fwd)
{
	const struct psp_dp_match *fields = &walk->packet.fields;
	const uint32_t kind =
		fields->parser_meta_outer_l3_type == PSP_DP_L3_IPV4   ? DOCA_FLOW_RSS_IPV4
		: fields->parser_meta_outer_l3_type == PSP_DP_L3_IPV6 ? DOCA_FLOW_RSS_IPV6
								      : 0;
	uint32_t hash = 0;

	if ((fwd->spreads & kind) == 0)
		return fwd->queues[0];
	for (uint32_t i = 0; i < sizeof(fields->outer_ip_src); i++)
		hash = hash * 31u + (fields->outer_ip_src[i] ^ fields->outer_ip_dst[i]);
	return fwd->queues[hash % fwd->n_queues];
}

static void run(struct si_walk *walk, struct doca_flow_pipe *pipe);
static struct doca_flow_pipe *follow(struct si_walk *walk, const struct si_fwd *fwd);

/* A copy has a frame of its own. */
static void run_copy(const struct si_walk *walk, const struct si_fwd *fwd)
{
	static const uint32_t room = DP_HEADROOM + DP_FRAME_MAX + PSP_ICV_LEN;
	struct si_walk copy = *walk;
	uint8_t *buffers = malloc(2u * (size_t)room);

	if (buffers == NULL)
		si_die("the stand-in is out of memory");
	copy.buf = buffers;
	copy.spare = buffers + room;
	copy.packet.frame = copy.buf + DP_HEADROOM;
	memcpy(copy.packet.frame, walk->packet.frame, si_len(walk));
	run(&copy, follow(&copy, fwd));
	free(buffers);
}

/* To all entries: the packet itself takes the first. */
static struct doca_flow_pipe *flood(struct si_walk *walk, const struct doca_flow_pipe *pipe)
{
	const struct doca_flow_pipe_entry *first = NULL;

	for (uint32_t i = 0; i < pipe->cfg.nr_entries; i++) {
		struct doca_flow_pipe_entry *entry = pipe->slots[i];

		if (entry == NULL)
			continue;
		if (entry->rule.count)
			si_count_add(&entry->count, si_len(walk));
		if (first != NULL)
			run_copy(walk, &entry->rule.fwd);
		else
			first = entry;
	}
	return first != NULL ? follow(walk, &first->rule.fwd) : NULL;
}

static struct doca_flow_pipe *missed(struct si_walk *walk, struct doca_flow_pipe *pipe)
{
	si_count_add(&pipe->misses, si_len(walk));
	/* The kernel has its copy already, whether it is the default or isolated mode that leaves it the packet. */
	if (pipe->cfg.is_root && pipe->miss.type == DOCA_FLOW_FWD_NONE &&
	    pipe->cfg.port->misses_to_kernel)
		si.live.default_missed++;
	return follow(walk, &pipe->miss);
}

static bool misses_undecrypted(const struct si_walk *walk, const struct doca_flow_pipe *pipe,
			       const struct si_rule *rule)
{
	return pipe->cfg.type == DOCA_FLOW_PIPE_ORDERED_LIST &&
	       rule->actions.crypto.action_type == DOCA_FLOW_CRYPTO_ACTION_DECRYPT &&
	       walk->packet.fields.parser_meta_psp_syndrome != PSP_DP_SYNDROME_OK &&
	       si_strict(DOCA_STANDIN_DECRYPT_MISS);
}

static struct doca_flow_pipe *hit(struct si_walk *walk, struct doca_flow_pipe *pipe,
				  struct doca_flow_pipe_entry *entry)
{
	if (entry == NULL)
		return missed(walk, pipe);
	if (entry->rule.count)
		si_count_add(&entry->count, si_len(walk));
	if (!si_act(walk, &entry->rule))
		return NULL;
	if (misses_undecrypted(walk, pipe, &entry->rule))
		return missed(walk, pipe);
	if (entry->rule.mirror != 0)
		run_copy(walk, &si.mirrors[entry->rule.mirror].copy);
	return follow(walk, &entry->rule.fwd);
}

static struct doca_flow_pipe *follow(struct si_walk *walk, const struct si_fwd *fwd)
{
	switch (fwd->type) {
	case DOCA_FLOW_FWD_PIPE:
		return fwd->pipe;
	case DOCA_FLOW_FWD_ORDERED_LIST_PIPE:
		return hit(walk, fwd->pipe, fwd->pipe->slots[fwd->at]);
	case DOCA_FLOW_FWD_HASH_PIPE:
		return flood(walk, fwd->pipe);
	case DOCA_FLOW_FWD_PORT:
		if (!walk->encrypts || si_encrypt(walk))
			to_wire(walk, fwd->port_id);
		return NULL;
	case DOCA_FLOW_FWD_RSS:
		to_program(walk, queue_of(walk, fwd));
		return NULL;
	default:
		/* The kernel has its copy already; the rest is dropped. */
		return NULL;
	}
}

static void run(struct si_walk *walk, struct doca_flow_pipe *pipe)
{
	while (pipe != NULL && walk->hops++ < SI_HOPS_MAX)
		pipe = hit(walk, pipe, si_lookup(pipe, walk));
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
	if (si_strict(DOCA_STANDIN_META) && dp_random(walk->u32, sizeof(walk->u32)) != 0)
		si_die("the kernel gives no random octets");
	run(walk, root);
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

	while (n < BATCH && soft_port_recv(port->wire, nic.rx, BUFFER_LEN, &packet, 1) == 1) {
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
		fds[i] = (struct pollfd){.fd = si.nic[i].probed ? soft_port_fd(si.nic[i].wire) : -1,
					 .events = POLLIN};
	while (!atomic_load(&nic.stop)) {
		bool busy = transmit(&si.nic[SI_SWITCH]);

		for (uint32_t i = 0; i < SI_PORTS; i++)
			busy = (atomic_load(&si.nic[i].started) && receive(&si.nic[i])) || busy;
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

	while (ring != NULL && rte_ring_dequeue(ring, &mbuf) == 0) {
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
