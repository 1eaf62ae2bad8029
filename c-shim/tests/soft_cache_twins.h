/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_cache_twins.h: two planes between ports that are memory, one with the cache of flows and one without, which a script
 * of octets does the same to: pipes and entries come, change and go, packets and super-frames come in by each port, what was
 * sealed comes back, held packets are released. Both must send the same octets, count the same and report the same. Nothing
 * runs in a thread: each step is taken here, in the worker's place.
 */
#ifndef PSP_SOFT_CACHE_TWINS_H
#define PSP_SOFT_CACHE_TWINS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench/plane/memory_port.h"
#include "soft_engine_graph.h"

#define TWINS_PORTS 3u /* the uplink and two host ports */
#define TWINS_KEPT 96u
#define TWINS_PIPES 6u
#define TWINS_ENTRIES 64u
#define TWINS_TUNNELS 4u
#define TWINS_BATCH 8u
#define TWINS_FLOWS 16u
#define TWINS_EVENTS (64u << 10)
#define TWINS_FRAME 2048u
#define TWINS_START_NS UINT64_C(1000000000000)

struct twin {
	struct net_side net;
	struct graph graph;
	struct soft_worker *worker;
	struct soft_port *port[TWINS_PORTS]; /* by handle - 1 */
	struct memory_frame kept[TWINS_PORTS][TWINS_KEPT];
	struct tunnel tunnel[TWINS_TUNNELS];
	uint8_t events[TWINS_EVENTS];
	uint32_t events_len;
};

struct twins {
	struct twin twin[2]; /* with the cache, and without */
	const uint8_t *script;
	size_t left;
	uint64_t now_ns;
	/* The same in both. */
	uint32_t pipe[TWINS_PIPES];
	uint32_t entry[TWINS_ENTRIES];
	uint32_t flow[TWINS_FLOWS], n_flows;
	const char *differ; /* what was not the same; NULL: nothing */
};

#define TWINS_EACH(twins, t) for (struct twin *t = (twins)->twin; t < (twins)->twin + 2; t++)

static inline uint8_t twins_octet(struct twins *twins)
{
	if (twins->left == 0)
		return 0;
	twins->left--;
	return *twins->script++;
}

static inline bool twins_say(struct twins *twins, const char *what)
{
	if (twins->differ == NULL)
		twins->differ = what;
	return false;
}

/* ---- made and freed --------------------------------------------------------------------------- */

static inline bool twin_open(struct twin *t, bool with_cache)
{
	struct psp_dp_config config = {.size = sizeof(config), .workers = 1};
	struct psp_dp_port_desc ports[TWINS_PORTS] = {port_desc(PSP_DP_PORT_UPLINK, "memory-0"),
						      port_desc(PSP_DP_PORT_HOST, "memory-1"),
						      port_desc(PSP_DP_PORT_HOST, "memory-2")};
	const struct psp_dp_rate none = {PSP_DP_RATE_NONE, 0};
	char err[256];

	for (uint32_t i = 0; i < TWINS_PORTS; i++) {
		ports[i].guard = PSP_DP_GUARD_NEVER;
		ports[i].miss = ports[i].miss_per_mac = none;
		ports[i].exception = ports[i].exception_per_mac = none;
	}
	if (psp_dp_open(&config, ports, TWINS_PORTS, &t->net.dp, err, sizeof(err)) != 0)
		return false;
	t->net.dp->without_cache = !with_cache;
	t->worker = t->net.dp->workers[0];
	memcpy(t->net.vip, (uint8_t[]){10, 0, 0, 1}, 4);
	memcpy(t->net.pip, (uint8_t[]){192, 0, 2, 1}, 4);
	for (uint32_t i = 0; i < TWINS_PORTS; i++) {
		struct dp_port *port = dp_port_find(&t->net.dp->base.ports, i + 1);

		t->port[i] = soft_link(port)->port;
		for (uint32_t k = 0; k < TWINS_KEPT; k++) {
			t->kept[i][k].octets = malloc(DP_HEADROOM + DP_FRAME_MAX);
			if (t->kept[i][k].octets == NULL)
				return false;
		}
		memory_port_keep(t->port[i], t->kept[i], TWINS_KEPT);
	}
	return true;
}

static inline void twin_close(struct twin *t)
{
	if (t->net.dp != NULL && psp_dp_close(t->net.dp) != 0)
		abort();
	for (uint32_t i = 0; i < TWINS_PORTS; i++) {
		for (uint32_t k = 0; k < TWINS_KEPT; k++)
			free(t->kept[i][k].octets);
	}
}

/* What each draws for itself, the other has too. */
static inline void twins_equal(struct twins *twins)
{
	const struct twin *a = &twins->twin[0];
	const struct psp_dp *from = a->net.dp;
	struct soft_master *master = atomic_load(&from->keys.master);
	struct psp_dp *to = twins->twin[1].net.dp;
	struct soft_worker *w = twins->twin[1].worker;

	memcpy(atomic_load(&to->keys.master)->key, master->key, sizeof(master->key));
	to->keys.spi_start = from->keys.spi_start;
	w->rng = a->worker->rng;
	w->syndromes.seed = a->worker->syndromes.seed;
	w->too_bigs.seed = a->worker->too_bigs.seed;
	w->path_mtus.seed = a->worker->path_mtus.seed;
	w->sources.seed = a->worker->sources.seed;
}

/* A tunnel to vip 11.0.0.n and back. */
static inline bool twin_tunnel(struct twin *t, uint32_t n)
{
	struct net_side far = t->net;

	memcpy(far.vip, (uint8_t[]){11, 0, 0, (uint8_t)n}, 4);
	return graph_receive(&t->net, &far, &t->graph, n % 2, &t->tunnel[n]) &&
	       graph_transmit(&t->net, &far, &t->graph, n + 1, &t->tunnel[n]);
}

static inline bool twins_open(struct twins *twins)
{
	const uint8_t first = twins_octet(twins);
	const int bits = (first & 1) != 0 ? (first >> 1 & 1) : -1;

	if (!twin_open(&twins->twin[0], true) || !twin_open(&twins->twin[1], false))
		return false;
	twins_equal(twins);
	twins->now_ns = TWINS_START_NS;
	TWINS_EACH(twins, t)
	{
		t->worker->max_ip = 1500;
		/* One set is soon full: flows push out one another, in the middle of a packet's way, too. */
		if ((first & 4) != 0)
			t->worker->cache.mask = 0;
		if (!graph_build(t->net.dp, &t->graph, bits))
			return false;
		/* The last one's flow is not known: its packets are held. */
		for (uint32_t i = 0; i + 1 < TWINS_TUNNELS; i++) {
			if (!twin_tunnel(t, i))
				return false;
		}
	}
	return true;
}

/* ---- what both must agree in ------------------------------------------------------------------ */

static inline bool same_frame(const struct memory_frame *a, const struct memory_frame *b)
{
	return a->packet.len == b->packet.len && a->packet.gso == b->packet.gso &&
	       a->packet.gso_size == b->packet.gso_size &&
	       a->packet.needs_csum == b->packet.needs_csum &&
	       a->packet.csum_start == b->packet.csum_start &&
	       a->packet.csum_offset == b->packet.csum_offset &&
	       memcmp(a->octets, b->octets, a->packet.len) == 0;
}

static inline void twins_compare_frames(struct twins *twins)
{
	const struct twin *a = &twins->twin[0], *b = &twins->twin[1];

	for (uint32_t i = 0; i < TWINS_PORTS; i++) {
		const uint32_t n = memory_port_kept(a->port[i]);

		if (memory_port_kept(b->port[i]) != n)
			(void)twins_say(twins, "the number of frames");
		for (uint32_t k = 0; twins->differ == NULL && k < n; k++) {
			if (!same_frame(&a->kept[i][k], &b->kept[i][k]))
				(void)twins_say(twins, "a frame");
		}
	}
}

static inline void twins_compare_counters(struct twins *twins)
{
	for (uint32_t i = 0; i < DP_COUNTER_COUNT; i++) {
		const uint64_t a = dp_counter_sum(&twins->twin[0].net.dp->base.counters, i);
		const uint64_t b = dp_counter_sum(&twins->twin[1].net.dp->base.counters, i);

		if (a != b)
			(void)twins_say(twins, "a counter");
	}
}

/* Also finds the flows that were held. */
static inline void twins_compare_events(struct twins *twins)
{
	const struct twin *a = &twins->twin[0], *b = &twins->twin[1];

	TWINS_EACH(twins, t)
	{
		if (psp_dp_event_wait(t->net.dp, t->events, TWINS_EVENTS, 0, &t->events_len) != 0)
			(void)twins_say(twins, "the events' status");
	}
	if (a->events_len != b->events_len) {
		(void)twins_say(twins, "the events' length");
		return;
	}
	for (uint32_t at = 0; at < a->events_len;) {
		struct psp_dp_event x, y;

		memcpy(&x, a->events + at, sizeof(x));
		memcpy(&y, b->events + at, sizeof(y));
		x.time_ns = y.time_ns = 0;
		if (memcmp(&x, &y, sizeof(x)) != 0 ||
		    memcmp(a->events + at + sizeof(x), b->events + at + sizeof(x), x.data_len) !=
			    0) {
			(void)twins_say(twins, "an event");
			return;
		}
		if (x.type == PSP_DP_EVENT_MISS)
			twins->flow[twins->n_flows++ % TWINS_FLOWS] = x.flow;
		at += x.record_size;
	}
}

static inline void same_stats(struct twins *twins, const struct psp_dp_stats stats[2],
			      const int32_t status[2])
{
	if (status[0] != status[1] ||
	    (status[0] == 0 && memcmp(&stats[0], &stats[1], sizeof(stats[0])) != 0))
		(void)twins_say(twins, "what an entry or a pipe has counted");
}

/* ids: of both, entries or pipes. */
static inline void twins_compare_stats(struct twins *twins, uint32_t id, bool entry)
{
	struct psp_dp_stats stats[2];
	int32_t status[2];

	for (uint32_t i = 0; i < 2; i++) {
		struct psp_dp *dp = twins->twin[i].net.dp;

		stats[i] = (struct psp_dp_stats){.size = sizeof(stats[i])};
		status[i] = entry ? psp_dp_entry_query(dp, id, &stats[i])
				  : psp_dp_pipe_query(dp, id, &stats[i]);
	}
	same_stats(twins, stats, status);
}

static inline void twins_compare_all(struct twins *twins)
{
	const struct twin *a = &twins->twin[0];
	const uint32_t pipes[] = {a->graph.root,      a->graph.egr_acl,   a->graph.egr_samp,
				  a->graph.encrypt,   a->graph.decrypt,   a->graph.ingr_acl,
				  a->graph.ingr_samp, a->graph.synd_stats};

	for (uint32_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++)
		twins_compare_stats(twins, pipes[i], false);
	for (uint32_t i = 0; i < TWINS_PIPES; i++)
		twins_compare_stats(twins, twins->pipe[i], false);
	for (uint32_t i = 0; i < TWINS_ENTRIES; i++)
		twins_compare_stats(twins, twins->entry[i], true);
	for (uint32_t i = 0; i < TWINS_TUNNELS; i++) {
		twins_compare_stats(twins, a->tunnel[i].egr_acl, true);
		twins_compare_stats(twins, a->tunnel[i].ingr_acl, true);
		twins_compare_stats(twins, a->tunnel[i].encrypt, true);
	}
}

/* ---- packets ---------------------------------------------------------------------------------- */

static inline void twins_begin(struct twins *twins)
{
	twins->now_ns += 400000000;
	TWINS_EACH(twins, t)
	{
		t->worker->now_ns = twins->now_ns;
		soft_rcu_online(&t->net.dp->rcu, 0);
	}
}

static inline void twins_end(struct twins *twins)
{
	TWINS_EACH(twins, t)
	{
		soft_flush(t->worker);
		soft_rcu_quiescent(&t->net.dp->rcu, 0);
		soft_rcu_offline(&t->net.dp->rcu, 0);
	}
	twins_compare_frames(twins);
	twins_compare_counters(twins);
	twins_compare_events(twins);
}

/* What was kept before a batch is not what comes of it. */
static inline void twins_keep(struct twins *twins)
{
	TWINS_EACH(twins, t)
	{
		for (uint32_t i = 0; i < TWINS_PORTS; i++)
			memory_port_keep(t->port[i], t->kept[i], TWINS_KEPT);
	}
}

/* The same frames to both; each has as many octets in front as the engine wants. */
static inline void twins_run(struct twins *twins, uint32_t handle, const struct memory_frame *f,
			     uint32_t n)
{
	TWINS_EACH(twins, t)
	{
		struct dp_port *port = dp_port_find(&t->net.dp->base.ports, handle);

		t->worker->link = soft_link(port);
		for (uint32_t i = 0; i < n; i++) {
			struct dp_packet *packet = &t->worker->packets[i];

			*packet = f[i].packet;
			packet->port = (uint8_t)port->desc.kind;
			packet->handle = (uint16_t)handle;
			packet->network = port->desc.network;
			packet->frame =
				t->worker->rx_buf + (size_t)i * SOFT_FRAME_OCTETS + DP_HEADROOM;
			memcpy(packet->frame, f[i].octets, packet->len);
		}
		soft_run(t->worker, n);
	}
}

/* Three octets of the script: where to, what, from whom. */
static inline void twins_frame(struct twins *twins, struct memory_frame *f)
{
	/* Twice as often where there is a tunnel. */
	static const uint8_t vips[8] = {0, 1, 2, 3, 0, 1, 2, 4};
	const uint8_t to = twins_octet(twins), what = twins_octet(twins), from = twins_octet(twins);
	const bool tcp = (what & 1) != 0, super = tcp && (what & 2) != 0, v6 = (what & 12) == 4;
	const uint32_t payload = super ? 3u * 100u - (to >> 6) : 8u + (what >> 4) * 90u;
	const uint32_t head = tcp ? NET_TCP_LEN : NET_UDP_LEN;
	const uint32_t ip_len = v6 ? NET_IP6_LEN : NET_IP4_LEN;
	const uint8_t proto = tcp ? NET_PROTO_TCP : NET_PROTO_UDP;
	uint8_t *ip = f->octets + NET_ETH_LEN, *l4 = ip + ip_len;

	memset(f->octets, 0, TWINS_FRAME);
	memset(f->octets, 0x02, 12);
	f->octets[11] = from & 1;
	f->packet = (struct dp_packet){.len = NET_ETH_LEN + ip_len + head + payload,
				       .needs_csum = true,
				       .csum_start = (uint16_t)(NET_ETH_LEN + ip_len),
				       .csum_offset = tcp ? NET_TCP_CSUM : NET_UDP_CSUM};
	if (super) {
		f->packet.gso = v6 ? DP_GSO_TCP6 : DP_GSO_TCP4;
		f->packet.gso_size = 100;
	}
	if ((what & 12) == 8 && !super) {
		psp_put16(f->octets + NET_ETH_TYPE, NET_TYPE_ARP);
		f->packet.needs_csum = false;
		return;
	}
	psp_put16(f->octets + NET_ETH_TYPE, v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	if (v6) {
		ip[0] = 0x60;
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(head + payload));
		ip[NET_IP6_NEXT] = proto;
		ip[NET_IP6_HOPS] = 2;
		ip[NET_IP6_SRC] = ip[NET_IP6_DST] = 0xfd;
		ip[NET_IP6_DST + 15] = vips[to & 7];
	} else {
		ip[0] = 0x45;
		psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(NET_IP4_LEN + head + payload));
		ip[NET_IP4_TTL] = 64;
		ip[NET_IP4_PROTO] = proto;
		psp_put32(ip + NET_IP4_SRC, 0x0a000001u);
		psp_put32(ip + NET_IP4_DST, 0x0b000000u + vips[to & 7]);
		dp_csum_ipv4(ip);
	}
	psp_put16(l4, (uint16_t)(4000 + (from >> 1 & 3)));
	psp_put16(l4 + 2, (uint16_t)(5000 + (to >> 3 & 3)));
	if (tcp) {
		l4[NET_TCP_OFFSET] = 5 << 4;
		l4[NET_TCP_FLAGS] = NET_ACK;
	} else {
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)(head + payload));
	}
	psp_put16(l4 + f->packet.csum_offset,
		  dp_csum_fold(dp_csum_pseudo(ip, proto, head + payload)));
}

static inline void twins_packets(struct twins *twins, uint8_t how)
{
	static const uint32_t of[4] = {HOST, HOST, HOST + 1, UPLINK};
	const uint32_t n = 1 + (how & 7u), handle = of[how >> 3 & 3];
	static uint8_t octets[TWINS_BATCH][TWINS_FRAME];
	struct memory_frame frames[TWINS_BATCH];

	for (uint32_t i = 0; i < n; i++) {
		frames[i].octets = octets[i];
		twins_frame(twins, &frames[i]);
	}
	twins_run(twins, handle, frames, n);
}

/* What one has sealed comes in again, perhaps changed by an octet. */
static inline void twins_reflect(struct twins *twins, uint8_t how)
{
	struct twin *a = &twins->twin[0];
	const uint32_t kept = memory_port_kept(a->port[0]);
	uint32_t n = kept < TWINS_BATCH ? kept : TWINS_BATCH;

	for (uint32_t i = 0; i < n; i++)
		a->kept[0][i].packet.csum_valid = true;
	if (n > 0 && (how & 0xf0) == 0)
		a->kept[0][0].octets[a->kept[0][0].packet.len - 1] ^= 1;
	twins_begin(twins);
	twins_run(twins, UPLINK, a->kept[0], n);
	/* Lest it be compared with what was not changed. */
	twins_keep(twins);
	twins_end(twins);
}

static inline void twins_release(struct twins *twins, uint8_t how)
{
	const uint32_t flow = twins->flow[how % TWINS_FLOWS];

	int32_t status[2] = {0, 0};

	for (uint32_t i = 0; i < 2; i++) {
		struct twin *t = &twins->twin[i];
		struct dp_hold *hold = &t->net.dp->base.hold;
		struct dp_held *chain;
		uint32_t packets = 0;

		if (flow == 0)
			continue;
		if ((how & 0x80) != 0)
			status[i] =
				psp_dp_held_drop(t->net.dp, flow, PSP_DP_DROP_REFUSED, 0, &packets);
		else
			status[i] = psp_dp_held_release(t->net.dp, flow, &packets);
		while (dp_hold_is_releasing(hold)) {
			soft_chain_begin(t->worker);
			chain = dp_hold_next(hold, 0);
			if (chain != NULL)
				soft_run_held(t->worker, chain);
			soft_flush(t->worker);
		}
	}
	if (status[0] != status[1])
		(void)twins_say(twins, "what became of a held flow");
}

/* ---- pipes and entries ------------------------------------------------------------------------ */

static inline void twins_mask(struct psp_dp_match *mask, uint8_t bits)
{
	*mask = (struct psp_dp_match){.size = sizeof(*mask)};
	mask->parser_meta_port_id = (bits & 1) != 0 ? 0xffff : 0;
	mask->outer_ip_dst[15] = (bits & 2) != 0 ? 7 : 0;
	mask->outer_l4_dst_port = (bits & 4) != 0 ? 3 : 0;
	mask->outer_ip_proto = (bits & 8) != 0 ? 0xff : 0;
	mask->meta_pkt_meta = (bits & 16) != 0 ? 0xff : 0;
	mask->outer_l4_src_port = (bits & 32) != 0 ? 1 : 0;
	mask->parser_meta_outer_l3_type = (bits & 64) != 0 ? 0xff : 0;
	mask->parser_meta_random = (bits & 0x87) == 0x80 ? 1 : 0;
}

static inline void twins_match(struct psp_dp_match *match, uint8_t a, uint8_t b)
{
	*match = (struct psp_dp_match){.size = sizeof(*match)};
	match->parser_meta_port_id = (uint16_t)(1 + (a & 3) % TWINS_PORTS);
	match->outer_ip_dst[15] = a >> 2 & 7;
	match->outer_l4_dst_port = (uint16_t)(5000 + (a >> 5 & 3));
	match->outer_ip_proto = (b & 1) != 0 ? NET_PROTO_TCP : NET_PROTO_UDP;
	match->meta_pkt_meta = b >> 1 & 3;
	match->outer_l4_src_port = b >> 3 & 1;
	match->parser_meta_outer_l3_type = (b & 16) != 0 ? PSP_DP_L3_IPV6 : PSP_DP_L3_IPV4;
	match->parser_meta_random = b >> 5 & 1;
}

static inline void twins_fwd(const struct twins *twins, const struct graph *g, uint8_t what,
			     struct psp_dp_fwd *fwd)
{
	const uint32_t pipes[] = {g->egr_acl, g->decrypt, g->ingr_acl, g->synd_stats};

	fwd->size = sizeof(*fwd);
	if ((what & 8) != 0)
		graph_fwd(fwd, PSP_DP_FWD_PIPE, twins->pipe[(what & 7) % TWINS_PIPES]);
	else if ((what & 4) != 0)
		graph_fwd(fwd, PSP_DP_FWD_PIPE, pipes[what & 3]);
	else if ((what & 3) == 0)
		graph_fwd(fwd, PSP_DP_FWD_DROP, 0);
	else if ((what & 3) == 1)
		graph_fwd(fwd, PSP_DP_FWD_RSS, what >> 4 & 1);
	else if ((what & 3) == 2)
		graph_fwd(fwd, PSP_DP_FWD_KERNEL, 0);
	else
		graph_fwd(fwd, PSP_DP_FWD_PORT, 1 + (what >> 4) % TWINS_PORTS);
}

static inline void twins_actions(const struct twin *t, uint8_t what, struct psp_dp_actions *actions)
{
	static const uint32_t menu[8] = {
		0,
		PSP_DP_ACTION_SET_PKT_META,
		PSP_DP_ACTION_SET_S,
		PSP_DP_ACTION_SET_PKT_META | PSP_DP_ACTION_SET_S,
		PSP_DP_ACTION_ROUTE,
		PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT,
		PSP_DP_ACTION_DECRYPT,
		PSP_DP_ACTION_DECAP,
	};
	const uint32_t n = what >> 3 & 1;

	actions->flags = menu[what & 7];
	actions->pkt_meta = 1 + n;
	memset(actions->eth_dst, 0x02, 6);
	if ((actions->flags & PSP_DP_ACTION_ENCAP) == 0)
		return;
	graph_encap(actions, &t->net, &t->net, &t->tunnel[n].key);
	actions->crypto_id = n + 1;
}

/* Makes the n-th, or takes it out where it is there and nothing leads to it. */
static inline void twins_pipe(struct twins *twins, uint8_t n)
{
	const uint8_t mask = twins_octet(twins), fwd = twins_octet(twins),
		      miss = twins_octet(twins), what = twins_octet(twins);
	uint32_t *id = &twins->pipe[n % TWINS_PIPES], got[2] = {0, 0};
	int32_t status[2];

	for (uint32_t i = 0; i < 2; i++) {
		struct twin *t = &twins->twin[i];
		struct psp_dp_pipe_desc p;

		if (*id != 0) {
			status[i] = psp_dp_pipe_destroy(t->net.dp, *id);
			got[i] = status[i] == 0 ? 0 : *id;
			continue;
		}
		graph_pipe(&p, "", (what & 1) != 0 ? PSP_DP_PIPE_CONTROL : PSP_DP_PIPE_BASIC);
		(void)snprintf(p.name, sizeof(p.name), "TWIN_%u", n % TWINS_PIPES);
		twins_mask(&p.match_mask, mask);
		twins_fwd(twins, &t->graph, fwd, &p.fwd);
		twins_fwd(twins, &t->graph, miss, &p.fwd_miss);
		p.monitor.mirror = (what & 0xe) == 0xe;
		status[i] = psp_dp_pipe_create(t->net.dp, &p, &got[i]);
	}
	if (status[0] != status[1] || got[0] != got[1])
		(void)twins_say(twins, "what became of a pipe");
	*id = got[0];
}

static inline void twins_desc(struct twins *twins, const struct twin *t, const uint8_t o[6],
			      struct psp_dp_entry_desc *e)
{
	graph_entry(e);
	e->priority = o[0] >> 6 & 1;
	twins_match(&e->match, o[1], o[2]);
	twins_mask(&e->match_mask, o[3]);
	twins_actions(t, o[4], &e->actions);
	twins_fwd(twins, &t->graph, o[5], &e->fwd);
	e->monitor.mirror = (o[4] & 0x70) == 0x70;
	e->monitor.notify = (o[4] & 0x80) != 0;
}

/* Adds it, updates it or takes it out. */
static inline void twins_entry(struct twins *twins, uint8_t n)
{
	uint32_t *id = &twins->entry[n % TWINS_ENTRIES], got[2] = {0, 0};
	int32_t status[2];
	uint8_t o[6];

	for (uint32_t i = 0; i < sizeof(o); i++)
		o[i] = twins_octet(twins);
	for (uint32_t i = 0; i < 2; i++) {
		struct twin *t = &twins->twin[i];
		const uint32_t into =
			(o[0] & 8) != 0 ? t->graph.root : twins->pipe[(o[0] & 7) % TWINS_PIPES];
		struct psp_dp_entry_desc e;

		got[i] = *id;
		twins_desc(twins, t, o, &e);
		if (*id == 0)
			status[i] = psp_dp_entry_add(t->net.dp, into, &e, &got[i]);
		else if ((o[0] & 16) != 0)
			status[i] = psp_dp_entry_update(t->net.dp, *id, &e);
		else
			status[i] = psp_dp_entry_remove(t->net.dp, *id);
	}
	if (status[0] != status[1] || got[0] != got[1])
		(void)twins_say(twins, "what became of an entry");
	if (status[0] == 0 && *id == 0)
		*id = got[0];
	else if (status[0] == 0 && (o[0] & 16) == 0)
		*id = 0;
}

/* The last tunnel comes: what was held for it can go. */
static inline void twins_tunnel(struct twins *twins)
{
	const uint32_t last = TWINS_TUNNELS - 1;

	if (twins->twin[0].tunnel[last].crypto_id != 0)
		return;
	TWINS_EACH(twins, t)
	{
		if (!twin_tunnel(t, last))
			(void)twins_say(twins, "a tunnel");
	}
}

/* ---- the script ------------------------------------------------------------------------------- */

static inline void twins_step(struct twins *twins)
{
	const uint8_t op = twins_octet(twins), how = twins_octet(twins);

	switch (op & 15) {
	case 0:
		twins_pipe(twins, how);
		break;
	case 1:
	case 2:
	case 3:
		twins_entry(twins, how);
		break;
	case 4:
		twins_keep(twins);
		twins_begin(twins);
		twins_release(twins, how);
		twins_end(twins);
		break;
	case 5:
		twins_reflect(twins, how);
		break;
	case 6:
		if ((how & 7) == 0)
			twins_tunnel(twins);
		break;
	default:
		twins_keep(twins);
		twins_begin(twins);
		twins_packets(twins, how);
		/* In the middle of a batch an entry comes or goes, and the packets go on. */
		if ((op & 16) != 0) {
			twins_entry(twins, op >> 5);
			twins_packets(twins, how);
		}
		twins_end(twins);
		if ((how & 0x40) != 0)
			twins_reflect(twins, op);
		break;
	}
}

/* NULL: the twins agreed in everything. */
static inline const char *twins_play(const uint8_t *script, size_t len)
{
	struct twins *twins = calloc(1, sizeof(*twins));
	const char *differ;

	if (twins == NULL)
		return "memory: there is none";
	twins->script = script;
	twins->left = len;
	if (!twins_open(twins))
		(void)twins_say(twins, "what was opened");
	while (twins->left > 0 && twins->differ == NULL)
		twins_step(twins);
	if (twins->differ == NULL)
		twins_compare_all(twins);
	differ = twins->differ;
	TWINS_EACH(twins, t)
	twin_close(t);
	free(twins);
	return differ;
}

#endif
