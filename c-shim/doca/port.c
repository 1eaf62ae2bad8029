/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.c: the ports, as DPDK and as DOCA Flow have them, and what the plane opens and closes with them.
 */
#define COMPAT_TELLS
#include "port.h"

#include <net/if.h>
#include <rte_common.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <rte_version.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "dpu.h"
#include "match.h"
#include "rss.h"

/* ---- DPDK's ports ---------------------------------------------------------------------------- */

/*
 * The uplink is the switch port: its queues carry whatever the CPU gets and sends. Representors are probed but never
 * configured: in switch mode DOCA Flow has them.
 */

#define DESCRIPTORS_MAX 1024u
#define DESCRIPTORS_MIN 64u
#define CACHE 256u
#define ANY_SOCKET ((unsigned int)SOCKET_ID_ANY)
#define HEADERS                                                                                    \
	128u /* octets that a frame may have beyond the MTU: Ethernet, tags, outer headers of samples */

static int32_t probe(struct psp_dp *dp, struct dpu_nic *nic)
{
	struct doca_dev_rep *reps[PSP_DP_PORTS_MAX];
	struct dpu_device *device = dp->device;
	const uint16_t n = (uint16_t)(dp->n_ports - DPU_HOST);
	char devargs[512];
	doca_error_t result;

	for (uint16_t id = 0; id < RTE_MAX_ETHPORTS; id++)
		nic->others[id] = rte_eth_dev_is_valid_port(id) != 0;
	nic->probed = true;
	for (uint16_t i = 0; i < n; i++)
		reps[i] = dpu_port(dp, i + DPU_HOST)->rep;
	(void)snprintf(devargs, sizeof(devargs), "%s%s%s", compat()->devargs,
		       dp->base.config.devargs[0] != 0 ? "," : "", dp->base.config.devargs);
	result = compat_probe(&dp->call, device->dev, reps, n, devargs, device->rep_words);
	(void)dpu_trace(&dp->trace, result, "dpdk_probe devargs=%s representor=%s", devargs,
			device->rep_words);
	if (result != DOCA_SUCCESS)
		return dpu_preflight_blame(
			dp,
			dpu_fail_doca(
				dp,
				"the device cannot be probed (is the e-switch in switchdev mode?)",
				result));
	result = DPU_ASK(dp, doca_dpdk_get_first_port_id, device->dev, &dp->ids[DPU_UPLINK]);
	return result == DOCA_SUCCESS
		       ? 0
		       : dpu_fail_doca(dp, "DPDK has no port for the device", result);
}

/* A representor of the uplink's switch that no port before has. */
static bool is_free_rep(const struct psp_dp *dp, uint16_t id, uint32_t before, uint32_t *ifindex)
{
	struct rte_eth_dev_info uplink, info;

	if (!rte_eth_dev_is_valid_port(id) || rte_eth_dev_info_get(id, &info) != 0 ||
	    rte_eth_dev_info_get(dp->ids[DPU_UPLINK], &uplink) != 0 ||
	    (*info.dev_flags & RTE_ETH_DEV_REPRESENTOR) == 0 ||
	    info.switch_info.domain_id != uplink.switch_info.domain_id)
		return false;
	for (uint32_t i = 0; i < before; i++) {
		if (dp->ids[i] == id)
			return false;
	}
	*ifindex = info.if_index;
	return true;
}

/* The one with the kernel's interface of the representor; else the first that is left of the same switch. */
static int32_t find_rep(struct psp_dp *dp, uint32_t number)
{
	const struct dpu_port *port = dpu_port(dp, number);
	uint16_t first = RTE_MAX_ETHPORTS;
	uint32_t ifindex = 0;

	for (uint16_t id = 0; id < RTE_MAX_ETHPORTS; id++) {
		if (!is_free_rep(dp, id, number, &ifindex))
			continue;
		if (first == RTE_MAX_ETHPORTS)
			first = id;
		if (ifindex != 0 && ifindex == port->ifindex) {
			first = id;
			break;
		}
	}
	/* Where DPDK does not say so, they are the ports behind the uplink, as in the samples. */
	if (first == RTE_MAX_ETHPORTS)
		first = (uint16_t)(dp->ids[DPU_UPLINK] + number);
	if (!rte_eth_dev_is_valid_port(first))
		return dp_fail(dp, PSP_DP_ENODEV, "DPDK has no port for the representor \"%s\"",
			       port->base.desc.name);
	dp->ids[number] = first;
	return 0;
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* Of the kernel's interface; 0: it does not say. */
static uint16_t netdev_mtu(uint32_t ifindex)
{
	struct ifreq request;
	int fd, status = -1;

	memset(&request, 0, sizeof(request));
	if (if_indextoname(ifindex, request.ifr_name) == NULL)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	status = ioctl(fd, SIOCGIFMTU, &request);
	(void)close(fd);
	return status == 0 && request.ifr_mtu <= UINT16_MAX ? (uint16_t)request.ifr_mtu : 0;
}

/* By DPDK's id; the kernel's: what DPDK says is what it was configured with, and does not follow. */
static uint16_t port_mtu(uint16_t id)
{
	struct rte_eth_dev_info info;
	uint16_t mtu = rte_eth_dev_info_get(id, &info) == 0 ? netdev_mtu(info.if_index) : 0;

	if (mtu != 0)
		return mtu;
	return rte_eth_dev_get_mtu(id, &mtu) == 0 && mtu != 0 ? mtu : RTE_ETHER_MTU;
}

static int32_t make_pool(struct psp_dp *dp, struct dpu_nic *nic)
{
	uint32_t room = 0;

	for (uint32_t i = 0; i < dp->n_ports; i++) {
		uint32_t mtu = port_mtu(dp->ids[i]);

		room = mtu + HEADERS > room ? mtu + HEADERS : room;
	}
	if (room < RTE_MBUF_DEFAULT_DATAROOM)
		room = RTE_MBUF_DEFAULT_DATAROOM;
	if (room + RTE_PKTMBUF_HEADROOM > UINT16_MAX)
		room = UINT16_MAX - RTE_PKTMBUF_HEADROOM;
	nic->pool = rte_pktmbuf_pool_create("psp_mbufs", dp->base.config.mbufs, CACHE, 0,
					    (uint16_t)(room + RTE_PKTMBUF_HEADROOM),
					    (int)rte_socket_id());
	return nic->pool != NULL ? 0
				 : dp_fail(dp, PSP_DP_EBUSY,
					   "rte_pktmbuf_pool_create makes no %u packet buffers: %s "
					   "(hugepages? docs/doca.md, step 6)",
					   dp->base.config.mbufs, rte_strerror(rte_errno));
}

/* A refusal is no end: where a port is isolated by itself there is nothing to ask for. The trace has it. */
static void isolate(struct psp_dp *dp, uint16_t id)
{
	struct rte_flow_error why;
	int error = rte_flow_isolate(id, 1, &why);

	if (error != 0)
		(void)dpu_trace(&dp->trace, DOCA_ERROR_DRIVER,
				"warning: rte_flow_isolate id=%u: %s", id, strerror(-error));
}

/* Half of the buffers wait in the queues, at most: the others are what is looked at and what is sent. */
static uint16_t descriptors_of(const struct psp_dp *dp)
{
	uint32_t most = dp->base.config.mbufs / (2 * dpu_n_queues(dp)), n = DESCRIPTORS_MIN;

	while (2 * n <= most && n < DESCRIPTORS_MAX)
		n *= 2;
	return (uint16_t)n;
}

/* Each thread that transmits has a queue: the readers, and whoever injects. */
static int set_up_queues(struct psp_dp *dp, uint16_t id)
{
	const uint16_t descriptors = descriptors_of(dp);
	int error = 0;

	for (uint16_t q = 0; error == 0 && q < dpu_n_queues(dp); q++)
		error = DPU_ASK_DPDK(dp, rte_eth_rx_queue_setup, id, q, descriptors, ANY_SOCKET,
				     NULL, dp->nic->pool);
	for (uint16_t q = 0; error == 0 && q <= dp->n_readers; q++)
		error = DPU_ASK_DPDK(dp, rte_eth_tx_queue_setup, id, q, descriptors, ANY_SOCKET,
				     NULL);
	return error;
}

static int32_t start_uplink(struct psp_dp *dp, struct dpu_nic *nic)
{
	uint16_t id = dp->ids[DPU_UPLINK], mtu = port_mtu(id);
	struct rte_eth_conf conf;
	int error;

	memset(&conf, 0, sizeof(conf));
	/* 0 stands for 1500, which mlx5 gives to the kernel's interface too. */
	conf.rxmode.mtu = mtu;
	error = DPU_ASK_DPDK(dp, rte_eth_dev_configure, id, dpu_n_queues(dp),
			     (uint16_t)(dp->n_readers + 1), &conf);
	if (error == 0)
		error = set_up_queues(dp, id);
	if (error != 0)
		return dpu_preflight_blame(
			dp, dpu_fail_dpdk(dp, "the uplink's queues cannot be set up", error));
	if (compat()->must_isolate)
		isolate(dp, id);
	error = DPU_ASK_DPDK(dp, rte_eth_dev_start, id);
	if (error != 0)
		return dpu_fail_dpdk(dp, "the uplink does not start", error);
	nic->started = true;
	if (port_mtu(id) != mtu)
		return dp_fail(dp, PSP_DP_EIO,
			       "starting the uplink has changed its MTU from %u to %u", mtu,
			       port_mtu(id));
	return 0;
}

static int32_t nic_up(struct psp_dp *dp)
{
	struct dpu_nic *nic = calloc(1, sizeof(*nic));
	int32_t status;

	if (nic == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "out of memory");
	dp->nic = nic;
	pthread_mutex_init(&nic->inject_lock, NULL);
	/* pkt_meta reaches the CPU, and leaves it, in a field that DPDK finds room for. */
	if (rte_flow_dynf_metadata_register() != 0)
		return dp_fail(
			dp, PSP_DP_EIO,
			"rte_flow_dynf_metadata_register finds no room for packet metadata: %s "
			"(is another program of DPDK's in this process?)",
			rte_strerror(rte_errno));
	status = probe(dp, nic);
	for (uint32_t i = DPU_HOST; status == 0 && i < dp->n_ports; i++)
		status = find_rep(dp, i);
	if (status == 0)
		status = make_pool(dp, nic);
	if (status != 0)
		return status;
	/* Nothing that is longer without any header of ours can fit. */
	dp->max_ip = port_mtu(dp->ids[DPU_UPLINK]);
	dp->longest = dp->max_ip;
	return start_uplink(dp, nic);
}

static void nic_down(struct psp_dp *dp)
{
	struct dpu_nic *nic = dp->nic;

	if (nic == NULL)
		return;
	if (nic->started)
		(void)rte_eth_dev_stop(dp->ids[DPU_UPLINK]);
	/* Representors first: they hang on the port that they represent. Then those whose numbers nobody has learned. */
	for (uint32_t i = dp->n_ports; nic->probed && i-- > 0;) {
		if (rte_eth_dev_is_valid_port(dp->ids[i]))
			(void)rte_eth_dev_close(dp->ids[i]);
		dp->ids[i] = RTE_MAX_ETHPORTS;
	}
	for (uint16_t id = RTE_MAX_ETHPORTS; nic->probed && id-- > 0;) {
		if (!nic->others[id] && rte_eth_dev_is_valid_port(id))
			(void)rte_eth_dev_close(id);
	}
	rte_mempool_free(nic->pool);
	pthread_mutex_destroy(&nic->inject_lock);
	free(nic);
	dp->nic = NULL;
}

/* ---- DOCA Flow's ports, and the transmit root ------------------------------------------------ */

/*
 * The transmit root is where packets enter that this process sends. It knows them by their mark: to a port (inject), or
 * to the pipe where they had missed (entries of pipe.c).
 */

#define PIPE_QUEUES 1u
#define QUEUE_DEPTH (2u * DPU_ORDERS_MAX) /* twice what is on its way, as in flow_skeleton.c */
#define COUNTERS_EXTRA 4096u              /* beyond entries: those of misses and of our own pipes */
#define ACTION_OCTETS 128u /* of an entry, at most (DOCA_FLOW_MAX_ENTRY_ACTIONS_MEM_SIZE) */
#define PIECES                                                                                     \
	3u /* entries of hardware with actions that one of the ABI's may need: stage, match, list */
#define CYCLE_MS 100u /* of the cache of counters: limits of keys are looked at as often */
#define TX_ROOT_ENTRIES 64u

static struct compat_resources resources_of(const struct psp_dp *dp)
{
	return (struct compat_resources){.counters = dp->base.config.max_entries + COUNTERS_EXTRA,
					 .psp_keys = dp->base.config.max_crypto_ids,
					 .mirrors = DPU_MIRRORS};
}

static int32_t flow_init(struct psp_dp *dp)
{
	const char *own = dp->base.config.flow_mode;
	const char *mode = own[0] != 0 ? own : compat()->mode_args;
	uint16_t queues[DPU_QUEUES_MAX];
	struct doca_flow_resource_rss_cfg rss;
	struct compat_resources resources = resources_of(dp);
	struct doca_flow_cfg *cfg = NULL;
	doca_error_t result = DPU_ASK(dp, doca_flow_cfg_create, &cfg);

	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "DOCA Flow cannot be configured", result);
	memset(&rss, 0, sizeof(rss));
	for (uint16_t i = 0; i < dpu_n_queues(dp); i++)
		queues[i] = i;
	rss.queues_array = queues;
	rss.nr_queues = (int)dpu_n_queues(dp);
	result = DPU_ASK(dp, doca_flow_cfg_set_pipe_queues, cfg, PIPE_QUEUES);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_cfg_set_queue_depth, cfg, QUEUE_DEPTH);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_cfg_set_mode_args, cfg, mode);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_cfg_set_cb_entry_process, cfg, dpu_hw_completed);
	if (result == DOCA_SUCCESS)
		result = compat_flow_resources(&dp->call, cfg, &resources, &rss);
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_init, cfg);
	(void)dpu_trace(&dp->trace, result, "flow_init mode=%s counters=%u psp_keys=%u", mode,
			resources.counters, resources.psp_keys);
	(void)doca_flow_cfg_destroy(cfg);
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "DOCA Flow does not start", result);
	dp->flow_up = true;
	return 0;
}

/* Octets that DOCA Flow has for what entries of a port do: a power of 2. */
static uint32_t actions_memory(const struct psp_dp *dp)
{
	uint64_t wanted = (uint64_t)dp->base.config.max_entries * PIECES * ACTION_OCTETS;

	if (dp->base.config.actions_memory != 0)
		wanted = dp->base.config.actions_memory;
	if (wanted < PSP_DP_ACTIONS_MEMORY_MIN)
		return PSP_DP_ACTIONS_MEMORY_MIN;
	return wanted > UINT32_C(1) << 31 ? UINT32_C(1) << 31 : rte_align32pow2((uint32_t)wanted);
}

static doca_error_t configure_port(struct psp_dp *dp, uint32_t number,
				   struct doca_flow_port_cfg *cfg)
{
	struct compat_resources resources = resources_of(dp);
	doca_error_t result = DPU_ASK(dp, doca_flow_port_cfg_set_port_id, cfg, dp->ids[number]);

	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_port_cfg_set_actions_mem_size, cfg,
				 actions_memory(dp));
	if (result == DOCA_SUCCESS)
		result = DPU_ASK(dp, doca_flow_port_cfg_set_service_threads_cycle, cfg, CYCLE_MS);
	if (result != DOCA_SUCCESS)
		return result;
	if (number != DPU_UPLINK)
		return compat_port_rep(&dp->call, cfg, dpu_port(dp, number)->rep);
	result = DPU_ASK(dp, doca_flow_port_cfg_set_dev, cfg, dp->device->dev);
	return result == DOCA_SUCCESS ? compat_port_resources(&dp->call, cfg, &resources) : result;
}

static int32_t start_port(struct psp_dp *dp, uint32_t number)
{
	struct dpu_port *port = dpu_port(dp, number);
	struct doca_flow_port_cfg *cfg = NULL;
	doca_error_t result = DPU_ASK(dp, doca_flow_port_cfg_create, &cfg);

	if (result == DOCA_SUCCESS) {
		result = configure_port(dp, number, cfg);
		if (result == DOCA_SUCCESS)
			result = DPU_ASK(dp, doca_flow_port_start, cfg, &port->flow);
		(void)doca_flow_port_cfg_destroy(cfg);
	}
	(void)dpu_trace(&dp->trace, result, "port_start port=%s id=%u",
			number == DPU_UPLINK ? "uplink" : "host", dp->ids[number]);
	if (result == DOCA_SUCCESS)
		return 0;
	port->flow = NULL;
	return dpu_fail_doca(
		dp,
		number == DPU_UPLINK
			? "the uplink does not start (does another program own the e-switch?)"
			: "the representor does not start",
		result);
}

static int32_t add_inject(struct psp_dp *dp, uint32_t number, struct dpu_hw_entry *entry)
{
	struct psp_dp_match value = {.meta_pkt_meta = dpu_mark(DPU_MARK_INJECT, number, 0)};
	struct psp_dp_match mask = {.meta_pkt_meta = UINT32_MAX};

	memset(entry, 0, sizeof(*entry));
	dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, NULL, &entry->match, &entry->mask);
	if (dpu_has_tags(dp))
		dpu_tag_acts(number, &entry->acts);
	entry->to = (struct dpu_to){.type = DOCA_FLOW_FWD_PORT, .port_id = dp->ids[number]};
	return dpu_hw_add(dp, &dp->tx_root, entry, &dpu_port(dp, number)->inject);
}

static int32_t make_tx_root(struct psp_dp *dp)
{
	struct psp_dp_match mask = {.meta_pkt_meta = UINT32_MAX};
	struct dpu_hw_spec *spec = calloc(1, sizeof(*spec));
	struct dpu_hw_entry *entry = calloc(1, sizeof(*entry));
	struct dpu_hw_acts *tag = calloc(1, sizeof(*tag));
	int32_t status = PSP_DP_ENOMEM;

	if (spec == NULL || entry == NULL || tag == NULL) {
		(void)dp_fail(dp, status, "out of memory");
		goto out;
	}
	(void)snprintf(spec->name, sizeof(spec->name), "TX_ROOT");
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = compat()->tx_root;
	spec->root = true;
	/* Released packets enter at few of the pipes: with the number of their port, where there are several. */
	spec->entries = TX_ROOT_ENTRIES * (dp->n_ports - DPU_HOST);
	if (dpu_has_tags(dp)) {
		dpu_tag_acts(UINT32_MAX, tag);
		spec->shape = (struct dpu_hw_shape){.n = 1, .templates = tag};
	}
	dpu_match_template(&mask, PSP_DP_L3_NONE, NULL, &spec->match, &spec->mask);
	spec->fwd.type = DOCA_FLOW_FWD_CHANGEABLE;
	/* Clear text never leaves the uplink: what has no mark of ours goes nowhere. */
	spec->miss.type = DOCA_FLOW_FWD_DROP;
	status = dpu_hw_pipe_create(dp, spec, &dp->tx_root);
	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++)
		status = add_inject(dp, i, entry);
out:
	free(tag);
	free(entry);
	free(spec);
	return status;
}

static int32_t flow_up(struct psp_dp *dp)
{
	int32_t status = flow_init(dp);

	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++)
		status = start_port(dp, i);
	if (status != 0)
		return status;
	dp->switch_port = doca_flow_port_switch_get(dpu_port(dp, DPU_UPLINK)->flow);
	if (dp->switch_port == NULL)
		return dp_fail(dp, PSP_DP_EIO,
			       "doca_flow_port_switch_get finds no switch port (does "
			       "plane.flow_mode say \"switch\"?)");
	if (dpu_trace(&dp->trace,
		      DPU_ASK(dp, doca_flow_get_target, DOCA_FLOW_TARGET_KERNEL, &dp->kernel),
		      "get_target kernel") != DOCA_SUCCESS)
		dp->kernel = NULL;
	/* Refused: a pipe behind the root leads there, as in earlier releases. */
	dp->default_miss = compat()->has_default_miss &&
			   dpu_trace(&dp->trace, compat_default_miss(&dp->call, dp->switch_port),
				     "default_miss kernel") == DOCA_SUCCESS;
	return make_tx_root(dp);
}

/* Pipes and entries go with their port: taken out one by one before it, they keep ports of some releases from stopping. */
static void flow_down(struct psp_dp *dp)
{
	for (uint32_t i = dp->n_ports; i-- > 0;) {
		struct dpu_port *port = dpu_port(dp, i);

		if (port->flow == NULL)
			continue;
		(void)dpu_trace(&dp->trace, doca_flow_port_stop(port->flow), "port_stop id=%u",
				dp->ids[i]);
		port->flow = NULL;
	}
	if (!dp->flow_up)
		return;
	doca_flow_destroy();
	(void)dpu_trace(&dp->trace, DOCA_SUCCESS, "flow_destroy");
	dp->flow_up = false;
}

/* ---- the plane ------------------------------------------------------------------------------- */

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
	granted->actions_memory = actions_memory(dp);
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
	flow_down(dp);
	dpu_pipes_free(dp);
	dpu_limbo_free(dp);
	nic_down(dp);
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
		status = nic_up(dp);
	if (status == 0)
		status = flow_up(dp);
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
	info->mtu = port_mtu(id);
	if (port->desc.kind == PSP_DP_PORT_UPLINK)
		dpu_mtu_note(dp, info->mtu);
	memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	/* A representor that was not started may not tell: then nothing speaks against it. */
	info->link_up = rte_eth_link_get_nowait(id, &link) != 0 || link.link_status != 0 ||
			port->desc.kind == PSP_DP_PORT_HOST;
	return 0;
}
