/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_detour_lab.h: the shim on its stand-in with a root and a pipe that encapsulates, and TCP packets from the
 * workload. Two tunnels, whose headers add 60 and 68 octets to a packet: 1440 and 1432 fit an uplink of 1500.
 */
#ifndef STANDIN_DETOUR_LAB_H
#define STANDIN_DETOUR_LAB_H

#include "../common/csum.h"
#include "ports.h"
#include "standin_lab.h"

#define SOURCE 0x0a000001u
#define PLAIN 0x0a000002u /* destination of the tunnel without a cookie */
#define VC 0x0a000003u    /* of the one with one */
#define MSS_AT (NET_ETH_LEN + NET_IP4_LEN + NET_TCP_LEN + 2u)
#define TRIES 2000u

static struct psp_dp *dp;
static struct soft_port *workload, *wire;
static uint32_t egr_acl, root, entries[2], root_entry;
static uint16_t
	tunnels_of; /* handle of the port whose tunnels are added; 0: EGR_ACL looks at none */

/* ---- the plane ------------------------------------------------------------------------------- */

static inline void describe(struct psp_dp_pipe_desc *d, const char *name)
{
	memset(d, 0, sizeof(*d));
	d->size = sizeof(*d);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	d->nr_entries = 4;
	d->match_mask.size = sizeof(d->match_mask);
	d->actions.size = sizeof(d->actions);
	d->monitor.size = sizeof(d->monitor);
	d->monitor.counter = 1;
	d->fwd.size = sizeof(d->fwd);
	d->fwd_miss.size = sizeof(d->fwd_miss);
}

static inline int32_t add_root_entry(void)
{
	struct psp_dp_entry_desc e = {.size = sizeof(e),
				      .match.size = sizeof(e.match),
				      .match_mask.size = sizeof(e.match_mask),
				      .actions.size = sizeof(e.actions),
				      .monitor = {.size = sizeof(e.monitor), .counter = 1},
				      .fwd = {.size = sizeof(e.fwd), .type = PSP_DP_FWD_PIPE}};

	e.match.parser_meta_port_id = HOST;
	e.match_mask.parser_meta_port_id = UINT16_MAX;
	e.match.parser_meta_outer_l3_type = PSP_DP_L3_IPV4;
	e.match_mask.parser_meta_outer_l3_type = UINT8_MAX;
	e.fwd.target = egr_acl;
	return psp_dp_entry_add(dp, root, &e, &root_entry);
}

static inline bool make_pipes(void)
{
	struct psp_dp_pipe_desc d;

	describe(&d, "EGR_ACL");
	d.domain = PSP_DP_DOMAIN_SECURE_EGRESS;
	memset(d.match_mask.outer_ip_src, 0xff, 16);
	memset(d.match_mask.outer_ip_dst, 0xff, 16);
	d.actions.flags = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT;
	d.fwd.type = PSP_DP_FWD_PORT;
	d.fwd.target = UPLINK;
	d.fwd_miss.type = PSP_DP_FWD_RSS;
	if (psp_dp_pipe_create(dp, &d, &egr_acl) != 0)
		return false;
	describe(&d, "ROOT");
	d.type = PSP_DP_PIPE_CONTROL;
	d.is_root = 1;
	d.fwd_miss.type = PSP_DP_FWD_KERNEL;
	return psp_dp_pipe_create(dp, &d, &root) == 0 && add_root_entry() == 0;
}

static inline void put_address(uint8_t out[16], uint32_t number)
{
	memset(out, 0, 16);
	memset(out + 10, 0xff, 2);
	psp_put32(out + 12, number);
}

static inline int32_t add_tunnel(uint32_t to, uint32_t i)
{
	struct psp_dp_key key = {.size = sizeof(key), .spi = i + 1, .key = {(uint8_t)(i + 1)}};
	struct psp_dp_entry_desc e = {.size = sizeof(e),
				      .match.size = sizeof(e.match),
				      .match_mask.size = sizeof(e.match_mask),
				      .actions.size = sizeof(e.actions),
				      .monitor = {.size = sizeof(e.monitor), .counter = 1},
				      .fwd.size = sizeof(e.fwd)};
	uint8_t *ip = e.actions.encap_data + NET_ETH_LEN, *psp = ip + NET_IP4_LEN + NET_UDP_LEN;
	uint32_t extension = to == VC ? PSP_VC_LEN : 0;

	put_address(e.match.outer_ip_src, SOURCE);
	put_address(e.match.outer_ip_dst, to);
	e.match.parser_meta_port_id = tunnels_of;
	memset(e.actions.encap_data, 0xff, 6);
	psp_put16(e.actions.encap_data + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put16(ip + NET_IP4_LEN + NET_UDP_DST, PSP_UDP_PORT);
	psp[1] = (uint8_t)(1 + extension / 8);
	psp[3] = PSP_FLAG_ALWAYS | (extension != 0 ? PSP_FLAG_V : 0);
	psp_put32(psp + 4, i + 1);
	e.actions.encap_size =
		(uint16_t)(psp - e.actions.encap_data + PSP_HEADER_LEN + (int32_t)extension);
	e.actions.crypto_id = i + 1;
	if (psp_dp_crypto_set(dp, i + 1, &key) != 0)
		return PSP_DP_EKEY;
	return psp_dp_entry_add(dp, egr_acl, &e, &entries[i]);
}

static inline bool open_all(void)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = 64,
				       .max_crypto_ids = 4,
				       .mss_clamp = 1,
				       .inspect = PSP_DP_INSPECT_ALL,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .mbufs = 512};
	char why[200];

	if (!lab_up() ||
	    ports_open(&config, "up0", "host0", PSP_DP_GUARD_AUTO, &dp, why, sizeof(why)) != 0 ||
	    soft_port_open("host1", PSP_DP_PORT_HOST, 0, &workload, why, sizeof(why)) != 0 ||
	    soft_port_open("up1", PSP_DP_PORT_HOST, 0, &wire, why, sizeof(why)) != 0) {
		printf("# %s\n", why);
		return false;
	}
	return make_pipes();
}

/* ---- packets --------------------------------------------------------------------------------- */

static uint8_t frame[DP_HEADROOM + 2048];

/* A TCP packet of so many octets of IP, with room for one option. */
static inline struct dp_packet tcp(uint32_t to, uint32_t len, uint8_t flags, uint16_t mss)
{
	struct dp_packet packet = {.frame = frame + DP_HEADROOM, .len = NET_ETH_LEN + len};
	uint8_t *ip = packet.frame + NET_ETH_LEN, *at = ip + NET_IP4_LEN;

	memset(frame, 0, sizeof(frame));
	memset(packet.frame, 0xff, 6);
	psp_put16(packet.frame + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	psp_put16(ip + NET_IP4_TOTAL, (uint16_t)len);
	ip[8] = 64;
	ip[NET_IP4_PROTO] = NET_PROTO_TCP;
	psp_put32(ip + NET_IP4_SRC, SOURCE);
	psp_put32(ip + NET_IP4_DST, to);
	dp_csum_ipv4(ip);
	at[12] = 0x60;
	at[NET_TCP_FLAGS] = flags;
	at[NET_TCP_LEN] = 2;
	at[NET_TCP_LEN + 1] = 4;
	psp_put16(packet.frame + MSS_AT, mss);
	return packet;
}

static inline bool send_from(struct soft_port *from, const struct dp_packet *packet)
{
	bool retry = true;

	for (uint32_t i = 0; i < TRIES && retry; i++) {
		if (soft_port_send(from, packet, &retry) == 0)
			return true;
		usleep(100);
	}
	return false;
}

static inline bool send_one(const struct dp_packet *packet)
{
	return send_from(workload, packet);
}

/* The next IP packet at an end, valid until the one after it. False: none comes. */
static inline bool receive_at(struct soft_port *end, struct dp_packet *packet)
{
	static uint8_t buf[DP_HEADROOM + DP_FRAME_MAX];

	for (uint32_t i = 0; i < TRIES; i++) {
		if (soft_port_recv(end, buf, sizeof(buf), packet, 1) == 1) {
			if (dp_parse(packet) &&
			    packet->fields.parser_meta_outer_l3_type != PSP_DP_L3_NONE)
				return true;
			continue;
		}
		usleep(1000);
	}
	return false;
}

/* Octets of IP of the next PSP packet on the wire; 0: none comes. */
static inline uint32_t received(void)
{
	struct dp_packet packet;

	while (receive_at(wire, &packet)) {
		if (packet.fields.tun_psp_spi != 0)
			return packet.len - packet.l3_off;
	}
	return 0;
}

static inline uint64_t counter(const char *name)
{
	static char names[8192];
	uint64_t values[128] = {0};
	uint32_t len = 0, n = 0, i = 0;

	if (psp_dp_counter_names(dp, names, sizeof(names), &len) != 0 ||
	    psp_dp_counters(dp, values, 128, &n) != 0)
		return UINT64_MAX;
	for (char *save = NULL, *at = strtok_r(names, "\n", &save); at != NULL && i < n;
	     at = strtok_r(NULL, "\n", &save), i++) {
		if (strcmp(at, name) == 0)
			return values[i];
	}
	return UINT64_MAX;
}

static inline bool reaches(const char *name, uint64_t want)
{
	for (uint32_t i = 0; i < TRIES && counter(name) < want; i++)
		usleep(1000);
	return counter(name) == want;
}

/* The next event of this type. */
static inline bool next_event(uint32_t type, struct psp_dp_event *out)
{
	static uint8_t buf[1 << 16];
	uint32_t len = 0;

	while (psp_dp_event_wait(dp, buf, sizeof(buf), 2000, &len) == 0 && len != 0) {
		for (uint32_t at = 0; at < len; at += out->record_size) {
			memcpy(out, buf + at, sizeof(*out));
			if (out->type == type)
				return true;
		}
	}
	return false;
}

#endif
