/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_gateway.h: what NVIDIA's PSP gateway (doca-samples, applications/psp_gateway, tunnel mode) asks of DOCA Flow
 * alike in 3.0.0 and 3.3.0. What is told here are facts of that program; the words are ours.
 */
#ifndef STANDIN_GATEWAY_H
#define STANDIN_GATEWAY_H

#include <endian.h>
#include <rte_ether.h>

#include "../common/csum.h"
#include "standin_lab.h"

#define TUNNELS 256u
#define SYNDROMES 2u
#define QUEUES 2u
#define WAIT_US 10000u
#define ACTIONS_MEM (512u << 20)
#define OUTER4 (14u + 20u + 8u + 16u)
#define OUTER6 (14u + 40u + 8u + 16u)
#define SAMPLE_RSS 0x55u
#define TO_VF 0x66u

static bool sampling;
static struct doca_flow_monitor counted = {.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED};
static uint16_t rss_queues[QUEUES] = {0, 1};

static struct {
	struct doca_flow_pipe *rss, *to_rss, *to_wire, *syndromes, *acl4, *acl6, *source6, *inner,
		*samples_in, *decrypt, *sample, *mark, *egress4, *egress6, *target6, *egress,
		*decap, *encap, *enter, *flood4, *flood6, *flood_out, *rest, *root;
} pipes;

/* ---- its helpers ----------------------------------------------------------------------------- */

/* What a pipe is described with; NULL: not said. */
struct plan {
	const char *name;
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool root, miss_counter;
	uint32_t entries;
	const struct doca_flow_match *match, *mask;
	struct doca_flow_actions *actions[2], *action_masks[2];
	struct compat_crypto *lists;
	uint32_t n_lists;
	const struct doca_flow_monitor *monitor;
	const struct doca_flow_fwd *fwd, *miss;
};

static doca_error_t describe(const struct plan *plan, struct doca_flow_pipe_cfg *cfg)
{
	size_t n = plan->actions[1] != NULL ? 2 : 1;
	doca_error_t result = DOCA_SUCCESS;

	if (plan->name != NULL)
		result = doca_flow_pipe_cfg_set_name(cfg, plan->name);
	if (result == DOCA_SUCCESS && plan->type != DOCA_FLOW_PIPE_BASIC)
		result = doca_flow_pipe_cfg_set_type(cfg, plan->type);
	if (result == DOCA_SUCCESS && plan->domain != DOCA_FLOW_PIPE_DOMAIN_DEFAULT)
		result = doca_flow_pipe_cfg_set_domain(cfg, plan->domain);
	if (result == DOCA_SUCCESS && plan->root)
		result = doca_flow_pipe_cfg_set_is_root(cfg, true);
	if (result == DOCA_SUCCESS && plan->miss_counter)
		result = doca_flow_pipe_cfg_set_miss_counter(cfg, true);
	if (result == DOCA_SUCCESS)
		result = compat_pipe_direction(&lab.call, cfg, plan->domain);
	if (result == DOCA_SUCCESS)
		result = doca_flow_pipe_cfg_set_nr_entries(cfg, plan->entries);
	if (result == DOCA_SUCCESS && plan->match != NULL)
		result = doca_flow_pipe_cfg_set_match(cfg, plan->match, plan->mask);
	if (result == DOCA_SUCCESS && plan->actions[0] != NULL)
		result = doca_flow_pipe_cfg_set_actions(
			cfg, plan->actions,
			plan->action_masks[0] != NULL ? plan->action_masks : NULL, NULL, n);
	if (result == DOCA_SUCCESS && plan->monitor != NULL)
		result = doca_flow_pipe_cfg_set_monitor(cfg, plan->monitor);
	if (result == DOCA_SUCCESS && plan->lists != NULL)
		result = compat_pipe_crypto_lists(&lab.call, cfg, plan->lists, plan->n_lists);
	if (result == DOCA_SUCCESS && plan->type == DOCA_FLOW_PIPE_HASH)
		result = doca_flow_pipe_cfg_set_hash_map_algorithm(
			cfg, DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING);
	return result;
}

static doca_error_t make(const struct plan *plan, struct doca_flow_pipe **pipe)
{
	struct doca_flow_pipe_cfg *cfg = NULL;
	doca_error_t result = doca_flow_pipe_cfg_create(&cfg, lab.ports[0]);

	if (result == DOCA_SUCCESS)
		result = describe(plan, cfg);
	if (result == DOCA_SUCCESS)
		result = doca_flow_pipe_create(cfg, plan->fwd, plan->miss, pipe);
	(void)doca_flow_pipe_cfg_destroy(cfg);
	return result;
}

/* It waits for this one entry, and for nothing else. */
static doca_error_t wait_for(const uint32_t *mine, doca_error_t result)
{
	if (result != DOCA_SUCCESS)
		return result;
	lab.completed = 0;
	lab.failed = 0;
	result = doca_flow_entries_process(lab.ports[0], 0, WAIT_US, 1);
	if (result == DOCA_SUCCESS &&
	    (lab.completed != 1 || lab.failed != 0 || lab.contexts[0] != mine))
		result = DOCA_ERROR_BAD_STATE;
	return result;
}

/* It keeps the entries of sessions alone, and gives NULL for some others. */
static doca_error_t put(struct doca_flow_pipe *pipe, const struct doca_flow_match *match,
			uint8_t template, struct doca_flow_actions *actions,
			const struct doca_flow_monitor *monitor, const struct doca_flow_fwd *fwd,
			struct doca_flow_pipe_entry **entry)
{
	uint32_t mine;
	const struct compat_entry give = {.match = match,
					  .template = template,
					  .actions = actions,
					  .monitor = monitor,
					  .fwd = fwd,
					  .ctx = &mine};

	return wait_for(&mine, compat_basic_add(&lab.call, pipe, &give, entry));
}

static void set_ip6(doca_be32_t out[4], uint32_t value)
{
	for (uint32_t i = 0; i < 4; i++)
		out[i] = value;
}

/* ---- what both releases have ----------------------------------------------------------------- */

static doca_error_t syndromes(void)
{
	struct doca_flow_match match = {.parser_meta.psp_syndrome = 0xff};
	const struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = make(&(struct plan){.name = "SYNDROME_STATS",
						  .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
						  .miss_counter = true,
						  .entries = SYNDROMES,
						  .match = &match,
						  .monitor = &counted,
						  .fwd = &fwd,
						  .miss = &fwd},
				   &pipes.syndromes);

	for (uint8_t i = 0; result == DOCA_SUCCESS && i < SYNDROMES; i++) {
		match.parser_meta.psp_syndrome = (uint8_t)(i + 1);
		result = put(pipes.syndromes, &match, 0, NULL, &counted, NULL, &entry);
	}
	return result;
}

/* The number of a source, found by address and SPI, in meta.u32[2]. */
static doca_error_t source6(struct doca_flow_pipe *to)
{
	struct doca_flow_match match = {.tun.type = DOCA_FLOW_TUN_PSP};
	struct doca_flow_actions actions = {.meta.u32[2] = UINT32_MAX};
	const struct doca_flow_fwd fwd = to_pipe(to), miss = to_pipe(pipes.syndromes);

	match.tun.psp.spi = UINT32_MAX;
	match.parser_meta.inner_l3_type = DOCA_FLOW_L3_META_IPV6;
	match.inner.l3_type = DOCA_FLOW_L3_TYPE_IP6;
	set_ip6(match.inner.ip6.src_ip, UINT32_MAX);
	return make(&(struct plan){.name = "ING_SRC_IP6",
				   .miss_counter = true,
				   .entries = TUNNELS,
				   .match = &match,
				   .actions = {&actions},
				   .monitor = &counted,
				   .fwd = &fwd,
				   .miss = &miss},
		    &pipes.source6);
}

static doca_error_t inner(const struct doca_flow_fwd *miss, struct doca_flow_pipe *to4,
			  struct doca_flow_pipe *to6)
{
	struct doca_flow_match match = {.tun.type = DOCA_FLOW_TUN_PSP};
	struct doca_flow_fwd fwd = to_pipe(NULL);
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.tun.psp.nexthdr = UINT8_MAX;
	result = make(&(struct plan){.name = "INNER_IP_CLASSIFIER",
				     .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
				     .miss_counter = true,
				     .entries = 2,
				     .match = &match,
				     .mask = &match,
				     .monitor = &counted,
				     .fwd = &fwd,
				     .miss = miss},
		      &pipes.inner);
	match.tun.psp.nexthdr = 0x29;
	fwd.next_pipe = to6;
	if (result == DOCA_SUCCESS)
		result = put(pipes.inner, &match, 0, NULL, NULL, &fwd, &entry);
	match.tun.psp.nexthdr = 4;
	fwd.next_pipe = to4;
	return result == DOCA_SUCCESS ? put(pipes.inner, &match, 0, NULL, NULL, &fwd, &entry)
				      : result;
}

static doca_error_t target6(struct doca_flow_pipe *to)
{
	struct doca_flow_match match = {.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV6};
	struct doca_flow_actions actions = {.meta.u32[2] = UINT32_MAX};
	const struct doca_flow_fwd fwd = to_pipe(to), miss = to_pipe(pipes.rss);

	match.outer.l3_type = DOCA_FLOW_L3_TYPE_IP6;
	set_ip6(match.outer.ip6.dst_ip, UINT32_MAX);
	return make(&(struct plan){.name = "EGR_ACL",
				   .domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
				   .miss_counter = true,
				   .entries = TUNNELS,
				   .match = &match,
				   .actions = {&actions},
				   .monitor = &counted,
				   .fwd = &fwd,
				   .miss = &miss},
		    &pipes.target6);
}

/* What its CPU transmits, and what the root sends on: by EtherType and mark. */
static doca_error_t egress(const char *name, enum doca_flow_pipe_domain domain, uint32_t entries)
{
	const struct {
		uint16_t type;
		uint32_t meta;
		struct doca_flow_fwd fwd;
	} rows[] = {{RTE_ETHER_TYPE_ARP, TO_VF, to_port(lab.ids[1])},
		    {RTE_ETHER_TYPE_IPV6, TO_VF, to_port(lab.ids[1])},
		    {RTE_ETHER_TYPE_IPV4, 0, to_pipe(pipes.egress4)},
		    {RTE_ETHER_TYPE_IPV6, 0, to_pipe(pipes.target6)}};
	struct doca_flow_match match = {.meta.pkt_meta = UINT32_MAX};
	const struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_CHANGEABLE}, miss = drop();
	struct doca_flow_pipe_entry *entry;
	doca_error_t result;

	match.outer.eth.type = UINT16_MAX;
	result = make(&(struct plan){.name = name,
				     .domain = domain,
				     .root = true,
				     .miss_counter = true,
				     .entries = entries,
				     .match = &match,
				     .mask = &match,
				     .monitor = &counted,
				     .fwd = &fwd,
				     .miss = &miss},
		      &pipes.egress);
	for (size_t i = 0; result == DOCA_SUCCESS && i < 4; i++) {
		match.outer.eth.type = htobe16(rows[i].type);
		match.meta.pkt_meta = htobe32(rows[i].meta);
		result = put(pipes.egress, &match, 0, NULL, NULL, &rows[i].fwd, &entry);
	}
	return result;
}

/* The mask with which neighbour solicitations are known: types all ones, an IP version in parser_meta alone. */
static void solicitation(uint16_t port, struct doca_flow_match *match, struct doca_flow_match *mask)
{
	memset(match, 0, sizeof(*match));
	memset(mask, 0, sizeof(*mask));
	mask->parser_meta.port_id = UINT16_MAX;
	mask->outer.eth.type = UINT16_MAX;
	mask->parser_meta.outer_l3_type = (enum doca_flow_l3_meta)UINT32_MAX;
	mask->parser_meta.outer_l4_type = (enum doca_flow_l4_meta)UINT32_MAX;
	mask->outer.l4_type_ext = (enum doca_flow_l4_type_ext)UINT32_MAX;
	mask->outer.ip6.next_proto = UINT8_MAX;
	mask->outer.icmp.type = UINT8_MAX;
	match->parser_meta.port_id = port;
	match->outer.eth.type = htobe16(RTE_ETHER_TYPE_IPV6);
	match->parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV6;
	match->parser_meta.outer_l4_type = DOCA_FLOW_L4_META_ICMP;
	match->outer.l4_type_ext = DOCA_FLOW_L4_TYPE_EXT_ICMP6;
	match->outer.ip6.next_proto = 58;
	match->outer.icmp.type = 135;
}

/* ARP and solicitations of the workload go to its CPU; what is left is dropped. */
static doca_error_t exceptions(struct doca_flow_pipe *pipe)
{
	struct doca_flow_match match = {.parser_meta.port_id = lab.ids[1]}, mask;
	const struct doca_flow_match none = {.meta.pkt_meta = 0};
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_fwd fwd = to_program(rss_queues);
	doca_error_t result;

	memset(&mask, 0, sizeof(mask));
	mask.parser_meta.port_id = UINT16_MAX;
	mask.outer.eth.type = UINT16_MAX;
	match.outer.eth.type = htobe16(RTE_ETHER_TYPE_ARP);
	result = add_control(pipe, 3, &match, &mask, &fwd, &entry);
	solicitation(lab.ids[1], &match, &mask);
	if (result == DOCA_SUCCESS)
		result = add_control(pipe, 1, &match, &mask, &fwd, &entry);
	fwd = drop();
	return result == DOCA_SUCCESS ? add_control(pipe, 4, &none, &none, &fwd, &entry) : result;
}

static struct doca_flow_fwd to_rss(int n)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_RSS};

	fwd.rss_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	fwd.rss.outer_flags = DOCA_FLOW_RSS_IPV4;
	fwd.rss.queues_array = n > 0 ? rss_queues : NULL;
	fwd.rss.nr_queues = n;
	return fwd;
}

static struct compat_crypto encrypting(enum doca_flow_crypto_encap_net_type net, uint16_t size)
{
	struct compat_crypto part = reformat_part(DOCA_FLOW_CRYPTO_REFORMAT_ENCAP);

	part.encap.net_type = net;
	part.encap.data_size = size;
	memset(part.encap.encap_data, 0xff, size);
	part.crypto = crypto_part(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, UINT32_MAX).crypto;
	return part;
}

static struct compat_crypto opening(bool ip4)
{
	struct compat_crypto part = reformat_part(DOCA_FLOW_CRYPTO_REFORMAT_DECAP);
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)(void *)part.encap.encap_data;

	memset(eth->dst_addr.addr_bytes, 0xff, RTE_ETHER_ADDR_LEN);
	eth->ether_type = htobe16(ip4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
	return part;
}

/* ---- sessions -------------------------------------------------------------------------------- */

#define SOURCE 0x0a000001u
#define TARGET 0x0a000002u

static uint32_t session_spi, session_key[8], session_id;

static doca_error_t draw_key(void)
{
	struct doca_flow_crypto_psp_spi_key_bulk *bulk;
	doca_error_t result = doca_flow_crypto_psp_spi_key_bulk_alloc(
		lab.ports[0], DOCA_FLOW_CRYPTO_KEY_128, 1, &bulk);

	if (result == DOCA_SUCCESS)
		result = doca_flow_crypto_psp_spi_key_bulk_generate(bulk);
	if (result == DOCA_SUCCESS)
		result = doca_flow_crypto_psp_spi_key_bulk_get(bulk, 0, &session_spi, session_key);
	(void)doca_flow_crypto_psp_spi_key_wipe(bulk, 0);
	(void)doca_flow_crypto_psp_spi_key_bulk_free(bulk);
	return result;
}

/* The whole outer header; the size is the pipe's to know, the IV and the ICV are the device's. */
static void fill_header(uint8_t *at)
{
	uint8_t *ip = at + NET_ETH_LEN, *udp = ip + NET_IP4_LEN, *psp = udp + NET_UDP_LEN;

	memset(at, 0xff, 6);
	psp_put16(at + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	ip[8] = 64;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put16(udp + NET_UDP_DST, DOCA_FLOW_PSP_DEFAULT_PORT);
	psp[0] = 4;
	psp[1] = 1;
	psp[3] = 1; /* version 0 and the bit that is always set */
	psp_put32(psp + 4, session_spi);
}

static doca_error_t set_session_key(void)
{
	struct doca_flow_shared_resource_cfg cfg;

	memset(&cfg, 0, sizeof(cfg));
	cfg.psp_cfg.key_cfg.key_type = DOCA_FLOW_CRYPTO_KEY_128;
	cfg.psp_cfg.key_cfg.key = session_key;
	return compat_psp_slot_set(&lab.call, lab.ports[0], session_id, &cfg);
}

static struct doca_flow_match session_out(void)
{
	struct doca_flow_match match = {.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV4};

	match.outer.l3_type = DOCA_FLOW_L3_TYPE_IP4;
	match.outer.ip4.src_ip = htobe32(SOURCE);
	match.outer.ip4.dst_ip = htobe32(TARGET);
	return match;
}

/* The packet comes back as it went. */
static struct doca_flow_match session_in(void)
{
	struct doca_flow_match match = {.tun.type = DOCA_FLOW_TUN_PSP};

	match.tun.psp.spi = htobe32(session_spi);
	match.inner.l3_type = DOCA_FLOW_L3_TYPE_IP4;
	match.inner.ip4.src_ip = htobe32(SOURCE);
	match.inner.ip4.dst_ip = htobe32(TARGET);
	return match;
}

#endif
