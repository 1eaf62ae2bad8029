/* SPDX-License-Identifier: Apache-2.0 */
/* standin_gateway_33.h: what the gateway of 3.3.0 does in its own way. */
#ifndef STANDIN_GATEWAY_33_H
#define STANDIN_GATEWAY_33_H

#include "standin_gateway.h"

static doca_error_t start(void)
{
	struct doca_flow_cfg *cfg;
	doca_error_t result = doca_flow_cfg_create(&cfg);

	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_pipe_queues(cfg, QUEUES);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_mode_args(cfg, compat()->mode_args);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_cb_entry_process(cfg, lab_completed);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_resource_mode(cfg, DOCA_FLOW_RESOURCE_MODE_PORT);
	if (result == DOCA_SUCCESS)
		result = doca_flow_init(cfg);
	(void)doca_flow_cfg_destroy(cfg);
	return result;
}

/* Counters and ids are the switch port's. */
static doca_error_t start_port(uint16_t id, struct doca_dev *dev, struct doca_dev_rep *rep,
			       struct doca_flow_port **port)
{
	struct doca_flow_port_cfg *cfg;
	doca_error_t result = doca_flow_port_cfg_create(&cfg);

	if (result == DOCA_SUCCESS && dev != NULL)
		result = doca_flow_port_cfg_set_nr_resources(cfg, DOCA_FLOW_RESOURCE_COUNTER,
							     TUNNELS * SYNDROMES + 10);
	if (result == DOCA_SUCCESS && dev != NULL)
		result = doca_flow_port_cfg_set_nr_resources(cfg, DOCA_FLOW_RESOURCE_PSP, TUNNELS);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_port_id(cfg, id);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_dev(cfg, dev);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_dev_rep(cfg, rep);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_actions_mem_size(cfg, ACTIONS_MEM);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_start(cfg, port);
	(void)doca_flow_port_cfg_destroy(cfg);
	return result;
}

static doca_error_t start_ports(void)
{
	doca_error_t result = start_port(lab.ids[0], lab.dev, NULL, &lab.ports[0]);

	return result == DOCA_SUCCESS ? start_port(lab.ids[1], NULL, lab.rep, &lab.ports[1])
				      : result;
}

/* All that there are; a session is numbered by its own, in the list too. */
static doca_error_t take_ids(void)
{
	doca_error_t result = DOCA_SUCCESS;

	for (uint32_t i = 0; result == DOCA_SUCCESS && i < TUNNELS; i++)
		result = doca_flow_port_shared_resource_get(
			lab.ports[0], DOCA_FLOW_SHARED_RESOURCE_PSP, &session_id);
	return result;
}

/* By IP version; each entry brings its queues. */
static doca_error_t rss_pipe(const char *name, enum doca_flow_pipe_domain domain,
			     struct doca_flow_actions *mark, struct doca_flow_pipe **pipe)
{
	struct doca_flow_actions mask = {.meta.pkt_meta = UINT32_MAX};
	struct doca_flow_match match = {.parser_meta.outer_l3_type =
						(enum doca_flow_l3_meta)UINT32_MAX};
	const struct doca_flow_match all = match;
	const struct doca_flow_fwd open = to_rss(-1), fwd = to_rss(QUEUES - 1);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(&(struct plan){.name = name,
						  .domain = domain,
						  .miss_counter = mark != NULL,
						  .entries = 2,
						  .match = &match,
						  .mask = &all,
						  .actions = {mark},
						  .action_masks = {mark != NULL ? &mask : NULL},
						  .monitor = &counted,
						  .fwd = &open},
				   pipe);

	match.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV4;
	if (result == DOCA_SUCCESS)
		result = put(*pipe, &match, 0, NULL, NULL, &fwd, &entry);
	match.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV6;
	return result == DOCA_SUCCESS ? put(*pipe, &match, 0, NULL, NULL, &fwd, &entry) : result;
}

static doca_error_t put_list(struct doca_flow_pipe *pipe, uint32_t at, uint32_t template,
			     const struct compat_crypto *part, const struct doca_flow_fwd *fwd,
			     struct doca_flow_pipe_entry **entry)
{
	uint32_t mine;

	return wait_for(&mine,
			compat_list_add(&lab.call, pipe, at, template, part, fwd, &mine, entry));
}

static doca_error_t decap(void)
{
	struct compat_crypto parts[2] = {opening(true), opening(false)};
	const struct doca_flow_fwd fwd = to_port(lab.ids[1]), miss = to_pipe(pipes.syndromes);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(&(struct plan){.name = "DECAP",
						  .type = DOCA_FLOW_PIPE_ORDERED_LIST,
						  .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
						  .miss_counter = true,
						  .entries = 2,
						  .lists = parts,
						  .n_lists = 2,
						  .fwd = &fwd,
						  .miss = &miss},
				   &pipes.decap);

	for (uint32_t i = 0; result == DOCA_SUCCESS && i < 2; i++)
		result = put_list(pipes.decap, i, i, &parts[i], &fwd, &entry);
	return result;
}

/* Without the syndrome: what could not be opened has missed before. */
static doca_error_t ingress_acl(bool ip4, struct doca_flow_pipe **pipe)
{
	struct doca_flow_match match = {.meta.pkt_meta = 0};
	const struct doca_flow_fwd fwd = to_list(pipes.decap, UINT32_MAX);

	match.inner.l3_type = ip4 ? DOCA_FLOW_L3_TYPE_IP4 : DOCA_FLOW_L3_TYPE_IP6;
	if (ip4) {
		match.tun.type = DOCA_FLOW_TUN_PSP;
		match.tun.psp.spi = UINT32_MAX;
		match.inner.ip4.src_ip = UINT32_MAX;
		match.inner.ip4.dst_ip = UINT32_MAX;
	} else {
		match.meta.u32[2] = UINT32_MAX;
		set_ip6(match.inner.ip6.dst_ip, UINT32_MAX);
	}
	return make(&(struct plan){.name = ip4 ? "MATCH_INGR_ACL_IPV4" : "MATCH_INGR_ACL_IPV6",
				   .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
				   .entries = TUNNELS,
				   .match = &match,
				   .monitor = &counted,
				   .fwd = &fwd},
		    pipe);
}

static doca_error_t flood(const char *name, enum doca_flow_pipe_domain domain,
			  const struct doca_flow_fwd ways[2], struct doca_flow_pipe **pipe)
{
	const struct doca_flow_fwd open = {.type = DOCA_FLOW_FWD_CHANGEABLE};
	struct doca_flow_pipe_entry *entry;
	uint32_t mine;
	doca_error_t result = make(&(struct plan){.name = name,
						  .type = DOCA_FLOW_PIPE_HASH,
						  .domain = domain,
						  .miss_counter = true,
						  .entries = 2,
						  .monitor = &counted,
						  .fwd = &open},
				   pipe);

	for (uint32_t i = 0; result == DOCA_SUCCESS && i < 2; i++)
		result = wait_for(&mine,
				  compat_flood_add(&lab.call, *pipe, i, &ways[i], &mine, &entry));
	return result;
}

static doca_error_t floods(void)
{
	const struct doca_flow_fwd in4[2] = {to_pipe(pipes.acl4), to_pipe(pipes.rss)};
	const struct doca_flow_fwd in6[2] = {to_pipe(pipes.source6), to_pipe(pipes.rss)};
	const struct doca_flow_fwd out[2] = {to_port(lab.ids[0]), to_pipe(pipes.to_rss)};
	doca_error_t result =
		flood("ING_FLOOD_IPV4", DOCA_FLOW_PIPE_DOMAIN_DEFAULT, in4, &pipes.flood4);

	if (result == DOCA_SUCCESS)
		result = flood("ING_FLOOD_IPV6", DOCA_FLOW_PIPE_DOMAIN_DEFAULT, in6, &pipes.flood6);
	return result == DOCA_SUCCESS
		       ? flood("EGR_FLOOD", DOCA_FLOW_PIPE_DOMAIN_EGRESS, out, &pipes.flood_out)
		       : result;
}

/* By S bit and next header; the pipe's actions write a mark. */
static doca_error_t samples_in(void)
{
	const struct {
		uint8_t s, next;
		struct doca_flow_fwd fwd;
	} rows[] = {{0x80, 4, to_flood(pipes.flood4)},
		    {0x80, 0x29, to_flood(pipes.flood6)},
		    {0, 4, to_pipe(pipes.acl4)},
		    {0, 0x29, to_pipe(pipes.source6)}};
	struct doca_flow_match match = {.tun.type = DOCA_FLOW_TUN_PSP}, mask = match;
	struct doca_flow_actions mark = {.meta.pkt_meta = htobe32(SAMPLE_RSS)};
	struct doca_flow_actions mark_mask = {.meta.pkt_meta = UINT32_MAX};
	const struct doca_flow_fwd open = {.type = DOCA_FLOW_FWD_CHANGEABLE};
	const struct doca_flow_fwd miss = to_pipe(pipes.inner);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.tun.psp.s_d_ver_v = UINT8_MAX;
	match.tun.psp.nexthdr = UINT8_MAX;
	mask.tun.psp.s_d_ver_v = 0x80;
	mask.tun.psp.nexthdr = UINT8_MAX;
	result = make(&(struct plan){.name = "INGR_SAMPL",
				     .miss_counter = true,
				     .entries = 4,
				     .match = &match,
				     .mask = &mask,
				     .actions = {&mark},
				     .action_masks = {&mark_mask},
				     .monitor = &counted,
				     .fwd = &open,
				     .miss = &miss},
		      &pipes.samples_in);
	for (size_t i = 0; result == DOCA_SUCCESS && i < 4; i++) {
		match.tun.psp.s_d_ver_v = rows[i].s;
		match.tun.psp.nexthdr = rows[i].next;
		result = put(pipes.samples_in, &match, 0, NULL, NULL, &rows[i].fwd, &entry);
	}
	return result;
}

static doca_error_t decrypt(void)
{
	struct compat_crypto part = crypto_part(DOCA_FLOW_CRYPTO_ACTION_DECRYPT, UINT32_MAX);
	struct doca_flow_match match = {.parser_meta.port_id = UINT16_MAX}, uplink;
	const struct doca_flow_fwd miss = to_pipe(pipes.syndromes);
	struct doca_flow_fwd fwd = to_pipe(sampling ? pipes.samples_in : pipes.inner);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(&(struct plan){.name = "DECRYPT",
						  .type = DOCA_FLOW_PIPE_ORDERED_LIST,
						  .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
						  .miss_counter = true,
						  .entries = 1,
						  .lists = &part,
						  .n_lists = 1,
						  .fwd = &fwd,
						  .miss = &miss},
				   &pipes.decrypt);

	if (result == DOCA_SUCCESS)
		result = put_list(pipes.decrypt, 0, 0, &part, &fwd, &entry);
	match.outer.l4_type_ext = DOCA_FLOW_L4_TYPE_EXT_UDP;
	match.outer.udp.l4_port.dst_port = htobe16(DOCA_FLOW_PSP_DEFAULT_PORT);
	fwd = to_list(pipes.decrypt, 0);
	if (result == DOCA_SUCCESS)
		result = make(&(struct plan){.domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
					     .entries = 1,
					     .match = &match,
					     .fwd = &fwd},
			      &pipes.enter);
	memset(&uplink, 0, sizeof(uplink));
	uplink.parser_meta.port_id = lab.ids[0];
	return result == DOCA_SUCCESS ? put(pipes.enter, &uplink, 0, NULL, NULL, &fwd, &entry)
				      : result;
}

/* What is below a threshold leaves; the rest is marked and goes both ways. */
static doca_error_t samples_out(void)
{
	const struct doca_flow_match below = {.parser_meta.random = htobe16(0x8000)};
	const struct doca_flow_match none = {.meta.pkt_meta = 0};
	const struct doca_flow_match_condition condition = {
		.operation = DOCA_FLOW_COMPARE_LT,
		.field_op = {.a = {.field_string = "parser_meta.random.value"}, .width = 16}};
	struct doca_flow_actions set = {.tun.type = DOCA_FLOW_TUN_PSP};
	const struct doca_flow_fwd wire = to_port(lab.ids[0]), both = to_flood(pipes.flood_out);
	struct compat_entry give = {.match = &none,
				    .match_mask = &none,
				    .actions = &set,
				    .actions_mask = &set,
				    .monitor = &counted,
				    .fwd = &both,
				    .priority = 1};
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(&(struct plan){.name = "EGR_SAMPL",
						  .type = DOCA_FLOW_PIPE_CONTROL,
						  .domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS,
						  .entries = 2},
				   &pipes.sample);

	set.tun.psp.s_d_ver_v = 0x80;
	if (result == DOCA_SUCCESS)
		result = doca_flow_pipe_control_add_entry(0, pipes.sample, &below, NULL, &condition,
							  NULL, NULL, NULL, &counted, 0, &wire,
							  NULL, &entry);
	lab_process();
	if (result == DOCA_SUCCESS)
		result = compat_control_add(&lab.call, pipes.sample, &give, &entry);
	lab_process();
	return result;
}

static doca_error_t encap(void)
{
	struct compat_crypto parts[2] = {encrypting(DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL, OUTER4),
					 encrypting(DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL, OUTER6)};
	const struct doca_flow_fwd fwd = sampling ? to_pipe(pipes.sample) : to_port(lab.ids[0]);
	const struct doca_flow_fwd miss = to_pipe(pipes.rss);

	return make(&(struct plan){.name = "ENCAP_ENCRYPT",
				   .type = DOCA_FLOW_PIPE_ORDERED_LIST,
				   .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
				   .miss_counter = true,
				   .entries = TUNNELS,
				   .lists = parts,
				   .n_lists = 2,
				   .fwd = &fwd,
				   .miss = &miss},
		    &pipes.encap);
}

static doca_error_t egress_acl(bool ip4, struct doca_flow_pipe **pipe)
{
	struct doca_flow_match match = {.meta.pkt_meta = 0};
	const struct doca_flow_fwd fwd = to_list(pipes.encap, UINT32_MAX);
	const struct doca_flow_fwd miss = to_pipe(pipes.rss);

	if (ip4) {
		match.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV4;
		match.outer.l3_type = DOCA_FLOW_L3_TYPE_IP4;
		match.outer.ip4.src_ip = UINT32_MAX;
		match.outer.ip4.dst_ip = UINT32_MAX;
	} else {
		match.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV6;
		match.outer.l3_type = DOCA_FLOW_L3_TYPE_IP6;
		match.meta.u32[2] = UINT32_MAX;
		set_ip6(match.outer.ip6.src_ip, UINT32_MAX);
	}
	return make(&(struct plan){.name = ip4 ? "MATCH_EGR_ACL_IPV4" : "MATCH_EGR_ACL_IPV6",
				   .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
				   .entries = TUNNELS,
				   .match = &match,
				   .monitor = &counted,
				   .fwd = &fwd,
				   .miss = &miss},
		    pipe);
}

static doca_error_t rest(void)
{
	const struct doca_flow_fwd fwd = to_pipe(pipes.egress);
	struct doca_flow_match match = {.parser_meta.port_id = lab.ids[1]}, mask;
	struct doca_flow_pipe_entry *entry;
	doca_error_t result =
		make(&(struct plan){.name = "MISS", .type = DOCA_FLOW_PIPE_CONTROL, .entries = 7},
		     &pipes.rest);

	memset(&mask, 0, sizeof(mask));
	mask.parser_meta.port_id = UINT16_MAX;
	mask.parser_meta.outer_l3_ok = UINT8_MAX;
	mask.parser_meta.outer_l3_type = (enum doca_flow_l3_meta)UINT32_MAX;
	mask.parser_meta.outer_l4_type = (enum doca_flow_l4_meta)UINT32_MAX;
	mask.outer.eth.type = UINT16_MAX;
	match.parser_meta.outer_l3_ok = 1;
	match.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV6;
	match.parser_meta.outer_l4_type = DOCA_FLOW_L4_META_ICMP;
	match.outer.eth.type = htobe16(RTE_ETHER_TYPE_IPV6);
	if (result == DOCA_SUCCESS)
		result = add_control(pipes.rest, 2, &match, &mask, &fwd, &entry);
	if (result == DOCA_SUCCESS)
		result = exceptions(pipes.rest);
	lab_process();
	return result;
}

/* A basic pipe: each kind of packet is an entry. */
static doca_error_t root(void)
{
	static const enum doca_flow_l4_meta kinds[] = {DOCA_FLOW_L4_META_TCP, DOCA_FLOW_L4_META_UDP,
						       DOCA_FLOW_L4_META_ESP,
						       DOCA_FLOW_L4_META_ICMP};
	const struct doca_flow_fwd open = {.type = DOCA_FLOW_FWD_CHANGEABLE};
	const struct doca_flow_fwd miss = to_pipe(pipes.rest), in = to_pipe(pipes.enter);
	const struct doca_flow_fwd out = to_pipe(pipes.egress);
	struct doca_flow_match match = {.parser_meta.port_id = UINT16_MAX};
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.outer.eth.type = UINT16_MAX;
	match.parser_meta.outer_l3_ok = UINT8_MAX;
	match.parser_meta.outer_ip4_checksum_ok = UINT8_MAX;
	match.parser_meta.outer_l3_type = (enum doca_flow_l3_meta)UINT32_MAX;
	match.parser_meta.outer_l4_type = (enum doca_flow_l4_meta)UINT32_MAX;
	result = make(&(struct plan){.name = "ROOT",
				     .root = true,
				     .entries = 12,
				     .match = &match,
				     .monitor = &counted,
				     .fwd = &open,
				     .miss = &miss},
		      &pipes.root);
	match.parser_meta.outer_l3_ok = 1;
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		match.outer.eth.type = htobe16(v6 != 0 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
		match.parser_meta.outer_ip4_checksum_ok = v6 == 0;
		match.parser_meta.outer_l3_type =
			v6 != 0 ? DOCA_FLOW_L3_META_IPV6 : DOCA_FLOW_L3_META_IPV4;
		match.parser_meta.port_id = lab.ids[0];
		match.parser_meta.outer_l4_type = DOCA_FLOW_L4_META_UDP;
		if (result == DOCA_SUCCESS)
			result = put(pipes.root, &match, 0, NULL, v6 != 0 ? &counted : NULL, &in,
				     &entry);
		match.parser_meta.port_id = lab.ids[1];
		for (size_t i = 0; result == DOCA_SUCCESS && i < (v6 != 0 ? 3 : 4); i++) {
			match.parser_meta.outer_l4_type = kinds[i];
			result = put(pipes.root, &match, 0, NULL, &counted, &out, &entry);
		}
	}
	return result;
}

static doca_error_t build(void)
{
	struct doca_flow_actions mark = {.meta.pkt_meta = htobe32(SAMPLE_RSS)};
	struct doca_flow_fwd miss;
	doca_error_t result = rss_pipe("RSS_PIPE", DOCA_FLOW_PIPE_DOMAIN_EGRESS, NULL, &pipes.rss);

	if (result == DOCA_SUCCESS && sampling)
		result =
			rss_pipe("FWD_TO_RSS", DOCA_FLOW_PIPE_DOMAIN_DEFAULT, &mark, &pipes.to_rss);
	if (result == DOCA_SUCCESS)
		result = syndromes();
	miss = to_pipe(pipes.syndromes);
	if (result == DOCA_SUCCESS)
		result = decap();
	if (result == DOCA_SUCCESS)
		result = ingress_acl(true, &pipes.acl4);
	if (result == DOCA_SUCCESS)
		result = ingress_acl(false, &pipes.acl6);
	if (result == DOCA_SUCCESS)
		result = source6(pipes.acl6);
	if (result == DOCA_SUCCESS)
		result = inner(&miss, pipes.acl4, pipes.source6);
	if (result == DOCA_SUCCESS && sampling)
		result = floods();
	if (result == DOCA_SUCCESS && sampling)
		result = samples_in();
	if (result == DOCA_SUCCESS)
		result = decrypt();
	if (result == DOCA_SUCCESS && sampling)
		result = samples_out();
	if (result == DOCA_SUCCESS)
		result = encap();
	if (result == DOCA_SUCCESS)
		result = egress_acl(true, &pipes.egress4);
	if (result == DOCA_SUCCESS)
		result = egress_acl(false, &pipes.egress6);
	if (result == DOCA_SUCCESS)
		result = target6(pipes.egress6);
	if (result == DOCA_SUCCESS)
		result = egress("EGR_ROOT", DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS, 4);
	if (result == DOCA_SUCCESS)
		result = rest();
	return result == DOCA_SUCCESS ? root() : result;
}

static doca_error_t add_session(struct doca_flow_pipe_entry **out, struct doca_flow_pipe_entry **in)
{
	const struct doca_flow_match leaves = session_out(), comes = session_in();
	const struct doca_flow_fwd on = sampling ? to_pipe(pipes.sample) : to_port(lab.ids[0]);
	const struct doca_flow_fwd listed = to_list(pipes.encap, session_id);
	const struct doca_flow_fwd opened = to_list(pipes.decap, 0);
	struct compat_crypto part;
	doca_error_t result = set_session_key();

	memset(&part, 0, sizeof(part));
	part.reformat = true;
	fill_header(part.encap.encap_data);
	part.crypto.crypto_id = session_id;
	if (result == DOCA_SUCCESS)
		result = put_list(pipes.encap, session_id, 0, &part, &on, NULL);
	if (result == DOCA_SUCCESS)
		result = put(pipes.egress4, &leaves, 0, NULL, NULL, &listed, out);
	return result == DOCA_SUCCESS ? put(pipes.acl4, &comes, 0, NULL, NULL, &opened, in)
				      : result;
}

#endif
