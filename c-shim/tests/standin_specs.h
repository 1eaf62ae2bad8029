/* SPDX-License-Identifier: Apache-2.0 */
/* standin_specs.h: pipes, entries and keys of DOCA Flow, described in few words. */
#ifndef PSP_STANDIN_SPECS_H
#define PSP_STANDIN_SPECS_H

#include "standin_lab.h"

struct spec {
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool root;
	uint32_t entries; /* 0: 4 */
	struct doca_flow_match match, mask;
	struct doca_flow_actions *actions; /* NULL: none */
	struct doca_flow_fwd fwd, miss;
};

static inline struct doca_flow_fwd drop(void)
{
	return (struct doca_flow_fwd){.type = DOCA_FLOW_FWD_DROP};
}

static inline struct doca_flow_fwd to_pipe(struct doca_flow_pipe *pipe)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_PIPE};

	fwd.next_pipe = pipe;
	return fwd;
}

static inline doca_error_t create(const struct spec *spec, struct doca_flow_pipe **pipe)
{
	struct doca_flow_actions *actions[1] = {spec->actions};
	struct doca_flow_pipe_cfg *cfg;
	doca_error_t result = doca_flow_pipe_cfg_create(&cfg, lab.ports[0]);

	*pipe = NULL;
	if (result != DOCA_SUCCESS)
		return result;
	(void)doca_flow_pipe_cfg_set_name(cfg, "TEST");
	(void)doca_flow_pipe_cfg_set_type(cfg, spec->type);
	(void)doca_flow_pipe_cfg_set_domain(cfg, spec->domain);
	(void)doca_flow_pipe_cfg_set_is_root(cfg, spec->root);
	(void)doca_flow_pipe_cfg_set_nr_entries(cfg, spec->entries != 0 ? spec->entries : 4);
	if (spec->type == DOCA_FLOW_PIPE_BASIC)
		(void)doca_flow_pipe_cfg_set_match(cfg, &spec->match, &spec->mask);
	if (spec->actions != NULL)
		(void)doca_flow_pipe_cfg_set_actions(cfg, actions, NULL, NULL, 1);
	result = doca_flow_pipe_create(
		cfg, spec->fwd.type != DOCA_FLOW_FWD_NONE ? &spec->fwd : NULL,
		spec->miss.type != DOCA_FLOW_FWD_NONE ? &spec->miss : NULL, pipe);
	(void)doca_flow_pipe_cfg_destroy(cfg);
	return result;
}

/* Matches pkt_meta, drops. */
static inline struct spec basic(void)
{
	struct spec spec = {.fwd = drop()};

	spec.match.meta.pkt_meta = UINT32_MAX;
	spec.mask.meta.pkt_meta = UINT32_MAX;
	return spec;
}

static inline struct spec control(void)
{
	return (struct spec){.type = DOCA_FLOW_PIPE_CONTROL};
}

static inline doca_error_t add(struct doca_flow_pipe *pipe, uint32_t meta,
			       const struct doca_flow_actions *actions,
			       const struct doca_flow_fwd *fwd, struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_match match = {.meta.pkt_meta = meta};

	return doca_flow_pipe_add_entry(0, pipe, &match, actions, NULL, fwd, DOCA_FLOW_NO_WAIT,
					NULL, entry);
}

static inline doca_error_t add_control(struct doca_flow_pipe *pipe, uint32_t priority,
				       const struct doca_flow_match *match,
				       const struct doca_flow_match *mask,
				       const struct doca_flow_fwd *fwd,
				       struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_monitor monitor = {.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED};

	return doca_flow_pipe_control_add_entry(0, priority, pipe, match, mask, NULL, NULL, NULL,
						NULL, &monitor, fwd, NULL, entry);
}

static inline struct doca_flow_actions crypto(enum doca_flow_crypto_action_type type, uint32_t id)
{
	return (struct doca_flow_actions){.crypto = {.action_type = type,
						     .resource_type = DOCA_FLOW_CRYPTO_RESOURCE_PSP,
						     .crypto_id = id}};
}

static inline struct doca_flow_actions reformat(enum doca_flow_crypto_encap_action_type type)
{
	return (struct doca_flow_actions){
		.has_crypto_encap = true,
		.crypto_encap = {.action_type = type,
				 .net_type = DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL,
				 .icv_size = 16,
				 .data_size = type == DOCA_FLOW_CRYPTO_REFORMAT_DECAP ? 14 : 58}};
}

static inline doca_error_t set_key(uint32_t id)
{
	uint32_t key[4] = {1, 2, 3, id};
	struct doca_flow_shared_resource_cfg cfg = {
		.psp_cfg.key_cfg = {.key_type = DOCA_FLOW_CRYPTO_KEY_128, .key = key}};

	return doca_flow_shared_resource_set_cfg(DOCA_FLOW_SHARED_RESOURCE_PSP, id, &cfg);
}

static inline doca_error_t bind_key(uint32_t id)
{
	return doca_flow_shared_resources_bind(DOCA_FLOW_SHARED_RESOURCE_PSP, &id, 1, lab.ports[0]);
}

#endif
