/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compat.h: what DOCA 3.0, 3.1, 3.2 (long-term support) and 3.3 do not do alike, as functions with one name each.
 * There is no other #if on the version. Sources: doxygen listing of the 3.0 headers; NVIDIA-DOCA/doca-samples,
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

/* DPDK's word for a representor must be known; later an opened device is enough. */
static inline bool compat_probes_by_word(void)
{
#if COMPAT_DOCA >= 301
	return false;
#else
	return true;
#endif
}

/* Probes the switch port and n representors. devargs without "representor="; rep_names are for 3.0 alone. */
static inline doca_error_t compat_probe(struct compat_call *call, struct doca_dev *dev,
					struct doca_dev_rep **reps, uint16_t n, const char *devargs,
					const char *rep_names)
{
#if COMPAT_DOCA >= 301
	(void)rep_names;
	return COMPAT_ASK(call, doca_dpdk_port_probe_with_representors, dev, devargs, reps, n);
#else
	char whole[2048];
	int len = snprintf(whole, sizeof(whole), "%s,representor=%s", devargs, rep_names);

	(void)reps;
	(void)n;
	if (len < 0 || (size_t)len >= sizeof(whole))
		return compat_said(call, "doca_dpdk_port_probe", DOCA_ERROR_TOO_BIG);
	return COMPAT_ASK(call, doca_dpdk_port_probe, dev, whole);
#endif
}

/*
 * "expert": the pipes alone say where a miss goes. From 3.1 on switch mode is always isolated; 3.3 no longer
 * takes the word.
 */
static inline const char *compat_mode_args(void)
{
#if COMPAT_DOCA >= 303
	return "switch,hws,expert";
#else
	return "switch,hws,isolated,expert";
#endif
}

static inline const char *compat_devargs(void)
{
#if COMPAT_DOCA >= 303
	return "dv_flow_en=2,dv_xmeta_en=4,fdb_def_rule_en=0";
#else
	return "dv_flow_en=2,dv_xmeta_en=4,fdb_def_rule_en=0,vport_match=1,repr_matching_en=0";
#endif
}

/* EAL's allow list of devices that are not there, so that it probes none. */
static inline const char *const *compat_eal_no_devices(void)
{
#if COMPAT_DOCA >= 303
	static const char *const none[] = {"pci:00:00.0", "auxiliary:mlx5_core.sf.0", NULL};
#else
	static const char *const none[] = {"00:00.0", NULL};
#endif

	return none;
}

/*
 * What a root does not match goes to the kernel, from 3.2 on: bifurcated_driver_model does so. Before that a pipe
 * behind the root leads there.
 */
static inline bool compat_has_default_miss(void)
{
#if COMPAT_DOCA >= 302
	return true;
#else
	return false;
#endif
}

static inline doca_error_t compat_default_miss(struct compat_call *call,
					       struct doca_flow_port *port)
{
#if COMPAT_DOCA >= 302
	return COMPAT_ASK(call, doca_flow_port_update_default_miss, port,
			  DOCA_FLOW_PORT_DEFAULT_MISS_KERNEL, false);
#else
	(void)call;
	(void)port;
	return DOCA_ERROR_NOT_SUPPORTED;
#endif
}

/*
 * The root is a BASIC pipe: in the gateway of 3.3 and wherever the kernel is the default. Before, roots with masks and
 * priorities are CONTROL pipes.
 */
static inline bool compat_has_basic_root(void)
{
#if COMPAT_DOCA >= 303
	return true;
#else
	return false;
#endif
}

/* What a list cannot decrypt misses there, from 3.2 on, instead of going on with its syndrome. */
static inline bool compat_decrypt_misses(void)
{
#if COMPAT_DOCA >= 302
	return true;
#else
	return false;
#endif
}

/* From 3.1 on a switch port is isolated by itself. */
static inline bool compat_must_isolate(void)
{
#if COMPAT_DOCA >= 301
	return false;
#else
	return true;
#endif
}

/* How many of each resource there may be: of the whole library before 3.2, of the switch port from then on. */
struct compat_resources {
	uint32_t counters, psp_keys, mirrors;
};

static inline doca_error_t compat_flow_resources(struct compat_call *call,
						 struct doca_flow_cfg *cfg,
						 const struct compat_resources *resources,
						 const struct doca_flow_resource_rss_cfg *rss)
{
#if COMPAT_DOCA >= 302
	(void)resources;
	(void)rss;
	return COMPAT_ASK(call, doca_flow_cfg_set_resource_mode, cfg, DOCA_FLOW_RESOURCE_MODE_PORT);
#else
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
#endif
}

static inline doca_error_t compat_port_resources(struct compat_call *call,
						 struct doca_flow_port_cfg *cfg,
						 const struct compat_resources *resources)
{
#if COMPAT_DOCA >= 302
	doca_error_t result = COMPAT_ASK(call, doca_flow_port_cfg_set_nr_resources, cfg,
					 DOCA_FLOW_RESOURCE_COUNTER, resources->counters);

	return result == DOCA_SUCCESS ? COMPAT_ASK(call, doca_flow_port_cfg_set_nr_resources, cfg,
						   DOCA_FLOW_RESOURCE_PSP, resources->psp_keys)
				      : result;
#else
	(void)call;
	(void)cfg;
	(void)resources;
	return DOCA_SUCCESS;
#endif
}

/* Says that a port is a representor's. */
static inline doca_error_t compat_port_rep(struct compat_call *call, struct doca_flow_port_cfg *cfg,
					   struct doca_dev_rep *rep)
{
#if COMPAT_DOCA >= 301
	return COMPAT_ASK(call, doca_flow_port_cfg_set_dev_rep, cfg, rep);
#else
	(void)call;
	(void)cfg;
	(void)rep;
	return DOCA_SUCCESS;
#endif
}

/* Where packets enter that this process transmits. */
static inline enum doca_flow_pipe_domain compat_tx_root_domain(void)
{
#if COMPAT_DOCA >= 302
	return DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
#else
	return DOCA_FLOW_PIPE_DOMAIN_EGRESS;
#endif
}

/* A hint: pipes of the secure domains see traffic of one direction alone. */
static inline doca_error_t compat_pipe_direction(struct compat_call *call,
						 struct doca_flow_pipe_cfg *cfg,
						 enum doca_flow_pipe_domain domain)
{
#if COMPAT_DOCA >= 301
	(void)call;
	(void)cfg;
	(void)domain;
	return DOCA_SUCCESS;
#else
	if (domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS)
		return COMPAT_ASK(call, doca_flow_pipe_cfg_set_dir_info, cfg,
				  DOCA_FLOW_DIRECTION_NETWORK_TO_HOST);
	if (domain == DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS)
		return COMPAT_ASK(call, doca_flow_pipe_cfg_set_dir_info, cfg,
				  DOCA_FLOW_DIRECTION_HOST_TO_NETWORK);
	return DOCA_SUCCESS;
#endif
}

#include "compat_entry.h"

#include "compat_crypto.h"

#endif
