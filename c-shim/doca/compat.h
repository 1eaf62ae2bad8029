/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compat.h: what DOCA 3.0, 3.1, 3.2 (long-term support) and 3.3 do not do alike: what is known of a release as a row of a
 * table, and calls that differ as functions with one name each. There is no other #if on the version. Sources: doxygen
 * listing of the 3.0 headers; a public copy of doca_flow.h of 3.3; NVIDIA-DOCA/doca-samples,
 * applications/psp_gateway at the tags 3.0.0 to 3.3.0. Nothing but 3.0 was compiled against real headers.
 *
 *   3.1  representors are opened devices; no direction of a pipe
 *   3.2  resources belong to ports, and the library hands out their ids; no mirrors, flooding pipes instead;
 *        crypto is an element of ordered lists; the index of an action template is an argument
 *   3.3  basic entries have names of their own; a control entry's priority moved; "no wait" is 1, not 0
 */
#ifndef PSP_DPU_COMPAT_H
#define PSP_DPU_COMPAT_H

#include <doca_dev.h>
#include <doca_dpdk.h>
#include <doca_flow.h>
#include <doca_version.h>
#include <stdbool.h>
#include <stdio.h>

#define COMPAT_DOCA (DOCA_VERSION_MAJOR * 100 + DOCA_VERSION_MINOR)

#if COMPAT_DOCA < 300
#error "The DOCA plane needs DOCA 3.0 or later"
#endif

/* The last release whose differences stand here. 3.4.0 and samples of 3.5.0 exist, and were not read. */
#define COMPAT_NEWEST_MAJOR 3u
#define COMPAT_NEWEST_MINOR 3u

/* Said once, by the file that asks for it. */
#if defined(COMPAT_TELLS) && COMPAT_DOCA > COMPAT_NEWEST_MAJOR * 100 + COMPAT_NEWEST_MINOR
#pragma message(                                                                                   \
	"This DOCA is newer than 3.3: what has changed since then is not known to the plane")
#endif

/* "3.5.0109": of what runs, which need not be what it was built with. */
static inline bool compat_is_newer(const char *version)
{
	unsigned int major, minor;

	return sscanf(version, "%u.%u", &major, &minor) == 2 &&
	       (major > COMPAT_NEWEST_MAJOR ||
		(major == COMPAT_NEWEST_MAJOR && minor > COMPAT_NEWEST_MINOR));
}

/* ---- a row per release ----------------------------------------------------------------------- */

struct compat_release {
	/*
	 * "expert": the pipes alone say where a miss goes. From 3.1 on switch mode is always isolated; 3.3 no longer takes
	 * the word.
	 */
	const char *mode_args;
	const char *devargs;
	/* EAL's allow list of devices that are not there, so that it probes none. */
	const char *no_devices[2];
	/* Where packets enter that this process transmits. */
	enum doca_flow_pipe_domain tx_root;
	/* DPDK's word for a representor must be known. Later an opened device is enough. */
	bool probes_by_word;
	/* The switch port has to be isolated by us. Later it is by itself. */
	bool must_isolate;
	/* A mirror copies a packet to more than one place. Later a flooding pipe does. */
	bool has_mirror;
	/* Crypto is not an action of a basic pipe, but an element of an ordered list behind it. */
	bool has_crypto_lists;
	/* What a list cannot decrypt misses there, instead of going on with its syndrome. */
	bool decrypt_misses;
	/*
	 * What a root does not match goes to the kernel: bifurcated_driver_model does so. Before that a pipe behind the
	 * root leads there.
	 */
	bool has_default_miss;
	/*
	 * The root is a BASIC pipe: in the gateway of 3.3 and wherever the kernel is the default. Before, roots with masks
	 * and priorities are CONTROL pipes.
	 */
	bool has_basic_root;
};

#define COMPAT_MODE "switch,hws,isolated,expert"
#define COMPAT_DEVARGS                                                                             \
	"dv_flow_en=2,dv_xmeta_en=4,fdb_def_rule_en=0,vport_match=1,repr_matching_en=0"

static const struct compat_release compat_releases[] = {
	/* 3.0 */
	{
		.mode_args = COMPAT_MODE,
		.devargs = COMPAT_DEVARGS,
		.no_devices = {"00:00.0"},
		.tx_root = DOCA_FLOW_PIPE_DOMAIN_EGRESS,
		.probes_by_word = true,
		.must_isolate = true,
		.has_mirror = true,
	},
	/* 3.1 */
	{
		.mode_args = COMPAT_MODE,
		.devargs = COMPAT_DEVARGS,
		.no_devices = {"00:00.0"},
		.tx_root = DOCA_FLOW_PIPE_DOMAIN_EGRESS,
		.has_mirror = true,
	},
	/* 3.2 */
	{
		.mode_args = COMPAT_MODE,
		.devargs = COMPAT_DEVARGS,
		.no_devices = {"00:00.0"},
		.tx_root = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
		.has_crypto_lists = true,
		.decrypt_misses = true,
		.has_default_miss = true,
	},
	/* 3.3 and what is newer */
	{
		.mode_args = "switch,hws,expert",
		.devargs = "dv_flow_en=2,dv_xmeta_en=4,fdb_def_rule_en=0",
		.no_devices = {"pci:00:00.0", "auxiliary:mlx5_core.sf.0"},
		.tx_root = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS,
		.has_crypto_lists = true,
		.decrypt_misses = true,
		.has_default_miss = true,
		.has_basic_root = true,
	},
};

/* The row of the release that this is compiled for. */
static inline const struct compat_release *compat(void)
{
	return &compat_releases[COMPAT_DOCA < 303 ? COMPAT_DOCA - 300 : 3];
}

/* ---- what calls are given -------------------------------------------------------------------- */

/* Which function refused last: a name in a sentence says more than a code alone. */
struct compat_call {
	const char *name; /* "doca_flow_init"; NULL: none has */
};

static inline doca_error_t compat_said(struct compat_call *call, const char *name,
				       doca_error_t result)
{
	if (result != DOCA_SUCCESS)
		call->name = name;
	return result;
}

/* Asks a function of DOCA's, and notes its name when it refuses. */
#define COMPAT_ASK(call, function, ...) compat_said((call), #function, function(__VA_ARGS__))

/* The one pipe queue: the API's threads take turns. */
#define COMPAT_QUEUE 0u
#define COMPAT_TEMPLATES_MAX 4u

/* How many of each resource there may be: of the whole library before 3.2, of the switch port from then on. */
struct compat_resources {
	uint32_t counters, psp_keys, mirrors;
};

/* Encapsulation and encryption of one entry, or their template in a pipe. */
struct compat_crypto {
	bool reformat;
	struct doca_flow_crypto_encap_action encap;
	struct doca_flow_crypto_action crypto;
};

/* Before 3.2; later its templates must be put into a list. */
static inline void compat_actions_crypto(struct doca_flow_actions *actions,
					 const struct compat_crypto *part)
{
	actions->has_crypto_encap = part->reformat;
	actions->crypto_encap = part->encap;
	actions->crypto = part->crypto;
}

/* What an entry brings; NULL: as its pipe says. */
struct compat_entry {
	const struct doca_flow_match *match, *match_mask; /* the mask: control entries */
	struct doca_flow_actions *actions, *actions_mask; /* the mask: control entries */
	uint8_t template; /* which actions of the pipe it fills in */
	const struct doca_flow_monitor *monitor;
	const struct doca_flow_fwd *fwd;
	uint32_t priority; /* control entries */
	void *ctx;         /* valid until the entry is gone */
};

/* ---- calls ----------------------------------------------------------------------------------- */

/* Probes the switch port and n representors. devargs without "representor="; rep_names are for 3.0 alone. */
static inline doca_error_t compat_probe(struct compat_call *call, struct doca_dev *dev,
					struct doca_dev_rep **reps, uint16_t n, const char *devargs,
					const char *rep_names);
/* Says that a port is a representor's. */
static inline doca_error_t compat_port_rep(struct compat_call *call, struct doca_flow_port_cfg *cfg,
					   struct doca_dev_rep *rep);
/* A hint: pipes of the secure domains see traffic of one direction alone. */
static inline doca_error_t compat_pipe_direction(struct compat_call *call,
						 struct doca_flow_pipe_cfg *cfg,
						 enum doca_flow_pipe_domain domain);

static inline doca_error_t compat_flow_resources(struct compat_call *call,
						 struct doca_flow_cfg *cfg,
						 const struct compat_resources *resources,
						 const struct doca_flow_resource_rss_cfg *rss);
static inline doca_error_t compat_port_resources(struct compat_call *call,
						 struct doca_flow_port_cfg *cfg,
						 const struct compat_resources *resources);
static inline doca_error_t compat_default_miss(struct compat_call *call,
					       struct doca_flow_port *port);

static inline doca_error_t compat_basic_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    const struct compat_entry *entry,
					    struct doca_flow_pipe_entry **out);
static inline doca_error_t compat_basic_update(struct compat_call *call,
					       struct doca_flow_pipe *pipe,
					       const struct compat_entry *entry,
					       struct doca_flow_pipe_entry *old);
static inline doca_error_t compat_control_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					      const struct compat_entry *entry,
					      struct doca_flow_pipe_entry **out);

/* Sets mirror `id` up on a port: a copy goes to `copy`, the packet where its entry says. */
static inline doca_error_t compat_mirror_set(struct compat_call *call, struct doca_flow_port *port,
					     uint32_t id, bool bound,
					     const struct doca_flow_fwd *copy);
static inline void compat_monitor_mirror(struct doca_flow_monitor *monitor, uint32_t id);
static inline doca_error_t compat_flood_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    uint32_t at, const struct doca_flow_fwd *fwd, void *ctx,
					    struct doca_flow_pipe_entry **out);

/* The templates that entries of an ordered-list pipe choose from, in the order of their numbers. */
static inline doca_error_t compat_pipe_crypto_lists(struct compat_call *call,
						    struct doca_flow_pipe_cfg *cfg,
						    const struct compat_crypto *parts, uint32_t n);
static inline doca_error_t compat_list_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					   uint32_t at, uint32_t template,
					   const struct compat_crypto *part,
					   const struct doca_flow_fwd *fwd, void *ctx,
					   struct doca_flow_pipe_entry **out);

/* A key slot for crypto id `want`: its own number before 3.2, one that the library chooses from then on. */
static inline doca_error_t compat_psp_slot_take(struct compat_call *call,
						struct doca_flow_port *port, uint32_t want,
						uint32_t *slot);
/* Once, before the first key. */
static inline doca_error_t compat_psp_slot_bind(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot);
static inline doca_error_t compat_psp_slot_set(struct compat_call *call,
					       struct doca_flow_port *port, uint32_t slot,
					       struct doca_flow_shared_resource_cfg *cfg);
static inline doca_error_t compat_psp_slot_give(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot);

/* ---- representors, directions: 3.1, 3.0 ------------------------------------------------------ */

#if COMPAT_DOCA >= 301

static inline doca_error_t compat_probe(struct compat_call *call, struct doca_dev *dev,
					struct doca_dev_rep **reps, uint16_t n, const char *devargs,
					const char *rep_names)
{
	(void)rep_names;
	return COMPAT_ASK(call, doca_dpdk_port_probe_with_representors, dev, devargs, reps, n);
}

static inline doca_error_t compat_port_rep(struct compat_call *call, struct doca_flow_port_cfg *cfg,
					   struct doca_dev_rep *rep)
{
	return COMPAT_ASK(call, doca_flow_port_cfg_set_dev_rep, cfg, rep);
}

static inline doca_error_t compat_pipe_direction(struct compat_call *call,
						 struct doca_flow_pipe_cfg *cfg,
						 enum doca_flow_pipe_domain domain)
{
	(void)call;
	(void)cfg;
	(void)domain;
	return DOCA_SUCCESS;
}

#else

static inline doca_error_t compat_probe(struct compat_call *call, struct doca_dev *dev,
					struct doca_dev_rep **reps, uint16_t n, const char *devargs,
					const char *rep_names)
{
	char whole[2048];
	int len = snprintf(whole, sizeof(whole), "%s,representor=%s", devargs, rep_names);

	(void)reps;
	(void)n;
	if (len < 0 || (size_t)len >= sizeof(whole))
		return compat_said(call, "doca_dpdk_port_probe", DOCA_ERROR_TOO_BIG);
	return COMPAT_ASK(call, doca_dpdk_port_probe, dev, whole);
}

static inline doca_error_t compat_port_rep(struct compat_call *call, struct doca_flow_port_cfg *cfg,
					   struct doca_dev_rep *rep)
{
	(void)call;
	(void)cfg;
	(void)rep;
	return DOCA_SUCCESS;
}

static inline doca_error_t compat_pipe_direction(struct compat_call *call,
						 struct doca_flow_pipe_cfg *cfg,
						 enum doca_flow_pipe_domain domain)
{
	if (domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS)
		return COMPAT_ASK(call, doca_flow_pipe_cfg_set_dir_info, cfg,
				  DOCA_FLOW_DIRECTION_NETWORK_TO_HOST);
	if (domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS)
		return COMPAT_ASK(call, doca_flow_pipe_cfg_set_dir_info, cfg,
				  DOCA_FLOW_DIRECTION_HOST_TO_NETWORK);
	return DOCA_SUCCESS;
}

#endif

/* ---- entries: 3.3, 3.2, before it ------------------------------------------------------------ */

#if COMPAT_DOCA >= 303

#define COMPAT_NO_WAIT DOCA_FLOW_ENTRY_FLAGS_NO_WAIT
#define COMPAT_ADD doca_flow_pipe_basic_add_entry
#define COMPAT_UPDATE doca_flow_pipe_basic_update_entry

static inline doca_error_t compat_control_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					      const struct compat_entry *entry,
					      struct doca_flow_pipe_entry **out)
{
	return COMPAT_ASK(call, doca_flow_pipe_control_add_entry, COMPAT_QUEUE, pipe, entry->match,
			  entry->match_mask, NULL, entry->actions, entry->actions_mask, NULL,
			  entry->monitor, entry->priority, entry->fwd, entry->ctx, out);
}

#else

#define COMPAT_NO_WAIT DOCA_FLOW_NO_WAIT
#define COMPAT_ADD doca_flow_pipe_add_entry
#define COMPAT_UPDATE doca_flow_pipe_update_entry

static inline doca_error_t compat_control_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					      const struct compat_entry *entry,
					      struct doca_flow_pipe_entry **out)
{
	return COMPAT_ASK(call, doca_flow_pipe_control_add_entry, COMPAT_QUEUE, entry->priority,
			  pipe, entry->match, entry->match_mask, NULL, entry->actions,
			  entry->actions_mask, NULL, entry->monitor, entry->fwd, entry->ctx, out);
}

#endif

/* As COMPAT_ASK(), of a function by the name that it has in this release. */
#define COMPAT_ASK_AS(call, function, ...) COMPAT_ASK(call, function, __VA_ARGS__)

#if COMPAT_DOCA >= 302

static inline doca_error_t compat_basic_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    const struct compat_entry *entry,
					    struct doca_flow_pipe_entry **out)
{
	return COMPAT_ASK_AS(call, COMPAT_ADD, COMPAT_QUEUE, pipe, entry->match, entry->template,
			     entry->actions, entry->monitor, entry->fwd, COMPAT_NO_WAIT, entry->ctx,
			     out);
}

static inline doca_error_t compat_basic_update(struct compat_call *call,
					       struct doca_flow_pipe *pipe,
					       const struct compat_entry *entry,
					       struct doca_flow_pipe_entry *old)
{
	return COMPAT_ASK_AS(call, COMPAT_UPDATE, COMPAT_QUEUE, pipe, entry->template,
			     entry->actions, entry->monitor, entry->fwd, COMPAT_NO_WAIT, old);
}

#else

static inline doca_error_t compat_basic_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    const struct compat_entry *entry,
					    struct doca_flow_pipe_entry **out)
{
	if (entry->actions != NULL)
		entry->actions->action_idx = entry->template;
	return COMPAT_ASK_AS(call, COMPAT_ADD, COMPAT_QUEUE, pipe, entry->match, entry->actions,
			     entry->monitor, entry->fwd, COMPAT_NO_WAIT, entry->ctx, out);
}

static inline doca_error_t compat_basic_update(struct compat_call *call,
					       struct doca_flow_pipe *pipe,
					       const struct compat_entry *entry,
					       struct doca_flow_pipe_entry *old)
{
	if (entry->actions != NULL)
		entry->actions->action_idx = entry->template;
	return COMPAT_ASK_AS(call, COMPAT_UPDATE, COMPAT_QUEUE, pipe, entry->actions,
			     entry->monitor, entry->fwd, COMPAT_NO_WAIT, old);
}

#endif

/* ---- resources, copies, crypto: 3.2, before it ----------------------------------------------- */

#if COMPAT_DOCA >= 302

static inline doca_error_t compat_flow_resources(struct compat_call *call,
						 struct doca_flow_cfg *cfg,
						 const struct compat_resources *resources,
						 const struct doca_flow_resource_rss_cfg *rss)
{
	(void)resources;
	(void)rss;
	return COMPAT_ASK(call, doca_flow_cfg_set_resource_mode, cfg, DOCA_FLOW_RESOURCE_MODE_PORT);
}

static inline doca_error_t compat_port_resources(struct compat_call *call,
						 struct doca_flow_port_cfg *cfg,
						 const struct compat_resources *resources)
{
	doca_error_t result = COMPAT_ASK(call, doca_flow_port_cfg_set_nr_resources, cfg,
					 DOCA_FLOW_RESOURCE_COUNTER, resources->counters);

	return result == DOCA_SUCCESS ? COMPAT_ASK(call, doca_flow_port_cfg_set_nr_resources, cfg,
						   DOCA_FLOW_RESOURCE_PSP, resources->psp_keys)
				      : result;
}

static inline doca_error_t compat_default_miss(struct compat_call *call,
					       struct doca_flow_port *port)
{
	return COMPAT_ASK(call, doca_flow_port_update_default_miss, port,
			  DOCA_FLOW_PORT_DEFAULT_MISS_KERNEL, false);
}

static inline doca_error_t compat_mirror_set(struct compat_call *call, struct doca_flow_port *port,
					     uint32_t id, bool bound,
					     const struct doca_flow_fwd *copy)
{
	(void)call;
	(void)port;
	(void)id;
	(void)bound;
	(void)copy;
	return DOCA_ERROR_NOT_SUPPORTED;
}

static inline void compat_monitor_mirror(struct doca_flow_monitor *monitor, uint32_t id)
{
	(void)monitor;
	(void)id;
}

static inline doca_error_t compat_flood_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    uint32_t at, const struct doca_flow_fwd *fwd, void *ctx,
					    struct doca_flow_pipe_entry **out)
{
	return COMPAT_ASK(call, doca_flow_pipe_hash_add_entry, COMPAT_QUEUE, pipe, at, 0, NULL,
			  NULL, fwd, COMPAT_NO_WAIT, ctx, out);
}

static inline doca_error_t compat_pipe_crypto_lists(struct compat_call *call,
						    struct doca_flow_pipe_cfg *cfg,
						    const struct compat_crypto *parts, uint32_t n)
{
	struct doca_flow_crypto crypto[COMPAT_TEMPLATES_MAX];
	struct doca_flow_ordered_list_element elements[COMPAT_TEMPLATES_MAX];
	struct doca_flow_ordered_list lists[COMPAT_TEMPLATES_MAX], *at[COMPAT_TEMPLATES_MAX];

	for (uint32_t i = 0; i < n && i < COMPAT_TEMPLATES_MAX; i++) {
		crypto[i] = (struct doca_flow_crypto){.has_crypto_encap = parts[i].reformat,
						      .crypto_encap = parts[i].encap,
						      .crypto = parts[i].crypto};
		elements[i] = (struct doca_flow_ordered_list_element){
			.type = DOCA_FLOW_ORDERED_LIST_ELEMENT_CRYPTO,
		};
		elements[i].crypto = &crypto[i];
		lists[i] = (struct doca_flow_ordered_list){
			.idx = i, .size = 1, .elements = &elements[i]};
		at[i] = &lists[i];
	}
	return COMPAT_ASK(call, doca_flow_pipe_cfg_set_ordered_lists, cfg, at, n);
}

static inline doca_error_t compat_list_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					   uint32_t at, uint32_t template,
					   const struct compat_crypto *part,
					   const struct doca_flow_fwd *fwd, void *ctx,
					   struct doca_flow_pipe_entry **out)
{
	struct doca_flow_crypto crypto = {.has_crypto_encap = part->reformat,
					  .crypto_encap = part->encap,
					  .crypto = part->crypto};
	struct doca_flow_ordered_list_element element = {
		.type = DOCA_FLOW_ORDERED_LIST_ELEMENT_CRYPTO,
	};
	struct doca_flow_ordered_list list = {.idx = template, .size = 1, .elements = &element};

	element.crypto = &crypto;
	return COMPAT_ASK(call, doca_flow_pipe_ordered_list_add_entry, COMPAT_QUEUE, pipe, at,
			  &list, fwd, COMPAT_NO_WAIT, ctx, out);
}

static inline doca_error_t compat_psp_slot_take(struct compat_call *call,
						struct doca_flow_port *port, uint32_t want,
						uint32_t *slot)
{
	(void)want;
	return COMPAT_ASK(call, doca_flow_port_shared_resource_get, port,
			  DOCA_FLOW_SHARED_RESOURCE_PSP, slot);
}

static inline doca_error_t compat_psp_slot_bind(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot)
{
	(void)call;
	(void)port;
	(void)slot;
	return DOCA_SUCCESS;
}

static inline doca_error_t compat_psp_slot_set(struct compat_call *call,
					       struct doca_flow_port *port, uint32_t slot,
					       struct doca_flow_shared_resource_cfg *cfg)
{
	return COMPAT_ASK(call, doca_flow_port_shared_resource_set_cfg, port,
			  DOCA_FLOW_SHARED_RESOURCE_PSP, slot, cfg);
}

static inline doca_error_t compat_psp_slot_give(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot)
{
	return COMPAT_ASK(call, doca_flow_port_shared_resource_put, port,
			  DOCA_FLOW_SHARED_RESOURCE_PSP, slot);
}

#else

static inline doca_error_t compat_flow_resources(struct compat_call *call,
						 struct doca_flow_cfg *cfg,
						 const struct compat_resources *resources,
						 const struct doca_flow_resource_rss_cfg *rss)
{
	doca_error_t result =
		COMPAT_ASK(call, doca_flow_cfg_set_nr_counters, cfg, resources->counters);

	/* Ids are numbered from 1 here, and 0 counts. */
	if (result == DOCA_SUCCESS)
		result = COMPAT_ASK(call, doca_flow_cfg_set_nr_shared_resource, cfg,
				    resources->psp_keys + 1, DOCA_FLOW_SHARED_RESOURCE_PSP);
	if (result == DOCA_SUCCESS)
		result = COMPAT_ASK(call, doca_flow_cfg_set_nr_shared_resource, cfg,
				    resources->mirrors + 1, DOCA_FLOW_SHARED_RESOURCE_MIRROR);
	return result == DOCA_SUCCESS ? COMPAT_ASK(call, doca_flow_cfg_set_default_rss, cfg, rss)
				      : result;
}

static inline doca_error_t compat_port_resources(struct compat_call *call,
						 struct doca_flow_port_cfg *cfg,
						 const struct compat_resources *resources)
{
	(void)call;
	(void)cfg;
	(void)resources;
	return DOCA_SUCCESS;
}

static inline doca_error_t compat_default_miss(struct compat_call *call,
					       struct doca_flow_port *port)
{
	(void)call;
	(void)port;
	return DOCA_ERROR_NOT_SUPPORTED;
}

static inline doca_error_t compat_mirror_set(struct compat_call *call, struct doca_flow_port *port,
					     uint32_t id, bool bound,
					     const struct doca_flow_fwd *copy)
{
	struct doca_flow_mirror_target target = {.fwd = *copy};
	struct doca_flow_shared_resource_cfg cfg = {
		.mirror_cfg = {.nr_targets = 1, .target = &target},
	};
	doca_error_t result = COMPAT_ASK(call, doca_flow_shared_resource_set_cfg,
					 DOCA_FLOW_SHARED_RESOURCE_MIRROR, id, &cfg);

	return result == DOCA_SUCCESS && !bound
		       ? COMPAT_ASK(call, doca_flow_shared_resources_bind,
				    DOCA_FLOW_SHARED_RESOURCE_MIRROR, &id, 1, port)
		       : result;
}

static inline void compat_monitor_mirror(struct doca_flow_monitor *monitor, uint32_t id)
{
	monitor->shared_mirror_id = id;
}

static inline doca_error_t compat_flood_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					    uint32_t at, const struct doca_flow_fwd *fwd, void *ctx,
					    struct doca_flow_pipe_entry **out)
{
	(void)call;
	(void)pipe;
	(void)at;
	(void)fwd;
	(void)ctx;
	(void)out;
	return DOCA_ERROR_NOT_SUPPORTED;
}

static inline doca_error_t compat_pipe_crypto_lists(struct compat_call *call,
						    struct doca_flow_pipe_cfg *cfg,
						    const struct compat_crypto *parts, uint32_t n)
{
	(void)call;
	(void)cfg;
	(void)parts;
	(void)n;
	return DOCA_ERROR_NOT_SUPPORTED;
}

static inline doca_error_t compat_list_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					   uint32_t at, uint32_t template,
					   const struct compat_crypto *part,
					   const struct doca_flow_fwd *fwd, void *ctx,
					   struct doca_flow_pipe_entry **out)
{
	(void)call;
	(void)pipe;
	(void)at;
	(void)template;
	(void)part;
	(void)fwd;
	(void)ctx;
	(void)out;
	return DOCA_ERROR_NOT_SUPPORTED;
}

static inline doca_error_t compat_psp_slot_take(struct compat_call *call,
						struct doca_flow_port *port, uint32_t want,
						uint32_t *slot)
{
	(void)call;
	(void)port;
	*slot = want;
	return DOCA_SUCCESS;
}

static inline doca_error_t compat_psp_slot_bind(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot)
{
	return COMPAT_ASK(call, doca_flow_shared_resources_bind, DOCA_FLOW_SHARED_RESOURCE_PSP,
			  &slot, 1, port);
}

static inline doca_error_t compat_psp_slot_set(struct compat_call *call,
					       struct doca_flow_port *port, uint32_t slot,
					       struct doca_flow_shared_resource_cfg *cfg)
{
	(void)port;
	return COMPAT_ASK(call, doca_flow_shared_resource_set_cfg, DOCA_FLOW_SHARED_RESOURCE_PSP,
			  slot, cfg);
}

static inline doca_error_t compat_psp_slot_give(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot)
{
	(void)call;
	(void)port;
	(void)slot;
	return DOCA_SUCCESS;
}

#endif

#endif
