/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soft_engine_pair.h: two planes, back to back, with the reference topologies: what one workload sends the other
 * gets, or the counters say why not. Each test opens both planes; RUN_CLOSED closes them.
 */
#ifndef PSP_SOFT_ENGINE_PAIR_H
#define PSP_SOFT_ENGINE_PAIR_H

#include <pthread.h>

#include "soft_engine_watch.h"

static struct net net;
static uint32_t backend;

/* Both planes and the tunnels between them, in test-sized shape. */
struct pair {
	struct graph ga, gb;
	struct tunnel ab, ba;
};

static struct net_frame sent, got;

static inline bool planes_open(const struct psp_dp_config *like)
{
	struct psp_dp_config config = like != NULL ? *like : (struct psp_dp_config){.size = 0};

	config.backend = backend;
	return net_open(&net.a, 'a', &config) && net_open(&net.b, 'b', &config);
}

static inline void planes_close(void)
{
	net_close(&net.a);
	net_close(&net.b);
}

static inline bool pair_open(struct pair *pair, int bits, const struct psp_dp_config *like)
{
	memset(pair, 0, sizeof(*pair));
	return planes_open(like) && graph_build(net.a.dp, &pair->ga, bits) &&
	       graph_build(net.b.dp, &pair->gb, bits) && psp_dp_start(net.a.dp) == 0 &&
	       psp_dp_start(net.b.dp) == 0;
}

static inline bool tunnel_up(const struct net_side *from, const struct net_side *to,
			     const struct graph *gfrom, const struct graph *gto, uint32_t crypto_id,
			     struct tunnel *t)
{
	return graph_receive(from, to, gto, PSP_AES_GCM_256, t) &&
	       graph_transmit(from, to, gfrom, crypto_id, t);
}

/* Sends n numbered packets, then waits until that many have arrived, in order. */
static inline void expect_delivery(const struct net_side *from, const struct net_side *to,
				   uint32_t n, uint32_t payload)
{
	for (uint32_t i = 0; i < n; i++) {
		net_udp(&sent, from, to, i, payload);
		CHECK(net_send(from, &sent));
		CHECK(net_recv(to, &got, NET_HANG_MS));
		CHECK_EQ(got.packet.len, sent.packet.len);
		CHECK_MEM(got.packet.frame, to->end_mac, 6);
		CHECK_MEM(got.packet.frame + 6, to->host_mac, 6);
		CHECK_MEM(got.packet.frame + 14, sent.packet.frame + 14, sent.packet.len - 14);
	}
}

/* Waits until every packet that came in is accounted for: one is counted just after it has gone, and more may come. */
static inline void expect_accounts(void)
{
	for (uint32_t i = 0; i < 1000; i++) {
		if (graph_unaccounted(net.a.dp) == 0 && graph_unaccounted(net.b.dp) == 0)
			return;
		usleep(1000);
	}
	CHECK_EQ(graph_unaccounted(net.a.dp), 0);
	CHECK_EQ(graph_unaccounted(net.b.dp), 0);
}

/* ---- traffic --------------------------------------------------------------------------------- */

struct flood {
	uint32_t n;
	_Atomic uint32_t sent;
	uint32_t pause_us;
};

static inline void *flood(void *arg)
{
	static struct net_frame frame;
	struct flood *f = arg;

	for (uint32_t i = 0; i < f->n; i++) {
		net_udp(&frame, &net.a, &net.b, i, 64);
		if (!net_send(&net.a, &frame))
			break;
		atomic_store(&f->sent, i + 1);
		if (f->pause_us != 0)
			usleep(f->pause_us);
	}
	return NULL;
}

/* Reads what arrives at B: so many, however long a busy machine takes for them, and what comes soon after. */
static inline uint32_t drain(uint32_t expected, uint32_t *last, bool *in_order)
{
	uint32_t n = 0;

	while (net_recv(&net.b, &got, n < expected ? NET_HANG_MS : 300)) {
		uint32_t number = net_number(&got);

		*in_order &= n == 0 || number > *last;
		*last = number;
		n++;
	}
	return n;
}

/* Sends one super-frame; collects what arrives; its payload must be the same. */
static inline void expect_stream(uint32_t segments, uint32_t mss, uint32_t *frames)
{
	static uint8_t stream[DP_FRAME_MAX];
	uint32_t len, have = 0;

	net_tso(&sent, &net.a, &net.b, segments, mss);
	len = sent.packet.len - sent.packet.payload_off;
	CHECK(net_send(&net.a, &sent));
	*frames = 0;
	while (have < len && net_recv(&net.b, &got, NET_HANG_MS)) {
		const uint8_t *tcp = got.packet.frame + got.packet.l4_off;
		uint32_t n = got.packet.len - got.packet.payload_off;
		uint32_t at = psp_get32(tcp + NET_TCP_SEQ) - 1000;

		CHECK(at + n <= len);
		memcpy(stream + at, got.packet.frame + got.packet.payload_off, n);
		have += n;
		++*frames;
	}
	CHECK_EQ(have, len);
	CHECK_MEM(stream, sent.packet.frame + sent.packet.payload_off, len);
}

/* ---- running --------------------------------------------------------------------------------- */

#define RUN_CLOSED(test)                                                                           \
	do {                                                                                       \
		RUN(test);                                                                         \
		planes_close();                                                                    \
	} while (0)

/* All tests with each backend that this machine has. */
static inline int run_with_each_backend(void (*run)(void))
{
	const struct psp_crypto_backend *at;
	static char variant[32];

	if (!net_up(&net)) {
		printf("# no network namespaces here\n0 passed, 1 failed\n");
		return 1;
	}
	for (uint32_t i = 0; (at = psp_crypto_backend_at(i)) != NULL; i++) {
		if (psp_crypto_backend_by_id(at->id) == NULL)
			continue;
		backend = at->id;
		(void)snprintf(variant, sizeof(variant), " [%s]", at->name);
		test_variant = variant;
		run();
	}
	return test_summary();
}

#endif
