/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare, explicit_bzero */
/*
 * The DOCA shim on its stand-in with several readers, each with queues of its own: a flow's packets come to one of them,
 * wait, and leave sealed in the order in which the workload sent them; what has no addresses comes as well.
 */
#include "../common/csum.h"
#include "../common/plane.h"
#include "standin_forms.h"

#define FLOWS 48u
#define EACH 6u
#define ALL (FLOWS * EACH)
#define WAIT_MS 20000u
#define PAYLOAD 8u /* flow, number */

static struct formed f;
static struct psp_dp_key key = {.size = sizeof(key)};
static uint32_t held[FLOWS];

/* ---- the workload ---------------------------------------------------------------------------- */

static bool send_from_workload(uint8_t *frame, uint32_t len)
{
	struct dp_packet packet = {.frame = frame, .len = len};
	bool retry = true;

	for (uint32_t i = 0; i < WAIT_MS && retry; i++) {
		retry = false;
		if (soft_port_send(lab.workload, &packet, &retry) == 0)
			return true;
		usleep(1000);
	}
	return false;
}

/* A UDP packet from 10.0.0.1 to 10.0.1.<flow>. */
static bool send_one(uint32_t flow, uint32_t number)
{
	static uint8_t buf[DP_HEADROOM + 128];
	uint8_t *eth = buf + DP_HEADROOM, *ip = eth + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	const uint32_t len = NET_IP4_LEN + NET_UDP_LEN + PAYLOAD;

	memset(buf, 0, sizeof(buf));
	memset(eth, 2, 12);
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)len);
	ip[NET_IP4_TTL] = 64;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put32(ip + NET_IP4_SRC, 0x0a000001);
	psp_put32(ip + NET_IP4_DST, 0x0a000100 + flow);
	dp_csum_ipv4(ip);
	psp_put16(udp, 4000);
	psp_put16(udp + NET_UDP_DST, 4001);
	psp_put16(udp + 4, NET_UDP_LEN + PAYLOAD);
	psp_put32(udp + NET_UDP_LEN, flow);
	psp_put32(udp + NET_UDP_LEN + 4, number);
	return send_from_workload(eth, NET_ETH_LEN + len);
}

static bool send_arp(void)
{
	static uint8_t buf[DP_HEADROOM + 64];
	uint8_t *eth = buf + DP_HEADROOM;

	memset(eth, 0xff, 6);
	memset(eth + 6, 2, 6);
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_ARP);
	return send_from_workload(eth, 60);
}

/* ---- the plane ------------------------------------------------------------------------------- */

static uint64_t counted(enum dp_counter counter)
{
	return dp_counter_sum(&((struct dp_plane *)(void *)f.dp)->counters, counter);
}

static bool reaches(enum dp_counter counter, uint64_t want)
{
	for (uint32_t i = 0; i < WAIT_MS && counted(counter) < want; i++)
		usleep(1000);
	return counted(counter) == want;
}

/* Notes what is held, by flow; how many flows and exceptions came. */
static void read_events(uint32_t *misses, uint32_t *exceptions)
{
	static uint8_t buf[65536];
	uint32_t len = 0;

	if (psp_dp_event_wait(f.dp, buf, sizeof(buf), 100, &len) != 0)
		return;
	for (uint32_t at = 0; at < len;) {
		struct psp_dp_event event;

		memcpy(&event, buf + at, sizeof(event));
		at += event.record_size;
		*exceptions += event.type == PSP_DP_EVENT_EXCEPTION ? 1 : 0;
		if (event.type != PSP_DP_EVENT_MISS || event.dst[15] >= FLOWS)
			continue;
		held[event.dst[15]] = event.flow;
		++*misses;
	}
}

static int32_t add_tunnel(uint32_t flow, uint32_t *entry)
{
	struct psp_dp_entry_desc e = form_entry();

	form_address(e.match.outer_ip_src, false, 1);
	form_address(e.match.outer_ip_dst, false, (uint8_t)flow);
	e.match.outer_ip_dst[14] = 1;
	form_encap(&f, &e.actions, key.spi);
	e.actions.crypto_id = 1;
	return psp_dp_entry_add(f.dp, f.egr_acl, &e, entry);
}

/* ---- the wire -------------------------------------------------------------------------------- */

/* Flow and number of a sealed packet; false: it is none. */
static bool open_one(const struct dp_packet *packet, uint32_t *flow, uint32_t *number)
{
	static const uint32_t outer = NET_ETH_LEN + NET_IP4_LEN + NET_UDP_LEN;
	static uint8_t out[256];
	uint32_t len = 0, verdict = 99;
	const uint8_t *at;

	if (packet->len < outer || packet->len - outer > sizeof(out) ||
	    psp_get16(packet->frame + NET_ETH_TYPE) != NET_TYPE_IPV4)
		return false;
	if (psp_dp_unseal(PSP_DP_BACKEND_AUTO, &key, 0, packet->frame + outer, packet->len - outer,
			  out, sizeof(out), &len, &verdict) != 0 ||
	    verdict != PSP_DP_VERDICT_OK || len < PSP_HEADER_LEN + NET_IP4_LEN + NET_UDP_LEN + 8u)
		return false;
	at = out + PSP_HEADER_LEN + NET_IP4_LEN + NET_UDP_LEN;
	*flow = psp_get32(at);
	*number = psp_get32(at + 4);
	return *flow < FLOWS;
}

static void all_arrive_in_order(uint32_t first)
{
	static uint8_t buf[DP_HEADROOM + DP_FRAME_MAX];
	uint32_t next[FLOWS], n = 0;

	for (uint32_t i = 0; i < FLOWS; i++)
		next[i] = first;
	for (uint32_t i = 0; i < WAIT_MS && n < ALL;) {
		struct dp_packet packet;
		uint32_t flow, number;

		if (soft_port_recv(lab.wire, buf, sizeof(buf), &packet, 1) != 1) {
			usleep(1000);
			i++;
			continue;
		}
		if (!open_one(&packet, &flow, &number))
			continue;
		CONTEXT("flow %u", flow);
		CHECK_EQ(number, next[flow]);
		next[flow]++;
		n++;
	}
	CHECK_EQ(n, ALL);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void one_round(uint32_t first)
{
	uint64_t before = counted(DP_HELD_PACKETS);
	uint32_t entries[FLOWS], misses = 0, exceptions = 0, packets;

	for (uint32_t n = 0; n < EACH; n++) {
		for (uint32_t flow = 0; flow < FLOWS; flow++)
			CHECK(send_one(flow, first + n));
	}
	CHECK(send_arp());
	CHECK(reaches(DP_HELD_PACKETS, before + ALL));
	for (uint32_t i = 0; i < WAIT_MS / 100 && (misses < FLOWS || exceptions == 0); i++)
		read_events(&misses, &exceptions);
	CHECK_EQ(misses, FLOWS);
	CHECK_EQ(exceptions, 1);
	for (uint32_t flow = 0; flow < FLOWS; flow++)
		CHECK_EQ(add_tunnel(flow, &entries[flow]), 0);
	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		CHECK_EQ(psp_dp_held_release(f.dp, held[flow], &packets), 0);
		CHECK_EQ(packets, EACH);
	}
	SUB(all_arrive_in_order(first));
	for (uint32_t flow = 0; flow < FLOWS; flow++)
		CHECK_EQ(psp_dp_entry_remove(f.dp, entries[flow]), 0);
}

/* Each of them has released something. */
static void all_readers_work(uint32_t readers)
{
	const struct dp_counters *counters = &((struct dp_plane *)(void *)f.dp)->counters;

	for (uint32_t i = 0; i < readers; i++) {
		CONTEXT("reader %u", i);
		CHECK(atomic_load(&counters->block[i][DP_HELD_RELEASED]) > 0);
	}
}

static void flows_keep_their_order(uint32_t readers)
{
	struct psp_dp_granted granted = {.size = sizeof(granted)};
	struct doca_standin_live live;
	char number[8];

	(void)snprintf(number, sizeof(number), "%u", readers);
	(void)setenv("PSP_TEST_WORKERS", number, 1);
	f.form = &forms[0];
	if (!form_open(&f) || !form_build(&f))
		TEST_FAIL("%s", f.why);
	CHECK_EQ(psp_dp_start(f.dp), 0);
	CHECK_EQ(psp_dp_granted(f.dp, &granted), 0);
	CHECK_EQ(granted.workers, readers);
	CHECK_EQ(granted.queues, 3 * readers);
	CHECK_EQ(psp_dp_spi_generate(f.dp, 1, &key, 1), 0);
	CHECK_EQ(psp_dp_crypto_set(f.dp, 1, &key), 0);
	CHECK(lab_far_ends());
	for (uint32_t i = 0; i < 4; i++)
		SUB(one_round(i * EACH));
	SUB(all_readers_work(readers));
	soft_port_close(lab.workload);
	soft_port_close(lab.wire);
	form_destroy(&f);
	CHECK_EQ(psp_dp_close(f.dp), 0);
	memset(&f, 0, sizeof(f));
	doca_standin_live(&live);
	CHECK_EQ(live.pipes, 0);
	CHECK_EQ(live.leaked_mbufs, 0);
}

static void two_readers(void)
{
	SUB(flows_keep_their_order(2));
}

static void four_readers(void)
{
	SUB(flows_keep_their_order(4));
}

int main(void)
{
	if (!lab_up()) {
		printf("not ok there are no interfaces (root?)\n");
		return 1;
	}
	RUN(two_readers);
	RUN(four_readers);
	return test_summary();
}
