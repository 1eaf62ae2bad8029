/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets as an attacker makes them, through two planes: from a workload, from the wire, and sealed by a peer that has a
 * key. Each comes to one end, under the name that its row says, nothing of a workload leaves in clear text, and what is
 * delivered is what was sent.
 */
#define _GNU_SOURCE /* unshare(), setns() */
#include <linux/if_packet.h>
#include <netinet/in.h>

#include "soft_engine_pair.h"

#define MARK "clear text of a workload"
#define MARK_LEN 24u
#define ROOM 16384u
#define PATCHES 6u
#define CHAIN 40u
#define END 0xffu
#define DELIVERED (-1)   /* sealed by A and given to B's workload, as it was */
#define PASSED_OVER (-2) /* not of this port: as if it had never come */

#define HOP 0u
#define ROUTING 43u
#define FRAGMENT 44u
#define DESTINATION 60u

static const uint8_t vip6[2][16] = {{0xfd, 1, [15] = 1}, {0xfd, 1, [15] = 2}};

/* A packet from A's workload to B's: its headers, a chain of extensions, and UDP or what `l4` has. */
struct packet {
	bool v6;
	uint8_t proto;   /* 0: UDP, with the mark behind it */
	uint8_t type;    /* of ICMP */
	uint16_t l4_len; /* 0: as long as it takes */
	uint8_t options; /* octets of IPv4 options, all NOP */
	uint8_t chain
		[CHAIN]; /* IPv6 extension headers of 8 octets; the first 0xff ends them: see CHAIN_OF */
	uint8_t n_chain;
};

struct patch {
	uint16_t at; /* from the IP header; rows on the outer packet: from the outer IP header */
	uint8_t octet;
};

struct row {
	const char *what;
	struct packet packet;
	struct patch patches[PATCHES];
	uint8_t n;        /* of them */
	bool wrong_sum;   /* IPv4's header checksum is not righted */
	uint16_t tags[8]; /* pairs: Ethernet type and id, in front of the packet's own type */
	uint8_t n_tags;
	uint16_t cut; /* octets taken off the frame's end */
	bool group;   /* to everybody's MAC */
	int end;      /* enum dp_counter, DELIVERED or PASSED_OVER */
};

#define CHAIN_OF(...)                                                                              \
	.v6 = true, .chain = {__VA_ARGS__}, .n_chain = sizeof((uint8_t[]){__VA_ARGS__})
#define PATCH(...)                                                                                 \
	.patches = {__VA_ARGS__}, .n = sizeof((struct patch[]){__VA_ARGS__}) / sizeof(struct patch)
#define TAGS(...) .tags = {__VA_ARGS__}, .n_tags = sizeof((uint16_t[]){__VA_ARGS__}) / 4

/* ---- making ---------------------------------------------------------------------------------- */

static void put_l4(uint8_t *ip, uint32_t at, const struct packet *p, uint32_t len)
{
	uint8_t *l4 = ip + at;

	if (p->proto == 0) {
		psp_put16(l4, 4000);
		psp_put16(l4 + 2, 5000);
		psp_put16(l4 + 4, (uint16_t)len);
		memcpy(l4 + NET_UDP_LEN, MARK, MARK_LEN);
		return;
	}
	l4[0] = p->type;
	if (p->proto == NET_PROTO_ICMP6)
		psp_put16(l4 + 2, (uint16_t)~dp_csum_fold(
					  dp_csum_add(dp_csum_pseudo(ip, p->proto, len), l4, len)));
	else if (p->proto == NET_PROTO_ICMP)
		psp_put16(l4 + 2, (uint16_t)~dp_csum_fold(dp_csum_add(0, l4, len)));
}

/* The IP packet; its length. */
static uint32_t put_packet(uint8_t *ip, const struct packet *p)
{
	uint32_t l4_len = p->l4_len != 0 ? p->l4_len : NET_UDP_LEN + MARK_LEN, at;
	uint8_t proto = p->proto != 0 ? p->proto : NET_PROTO_UDP;

	memset(ip, 0, ROOM);
	if (!p->v6) {
		at = NET_IP4_LEN + p->options;
		ip[0] = (uint8_t)(0x40u | at / 4u);
		memset(ip + NET_IP4_LEN, 1, p->options);
		psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(at + l4_len));
		ip[NET_IP4_TTL] = 64;
		ip[NET_IP4_PROTO] = proto;
		memcpy(ip + NET_IP4_SRC, net.a.vip, 4);
		memcpy(ip + NET_IP4_DST, net.b.vip, 4);
		put_l4(ip, at, p, l4_len);
		return at + l4_len;
	}
	at = NET_IP6_LEN + 8u * p->n_chain;
	ip[0] = 0x60;
	psp_put16(ip + NET_IP6_PLEN, (uint16_t)(at - NET_IP6_LEN + l4_len));
	ip[NET_IP6_NEXT] = p->n_chain != 0 ? p->chain[0] : proto;
	ip[NET_IP6_HOPS] = p->proto == NET_PROTO_ICMP6 ? 255 : 64;
	memcpy(ip + NET_IP6_SRC, vip6[0], 16);
	memcpy(ip + NET_IP6_DST, vip6[1], 16);
	for (uint32_t i = 0; i < p->n_chain; i++)
		ip[NET_IP6_LEN + 8 * i] = i + 1u < p->n_chain ? p->chain[i + 1] : proto;
	put_l4(ip, at, p, l4_len);
	return at + l4_len;
}

/* An attacker rights the checksum that somebody looks at. */
static void right_sum(uint8_t *ip)
{
	uint32_t len = (ip[0] & 15u) * 4u;

	if ((ip[0] >> 4) != 4 || len < NET_IP4_LEN)
		return;
	psp_put16(ip + NET_IP4_CSUM, 0);
	psp_put16(ip + NET_IP4_CSUM, (uint16_t)~dp_csum_fold(dp_csum_add(0, ip, len)));
}

static void patch(uint8_t *ip, const struct row *row)
{
	for (uint32_t i = 0; i < row->n; i++)
		ip[row->patches[i].at] = row->patches[i].octet;
	if (!row->wrong_sum)
		right_sum(ip);
}

/* Tags go in behind the addresses. */
static void tag(struct net_frame *f, const struct row *row)
{
	const uint32_t octets = 4u * row->n_tags;
	uint8_t *eth = f->packet.frame;

	memmove(eth + NET_ETH_TYPE + octets, eth + NET_ETH_TYPE, f->packet.len - NET_ETH_TYPE);
	for (uint32_t i = 0; i < row->n_tags; i++) {
		psp_put16(eth + NET_ETH_TYPE + 4 * i, row->tags[2 * i]);
		psp_put16(eth + NET_ETH_TYPE + 4 * i + 2, row->tags[2 * i + 1]);
	}
	f->packet.len += octets;
}

/* The frame that A's workload sends. */
static void make_host(struct net_frame *f, const struct row *row)
{
	uint8_t *eth = f->buf + DP_HEADROOM;

	memset(&f->packet, 0, sizeof(f->packet));
	memcpy(eth, net.a.host_mac, 6);
	if (row->group)
		memset(eth, 0xff, 6);
	memcpy(eth + 6, net.a.end_mac, 6);
	psp_put16(eth + NET_ETH_TYPE, row->packet.v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	f->packet.frame = eth;
	f->packet.len = NET_ETH_LEN + put_packet(eth + NET_ETH_LEN, &row->packet) - row->cut;
	f->packet.port = PSP_DP_PORT_HOST;
	patch(eth + NET_ETH_LEN, row);
	tag(f, row);
}

/* ---- lab ------------------------------------------------------------------------------------- */

static struct pair pair;
static int wire; /* hears all that leaves A's uplink */

/* The tunnel's entries for the workloads' IPv6 addresses, under the same SPI. */
static bool add_ipv6(void)
{
	struct psp_dp_entry_desc e;

	graph_egr_acl(&e, &net.a, &net.b, &pair.ab);
	memcpy(e.match.outer_ip_src, vip6[0], 16);
	memcpy(e.match.outer_ip_dst, vip6[1], 16);
	if (!graph_add(net.a.dp, pair.ga.egr_acl, &e, NULL))
		return false;
	graph_ingr_acl(&e, &net.a, &net.b, &pair.ab);
	memcpy(e.match.inner_ip_src, vip6[0], 16);
	memcpy(e.match.inner_ip_dst, vip6[1], 16);
	return graph_add(net.b.dp, pair.gb.ingr_acl, &e, NULL);
}

static bool listen_to_wire(void)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0003)};

	at.sll_ifindex = (int)if_nametoindex("a_up");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(0x0003));
	return wire >= 0 && bind(wire, (const struct sockaddr *)&at, sizeof(at)) == 0;
}

static bool lab_open(void)
{
	return pair_open(&pair, -1, NULL) &&
	       tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab) && add_ipv6() &&
	       net_enter(&net.a) && listen_to_wire();
}

static void lab_close(void)
{
	if (wire >= 0)
		(void)close(wire);
	planes_close();
}

/* Whether the mark was anywhere in what left since the last look. */
static bool leaked(void)
{
	static uint8_t buf[DP_FRAME_MAX];
	bool found = false;
	ssize_t len;

	while ((len = recv(wire, buf, sizeof(buf), 0)) > 0)
		found = found || memmem(buf, (size_t)len, MARK, MARK_LEN) != NULL;
	return found;
}

static void count_all(struct psp_dp *dp, uint64_t counts[DP_COUNTER_COUNT])
{
	for (int i = 0; i < DP_COUNTER_COUNT; i++)
		counts[i] = graph_count(dp, (enum dp_counter)i);
}

static uint32_t good;

/* One packet of the ordinary kind, whole and in order: so far nothing has stopped, and nothing else is on its way. */
static void expect_good(void)
{
	net_udp(&sent, &net.a, &net.b, ++good, 64);
	CHECK(net_send(&net.a, &sent));
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK_EQ(net_number(&got), good);
	CHECK_EQ(got.packet.len, sent.packet.len);
}

/* What was sent in `ip` came out at B's workload, but for its TTL or hop limit if that was changed by nobody. */
static void expect_same(const uint8_t *ip, uint32_t len)
{
	CHECK(net_recv(&net.b, &got, NET_HANG_MS));
	CHECK_MEM(got.packet.frame, net.b.end_mac, 6);
	CHECK_EQ(got.packet.len, NET_ETH_LEN + len);
	CHECK_MEM(got.packet.frame + NET_ETH_LEN, ip, len);
}

/* The row's packet came to its end at `at`, and no other counter of packets moved but those of good ones. */
static void expect_end(const struct net_side *at, const struct row *row, const uint64_t *before)
{
	if (row->end >= 0)
		CHECK(graph_wait(at->dp, (enum dp_counter)row->end, before[row->end] + 1));
	SUB(expect_good());
	if (row->end >= 0)
		CHECK_EQ(graph_count(at->dp, (enum dp_counter)row->end), before[row->end] + 1);
	SUB(expect_accounts());
	CHECK(!leaked());
}

/* ---- from a workload ------------------------------------------------------------------------- */

static const struct row host_rows[] = {
	{.what = "a plain packet", .end = DELIVERED},
	{.what = "IPv6", .packet = {.v6 = true}, .end = DELIVERED},
	/* IPv6 extension headers */
	{.what = "hop-by-hop options", .packet = {CHAIN_OF(HOP)}, .end = DELIVERED},
	{.what = "eight headers",
	 .packet = {CHAIN_OF(HOP, 60, 60, 60, 60, 60, 60, 60)},
	 .end = DELIVERED},
	{.what = "nine headers",
	 .packet = {CHAIN_OF(HOP, 60, 60, 60, 60, 60, 60, 60, 60)},
	 .end = DP_HOST_MALFORMED},
	{.what = "thirty headers",
	 .packet = {CHAIN_OF(60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60,
			     60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60)},
	 .end = DP_HOST_MALFORMED},
	{.what = "routing header type 0, a segment left",
	 .packet = {CHAIN_OF(ROUTING)},
	 PATCH({42, 0}, {43, 1}),
	 .end = DELIVERED},
	{.what = "options longer than the packet",
	 .packet = {CHAIN_OF(DESTINATION)},
	 PATCH({41, 200}),
	 .end = DP_HOST_MALFORMED},
	{.what = "routing header to the packet's last octet and one more",
	 .packet = {CHAIN_OF(ROUTING)},
	 PATCH({41, 5}),
	 .end = DP_HOST_MALFORMED},
	{.what = "a header that names itself next, for ever",
	 .packet = {CHAIN_OF(60, 60, 60, 60, 60, 60, 60, 60, 60, 60)},
	 .end = DP_HOST_MALFORMED},
	{.what = "a fragment header behind options",
	 .packet = {CHAIN_OF(HOP, FRAGMENT)},
	 .end = DELIVERED},
	{.what = "a fragment header, and options in the fragment",
	 .packet = {CHAIN_OF(FRAGMENT, DESTINATION)},
	 .end = DELIVERED},
	{.what = "two fragment headers",
	 .packet = {CHAIN_OF(FRAGMENT, FRAGMENT)},
	 .end = DELIVERED},
	{.what = "an unknown next header",
	 .packet = {.v6 = true, .proto = 253, .l4_len = 40},
	 .end = DELIVERED},
	{.what = "no next header",
	 .packet = {.v6 = true, .proto = 59, .l4_len = 8},
	 .end = DELIVERED},
	{.what = "a jumbogram: length 0, and how long in the options",
	 .packet = {CHAIN_OF(HOP)},
	 PATCH({4, 0}, {5, 0}, {42, 0xc2}, {43, 4}),
	 .end = DP_HOST_MALFORMED},
	{.what = "length 0 of UDP",
	 .packet = {.v6 = true},
	 PATCH({4, 0}, {5, 0}),
	 .end = DP_HOST_MALFORMED},
	/* IPv4 */
	{.what = "forty octets of options", .packet = {.options = 40}, .end = DELIVERED},
	{.what = "an option that is longer than all of them",
	 .packet = {.options = 8},
	 PATCH({20, 0x83}, {21, 200}, {22, 4}),
	 .end = DELIVERED},
	{.what = "an option of length 0",
	 .packet = {.options = 8},
	 PATCH({20, 0x83}, {21, 0}),
	 .end = DELIVERED},
	{.what = "IHL 4", PATCH({0, 0x44}), .end = DP_HOST_MALFORMED},
	{.what = "a header longer than the packet",
	 .packet = {.l4_len = 8},
	 PATCH({0, 0x4f}),
	 .end = DP_HOST_MALFORMED},
	{.what = "total length below the header", PATCH({2, 0}, {3, 19}), .end = DP_HOST_MALFORMED},
	{.what = "total length 0", PATCH({2, 0}, {3, 0}), .end = DP_HOST_MALFORMED},
	{.what = "total length beyond the frame", PATCH({2, 0x10}), .end = DP_HOST_MALFORMED},
	{.what = "a frame cut short", .cut = 1, .end = DP_HOST_MALFORMED},
	{.what = "a wrong header checksum",
	 PATCH({10, 0xaa}),
	 .wrong_sum = true,
	 .end = DP_HOST_MALFORMED},
	{.what = "version 6 in an IPv4 frame", PATCH({0, 0x65}), .end = DP_HOST_MALFORMED},
	/* fragments */
	{.what = "a first fragment without a whole header of UDP",
	 .packet = {.proto = 17, .l4_len = 4},
	 PATCH({6, 0x20}),
	 .end = DELIVERED},
	{.what = "a later fragment", PATCH({6, 0x00}, {7, 0xb9}), .end = DELIVERED},
	{.what = "a fragment over the header of the first",
	 PATCH({6, 0}, {7, 1}),
	 .end = DELIVERED},
	{.what = "a fragment that ends beyond the largest packet",
	 PATCH({6, 0x1f}, {7, 0xff}),
	 .end = DP_HOST_MALFORMED},
	{.what = "the same, in front of others",
	 PATCH({6, 0x3f}, {7, 0xff}),
	 .end = DP_HOST_MALFORMED},
	{.what = "the same of IPv6",
	 .packet = {CHAIN_OF(FRAGMENT)},
	 PATCH({42, 0xff}, {43, 0xf8}),
	 .end = DP_HOST_MALFORMED},
	{.what = "the last fragment of a largest packet",
	 .packet = {.proto = 253, .l4_len = 7},
	 PATCH({6, 0x1f}, {7, 0xfc}),
	 .end = DELIVERED},
	/* UDP */
	{.what = "UDP length 0", PATCH({24, 0}, {25, 0}), .end = DP_HOST_MALFORMED},
	{.what = "UDP length 7", PATCH({25, 7}), .end = DP_HOST_MALFORMED},
	{.what = "UDP length beyond the packet", PATCH({24, 1}), .end = DP_HOST_MALFORMED},
	{.what = "octets behind a datagram", PATCH({25, 12}), .end = DELIVERED},
	/* tags: the port has none */
	{.what = "a priority tag", TAGS(0x8100, 0xe000), .end = DELIVERED},
	{.what = "a VLAN's tag", TAGS(0x8100, 5), .end = PASSED_OVER},
	{.what = "a service tag and a VLAN's", TAGS(0x88a8, 5, 0x8100, 5), .end = PASSED_OVER},
	{.what = "a VLAN's tag behind a service tag of priority alone",
	 TAGS(0x88a8, 0, 0x8100, 5),
	 .end = DP_HOST_UNMATCHED},
	{.what = "a service tag of priority alone", TAGS(0x88a8, 0), .end = DELIVERED},
	{.what = "four tags", TAGS(0x8100, 7, 0x8100, 7, 0x8100, 7, 0x8100, 7), .end = PASSED_OVER},
	/* to a group's MAC: RFC 1812, 5.3.4 */
	{.what = "to everybody's MAC, to one address", .group = true, .end = DP_HOST_UNMATCHED},
	{.what = "to everybody's MAC, to one address of IPv6",
	 .packet = {.v6 = true},
	 .group = true,
	 .end = DP_HOST_UNMATCHED},
};

static void what_a_workload_sends_has_one_end(void)
{
	uint64_t before[DP_COUNTER_COUNT];

	CHECK(lab_open());
	SUB(expect_good());
	for (size_t i = 0; i < sizeof(host_rows) / sizeof(host_rows[0]); i++) {
		const struct row *row = &host_rows[i];
		static struct net_frame frame;

		CONTEXT("%s", row->what);
		make_host(&frame, row);
		count_all(net.a.dp, before);
		CHECK(net_send(&net.a, &frame));
		if (row->end == DELIVERED)
			SUB(expect_same(frame.packet.frame + NET_ETH_LEN + 4u * row->n_tags,
					frame.packet.len - NET_ETH_LEN - 4u * row->n_tags));
		SUB(expect_end(&net.a, row, before));
		if (row->end == PASSED_OVER)
			CHECK_EQ(graph_count(net.a.dp, DP_HOST_RX_PACKETS),
				 before[DP_HOST_RX_PACKETS] + 1);
	}
}

/* ---- from the wire --------------------------------------------------------------------------- */

/* A PSP packet to B: `outer` around `inner`, its header patched before it is sealed where that can be. */
struct wire_row {
	struct row outer; /* its patches are made at last, and count from the outer IP header */
	struct packet inner;
	struct patch inner_patches[PATCHES];
	uint8_t n_inner;
	struct patch psp[4]; /* from the PSP header */
	uint8_t n_psp;
	uint8_t ext; /* octets of PSP header extension */
	bool empty;  /* nothing is inside */
	bool padded; /* octets behind the inner packet, within the seal */
	bool from_group;
	int8_t shorter; /* of the UDP length field */
};

#define INNER(...)                                                                                 \
	.inner_patches = {__VA_ARGS__},                                                            \
	.n_inner = sizeof((struct patch[]){__VA_ARGS__}) / sizeof(struct patch)
#define PSP(...)                                                                                   \
	.psp = {__VA_ARGS__}, .n_psp = sizeof((struct patch[]){__VA_ARGS__}) / sizeof(struct patch)

static uint8_t inner_ip[ROOM]; /* as it was sealed */
static uint32_t inner_len;

static void put_psp_header(uint8_t *psp, const struct wire_row *row, bool patched)
{
	static uint64_t iv;

	memset(psp, 0, PSP_HEADER_LEN + row->ext);
	psp[0] = row->inner.v6 ? PSP_NEXT_IPV6 : PSP_NEXT_IPV4;
	psp[1] = (uint8_t)(1u + row->ext / 8u);
	psp[3] = (uint8_t)((uint32_t)pair.ab.key.version << PSP_VERSION_SHIFT | PSP_FLAG_ALWAYS);
	psp_put32(psp + 4, pair.ab.key.spi);
	psp_put64(psp + 8, ++iv);
	for (uint32_t i = 0; patched && i < row->n_psp; i++)
		psp[row->psp[i].at] = row->psp[i].octet;
}

/* The PSP packet; its length. A header that nobody can seal by is put in front of what was sealed by another. */
static uint32_t put_psp(uint8_t *psp, const struct wire_row *row)
{
	const uint32_t head = PSP_HEADER_LEN + row->ext;
	uint8_t *inner = psp + head;
	uint32_t len = 0, sealed = 0;

	if (!row->empty) {
		len = put_packet(inner, &row->inner);
		for (uint32_t i = 0; i < row->n_inner; i++)
			inner[row->inner_patches[i].at] = row->inner_patches[i].octet;
		if (row->n_inner == 0 || row->inner_patches[0].at != NET_IP4_CSUM)
			right_sum(inner);
		memcpy(inner_ip, inner, len);
		inner_len = len;
		if (row->padded)
			len += 30;
	}
	put_psp_header(psp, row, true);
	if (psp_dp_seal(backend, &pair.ab.key, psp, head + len, psp, ROOM, &sealed) == 0)
		return sealed;
	put_psp_header(psp, row, false);
	if (psp_dp_seal(backend, &pair.ab.key, psp, head + len, psp, ROOM, &sealed) != 0)
		return 0;
	put_psp_header(psp, row, true);
	return sealed;
}

static bool make_wire(struct net_frame *f, const struct wire_row *row)
{
	struct packet outer = row->outer.packet;
	uint8_t *eth = f->buf + DP_HEADROOM, *ip = eth + NET_ETH_LEN;
	uint32_t head, len;

	outer.proto = 0;
	outer.l4_len = NET_UDP_LEN;
	memset(&f->packet, 0, sizeof(f->packet));
	head = put_packet(ip, &outer);
	len = put_psp(ip + head, row);
	if (len == 0)
		return false;
	memcpy(eth, net.b.up_mac, 6);
	memcpy(eth + 6, net.a.up_mac, 6);
	if (row->from_group)
		eth[6] |= 1;
	psp_put16(eth + NET_ETH_TYPE, outer.v6 ? NET_TYPE_IPV6 : NET_TYPE_IPV4);
	if (outer.v6)
		psp_put16(ip + NET_IP6_PLEN, (uint16_t)(head - NET_IP6_LEN + len));
	else
		psp_put16(ip + NET_IP4_TOTAL, (uint16_t)(head + len));
	psp_put16(ip + head - NET_UDP_LEN + NET_UDP_DST, PSP_UDP_PORT);
	psp_put16(ip + head - NET_UDP_LEN + NET_UDP_LENGTH,
		  (uint16_t)(NET_UDP_LEN + len - (uint32_t)row->shorter));
	f->packet.frame = eth;
	f->packet.len = NET_ETH_LEN + head + len - row->outer.cut;
	patch(ip, &row->outer);
	tag(f, &row->outer);
	return true;
}

static const struct wire_row wire_rows[] = {
	{.outer = {.what = "a plain PSP packet", .end = DELIVERED}},
	{.outer = {.what = "outer IPv6", .packet = {.v6 = true}, .end = DELIVERED}},
	{.outer = {.what = "outer IPv4 options", .packet = {.options = 12}, .end = DELIVERED}},
	{.outer = {.what = "outer hop-by-hop and destination options",
		   .packet = {CHAIN_OF(HOP, DESTINATION)},
		   .end = DELIVERED}},
	{.outer = {.what = "thirty outer headers",
		   .packet = {CHAIN_OF(60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60,
				       60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60)},
		   .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "an outer fragment header",
		   .packet = {CHAIN_OF(FRAGMENT)},
		   .end = DP_UPLINK_KERNEL}},
	{.outer = {.what = "an outer fragment", PATCH({6, 0x20}), .end = DP_UPLINK_KERNEL}},
	{.outer = {.what = "an outer fragment beyond the largest packet",
		   PATCH({6, 0x1f}, {7, 0xff}),
		   .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "outer total length below its header",
		   PATCH({2, 0}, {3, 10}),
		   .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "cut short on the wire", .cut = 1, .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "a wrong outer header checksum",
		   PATCH({10, 0x55}),
		   .wrong_sum = true,
		   .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "UDP length 0", PATCH({24, 0}, {25, 0}), .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "UDP length beyond the packet",
		   PATCH({24, 7}),
		   .end = DP_UPLINK_MALFORMED}},
	{.outer = {.what = "a UDP length without the last octet", .end = DP_RX_AUTH_FAIL},
	 .shorter = 1},
	{.outer = {.what = "a wrong UDP checksum", PATCH({26, 0x12}), .end = DP_RX_ERROR}},
	{.outer = {.what = "no room for a PSP header",
		   PATCH({24, 0}, {25, 20}),
		   .end = DP_RX_ERROR}},
	{.outer = {.what = "a priority tag", TAGS(0x8100, 0x6000), .end = DELIVERED}},
	{.outer = {.what = "a VLAN's tag", TAGS(0x8100, 5), .end = PASSED_OVER}},
	{.outer = {.what = "a service tag", TAGS(0x88a8, 5), .end = PASSED_OVER}},
	{.outer = {.what = "two tags", TAGS(0x88a8, 5, 0x8100, 5), .end = PASSED_OVER}},
	{.outer = {.what = "from a group's MAC", .end = DP_UPLINK_MALFORMED}, .from_group = true},
	{.outer = {.what = "a bit of the seal flipped", PATCH({50, 0x99}), .end = DP_RX_AUTH_FAIL}},
	/* the PSP header */
	{.outer = {.what = "no header extension", .end = DP_RX_ERROR}, PSP({1, 0})},
	{.outer = {.what = "extensions of 24 octets", .end = DELIVERED}, .ext = 24},
	{.outer = {.what = "an extension beyond the packet", .end = DP_RX_ERROR}, PSP({1, 255})},
	{.outer = {.what = "a VC without room for it", .end = DP_RX_ERROR}, PSP({3, 0x07})},
	{.outer = {.what = "a VC that nobody asked for", .end = DELIVERED},
	 PSP({3, 0x07}),
	 .ext = 8},
	{.outer = {.what = "crypt offset at the packet's end", .end = DELIVERED}, PSP({2, 13})},
	{.outer = {.what = "crypt offset beyond the packet", .end = DP_RX_ERROR}, PSP({2, 14})},
	{.outer = {.what = "version 2, which is not spoken", .end = DP_RX_BAD},
	 PSP({3, 2 << 2 | 1})},
	{.outer = {.what = "version 15", .end = DP_RX_BAD}, PSP({3, 15 << 2 | 1})},
	{.outer = {.what = "another version than the key's", .end = DP_RX_AUTH_FAIL}, PSP({3, 1})},
	{.outer = {.what = "bits that are to be ignored", .end = DELIVERED}, PSP({2, 0xc0})},
	{.outer = {.what = "SPI 0", .end = DP_RX_BAD}, PSP({4, 0}, {5, 0}, {6, 0}, {7, 0})},
	{.outer = {.what = "D: to be dropped", .end = DP_RX_POLICY}, PSP({3, 0x45})},
	{.outer = {.what = "nothing inside", .end = DP_RX_POLICY}, .empty = true},
	{.outer = {.what = "IPv4 said to be IPv6", .end = DP_RX_NO_SA}, PSP({0, 41})},
	{.outer = {.what = "IPv6 said to be IPv4", .end = DP_RX_NO_SA},
	 .inner = {.v6 = true},
	 PSP({0, 4})},
	{.outer = {.what = "a tunnel's packet said to be TCP", .end = DP_RX_NO_SA}, PSP({0, 6})},
	{.outer = {.what = "a next header that is none of PSP's", .end = DP_RX_POLICY},
	 PSP({0, 58})},
	/* inside, from a peer that has the key */
	{.outer = {.what = "inner: IPv6", .end = DELIVERED}, .inner = {.v6 = true}},
	{.outer = {.what = "inner: octets behind the packet", .end = DELIVERED}, .padded = true},
	{.outer = {.what = "inner: another source", .end = DP_RX_NO_SA}, INNER({15, 9})},
	{.outer = {.what = "inner: another destination", .end = DP_RX_NO_SA}, INNER({19, 9})},
	{.outer = {.what = "inner: everybody", .end = DP_RX_NO_SA},
	 INNER({16, 255}, {17, 255}, {18, 255}, {19, 255})},
	{.outer = {.what = "inner: IHL 4", .end = DP_RX_NO_SA}, INNER({0, 0x44})},
	{.outer = {.what = "inner: total length beyond the seal", .end = DP_RX_NO_SA},
	 INNER({2, 4})},
	{.outer = {.what = "inner: total length below the header", .end = DP_RX_NO_SA},
	 INNER({3, 8})},
	{.outer = {.what = "inner: a wrong header checksum", .end = DP_RX_BAD_INNER},
	 INNER({10, 9})},
	{.outer = {.what = "inner: UDP length 0", .end = DP_RX_BAD_INNER}, INNER({24, 0}, {25, 0})},
	{.outer = {.what = "inner: UDP length beyond", .end = DP_RX_BAD_INNER}, INNER({24, 2})},
	{.outer = {.what = "inner: a tiny first fragment", .end = DELIVERED},
	 .inner = {.proto = 17, .l4_len = 4},
	 INNER({6, 0x20})},
	{.outer = {.what = "inner: a fragment beyond the largest packet", .end = DP_RX_NO_SA},
	 INNER({6, 0x1f}, {7, 0xff})},
	{.outer = {.what = "inner: eight headers", .end = DELIVERED},
	 .inner = {CHAIN_OF(HOP, 60, 60, 60, 60, 60, 60, 60)}},
	{.outer = {.what = "inner: nine headers", .end = DP_RX_NO_SA},
	 .inner = {CHAIN_OF(HOP, 60, 60, 60, 60, 60, 60, 60, 60)}},
	{.outer = {.what = "inner: a jumbogram", .end = DP_RX_NO_SA},
	 .inner = {CHAIN_OF(HOP)},
	 INNER({4, 0}, {5, 0}, {42, 0xc2}, {43, 4})},
	{.outer = {.what = "inner: a fragment of IPv6 beyond the largest packet",
		   .end = DP_RX_NO_SA},
	 .inner = {CHAIN_OF(FRAGMENT)},
	 INNER({42, 0xff}, {43, 0xf8})},
	{.outer = {.what = "inner: TCP without a whole header", .end = DP_RX_BAD_INNER},
	 .inner = {.proto = 6, .l4_len = 12}},
	/* RFC 4861: what is said to one's neighbours was sent by one of them */
	{.outer = {.what = "inner: router solicitation", .end = DP_RX_BAD_INNER},
	 .inner = {.v6 = true, .proto = 58, .type = 133, .l4_len = 8}},
	{.outer = {.what = "inner: router advertisement", .end = DP_RX_BAD_INNER},
	 .inner = {.v6 = true, .proto = 58, .type = 134, .l4_len = 16}},
	{.outer = {.what = "inner: neighbour solicitation", .end = DP_RX_BAD_INNER},
	 .inner = {.v6 = true, .proto = 58, .type = 135, .l4_len = 24}},
	{.outer = {.what = "inner: neighbour advertisement", .end = DP_RX_BAD_INNER},
	 .inner = {.v6 = true, .proto = 58, .type = 136, .l4_len = 24}},
	{.outer = {.what = "inner: redirect", .end = DP_RX_BAD_INNER},
	 .inner = {.v6 = true, .proto = 58, .type = 137, .l4_len = 40}},
	{.outer = {.what = "inner: neighbour advertisement behind options", .end = DP_RX_BAD_INNER},
	 .inner = {CHAIN_OF(DESTINATION), .proto = 58, .type = 136, .l4_len = 24}},
	{.outer = {.what = "inner: echo of IPv6", .end = DELIVERED},
	 .inner = {.v6 = true, .proto = 58, .type = 128, .l4_len = 24}},
	{.outer = {.what = "inner: packet too big of IPv6", .end = DELIVERED},
	 .inner = {.v6 = true, .proto = 58, .type = 2, .l4_len = 48}},
	{.outer = {.what = "inner: fragmentation needed", .end = DELIVERED},
	 .inner = {.proto = 1, .type = 3, .l4_len = 36}},
};

static void what_a_peer_sends_has_one_end(void)
{
	uint64_t before[DP_COUNTER_COUNT];

	CHECK(lab_open());
	SUB(expect_good());
	for (size_t i = 0; i < sizeof(wire_rows) / sizeof(wire_rows[0]); i++) {
		const struct wire_row *row = &wire_rows[i];
		static struct net_frame frame;

		CONTEXT("%s", row->outer.what);
		CHECK(make_wire(&frame, row));
		count_all(net.b.dp, before);
		CHECK_EQ(psp_dp_inject(net.a.dp, UPLINK, frame.packet.frame, frame.packet.len), 0);
		if (row->outer.end == DELIVERED)
			SUB(expect_same(inner_ip, inner_len));
		/* What is sealed here has its mark in clear where the row wants it so. */
		(void)leaked();
		SUB(expect_end(&net.b, &row->outer, before));
		if (row->outer.end == PASSED_OVER)
			CHECK_EQ(graph_count(net.b.dp, DP_UPLINK_RX_PACKETS),
				 before[DP_UPLINK_RX_PACKETS] + 1);
	}
}

static void run(void)
{
	wire = -1;
	RUN(what_a_workload_sends_has_one_end);
	lab_close();
	wire = -1;
	RUN(what_a_peer_sends_has_one_end);
	lab_close();
}

int main(void)
{
	return run_with_each_backend(run);
}
