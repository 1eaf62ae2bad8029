/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to find the entry of a packet, by the number of entries: a frame is parsed, masked by the shape of
 * EGR_ACL (source and destination vip), and looked up, as the egress worker does it.
 *
 *   lookup N...    a line for each N: entries, ns when all packets are of one flow, ns when each is of another
 *
 * The second figure holds what a table of that size costs the processor's caches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "../soft/soft.h"

#define LOOKUPS 2000000u
#define RUNS 5u
#define FRAME 142u

static const uint64_t seed[2] = {0x0123456789abcdefu, 0xfedcba9876543210u};

struct bench {
	struct soft_shape shape;
	struct soft_table table;
	struct soft_rcu rcu;
	struct soft_entry **entries;
	uint32_t n;
	uint8_t buffer[DP_HEADROOM + FRAME];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The n-th remote vip: 11.0.0.0 and on. */
static void set_vip(uint8_t ip[4], uint32_t n)
{
	psp_put32(ip, 0x0b000000u + n);
}

static void make_frame(uint8_t *frame)
{
	uint8_t *ip = frame + NET_ETH_LEN;

	memset(frame, 0, FRAME);
	psp_put16(frame + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	psp_put16(ip + NET_IP4_TOTAL, FRAME - NET_ETH_LEN);
	ip[8] = 64;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put32(ip + NET_IP4_SRC, 0x0a000001u);
	psp_put16(ip + NET_IP4_LEN + NET_UDP_LENGTH, FRAME - NET_ETH_LEN - NET_IP4_LEN);
}

/* By difference, so that it costs the same for each flow. */
static void aim(uint8_t *frame, uint32_t n)
{
	uint8_t *ip = frame + NET_ETH_LEN;

	set_vip(ip + NET_IP4_DST, n);
	psp_put16(ip + NET_IP4_CSUM, 0);
	dp_csum_ipv4(ip);
}

static bool fill(struct bench *bench, uint32_t n)
{
	struct psp_dp_match mask, match;

	memset(bench, 0, sizeof(*bench));
	memset(&mask, 0, sizeof(mask));
	memset(mask.outer_ip_src, 0xff, sizeof(mask.outer_ip_src));
	memset(mask.outer_ip_dst, 0xff, sizeof(mask.outer_ip_dst));
	soft_shape_make(&bench->shape, &mask);
	bench->entries = calloc(n, sizeof(struct soft_entry *));
	if (bench->entries == NULL || soft_table_init(&bench->table, seed, 1024) != PSP_DP_OK)
		return false;
	for (; bench->n < n; bench->n++) {
		struct soft_entry *entry =
			calloc(1, sizeof(*entry) + 8u * (size_t)bench->shape.words);

		if (entry == NULL)
			return false;
		bench->entries[bench->n] = entry;
		memset(&match, 0, sizeof(match));
		net_map_v4(match.outer_ip_src, (const uint8_t[]){10, 0, 0, 1});
		set_vip(match.outer_ip_dst + 12, bench->n);
		match.outer_ip_dst[10] = match.outer_ip_dst[11] = 0xff;
		soft_shape_apply(&bench->shape, &match, entry->words);
		entry->hash = soft_table_hash(&bench->table, entry->words, bench->shape.words);
		if (soft_table_add(&bench->table, &bench->rcu, entry) != PSP_DP_OK)
			return false;
	}
	make_frame(bench->buffer + DP_HEADROOM);
	return true;
}

static void clear(struct bench *bench)
{
	for (uint32_t i = 0; i < bench->n; i++) {
		soft_table_remove(&bench->table, bench->entries[i]);
		free(bench->entries[i]);
	}
	free(bench->entries);
	soft_table_free(&bench->table);
}

/* ns for one packet; the best of some runs, which is the least disturbed. 0: an entry was not found. */
static double measure(struct bench *bench, bool spread)
{
	struct dp_rng rng = {{1, 2, 3, 4}};
	uint64_t best = UINT64_MAX;

	for (uint32_t run = 0; run < RUNS; run++) {
		uint64_t start = now_ns(), missed = 0;

		for (uint32_t i = 0; i < LOOKUPS; i++) {
			struct dp_packet packet = {.frame = bench->buffer + DP_HEADROOM,
						   .len = FRAME,
						   .port = PSP_DP_PORT_HOST};
			uint32_t flow = (uint32_t)(dp_rng_next(&rng) % bench->n);
			uint64_t words[SOFT_MATCH_WORDS];

			aim(packet.frame, spread ? flow : 0);
			if (!dp_parse(&packet))
				return 0;
			soft_shape_apply(&bench->shape, &packet.fields, words);
			if (soft_table_find(&bench->table, words, bench->shape.words) == NULL)
				missed++;
		}
		if (missed != 0)
			return 0;
		if (now_ns() - start < best)
			best = now_ns() - start;
	}
	return (double)best / LOOKUPS;
}

int main(int argc, char **argv)
{
	static struct bench bench;

	for (int i = 1; i < argc; i++) {
		uint32_t n = (uint32_t)strtoul(argv[i], NULL, 10);
		double one, spread;

		if (n == 0 || !fill(&bench, n))
			return 1;
		one = measure(&bench, false);
		spread = measure(&bench, true);
		clear(&bench);
		if (one <= 0 || spread <= 0)
			return 1;
		(void)printf("%u %.1f %.1f\n", n, one, spread);
	}
	return 0;
}
