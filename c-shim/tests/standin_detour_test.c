/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* The DOCA shim on its stand-in: what the CPU does to packets before hardware encapsulates them. */
#include "standin_detour_lab.h"

#define FLOOD 3000u
#define BUFFERS 512u

/* Nobody polls yet: what finds no buffer then is lost, and so is what finds none to be sent on with. */
static void a_flood_of_syns_is_bounded_and_counted(void)
{
	struct dp_packet syn = tcp(PLAIN, 44, NET_SYN, 1400);
	uint64_t sent = 0;

	CHECK_EQ(add_tunnel(PLAIN, 0), 0);
	for (uint32_t i = 0; i < FLOOD; i++)
		CHECK(send_one(&syn));
	CHECK(reaches("host-rx-packets", FLOOD));
	CHECK_EQ(psp_dp_start(dp), 0);
	for (uint32_t i = 0; i < TRIES && sent + counter("uplink-tx-busy") < FLOOD; i++) {
		usleep(1000);
		sent = counter("tx-packets");
	}
	CHECK_EQ(sent + counter("uplink-tx-busy"), FLOOD);
	CHECK(sent > 0 && sent <= BUFFERS);
	while (sent-- > 0)
		CHECK_EQ(received(), 44 + 60);
	CHECK_EQ(counter("mss-clamped"), 0);
}

static void a_syn_is_clamped_to_what_its_tunnel_takes(void)
{
	struct dp_packet syn = tcp(PLAIN, 44, NET_SYN, 1460), other;

	CHECK(send_one(&syn));
	CHECK_EQ(received(), 44 + 60);
	CHECK_EQ(counter("mss-clamped"), 1);
	/* Right already for this tunnel, too much for the other. */
	CHECK_EQ(add_tunnel(VC, 1), 0);
	syn = tcp(PLAIN, 44, NET_SYN | 0x10, 1400);
	CHECK(send_one(&syn));
	CHECK_EQ(received(), 44 + 60);
	CHECK_EQ(counter("mss-clamped"), 1);
	other = tcp(VC, 44, NET_SYN | 0x10, 1400);
	CHECK(send_one(&other));
	CHECK_EQ(received(), 44 + 68);
	CHECK_EQ(counter("mss-clamped"), 2);
}

/* It reached the CPU, so it is not lost: it has one counter, and that is not the one of a full queue. */
static void what_the_cpu_cannot_read_is_counted_once(void)
{
	struct dp_packet data = tcp(PLAIN, 1441, 0x10, 0);
	uint64_t busy = counter("uplink-tx-busy");

	data.frame[NET_ETH_LEN + NET_IP4_LEN + 12] = 0x40; /* a TCP header of 16 octets */
	CHECK(send_one(&data));
	CHECK(reaches("host-malformed", 1));
	for (uint32_t i = 0; i < 20; i++) {
		usleep(1000);
		CHECK_EQ(counter("uplink-tx-busy"), busy);
	}
}

static void what_fits_no_tunnel_is_answered_with_what_fits_its_own(void)
{
	struct dp_packet data = tcp(PLAIN, 1440, 0x10, 0);
	struct psp_dp_event event;

	CHECK(send_one(&data));
	CHECK_EQ(received(), 1500);
	data = tcp(PLAIN, 1441, 0x10, 0);
	CHECK(send_one(&data));
	CHECK(next_event(PSP_DP_EVENT_TOO_BIG, &event));
	CHECK_EQ(event.mtu, 1440);
	CHECK_EQ(event.packet_len, 1441);
	CHECK_EQ(event.spi, 1);
	CHECK_EQ(event.pipe, egr_acl);
	CHECK_EQ(event.data_len, 1232);
	data = tcp(VC, 1500, 0x10, 0);
	CHECK(send_one(&data));
	CHECK(next_event(PSP_DP_EVENT_TOO_BIG, &event));
	CHECK_EQ(event.mtu, 1432);
	CHECK_EQ(event.spi, 2);
	CHECK_EQ(counter("too-big"), 2);
}

/* With the longer header alone 1432 is what fits; with the shorter one beside it hardware sends 1433 on. */
static void what_fits_follows_the_tunnels(void)
{
	struct dp_packet data = tcp(VC, 1433, 0x10, 0);
	struct psp_dp_event event;

	CHECK_EQ(psp_dp_entry_remove(dp, entries[0]), 0);
	CHECK(send_one(&data));
	CHECK(reaches("too-big", 3));
	CHECK_EQ(add_tunnel(PLAIN, 0), PSP_DP_EKEY); /* a key is used once */
	data = tcp(PLAIN, 1441, 0x10, 0);
	CHECK(send_one(&data));
	/* It has no tunnel: it waits for one, whatever its length. */
	CHECK(next_event(PSP_DP_EVENT_MISS, &event));
	CHECK_EQ(counter("too-big"), 3);
}

static void a_root_entry_goes_with_its_detours(void)
{
	struct doca_standin_live before, after;
	struct psp_dp_stats stats = {.size = sizeof(stats)};

	/* Each packet once, whichever way it went. */
	CHECK_EQ(psp_dp_entry_query(dp, root_entry, &stats), 0);
	CHECK_EQ(stats.packets, counter("host-rx-packets"));
	doca_standin_live(&before);
	CHECK_EQ(psp_dp_entry_remove(dp, root_entry), 0);
	doca_standin_live(&after);
	CHECK(before.entries - after.entries > 2);
}

/* Whichever of its orders are refused, all others are there; without the entry itself nothing is. */
static void a_device_that_refuses_detours_works_without_them(void)
{
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct doca_standin_live before, after;
	uint32_t without = 0;

	doca_standin_live(&before);
	for (uint32_t every = 2; every < 9; every++) {
		const struct doca_standin_failures some = {.kind = DOCA_STANDIN_ERROR,
							   .every = every};
		int32_t status;

		CONTEXT("every %u", every);
		doca_standin_fail(&some);
		status = add_root_entry();
		doca_standin_fail(&none);
		doca_standin_live(&after);
		CHECK(after.failed > before.failed);
		before.failed = after.failed;
		if (status == 0) {
			without++;
			CHECK_EQ(psp_dp_entry_remove(dp, root_entry), 0);
		}
		doca_standin_live(&after);
		CHECK_EQ(after.entries, before.entries);
	}
	CHECK(without > 2);
}

static void a_root_entry_that_does_not_go_keeps_its_detours(void)
{
	const struct doca_standin_failures all = {.kind = DOCA_STANDIN_ERROR, .every = 1};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct doca_standin_live before, after;

	CHECK_EQ(add_root_entry(), 0);
	doca_standin_live(&before);
	doca_standin_fail(&all);
	CHECK(psp_dp_entry_remove(dp, root_entry) != 0);
	doca_standin_fail(&none);
	doca_standin_live(&after);
	CHECK(after.failed > before.failed);
	CHECK_EQ(after.entries, before.entries);
	CHECK_EQ(psp_dp_entry_remove(dp, root_entry), 0);
}

static void a_closed_plane_leaves_nothing(void)
{
	struct doca_standin_live after;

	CHECK_EQ(psp_dp_pipe_destroy(dp, root), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, egr_acl), 0);
	CHECK_EQ(psp_dp_close(dp), 0);
	doca_standin_live(&after);
	CHECK_EQ(after.entries, 0);
	CHECK_EQ(after.leaked_mbufs, 0);
}

int main(void)
{
	if (!open_all()) {
		printf("not ok the plane does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(a_flood_of_syns_is_bounded_and_counted);
	RUN(a_syn_is_clamped_to_what_its_tunnel_takes);
	RUN(what_the_cpu_cannot_read_is_counted_once);
	RUN(what_fits_no_tunnel_is_answered_with_what_fits_its_own);
	RUN(what_fits_follows_the_tunnels);
	RUN(a_root_entry_goes_with_its_detours);
	RUN(a_device_that_refuses_detours_works_without_them);
	RUN(a_root_entry_that_does_not_go_keeps_its_detours);
	RUN(a_closed_plane_leaves_nothing);
	soft_port_close(workload);
	soft_port_close(wire);
	return test_summary();
}
