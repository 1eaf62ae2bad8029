/* SPDX-License-Identifier: Apache-2.0 */
/* What must not pass, and what is said of it. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

static void clear_text_never_leaves_the_uplink(void)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;
	uint32_t pipe;

	CHECK(planes_open(NULL));
	graph_pipe(&p, "ROOT", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	p.match_mask.outer_l4_dst_port = 0xffff;
	graph_fwd(&p.fwd, PSP_DP_FWD_PORT, UPLINK);
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PORT, UPLINK);
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
	CHECK(graph_wait(net.a.dp, DP_TX_ERROR, 2));
	usleep(20000);
	CHECK_EQ(graph_count(net.a.dp, DP_TX_PACKETS), 0);
	CHECK_EQ(graph_count(net.b.dp, DP_UPLINK_RX_PACKETS), 0);
	SUB(expect_accounts());
}

static void only_opened_packets_reach_the_host(void)
{
	struct psp_dp_pipe_desc p;
	uint32_t pipe;

	CHECK(planes_open(NULL));
	graph_pipe(&p, "ROOT", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PORT, HOST);
	CHECK_EQ(psp_dp_pipe_create(net.b.dp, &p, &pipe), 0);
	CHECK_EQ(psp_dp_start(net.b.dp), 0);
	net_udp(&sent, &net.a, &net.b, 0, 64);
	memcpy(sent.packet.frame, net.b.up_mac, 6);
	CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, sent.packet.frame, sent.packet.len), 0);
	CHECK(graph_wait(net.b.dp, DP_HOST_REFUSED, 1));
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
	CHECK(graph_wait(net.a.dp, DP_TX_KEY_EXPIRED, 1));
	CHECK_EQ(psp_dp_crypto_query(net.a.dp, 1, &stats), 0);
	CHECK_EQ(stats.packets, 3);
	CHECK_EQ(stats.bytes, 3 * 92);
	CHECK_EQ(psp_dp_crypto_clear(net.a.dp, 1), 0);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, DP_TX_KEY_EXPIRED, 2));
	CHECK_EQ(psp_dp_crypto_clear(net.a.dp, 1), PSP_DP_ENOENT);
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), 3);
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
	CHECK(graph_wait(net.b.dp, DP_RX_NO_SA, 1));
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), 1);
	SUB(expect_accounts());
}

/* B asks for 12 words in clear of what A sends it; A's header says `offset`. The packet has `payload` octets. */
static void send_with_offset(const struct pair *pair, uint8_t offset, uint32_t payload)
{
	struct psp_dp_entry_desc e;

	graph_egr_acl(&e, &net.a, &net.b, &pair->ab);
	e.actions.encap_data[e.actions.encap_size - PSP_HEADER_LEN + 2] = offset;
	CHECK_EQ(psp_dp_entry_update(net.a.dp, pair->ab.egr_acl, &e), 0);
	net_udp(&sent, &net.a, &net.b, offset, payload);
	CHECK(net_send(&net.a, &sent));
}

static void only_the_crypt_offset_that_was_asked_for_is_taken(void)
{
	/* Inner IPv4 and UDP headers are 7 words: with 19 octets behind them a packet has 11, and 3 octets. */
	static const struct {
		uint8_t offset;
		uint32_t payload;
		bool taken;
	} rows[] = {
		{12, 200, true}, {63, 200, false}, {13, 200, false}, {11, 200, false},
		{0, 200, false}, {12, 20, true},   {12, 19, true},   {63, 19, true},
		{10, 19, false}, {7, 19, false},   {12, 0, true},    {7, 0, true},
		{6, 0, false},
	};
	struct psp_dp_entry_desc e;
	uint64_t dropped = 0;
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	graph_entry(&e);
	memcpy(e.actions.eth_dst, net.b.end_mac, 6);
	memcpy(e.actions.eth_src, net.b.host_mac, 6);
	e.actions.flags = PSP_DP_ACTION_CHECK_CRYPT_OFFSET;
	e.actions.crypt_offset = 64;
	CHECK_EQ(psp_dp_entry_update(net.b.dp, pair.ab.ingr_acl, &e), PSP_DP_EINVAL);
	CHECK(graph_says(net.b.dp, "crypt offset 64 is not within 0 to 63"));
	e.actions.crypt_offset = 12;
	CHECK_EQ(psp_dp_entry_update(net.b.dp, pair.ab.ingr_acl, &e), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("offset %u, %u octets", rows[i].offset, rows[i].payload);
		SUB(send_with_offset(&pair, rows[i].offset, rows[i].payload));
		if (rows[i].taken) {
			CHECK(net_recv(&net.b, &got, NET_HANG_MS));
			CHECK_EQ(got.packet.len, sent.packet.len);
		} else {
			CHECK(graph_wait(net.b.dp, DP_RX_CRYPT_OFFSET, ++dropped));
		}
		CHECK_EQ(graph_count(net.b.dp, DP_RX_CRYPT_OFFSET), dropped);
	}
	CHECK(!net_recv(&net.b, &got, 50));
	/* They were authentic, and are nothing to report. */
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), sizeof(rows) / sizeof(rows[0]));
	SUB(expect_accounts());
}

/* A packet of tunnel ab with this IV, as a recorder on the wire has it. */
static bool record(const struct pair *pair, uint64_t iv, uint8_t frame[200], uint32_t *len)
{
	struct psp_dp_actions encap = {.size = 0};
	uint32_t head, inner, sealed;
	uint8_t clear[200];

	graph_encap(&encap, &net.a, &net.b, &pair->ab.key);
	head = encap.encap_size - PSP_HEADER_LEN;
	net_udp(&sent, &net.a, &net.b, (uint32_t)iv, 20);
	inner = sent.packet.len - NET_ETH_LEN;
	memcpy(frame, encap.encap_data, head);
	memcpy(clear, encap.encap_data + head, PSP_HEADER_LEN);
	clear[0] = PSP_NEXT_IPV4;
	psp_put64(clear + 8, iv);
	memcpy(clear + PSP_HEADER_LEN, sent.packet.frame + NET_ETH_LEN, inner);
	if (psp_dp_seal(PSP_DP_BACKEND_OPENSSL, &pair->ab.key, clear, PSP_HEADER_LEN + inner,
			frame + head, 200 - head, &sealed) != 0)
		return false;
	*len = head + sealed;
	psp_put16(frame + NET_ETH_LEN + NET_IP4_TOTAL, (uint16_t)(*len - NET_ETH_LEN));
	psp_put16(frame + head - 4, (uint16_t)(sealed + NET_UDP_LEN));
	dp_csum_ipv4(frame + NET_ETH_LEN);
	return true;
}

static bool replay(const struct pair *pair, uint64_t iv, uint32_t times)
{
	uint8_t frame[200];
	uint32_t len;

	if (!record(pair, iv, frame, &len))
		return false;
	for (uint32_t i = 0; i < times; i++) {
		if (psp_dp_inject(net.a.dp, UPLINK, frame, len) != 0)
			return false;
	}
	return true;
}

static bool check_replays(const struct pair *pair, uint32_t flag, uint32_t window, int32_t status)
{
	struct psp_dp_entry_desc e;

	graph_ingr_acl(&e, &net.a, &net.b, &pair->ab);
	e.actions.flags |= flag;
	e.actions.replay_window = window;
	return psp_dp_entry_update(net.b.dp, pair->ab.ingr_acl, &e) == status;
}

static void recorded_packet_is_delivered_once(void)
{
	const uint64_t run = UINT64_C(5) << 40;
	const uint32_t flag = PSP_DP_ACTION_CHECK_REPLAY;
	struct pair pair;
	uint64_t replays = 0;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(graph_receive(&net.a, &net.b, &pair.gb, PSP_AES_GCM_256, &pair.ab));
	/* Without a window each copy is delivered, as PSP leaves it. */
	CHECK(replay(&pair, run, 3));
	for (uint32_t i = 0; i < 3; i++)
		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK(check_replays(&pair, flag, 0, PSP_DP_EINVAL));
	CHECK(check_replays(&pair, flag, 1023, PSP_DP_EINVAL));
	CHECK(check_replays(&pair, flag, 65537, PSP_DP_EINVAL));
	CHECK(check_replays(&pair, flag, 4096, 0));
	CHECK(replay(&pair, run + 1, 1001));
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK(graph_wait(net.b.dp, DP_RX_REPLAY, replays += 1000));
	/* In any order within the window. */
	for (uint32_t i = 4095; i > 0; i -= 5) {
		CHECK(replay(&pair, run + 1 + i, 1));
		CHECK(net_recv(&net.b, &got, NET_HANG_MS));
		CHECK_EQ(net_number(&got), 1 + i);
	}
	CHECK_EQ(graph_count(net.b.dp, DP_RX_REPLAY), replays);
	/* What has come is known through an update, and while the check was off, and the window stays as large. */
	CHECK(check_replays(&pair, flag, 8192, PSP_DP_EINVAL));
	CHECK(graph_says(net.b.dp, "its replay_window is 4096"));
	CHECK(check_replays(&pair, 0, 0, 0));
	CHECK(replay(&pair, run + 6, 1));
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK(check_replays(&pair, flag, 4096, 0));
	CHECK(replay(&pair, run + 6, 1));
	CHECK(graph_wait(net.b.dp, DP_RX_REPLAY, ++replays));
	/* A forged one moves nothing. */
	pair.ab.key.key[0] ^= 1;
	CHECK(replay(&pair, run + 100000, 1));
	CHECK(graph_wait(net.b.dp, DP_RX_AUTH_FAIL, 1));
	pair.ab.key.key[0] ^= 1;
	CHECK(replay(&pair, run + 4097, 1));
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK(!net_recv(&net.b, &got, 50));
	SUB(expect_accounts());
}

/* What a super-frame is cut into has an IV each: the window takes them all, once. */
static void sender_and_window_agree_under_load(void)
{
	struct pair pair;
	uint32_t frames;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(graph_receive(&net.a, &net.b, &pair.gb, PSP_AES_GCM_128, &pair.ab));
	CHECK(check_replays(&pair, PSP_DP_ACTION_CHECK_REPLAY, 4096, 0));
	pair.ab.key.iv_start = UINT64_C(0xffffff) << 40;
	CHECK(graph_transmit(&net.a, &net.b, &pair.ga, 1, &pair.ab));
	for (uint32_t i = 0; i < 100; i++)
		SUB(expect_stream(40, 1400, &frames));
	SUB(expect_delivery(&net.a, &net.b, 100, 64));
	CHECK_EQ(graph_count(net.b.dp, DP_RX_REPLAY), 0);
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
	dp_csum_ipv4(frame + 14);
	for (uint32_t i = 0; i < 5; i++)
		CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, frame, sizeof(frame)), 0);
	CHECK(graph_wait(net.b.dp, DP_RX_AUTH_FAIL, 5));
	CHECK(graph_event(net.b.dp, PSP_DP_EVENT_SYNDROME, &event, NULL, 0));
	CHECK_EQ(event.spi, key.spi);
	CHECK_EQ(event.syndrome, PSP_DP_SYNDROME_ICV);
	graph_map(pip, net.a.pip);
	CHECK_MEM(event.src, pip, 16);
	CHECK_EQ(psp_dp_event_wait(net.b.dp, buf, sizeof(buf), 20, &len), 0);
	CHECK_EQ(len, 0);
	frame[45] = 9 << 2 | 1; /* version 9 */
	CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, frame, sizeof(frame)), 0);
	CHECK(graph_wait(net.b.dp, DP_RX_BAD, 1));
	frame[45] = 1;
	frame[43] = 200; /* header extension past the end */
	CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, frame, sizeof(frame)), 0);
	CHECK(graph_wait(net.b.dp, DP_RX_ERROR, 1));
	CHECK_EQ(psp_dp_pipe_query(net.b.dp, pair.gb.synd_stats, &stats), 0);
	CHECK_EQ(stats.packets, 7);
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), 0);
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
	CHECK(info.active == 1 && info.rotations == 1 && info.spis_left == DP_SPI_COUNT);
	SUB(expect_delivery(&net.a, &net.b, 2, 64));
	CHECK_EQ(psp_dp_master_key_rotate(net.b.dp), 0);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.b.dp, DP_RX_AUTH_FAIL, 1));
	/* Its worker looks at its keys after the batch, or before. */
	CHECK(graph_wait(net.b.dp, DP_STALE_EVENTS, 1));
	CHECK_EQ(graph_count(net.b.dp, DP_KEY_ROTATIONS), 2);
	SUB(expect_accounts());
}

/* Authentic, but with D set: it is sampled, and goes no further. */
static void packet_to_be_dropped_is_sampled_and_dropped(void)
{
	struct psp_dp_actions encap = {.size = 0};
	struct psp_dp_event event;
	struct pair pair;
	uint8_t frame[300];
	uint32_t len, inner;

	CHECK(pair_open(&pair, 0, NULL));
	CHECK(graph_receive(&net.a, &net.b, &pair.gb, PSP_AES_GCM_256, &pair.ab));
	net_udp(&sent, &net.a, &net.b, 0, 64);
	inner = sent.packet.len - NET_ETH_LEN;
	graph_encap(&encap, &net.a, &net.b, &pair.ab.key);
	memcpy(frame, encap.encap_data, encap.encap_size);
	frame[45] |= PSP_FLAG_S | PSP_FLAG_D;
	frame[57] = 1; /* the IV's last octet */
	memcpy(frame + 58, sent.packet.frame + NET_ETH_LEN, inner);
	CHECK_EQ(psp_dp_seal(backend, &pair.ab.key, frame + 42, PSP_HEADER_LEN + inner, frame + 42,
			     sizeof(frame) - 42, &len),
		 0);
	len += 42;
	psp_put16(frame + 16, (uint16_t)(len - 14));
	psp_put16(frame + 38, (uint16_t)(len - 34));
	dp_csum_ipv4(frame + 14);
	CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, frame, len), 0);
	CHECK(graph_wait(net.b.dp, DP_RX_POLICY, 1));
	CHECK(graph_event(net.b.dp, PSP_DP_EVENT_SAMPLE, &event, NULL, 0));
	CHECK_EQ(event.packet_len, inner);
	CHECK(!net_recv(&net.b, &got, 20));
	CHECK_EQ(graph_count(net.b.dp, DP_RX_PACKETS), 1);
	SUB(expect_accounts());
}

static void loop_of_pipes_is_cut(void)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;
	uint32_t down, root;

	CHECK(planes_open(NULL));
	graph_pipe(&p, "DOWN", PSP_DP_PIPE_BASIC);
	CHECK_EQ(psp_dp_pipe_create(net.a.dp, &p, &down), 0);
	graph_pipe(&p, "ROOT", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PIPE, down);
	CHECK_EQ(psp_dp_pipe_create(net.a.dp, &p, &root), 0);
	graph_entry(&e);
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, root);
	CHECK(graph_add(net.a.dp, down, &e, NULL));
	CHECK_EQ(psp_dp_start(net.a.dp), 0);
	net_udp(&sent, &net.a, &net.b, 0, 64);
	CHECK(net_send(&net.a, &sent));
	CHECK(graph_wait(net.a.dp, DP_DROP_LOOP, 1));
	SUB(expect_accounts());
}

static void run(void)
{
	RUN_CLOSED(clear_text_never_leaves_the_uplink);
	RUN_CLOSED(only_opened_packets_reach_the_host);
	RUN_CLOSED(expired_key_fails_closed);
	RUN_CLOSED(packet_without_an_entry_has_no_sa);
	RUN_CLOSED(only_the_crypt_offset_that_was_asked_for_is_taken);
	RUN_CLOSED(recorded_packet_is_delivered_once);
	RUN_CLOSED(sender_and_window_agree_under_load);
	RUN_CLOSED(forged_packets_are_counted_and_reported_once_a_second);
	RUN_CLOSED(second_rotation_kills_what_was_handed_out);
	RUN_CLOSED(packet_to_be_dropped_is_sampled_and_dropped);
	RUN_CLOSED(loop_of_pipes_is_cut);
}

int main(void)
{
	return run_with_each_backend(run);
}
