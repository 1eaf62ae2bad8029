/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doca_flow_by_release.h: what of doca_flow.h is not the same in 3.0, 3.1, 3.2 and 3.3. Included by it alone.
 */
#ifndef DOCA_FLOW_BY_RELEASE_H
#define DOCA_FLOW_BY_RELEASE_H

#if DOCA_STANDIN < 303
enum doca_flow_flags_type {
	DOCA_FLOW_NO_WAIT = 0,
	DOCA_FLOW_WAIT_FOR_BATCH = 1 << 0,
};

doca_error_t doca_flow_pipe_control_add_entry(
	uint16_t queue, uint32_t priority, struct doca_flow_pipe *pipe,
	const struct doca_flow_match *match, const struct doca_flow_match *match_mask,
	const struct doca_flow_match_condition *condition, const struct doca_flow_actions *actions,
	const struct doca_flow_actions *actions_mask, const struct doca_flow_action_descs *descs,
	const struct doca_flow_monitor *monitor, const struct doca_flow_fwd *fwd, void *ctx,
	struct doca_flow_pipe_entry **entry);
#endif

#if DOCA_STANDIN < 302
doca_error_t doca_flow_cfg_set_nr_counters(struct doca_flow_cfg *cfg, uint32_t n);
doca_error_t doca_flow_cfg_set_nr_shared_resource(struct doca_flow_cfg *cfg, uint32_t n,
						  enum doca_flow_shared_resource_type type);
doca_error_t doca_flow_cfg_set_default_rss(struct doca_flow_cfg *cfg,
					   const struct doca_flow_resource_rss_cfg *rss);
doca_error_t doca_flow_shared_resource_set_cfg(enum doca_flow_shared_resource_type type,
					       uint32_t id,
					       struct doca_flow_shared_resource_cfg *cfg);
doca_error_t doca_flow_shared_resources_bind(enum doca_flow_shared_resource_type type,
					     uint32_t *ids, uint32_t n, void *to);
doca_error_t doca_flow_pipe_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
				      const struct doca_flow_match *match,
				      const struct doca_flow_actions *actions,
				      const struct doca_flow_monitor *monitor,
				      const struct doca_flow_fwd *fwd, uint32_t flags, void *ctx,
				      struct doca_flow_pipe_entry **entry);
doca_error_t doca_flow_pipe_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					 const struct doca_flow_actions *actions,
					 const struct doca_flow_monitor *monitor,
					 const struct doca_flow_fwd *fwd,
					 enum doca_flow_flags_type flags,
					 struct doca_flow_pipe_entry *entry);
#endif

#if DOCA_STANDIN == 300
enum doca_flow_direction_info {
	DOCA_FLOW_DIRECTION_BIDIRECTIONAL = 0,
	DOCA_FLOW_DIRECTION_NETWORK_TO_HOST,
	DOCA_FLOW_DIRECTION_HOST_TO_NETWORK,
};
doca_error_t doca_flow_pipe_cfg_set_dir_info(struct doca_flow_pipe_cfg *cfg,
					     enum doca_flow_direction_info direction);
#else
doca_error_t doca_flow_port_cfg_set_dev_rep(struct doca_flow_port_cfg *cfg,
					    struct doca_dev_rep *rep);
#endif

#if DOCA_STANDIN >= 302
enum doca_flow_resource_mode { DOCA_FLOW_RESOURCE_MODE_SYSTEM, DOCA_FLOW_RESOURCE_MODE_PORT };
enum doca_flow_resource {
	DOCA_FLOW_RESOURCE_METER,
	DOCA_FLOW_RESOURCE_COUNTER,
	DOCA_FLOW_RESOURCE_RSS,
	DOCA_FLOW_RESOURCE_PSP,
};

struct doca_flow_crypto {
	bool has_crypto_encap;
	struct doca_flow_crypto_encap_action crypto_encap;
	struct doca_flow_crypto_action crypto;
};

enum doca_flow_ordered_list_element_type { DOCA_FLOW_ORDERED_LIST_ELEMENT_CRYPTO = 3 };

struct doca_flow_ordered_list_element {
	enum doca_flow_ordered_list_element_type type;
	struct doca_flow_crypto *crypto;
};

/* idx: of a pipe's list its number; of an entry's list which of those it fills in. */
struct doca_flow_ordered_list {
	uint32_t idx, size;
	struct doca_flow_ordered_list_element *elements;
};

enum doca_flow_port_default_miss_type {
	DOCA_FLOW_PORT_DEFAULT_MISS_KERNEL = 0,
	DOCA_FLOW_PORT_DEFAULT_MISS_RSS,
	DOCA_FLOW_PORT_DEFAULT_MISS_DROP,
};

doca_error_t doca_flow_cfg_set_resource_mode(struct doca_flow_cfg *cfg,
					     enum doca_flow_resource_mode mode);
/* Where a root's misses go, and whether the port counts them, which no sample asks for. */
doca_error_t doca_flow_port_update_default_miss(struct doca_flow_port *port,
						enum doca_flow_port_default_miss_type miss,
						bool counter_en);
doca_error_t doca_flow_port_cfg_set_nr_resources(struct doca_flow_port_cfg *cfg,
						 enum doca_flow_resource resource, uint32_t n);
doca_error_t doca_flow_port_shared_resource_get(struct doca_flow_port *port,
						enum doca_flow_shared_resource_type type,
						uint32_t *id);
doca_error_t doca_flow_port_shared_resource_set_cfg(struct doca_flow_port *port,
						    enum doca_flow_shared_resource_type type,
						    uint32_t id,
						    struct doca_flow_shared_resource_cfg *cfg);
doca_error_t doca_flow_port_shared_resource_put(struct doca_flow_port *port,
						enum doca_flow_shared_resource_type type,
						uint32_t id);
doca_error_t doca_flow_pipe_cfg_set_ordered_lists(struct doca_flow_pipe_cfg *cfg,
						  struct doca_flow_ordered_list *const *lists,
						  size_t n);
#endif

#if DOCA_STANDIN == 302
doca_error_t doca_flow_pipe_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
				      const struct doca_flow_match *match, uint8_t action_idx,
				      const struct doca_flow_actions *actions,
				      const struct doca_flow_monitor *monitor,
				      const struct doca_flow_fwd *fwd, uint32_t flags, void *ctx,
				      struct doca_flow_pipe_entry **entry);
doca_error_t doca_flow_pipe_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					 uint8_t action_idx,
					 const struct doca_flow_actions *actions,
					 const struct doca_flow_monitor *monitor,
					 const struct doca_flow_fwd *fwd,
					 enum doca_flow_flags_type flags,
					 struct doca_flow_pipe_entry *entry);
doca_error_t doca_flow_pipe_hash_add_entry(uint16_t queue, struct doca_flow_pipe *pipe, uint32_t at,
					   uint8_t action_idx,
					   const struct doca_flow_actions *actions,
					   const struct doca_flow_monitor *monitor,
					   const struct doca_flow_fwd *fwd,
					   enum doca_flow_flags_type flags, void *ctx,
					   struct doca_flow_pipe_entry **entry);
doca_error_t doca_flow_pipe_ordered_list_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
						   uint32_t idx,
						   const struct doca_flow_ordered_list *list,
						   const struct doca_flow_fwd *fwd,
						   enum doca_flow_flags_type flags, void *ctx,
						   struct doca_flow_pipe_entry **entry);
#endif

#if DOCA_STANDIN >= 303
enum doca_flow_entry_flags {
	DOCA_FLOW_ENTRY_FLAGS_NO_WAIT = 1u << 0,
	DOCA_FLOW_ENTRY_FLAGS_WAIT_FOR_BATCH = 1u << 1,
};

doca_error_t doca_flow_pipe_basic_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					    const struct doca_flow_match *match, uint8_t action_idx,
					    const struct doca_flow_actions *actions,
					    const struct doca_flow_monitor *monitor,
					    const struct doca_flow_fwd *fwd, uint32_t flags,
					    void *ctx, struct doca_flow_pipe_entry **entry);
doca_error_t doca_flow_pipe_basic_update_entry(uint16_t queue, struct doca_flow_pipe *pipe,
					       uint8_t action_idx,
					       const struct doca_flow_actions *actions,
					       const struct doca_flow_monitor *monitor,
					       const struct doca_flow_fwd *fwd, uint32_t flags,
					       struct doca_flow_pipe_entry *entry);
doca_error_t doca_flow_pipe_control_add_entry(
	uint16_t queue, struct doca_flow_pipe *pipe, const struct doca_flow_match *match,
	const struct doca_flow_match *match_mask, const struct doca_flow_match_condition *condition,
	const struct doca_flow_actions *actions, const struct doca_flow_actions *actions_mask,
	const struct doca_flow_action_descs *descs, const struct doca_flow_monitor *monitor,
	uint32_t priority, const struct doca_flow_fwd *fwd, void *ctx,
	struct doca_flow_pipe_entry **entry);
doca_error_t doca_flow_pipe_hash_add_entry(uint16_t queue, struct doca_flow_pipe *pipe, uint32_t at,
					   uint8_t action_idx,
					   const struct doca_flow_actions *actions,
					   const struct doca_flow_monitor *monitor,
					   const struct doca_flow_fwd *fwd, uint32_t flags,
					   void *ctx, struct doca_flow_pipe_entry **entry);
doca_error_t doca_flow_pipe_ordered_list_add_entry(uint16_t queue, struct doca_flow_pipe *pipe,
						   uint32_t idx,
						   const struct doca_flow_ordered_list *list,
						   const struct doca_flow_fwd *fwd, uint32_t flags,
						   void *ctx, struct doca_flow_pipe_entry **entry);
#endif

#endif
