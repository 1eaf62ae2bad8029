/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_forms.h: the agent's topologies in each of their forms (tunnel, sampling, transport, cookie; and with all that the
 * CPU may look at) through the ABI, with
 * the entries that they have from the start, and tunnels on them. Each function goes on after a refusal and notes the
 * first one's sentence.
 */
#ifndef STANDIN_FORMS_H
#define STANDIN_FORMS_H

#include "ports.h"
#include "standin_lab.h"

struct form {
	const char *name;
	bool sampling, transport, cookie, inspect;
};

static const struct form forms[] = {
	{.name = "tunnel"},
	{.name = "sampling", .sampling = true},
	{.name = "transport", .transport = true},
	{.name = "cookie", .cookie = true},
	{.name = "inspected", .inspect = true},
};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

/* A plane with the pipes of a form; 0: not there. */
struct formed {
	const struct form *form;
	struct psp_dp *dp;
	uint32_t synd_stats, ingr_acl, ingr_samp, decrypt, encrypt, egr_samp, egr_acl, root;
	char why[600]; /* of the first refusal; empty: there was none */
	int32_t status;
};

#define FORM_ENTRIES 256u
#define FORM_IDS 8u

/* What a call of the ABI came to. */
static inline bool form_went(struct formed *f, int32_t status)
{
	uint32_t len = 0;

	if (status == 0)
		return true;
	if (f->status != 0)
		return false;
	f->status = status;
	if (psp_dp_error_text(f->dp, f->why, sizeof(f->why) - 1, &len) == 0)
		f->why[len] = 0;
	return false;
}

static inline bool form_open(struct formed *f)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = FORM_ENTRIES,
				       .max_crypto_ids = FORM_IDS,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .inspect = f->form->inspect ? PSP_DP_INSPECT_ALL
								   : PSP_DP_INSPECT_OFF,
				       .mss_clamp = 1,
				       .mbufs = 512};

	f->status = ports_open(&config, "up0", "host0", PSP_DP_GUARD_AUTO, &f->dp, f->why,
			       sizeof(f->why));
	return f->status == 0;
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static inline struct psp_dp_fwd form_fwd(uint32_t type, uint32_t target)
{
	return (struct psp_dp_fwd){
		.size = sizeof(struct psp_dp_fwd), .type = type, .target = target};
}

static inline struct psp_dp_pipe_desc form_pipe(const char *name, uint32_t domain, uint32_t entries)
{
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.domain = domain,
		.miss_counter = 1,
		.nr_entries = entries,
		.match_mask.size = sizeof(d.match_mask),
		.actions.size = sizeof(d.actions),
		.monitor = {.size = sizeof(d.monitor), .counter = 1},
		.fwd.size = sizeof(d.fwd),
		.fwd_miss = form_fwd(PSP_DP_FWD_DROP, 0),
	};

	(void)snprintf(d.name, sizeof(d.name), "%s", name);
	return d;
}

static inline struct psp_dp_entry_desc form_entry(void)
{
	return (struct psp_dp_entry_desc){
		.size = sizeof(struct psp_dp_entry_desc),
		.match.size = sizeof(struct psp_dp_match),
		.match_mask.size = sizeof(struct psp_dp_match),
		.actions.size = sizeof(struct psp_dp_actions),
		.monitor = {.size = sizeof(struct psp_dp_monitor), .counter = 1},
		.fwd.size = sizeof(struct psp_dp_fwd),
	};
}

static inline bool form_create(struct formed *f, const struct psp_dp_pipe_desc *d, uint32_t *pipe)
{
	return form_went(f, psp_dp_pipe_create(f->dp, d, pipe));
}

static inline bool form_add(struct formed *f, uint32_t pipe, const struct psp_dp_entry_desc *e)
{
	uint32_t entry;

	return form_went(f, psp_dp_entry_add(f->dp, pipe, e, &entry));
}

static inline bool form_synd_stats(struct formed *f)
{
	struct psp_dp_pipe_desc p = form_pipe("SYND_STATS", PSP_DP_DOMAIN_SECURE_INGRESS, 3);

	p.match_mask.parser_meta_psp_syndrome = UINT8_MAX;
	p.monitor.notify = 1;
	p.fwd.type = PSP_DP_FWD_DROP;
	if (!form_create(f, &p, &f->synd_stats))
		return false;
	for (uint8_t i = 0; i < 3; i++) {
		struct psp_dp_entry_desc e = form_entry();

		e.match.parser_meta_psp_syndrome = i;
		e.monitor.notify = 1;
		e.fwd.type = PSP_DP_FWD_DROP;
		(void)form_add(f, f->synd_stats, &e);
	}
	return true;
}

static inline bool form_ingr_acl(struct formed *f)
{
	struct psp_dp_pipe_desc p =
		form_pipe("INGR_ACL", PSP_DP_DOMAIN_SECURE_INGRESS, FORM_ENTRIES);
	struct psp_dp_match *mask = &p.match_mask;

	mask->parser_meta_psp_syndrome = UINT8_MAX;
	mask->tun_psp_spi = UINT32_MAX;
	mask->tun_psp_vc = f->form->cookie ? UINT64_MAX : 0;
	memset(f->form->transport ? mask->outer_ip_src : mask->inner_ip_src, 0xff, 16);
	memset(f->form->transport ? mask->outer_ip_dst : mask->inner_ip_dst, 0xff, 16);
	p.actions.flags = PSP_DP_ACTION_DECAP | PSP_DP_ACTION_CHECK_CRYPT_OFFSET;
	p.actions.encap_net_type =
		f->form->transport ? PSP_DP_NET_PSP_TRANSPORT : PSP_DP_NET_PSP_TUNNEL;
	p.fwd = form_fwd(PSP_DP_FWD_PORT, HOST);
	p.fwd_miss = form_fwd(PSP_DP_FWD_PIPE, f->synd_stats);
	return form_create(f, &p, &f->ingr_acl);
}

static inline bool form_ingress(struct formed *f)
{
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e = form_entry();

	if (!form_synd_stats(f) || !form_ingr_acl(f))
		return false;
	if (f->form->sampling) {
		p = form_pipe("INGR_SAMP", PSP_DP_DOMAIN_SECURE_INGRESS, 1);
		p.match_mask.tun_psp_s_d_ver_v = PSP_FLAG_S;
		p.monitor.mirror = 1;
		p.fwd = form_fwd(PSP_DP_FWD_PIPE, f->ingr_acl);
		p.fwd_miss = p.fwd;
		e.match.tun_psp_s_d_ver_v = PSP_FLAG_S;
		e.monitor.mirror = 1;
		if (!form_create(f, &p, &f->ingr_samp))
			return false;
		(void)form_add(f, f->ingr_samp, &e);
	}
	p = form_pipe("PSP_DECRYPT", PSP_DP_DOMAIN_SECURE_INGRESS, 1);
	p.actions.flags = PSP_DP_ACTION_DECRYPT;
	p.fwd = form_fwd(PSP_DP_FWD_PIPE, f->form->sampling ? f->ingr_samp : f->ingr_acl);
	e = form_entry();
	e.actions.flags = PSP_DP_ACTION_DECRYPT;
	if (!form_create(f, &p, &f->decrypt))
		return false;
	(void)form_add(f, f->decrypt, &e);
	return true;
}

static inline bool form_sampler(struct formed *f)
{
	struct psp_dp_pipe_desc p = form_pipe("PSP_ENCRYPT", PSP_DP_DOMAIN_SECURE_EGRESS, FORM_IDS);
	struct psp_dp_entry_desc e = form_entry();

	p.match_mask.meta_pkt_meta = UINT32_MAX;
	p.actions.flags = PSP_DP_ACTION_ENCRYPT;
	p.fwd = form_fwd(PSP_DP_FWD_PORT, UPLINK);
	if (!form_create(f, &p, &f->encrypt))
		return false;
	p = form_pipe("EGR_SAMP", PSP_DP_DOMAIN_EGRESS, 1);
	p.match_mask.parser_meta_random = 1;
	p.actions.flags = PSP_DP_ACTION_SET_S;
	p.monitor.mirror = 1;
	p.fwd = form_fwd(PSP_DP_FWD_PIPE, f->encrypt);
	p.fwd_miss = p.fwd;
	e.match.parser_meta_random = 1;
	e.actions.flags = PSP_DP_ACTION_SET_S;
	e.monitor.mirror = 1;
	if (!form_create(f, &p, &f->egr_samp))
		return false;
	(void)form_add(f, f->egr_samp, &e);
	return true;
}

static inline bool form_egress(struct formed *f)
{
	const bool sampling = f->form->sampling;
	struct psp_dp_pipe_desc p;

	if (sampling && !form_sampler(f))
		return false;
	p = form_pipe("EGR_ACL", sampling ? PSP_DP_DOMAIN_EGRESS : PSP_DP_DOMAIN_SECURE_EGRESS,
		      FORM_ENTRIES);
	memset(p.match_mask.outer_ip_src, 0xff, 16);
	memset(p.match_mask.outer_ip_dst, 0xff, 16);
	p.actions.flags = PSP_DP_ACTION_ENCAP |
			  (sampling ? PSP_DP_ACTION_SET_PKT_META : PSP_DP_ACTION_ENCRYPT);
	p.actions.encap_net_type =
		f->form->transport ? PSP_DP_NET_PSP_TRANSPORT : PSP_DP_NET_PSP_TUNNEL;
	p.fwd = sampling ? form_fwd(PSP_DP_FWD_PIPE, f->egr_samp)
			 : form_fwd(PSP_DP_FWD_PORT, UPLINK);
	p.fwd_miss = form_fwd(PSP_DP_FWD_RSS, PSP_DP_RSS_MISS);
	return form_create(f, &p, &f->egr_acl);
}

static inline bool form_root(struct formed *f)
{
	struct psp_dp_pipe_desc p = form_pipe("ROOT", PSP_DP_DOMAIN_DEFAULT, 4);
	struct psp_dp_entry_desc e;

	p.type = PSP_DP_PIPE_CONTROL;
	p.is_root = 1;
	p.fwd_miss = form_fwd(PSP_DP_FWD_KERNEL, 0);
	if (!form_create(f, &p, &f->root))
		return false;
	for (uint32_t i = 0; i < 4; i++) {
		e = form_entry();
		e.priority = i;
		e.match.parser_meta_port_id = i < 3 ? HOST : UPLINK;
		e.match_mask.parser_meta_port_id = UINT16_MAX;
		e.fwd = form_fwd(PSP_DP_FWD_PIPE, i < 3 ? f->egr_acl : f->decrypt);
		if (i == 0) {
			e.match.outer_eth_type = NET_TYPE_ARP;
			e.match_mask.outer_eth_type = UINT16_MAX;
			e.fwd = form_fwd(PSP_DP_FWD_RSS, PSP_DP_RSS_EXCEPTION);
		} else if (i < 3) {
			e.match.parser_meta_outer_l3_type = (uint8_t)i;
			e.match_mask.parser_meta_outer_l3_type = UINT8_MAX;
		} else {
			e.match.parser_meta_outer_l4_type = PSP_DP_L4_UDP;
			e.match_mask.parser_meta_outer_l4_type = UINT8_MAX;
			e.match.outer_l4_dst_port = PSP_UDP_PORT;
			e.match_mask.outer_l4_dst_port = UINT16_MAX;
		}
		(void)form_add(f, f->root, &e);
	}
	return true;
}

/* Downstream first; ends at the first pipe that is refused, since others forward to it. */
static inline bool form_build(struct formed *f)
{
	return form_ingress(f) && form_egress(f) && form_root(f);
}

/* Upstream first. One that is refused is asked for again: a device may have refused once. */
static inline void form_destroy(struct formed *f)
{
	uint32_t *pipes[] = {&f->root,    &f->egr_acl,   &f->egr_samp, &f->encrypt,
			     &f->decrypt, &f->ingr_samp, &f->ingr_acl, &f->synd_stats};

	for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++) {
		if (*pipes[i] == 0)
			continue;
		if (!form_went(f, psp_dp_pipe_destroy(f->dp, *pipes[i])))
			(void)form_went(f, psp_dp_pipe_destroy(f->dp, *pipes[i]));
		*pipes[i] = 0;
	}
}

/* ---- tunnels --------------------------------------------------------------------------------- */

/* "10.0.0.n" or "fd00::n". */
static inline void form_address(uint8_t out[16], bool v6, uint8_t n)
{
	memset(out, 0, 16);
	if (v6) {
		out[0] = 0xfd;
	} else {
		memset(out + 10, 0xff, 2);
		out[12] = 10;
	}
	out[15] = n;
}

static inline void form_encap(const struct formed *f, struct psp_dp_actions *actions, uint32_t spi)
{
	uint8_t *eth = actions->encap_data, *at = eth + NET_ETH_LEN, *psp;

	memset(eth, 2, 12);
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_IPV4);
	if (!f->form->transport) {
		at[0] = 0x45;
		at[NET_IP4_TTL] = 64;
		at[NET_IP4_PROTO] = NET_PROTO_UDP;
		psp_put32(at + NET_IP4_SRC, 0xc0000201);
		psp_put32(at + NET_IP4_DST, 0xc0000202);
		at += NET_IP4_LEN;
	}
	psp_put16(at + NET_UDP_DST, PSP_UDP_PORT);
	psp = at + NET_UDP_LEN;
	psp[0] = PSP_NEXT_IPV4;
	psp[1] = f->form->cookie ? 2 : 1;
	psp[2] = 5;
	psp[3] = (uint8_t)(1u << PSP_VERSION_SHIFT | PSP_FLAG_ALWAYS | (f->form->cookie ? 1u : 0));
	psp_put32(psp + 4, spi);
	actions->encap_net_type =
		f->form->transport ? PSP_DP_NET_PSP_TRANSPORT : PSP_DP_NET_PSP_TUNNEL;
	actions->encap_size =
		(uint16_t)(psp + PSP_HEADER_LEN + (f->form->cookie ? PSP_VC_LEN : 0) - eth);
}

/* Both directions of a tunnel of one family, a rekey of what is sent, and its end. */
static inline void form_tunnel(struct formed *f, bool v6)
{
	struct psp_dp_key keys[2] = {{.size = sizeof(keys[0])}, {.size = sizeof(keys[1])}};
	struct psp_dp_entry_desc in = form_entry(), out = form_entry(), sealing = form_entry();
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	const uint32_t id = v6 ? 2 : 1;
	uint32_t entries[3] = {0, 0, 0};

	if (!form_went(f, psp_dp_spi_generate(f->dp, 1, keys, 2)))
		return;
	in.match.tun_psp_spi = keys[0].spi;
	in.match.tun_psp_vc = f->form->cookie ? 7 : 0;
	form_address(f->form->transport ? in.match.outer_ip_src : in.match.inner_ip_src, v6, 2);
	form_address(f->form->transport ? in.match.outer_ip_dst : in.match.inner_ip_dst, v6, 1);
	in.actions.flags = PSP_DP_ACTION_DECAP | PSP_DP_ACTION_CHECK_CRYPT_OFFSET;
	in.actions.encap_net_type =
		f->form->transport ? PSP_DP_NET_PSP_TRANSPORT : PSP_DP_NET_PSP_TUNNEL;
	in.actions.crypt_offset = 5;
	(void)form_went(f, psp_dp_entry_add(f->dp, f->ingr_acl, &in, &entries[0]));
	(void)form_went(f, psp_dp_crypto_set(f->dp, id, &keys[0]));
	sealing.match.meta_pkt_meta = id;
	sealing.actions.crypto_id = id;
	if (f->encrypt != 0)
		(void)form_went(f, psp_dp_entry_add(f->dp, f->encrypt, &sealing, &entries[1]));
	form_address(out.match.outer_ip_src, v6, 1);
	form_address(out.match.outer_ip_dst, v6, 2);
	form_encap(f, &out.actions, keys[1].spi);
	out.actions.crypto_id = id;
	out.actions.pkt_meta = id;
	if (form_went(f, psp_dp_entry_add(f->dp, f->egr_acl, &out, &entries[2]))) {
		(void)form_went(f, psp_dp_crypto_set(f->dp, id + 2, &keys[1]));
		out.actions.crypto_id = f->encrypt != 0 ? id : id + 2;
		(void)form_went(f, psp_dp_entry_update(f->dp, entries[2], &out));
		(void)form_went(f, psp_dp_crypto_clear(f->dp, id));
	}
	for (size_t i = 3; i-- > 0;) {
		if (entries[i] == 0)
			continue;
		(void)form_went(f, psp_dp_entry_query(f->dp, entries[i], &stats));
		if (!form_went(f, psp_dp_entry_remove(f->dp, entries[i])))
			(void)form_went(f, psp_dp_entry_remove(f->dp, entries[i]));
	}
	explicit_bzero(keys, sizeof(keys));
}

/* All that an agent does with a plane, but for packets. Leaves nothing open. */
static inline void form_live(struct formed *f, const struct form *form)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	uint64_t counters[256];
	uint32_t n;

	memset(f, 0, sizeof(*f));
	f->form = form;
	if (!form_open(f))
		return;
	if (form_build(f)) {
		(void)form_went(f, psp_dp_start(f->dp));
		(void)form_went(f, psp_dp_port_query(f->dp, UPLINK, &info));
		form_tunnel(f, false);
		form_tunnel(f, true);
		(void)form_went(f, psp_dp_master_key_rotate(f->dp));
		(void)form_went(f, psp_dp_pipe_query(f->dp, f->egr_acl, &stats));
		(void)form_went(f, psp_dp_counters(f->dp, counters, 256, &n));
	}
	form_destroy(f);
	if (psp_dp_close(f->dp) != 0)
		f->status = PSP_DP_EBUSY;
	f->dp = NULL;
}

#endif
