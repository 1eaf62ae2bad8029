/* SPDX-License-Identifier: Apache-2.0 */
/* Real ports on a veth pair, in a network namespace that lives as long as this program. */
#define _GNU_SOURCE /* unshare() */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soft_port_link.h"

static uint8_t in_buf[BUF_LEN];

static void what_cannot_be_opened_is_said(void)
{
	CHECK_EQ(soft_port_open("p9", PSP_DP_PORT_UPLINK, 0, &a, err, sizeof(err)), PSP_DP_ENODEV);
	CHECK(a == NULL);
	CHECK(strcmp(err, "Cannot open uplink \"p9\": no such interface") == 0);
	CHECK_EQ(soft_port_open("a-name-that-is-too-long", PSP_DP_PORT_HOST, 0, &a, err,
				sizeof(err)),
		 PSP_DP_ENODEV);
	CHECK_EQ(soft_port_open("", PSP_DP_PORT_HOST, 0, &a, err, sizeof(err)), PSP_DP_ENODEV);
	CHECK_EQ(soft_port_open("pa", PSP_DP_PORT_HOST, 4095, &a, err, sizeof(err)), PSP_DP_EINVAL);
	CHECK_EQ(soft_port_open("lo", PSP_DP_PORT_HOST, 0, &a, err, sizeof(err)), PSP_DP_ENOTSUP);
	CHECK(strcmp(err, "Cannot open host port \"lo\": it is not an Ethernet interface") == 0);
	/* A sentence that does not fit is cut, with its end. */
	CHECK_EQ(soft_port_open("p9", PSP_DP_PORT_UPLINK, 0, &a, err, 12), PSP_DP_ENODEV);
	CHECK_EQ(strlen(err), 11);
}

static void without_the_capability_it_is_named(void)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(2);
		if (soft_port_open("pa", PSP_DP_PORT_HOST, 0, &a, err, sizeof(err)) != PSP_DP_EPERM)
			_exit(3);
		_exit(strstr(err, "CAP_NET_RAW") != NULL ? 0 : 4);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 0);
}

static void a_frame_crosses_and_its_sender_does_not_hear_it(void)
{
	struct frame_spec spec = {.proto = 17, .payload = 600};
	struct dp_packet sent, got;
	bool retry;

	CHECK(open_both(0, 0));
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK_EQ(got.len, sent.len);
	CHECK_EQ(got.port, PSP_DP_PORT_HOST);
	CHECK(got.frame >= rx_buf + DP_HEADROOM);
	CHECK(!got.needs_csum);
	CHECK_EQ(got.gso, DP_GSO_NONE);
	CHECK_MEM(got.frame, sent.frame, sent.len);
	CHECK_EQ(receive(b, &got, QUIET_MS), 0);
	CHECK_EQ(receive(a, &got, QUIET_MS), 0);
	close_both();
}

static void a_partial_checksum_stays_one(void)
{
	struct frame_spec spec = {.payload = 600, .partial = true};
	struct dp_packet sent, got;
	bool retry;

	CHECK(open_both(0, 0));
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK(got.needs_csum);
	CHECK_EQ(got.csum_start, sent.csum_start);
	CHECK_EQ(got.csum_offset, 16);
	CHECK(dp_parse(&got));
	close_both();
}

static void only_the_configured_vlan_is_heard(void)
{
	static const uint16_t ids[] = {0, 7, 8};
	struct frame_spec spec = {.payload = 100, .partial = true};

	for (uint32_t i = 0; i < 9; i++) {
		struct dp_packet sent, got;
		bool retry;

		CONTEXT("from %u to %u", ids[i / 3], ids[i % 3]);
		CHECK(open_both(ids[i / 3], ids[i % 3]));
		make_frame(&sent, in_buf, &spec);
		CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
		CHECK_EQ(receive(b, &got, i / 3 == i % 3 ? WAIT_MS : QUIET_MS), i / 3 == i % 3);
		close_both();
	}
}

static void an_uplink_hears_its_own_mac_alone(void)
{
	struct frame_spec spec = {.payload = 100};
	struct psp_dp_port_info info;
	struct dp_packet sent, got;
	bool retry;

	CHECK(open_both(0, 0));
	CHECK_EQ(soft_port_query(a, &info), 0);
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(b, &sent, &retry), 0);
	memcpy(sent.frame, info.mac, 6);
	CHECK_EQ(soft_port_send(b, &sent, &retry), 0);
	CHECK_EQ(receive(a, &got, WAIT_MS), 1);
	CHECK_MEM(got.frame, info.mac, 6);
	CHECK_EQ(receive(a, &got, QUIET_MS), 0);
	close_both();
}

static void the_mtu_is_read_anew(void)
{
	struct frame_spec spec = {.payload = 1400};
	struct psp_dp_port_info info;
	struct dp_packet sent;
	bool retry = true;

	CHECK(open_both(0, 0));
	CHECK_EQ(soft_port_query(a, &info), 0);
	CHECK_EQ(info.size, sizeof(info));
	CHECK_EQ(info.mtu, 1500);
	CHECK_EQ(info.link_up, 1);
	CHECK(info.ifindex != 0);
	CHECK(shell("ip link set pa mtu 1300"));
	CHECK_EQ(soft_port_query(a, &info), 0);
	CHECK_EQ(info.mtu, 1300);
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(a, &sent, &retry), PSP_DP_EIO);
	CHECK(!retry);
	CHECK(shell("ip link set pa mtu 9000 && ip link set pb mtu 9000"));
	spec.payload = 8900;
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	CHECK_EQ(receive(b, &sent, WAIT_MS), 1);
	CHECK(shell("ip link set pa mtu 1500 && ip link set pb mtu 1500"));
	close_both();
}

static void a_link_may_go_down_and_come_back(void)
{
	struct frame_spec spec = {.payload = 100};
	struct psp_dp_port_info info;
	struct dp_packet sent, got;
	bool retry = true;

	CHECK(open_both(0, 0));
	CHECK(shell("ip link set pb down"));
	CHECK_EQ(receive(b, &got, QUIET_MS), 0);
	CHECK_EQ(receive(b, &got, 0), 0);
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(b, &sent, &retry), PSP_DP_EIO);
	CHECK(!retry);
	CHECK_EQ(soft_port_query(b, &info), 0);
	CHECK_EQ(info.link_up, 0);
	CHECK(shell("ip link set pb up"));
	CHECK(link_carries(a, b));
	CHECK(link_carries(b, a));
	close_both();
}

static void frames_that_do_not_fit_are_passed_over_and_counted(void)
{
	struct frame_spec spec = {.payload = 1000};
	struct dp_packet sent, got;
	bool retry;

	CHECK(open_both(0, 0));
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	spec.payload = 10;
	make_frame(&sent, in_buf, &spec);
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	CHECK_EQ(soft_port_recv(b, rx_buf, DP_HEADROOM + 500, &got, 1), 1);
	CHECK_EQ(b->unreadable, 1);
	CHECK_EQ(got.len, sent.len);
	CHECK(soft_port_recv(b, rx_buf, DP_HEADROOM, &got, 1) < 0);
	sent.len = DP_FRAME_MAX + 1;
	CHECK_EQ(soft_port_send(a, &sent, &retry), PSP_DP_EIO);
	sent.len = 13;
	CHECK_EQ(soft_port_send(a, &sent, &retry), PSP_DP_EIO);
	close_both();
}

static void a_full_queue_asks_to_try_again(void)
{
	struct frame_spec spec = {.payload = 1400};
	struct dp_packet sent;
	bool retry = false;
	int32_t status = 0;

	if (!shell("tc qdisc add dev pa root tbf rate 8kbit burst 2000 limit 4000 2>/dev/null")) {
		printf("# skipped: no tbf queue here\n");
		return;
	}
	CHECK(open_both(0, 0));
	make_frame(&sent, in_buf, &spec);
	for (uint32_t i = 0; i < 100 && status == 0; i++)
		status = soft_port_send(a, &sent, &retry);
	CHECK_EQ(status, PSP_DP_EIO);
	CHECK(retry);
	CHECK(shell("tc qdisc del dev pa root"));
	close_both();
}

static bool make_anew(void)
{
	(void)shell("ip link del pc 2>/dev/null");
	return shell("ip link add pc type veth peer name pd") &&
	       shell("ip link set pc up && ip link set pd up");
}

/* A bridge as host port shows what its guests say to one another. */
static void a_host_port_takes_what_is_for_its_gateway(void)
{
	static const uint8_t gateway[6] = {2, 0x50, 0x53, 0x50, 0, 1};
	static const uint8_t guest[6] = {2, 0, 0, 0, 0, 9};
	static uint8_t buf[BUF_LEN];
	struct dp_packet packet, got;
	bool retry;

	CHECK(open_both(0, 0));
	CHECK(link_carries(a, b));
	make_frame(&packet, buf, &(struct frame_spec){.proto = 17});
	memcpy(packet.frame, guest, 6);
	CHECK_EQ(soft_port_send(a, &packet, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	memcpy(b->gateway, gateway, 6);
	CHECK_EQ(soft_port_send(a, &packet, &retry), 0);
	memcpy(packet.frame, gateway, 6);
	CHECK_EQ(soft_port_send(a, &packet, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK_MEM(got.frame, gateway, 6);
	memcpy(packet.frame, "\x33\x33\0\0\0\1", 6);
	CHECK_EQ(soft_port_send(a, &packet, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK_EQ(got.frame[0], 0x33);
	close_both();
}

/* What nobody takes is lost, and known by number. */
static void what_finds_the_queue_full_is_counted(void)
{
	static uint8_t buf[BUF_LEN];
	const int least = 0;
	struct dp_packet packet, got;
	uint32_t taken = 0, lost;
	bool retry;

	CHECK(open_both(0, 0));
	CHECK(link_carries(a, b));
	CHECK_EQ(soft_port_lost(b), 0);
	CHECK_EQ(setsockopt(soft_port_fd(b), SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	make_frame(&packet, buf, &(struct frame_spec){.proto = 17});
	for (uint32_t i = 0; i < 100; i++)
		CHECK_EQ(soft_port_send(a, &packet, &retry), 0);
	while (receive(b, &got, 100) == 1)
		taken++;
	lost = soft_port_lost(b);
	CHECK(lost > 0);
	CHECK_EQ(taken + lost, 100);
	CHECK_EQ(soft_port_lost(b), 0);
	close_both();
}

/* Of each frame that has left, the kernel tells whoever waits for its socket, for whatever that is. */
static void what_leaves_wakes_nobody_who_waits_for_what_comes(void)
{
	static uint8_t buf[BUF_LEN];
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct dp_packet packet, got;
	struct pollfd comes;
	bool retry;

	CHECK(open_both(0, 0));
	CHECK(link_carries(a, b));
	CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, soft_port_fd(a), &event), 0);
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
	CHECK_EQ(event.events, EPOLLOUT);
	make_frame(&packet, buf, &(struct frame_spec){.proto = 17});
	CHECK_EQ(soft_port_send(a, &packet, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
	/* Nor is what comes kept twice. */
	comes = (struct pollfd){.fd = soft_port_tx_fd(b), .events = POLLIN};
	CHECK_EQ(poll(&comes, 1, 0), 0);
	(void)close(epoll);
	close_both();
}

/* Both ways, on the interface that there is now. */
static bool carries(struct soft_port *port)
{
	struct soft_port *far = NULL;
	bool does = soft_port_open("pd", PSP_DP_PORT_HOST, 0, &far, err, sizeof(err)) == 0 &&
		    link_carries(port, far) && link_carries(far, port);

	soft_port_close(far);
	return does;
}

/* The worker that had it among its sockets has it there no more. */
static void a_socket_that_takes_the_place_of_another_is_to_be_watched_again(void)
{
	struct soft_port *port = NULL, *beside = NULL;

	CHECK(make_anew());
	CHECK_EQ(soft_port_open("pc", PSP_DP_PORT_HOST, 0, &port, err, sizeof(err)), 0);
	port->watched = true;
	CHECK_EQ(soft_port_beside(port, &beside), 0);
	CHECK(!beside->watched);
	CHECK_EQ(soft_port_follow(port), 0);
	CHECK(port->watched);
	/* Alone it keeps its socket, which is bound anew. */
	CHECK(make_anew());
	CHECK_EQ(soft_port_follow(port), 1);
	CHECK(port->watched);
	CHECK(carries(port));
	CHECK(soft_port_group(port) >= 0);
	CHECK(make_anew());
	CHECK_EQ(soft_port_follow(port), 1);
	CHECK(!port->watched);
	CHECK(carries(port));
	soft_port_close(beside);
	soft_port_close(port);
	CHECK(shell("ip link del pc"));
}

/* Last: the interface is gone afterwards. */
static void a_vanished_interface_is_no_device(void)
{
	struct psp_dp_port_info info;
	struct dp_packet got;

	CHECK(open_both(0, 0));
	CHECK(shell("ip link del pa"));
	CHECK(soft_port_recv(b, rx_buf, sizeof(rx_buf), &got, 1) <= 0);
	CHECK_EQ(soft_port_query(b, &info), PSP_DP_ENODEV);
	close_both();
}

int main(void)
{
	if (!link_up())
		return link_missing();
	RUN(what_cannot_be_opened_is_said);
	RUN(what_leaves_wakes_nobody_who_waits_for_what_comes);
	RUN(without_the_capability_it_is_named);
	RUN(a_frame_crosses_and_its_sender_does_not_hear_it);
	RUN(a_partial_checksum_stays_one);
	RUN(only_the_configured_vlan_is_heard);
	RUN(an_uplink_hears_its_own_mac_alone);
	RUN(the_mtu_is_read_anew);
	RUN(a_link_may_go_down_and_come_back);
	RUN(frames_that_do_not_fit_are_passed_over_and_counted);
	RUN(a_full_queue_asks_to_try_again);
	RUN(a_host_port_takes_what_is_for_its_gateway);
	RUN(what_finds_the_queue_full_is_counted);
	RUN(a_socket_that_takes_the_place_of_another_is_to_be_watched_again);
	RUN(a_vanished_interface_is_no_device);
	return test_summary();
}
