/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nic.c: the DPDK ports. The uplink is the switch port: its queues carry whatever the CPU gets and sends.
 * Representors are probed but never configured: in switch mode DOCA Flow has them.
 */
#include <net/if.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "dpu.h"
#include "eal.h"
#include "mark.h"
#include "nic.h"
#include "preflight.h"

#define DESCRIPTORS_MAX 1024u
#define DESCRIPTORS_MIN 64u
#define CACHE 256u
#define ANY_SOCKET ((unsigned int)SOCKET_ID_ANY)
#define HEADERS                                                                                    \
	128u /* octets that a frame may have beyond the MTU: Ethernet, tags, outer headers of samples */

/* ---- probing --------------------------------------------------------------------------------- */

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
	(void)snprintf(devargs, sizeof(devargs), "%s%s%s", compat_devargs(),
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

uint16_t dpu_port_mtu(uint16_t id)
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
		uint32_t mtu = dpu_port_mtu(dp->ids[i]);

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
	uint16_t id = dp->ids[DPU_UPLINK], mtu = dpu_port_mtu(id);
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
	if (compat_must_isolate())
		isolate(dp, id);
	error = DPU_ASK_DPDK(dp, rte_eth_dev_start, id);
	if (error != 0)
		return dpu_fail_dpdk(dp, "the uplink does not start", error);
	nic->started = true;
	if (dpu_port_mtu(id) != mtu)
		return dp_fail(dp, PSP_DP_EIO,
			       "starting the uplink has changed its MTU from %u to %u", mtu,
			       dpu_port_mtu(id));
	return 0;
}

int32_t dpu_nic_up(struct psp_dp *dp)
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
	dp->max_ip = dpu_port_mtu(dp->ids[DPU_UPLINK]);
	dp->longest = dp->max_ip;
	return start_uplink(dp, nic);
}

void dpu_nic_down(struct psp_dp *dp)
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
