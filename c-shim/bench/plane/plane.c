/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plane.c: what the engine costs for each packet, with ports that are memory, and bare ipsec-mb for the same octets and
 * as many keys in the same order. The plane is opened and programmed through its ABI and its own workers run; only
 * the ports are ours. What it sends to its uplink it gets back: it is both ends of each tunnel.
 *
 *   plane ROUNDS VERSION CASE...
 *
 * A case is a number of tunnels, of one host port, or TUNNELSxPORTS: of so many, each of which has the frames of a run in
 * turn, and between which those of a run from the uplink are dealt out.
 * A line for each round, case and shape:
 *   figure CASE SHAPE out|in ENGINE_NS PORT_NS BARE_NS     for each packet; ENGINE_NS contains PORT_NS
 * and at first for each case
 *   memory CASE OCTETS                                     of the process for this plane, after traffic on all tunnels
 * before all others "bare OCTETS VERSION": one expanded key, and the library's name of itself; and "round N" behind
 * each round's figures.
 * Each packet of a run is of a tunnel drawn at random, a super-frame of one. BARE_NS is 0 without ipsec-mb.
 */
#define _GNU_SOURCE /* soft_engine_net.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tests' own topology and tunnels, without their frame. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "../../tests/soft_engine_graph.h"
#pragma GCC diagnostic pop
#include "bare.h"
#include "memory_port.h"

#define SIDES_MAX 8
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
	struct net_side net;
	struct soft_port *hosts[PSP_DP_PORTS_MAX - 1], *uplink;
	struct bare *bare;
};

static struct memory_frame clear[FRAMES_MAX], sealed[FRAMES_MAX], opened[FRAMES_MAX];
static uint32_t drawn[FRAMES_MAX * SEGMENTS];
static uint32_t version;
static struct dp_rng rng = {{1, 2, 3, 4}};

static int fail(const char *what)
{
	(void)fprintf(stderr, "Cannot measure: %s\n", what);
	return 1;
}

/* ---- the plane and its tunnels ---------------------------------------------------------------- */

/* The n-th remote vip: 11.0.0.0 and on. */
static void set_vip(uint8_t ip[4], uint32_t n)
{
	psp_put32(ip, 0x0b000000u + n);
}

static uint64_t resident(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	(void)fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Whatever comes in and is not for PSP_DECRYPT is a workload's: ROOT knows nothing of so many ports. */
static bool add_ports(struct side *side, const struct graph *graph, uint32_t *handles)
{
	struct psp_dp_port_desc desc = port_desc(PSP_DP_PORT_HOST, "");
	struct psp_dp_entry_desc e;

	desc.guard = PSP_DP_GUARD_NEVER;
	handles[0] = HOST;
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

static bool send_to(const struct side *side, const struct net_side *far,
		    const struct tunnel *tunnel, uint32_t handle)
{
	struct psp_dp_entry_desc e;

	graph_ingr_acl(&e, &side->net, far, tunnel);
	graph_fwd(&e.fwd, PSP_DP_FWD_PORT, handle);
	return psp_dp_entry_update(side->net.dp, tunnel->ingr_acl, &e) == 0;
}

static bool open_side(struct side *side)
{
	uint32_t handles[PSP_DP_PORTS_MAX - 1];
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
		    (side->ports > 1 && !send_to(side, &far, &tunnel, handles[i % side->ports])))
			return false;
	}
	return true;
}

/* ---- frames ----------------------------------------------------------------------------------- */

/* As a workload's kernel hands it over: with the checksum left to the device. */
static void make_frame(struct memory_frame *f, const struct shape *shape, uint32_t tunnel)
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

/* Fills clear[] and drawn[], a key for each packet. */
static void draw(const struct side *side, const struct shape *shape)
{
	for (uint32_t i = 0; i < shape->frames; i++) {
		uint32_t tunnel = (uint32_t)(dp_rng_next(&rng) % side->tunnels);

		make_frame(&clear[i], shape, tunnel);
		for (uint32_t k = 0; k < shape->segments; k++)
			drawn[i * shape->segments + k] = tunnel;
	}
}

static bool make_room(struct memory_frame *frames)
{
	uint8_t *octets;

	/* Any may become a super-frame; what is not used costs nothing. */
	for (uint32_t i = 0; i < FRAMES_MAX; i++) {
		octets = malloc(FRAME_ROOM);
		if (octets == NULL)
			return false;
		frames[i].octets = octets;
	}
	return true;
}

/* ---- runs ------------------------------------------------------------------------------------- */

struct sums {
	uint64_t packets;
	struct memory_run out, in;
	uint64_t bare_seal, bare_open;
};

static uint64_t sent_to_hosts(const struct side *side)
{
	uint64_t sent = 0;

	for (uint32_t i = 0; i < side->ports; i++)
		sent += memory_port_sent(side->hosts[i]);
	return sent;
}

/* Out, timed; out again, kept; what was kept in, timed. Nothing may get lost on the way. */
static bool run_once(struct side *side, const struct shape *shape, struct sums *sums)
{
	uint32_t packets = shape->frames * shape->segments;
	struct memory_run out, in, untimed;
	uint64_t seal_ns = 0, open_ns = 0;
	struct soft_port *host;

	host = side->hosts[side->turn++ % side->ports];
	draw(side, shape);
	memory_port_keep(side->uplink, NULL, 0);
	memory_port_run(host, clear, shape->frames, &out);
	if (memory_port_sent(side->uplink) != packets)
		return false;
	memory_port_keep(side->uplink, sealed, shape->frames);
	memory_port_run(host, clear, shape->frames, &untimed);
	if (memory_port_sent(side->uplink) != packets)
		return false;
	memory_port_run(side->uplink, sealed, memory_port_kept(side->uplink), &in);
	if (sent_to_hosts(side) != packets)
		return false;
	if (side->bare != NULL &&
	    !bare_run(side->bare, drawn, packets, PSP_HEADER_LEN + CRYPT_OFFSET,
		      shape->ip_len - CRYPT_OFFSET, &seal_ns, &open_ns))
		return false;
	sums->packets += packets;
	sums->out.engine_ns += out.engine_ns;
	sums->out.port_ns += out.port_ns;
	sums->in.engine_ns += in.engine_ns;
	sums->in.port_ns += in.port_ns;
	sums->bare_seal += seal_ns;
	sums->bare_open += open_ns;
	return true;
}

static void print(const struct side *side, const struct shape *shape, const char *direction,
		  const struct memory_run *run, uint64_t bare_ns, uint64_t packets)
{
	double n = (double)packets;

	(void)printf("figure %s %s %s %.2f %.2f %.2f\n", side->name, shape->name, direction,
		     (double)run->engine_ns / n, (double)run->port_ns / n, (double)bare_ns / n);
	(void)fflush(stdout);
}

static bool measure(struct side *side, const struct shape *shape)
{
	struct sums sums = {0};

	while (sums.out.engine_ns < RUN_NS || sums.in.engine_ns < RUN_NS) {
		if (!run_once(side, shape, &sums))
			return false;
	}
	print(side, shape, "out", &sums.out, sums.bare_seal, sums.packets);
	print(side, shape, "in", &sums.in, sums.bare_open, sums.packets);
	return true;
}

/* From the addresses on: TTL and checksums are filled in on the way. */
static bool is_same(const struct memory_frame *a, const struct memory_frame *b)
{
	const uint32_t l4 = NET_ETH_LEN + NET_IP4_LEN + NET_UDP_LEN;

	return memcmp(a->octets + NET_ETH_LEN + NET_IP4_SRC, b->octets + NET_ETH_LEN + NET_IP4_SRC,
		      8) == 0 &&
	       memcmp(a->octets + l4, b->octets + l4,
		      shapes[0].ip_len - NET_IP4_LEN - NET_UDP_LEN) == 0;
}

/*
 * Each tunnel once, in order: the receiving side derives its keys. What arrives is what was sent, and, where there is one
 * port that all leave by, in the same order.
 */
static bool warm(struct side *side)
{
	const struct shape *shape = &shapes[0];
	struct memory_run run;

	for (uint32_t first = 0; first < side->tunnels; first += FRAMES_MAX) {
		uint32_t left = side->tunnels - first, n = left < FRAMES_MAX ? left : FRAMES_MAX;

		for (uint32_t i = 0; i < n; i++)
			make_frame(&clear[i], shape, first + i);
		memory_port_keep(side->uplink, sealed, n);
		memory_port_run(side->hosts[0], clear, n, &run);
		if (side->ports == 1)
			memory_port_keep(side->hosts[0], opened, n);
		memory_port_run(side->uplink, sealed, memory_port_kept(side->uplink), &run);
		if (sent_to_hosts(side) != n)
			return false;
		for (uint32_t i = 0; side->ports == 1 && i < n; i++) {
			if (!is_same(&opened[i], &clear[i]))
				return false;
		}
	}
	memory_port_keep(side->hosts[0], NULL, 0);
	(void)memory_port_sent(side->uplink);
	return true;
}

static bool read_case(struct side *side, const char *text)
{
	char *end;

	memset(side, 0, sizeof(*side));
	side->name = text;
	side->tunnels = (uint32_t)strtoul(text, &end, 10);
	side->ports = *end == 'x' ? (uint32_t)strtoul(end + 1, &end, 10) : 1;
	return *end == 0 && side->tunnels > 0 && side->ports > 0 &&
	       side->ports <= PSP_DP_PORTS_MAX - 1;
}

static bool prepare(struct side *side)
{
	uint64_t before = resident();

	if (!open_side(side) || !warm(side))
		return false;
	(void)printf("memory %s %llu\n", side->name, (unsigned long long)(resident() - before));
	(void)fflush(stdout);
	side->bare = bare_open(side->tunnels, version == PSP_AES_GCM_256);
	return true;
}

int main(int argc, char **argv)
{
	static struct side sides[SIDES_MAX];
	uint32_t rounds, n = (uint32_t)argc - 3;

	if (argc < 4 || n > SIDES_MAX)
		return fail("usage: plane ROUNDS VERSION CASE...");
	rounds = (uint32_t)strtoul(argv[1], NULL, 10);
	version = (uint32_t)strtoul(argv[2], NULL, 10);
	if (!make_room(clear) || !make_room(sealed) || !make_room(opened))
		return fail("out of memory");
	(void)printf("bare %u %s\n", bare_key_octets(), bare_name());
	for (uint32_t i = 0; i < n; i++) {
		if (!read_case(&sides[i], argv[3 + i]))
			return fail("a case is TUNNELS or TUNNELSxPORTS");
		if (!prepare(&sides[i]))
			return fail("a tunnel does not carry what it is given");
	}
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t i = 0; i < n; i++) {
			for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
				if (!measure(&sides[i], &shapes[k]))
					return fail("packets were lost on the way");
			}
		}
		(void)printf("round %u\n", round + 1);
		(void)fflush(stdout);
	}
	for (uint32_t i = 0; i < n; i++) {
		bare_close(sides[i].bare);
		if (psp_dp_close(sides[i].net.dp) != 0)
			return fail("the plane does not close");
	}
	return 0;
}
