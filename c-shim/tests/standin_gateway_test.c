/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/*
 * The calls of NVIDIA's PSP gateway, in their order, for 3.0.0 and 3.3.0, with and without sampling: the stand-in
 * refuses none of them. Then a packet of a session goes out sealed, comes back and is opened.
 */
#include "standin_lab.h"

#if COMPAT_DOCA >= 302
#include "standin_gateway_33.h"
#else
#include "standin_gateway_30.h"
#endif

static uint8_t frame[DP_HEADROOM + 256];

/* UDP of the workload's, 100 octets of IP. */
static struct dp_packet workload_packet(void)
{
	struct dp_packet packet = {.frame = frame + DP_HEADROOM, .len = NET_ETH_LEN + 100};
	uint8_t *ip = packet.frame + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;

	memset(frame, 0x5a, sizeof(frame));
	memset(packet.frame, 0xff, 6);
	psp_put16(packet.frame + NET_ETH_TYPE, NET_TYPE_IPV4);
	memset(ip, 0, NET_IP4_LEN);
	ip[0] = 0x45;
	psp_put16(ip + NET_IP4_TOTAL, 100);
	ip[8] = 64;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put32(ip + NET_IP4_SRC, SOURCE);
	psp_put32(ip + NET_IP4_DST, TARGET);
	dp_csum_ipv4(ip);
	psp_put16(udp + NET_UDP_DST, 9);
	psp_put16(udp + NET_UDP_LENGTH, 80);
	psp_put16(udp + 6, 0);
	return packet;
}

static uint8_t received[DP_HEADROOM + DP_FRAME_MAX];

static bool receive(struct soft_port *port, struct dp_packet *packet)
{
	for (uint32_t i = 0; i < 2000; i++) {
		if (soft_port_recv(port, received, sizeof(received), packet, 1) == 1)
			return true;
		usleep(1000);
	}
	return false;
}

static void replay(void)
{
	struct dp_packet packet = workload_packet(), got;
	struct doca_flow_pipe_entry *out, *in;
	uint8_t sent[256];
	bool retry;

	memset(&pipes, 0, sizeof(pipes));
	CHECK_EQ(start(), DOCA_SUCCESS);
	CHECK_EQ(start_ports(), DOCA_SUCCESS);
	CHECK_EQ(take_ids(), DOCA_SUCCESS);
	CHECK_EQ(build(), DOCA_SUCCESS);
	CHECK_EQ(draw_key(), DOCA_SUCCESS);
	CHECK_EQ(add_session(&out, &in), DOCA_SUCCESS);
	memcpy(sent, packet.frame, packet.len);
	CHECK_EQ(soft_port_send(lab.workload, &packet, &retry), 0);
	CHECK(receive(lab.wire, &got));
	CHECK(dp_parse(&got));
	CHECK_EQ(got.fields.tun_psp_spi, session_spi);
	CHECK_EQ(got.len, NET_ETH_LEN + 100 + (OUTER4 - NET_ETH_LEN) + 16);
	CHECK_EQ(soft_port_send(lab.wire, &got, &retry), 0);
	CHECK(receive(lab.workload, &got));
	CHECK_MEM(got.frame + NET_ETH_LEN, sent + NET_ETH_LEN, 100);
	CHECK_EQ(hits(out, 1), 1);
	CHECK_EQ(hits(in, 1), 1);
	/* It removes the entry with which a session leaves, and waits for one completion. */
	CHECK_EQ(doca_flow_pipe_remove_entry(0, COMPAT_NO_WAIT, out), DOCA_SUCCESS);
	CHECK_EQ(doca_flow_entries_process(lab.ports[0], 0, WAIT_US, 1), DOCA_SUCCESS);
	CHECK_EQ(doca_flow_crypto_psp_master_key_rotate(lab.ports[0]), DOCA_SUCCESS);
}

/* ---- what cannot be opened, from 3.2 on ------------------------------------------------------ */

static bool loop(struct dp_packet *packet)
{
	bool retry;

	return soft_port_send(lab.wire, packet, &retry) == 0;
}

static uint64_t undecrypted(void)
{
	struct doca_flow_resource_query query = {{0, 0}};

	(void)doca_flow_resource_query_pipe_miss(pipes.decrypt, &query);
	return query.counter.total_pkts;
}

/* One of the session's, sealed, as it is on the wire. */
static bool sealed(struct dp_packet *packet)
{
	struct dp_packet clear = workload_packet();
	bool retry;

	return soft_port_send(lab.workload, &clear, &retry) == 0 && receive(lab.wire, packet) &&
	       dp_parse(packet);
}

/* A packet whose ICV is wrong, and a right one behind it: what the list counts as missed. */
static void spoil_one(uint64_t *missed)
{
	static uint8_t copy[DP_HEADROOM + 256];
	struct dp_packet packet, bad, got;

	CHECK(sealed(&packet));
	bad = packet;
	bad.frame = copy + DP_HEADROOM;
	memcpy(bad.frame, packet.frame, packet.len);
	bad.frame[packet.len - 1] ^= 1;
	CHECK(loop(&bad));
	CHECK(loop(&packet));
	CHECK(receive(lab.workload, &got));
	*missed = undecrypted();
}

static void what_a_list_cannot_decrypt_misses_there(void)
{
	struct doca_flow_pipe_entry *out, *in;
	uint64_t before, after;

	if (COMPAT_DOCA < 302)
		return;
	doca_standin_hold(DOCA_STANDIN_STALE, false);
	sampling = false;
	CHECK_EQ(start(), DOCA_SUCCESS);
	CHECK_EQ(start_ports(), DOCA_SUCCESS);
	CHECK_EQ(take_ids(), DOCA_SUCCESS);
	CHECK_EQ(build(), DOCA_SUCCESS);
	CHECK_EQ(draw_key(), DOCA_SUCCESS);
	CHECK_EQ(add_session(&out, &in), DOCA_SUCCESS);
	before = undecrypted();
	SUB(spoil_one(&after));
	CHECK_EQ(after, before + 1);
	doca_standin_hold(DOCA_STANDIN_DECRYPT_MISS, false);
	SUB(spoil_one(&after));
	CHECK_EQ(after, before + 1);
	doca_standin_hold(DOCA_STANDIN_DECRYPT_MISS, true);
	doca_standin_hold(DOCA_STANDIN_STALE, true);
}

/* Ports with all their pipes, the representor's first; then the library. */
static void stop(void)
{
	for (uint32_t i = 2; i-- > 0;) {
		if (lab.ports[i] != NULL)
			(void)doca_flow_port_stop(lab.ports[i]);
		lab.ports[i] = NULL;
	}
	doca_flow_destroy();
}

static void without_sampling_nothing_is_refused(void)
{
	sampling = false;
	replay();
}

static void with_sampling_nothing_is_refused(void)
{
	sampling = true;
	replay();
}

int main(void)
{
	lab.n_queues = QUEUES;
	if (!lab_up() || !lab_eal() || !lab_device() || !lab_queues() || !lab_far_ends()) {
		printf("not ok the lab does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(without_sampling_nothing_is_refused);
	stop();
	RUN(with_sampling_nothing_is_refused);
	stop();
	RUN(what_a_list_cannot_decrypt_misses_there);
	stop();
	lab_close_device();
	return test_summary();
}
