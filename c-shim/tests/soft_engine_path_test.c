/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two planes, back to back, with the reference topologies: what one workload sends the other gets, or the
 * counters say why not. Each test opens both planes and closes them; main() runs all with each backend.
 */
#define _GNU_SOURCE /* namespaces */
#include <pthread.h>

#include "soft_engine_graph.h"

static struct net net;
static uint32_t backend;

/* Both planes and the tunnels between them, in test-sized shape. */
struct pair {
	struct graph ga, gb;
	struct tunnel ab, ba;
};

static struct net_frame sent, got;

static bool planes_open(const struct psp_dp_config *like)
{
	struct psp_dp_config config = like != NULL ? *like : (struct psp_dp_config){.size = 0};

	config.backend = backend;
	return net_open(&net.a, 'a', &config) && net_open(&net.b, 'b', &config);
}

static void planes_close(void)
{
	net_close(&net.a);
	net_close(&net.b);
}

static bool pair_open(struct pair *pair, int bits, const struct psp_dp_config *like)
{
	memset(pair, 0, sizeof(*pair));
	return planes_open(like) && graph_build(net.a.dp, &pair->ga, bits) &&
	       graph_build(net.b.dp, &pair->gb, bits) && psp_dp_start(net.a.dp) == 0 &&
	       psp_dp_start(net.b.dp) == 0;
}

static bool tunnel_up(const struct net_side *from, const struct net_side *to,
		      const struct graph *gfrom, const struct graph *gto, uint32_t crypto_id,
		      struct tunnel *t)
{
	return graph_receive(from, to, gto, PSP_AES_GCM_256, t) &&
	       graph_transmit(from, to, gfrom, crypto_id, t);
}

/* Sends n numbered packets, then waits until that many have arrived, in order. */
static void expect_delivery(const struct net_side *from, const struct net_side *to, uint32_t n,
			    uint32_t payload)
{
	for (uint32_t i = 0; i < n; i++) {
		net_udp(&sent, from, to, i, payload);
		CHECK(net_send(from, &sent));
		CHECK(net_recv(to, &got, 5000));
		CHECK_EQ(got.packet.len, sent.packet.len);
		CHECK_MEM(got.packet.frame, to->end_mac, 6);
		CHECK_MEM(got.packet.frame + 6, to->host_mac, 6);
		CHECK_MEM(got.packet.frame + 14, sent.packet.frame + 14, sent.packet.len - 14);
	}
}

static void expect_accounts(void)
{
	usleep(2000);
	for (uint32_t i = 0; i < 1000 && (graph_unaccounted(net.a.dp) != 0 ||
					  graph_unaccounted(net.b.dp) != 0); i++)
		usleep(1000);
	CHECK_EQ(graph_unaccounted(net.a.dp), 0);
	CHECK_EQ(graph_unaccounted(net.b.dp), 0);
}

/* ---- first packets --------------------------------------------------------------------------- */

static void first_packet_waits_for_its_tunnel(void)
{
	struct pair pair;
	struct psp_dp_event miss;
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	uint8_t vip[16];
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	net_udp(&sent, &net.a, &net.b, 7, 100);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	CHECK(miss.flow != 0 && miss.pipe == pair.ga.egr_acl && miss.egress == 1);
	graph_map(vip, net.a.vip);
	CHECK_MEM(miss.src, vip, 16);
	graph_map(vip, net.b.vip);
	CHECK_MEM(miss.dst, vip, 16);
	CHECK_MEM(miss.eth_src, net.a.end_mac, 6);
	CHECK_EQ(miss.packet_len, 128);

	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), 0);
	CHECK_EQ(packets, 1);
	CHECK(net_recv(&net.b, &got, 5000));
	CHECK_MEM(got.packet.frame + 14, sent.packet.frame + 14, sent.packet.len - 14);
	CHECK_EQ(net_number(&got), 7);
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), PSP_DP_ENOENT);

	CHECK_EQ(graph_count(net.a.dp, SOFT_TX_PACKETS), 1);
	CHECK_EQ(graph_count(net.a.dp, SOFT_TX_BYTES), 128);
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_PACKETS), 1);
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_BYTES), 128);
	CHECK_EQ(psp_dp_entry_query(net.a.dp, pair.ab.egr_acl, &stats), 0);
	CHECK(stats.packets == 1 && stats.bytes == 128 && stats.last_used_ns != 0);
	CHECK_EQ(psp_dp_pipe_query(net.a.dp, pair.ga.egr_acl, &stats), 0);
	CHECK(stats.entries == 1 && stats.packets == 1 && stats.miss_packets == 1);
	CHECK_EQ(psp_dp_crypto_query(net.a.dp, 1, &stats), 0);
	CHECK(stats.packets == 1 && stats.bytes == 128);
	SUB(expect_accounts());
}

static void packets_travel_both_ways(void)
{
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK(tunnel_up(&net.b, &net.a, &pair.gb, &pair.ga, 1, &pair.ba));
	SUB(expect_delivery(&net.a, &net.b, 50, 1000));
	SUB(expect_delivery(&net.b, &net.a, 50, 10));
	CHECK_EQ(graph_count(net.a.dp, SOFT_TX_PACKETS), 50);
	CHECK_EQ(graph_count(net.a.dp, SOFT_RX_PACKETS), 50);
	SUB(expect_accounts());
}

struct flood {
	uint32_t n;
	_Atomic uint32_t sent;
	uint32_t pause_us;
};

static void *flood(void *arg)
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

/* Reads what arrives at B until nothing has for 300 ms. */
static uint32_t drain(uint32_t *last, bool *in_order)
{
	uint32_t n = 0;

	while (net_recv(&net.b, &got, 300)) {
		uint32_t number = net_number(&got);

		*in_order &= n == 0 || number > *last;
		*last = number;
		n++;
	}
	return n;
}

/* Entry and release come while packets go on: nothing is lost, and nothing overtakes what was held. */
static void release_amid_traffic_keeps_the_order(void)
{
	struct psp_dp_config config = {.hold_packets_per_flow = 100000};
	struct flood f = {.n = 3000, .pause_us = 10};
	struct psp_dp_event miss;
	struct pair pair;
	pthread_t thread;
	uint32_t packets, last = 0, n;
	bool in_order = true;

	CHECK(pair_open(&pair, -1, &config));
	CHECK_EQ(pthread_create(&thread, NULL, flood, &f), 0);
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	while (atomic_load(&f.sent) < f.n / 3)
		usleep(100);
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	usleep(500); /* the entry is in, the release is not yet */
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), 0);
	CHECK(packets > 0);
	n = drain(&last, &in_order);
	pthread_join(thread, NULL);
	CHECK_EQ(n, f.n);
	CHECK_EQ(last, f.n - 1);
	CHECK(in_order);
	CHECK_EQ(graph_count(net.a.dp, SOFT_HELD_RELEASED),
		 graph_count(net.a.dp, SOFT_HELD_PACKETS));
	CHECK_EQ(graph_count(net.a.dp, SOFT_HELD_RELEASED), packets);
	SUB(expect_accounts());
}

static void refused_flow_is_dropped_for_a_while(void)
{
	struct psp_dp_event miss;
	struct pair pair;
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &net.a, &net.b, i, 64);
		CHECK(net_send(&net.a, &sent));
	}
	CHECK(graph_wait(net.a.dp, SOFT_HELD_PACKETS, 3));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	CHECK_EQ(psp_dp_held_drop(net.a.dp, miss.flow, PSP_DP_DROP_REASONS, 0, &packets),
		 PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_held_drop(net.a.dp, miss.flow, PSP_DP_DROP_REFUSED, 60000, &packets), 0);
	CHECK_EQ(packets, 3);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, SOFT_DROP_REFUSED, 4));
	CHECK_EQ(psp_dp_hold_off_clear(net.a.dp), 0);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	/* A pipe that goes takes along what waits at it. */
	CHECK_EQ(psp_dp_pipe_destroy(net.a.dp, pair.ga.root), 0);
	CHECK_EQ(psp_dp_pipe_destroy(net.a.dp, pair.ga.egr_acl), 0);
	CHECK_EQ(graph_count(net.a.dp, SOFT_DROP_SHUTDOWN), 1);
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), PSP_DP_ENOENT);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, SOFT_HOST_UNMATCHED, 1));
	SUB(expect_accounts());
}

/* ---- super-frames ---------------------------------------------------------------------------- */

/* Sends one super-frame; collects what arrives; its payload must be the same. */
static void expect_stream(uint32_t segments, uint32_t mss, uint32_t *frames)
{
	static uint8_t stream[SOFT_FRAME_MAX];
	uint32_t len, have = 0;

	net_tso(&sent, &net.a, &net.b, segments, mss);
	len = sent.packet.len - sent.packet.payload_off;
	CHECK(net_send(&net.a, &sent));
	*frames = 0;
	while (have < len && net_recv(&net.b, &got, 5000)) {
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

static void super_frames_stay_whole(void)
{
	struct pair pair;
	uint32_t frames;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	SUB(expect_stream(40, 1400, &frames));
	CHECK(frames <= 2);
	CHECK_EQ(graph_count(net.a.dp, SOFT_TX_PACKETS), 40);
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_PACKETS), 40);
	CHECK(graph_wait(net.b.dp, SOFT_HOST_TX_PACKETS, 40)); /* counted once it has gone */
	SUB(expect_accounts());
}

static void super_frames_are_held_whole(void)
{
	struct pair pair;
	struct psp_dp_event miss;
	uint32_t packets;

	CHECK(pair_open(&pair, -1, NULL));
	net_tso(&sent, &net.a, &net.b, 30, 1000);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_MISS, &miss, NULL, 0));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK_EQ(psp_dp_held_release(net.a.dp, miss.flow, &packets), 0);
	CHECK_EQ(packets, 30);
	CHECK(graph_wait(net.b.dp, SOFT_HOST_TX_PACKETS, 30));
	SUB(expect_accounts());
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* Reads the samples that are there; *octets: of IP, in all. */
static uint32_t samples(struct psp_dp *dp, uint32_t spi, uint32_t *octets)
{
	static uint8_t buf[1u << 20];
	uint32_t len = 0, n = 0;

	*octets = 0;
	if (psp_dp_event_wait(dp, buf, sizeof(buf), 100, &len) != 0)
		return 0;
	for (uint32_t at = 0; at < len;) {
		struct psp_dp_event event;

		memcpy(&event, buf + at, sizeof(event));
		at += event.record_size;
		if (event.type != PSP_DP_EVENT_SAMPLE || event.spi != spi)
			continue;
		*octets += event.packet_len;
		n++;
	}
	return n;
}

static void all_packets_are_sampled_with_an_empty_mask(void)
{
	struct pair pair;
	struct psp_dp_event event;
	uint8_t data[128], vip[16];
	uint32_t octets, frames;

	CHECK(pair_open(&pair, 0, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 9, &pair.ab));
	SUB(expect_delivery(&net.a, &net.b, 1, 500));
	graph_map(vip, net.a.vip);
	for (uint32_t side = 0; side < 2; side++) {
		CHECK(graph_event(side == 0 ? net.a.dp : net.b.dp, PSP_DP_EVENT_SAMPLE, &event, data,
				  sizeof(data)));
		CHECK_EQ(event.spi, pair.ab.key.spi);
		CHECK_EQ(event.packet_len, 528);
		CHECK_EQ(event.data_len, 128);
		CHECK_EQ(event.egress, side == 0);
		CHECK_MEM(event.src, vip, 16);
		CHECK_MEM(data, sent.packet.frame + 14, 128);
	}
	SUB(expect_stream(20, 1000, &frames));
	CHECK_EQ(samples(net.a.dp, pair.ab.key.spi, &octets), 20);
	CHECK_EQ(octets, 20 * 1000 - 500 + 20 * 40);
	CHECK_EQ(samples(net.b.dp, pair.ab.key.spi, &octets), 20);
	CHECK_EQ(octets, 20 * 1000 - 500 + 20 * 40);
	SUB(expect_accounts());
}

/* One in 4, drawn for each packet of a super-frame; the stream is none the worse for it. */
static void super_frames_are_sampled_by_the_packet(void)
{
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	struct pair pair;
	uint32_t octets, frames, n;

	CHECK(pair_open(&pair, 2, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 9, &pair.ab));
	for (uint32_t i = 0; i < 50; i++)
		SUB(expect_stream(40, 1400, &frames));
	CHECK_EQ(graph_count(net.a.dp, SOFT_TX_PACKETS), 2000);
	CHECK(graph_wait(net.b.dp, SOFT_HOST_TX_PACKETS, 2000)); /* counted once it has gone */
	n = samples(net.a.dp, pair.ab.key.spi, &octets);
	CHECK(n > 350 && n < 650); /* 500, give or take 8 standard deviations */
	CHECK_EQ(graph_count(net.a.dp, SOFT_SAMPLES), n);
	CHECK_EQ(samples(net.b.dp, pair.ab.key.spi, &octets), n);
	CHECK_EQ(psp_dp_entry_query(net.a.dp, pair.ga.samp_entry, &stats), 0);
	CHECK_EQ(stats.packets, n);
	SUB(expect_accounts());
}

/* ---- what must not pass ---------------------------------------------------------------------- */

static void clear_text_never_leaves_the_uplink(void)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;
	uint32_t pipe;

	CHECK(planes_open(NULL));
	graph_pipe(&p, "ROOT", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	p.match_mask.outer_l4_dst_port = 0xffff;
	graph_fwd(&p.fwd, PSP_DP_FWD_PORT, PSP_DP_PORT_UPLINK);
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PORT, PSP_DP_PORT_UPLINK);
	CHECK_EQ(psp_dp_pipe_create(net.a.dp, &p, &pipe), 0);
	/* Encapsulated, but not to be encrypted. */
	graph_entry(&e);
	e.match.outer_l4_dst_port = 5000;
	e.actions.flags = PSP_DP_ACTION_ENCAP;
	graph_encap(&e.actions, &net.a, &net.b, &(struct psp_dp_key){.spi = 5});
	CHECK(graph_add(net.a.dp, pipe, &e, NULL));
	CHECK_EQ(psp_dp_start(net.a.dp), 0);
	CHECK_EQ(psp_dp_start(net.b.dp), 0);
	net_udp(&sent, &net.a, &net.b, 0, 64);
	CHECK(net_send(&net.a, &sent));
	psp_put16(sent.packet.frame + 36, 5001); /* a miss */
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, SOFT_TX_ERROR, 2));
	usleep(20000);
	CHECK_EQ(graph_count(net.a.dp, SOFT_TX_PACKETS), 0);
	CHECK_EQ(graph_count(net.b.dp, SOFT_UPLINK_RX_PACKETS), 0);
	SUB(expect_accounts());
}

static void only_opened_packets_reach_the_host(void)
{
	struct psp_dp_pipe_desc p;
	uint32_t pipe;

	CHECK(planes_open(NULL));
	graph_pipe(&p, "ROOT", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PORT, PSP_DP_PORT_HOST);
	CHECK_EQ(psp_dp_pipe_create(net.b.dp, &p, &pipe), 0);
	CHECK_EQ(psp_dp_start(net.b.dp), 0);
	net_udp(&sent, &net.a, &net.b, 0, 64);
	memcpy(sent.packet.frame, net.b.up_mac, 6);
	CHECK_EQ(psp_dp_inject(net.a.dp, PSP_DP_PORT_UPLINK, sent.packet.frame, sent.packet.len), 0);
	CHECK(graph_wait(net.b.dp, SOFT_HOST_REFUSED, 1));
	CHECK(!net_recv(&net.b, &got, 50));
	SUB(expect_accounts());
}

static void expired_key_fails_closed(void)
{
	struct pair pair;
	struct psp_dp_stats stats = {.size = sizeof(stats)};

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(graph_receive(&net.a, &net.b, &pair.gb, PSP_AES_GCM_128, &pair.ab));
	pair.ab.key.iv_limit = 3;
	CHECK(graph_transmit(&net.a, &net.b, &pair.ga, 1, &pair.ab));
	SUB(expect_delivery(&net.a, &net.b, 3, 64));
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, SOFT_TX_KEY_EXPIRED, 1));
	CHECK_EQ(psp_dp_crypto_query(net.a.dp, 1, &stats), 0);
	CHECK_EQ(stats.packets, 3);
	CHECK_EQ(psp_dp_crypto_clear(net.a.dp, 1), 0);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, SOFT_TX_KEY_EXPIRED, 2));
	CHECK_EQ(psp_dp_crypto_clear(net.a.dp, 1), PSP_DP_ENOENT);
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_PACKETS), 3);
	SUB(expect_accounts());
}

static void packet_without_an_entry_has_no_sa(void)
{
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	CHECK_EQ(psp_dp_entry_remove(net.b.dp, pair.ab.ingr_acl), 0);
	net_udp(&sent, &net.a, &net.b, 0, 64);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.b.dp, SOFT_RX_NO_SA, 1));
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_PACKETS), 1);
	SUB(expect_accounts());
}

static void forged_packets_are_counted_and_reported_once_a_second(void)
{
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	struct psp_dp_actions encap = {.size = 0};
	struct psp_dp_key key = {.spi = 0x1234, .version = 1};
	struct psp_dp_event event;
	struct pair pair;
	uint8_t frame[200] = {0}, buf[1000], pip[16];
	uint32_t len;

	CHECK(pair_open(&pair, -1, NULL));
	graph_encap(&encap, &net.a, &net.b, &key);
	memcpy(frame, encap.encap_data, encap.encap_size);
	psp_put16(frame + 16, sizeof(frame) - 14);
	psp_put16(frame + 38, sizeof(frame) - 34);
	soft_csum_ipv4(frame + 14);
	for (uint32_t i = 0; i < 5; i++)
		CHECK_EQ(psp_dp_inject(net.a.dp, PSP_DP_PORT_UPLINK, frame, sizeof(frame)), 0);
	CHECK(graph_wait(net.b.dp, SOFT_RX_AUTH_FAIL, 5));
	CHECK(graph_event(net.b.dp, PSP_DP_EVENT_SYNDROME, &event, NULL, 0));
	CHECK_EQ(event.spi, key.spi);
	CHECK_EQ(event.syndrome, PSP_DP_SYNDROME_ICV);
	graph_map(pip, net.a.pip);
	CHECK_MEM(event.src, pip, 16);
	CHECK_EQ(psp_dp_event_wait(net.b.dp, buf, sizeof(buf), 20, &len), 0);
	CHECK_EQ(len, 0);
	frame[45] = 9 << 2 | 1; /* version 9 */
	CHECK_EQ(psp_dp_inject(net.a.dp, PSP_DP_PORT_UPLINK, frame, sizeof(frame)), 0);
	CHECK(graph_wait(net.b.dp, SOFT_RX_BAD, 1));
	frame[45] = 1;
	frame[43] = 200; /* header extension past the end */
	CHECK_EQ(psp_dp_inject(net.a.dp, PSP_DP_PORT_UPLINK, frame, sizeof(frame)), 0);
	CHECK(graph_wait(net.b.dp, SOFT_RX_ERROR, 1));
	CHECK_EQ(psp_dp_pipe_query(net.b.dp, pair.gb.synd_stats, &stats), 0);
	CHECK_EQ(stats.packets, 7);
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_PACKETS), 0);
	SUB(expect_accounts());
}

static void second_rotation_kills_what_was_handed_out(void)
{
	struct psp_dp_master_key_info info = {.size = sizeof(info)};
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	SUB(expect_delivery(&net.a, &net.b, 2, 64));
	CHECK_EQ(psp_dp_master_key_rotate(net.b.dp), 0);
	CHECK_EQ(psp_dp_master_key_query(net.b.dp, &info), 0);
	CHECK(info.active == 1 && info.rotations == 1 && info.spis_left == SOFT_SPI_COUNT);
	SUB(expect_delivery(&net.a, &net.b, 2, 64));
	CHECK_EQ(psp_dp_master_key_rotate(net.b.dp), 0);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.b.dp, SOFT_RX_AUTH_FAIL, 1));
	CHECK_EQ(graph_count(net.b.dp, SOFT_STALE_EVENTS), 1);
	CHECK_EQ(graph_count(net.b.dp, SOFT_KEY_ROTATIONS), 2);
	SUB(expect_accounts());
}

/* ---- exceptions and limits ------------------------------------------------------------------- */

static void arp_goes_to_the_agent_and_the_reply_comes_back(void)
{
	struct psp_dp_event event;
	struct pair pair;
	uint8_t arp[60] = {0}, data[60];

	CHECK(pair_open(&pair, -1, NULL));
	memset(arp, 0xff, 6);
	memcpy(arp + 6, net.a.end_mac, 6);
	psp_put16(arp + 12, NET_TYPE_ARP);
	memset(&sent.packet, 0, sizeof(sent.packet));
	sent.packet.frame = sent.buf + SOFT_HEADROOM;
	sent.packet.len = sizeof(arp);
	memcpy(sent.packet.frame, arp, sizeof(arp));
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_EXCEPTION, &event, data, sizeof(data)));
	CHECK_EQ(event.data_len, sizeof(arp));
	CHECK_EQ(event.packet_len, sizeof(arp));
	CHECK_EQ(event.port, PSP_DP_PORT_HOST);
	CHECK_MEM(data, arp, sizeof(arp));
	memcpy(arp, net.a.end_mac, 6);
	CHECK_EQ(psp_dp_inject(net.a.dp, PSP_DP_PORT_HOST, arp, sizeof(arp)), 0);
	CHECK(net_recv(&net.a, &got, 5000));
	CHECK_MEM(got.packet.frame, arp, sizeof(arp));
	CHECK_EQ(psp_dp_inject(net.a.dp, 2, arp, sizeof(arp)), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_inject(net.a.dp, 1, arp, 13), PSP_DP_EINVAL);
	SUB(expect_accounts());
}

static void packet_that_does_not_fit_is_reported(void)
{
	struct psp_dp_event event;
	struct pair pair;
	uint8_t data[64];

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	for (uint32_t i = 0; i < 3; i++) {
		net_udp(&sent, &net.a, &net.b, i, 1440 - 28 + 1);
		CHECK(net_send(&net.a, &sent));
	}
	CHECK(graph_wait(net.a.dp, SOFT_TOO_BIG, 3));
	CHECK(graph_event(net.a.dp, PSP_DP_EVENT_TOO_BIG, &event, data, sizeof(data)));
	CHECK_EQ(event.mtu, 1440);
	CHECK_EQ(event.packet_len, 1441);
	CHECK_EQ(event.data_len, SOFT_TOO_BIG_BYTES);
	CHECK_MEM(data, sent.packet.frame + 14, 28);
	SUB(expect_delivery(&net.a, &net.b, 1, 1440 - 28));
	SUB(expect_accounts());
}

static void other_traffic_is_left_to_the_kernel(void)
{
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	net_udp(&sent, &net.a, &net.b, 0, 64);
	memcpy(sent.packet.frame, net.b.up_mac, 6);
	CHECK_EQ(psp_dp_inject(net.a.dp, PSP_DP_PORT_UPLINK, sent.packet.frame, sent.packet.len), 0);
	CHECK(graph_wait(net.b.dp, SOFT_UPLINK_KERNEL, 1));
	CHECK(!net_recv(&net.b, &got, 50));
	SUB(expect_accounts());
}

/* ---- change amid traffic --------------------------------------------------------------------- */

/* Make before break: the sender switches keys over and over, and no packet is lost. */
static void update_amid_traffic_loses_nothing(void)
{
	struct flood f = {.n = 4000, .pause_us = 5};
	struct psp_dp_entry_desc e;
	struct tunnel t[2];
	struct pair pair;
	pthread_t thread;
	uint32_t last = 0, n, updates = 0, stale[2];
	bool in_order = true;

	CHECK(pair_open(&pair, -1, NULL));
	for (uint32_t i = 0; i < 2; i++)
		CHECK(graph_receive(&net.a, &net.b, &pair.gb, PSP_AES_GCM_256, &t[i]));
	CHECK(graph_transmit(&net.a, &net.b, &pair.ga, 1, &t[0]));
	t[1].crypto_id = 2;
	CHECK_EQ(psp_dp_crypto_set(net.a.dp, 2, &t[1].key), 0);
	CHECK_EQ(pthread_create(&thread, NULL, flood, &f), 0);
	while (atomic_load(&f.sent) < f.n) {
		graph_egr_acl(&e, &net.a, &net.b, &t[++updates % 2]);
		CHECK_EQ(psp_dp_entry_update(net.a.dp, t[0].egr_acl, &e), 0);
		/* Others come and go beside it. */
		graph_egr_acl(&e, &net.b, &net.a, &t[0]);
		CHECK(graph_add(net.a.dp, pair.ga.egr_acl, &e, &stale[0]));
		CHECK_EQ(psp_dp_entry_remove(net.a.dp, stale[0]), 0);
		CHECK_EQ(psp_dp_entry_remove(net.a.dp, stale[0]), PSP_DP_ENOENT);
		usleep(200);
	}
	n = drain(&last, &in_order);
	pthread_join(thread, NULL);
	CHECK(updates > 10);
	CHECK_EQ(n, f.n);
	CHECK(in_order);
	CHECK_EQ(graph_count(net.b.dp, SOFT_RX_AUTH_FAIL) + graph_count(net.b.dp, SOFT_RX_NO_SA), 0);
	SUB(expect_accounts());
}

int main(void)
{
	static const struct {
		uint32_t id;
		const char *name;
	} backends[] = {{PSP_DP_BACKEND_OPENSSL, " [openssl]"}, {PSP_DP_BACKEND_IPSEC_MB, " [ipsec-mb]"}};

	if (!net_up(&net)) {
		printf("# no network namespaces here\n0 passed, 1 failed\n");
		return 1;
	}
	for (size_t i = 0; i < 2; i++) {
		if (psp_crypto_backend_by_id(backends[i].id) == NULL)
			continue;
		backend = backends[i].id;
		test_variant = backends[i].name;
#define RUN_CLOSED(test)                                                                           \
	do {                                                                                       \
		RUN(test);                                                                         \
		planes_close();                                                                    \
	} while (0)
		RUN_CLOSED(first_packet_waits_for_its_tunnel);
		RUN_CLOSED(packets_travel_both_ways);
		RUN_CLOSED(release_amid_traffic_keeps_the_order);
		RUN_CLOSED(refused_flow_is_dropped_for_a_while);
		RUN_CLOSED(super_frames_stay_whole);
		RUN_CLOSED(super_frames_are_held_whole);
		RUN_CLOSED(all_packets_are_sampled_with_an_empty_mask);
		RUN_CLOSED(super_frames_are_sampled_by_the_packet);
		RUN_CLOSED(clear_text_never_leaves_the_uplink);
		RUN_CLOSED(only_opened_packets_reach_the_host);
		RUN_CLOSED(expired_key_fails_closed);
		RUN_CLOSED(packet_without_an_entry_has_no_sa);
		RUN_CLOSED(forged_packets_are_counted_and_reported_once_a_second);
		RUN_CLOSED(second_rotation_kills_what_was_handed_out);
		RUN_CLOSED(arp_goes_to_the_agent_and_the_reply_comes_back);
		RUN_CLOSED(packet_that_does_not_fit_is_reported);
		RUN_CLOSED(other_traffic_is_left_to_the_kernel);
		RUN_CLOSED(update_amid_traffic_loses_nothing);
	}
	return test_summary();
}
