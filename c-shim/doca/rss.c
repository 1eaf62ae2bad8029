/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setname_np, cpu_set_t */
/*
 * rss.c: what the CPU does with the packets that hardware sends it, and how it sends some on: the readers, one for each
 * processor that is given. Packets are told apart by their mark.
 */
#include "rss.h"

#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../common/net.h"
#include "../psp/wire.h"
#include "dpu.h"
#include "match.h"
#include "port.h"

static void count(struct psp_dp *dp, const struct dp_packet *packet, enum dp_counter counter)
{
	dp_count_own(&dp->base.counters, packet->reader, counter, 1);
}

/* ---- events: exceptions, bad packets, samples ------------------------------------------------ */

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What of a packet is told. */
struct telling {
	const struct psp_dp_event *event;
	const uint8_t *data;
	uint32_t len;
	enum dp_counter lost; /* where there is no room */
};

static void push(struct psp_dp *dp, const struct dp_packet *packet, const struct telling *telling)
{
	if (!dp_events_push(&dp->base.events, telling->event, telling->data, telling->len))
		count(dp, packet, telling->lost);
}

static struct dp_port *port_of(const struct psp_dp *dp, const struct dp_packet *packet)
{
	return &dpu_port(dp, dp_port_slot(packet->handle))->base;
}

static void report_exception(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe)
{
	struct psp_dp_event event;

	if (!dp_gate_pass(&port_of(dp, packet)->exceptions, packet->frame + 6, dp_now_ns())) {
		count(dp, packet, DP_EXCEPTIONS_LIMITED);
		return;
	}
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_EXCEPTION;
	event.packet_len = packet->len;
	push(dp, packet,
	     &(struct telling){.event = &event,
			       .data = packet->frame,
			       .len = least(packet->len, DP_EXCEPTION_BYTES),
			       .lost = DP_EXCEPTIONS_LOST});
	count(dp, packet, DP_EXCEPTIONS);
}

static void report_syndrome(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe,
			    uint32_t syndrome)
{
	struct psp_dp_event event;

	if (!dp_limit_allows(&dp->readers[packet->reader].syndromes, packet->fields.tun_psp_spi,
			     dp_now_ns()))
		return;
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_SYNDROME;
	event.syndrome = (uint8_t)syndrome;
	event.packet_len = packet->len - packet->l3_off;
	push(dp, packet, &(struct telling){.event = &event, .lost = DP_SYNDROMES_LOST});
}

/*
 * Samples have their outer header and PSP header, in clear: on the way out they are copied before encryption, on the
 * way in after decryption. The event has the tenant's packet. Returns where that starts and, in *ip, whether it is
 * an IP packet of its own (tunnel) or the packet itself with UDP and PSP in between (transport).
 */
static uint32_t inner_of(const struct dp_packet *packet, bool *ip)
{
	const uint8_t *psp = packet->frame + packet->payload_off;
	uint32_t room = packet->len - packet->payload_off, size;

	*ip = false;
	if (packet->fields.tun_psp_spi == 0 || room < PSP_HEADER_LEN)
		return packet->l3_off;
	size = 8u + 8u * psp[1];
	if (size < PSP_HEADER_LEN || size >= room)
		return packet->l3_off;
	*ip = psp[0] == PSP_NEXT_IPV4 || psp[0] == PSP_NEXT_IPV6;
	return *ip ? packet->payload_off + size : packet->l3_off;
}

/* The addresses of the tenant's packet, and its length by its own header: behind it stands the ICV. */
static uint32_t read_inner(const uint8_t *ip, uint32_t room, struct psp_dp_event *event)
{
	if (room >= NET_IP4_LEN && ip[0] >> 4 == 4) {
		net_map_v4(event->src, ip + NET_IP4_SRC);
		net_map_v4(event->dst, ip + NET_IP4_DST);
		return least(room, psp_get16(ip + NET_IP4_TOTAL));
	}
	if (room >= NET_IP6_LEN && ip[0] >> 4 == 6) {
		memcpy(event->src, ip + NET_IP6_SRC, 16);
		memcpy(event->dst, ip + NET_IP6_DST, 16);
		return least(room, NET_IP6_LEN + psp_get16(ip + NET_IP6_PLEN));
	}
	return room;
}

static void report_sample(struct psp_dp *dp, const struct dp_packet *packet, uint32_t pipe)
{
	bool ip;
	uint32_t from = inner_of(packet, &ip), len = packet->len - from;
	struct psp_dp_event event;

	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_SAMPLE;
	if (ip)
		len = read_inner(packet->frame + from, len, &event);
	event.packet_len = len;
	count(dp, packet, DP_SAMPLES);
	push(dp, packet,
	     &(struct telling){.event = &event,
			       .data = packet->frame + from,
			       .len = least(len, dp->base.config.sample_bytes),
			       .lost = DP_SAMPLES_LOST});
}

/* ---- what the CPU sends ---------------------------------------------------------------------- */

/*
 * Packets leave through the switch port, where the transmit root finds their way by their mark. A buffer that
 * rte_eth_tx_burst() has taken is DPDK's and never touched again; one that it has not is freed here.
 */

#define TX_TRIES 10u
#define TX_NAP_NS 50000

/* False: the queue stays full. */
static bool transmit(struct psp_dp *dp, uint16_t queue, struct rte_mbuf *mbuf)
{
	const uint16_t id = dp->ids[DPU_UPLINK];

	for (uint32_t i = 0; i < TX_TRIES; i++) {
		if (i > 0)
			nanosleep(&(struct timespec){.tv_nsec = TX_NAP_NS}, NULL);
		if (rte_eth_tx_burst(id, queue, &mbuf, 1) == 1)
			return true;
	}
	rte_pktmbuf_free(mbuf);
	return false;
}

/* A buffer with a copy of a frame and a mark, with a tag behind the MACs unless vlan is 0. NULL: none is free. */
static struct rte_mbuf *fill_mbuf(struct psp_dp *dp, const uint8_t *frame, uint32_t len,
				  uint16_t vlan, uint32_t mark)
{
	uint32_t tag = vlan != 0 ? NET_VLAN_LEN : 0;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(dp->nic->pool);
	char *to;

	if (mbuf == NULL)
		return NULL;
	to = len + tag <= UINT16_MAX ? rte_pktmbuf_append(mbuf, (uint16_t)(len + tag)) : NULL;
	if (to == NULL) {
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	memcpy(to, frame, NET_ETH_TYPE);
	if (tag != 0) {
		psp_put16((uint8_t *)to + NET_ETH_TYPE, NET_TYPE_VLAN);
		psp_put16((uint8_t *)to + NET_ETH_TYPE + 2, vlan);
	}
	memcpy(to + NET_ETH_TYPE + tag, frame + NET_ETH_TYPE, len - NET_ETH_TYPE);
	rte_flow_dynf_metadata_set(mbuf, mark);
	mbuf->ol_flags |= rte_flow_dynf_metadata_mask;
	return mbuf;
}

/* Sends a packet on at a pipe that sends its misses to the CPU. */
static void resubmit(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet)
{
	struct rte_mbuf *mbuf = fill_mbuf(
		dp, packet->frame, packet->len, 0,
		dpu_mark(DPU_MARK_RESUBMIT, dp_port_slot(packet->handle), dp_pipe_index(pipe)));

	if (mbuf == NULL || !transmit(dp, packet->reader, mbuf))
		dp_count_own(&dp->base.counters, packet->reader, DP_UPLINK_TX_BUSY, 1);
}

/* Out by a host port. False: its queue stays full, or no buffer is free. */
static bool send_to_host(struct psp_dp *dp, const struct dp_port *to,
			 const struct dp_packet *packet)
{
	struct rte_mbuf *mbuf = fill_mbuf(dp, packet->frame, packet->len, to->desc.vlan,
					  dpu_mark(DPU_MARK_INJECT, dpu_port_number(to), 0));

	return mbuf != NULL && transmit(dp, packet->reader, mbuf);
}

int32_t plane_inject(struct psp_dp *dp, struct dp_port *to, const uint8_t *frame, uint32_t len)
{
	uint16_t vlan;
	struct rte_mbuf *mbuf;
	bool sent = false;

	vlan = to->desc.vlan;
	pthread_mutex_lock(&dp->nic->inject_lock);
	mbuf = fill_mbuf(dp, frame, len, vlan, dpu_mark(DPU_MARK_INJECT, dpu_port_number(to), 0));
	if (mbuf != NULL)
		sent = transmit(dp, (uint16_t)dp->n_readers, mbuf);
	pthread_mutex_unlock(&dp->nic->inject_lock);
	if (!sent)
		return dp_fail(dp, PSP_DP_EIO, "Cannot inject into port %u: %s", to->handle,
			       mbuf == NULL ? "no packet buffer is free, or it is too long"
					    : "its queue is full");
	return 0;
}

/* ---- packets that hardware encapsulates next ------------------------------------------------- */

/* Those of the detours, and those that were held and are released. Answers as the soft plane does where it seals (soft/run.c). */

/* The actions of the entry that hardware finds for a packet's addresses and port. False: none encapsulates it. */
static bool find_tunnel(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
			struct psp_dp_actions *encap)
{
	struct dp_rule rule;

	if (!dpu_rule_find(dp, pipe, packet, &rule) ||
	    (rule.actions.flags & PSP_DP_ACTION_ENCAP) == 0)
		return false;
	*encap = rule.actions;
	return true;
}

static void report_too_big(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
			   const struct psp_dp_actions *encap, uint32_t max_inner)
{
	uint32_t len = packet->len - packet->l3_off;
	struct psp_dp_event event;

	dp_count_own(&dp->base.counters, packet->reader, DP_TOO_BIG, 1);
	if (!dp_limit_allows(&dp->readers[packet->reader].too_bigs, dp_flow_hash(packet),
			     dp_now_ns()))
		return;
	dp_event_describe(&event, packet, pipe);
	event.type = PSP_DP_EVENT_TOO_BIG;
	event.spi = psp_get32(encap->encap_data + dp_encap_psp(encap) + 4);
	event.packet_len = len;
	event.mtu = max_inner;
	if (!dp_events_push(&dp->base.events, &event, packet->frame + packet->l3_off,
			    len < DP_TOO_BIG_BYTES ? len : DP_TOO_BIG_BYTES))
		dp_count_own(&dp->base.counters, packet->reader, DP_EXCEPTIONS_LOST, 1);
}

/* Before a packet is sent on at a pipe: lowers its MSS; false: it is too big, which is counted and reported. */
static bool inspect(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet)
{
	struct psp_dp_actions encap;
	uint32_t max_ip = atomic_load_explicit(&dp->max_ip, memory_order_relaxed);
	uint32_t overhead, max_inner;

	/* Without a tunnel it misses, waits for one, and comes here again when it is released. */
	if (!find_tunnel(dp, pipe, packet, &encap))
		return true;
	overhead = dp_overhead(&encap);
	max_ip = dp_max_ip(&encap, max_ip);
	max_inner = max_ip > overhead ? max_ip - overhead : 0;
	if (dp->base.config.mss_clamp != 0 && dp_mss_clamp(packet, max_inner))
		dp_count_own(&dp->base.counters, packet->reader, DP_MSS_CLAMPED, 1);
	if (packet->len - packet->l3_off <= max_inner)
		return true;
	report_too_big(dp, pipe, packet, &encap, max_inner);
	return false;
}

/* ---- packets that run again at a pipe -------------------------------------------------------- */

/*
 * Those that were held and are released, and those of the detours. They enter by the transmit root, at the pipe that
 * encapsulates.
 *
 * From one workload of this host to another, packets meet a pipe of the default domain in front of that one, whose
 * misses it gets. Nothing comes back there from the egress domains, so what is local the CPU itself sends on.
 */

static void send_local(struct psp_dp *dp, const struct dp_port *to, const struct dp_packet *packet)
{
	if (!send_to_host(dp, to, packet)) {
		dp_count_own(&dp->base.counters, packet->reader, DP_HOST_TX_BUSY, 1);
		return;
	}
	dp_count_own(&dp->base.counters, packet->reader, DP_HOST_TX_PACKETS, 1);
	dp_count_own(&dp->base.counters, packet->reader, DP_LOCAL_PACKETS, 1);
}

static bool take_local(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet)
{
	uint32_t front =
		atomic_load_explicit(&dp->front_ids[dp_pipe_index(pipe)], memory_order_acquire);
	struct dp_rule rule;

	if (front == 0 || !dpu_rule_find(dp, front, packet, &rule))
		return false;
	if (rule.fwd.type == PSP_DP_FWD_PORT &&
	    dp_route(packet, rule.actions.eth_dst, rule.actions.eth_src))
		send_local(dp, rule.fwd.port, packet);
	else
		report_exception(dp, packet, front);
	return true;
}

/* Sends a packet on from a pipe that encapsulates, or to a workload of this host. */
static void run_again(struct psp_dp *dp, uint32_t pipe, struct dp_packet *packet)
{
	if (!take_local(dp, pipe, packet) && inspect(dp, pipe, packet))
		resubmit(dp, pipe, packet);
}

static void release(struct psp_dp *dp, struct dp_held *held)
{
	uint32_t index = dp_pipe_index(held->pipe);

	/* Its pipe may have gone in the meantime. */
	if (atomic_load_explicit(&dp->pipe_ids[index], memory_order_acquire) != held->pipe) {
		dp_count_own(&dp->base.counters, held->packet.reader, DP_DROP_SHUTDOWN,
			     held->segments);
		return;
	}
	dp_count_own(&dp->base.counters, held->packet.reader, DP_HELD_RELEASED, held->segments);
	/* Its tunnel is there now, if it ever is, or its workload. */
	run_again(dp, held->pipe, &held->packet);
}

/* The same for what was released. True: there was something. */
static bool send_released(struct psp_dp *dp, uint16_t reader)
{
	struct dp_held *chain;
	bool any = false;

	if (!dp_hold_is_releasing(&dp->base.hold))
		return false;
	while ((chain = dp_hold_next_read(&dp->base.hold, reader)) != NULL) {
		any = true;
		while (chain != NULL) {
			struct dp_held *held = chain;

			chain = held->next;
			release(dp, held);
			dp_held_free(held);
		}
	}
	return any;
}

/* ---- what comes ------------------------------------------------------------------------------ */

/*
 * A received buffer is ours until it is freed here: what is held is a copy, so a flood of misses is bounded by the hold
 * and never empties the pool.
 */

#define BURST_MAX 64u

/* By its mark; a packet whose pipe is gone, or that no pipe of ours sent, ends here. */
static void handle(struct psp_dp *dp, uint32_t mark, struct dp_packet *packet)
{
	uint32_t argument = dpu_mark_argument(mark);
	uint32_t pipe =
		atomic_load_explicit(&dp->pipe_ids[dpu_mark_pipe(mark)], memory_order_acquire);
	const uint32_t number = dpu_mark_kind(mark) == DPU_MARK_SYNDROME || argument >= dp->n_ports
					? DPU_UPLINK
					: argument;
	const struct dp_port *port = &dpu_port(dp, number)->base;
	const bool from_host = number != DPU_UPLINK;

	packet->port = (uint8_t)port->desc.kind;
	packet->handle = port->handle;
	packet->network = port->desc.network;
	if (!dp_parse(packet)) {
		count(dp, packet, from_host ? DP_HOST_MALFORMED : DP_UPLINK_MALFORMED);
		return;
	}
	if (pipe == 0) {
		count(dp, packet, from_host ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
		return;
	}
	switch (dpu_mark_kind(mark)) {
	case DPU_MARK_MISS:
		/* Only what came from the host waits: it is clear text as it was, and can be sent again. */
		if (!from_host || packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE)
			count(dp, packet, from_host ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
		else
			dp_hold_add(&dp->base.hold, pipe, packet, &dpu_port(dp, number)->base.hold,
				    dp_now_ns());
		break;
	case DPU_MARK_INSPECT:
		run_again(dp, pipe, packet);
		break;
	case DPU_MARK_EXCEPTION:
		report_exception(dp, packet, pipe);
		break;
	case DPU_MARK_SAMPLE:
		report_sample(dp, packet, pipe);
		break;
	case DPU_MARK_SYNDROME:
		report_syndrome(dp, packet, pipe, argument);
		break;
	default:
		count(dp, packet, DP_DROP_PIPE);
		break;
	}
}

static uint32_t mark_of(struct rte_mbuf *mbuf)
{
	return (mbuf->ol_flags & rte_flow_dynf_metadata_mask) != 0
		       ? rte_flow_dynf_metadata_get(mbuf)
		       : 0;
}

/* A tag that the workload's port or the uplink left on is not part of what the agent sees. */
static void strip_tag(uint8_t **frame, uint32_t *len)
{
	if (*len < NET_ETH_LEN + NET_VLAN_LEN || psp_get16(*frame + NET_ETH_TYPE) != NET_TYPE_VLAN)
		return;
	memmove(*frame + NET_VLAN_LEN, *frame, NET_ETH_TYPE);
	*frame += NET_VLAN_LEN;
	*len -= NET_VLAN_LEN;
}

/* One round over a reader's queue of a class; how many packets there were. */
static uint32_t receive(struct psp_dp *dp, uint16_t reader, uint16_t class, uint16_t most)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(dp->ids[DPU_UPLINK], dpu_queue(reader, class), mbufs,
				      most < BURST_MAX ? most : BURST_MAX);

	for (uint16_t i = 0; i < n; i++) {
		uint32_t mark = mark_of(mbufs[i]);
		struct dp_packet packet;

		/* Whatever becomes of it: what did not come here is lost. See counters.c. */
		if (dpu_mark_kind(mark) == DPU_MARK_INSPECT)
			atomic_fetch_add_explicit(&dp->inspected, 1, memory_order_relaxed);
		memset(&packet, 0, sizeof(packet));
		packet.reader = reader;
		if (rte_pktmbuf_linearize(mbufs[i]) == 0) {
			packet.frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
			packet.len = rte_pktmbuf_data_len(mbufs[i]);
			strip_tag(&packet.frame, &packet.len);
			handle(dp, mark, &packet);
		} else {
			count(dp, &packet, DP_PORT_ERRORS);
		}
		rte_pktmbuf_free(mbufs[i]);
	}
	return n;
}

/* ---- the readers ----------------------------------------------------------------------------- */

/* Each has queues and a processor of its own; a flow's packets come to one of them, which also sends on what was held of it. */

#define BURST_TRUSTED 32u
#define BURST_HOSTILE 8u  /* what the network sends must not starve the workloads */
#define BURST_DETOUR 8u   /* nor one workload the others */
#define SPINS 2000u       /* rounds without a packet before it naps */
#define LOOK_ROUNDS 1024u /* between looks at the clock while there are packets */
#define NAP_NS 50000
#define TICK_NS UINT64_C(100000000)

/* Its own of the processors that may be used; more readers than those share them. */
static void settle_down(const struct dpu_reader *reader)
{
	const struct dpu_options *options = &reader->dp->options;
	char name[16];
	cpu_set_t cpus;

	(void)snprintf(name, sizeof(name), "psp-poll-%u", reader->index);
	(void)pthread_setname_np(pthread_self(), name);
	CPU_ZERO(&cpus);
	CPU_SET((size_t)options->core[reader->index % options->n_cores], &cpus);
	/* A core that is not ours to have: it runs wherever it may. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

/* Limits of keys, without ever waiting for the agent. */
static void tick(struct psp_dp *dp, uint64_t *last_ns)
{
	uint64_t now = dp_now_ns();

	if (now - *last_ns < TICK_NS || pthread_mutex_trylock(&dp->base.writer) != 0)
		return;
	*last_ns = now;
	dpu_slots_expire(dp);
	dp_unlock(dp);
}

static void *read_queues(void *arg)
{
	struct dpu_reader *reader = arg;
	struct psp_dp *dp = reader->dp;
	const uint16_t index = (uint16_t)reader->index;
	uint64_t last_tick = dp_now_ns();
	/* With an identity of DPDK's the thread has a cache of buffers of its own. */
	bool registered = rte_thread_register() == 0, ticks = index == 0;
	uint32_t idle = 0, rounds = 0;

	settle_down(reader);
	while (!atomic_load_explicit(&dp->stop, memory_order_acquire)) {
		uint32_t n = receive(dp, index, DPU_CLASS_TRUSTED, BURST_TRUSTED);

		n += receive(dp, index, DPU_CLASS_HOSTILE, BURST_HOSTILE);
		n += receive(dp, index, DPU_CLASS_DETOUR, BURST_DETOUR);
		if (send_released(dp, index))
			n++;
		idle = n > 0 ? 0 : idle + 1;
		/* Traffic that never ends must not keep a key alive. */
		if (++rounds % LOOK_ROUNDS == 0 && ticks)
			tick(dp, &last_tick);
		if (idle < SPINS)
			continue;
		atomic_fetch_add_explicit(&reader->rests, 1, memory_order_release);
		if (ticks)
			tick(dp, &last_tick);
		nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	}
	if (registered)
		rte_thread_unregister();
	return NULL;
}

int32_t plane_start(struct psp_dp *dp)
{
	sigset_t all, before;
	int error = 0;

	/* Signals are the program's: its threads, not these, take them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; error == 0 && i < dp->n_readers; i++) {
		struct dpu_reader *reader = &dp->readers[i];

		error = pthread_create(&reader->thread, NULL, read_queues, reader);
		reader->runs = error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return 0;
	plane_stop(dp);
	return dp_fail(dp, PSP_DP_ENOMEM, "Cannot start plane: no thread to poll");
}

void plane_stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	for (uint32_t i = 0; i < dp->n_readers; i++) {
		struct dpu_reader *reader = &dp->readers[i];

		if (reader->runs)
			(void)pthread_join(reader->thread, NULL);
		reader->runs = false;
	}
}

/* The readers look by themselves. */
void plane_released(struct psp_dp *dp)
{
	(void)dp;
}
