/* SPDX-License-Identifier: Apache-2.0 */
/* lab.h: a plane between ports that are memory, its tunnels, and the frames that workloads send through them. */
#ifndef PSP_BENCH_LAB_H
#define PSP_BENCH_LAB_H

/* The tests' own topology and tunnels, without their frame. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "../../tests/soft_engine_graph.h"
#pragma GCC diagnostic pop
#include "bare.h"
#include "memory_port.h"

#define FRAMES_MAX 500u  /* frames of a run: what stays in the second-level cache */
#define SUPER_FRAMES 20u /* of these in a run */
#define SEGMENTS 44u     /* that fill one UDP super-frame once they are sealed */
#define MSS 1400u        /* 1,440 octets of IP */
#define RUN_NS 60000000u /* of CPU time, for each figure of a round */
#define CRYPT_OFFSET 20u /* the inner IP header stays readable */
#define FRAME_ROOM (DP_HEADROOM + DP_FRAME_MAX)

struct shape {
	const char *name;
	uint32_t segments, ip_len; /* of each packet */
	uint32_t frames;
};

static const struct shape shapes[] = {
	{"92", 1, 92, FRAMES_MAX},
	{"1440", 1, 1440, FRAMES_MAX},
	{"44x1440", SEGMENTS, 1440, SUPER_FRAMES},
};

/* A plane, its tunnels and the keys of as many for the bare library. */
struct side {
	const char *name;
	uint32_t tunnels, ports, turn;
	bool no_window; /* against replay */
	struct net_side net;
	struct soft_port *hosts[PSP_DP_PORTS_MAX - 1], *uplink;
	struct bare *bare;
};

static uint32_t version;

/* ---- the plane and its tunnels ---------------------------------------------------------------- */

#define VIP_FIRST 0x0b000000u

/* The n-th remote vip: 11.0.0.0 and on. */
static inline void set_vip(uint8_t ip[4], uint32_t n)
{
	psp_put32(ip, VIP_FIRST + n);
}

/* Whatever comes in and is not for PSP_DECRYPT is a workload's: ROOT knows nothing of so many ports. */
static inline bool add_ports(struct side *side, const struct graph *graph, uint32_t *handles)
{
	struct psp_dp_port_desc desc = port_desc(PSP_DP_PORT_HOST, "");
	struct psp_dp_entry_desc e;

	desc.guard = PSP_DP_GUARD_NEVER;
	for (uint32_t i = 1; i < side->ports; i++) {
		(void)snprintf(desc.name, sizeof(desc.name), "memory-%u", i);
		if (psp_dp_port_add(side->net.dp, &desc, &handles[i]) != 0)
			return false;
		side->hosts[i] = memory_port_last(PSP_DP_PORT_HOST);
	}
	graph_entry(&e);
	e.priority = 3;
	e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
	e.match_mask.parser_meta_outer_l3_type = 0xff;
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, graph->egr_acl);
	return graph_add(side->net.dp, graph->root, &e, NULL);
}

/* What comes with a tunnel's SPI goes to this host port, behind a window against replay as agents have it. */
static inline bool receive_at(const struct side *side, const struct net_side *far,
			      const struct tunnel *tunnel, uint32_t handle)
{
	struct psp_dp_entry_desc e;

	graph_ingr_acl(&e, &side->net, far, tunnel);
	graph_fwd(&e.fwd, PSP_DP_FWD_PORT, handle);
	if (!side->no_window) {
		e.actions.flags |= PSP_DP_ACTION_CHECK_REPLAY;
		e.actions.replay_window = PSP_DP_REPLAY_WINDOW_DEFAULT;
	}
	return psp_dp_entry_update(side->net.dp, tunnel->ingr_acl, &e) == 0;
}

static inline bool open_side(struct side *side)
{
	uint32_t handles[PSP_DP_PORTS_MAX - 1] = {HOST};
	struct psp_dp_config config = {.size = sizeof(config)};
	struct net_side far = {.vip = {10, 0, 0, 1}};
	struct graph graph;
	char err[256];

	memcpy(side->net.vip, (uint8_t[]){10, 0, 0, 1}, 4);
	memcpy(side->net.pip, (uint8_t[]){192, 0, 2, 1}, 4);
	if (ports_open(&config, "memory-uplink", "memory-host", PSP_DP_GUARD_NEVER, &side->net.dp,
		       err, sizeof(err)) != 0) {
		(void)fprintf(stderr, "%s\n", err);
		return false;
	}
	side->hosts[0] = memory_port_last(PSP_DP_PORT_HOST);
	side->uplink = memory_port_last(PSP_DP_PORT_UPLINK);
	if (!graph_build(side->net.dp, &graph, -1) || psp_dp_start(side->net.dp) != 0 ||
	    (side->ports > 1 && !add_ports(side, &graph, handles)))
		return false;
	far = side->net;
	for (uint32_t i = 0; i < side->tunnels; i++) {
		struct tunnel tunnel;

		set_vip(far.vip, i);
		if (!graph_receive(&side->net, &far, &graph, version, &tunnel) ||
		    !graph_transmit(&side->net, &far, &graph, i + 1, &tunnel) ||
		    !receive_at(side, &far, &tunnel, handles[i % side->ports]))
			return false;
	}
	return true;
}

/* ---- frames ----------------------------------------------------------------------------------- */

/* As a workload's kernel hands it over: with the checksum left to the device. */
static inline void make_frame(struct memory_frame *f, const struct shape *shape, uint32_t tunnel)
{
	uint8_t *ip = f->octets + NET_ETH_LEN, *l4 = ip + NET_IP4_LEN;
	bool is_tcp = shape->segments > 1;
	uint32_t head = is_tcp ? NET_TCP_LEN : NET_UDP_LEN;
	uint32_t l4_len = head + shape->segments * (shape->ip_len - NET_IP4_LEN - head);
	uint8_t proto = is_tcp ? NET_PROTO_TCP : NET_PROTO_UDP;

	memset(f->octets, 0, NET_ETH_LEN + NET_IP4_LEN + NET_TCP_LEN);
	memset(f->octets, 0x02, 12);
	psp_put16(f->octets + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(NET_IP4_LEN + l4_len));
	ip[NET_IP4_TTL] = 64;
	ip[NET_IP4_PROTO] = proto;
	psp_put32(ip + NET_IP4_SRC, 0x0a000001u);
	set_vip(ip + NET_IP4_DST, tunnel);
	dp_csum_ipv4(ip);
	psp_put16(l4, 4000);
	psp_put16(l4 + 2, 5000);
	if (is_tcp) {
		l4[NET_TCP_OFFSET] = 5 << 4;
		l4[NET_TCP_FLAGS] = NET_ACK;
	} else {
		psp_put16(l4 + NET_UDP_LENGTH, (uint16_t)l4_len);
	}
	memset(l4 + head, (int)tunnel & 0xff, l4_len - head);
	psp_put16(l4 + (is_tcp ? NET_TCP_CSUM : NET_UDP_CSUM),
		  dp_csum_fold(dp_csum_pseudo(ip, proto, l4_len)));
	f->packet = (struct dp_packet){
		.len = NET_ETH_LEN + NET_IP4_LEN + l4_len,
		.gso = is_tcp ? DP_GSO_TCP4 : DP_GSO_NONE,
		.gso_size = is_tcp ? MSS : 0,
		.needs_csum = true,
		.csum_start = NET_ETH_LEN + NET_IP4_LEN,
		.csum_offset = is_tcp ? NET_TCP_CSUM : NET_UDP_CSUM,
	};
}

#endif
