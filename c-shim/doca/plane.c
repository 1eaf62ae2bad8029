/* SPDX-License-Identifier: Apache-2.0 */
/* plane.c: what the DOCA plane opens and closes. */
#define COMPAT_TELLS
#include <rte_ethdev.h>
#include <rte_version.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "eal.h"
#include "mark.h"
#include "preflight.h"

_Static_assert(offsetof(struct psp_dp, base) == 0 && offsetof(struct dpu_pipe, base) == 0 &&
		       offsetof(struct dpu_port, base) == 0,
	       "what is common comes first");

#define MATCH_BUCKETS_MAX (1u << 18)

void plane_version(char *text, size_t cap)
{
	const char *runs = doca_version_runtime(), *built = doca_version();
	char newer[32] = "";

	if (compat_is_newer(runs) || compat_is_newer(built))
		(void)snprintf(newer, sizeof(newer), ", newer than %u.%u", COMPAT_NEWEST_MAJOR,
			       COMPAT_NEWEST_MINOR);
	(void)snprintf(text, cap, "doca " PSP_AGENT_VERSION "; DOCA %s, built with %s%s; %s", runs,
		       built, newer, rte_version());
}

int32_t plane_check(const struct psp_dp_config *config, const struct psp_dp_port_desc *ports,
		    uint32_t n_ports, char *why, size_t cap)
{
	const char *wrong = dpu_options_complaint(config);

	if (wrong == NULL && (n_ports < 2 || ports[0].kind != PSP_DP_PORT_UPLINK))
		wrong = "hardware has an uplink and then host ports, one at least";
	for (uint32_t i = DPU_HOST; wrong == NULL && i < n_ports; i++) {
		if (ports[i].vlan != 0)
			wrong = "a host port in hardware has no VLAN";
	}
	if (wrong == NULL)
		return 0;
	(void)snprintf(why, cap, "%s", wrong);
	return PSP_DP_EINVAL;
}

/* ---- ports: those that it is opened with ----------------------------------------------------- */

struct dp_port *plane_port_alloc(void)
{
	struct dpu_port *port = calloc(1, sizeof(*port));

	return port != NULL ? &port->base : NULL;
}

void plane_port_free(struct dp_port *port)
{
	free(port);
}

int32_t plane_port_up(struct psp_dp *dp, struct dp_port *port, char *err, uint32_t err_cap)
{
	(void)dp;
	(void)snprintf(err, err_cap,
		       "Cannot add port \"%.63s\": hardware has those that it is opened with",
		       port->desc.name);
	return PSP_DP_ENOTSUP;
}

int32_t plane_port_may_go(struct psp_dp *dp, const struct dp_port *port)
{
	return dp_fail(dp, PSP_DP_ENOTSUP,
		       "Cannot remove port %u: hardware has those that it is opened with",
		       port->handle);
}

/* It may not go. */
void plane_port_down(struct psp_dp *dp, struct dp_port *port)
{
	(void)dp;
	(void)port;
}

/* What the device does with IVs is its own, and it remembers none that it has received. */
uint32_t plane_features(const struct psp_dp *dp)
{
	(void)dp;
	return 0;
}

void plane_granted(struct psp_dp *dp, struct psp_dp_granted *granted)
{
	granted->workers = dp->n_readers;
	granted->queues = dpu_n_queues(dp);
	granted->mbufs = dp->base.config.mbufs;
	granted->actions_memory = dpu_actions_memory(dp);
}

struct psp_dp *plane_alloc(void)
{
	struct psp_dp *dp = NULL;

	/* Counters have cache lines of their own. */
	if (posix_memalign((void **)&dp, 64, sizeof(*dp)) != 0)
		return NULL;
	memset(dp, 0, sizeof(*dp));
	dp->base.no_gmac = true;
	dp->outer_ip_len = 20;
	pthread_mutex_init(&dp->matches_lock, NULL);
	dpu_trace_open(&dp->trace);
	return dp;
}

void plane_down(struct psp_dp *dp)
{
	dpu_flow_down(dp);
	dpu_pipes_free(dp);
	dpu_limbo_free(dp);
	dpu_nic_down(dp);
	dpu_device_down(dp);
	if (dp->has_eal)
		dpu_eal_give();
	free(dp->readers);
	free(dp->slots);
	free(dp->matches);
	dpu_trace_close(&dp->trace);
	pthread_mutex_destroy(&dp->matches_lock);
}

/* As many as processors may be used, unless it is said how many. */
static int32_t make_readers(struct psp_dp *dp)
{
	const uint32_t said = dp->base.config.workers, n = said != 0 ? said : dp->options.n_cores;

	dp->n_readers = n < DPU_READERS_MAX ? n : DPU_READERS_MAX;
	dp->readers = calloc(dp->n_readers, sizeof(*dp->readers));
	if (dp->readers == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "out of memory");
	for (uint32_t i = 0; i < dp->n_readers; i++) {
		struct dpu_reader *reader = &dp->readers[i];

		reader->dp = dp;
		reader->index = i;
		if (dp_random(&reader->syndromes.seed, sizeof(reader->syndromes.seed)) != 0 ||
		    dp_random(&reader->too_bigs.seed, sizeof(reader->too_bigs.seed)) != 0)
			return dp_fail(dp, PSP_DP_EIO, "the kernel gives no random octets");
	}
	return 0;
}

static int32_t make_tables(struct psp_dp *dp)
{
	const struct psp_dp_config *config = &dp->base.config;
	uint32_t buckets = 1;

	while (buckets < config->max_entries && buckets < MATCH_BUCKETS_MAX)
		buckets *= 2;
	dp->matches = calloc(buckets, sizeof(*dp->matches));
	dp->matches_mask = buckets - 1;
	dp->slots = calloc((size_t)config->max_crypto_ids + 1, sizeof(*dp->slots));
	if (dp->matches == NULL || dp->slots == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "out of memory");
	return make_readers(dp);
}

/* What went wrong is the error text. */
static int32_t up(struct psp_dp *dp)
{
	int32_t status;

	while (dp->n_ports < PSP_DP_PORTS_MAX && dpu_port(dp, dp->n_ports) != NULL)
		dp->ids[dp->n_ports++] = RTE_MAX_ETHPORTS;

	if (!dpu_options_read(&dp->base.config, &dp->options))
		return dp_fail(dp, PSP_DP_EINVAL, "cpus are too many ranges of processors");
	status = dpu_preflight(dp);
	if (status == 0)
		status = make_tables(dp);
	if (status == 0)
		status = dpu_eal_take(dp);
	dp->has_eal = status == 0;
	if (status == 0)
		status = dpu_device_up(dp);
	if (status == 0)
		status = dpu_nic_up(dp);
	if (status == 0)
		status = dpu_flow_up(dp);
	return status == 0 ? dpu_master_up(dp) : status;
}

int32_t plane_up(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	int32_t status = up(dp);

	if (status != 0)
		dp_open_fail(err, err_cap, dp->base.error);
	return status;
}

int32_t plane_port_query(struct psp_dp *dp, struct dp_port *port, struct psp_dp_port_info *info)
{
	const uint16_t id = dp->ids[dpu_port_number(port)];
	struct rte_eth_dev_info device;
	struct rte_ether_addr mac;
	struct rte_eth_link link;
	const char *refused = NULL;

	memset(&link, 0, sizeof(link));
	if (rte_eth_dev_info_get(id, &device) != 0)
		refused = "rte_eth_dev_info_get";
	else if (rte_eth_macaddr_get(id, &mac) != 0)
		refused = "rte_eth_macaddr_get";
	if (refused != NULL)
		return dp_fail(dp, PSP_DP_EIO,
			       "Cannot query port %u: %s refuses (is the device still there?)",
			       port->handle, refused);
	info->present = 1;
	info->ifindex = device.if_index;
	info->mtu = dpu_port_mtu(id);
	if (port->desc.kind == PSP_DP_PORT_UPLINK)
		dpu_mtu_note(dp, info->mtu);
	memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	/* A representor that was not started may not tell: then nothing speaks against it. */
	info->link_up = rte_eth_link_get_nowait(id, &link) != 0 || link.link_status != 0 ||
			port->desc.kind == PSP_DP_PORT_HOST;
	return 0;
}
