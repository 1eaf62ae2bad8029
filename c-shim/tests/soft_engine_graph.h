/* SPDX-License-Identifier: Apache-2.0 */
/* soft_engine_graph.h: the reference topologies, programmed through the public ABI as the agent does it. */
#ifndef PSP_SOFT_ENGINE_GRAPH_H
#define PSP_SOFT_ENGINE_GRAPH_H

#include "soft_engine_net.h"

struct graph {
	uint32_t root, egr_acl, egr_samp, encrypt, decrypt, ingr_acl, ingr_samp, synd_stats;
	uint32_t samp_entry;
};

struct tunnel {
	struct psp_dp_key key; /* with which `from` sends to `to` */
	uint32_t crypto_id;
	uint32_t ingr_acl, egr_acl, encrypt;
};

static inline void graph_pipe(struct psp_dp_pipe_desc *d, const char *name, uint32_t type)
{
	memset(d, 0, sizeof(*d));
	d->size = sizeof(*d);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	d->type = type;
	d->miss_counter = 1;
	d->match_mask.size = sizeof(d->match_mask);
	d->actions.size = sizeof(d->actions);
	d->monitor.size = sizeof(d->monitor);
	d->monitor.counter = 1;
	d->fwd.size = sizeof(d->fwd);
	d->fwd_miss.size = sizeof(d->fwd_miss);
	d->fwd_miss.type = PSP_DP_FWD_DROP;
}

static inline void graph_entry(struct psp_dp_entry_desc *d)
{
	memset(d, 0, sizeof(*d));
	d->size = sizeof(*d);
	d->match.size = sizeof(d->match);
	d->match_mask.size = sizeof(d->match_mask);
	d->actions.size = sizeof(d->actions);
	d->monitor.size = sizeof(d->monitor);
	d->monitor.counter = 1;
	d->fwd.size = sizeof(d->fwd);
}

static inline void graph_fwd(struct psp_dp_fwd *fwd, uint32_t type, uint32_t target)
{
	fwd->type = type;
	fwd->target = target;
}

static inline bool graph_add(struct psp_dp *dp, uint32_t pipe, const struct psp_dp_entry_desc *d,
			     uint32_t *entry)
{
	uint32_t id;

	if (psp_dp_entry_add(dp, pipe, d, &id) != 0) {
		char text[256];
		uint32_t len = 0;

		if (psp_dp_error_text(dp, text, sizeof(text), &len) == 0)
			printf("# %.*s\n", (int)len, text);
		return false;
	}
	if (entry != NULL)
		*entry = id;
	return true;
}

static inline void graph_map(uint8_t out[16], const uint8_t v4[4])
{
	net_map_v4(out, v4);
}

static inline bool graph_ingress(struct psp_dp *dp, struct graph *g, bool sampling)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;

	graph_pipe(&p, "SYND_STATS", PSP_DP_PIPE_BASIC);
	p.match_mask.parser_meta_psp_syndrome = 0xff;
	p.monitor.notify = 1;
	p.fwd.type = PSP_DP_FWD_DROP;
	if (psp_dp_pipe_create(dp, &p, &g->synd_stats) != 0)
		return false;
	for (uint8_t i = 1; i <= 2; i++) {
		graph_entry(&e);
		e.match.parser_meta_psp_syndrome = i;
		if (!graph_add(dp, g->synd_stats, &e, NULL))
			return false;
	}
	graph_pipe(&p, "INGR_ACL", PSP_DP_PIPE_BASIC);
	p.match_mask.parser_meta_psp_syndrome = 0xff;
	p.match_mask.tun_psp_spi = 0xffffffff;
	memset(p.match_mask.inner_ip_src, 0xff, 16);
	memset(p.match_mask.inner_ip_dst, 0xff, 16);
	p.actions.flags = PSP_DP_ACTION_DECAP;
	graph_fwd(&p.fwd, PSP_DP_FWD_PORT, HOST);
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PIPE, g->synd_stats);
	if (psp_dp_pipe_create(dp, &p, &g->ingr_acl) != 0)
		return false;
	if (sampling) {
		graph_pipe(&p, "INGR_SAMP", PSP_DP_PIPE_BASIC);
		p.match_mask.tun_psp_s_d_ver_v = PSP_FLAG_S;
		p.monitor.mirror = 1;
		graph_fwd(&p.fwd, PSP_DP_FWD_PIPE, g->ingr_acl);
		graph_fwd(&p.fwd_miss, PSP_DP_FWD_PIPE, g->ingr_acl);
		graph_entry(&e);
		e.match.tun_psp_s_d_ver_v = PSP_FLAG_S;
		if (psp_dp_pipe_create(dp, &p, &g->ingr_samp) != 0 ||
		    !graph_add(dp, g->ingr_samp, &e, NULL))
			return false;
	}
	graph_pipe(&p, "PSP_DECRYPT", PSP_DP_PIPE_BASIC);
	p.actions.flags = PSP_DP_ACTION_DECRYPT;
	graph_fwd(&p.fwd, PSP_DP_FWD_PIPE, sampling ? g->ingr_samp : g->ingr_acl);
	graph_entry(&e);
	return psp_dp_pipe_create(dp, &p, &g->decrypt) == 0 && graph_add(dp, g->decrypt, &e, NULL);
}

/* sampling: one packet in 2^bits, or -1 for no sampling. */
static inline bool graph_egress(struct psp_dp *dp, struct graph *g, int bits)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;

	if (bits >= 0) {
		graph_pipe(&p, "PSP_ENCRYPT", PSP_DP_PIPE_BASIC);
		p.match_mask.meta_pkt_meta = 0xffffffff;
		p.actions.flags = PSP_DP_ACTION_ENCRYPT;
		graph_fwd(&p.fwd, PSP_DP_FWD_PORT, UPLINK);
		if (psp_dp_pipe_create(dp, &p, &g->encrypt) != 0)
			return false;
		graph_pipe(&p, "EGR_SAMP", PSP_DP_PIPE_BASIC);
		p.match_mask.parser_meta_random = (uint16_t)((1u << bits) - 1);
		p.actions.flags = PSP_DP_ACTION_SET_S;
		p.monitor.mirror = 1;
		graph_fwd(&p.fwd, PSP_DP_FWD_PIPE, g->encrypt);
		graph_fwd(&p.fwd_miss, PSP_DP_FWD_PIPE, g->encrypt);
		graph_entry(&e);
		e.match.parser_meta_random = 1;
		if (psp_dp_pipe_create(dp, &p, &g->egr_samp) != 0 ||
		    !graph_add(dp, g->egr_samp, &e, &g->samp_entry))
			return false;
	}
	graph_pipe(&p, "EGR_ACL", PSP_DP_PIPE_BASIC);
	memset(p.match_mask.outer_ip_src, 0xff, 16);
	memset(p.match_mask.outer_ip_dst, 0xff, 16);
	p.actions.flags = PSP_DP_ACTION_ENCAP;
	p.actions.flags |= bits >= 0 ? PSP_DP_ACTION_SET_PKT_META : PSP_DP_ACTION_ENCRYPT;
	if (bits >= 0)
		graph_fwd(&p.fwd, PSP_DP_FWD_PIPE, g->egr_samp);
	else
		graph_fwd(&p.fwd, PSP_DP_FWD_PORT, UPLINK);
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_RSS, PSP_DP_RSS_MISS);
	return psp_dp_pipe_create(dp, &p, &g->egr_acl) == 0;
}

static inline bool graph_root(struct psp_dp *dp, struct graph *g)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;

	graph_pipe(&p, "ROOT", PSP_DP_PIPE_CONTROL);
	p.is_root = 1;
	p.fwd_miss.type = PSP_DP_FWD_KERNEL;
	if (psp_dp_pipe_create(dp, &p, &g->root) != 0)
		return false;
	for (uint8_t l3 = PSP_DP_L3_IPV4; l3 <= PSP_DP_L3_IPV6; l3++) {
		graph_entry(&e);
		e.priority = 2;
		e.match.parser_meta_port_id = HOST;
		e.match_mask.parser_meta_port_id = 0xffff;
		e.match.parser_meta_outer_l3_type = l3;
		e.match_mask.parser_meta_outer_l3_type = 0xff;
		graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, g->egr_acl);
		if (!graph_add(dp, g->root, &e, NULL))
			return false;
	}
	graph_entry(&e);
	e.match.parser_meta_port_id = HOST;
	e.match_mask.parser_meta_port_id = 0xffff;
	e.match.outer_eth_type = NET_TYPE_ARP;
	e.match_mask.outer_eth_type = 0xffff;
	graph_fwd(&e.fwd, PSP_DP_FWD_RSS, PSP_DP_RSS_EXCEPTION);
	if (!graph_add(dp, g->root, &e, NULL))
		return false;
	graph_entry(&e);
	e.match.parser_meta_port_id = UPLINK;
	e.match_mask.parser_meta_port_id = 0xffff;
	e.match.parser_meta_outer_l4_type = PSP_DP_L4_UDP;
	e.match_mask.parser_meta_outer_l4_type = 0xff;
	e.match.outer_l4_dst_port = PSP_UDP_PORT;
	e.match_mask.outer_l4_dst_port = 0xffff;
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, g->decrypt);
	return graph_add(dp, g->root, &e, NULL);
}

static inline bool graph_build(struct psp_dp *dp, struct graph *g, int bits)
{
	memset(g, 0, sizeof(*g));
	return graph_ingress(dp, g, bits >= 0) && graph_egress(dp, g, bits) && graph_root(dp, g);
}

/* ---- tunnels --------------------------------------------------------------------------------- */

/* encap_data for packets from one side to the other: Ethernet, IPv4, UDP, PSP. */
static inline void graph_encap(struct psp_dp_actions *actions, const struct net_side *from,
			       const struct net_side *to, const struct psp_dp_key *key)
{
	uint8_t *eth = actions->encap_data, *ip = eth + NET_ETH_LEN, *udp = ip + NET_IP4_LEN,
		*psp = udp + NET_UDP_LEN;

	memcpy(eth, to->up_mac, 6);
	memcpy(eth + 6, from->up_mac, 6);
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	ip[NET_IP4_TTL] = 50;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	memcpy(ip + NET_IP4_SRC, from->pip, 4);
	memcpy(ip + NET_IP4_DST, to->pip, 4);
	psp_put16(udp + NET_UDP_DST, PSP_UDP_PORT);
	psp[0] = PSP_NEXT_IPV4;
	psp[1] = 1;
	psp[2] = 5;
	psp[3] = (uint8_t)((uint32_t)key->version << PSP_VERSION_SHIFT | PSP_FLAG_ALWAYS);
	psp_put32(psp + 4, key->spi);
	actions->encap_size = (uint16_t)(psp + PSP_HEADER_LEN - eth);
}

static inline void graph_egr_acl(struct psp_dp_entry_desc *e, const struct net_side *from,
				 const struct net_side *to, const struct tunnel *t)
{
	graph_entry(e);
	graph_map(e->match.outer_ip_src, from->vip);
	graph_map(e->match.outer_ip_dst, to->vip);
	graph_encap(&e->actions, from, to, &t->key);
	e->actions.crypto_id = t->crypto_id;
	e->actions.pkt_meta = t->crypto_id;
}

static inline void graph_ingr_acl(struct psp_dp_entry_desc *e, const struct net_side *from,
				  const struct net_side *to, const struct tunnel *t)
{
	graph_entry(e);
	e->match.tun_psp_spi = t->key.spi;
	graph_map(e->match.inner_ip_src, from->vip);
	graph_map(e->match.inner_ip_dst, to->vip);
	memcpy(e->actions.eth_dst, to->end_mac, 6);
	memcpy(e->actions.eth_src, to->host_mac, 6);
}

/* The receiver's half: an SPI and its key, and the entry that lets them in. */
static inline bool graph_receive(const struct net_side *from, const struct net_side *to,
				 const struct graph *g, uint32_t version, struct tunnel *t)
{
	struct psp_dp_entry_desc e;

	memset(t, 0, sizeof(*t));
	t->key.size = sizeof(t->key);
	if (psp_dp_spi_generate(to->dp, version, &t->key, 1) != 0)
		return false;
	graph_ingr_acl(&e, from, to, t);
	return graph_add(to->dp, g->ingr_acl, &e, &t->ingr_acl);
}

/* The sender's half: key, PSP_ENCRYPT, EGR_ACL. */
static inline bool graph_transmit(const struct net_side *from, const struct net_side *to,
				  const struct graph *g, uint32_t crypto_id, struct tunnel *t)
{
	struct psp_dp_entry_desc e;

	t->crypto_id = crypto_id;
	if (psp_dp_crypto_set(from->dp, crypto_id, &t->key) != 0)
		return false;
	if (g->encrypt != 0) {
		graph_entry(&e);
		e.match.meta_pkt_meta = crypto_id;
		e.actions.crypto_id = crypto_id;
		if (!graph_add(from->dp, g->encrypt, &e, &t->encrypt))
			return false;
	}
	graph_egr_acl(&e, from, to, t);
	return graph_add(from->dp, g->egr_acl, &e, &t->egr_acl);
}

#endif
