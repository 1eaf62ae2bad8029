/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doca_flow.h: pipes, entries, ports and shared resources. See doca_version.h for what this is.
 *
 * What differs from release to release is in doca_flow_by_release.h.
 */
#ifndef DOCA_FLOW_H
#define DOCA_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doca_error.h"
#include "doca_flow_crypto.h"
#include "doca_flow_net.h"
#include "doca_version.h"

struct doca_dev;
struct doca_dev_rep;
struct doca_flow_port;
struct doca_flow_pipe;
struct doca_flow_pipe_entry;
struct doca_flow_target;
struct doca_flow_cfg;
struct doca_flow_port_cfg;
struct doca_flow_pipe_cfg;

/* ---- completion of entries ------------------------------------------------------------------- */

enum doca_flow_entry_op {
	DOCA_FLOW_ENTRY_OP_ADD,
	DOCA_FLOW_ENTRY_OP_DEL,
	DOCA_FLOW_ENTRY_OP_UPD,
	DOCA_FLOW_ENTRY_OP_AGED,
};

enum doca_flow_entry_status {
	DOCA_FLOW_ENTRY_STATUS_IN_PROCESS,
	DOCA_FLOW_ENTRY_STATUS_SUCCESS,
	DOCA_FLOW_ENTRY_STATUS_ERROR,
};

/* Called from doca_flow_entries_process(); ctx is what the entry was added with. */
typedef void (*doca_flow_entry_process_cb)(struct doca_flow_pipe_entry *entry, uint16_t queue,
					   enum doca_flow_entry_status status,
					   enum doca_flow_entry_op op, void *ctx);

/* timeout: microseconds; max: entries. The queue's operations complete here and nowhere else. */
doca_error_t doca_flow_entries_process(struct doca_flow_port *port, uint16_t queue,
				       uint64_t timeout, uint32_t max);

/* ---- match ----------------------------------------------------------------------------------- */

enum doca_flow_l3_meta {
	DOCA_FLOW_L3_META_NONE = 0,
	DOCA_FLOW_L3_META_IPV4,
	DOCA_FLOW_L3_META_IPV6,
};

/* ICMP stands for ICMPv6 too. */
enum doca_flow_l4_meta {
	DOCA_FLOW_L4_META_NONE = 0,
	DOCA_FLOW_L4_META_TCP,
	DOCA_FLOW_L4_META_UDP,
	DOCA_FLOW_L4_META_ICMP,
	DOCA_FLOW_L4_META_ESP,
};

#define DOCA_FLOW_META_SCRATCH_PAD_MAX 10

/* pkt_meta travels with the packet between hardware and DPDK; u32 within the hardware alone. */
struct doca_flow_meta {
	doca_be32_t pkt_meta;
	doca_be32_t u32[DOCA_FLOW_META_SCRATCH_PAD_MAX];
};

struct doca_flow_parser_meta {
	uint16_t port_id;
	doca_be16_t random;
	uint8_t psp_syndrome; /* 0 good, 1 ICV failed, 2 bad trailer: values, not bits */
	uint8_t outer_l3_ok, outer_ip4_checksum_ok; /* 1: it is */
	enum doca_flow_l3_meta outer_l3_type, inner_l3_type;
	enum doca_flow_l4_meta outer_l4_type;
};

struct doca_flow_header_format {
	struct doca_flow_header_eth eth;
	enum doca_flow_l3_type l3_type; /* which of the next is meant */
	union {
		struct doca_flow_header_ip4 ip4;
		struct doca_flow_header_ip6 ip6;
	};
	enum doca_flow_l4_type_ext l4_type_ext; /* which of the next is meant */
	union {
		struct doca_flow_header_icmp icmp;
		struct doca_flow_header_udp udp;
		struct doca_flow_header_tcp tcp;
		struct doca_flow_header_l4_port transport;
	};
};

struct doca_flow_match {
	struct doca_flow_meta meta;
	struct doca_flow_parser_meta parser_meta;
	struct doca_flow_header_format outer, inner;
	struct doca_flow_tun tun;
};

enum doca_flow_compare_op {
	DOCA_FLOW_COMPARE_EQ,
	DOCA_FLOW_COMPARE_NE,
	DOCA_FLOW_COMPARE_LT,
	DOCA_FLOW_COMPARE_LE,
	DOCA_FLOW_COMPARE_GT,
	DOCA_FLOW_COMPARE_GE,
};

/* A field by its name: "parser_meta.random.value". */
struct doca_flow_desc_field {
	const char *field_string;
	uint32_t bit_offset;
};

/* a is compared with b; without b with a's field in the match. width: bits. */
struct doca_flow_match_condition {
	enum doca_flow_compare_op operation;
	struct {
		struct doca_flow_desc_field a, b;
		uint32_t width;
	} field_op;
};

/* ---- actions --------------------------------------------------------------------------------- */

/* As a crypto id of a decrypt action: the device derives the key from the SPI. */
#define DOCA_FLOW_PSP_DECRYPTION_ID UINT32_MAX

struct doca_flow_crypto_action {
	enum doca_flow_crypto_action_type action_type;
	enum doca_flow_crypto_resource_type resource_type;
	uint32_t crypto_id;
};

struct doca_flow_crypto_encap_action {
	enum doca_flow_crypto_encap_action_type action_type;
	enum doca_flow_crypto_encap_net_type net_type;
	uint16_t icv_size;  /* octets */
	uint16_t data_size; /* octets of encap_data in use */
	uint8_t encap_data[DOCA_FLOW_CRYPTO_HEADER_LEN_MAX];
};

struct doca_flow_actions {
	uint8_t action_idx; /* before 3.2: which template of the pipe */
	struct doca_flow_meta meta;
	struct doca_flow_header_format outer;
	struct doca_flow_tun tun;
	bool has_crypto_encap;
	struct doca_flow_crypto_encap_action crypto_encap;
	struct doca_flow_crypto_action crypto;
};

enum doca_flow_action_type {
	DOCA_FLOW_ACTION_AUTO = 0,
	DOCA_FLOW_ACTION_ADD, /* the value in the actions to the field of the packet */
	DOCA_FLOW_ACTION_COPY,
};

/* width: bits. */
struct doca_flow_action_desc {
	enum doca_flow_action_type type;
	struct {
		struct doca_flow_desc_field src, dst;
		uint32_t width;
	} field_op;
};

struct doca_flow_action_descs {
	uint8_t nb_action_desc;
	struct doca_flow_action_desc *desc_array;
};

/* ---- forward and monitor --------------------------------------------------------------------- */

enum doca_flow_resource_type {
	DOCA_FLOW_RESOURCE_TYPE_NONE,
	DOCA_FLOW_RESOURCE_TYPE_SHARED,
	DOCA_FLOW_RESOURCE_TYPE_NON_SHARED,
};

enum doca_rss_type {
	DOCA_FLOW_RSS_IPV4 = 1 << 0,
	DOCA_FLOW_RSS_IPV6 = 1 << 1,
};

struct doca_flow_resource_rss_cfg {
	uint32_t outer_flags; /* enum doca_rss_type */
	uint16_t *queues_array;
	int nr_queues;
};

enum doca_flow_target_type { DOCA_FLOW_TARGET_KERNEL };

enum doca_flow_pipe_hash_map_algorithm {
	DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING = 1 << 4,
};

enum doca_flow_fwd_type {
	DOCA_FLOW_FWD_NONE = 0,
	DOCA_FLOW_FWD_RSS,
	DOCA_FLOW_FWD_PORT,
	DOCA_FLOW_FWD_PIPE,
	DOCA_FLOW_FWD_DROP,
	DOCA_FLOW_FWD_TARGET,
	DOCA_FLOW_FWD_ORDERED_LIST_PIPE,
	DOCA_FLOW_FWD_HASH_PIPE,
	DOCA_FLOW_FWD_CHANGEABLE = 100, /* of a pipe: each entry brings its own */
};

struct doca_flow_fwd {
	enum doca_flow_fwd_type type;
	union {
		struct {
			enum doca_flow_resource_type rss_type;
			struct doca_flow_resource_rss_cfg rss;
		};
		uint16_t port_id;
		struct doca_flow_pipe *next_pipe;
		struct doca_flow_target *target;
		struct {
			struct doca_flow_pipe *pipe;
			uint32_t idx;
		} ordered_list_pipe;
		struct {
			struct doca_flow_pipe *pipe;
			enum doca_flow_pipe_hash_map_algorithm algorithm;
		} hash_pipe;
	};
};

struct doca_flow_monitor {
	enum doca_flow_resource_type counter_type;
	uint32_t shared_mirror_id; /* before 3.2 */
};

doca_error_t doca_flow_get_target(enum doca_flow_target_type type,
				  struct doca_flow_target **target);

/* ---- the library and its ports --------------------------------------------------------------- */

enum doca_flow_shared_resource_type {
	DOCA_FLOW_SHARED_RESOURCE_METER,
	DOCA_FLOW_SHARED_RESOURCE_COUNTER,
	DOCA_FLOW_SHARED_RESOURCE_RSS,
#if DOCA_STANDIN < 302
	DOCA_FLOW_SHARED_RESOURCE_MIRROR,
#endif
	DOCA_FLOW_SHARED_RESOURCE_PSP,
};

doca_error_t doca_flow_cfg_create(struct doca_flow_cfg **cfg);
doca_error_t doca_flow_cfg_destroy(struct doca_flow_cfg *cfg);
doca_error_t doca_flow_cfg_set_pipe_queues(struct doca_flow_cfg *cfg, uint16_t queues);
/* Orders that a queue takes before they are processed; without this 128. */
doca_error_t doca_flow_cfg_set_queue_depth(struct doca_flow_cfg *cfg, uint32_t depth);
doca_error_t doca_flow_cfg_set_mode_args(struct doca_flow_cfg *cfg, const char *args);
doca_error_t doca_flow_cfg_set_cb_entry_process(struct doca_flow_cfg *cfg,
						doca_flow_entry_process_cb cb);
doca_error_t doca_flow_init(struct doca_flow_cfg *cfg);
void doca_flow_destroy(void);

doca_error_t doca_flow_port_cfg_create(struct doca_flow_port_cfg **cfg);
doca_error_t doca_flow_port_cfg_destroy(struct doca_flow_port_cfg *cfg);
doca_error_t doca_flow_port_cfg_set_port_id(struct doca_flow_port_cfg *cfg, uint16_t port_id);
doca_error_t doca_flow_port_cfg_set_dev(struct doca_flow_port_cfg *cfg, struct doca_dev *dev);
/* octets, a power of two */
doca_error_t doca_flow_port_cfg_set_actions_mem_size(struct doca_flow_port_cfg *cfg, uint32_t size);
/* How often counters are read into the cache that queries look at; without this once a second. */
doca_error_t doca_flow_port_cfg_set_service_threads_cycle(struct doca_flow_port_cfg *cfg,
							  uint32_t cycle_ms);
doca_error_t doca_flow_port_start(const struct doca_flow_port_cfg *cfg,
				  struct doca_flow_port **port);
doca_error_t doca_flow_port_stop(struct doca_flow_port *port);
struct doca_flow_port *doca_flow_port_switch_get(const struct doca_flow_port *port);

/* ---- shared resources ------------------------------------------------------------------------ */

struct doca_flow_resource_psp_cfg {
	struct doca_flow_crypto_key_cfg key_cfg;
};

#if DOCA_STANDIN < 302
struct doca_flow_mirror_target {
	bool has_encap;
	struct doca_flow_fwd fwd;
};

/* fwd: where the packet itself goes; NONE: as its entry says. */
struct doca_flow_resource_mirror_cfg {
	int nr_targets;
	struct doca_flow_mirror_target *target;
	struct doca_flow_fwd fwd;
};
#endif

struct doca_flow_shared_resource_cfg {
	union {
		struct doca_flow_resource_psp_cfg psp_cfg;
#if DOCA_STANDIN < 302
		struct doca_flow_resource_mirror_cfg mirror_cfg;
#endif
	};
};

/* ---- pipes ----------------------------------------------------------------------------------- */

enum doca_flow_pipe_type {
	DOCA_FLOW_PIPE_BASIC,
	DOCA_FLOW_PIPE_CONTROL,
	DOCA_FLOW_PIPE_LPM,
	DOCA_FLOW_PIPE_CT,
	DOCA_FLOW_PIPE_ACL,
	DOCA_FLOW_PIPE_ORDERED_LIST,
	DOCA_FLOW_PIPE_HASH,
};

enum doca_flow_pipe_domain {
	DOCA_FLOW_PIPE_DOMAIN_DEFAULT = 0,
	DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS,
	DOCA_FLOW_PIPE_DOMAIN_EGRESS,
	DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
};

doca_error_t doca_flow_pipe_cfg_create(struct doca_flow_pipe_cfg **cfg,
				       struct doca_flow_port *port);
doca_error_t doca_flow_pipe_cfg_destroy(struct doca_flow_pipe_cfg *cfg);
doca_error_t doca_flow_pipe_cfg_set_name(struct doca_flow_pipe_cfg *cfg, const char *name);
doca_error_t doca_flow_pipe_cfg_set_type(struct doca_flow_pipe_cfg *cfg,
					 enum doca_flow_pipe_type type);
doca_error_t doca_flow_pipe_cfg_set_domain(struct doca_flow_pipe_cfg *cfg,
					   enum doca_flow_pipe_domain domain);
doca_error_t doca_flow_pipe_cfg_set_is_root(struct doca_flow_pipe_cfg *cfg, bool is_root);
doca_error_t doca_flow_pipe_cfg_set_nr_entries(struct doca_flow_pipe_cfg *cfg, uint32_t n);
doca_error_t doca_flow_pipe_cfg_set_miss_counter(struct doca_flow_pipe_cfg *cfg, bool on);
/* All bits of a field set: each entry brings its value. Without a mask such fields are whole. */
doca_error_t doca_flow_pipe_cfg_set_match(struct doca_flow_pipe_cfg *cfg,
					  const struct doca_flow_match *match,
					  const struct doca_flow_match *match_mask);
doca_error_t doca_flow_pipe_cfg_set_actions(struct doca_flow_pipe_cfg *cfg,
					    struct doca_flow_actions *const *actions,
					    struct doca_flow_actions *const *masks,
					    struct doca_flow_action_descs *const *descs, size_t n);
doca_error_t doca_flow_pipe_cfg_set_monitor(struct doca_flow_pipe_cfg *cfg,
					    const struct doca_flow_monitor *monitor);
doca_error_t doca_flow_pipe_cfg_set_hash_map_algorithm(struct doca_flow_pipe_cfg *cfg,
						       uint32_t algorithms);
doca_error_t doca_flow_pipe_create(const struct doca_flow_pipe_cfg *cfg,
				   const struct doca_flow_fwd *fwd,
				   const struct doca_flow_fwd *fwd_miss,
				   struct doca_flow_pipe **pipe);
void doca_flow_pipe_destroy(struct doca_flow_pipe *pipe);

/* ---- entries --------------------------------------------------------------------------------- */

/* Those of control pipes: 0 is looked at first. flags as below. */
doca_error_t doca_flow_pipe_remove_entry(uint16_t queue, uint32_t flags,
					 struct doca_flow_pipe_entry *entry);

struct doca_flow_resource_query {
	struct {
		uint64_t total_bytes, total_pkts;
	} counter;
};

doca_error_t doca_flow_resource_query_entry(struct doca_flow_pipe_entry *entry,
					    struct doca_flow_resource_query *out);
doca_error_t doca_flow_resource_query_pipe_miss(struct doca_flow_pipe *pipe,
						struct doca_flow_resource_query *out);

#include "doca_flow_by_release.h"

#endif
