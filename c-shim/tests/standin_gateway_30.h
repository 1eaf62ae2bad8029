/* SPDX-License-Identifier: Apache-2.0 */
/* standin_gateway_30.h: what the gateway of 3.0.0 does in its own way. */
#ifndef STANDIN_GATEWAY_30_H
#define STANDIN_GATEWAY_30_H

#include "standin_gateway.h"

static doca_error_t start(void)
{
	struct doca_flow_resource_rss_cfg rss = {.queues_array = rss_queues, .nr_queues = QUEUES};
	struct doca_flow_cfg *cfg;
	doca_error_t result = doca_flow_cfg_create(&cfg);

	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_pipe_queues(cfg, QUEUES);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_nr_counters(cfg, TUNNELS * SYNDROMES + 10);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_mode_args(cfg, "switch,hws,isolated,expert");
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_cb_entry_process(cfg, lab_completed);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_default_rss(cfg, &rss);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_nr_shared_resource(cfg, TUNNELS + 1,
							      DOCA_FLOW_SHARED_RESOURCE_PSP);
	if (result == DOCA_SUCCESS)
		result = doca_flow_cfg_set_nr_shared_resource(cfg, 4,
							      DOCA_FLOW_SHARED_RESOURCE_MIRROR);
	if (result == DOCA_SUCCESS)
		result = doca_flow_init(cfg);
	(void)doca_flow_cfg_destroy(cfg);
	return result;
}

static doca_error_t start_port(uint16_t id, struct doca_dev *dev, struct doca_flow_port **port)
{
	struct doca_flow_port_cfg *cfg;
	doca_error_t result = doca_flow_port_cfg_create(&cfg);

	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_port_id(cfg, id);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_dev(cfg, dev);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_actions_mem_size(cfg, ACTIONS_MEM);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_start(cfg, port);
	(void)doca_flow_port_cfg_destroy(cfg);
	return result;
}

static doca_error_t start_ports(void)
{
	doca_error_t result = start_port(lab.ids[0], lab.dev, &lab.ports[0]);

	return result == DOCA_SUCCESS ? start_port(lab.ids[1], NULL, &lab.ports[1]) : result;
}

/* All ids, before any key. */
static doca_error_t take_ids(void)
{
	uint32_t ids[TUNNELS];

	for (uint32_t i = 0; i < TUNNELS; i++)
		ids[i] = i + 1;
	session_id = 1;
	return doca_flow_shared_resources_bind(DOCA_FLOW_SHARED_RESOURCE_PSP, ids, TUNNELS,
					       lab.ports[0]);
}

static doca_error_t rss_pipes(void)
{
	const struct doca_flow_match none = {.meta.pkt_meta = 0};
	struct doca_flow_actions mark = {.meta.pkt_meta = htobe32(SAMPLE_RSS)};
	struct doca_flow_actions mask = {.meta.pkt_meta = UINT32_MAX};
	const struct doca_flow_fwd fwd = to_rss(QUEUES), wire = to_port(lab.ids[0]), miss = drop();
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(&(struct plan){.name = "RSS_PIPE",
						  .domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS,
						  .entries = 1,
						  .match = &none,
						  .monitor = &counted,
						  .fwd = &fwd},
				   &pipes.rss);

	if (result == DOCA_SUCCESS)
		result = put(pipes.rss, NULL, 0, NULL, NULL, NULL, &entry);
	if (result != DOCA_SUCCESS || !sampling)
		return result;
	result = make(&(struct plan){.name = "fwd_to_wire",
				     .domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS,
				     .miss_counter = true,
				     .entries = 1,
				     .match = &none,
				     .monitor = &counted,
				     .fwd = &wire,
				     .miss = &miss},
		      &pipes.to_wire);
	if (result == DOCA_SUCCESS)
		result = put(pipes.to_wire, NULL, 0, NULL, NULL, NULL, &entry);
	if (result == DOCA_SUCCESS)
		result = make(&(struct plan){.name = "fwd_to_rss",
					     .miss_counter = true,
					     .entries = 1,
					     .match = &none,
					     .mask = &none,
					     .actions = {&mark},
					     .action_masks = {&mask},
					     .monitor = &counted,
					     .fwd = &fwd},
			      &pipes.to_rss);
	return result == DOCA_SUCCESS ? put(pipes.to_rss, NULL, 0, NULL, NULL, NULL, &entry)
				      : result;
}

/* In the default domain. */
static doca_error_t ingress_acl(bool ip4, struct doca_flow_pipe **pipe)
{
	const struct compat_crypto part = opening(ip4);
	struct doca_flow_actions actions = as_actions(&part);
	struct doca_flow_match match = {.parser_meta.psp_syndrome = UINT8_MAX};
	const struct doca_flow_fwd fwd = to_port(lab.ids[1]), miss = to_pipe(pipes.syndromes);

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
	return make(&(struct plan){.name = ip4 ? "INGR_ACL_IPV4" : "INGR_ACL_IPV6",
				   .miss_counter = true,
				   .entries = TUNNELS,
				   .match = &match,
				   .mask = &match,
				   .actions = {&actions},
				   .monitor = &counted,
				   .fwd = &fwd,
				   .miss = &miss},
		    pipe);
}

static doca_error_t mirror(uint32_t id, struct doca_flow_pipe *to)
{
	struct doca_flow_mirror_target target = {.fwd = to_pipe(to)};
	struct doca_flow_shared_resource_cfg cfg = {
		.mirror_cfg = {.nr_targets = 1, .target = &target}};
	doca_error_t result =
		doca_flow_shared_resource_set_cfg(DOCA_FLOW_SHARED_RESOURCE_MIRROR, id, &cfg);

	return result == DOCA_SUCCESS
		       ? doca_flow_shared_resources_bind(DOCA_FLOW_SHARED_RESOURCE_MIRROR, &id, 1,
							 lab.ports[0])
		       : result;
}

/* The copy goes on, the packet itself to the CPU. */
static doca_error_t samples_in(void)
{
	struct doca_flow_match match = {.tun.type = DOCA_FLOW_TUN_PSP};
	struct doca_flow_monitor monitor = counted;
	struct doca_flow_actions mark = {.meta.pkt_meta = htobe32(SAMPLE_RSS)};
	struct doca_flow_actions mask = {.meta.pkt_meta = UINT32_MAX};
	const struct doca_flow_fwd fwd = to_pipe(pipes.rss), miss = to_pipe(pipes.inner);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.tun.psp.s_d_ver_v = 0x80;
	monitor.shared_mirror_id = 1;
	result = make(&(struct plan){.name = "INGR_SAMPL",
				     .miss_counter = true,
				     .entries = 1,
				     .match = &match,
				     .mask = &match,
				     .actions = {&mark},
				     .action_masks = {&mask},
				     .monitor = &monitor,
				     .fwd = &fwd,
				     .miss = &miss},
		      &pipes.samples_in);
	return result == DOCA_SUCCESS ? put(pipes.samples_in, NULL, 0, NULL, NULL, NULL, &entry)
				      : result;
}

static doca_error_t decrypt(void)
{
	const struct compat_crypto part = crypto_part(DOCA_FLOW_CRYPTO_ACTION_DECRYPT, UINT32_MAX);
	struct doca_flow_actions actions = as_actions(&part);
	struct doca_flow_match match = {.parser_meta.port_id = UINT16_MAX}, uplink;
	const struct doca_flow_fwd miss = drop();
	const struct doca_flow_fwd fwd = to_pipe(sampling ? pipes.samples_in : pipes.inner);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.parser_meta.outer_l4_type = DOCA_FLOW_L4_META_UDP;
	match.outer.l4_type_ext = DOCA_FLOW_L4_TYPE_EXT_UDP;
	match.outer.udp.l4_port.dst_port = htobe16(DOCA_FLOW_PSP_DEFAULT_PORT);
	result = make(&(struct plan){.name = "PSP_DECRYPT",
				     .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
				     .miss_counter = true,
				     .entries = 1,
				     .match = &match,
				     .actions = {&actions},
				     .monitor = &counted,
				     .fwd = &fwd,
				     .miss = &miss},
		      &pipes.decrypt);
	memset(&uplink, 0, sizeof(uplink));
	uplink.parser_meta.port_id = lab.ids[0];
	return result == DOCA_SUCCESS ? put(pipes.decrypt, &uplink, 0, &actions, NULL, NULL, &entry)
				      : result;
}

static doca_error_t samples_out(void)
{
	struct doca_flow_match match = {.tun.type = DOCA_FLOW_TUN_PSP}, mask = match;
	struct doca_flow_match odd = {.parser_meta.random = htobe16(1)};
	struct doca_flow_actions set = {.tun.type = DOCA_FLOW_TUN_PSP};
	struct doca_flow_monitor monitor = counted;
	struct doca_flow_fwd fwd = to_pipe(pipes.to_wire);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.tun.psp.s_d_ver_v = UINT8_MAX;
	mask.tun.psp.s_d_ver_v = 0x80;
	monitor.shared_mirror_id = UINT32_MAX;
	result = make(&(struct plan){.name = "EGR_SAMPL",
				     .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
				     .miss_counter = true,
				     .entries = 2,
				     .match = &match,
				     .mask = &mask,
				     .monitor = &monitor,
				     .fwd = &fwd,
				     .miss = &fwd},
		      &pipes.sample);
	match.tun.psp.s_d_ver_v = 0x80;
	monitor.shared_mirror_id = 2;
	if (result == DOCA_SUCCESS)
		result = put(pipes.sample, &match, 0, NULL, &monitor, NULL, &entry);
	fwd = to_pipe(pipes.sample);
	set.tun.psp.s_d_ver_v = 0x80;
	if (result == DOCA_SUCCESS)
		result = make(&(struct plan){.name = "FWD_TO_RSS",
					     .domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS,
					     .miss_counter = true,
					     .entries = 1,
					     .match = &odd,
					     .mask = &odd,
					     .actions = {&set},
					     .action_masks = {&set},
					     .monitor = &counted,
					     .fwd = &fwd,
					     .miss = &fwd},
			      &pipes.mark);
	return result == DOCA_SUCCESS ? put(pipes.mark, NULL, 0, NULL, NULL, NULL, &entry) : result;
}

static doca_error_t egress_acl(bool ip4, struct doca_flow_pipe **pipe)
{
	const struct compat_crypto parts[2] = {
		encrypting(DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL, OUTER6),
		encrypting(DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL, OUTER4)};
	struct doca_flow_actions actions[2] = {as_actions(&parts[0]), as_actions(&parts[1])};
	struct doca_flow_match match = {.meta.pkt_meta = 0};
	const struct doca_flow_fwd fwd = sampling ? to_pipe(pipes.mark) : to_port(lab.ids[0]);
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
	return make(&(struct plan){.name = ip4 ? "EGR_ACL_IPV4" : "EGR_ACL_IPV6",
				   .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
				   .miss_counter = true,
				   .entries = TUNNELS,
				   .match = &match,
				   .actions = {&actions[0], &actions[1]},
				   .monitor = &counted,
				   .fwd = &fwd,
				   .miss = &miss},
		    pipe);
}

/* A control pipe, whose entries it does not wait for. */
static doca_error_t root(void)
{
	const struct {
		uint16_t port, type;
		uint32_t priority;
		struct doca_flow_pipe *to;
	} rows[] = {{lab.ids[0], RTE_ETHER_TYPE_IPV6, 2, pipes.decrypt},
		    {lab.ids[0], RTE_ETHER_TYPE_IPV4, 1, pipes.decrypt},
		    {lab.ids[1], RTE_ETHER_TYPE_IPV6, 2, pipes.egress},
		    {lab.ids[1], RTE_ETHER_TYPE_IPV4, 2, pipes.egress}};
	struct doca_flow_match mask = {.parser_meta.port_id = UINT16_MAX};
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(
		&(struct plan){
			.name = "ROOT", .type = DOCA_FLOW_PIPE_CONTROL, .root = true, .entries = 7},
		&pipes.root);

	mask.parser_meta.outer_l3_ok = UINT8_MAX;
	mask.parser_meta.outer_ip4_checksum_ok = UINT8_MAX;
	mask.outer.eth.type = UINT16_MAX;
	for (size_t i = 0; result == DOCA_SUCCESS && i < 4; i++) {
		struct doca_flow_match match = {.parser_meta.port_id = rows[i].port};
		const struct doca_flow_fwd fwd = to_pipe(rows[i].to);

		match.parser_meta.outer_l3_ok = 1;
		match.parser_meta.outer_ip4_checksum_ok = rows[i].type == RTE_ETHER_TYPE_IPV4;
		match.outer.eth.type = htobe16(rows[i].type);
		result = add_control(pipes.root, rows[i].priority, &match, &mask, &fwd, &entry);
	}
	return result == DOCA_SUCCESS ? exceptions(pipes.root) : result;
}

static doca_error_t build(void)
{
	const struct doca_flow_fwd nowhere = drop();
	doca_error_t result = rss_pipes();

	if (result == DOCA_SUCCESS)
		result = syndromes();
	if (result == DOCA_SUCCESS)
		result = ingress_acl(true, &pipes.acl4);
	if (result == DOCA_SUCCESS)
		result = ingress_acl(false, &pipes.acl6);
	if (result == DOCA_SUCCESS)
		result = source6(pipes.acl6);
	if (result == DOCA_SUCCESS)
		result = inner(&nowhere, pipes.acl4, pipes.source6);
	if (result == DOCA_SUCCESS && sampling)
		result = mirror(1, pipes.inner);
	if (result == DOCA_SUCCESS && sampling)
		result = mirror(2, pipes.to_rss);
	if (result == DOCA_SUCCESS && sampling)
		result = samples_in();
	if (result == DOCA_SUCCESS)
		result = decrypt();
	if (result == DOCA_SUCCESS && sampling)
		result = samples_out();
	if (result == DOCA_SUCCESS)
		result = egress_acl(true, &pipes.egress4);
	if (result == DOCA_SUCCESS)
		result = egress_acl(false, &pipes.egress6);
	if (result == DOCA_SUCCESS)
		result = target6(pipes.egress6);
	/* It asks for room for three, and adds four. */
	if (result == DOCA_SUCCESS)
		result = egress("EMPTY", DOCA_FLOW_PIPE_DOMAIN_EGRESS, 3);
	return result == DOCA_SUCCESS ? root() : result;
}

static doca_error_t add_session(struct doca_flow_pipe_entry **out, struct doca_flow_pipe_entry **in)
{
	const struct doca_flow_match leaves = session_out(), comes = session_in();
	struct doca_flow_actions actions = {.has_crypto_encap = true};
	doca_error_t result = set_session_key();

	/* Which template, and what is open in it. */
	fill_header(actions.crypto_encap.encap_data);
	actions.crypto.crypto_id = session_id;
	if (result == DOCA_SUCCESS)
		result = put(pipes.egress4, &leaves, 1, &actions, NULL, NULL, out);
	return result == DOCA_SUCCESS ? put(pipes.acl4, &comes, 0, NULL, NULL, NULL, in) : result;
}

#endif
