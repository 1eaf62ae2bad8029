/* SPDX-License-Identifier: Apache-2.0 */
/* The ingress guard: what the kernel still works on, how it ends, and what there is without it. */
#define _GNU_SOURCE /* unshare(), setns(), setresuid() */
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../psp/nftables.h"
#include "soft_guard_net.h"

static struct guard_net net;
static char err[300];

#define TABLE "psp-agent-p0"

static int32_t guard_on(const char *uplink, const char *host, uint16_t vlan,
			struct soft_guard **guard)
{
	const struct soft_guard_port ports[] = {
		{.handle = UPLINK, .kind = PSP_DP_PORT_UPLINK, .vlan = vlan, .name = uplink},
		{.handle = HOST, .kind = PSP_DP_PORT_HOST, .name = host},
	};
	uint8_t reason;

	return soft_guard_open(uplink, ports, 2, guard, &reason, err, sizeof(err));
}

static int32_t set_guard(struct soft_guard **guard)
{
	return guard_on("p0", "vf0", 0, guard);
}

static int32_t open_plane(uint8_t mode, struct psp_dp **dp)
{
	const struct psp_dp_config config = {.size = sizeof(config)};

	return ports_open(&config, "p0", "vf0", mode, dp, err, sizeof(err));
}

static struct psp_dp_port_info query(struct psp_dp *dp, uint32_t port)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};

	if (psp_dp_port_query(dp, port, &info) != 0)
		memset(&info, 0xff, sizeof(info));
	return info;
}

/* Whether the kernel has the guard's table, as somebody else sees it. */
static bool table_stands(void)
{
	bool sees = false;
	int fd, error = psp_nft_open(&fd);

	if (error == 0) {
		error = psp_nft_chain_sees(fd, TABLE, "host-2", "vf0", &sees);
		(void)close(fd);
	}
	return error == 0 && sees;
}

/* A look is due half a second after the one before. */
static void wait_for_a_look(void)
{
	usleep(550000);
}

/* ---- what the plane takes, the kernel does not get ------------------------------------------- */

#define V6 .v6 = true
#define VLAN 0x8100
#define SERVICE 0x88a8

static const struct guard_frame frames[] = {
	{.what = "IPv4", .taken = true},
	{.what = "IPv4, options", .options = 8, .taken = true},
	{.what = "IPv4, another port", .port = 1001},
	{.what = "IPv4, TCP", .protocol = NET_PROTO_TCP},
	{.what = "IPv4, first fragment", .fragment = 0x2000},
	{.what = "IPv4, later fragment", .fragment = 0x0003},
	{.what = "IPv4, do not fragment", .fragment = 0x4000, .taken = true},
	{.what = "IPv4, to another MAC", .to = 1},
	{.what = "IPv4, to every MAC", .to = 2, .taken = true},
	{.what = "IPv4, priority tag", .tags = {{VLAN, 0}}, .taken = true},
	{.what = "IPv4, priority 5", .tags = {{VLAN, 0xa000}}, .taken = true},
	{.what = "IPv4, VLAN 5", .tags = {{VLAN, 5}}, .taken_vlan = true},
	{.what = "IPv4, VLAN 5, priority 5", .tags = {{VLAN, 0xa005}}, .taken_vlan = true},
	{.what = "IPv4, VLAN 6", .tags = {{VLAN, 6}}},
	{.what = "IPv4, VLAN 5, another MAC", .tags = {{VLAN, 5}}, .to = 1},
	{.what = "IPv4, VLAN 5, another port", .tags = {{VLAN, 5}}, .port = 1001},
	{.what = "IPv4, service tag 0", .tags = {{SERVICE, 0}}, .taken = true},
	{.what = "IPv4, service tag 5", .tags = {{SERVICE, 5}}, .taken_vlan = true},
	{.what = "IPv4, two tags", .tags = {{VLAN, 5}, {VLAN, 5}}},
	{.what = "IPv4, two tags, the first 0", .tags = {{VLAN, 0}, {VLAN, 5}}},
	{V6, .what = "IPv6", .taken = true},
	{V6, .what = "IPv6, another port", .port = 1001},
	{V6, .what = "IPv6, TCP", .protocol = NET_PROTO_TCP},
	{V6, .what = "IPv6, to another MAC", .to = 1},
	{V6, .what = "IPv6, hop-by-hop", .headers = {GUARD_HOPOPTS}, .taken = true},
	{V6, .what = "IPv6, routing", .headers = {NET_PROTO_ROUTING}, .taken = true},
	{V6, .what = "IPv6, three headers",
	 .headers = {GUARD_HOPOPTS, NET_PROTO_DSTOPTS, NET_PROTO_ROUTING}, .taken = true},
	{V6, .what = "IPv6, as many headers as are read",
	 .headers = {60, 60, 60, 60, 60, 60, 60, 60}, .taken = true},
	{V6, .what = "IPv6, three headers, another port",
	 .headers = {GUARD_HOPOPTS, NET_PROTO_DSTOPTS, NET_PROTO_ROUTING}, .port = 1001},
	{V6, .what = "IPv6, first fragment", .headers = {NET_PROTO_FRAGMENT}, .fragment = 1},
	{V6, .what = "IPv6, later fragment", .headers = {NET_PROTO_FRAGMENT}, .fragment = 8},
	{V6, .what = "IPv6, atomic fragment", .headers = {NET_PROTO_FRAGMENT}},
	{V6, .what = "IPv6, fragment below", .headers = {60, NET_PROTO_FRAGMENT}, .fragment = 1},
	{V6, .what = "IPv6, AH", .headers = {51}},
	{V6, .what = "IPv6, AH below", .headers = {60, 51, 60}},
	{V6, .what = "IPv6, priority tag", .tags = {{VLAN, 0}}, .taken = true},
	{V6, .what = "IPv6, VLAN 5", .tags = {{VLAN, 5}}, .taken_vlan = true},
	{V6, .what = "IPv6, VLAN 6", .tags = {{VLAN, 6}}},
};

/* Chains that see what the guard lets pass, but for the marks: on the uplink and on the host port. */
static bool set_witness(void)
{
	return guard_shell("nft -f - <<'E'\n"
			   "table netdev witness {\n"
			   "  chain up { type filter hook ingress device p0 priority 0;\n"
			   "    ether type 0x88b5 accept; counter; }\n"
			   "  chain host { type filter hook ingress device vf0 priority 0;\n"
			   "    ether type 0x88b5 accept; counter; }\n"
			   "}\n"
			   "E");
}

static bool remove_witness(void)
{
	return guard_shell("nft delete table netdev witness");
}

/* Packets that came past the guard of a port so far. */
static uint64_t passed(const char *chain)
{
	char command[100], line[200];
	uint64_t packets = UINT64_MAX;
	const char *at;
	FILE *pipe;

	guard_settle(&net);
	(void)snprintf(command, sizeof(command), "nft list chain netdev witness %s", chain);
	pipe = popen(command, "re");
	while (fgets(line, sizeof(line), pipe) != NULL)
		if ((at = strstr(line, "packets ")) != NULL)
			packets = strtoull(at + 8, NULL, 10);
	(void)pclose(pipe);
	return packets;
}

/* Whether the plane takes one of the frames that have come to a port as PSP. */
static bool plane_takes(struct soft_port *port)
{
	static struct net_frame got;
	const struct psp_dp_match *fields = &got.packet.fields;
	bool takes = false;

	guard_settle(&net);
	for (;;) {
		memset(&got.packet, 0, sizeof(got.packet));
		if (soft_port_recv(port, got.buf, sizeof(got.buf), &got.packet, 1) != 1)
			return takes;
		takes |= dp_parse(&got.packet) &&
			 fields->parser_meta_outer_l4_type == PSP_DP_L4_UDP &&
			 fields->outer_l4_dst_port == PSP_UDP_PORT;
	}
}

static void take_from(uint16_t vlan)
{
	struct soft_guard *guard;
	struct soft_port *port;
	uint8_t frame[512];

	CHECK_EQ(guard_on("p0", "vf0", vlan, &guard), 0);
	CHECK_EQ(soft_port_open("p0", PSP_DP_PORT_UPLINK, vlan, &port, err, sizeof(err)), 0);
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		const struct guard_frame *f = &frames[i];
		const uint32_t len = guard_build(&net, f, frame);
		const bool taken = vlan == 0 ? f->taken : f->taken_vlan;
		const uint64_t before = passed("up");

		CONTEXT("%s, a plane of VLAN %u", f->what, vlan);
		CHECK(guard_send(net.up, frame, len));
		CHECK_EQ(plane_takes(port), taken);
		CHECK_EQ(passed("up") - before, !taken);
	}
	soft_port_close(port);
	soft_guard_close(guard);
}

static void the_kernel_gets_what_the_plane_does_not_take(void)
{
	CHECK(set_witness());
	SUB(take_from(0));
	SUB(take_from(5));
	CHECK(remove_witness());
}

/* A UDP super-frame of 4 packets to port 1000, as a peer sends it. */
static bool send_super(void)
{
	static const struct guard_frame plain = {.what = "super"};
	static struct net_frame super;
	uint8_t *ip = super.buf + DP_HEADROOM + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	struct soft_port *port = NULL;
	bool retry, sent;

	memset(&super, 0, sizeof(super));
	(void)guard_build(&net, &plain, super.buf + DP_HEADROOM);
	psp_put16(ip + NET_IP4_TOTAL, NET_IP4_LEN + NET_UDP_LEN + 4000);
	dp_csum_ipv4(ip);
	psp_put16(udp + NET_UDP_LENGTH, NET_UDP_LEN + 4000);
	psp_put16(udp + NET_UDP_CSUM,
		  dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_UDP, NET_UDP_LEN + 4000)));
	super.packet = (struct dp_packet){.frame = super.buf + DP_HEADROOM,
					  .len = NET_ETH_LEN + NET_IP4_LEN + NET_UDP_LEN + 4000,
					  .gso = DP_GSO_UDP,
					  .gso_size = 1000,
					  .needs_csum = true,
					  .csum_start = NET_ETH_LEN + NET_IP4_LEN,
					  .csum_offset = NET_UDP_CSUM,
					  .l3_off = NET_ETH_LEN,
					  .l4_off = NET_ETH_LEN + NET_IP4_LEN,
					  .payload_off = NET_ETH_LEN + NET_IP4_LEN + NET_UDP_LEN};
	if (setns(net.far, CLONE_NEWNET) != 0 ||
	    soft_port_open("far_p0", PSP_DP_PORT_UPLINK, 0, &port, err, sizeof(err)) != 0)
		return false;
	sent = soft_port_send(port, &super.packet, &retry) == 0;
	soft_port_close(port);
	return setns(net.near, CLONE_NEWNET) == 0 && sent;
}

static void send_everything_to_the_uplink(void)
{
	uint8_t frame[512];

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		if (frames[i].taken)
			(void)!guard_send(net.up, frame, guard_build(&net, &frames[i], frame));
	}
	(void)!send_super();
}

static void psp_is_not_counted_by_the_kernel(void)
{
	struct guard_counts before = guard_count(&net);
	struct soft_guard *guard;

	send_everything_to_the_uplink();
	CHECK(guard_moved(&net, &before));
	(void)guard_answers(&net, net.up);
	CHECK_EQ(set_guard(&guard), 0);
	before = guard_count(&net);
	send_everything_to_the_uplink();
	CHECK(!guard_moved(&net, &before));
	CHECK_EQ(guard_answers(&net, net.up), 0);
	soft_guard_close(guard);
	send_everything_to_the_uplink();
	CHECK(guard_moved(&net, &before));
}

/* ---- the host port --------------------------------------------------------------------------- */

/* Who has 198.51.100.1? */
static void ask_arp(void)
{
	uint8_t frame[NET_ETH_LEN + NET_ARP_LEN] = {0}, *arp = frame + NET_ETH_LEN;

	memset(frame, 0xff, 6);
	memcpy(frame + 6, (uint8_t[]){2, 0, 0, 0, 0, 3}, 6);
	psp_put16(frame + NET_ETH_TYPE, NET_TYPE_ARP);
	memcpy(arp, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
	memcpy(arp + 8, frame + 6, 6);
	memcpy(arp + 14, (uint8_t[]){198, 51, 100, 2}, 4);
	memcpy(arp + 24, (uint8_t[]){198, 51, 100, 1}, 4);
	(void)!guard_send(net.host, frame, sizeof(frame));
}

static void send_everything_to_the_host_port(void)
{
	uint8_t frame[512];

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		const uint32_t len = guard_build(&net, &frames[i], frame);

		memcpy(frame, frames[i].to == 0 ? net.host_mac : frame, 6);
		(void)!guard_send(net.host, frame, len);
	}
	ask_arp();
}

static void nothing_of_the_host_port_reaches_the_kernel(void)
{
	static struct net_frame got;
	struct guard_counts before = guard_count(&net);
	struct soft_guard *guard;
	struct soft_port *port;
	uint64_t seen;

	CHECK_EQ(soft_port_open("vf0", PSP_DP_PORT_HOST, 0, &port, err, sizeof(err)), 0);
	CHECK(set_witness());
	ask_arp();
	CHECK_EQ(guard_answers(&net, net.host), 1);
	send_everything_to_the_host_port();
	CHECK(guard_moved(&net, &before));
	(void)guard_answers(&net, net.host);

	CHECK_EQ(set_guard(&guard), 0);
	before = guard_count(&net);
	seen = passed("host");
	while (net_recv_port(port, &got, 0))
		;
	send_everything_to_the_host_port();
	CHECK(!guard_moved(&net, &before));
	CHECK_EQ(passed("host"), seen);
	CHECK_EQ(guard_answers(&net, net.host), 0);
	/* The plane has its copies all the same. */
	do
		CHECK(net_recv_port(port, &got, 1000));
	while (psp_get16(got.packet.frame + NET_ETH_TYPE) == GUARD_MARK);
	soft_guard_close(guard);
	ask_arp();
	CHECK_EQ(guard_answers(&net, net.host), 1);
	soft_port_close(port);
	CHECK(remove_witness());
}

/* ---- how it stands and ends ------------------------------------------------------------------ */

static void it_goes_with_its_process_however_that_ends(void)
{
	struct soft_guard *guard;
	int says[2], status;
	char octet;
	pid_t child;

	CHECK_EQ(pipe(says), 0);
	child = fork();
	if (child == 0) {
		if (set_guard(&guard) == 0 && write(says[1], "!", 1) == 1)
			(void)pause();
		_exit(1);
	}
	(void)close(says[1]);
	CHECK_EQ(read(says[0], &octet, 1), 1);
	CHECK(table_stands());
	CHECK(guard_shell("nft list ruleset | grep -q " TABLE));
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(!table_stands());
	CHECK(!guard_shell("nft list ruleset | grep -q table"));
	(void)close(says[0]);
}

static void others_cannot_take_it_away(void)
{
	const struct guard_counts before = guard_count(&net);
	struct soft_guard *guard;

	CHECK_EQ(set_guard(&guard), 0);
	CHECK(guard_shell("nft flush ruleset"));
	CHECK(!guard_shell("nft delete table netdev " TABLE " 2>/dev/null"));
	CHECK(!guard_shell("nft flush chain netdev " TABLE " uplink 2>/dev/null"));
	CHECK(table_stands());
	send_everything_to_the_host_port();
	send_everything_to_the_uplink();
	CHECK(!guard_moved(&net, &before));
	soft_guard_close(guard);
	CHECK(!table_stands());
}

static void one_uplink_has_one_agent_and_one_host_several(void)
{
	struct psp_dp *first = NULL, *second = NULL;
	struct soft_guard *guard;

	CHECK_EQ(open_plane(PSP_DP_GUARD_AUTO, &first), 0);
	CHECK_EQ(open_plane(PSP_DP_GUARD_AUTO, &second), PSP_DP_EBUSY);
	CHECK(strcmp(err, "Cannot set the ingress guard of \"p0\" and \"vf0\": another agent has "
			  "this uplink: stop it, or name another uplink") == 0);
	CHECK(second == NULL);
	CHECK_EQ(guard_on("vf0", "p0", 0, &guard), 0);
	soft_guard_close(guard);
	CHECK(table_stands());
	CHECK_EQ(psp_dp_close(first), 0);
	CHECK_EQ(open_plane(PSP_DP_GUARD_AUTO, &second), 0);
	CHECK_EQ(psp_dp_close(second), 0);
}

/* ---- an interface that comes back ------------------------------------------------------------ */

static void an_interface_that_was_made_again_is_guarded(void)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	struct guard_counts before;
	struct soft_guard *guard;

	CHECK_EQ(set_guard(&guard), 0);
	CHECK(NET_IP("link", "del", "vf0"));
	(void)close(net.host);
	soft_guard_look(guard, HOST, &info);
	(void)close(net.near_host);
	CHECK(guard_link(&net, "vf0", "far_vf0", "198.51.100", &net.host, &net.near_host,
			 net.host_mac));
	wait_for_a_look();
	soft_guard_look(guard, HOST, &info);
	CHECK_EQ(info.guard, PSP_DP_GUARD_STANDS);
	before = guard_count(&net);
	send_everything_to_the_host_port();
	CHECK(!guard_moved(&net, &before));
	CHECK_EQ(guard_answers(&net, net.host), 0);
	soft_guard_close(guard);
	ask_arp();
	CHECK_EQ(guard_answers(&net, net.host), 1);
}

/* The descriptor that owns the guard: nobody else may change it. */
static int owner(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		int domain = 0, protocol = 0;
		socklen_t len = sizeof(int);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 &&
		    domain == AF_NETLINK && protocol == NETLINK_NETFILTER)
			return fd;
	}
	return -1;
}

/* As a kernel that forgets a chain with its interface. */
static bool forget(const char *chain)
{
	struct psp_nft_batch batch;
	uint32_t refused;

	psp_nft_begin(&batch);
	psp_nft_message(&batch, NFT_MSG_DELCHAIN, 0);
	psp_nft_text(&batch, NFTA_CHAIN_TABLE, TABLE);
	psp_nft_text(&batch, NFTA_CHAIN_NAME, chain);
	return psp_nft_send(owner(), &batch, true, &refused) == 0;
}

static void what_is_gone_is_put_back(void)
{
	struct psp_dp *dp = NULL;
	struct guard_counts before;

	CHECK_EQ(open_plane(PSP_DP_GUARD_REQUIRE, &dp), 0);
	for (uint32_t port = UPLINK; port <= HOST; port++) {
		struct psp_dp_port_info info = query(dp, port);

		CHECK_EQ(info.guard, PSP_DP_GUARD_STANDS);
		CHECK_EQ(info.guard_restored, 0);
		CHECK(forget(port == HOST ? "host-2" : "uplink"));
		before = guard_count(&net);
		port == HOST ? send_everything_to_the_host_port() : send_everything_to_the_uplink();
		CHECK(guard_moved(&net, &before));
		wait_for_a_look();
		info = query(dp, port);
		CHECK_EQ(info.guard, PSP_DP_GUARD_STANDS);
		CHECK_EQ(info.guard_restored, 1);
		wait_for_a_look();
		CHECK_EQ(query(dp, port).guard_restored, 1);
		before = guard_count(&net);
		send_everything_to_the_host_port();
		send_everything_to_the_uplink();
		CHECK(!guard_moved(&net, &before));
	}
	CHECK_EQ(psp_dp_close(dp), 0);
}

/* ---- without it ------------------------------------------------------------------------------ */

#define NOBODY 65534u

/* Nobody, with these capabilities (bits) and no others. */
static bool become_nobody(uint32_t capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = capabilities, .permitted = capabilities}};

	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
	       syscall(SYS_capset, &header, data) == 0;
}

static bool become_nobody_without_admin(void)
{
	return become_nobody(1u << CAP_NET_RAW | 1u << CAP_NET_BIND_SERVICE);
}

/* For this process the kernel has no nfnetlink. */
static bool lose_nfnetlink(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static const struct {
	const char *what, *why;
	bool (*lose)(void);
	int32_t status;
	uint8_t reason;
} losses[] = {
	{"no right", "CAP_NET_ADMIN is missing", become_nobody_without_admin, PSP_DP_EPERM,
	 PSP_DP_GUARD_NO_RIGHT},
	{"no nfnetlink", "the kernel has no nftables", lose_nfnetlink, PSP_DP_ENOTSUP,
	 PSP_DP_GUARD_NO_KERNEL},
};

/* In a process of its own: 0, or the line of the check that failed. */
static int without(size_t loss)
{
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ % 250 + 1;                                                 \
	} while (0)
	char text[4096] = "", want[20];
	struct psp_dp_port_info info;
	struct guard_counts before, after;
	struct psp_dp *dp = NULL;
	uint32_t len;

	MUST(losses[loss].lose());
	MUST(open_plane(PSP_DP_GUARD_REQUIRE, &dp) == losses[loss].status && dp == NULL);
	MUST(strstr(err, losses[loss].why) != NULL);
	MUST(psp_dp_host_report(text, sizeof(text) - 1, &len) == 0);
	(void)snprintf(want, sizeof(want), "\nguard %u\n", losses[loss].reason);
	MUST(strstr(text, want) != NULL);
	MUST(open_plane(PSP_DP_GUARD_AUTO, &dp) == 0);
	for (uint32_t port = UPLINK; port <= HOST; port++) {
		info = query(dp, port);
		MUST(info.guard == PSP_DP_GUARD_ABSENT);
		MUST(info.guard_reason == losses[loss].reason);
	}
	/* The socket keeps the kernel from answering; that it works on the packets is what it cannot keep. */
	before = guard_count(&net);
	send_everything_to_the_uplink();
	MUST(guard_moved(&net, &before));
	after = guard_count(&net);
	MUST(after.icmp_out == before.icmp_out && after.icmp6_out == before.icmp6_out);
	return psp_dp_close(dp) == 0 ? 0 : 1;
}

static void without_the_guard_a_plane_opens_unless_it_is_required(void)
{
	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		int status = -1;
		pid_t child = fork();

		if (child == 0)
			_exit(without(i));
		CONTEXT("%s", losses[i].what);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), 0);
	}
}

static void a_report_says_when_a_guard_can_be_had(void)
{
	char text[4096] = "";
	uint32_t len;

	CHECK_EQ(psp_dp_host_report(text, sizeof(text) - 1, &len), 0);
	CHECK(strstr(text, "\nguard 0\n") != NULL);
	/* The question leaves nothing behind. */
	CHECK(!guard_shell("nft list ruleset | grep -q table"));
}

/* A socket that is not said to take them whole has each super-frame cut: four errors, not one. */
static void the_socket_takes_a_super_frame_whole(void)
{
	struct psp_dp *dp = NULL;
	uint64_t before;

	CHECK_EQ(open_plane(PSP_DP_GUARD_NEVER, &dp), 0);
	CHECK_EQ(query(dp, UPLINK).guard, PSP_DP_GUARD_OFF);
	CHECK(!table_stands());
	before = guard_count(&net).udp;
	CHECK(send_super());
	CHECK_EQ(guard_count(&net).udp - before, 1);
	CHECK_EQ(psp_dp_close(dp), 0);
}

static void where_the_guard_stands_forwarding_does_not_matter(void)
{
	static const char *const ipv4 = "/proc/sys/net/ipv4/conf/vf0/forwarding";
	struct psp_dp *dp = NULL;

	CHECK(net_set(ipv4, "1"));
	CHECK_EQ(open_plane(PSP_DP_GUARD_NEVER, &dp), PSP_DP_EPERM);
	CHECK(strstr(err, "net.ipv4.conf.vf0.forwarding=0") != NULL);
	CHECK_EQ(open_plane(PSP_DP_GUARD_AUTO, &dp), 0);
	CHECK_EQ(query(dp, HOST).forwards, 0);
	CHECK_EQ(psp_dp_close(dp), 0);
	CHECK(net_set(ipv4, "0"));
}

int main(void)
{
	if (!guard_net_up(&net))
		return guard_net_missing();
	RUN(the_kernel_gets_what_the_plane_does_not_take);
	RUN(psp_is_not_counted_by_the_kernel);
	RUN(nothing_of_the_host_port_reaches_the_kernel);
	RUN(it_goes_with_its_process_however_that_ends);
	RUN(others_cannot_take_it_away);
	RUN(one_uplink_has_one_agent_and_one_host_several);
	RUN(an_interface_that_was_made_again_is_guarded);
	RUN(what_is_gone_is_put_back);
	RUN(without_the_guard_a_plane_opens_unless_it_is_required);
	RUN(a_report_says_when_a_guard_can_be_had);
	RUN(the_socket_takes_a_super_frame_whole);
	RUN(where_the_guard_stands_forwarding_does_not_matter);
	return test_summary();
}
