/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* RTLD_NEXT */
/*
 * dpdk.c: functions of DPDK that stand in front of the real ones, because net_ring knows nothing of the interface that
 * it stands for: its MAC, MTU and link, and the pool from which received packets come and to which all must return. All else is the real ones'.
 */
#include <dlfcn.h>
#include <rte_ethdev.h>
#include <string.h>

#include "standin.h"

struct si_nic_port *si_nic_port_of(uint16_t id)
{
	for (uint32_t i = 0; i < SI_PORTS; i++) {
		if (si.nic[i].probed && si.nic[i].id == id)
			return &si.nic[i];
	}
	return NULL;
}

/* The real function of this name. */
#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		si_die("DPDK has no %s", name);
	return found;
}

static bool describe(uint16_t id, struct psp_dp_port_info *info)
{
	struct si_nic_port *port = si_nic_port_of(id);

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return port != NULL && port->wire != NULL && soft_port_query(port->wire, info) == 0;
}

int rte_eth_macaddr_get(uint16_t id, struct rte_ether_addr *mac)
{
	struct psp_dp_port_info info;

	if (mac == NULL || !describe(id, &info))
		return REAL(rte_eth_macaddr_get)(id, mac);
	memcpy(mac->addr_bytes, info.mac, sizeof(mac->addr_bytes));
	return 0;
}

int rte_eth_dev_get_mtu(uint16_t id, uint16_t *mtu)
{
	struct psp_dp_port_info info;

	if (mtu == NULL || !describe(id, &info))
		return REAL(rte_eth_dev_get_mtu)(id, mtu);
	*mtu = (uint16_t)info.mtu;
	return 0;
}

int rte_eth_link_get_nowait(uint16_t id, struct rte_eth_link *link)
{
	struct psp_dp_port_info info;

	if (link == NULL || !describe(id, &info))
		return REAL(rte_eth_link_get_nowait)(id, link);
	memset(link, 0, sizeof(*link));
	link->link_speed = RTE_ETH_SPEED_NUM_100G;
	link->link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
	link->link_status = info.link_up != 0 ? 1 : 0;
	return 0;
}

int rte_eth_dev_info_get(uint16_t id, struct rte_eth_dev_info *out)
{
	struct psp_dp_port_info info;
	int status = REAL(rte_eth_dev_info_get)(id, out);

	if (status == 0 && describe(id, &info))
		out->if_index = info.ifindex;
	return status;
}

int rte_eth_rx_queue_setup(uint16_t id, uint16_t queue, uint16_t descriptors, unsigned int socket,
			   const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct si_nic_port *port = si_nic_port_of(id);
	int status = REAL(rte_eth_rx_queue_setup)(id, queue, descriptors, socket, conf, pool);

	if (status == 0 && port != NULL && queue < SI_QUEUES)
		port->pools[queue] = pool;
	return status;
}

struct rte_mempool *rte_pktmbuf_pool_create(const char *name, unsigned int n, unsigned int cache,
					    uint16_t priv, uint16_t room, int socket)
{
	(void)cache; /* none: see pool.c */
	return si_pool_create(name, n, priv, room, socket);
}

void rte_mempool_free(struct rte_mempool *mp)
{
	if (mp != NULL)
		si_pool_check(mp);
	REAL(rte_mempool_free)(mp);
}
