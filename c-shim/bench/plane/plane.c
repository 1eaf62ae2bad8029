/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plane.c: what the engine costs for each packet, with ports that are memory, and bare ipsec-mb for the same octets and
 * as many keys in the same order. The plane is opened and programmed through its ABI and its own workers run; only
 * the ports are ours. What it sends to its uplink it gets back: it is both ends of each tunnel.
 *
 *   plane ROUNDS VERSION CASE...
 *
 * A case is a number of tunnels, of one host port, or TUNNELSxPORTS: of so many, each of which has the frames of a run in
 * turn, and between which those of a run from the uplink are dealt out. Each tunnel has its window against replay, as with
 * agents; those of TUNNELSn have none.
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

#include "lab.h"

#define SIDES_MAX 8

static struct memory_frame clear[FRAMES_MAX], sealed[FRAMES_MAX], opened[FRAMES_MAX];
static uint32_t drawn[FRAMES_MAX * SEGMENTS];
static struct dp_rng rng = {{1, 2, 3, 4}};

static int fail(const char *what)
{
	(void)fprintf(stderr, "Cannot measure: %s\n", what);
	return 1;
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

/* Fills clear[] and drawn[], a key for each packet: frames of one port, or of any. */
static void draw(const struct side *side, const struct shape *shape, bool any, uint32_t port)
{
	for (uint32_t i = 0; i < shape->frames; i++) {
		uint32_t tunnel = (uint32_t)(dp_rng_next(&rng) % side->tunnels);

		/* Tunnels are dealt out to the ports in turn. */
		if (!any)
			tunnel = tunnel / side->ports * side->ports + port;
		if (tunnel >= side->tunnels)
			tunnel = port;

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
	const uint32_t port = side->turn++ % side->ports;
	struct soft_port *host = side->hosts[port];

	draw(side, shape, false, port);
	memory_port_keep(side->uplink, NULL, 0);
	memory_port_run(host, clear, shape->frames, &out);
	if (memory_port_sent(side->uplink) != packets)
		return false;
	if (side->ports > 1)
		draw(side, shape, true, 0);
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
 * Each tunnel once: the receiving side derives its keys. What arrives is what was sent, where there is one port that all
 * leave by; tunnels may overtake one another.
 */
static bool warm(struct side *side)
{
	const struct shape *shape = &shapes[0];
	uint32_t came[FRAMES_MAX] = {0};
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
			const uint8_t *ip = opened[i].octets + NET_ETH_LEN;
			const uint32_t nth = psp_get32(ip + NET_IP4_DST) - VIP_FIRST - first;

			/* Twice the same would leave another one without. */
			if (nth >= n || came[nth] == first + 1 || !is_same(&opened[i], &clear[nth]))
				return false;
			came[nth] = first + 1;
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
	if (side->ports == 1 && *end == 'n') {
		side->no_window = true;
		end++;
	}
	return *end == 0 && side->ports > 0 && side->ports <= side->tunnels &&
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
			return fail("a case is TUNNELS, TUNNELSn or TUNNELSxPORTS");
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
