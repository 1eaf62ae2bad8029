/* SPDX-License-Identifier: Apache-2.0 */
/* Super-frames through real ports: whole, cut by the kernel, cut here. */
#define _GNU_SOURCE /* unshare() */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/csum.h"
#include "../soft/port.h"
#include "soft_port_link.h"

static uint8_t in_buf[BUF_LEN];

static const struct frame_spec super_frames[] = {
	{.payload = 60000, .gso_size = 1448, .partial = true, .flags = 0x99, .id = 7},
	{.payload = 60000, .gso_size = 1428, .partial = true, .v6 = true, .flags = 0x18},
	{.proto = 17, .payload = 60000, .gso_size = 1400, .partial = true, .id = 0xfffe},
	{.proto = 17, .payload = 60000, .gso_size = 1400, .partial = true, .v6 = true},
};

static void super_frames_cross_whole(void)
{
	for (uint32_t vlan = 0; vlan < 8; vlan += 7) {
		CHECK(open_both((uint16_t)vlan, (uint16_t)vlan));
		for (size_t i = 0; i < 4; i++) {
			struct dp_packet sent, got;
			bool retry;

			CONTEXT("row %zu, VLAN %u", i, vlan);
			make_frame(&sent, in_buf, &super_frames[i]);
			CHECK(dp_parse(&sent));
			CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
			CHECK(!a->cuts[sent.gso]);
			CHECK_EQ(receive(b, &got, WAIT_MS), 1);
			CHECK_EQ(got.gso, sent.gso);
			CHECK_EQ(got.gso_size, sent.gso_size);
			CHECK_EQ(got.len, sent.len);
			CHECK_EQ(got.vlan_tci, vlan);
			CHECK_EQ(got.csum_start, sent.csum_start);
			CHECK_MEM(got.frame, sent.frame, sent.len);
			CHECK(dp_parse(&got));
		}
		close_both();
	}
}

/* Receives a super-frame's packets one by one; `cut`: by the port, which sends PSP without checksums. */
static void expect_packets(const struct frame_spec *spec, bool cut)
{
	const bool zero = cut && spec->dst_port == PSP_UDP_PORT;
	uint32_t done = 0;

	for (uint32_t n = 0; done < spec->payload; n++) {
		uint32_t left = spec->payload - done;
		uint32_t len = left < spec->gso_size ? left : spec->gso_size;
		uint8_t flags = spec->flags;
		struct dp_packet got;
		const uint8_t *ip, *l4;

		CHECK_EQ(receive(b, &got, WAIT_MS), 1);
		CHECK_EQ(got.gso, DP_GSO_NONE);
		CHECK(dp_parse(&got));
		CHECK_EQ(got.len - got.payload_off, len);
		ip = got.frame + ETH;
		l4 = got.frame + got.l4_off;
		if (got.needs_csum)
			dp_csum_complete(&got);
		if (spec->proto == 17 && zero)
			CHECK_EQ(psp_get16(l4 + 6), 0);
		else
			CHECK_EQ(naive_l4(ip, got.fields.outer_ip_proto, l4, got.len - got.l4_off),
				 0xffff);
		if (!spec->v6)
			CHECK_EQ(psp_get16(ip + 4), (uint16_t)(spec->id + n));
		if (spec->proto == 0) {
			if (len != left)
				flags &= (uint8_t)~0x09;
			if (n != 0)
				flags &= (uint8_t)~0x80;
			CHECK_EQ(psp_get32(l4 + 4), done);
			CHECK_EQ(l4[13], flags);
		}
		for (uint32_t i = 0; i < len; i++)
			CHECK_EQ(got.frame[got.payload_off + i], payload_octet(done + i));
		done += len;
	}
}

static void super_frames_are_cut_here_when_the_kernel_will_not(void)
{
	for (uint32_t vlan = 0; vlan < 8; vlan += 7) {
		CHECK(open_both((uint16_t)vlan, (uint16_t)vlan));
		for (size_t i = 0; i < 4; i++) {
			struct dp_packet sent;
			bool retry;

			CONTEXT("row %zu, VLAN %u", i, vlan);
			make_frame(&sent, in_buf, &super_frames[i]);
			CHECK(dp_parse(&sent));
			a->cuts[sent.gso] = true;
			CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
			SUB(expect_packets(&super_frames[i], true));
		}
		close_both();
	}
}

/* More segments than the kernel's limit: a refusal like that of a kernel without UDP segmentation. */
static void a_refusal_is_answered_by_cutting_and_remembered(void)
{
	struct frame_spec spec = {.proto = 17,
				  .dst_port = PSP_UDP_PORT,
				  .payload = 40000,
				  .gso_size = 200,
				  .partial = true};
	struct dp_packet sent, got;
	bool retry;

	CHECK(open_both(0, 0));
	make_frame(&sent, in_buf, &spec);
	CHECK(dp_parse(&sent));
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	SUB(expect_packets(&spec, true));
	CHECK(a->cuts[DP_GSO_UDP]);
	CHECK(!a->cuts[DP_GSO_TCP4]);
	CHECK(!a->cuts[DP_GSO_NONE]);
	/* TCP goes on as before. */
	make_frame(&sent, in_buf, &super_frames[0]);
	CHECK(dp_parse(&sent));
	CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK_EQ(got.gso, DP_GSO_TCP4);
	close_both();
}

/* A device without the offload: the kernel cuts, with checksums. */
static void a_device_without_offloads_gets_packets(void)
{
	if (!shell("ethtool -K pa tx-udp-segmentation off tso off gso off tx off >/dev/null "
		   "2>&1")) {
		printf("# skipped: ethtool cannot turn off offloads here\n");
		return;
	}
	CHECK(open_both(0, 0));
	for (size_t i = 0; i < 4; i++) {
		struct dp_packet sent;
		bool retry;

		CONTEXT("row %zu", i);
		make_frame(&sent, in_buf, &super_frames[i]);
		CHECK(dp_parse(&sent));
		CHECK_EQ(soft_port_send(a, &sent, &retry), 0);
		SUB(expect_packets(&super_frames[i], false));
	}
	close_both();
	CHECK(shell("ethtool -K pa tx-udp-segmentation on tso on gso on tx on >/dev/null 2>&1"));
}

/* What the host's own stack hands over: one UDP super-frame from one sendmsg(). */
static void the_stacks_super_frames_arrive_whole(void)
{
	static const uint8_t data[5000] = {1};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PSP_UDP_PORT)};
	struct dp_packet got;
	int size = 1200, fd;

	CHECK(shell("ip addr add 192.0.2.1/24 dev pa && ip neigh replace 192.0.2.2 "
		    "lladdr 02:00:00:00:00:22 dev pa nud permanent"));
	CHECK_EQ(soft_port_open("pb", PSP_DP_PORT_HOST, 0, &b, err, sizeof(err)), 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(fd >= 0);
	CHECK_EQ(inet_pton(AF_INET, "192.0.2.2", &to.sin_addr), 1);
	CHECK_EQ(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	CHECK_EQ(sendto(fd, data, sizeof(data), 0, (const struct sockaddr *)&to, sizeof(to)), 5000);
	CHECK_EQ(receive(b, &got, WAIT_MS), 1);
	CHECK_EQ(got.gso, DP_GSO_UDP);
	CHECK_EQ(got.gso_size, 1200);
	CHECK(got.needs_csum);
	CHECK(dp_parse(&got));
	CHECK_EQ(dp_segments(&got), 5);
	(void)close(fd);
	close_both();
	CHECK(shell("ip addr flush dev pa"));
}

int main(void)
{
	if (!link_up())
		return link_missing();
	RUN(super_frames_cross_whole);
	RUN(super_frames_are_cut_here_when_the_kernel_will_not);
	RUN(a_refusal_is_answered_by_cutting_and_remembered);
	RUN(a_device_without_offloads_gets_packets);
	RUN(the_stacks_super_frames_arrive_whole);
	return test_summary();
}
