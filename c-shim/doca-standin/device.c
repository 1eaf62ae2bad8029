/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* RTLD_NEXT */
/*
 * device.c: every network interface of the namespace is a device, and a representor of every other. Its name is its
 * PCI address (see is_address()), its number (ifindex) that of its virtual function. And the DPDK ports on them:
 * functions of DPDK that stand in front of the real ones, because net_ring knows nothing of the interface that it
 * stands for: its MAC, MTU and link, and the pool from which received packets come and to which all must return.
 */
#include <dlfcn.h>
#include <errno.h>
#include <net/if.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "standin.h"

struct doca_devinfo {
	char name[IF_NAMESIZE];
};
struct doca_devinfo_rep {
	char name[IF_NAMESIZE];
};
struct doca_dev {
	char name[IF_NAMESIZE];
	uint16_t port_id;
	bool probed;
};
struct doca_dev_rep {
	struct doca_devinfo_rep info;
};

/* ---- lists ----------------------------------------------------------------------------------- */

/* One allocation: pointers, then what they point to. */
static doca_error_t list_all(const char *except, void ***list, uint32_t *n)
{
	struct if_nameindex *all = if_nameindex();
	size_t count = 0;
	void **made;
	char *names;

	if (list == NULL || n == NULL || all == NULL) {
		if_freenameindex(all);
		return DOCA_ERROR_OPERATING_SYSTEM;
	}
	while (all[count].if_index != 0)
		count++;
	made = calloc(count + 1, sizeof(*made) + IF_NAMESIZE);
	if (made == NULL) {
		if_freenameindex(all);
		return DOCA_ERROR_NO_MEMORY;
	}
	names = (char *)(made + count + 1);
	*n = 0;
	for (size_t i = 0; i < count; i++) {
		if (except != NULL && strcmp(all[i].if_name, except) == 0)
			continue;
		(void)snprintf(names, IF_NAMESIZE, "%s", all[i].if_name);
		made[(*n)++] = names;
		names += IF_NAMESIZE;
	}
	if_freenameindex(all);
	*list = made;
	return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_create_list(struct doca_devinfo ***list, uint32_t *n)
{
	SI_ASK();
	return list_all(NULL, (void ***)list, n);
}

doca_error_t doca_devinfo_destroy_list(struct doca_devinfo **list)
{
	free(list);
	return si_said(__func__);
}

/* DOCA_STANDIN_PCI in the environment gives one interface a PCI address: "0000:03:00.0=eth0". */
static bool is_address(const char *name, const char *address)
{
	const char *pair = getenv("DOCA_STANDIN_PCI");
	size_t len = strlen(address);

	return pair != NULL && strncmp(pair, address, len) == 0 && pair[len] == '=' &&
	       strcmp(pair + len + 1, name) == 0;
}

static doca_error_t compare(const char *name, const char *address, uint8_t *equal)
{
	if (address == NULL || equal == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*equal = strcmp(name, address) == 0 || is_address(name, address);
	return DOCA_SUCCESS;
}

static doca_error_t copy_name(const char *from, char *name, uint32_t size)
{
	int n = snprintf(name, size, "%s", from);

	return n >= 0 && (uint32_t)n < size ? DOCA_SUCCESS : DOCA_ERROR_TOO_BIG;
}

doca_error_t doca_devinfo_is_equal_pci_addr(const struct doca_devinfo *info, const char *address,
					    uint8_t *equal)
{
	SI_ASK();
	return compare(info->name, address, equal);
}

doca_error_t doca_devinfo_get_iface_name(const struct doca_devinfo *info, char *name, uint32_t size)
{
	SI_ASK();
	return copy_name(info->name, name, size);
}

doca_error_t doca_devinfo_rep_create_list(struct doca_dev *dev, int filter,
					  struct doca_devinfo_rep ***list, uint32_t *n)
{
	SI_ASK();
	(void)filter;
	return list_all(dev->name, (void ***)list, n);
}

doca_error_t doca_devinfo_rep_destroy_list(struct doca_devinfo_rep **list)
{
	free(list);
	return si_said(__func__);
}

doca_error_t doca_devinfo_rep_is_equal_pci_addr(const struct doca_devinfo_rep *info,
						const char *address, uint8_t *equal)
{
	SI_ASK();
	return compare(info->name, address, equal);
}

doca_error_t doca_devinfo_rep_get_iface_name(const struct doca_devinfo_rep *info, char *name,
					     uint32_t size)
{
	SI_ASK();
	return copy_name(info->name, name, size);
}

/* "pf0hpf": the kernel's name for the host's own function. */
static bool is_host_pf(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && strcmp(name + len - 3, "hpf") == 0;
}

doca_error_t doca_devinfo_rep_get_pci_func_type(const struct doca_devinfo_rep *info,
						enum doca_pci_func_type *type)
{
	SI_ASK();
	*type = is_host_pf(info->name) ? DOCA_PCI_FUNC_TYPE_PF : DOCA_PCI_FUNC_TYPE_VF;
	return DOCA_SUCCESS;
}

doca_error_t doca_dpdk_get_rep_vf_index(const struct doca_devinfo_rep *info, uint16_t *vf)
{
	SI_ASK();
	*vf = is_host_pf(info->name) ? 0 : (uint16_t)if_nametoindex(info->name);
	return *vf != 0 ? DOCA_SUCCESS : DOCA_ERROR_NOT_FOUND;
}

doca_error_t doca_dpdk_get_rep_sf_num(const struct doca_devinfo_rep *info, uint16_t *sf)
{
	SI_ASK();
	(void)info;
	(void)sf;
	return DOCA_ERROR_NOT_SUPPORTED;
}

/* ---- opened ---------------------------------------------------------------------------------- */

doca_error_t doca_dev_open(struct doca_devinfo *info, struct doca_dev **dev)
{
	SI_ASK();
	if (info == NULL || dev == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*dev = calloc(1, sizeof(**dev));
	if (*dev == NULL)
		return DOCA_ERROR_NO_MEMORY;
	memcpy((*dev)->name, info->name, sizeof(info->name));
	return DOCA_SUCCESS;
}

doca_error_t doca_dev_close(struct doca_dev *dev)
{
	if (dev == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	free(dev);
	return si_said(__func__);
}

doca_error_t doca_dev_rep_open(struct doca_devinfo_rep *info, struct doca_dev_rep **rep)
{
	SI_ASK();
	if (info == NULL || rep == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	*rep = calloc(1, sizeof(**rep));
	if (*rep == NULL)
		return DOCA_ERROR_NO_MEMORY;
	(*rep)->info = *info;
	return DOCA_SUCCESS;
}

doca_error_t doca_dev_rep_close(struct doca_dev_rep *rep)
{
	if (rep == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	free(rep);
	return si_said(__func__);
}

struct doca_devinfo_rep *doca_dev_rep_as_devinfo(struct doca_dev_rep *rep)
{
	return &rep->info;
}

/* ---- probed: DPDK ports ---------------------------------------------------------------------- */

static struct rte_ring *ring_new(void)
{
	static uint32_t number;
	char name[RTE_RING_NAMESIZE];

	(void)snprintf(name, sizeof(name), "doca_standin_%u", number++);
	return rte_ring_create(name, SI_RING_LEN, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* What an earlier plane of this process has left behind. */
static void forget(struct si_nic_port *port)
{
	soft_port_close(port->wire);
	for (uint32_t i = 0; i < SI_QUEUES; i++) {
		rte_ring_free(port->rx[i]);
		rte_ring_free(port->tx[i]);
	}
	memset(port, 0, sizeof(*port));
}

static doca_error_t probe_one(struct si_nic_port *port, uint8_t role, const char *name)
{
	/* Representors are never configured. */
	const uint32_t n_queues = role == PSP_DP_PORT_UPLINK ? SI_QUEUES : 1;
	static uint32_t number;
	char device[32], why[160] = "";
	int id;

	(void)snprintf(port->name, sizeof(port->name), "%s", name);
	if (soft_port_open(name, role, 0, &port->wire, why, sizeof(why)) != 0) {
		(void)fprintf(stderr, "doca-standin: %s\n", why);
		return DOCA_ERROR_DRIVER;
	}
	for (uint32_t i = 0; i < n_queues; i++) {
		port->rx[i] = ring_new();
		port->tx[i] = ring_new();
		if (port->rx[i] == NULL || port->tx[i] == NULL)
			return DOCA_ERROR_NO_MEMORY;
	}
	(void)snprintf(device, sizeof(device), "standin%u", number++);
	id = rte_eth_from_rings(device, port->rx, n_queues, port->tx, n_queues, 0);
	if (id < 0)
		return DOCA_ERROR_DRIVER;
	port->id = (uint16_t)id;
	port->probed = true;
	return DOCA_SUCCESS;
}

static bool host_pf(char name[IF_NAMESIZE])
{
	struct if_nameindex *all = if_nameindex();
	bool found = false;

	for (struct if_nameindex *one = all; !found && one != NULL && one->if_index != 0; one++) {
		found = is_host_pf(one->if_name);
		if (found)
			(void)snprintf(name, IF_NAMESIZE, "%s", one->if_name);
	}
	if (all != NULL)
		if_freenameindex(all);
	return found;
}

/* "7", or 65535 for the host's own function. */
static bool rep_number(unsigned long index, char name[IF_NAMESIZE])
{
	return index == UINT16_MAX ? host_pf(name)
				   : if_indextoname((unsigned int)index, name) != NULL;
}

/* "...,representor=[7,9]", or an interface's name there. How many; 0: none, too many, or one that is not there. */
static uint32_t rep_names(const char *devargs, char (*names)[IF_NAMESIZE])
{
	static const char key[] = "representor=";
	const char *at = devargs != NULL ? strstr(devargs, key) : NULL;
	uint32_t n = 0;

	if (at == NULL)
		return 0;
	at += sizeof(key) - 1;
	if (*at != '[') {
		(void)snprintf(names[0], IF_NAMESIZE, "%.*s", (int)strcspn(at, ","), at);
		return if_nametoindex(names[0]) != 0 ? 1 : 0;
	}
	do {
		char *behind;
		unsigned long index = strtoul(at + 1, &behind, 10);

		if (behind == at + 1 || n == SI_PORTS - 1 || !rep_number(index, names[n]))
			return 0;
		n++;
		at = behind;
	} while (*at == ',');
	return *at == ']' ? n : 0;
}

static doca_error_t probe(struct doca_dev *dev, char (*reps)[IF_NAMESIZE], uint32_t n)
{
	doca_error_t result;

	si_rules_up();
	for (uint32_t i = 0; i < SI_PORTS; i++)
		forget(&si.nic[i]);
	result = probe_one(&si.nic[SI_SWITCH], PSP_DP_PORT_UPLINK, dev->name);
	for (uint32_t i = 0; result == DOCA_SUCCESS && i < n; i++)
		result = probe_one(&si.nic[i + 1], PSP_DP_PORT_HOST, reps[i]);
	dev->port_id = si.nic[SI_SWITCH].id;
	dev->probed = result == DOCA_SUCCESS;
	return result;
}

doca_error_t doca_dpdk_port_probe(struct doca_dev *dev, const char *devargs)
{
	SI_ASK();
	char reps[SI_PORTS - 1][IF_NAMESIZE];
	uint32_t n = rep_names(devargs, reps);

	return dev != NULL && n != 0 ? probe(dev, reps, n) : DOCA_ERROR_INVALID_VALUE;
}

#if DOCA_STANDIN >= 301
doca_error_t doca_dpdk_port_probe_with_representors(struct doca_dev *dev, const char *devargs,
						    struct doca_dev_rep **reps, uint16_t n)
{
	SI_ASK();
	char names[SI_PORTS - 1][IF_NAMESIZE];

	if (dev == NULL || devargs == NULL || reps == NULL || n == 0 || n > SI_PORTS - 1)
		return DOCA_ERROR_INVALID_VALUE;
	for (uint16_t i = 0; i < n; i++) {
		if (reps[i] == NULL)
			return DOCA_ERROR_INVALID_VALUE;
		memcpy(names[i], reps[i]->info.name, IF_NAMESIZE);
	}
	return probe(dev, names, n);
}
#endif

doca_error_t doca_dpdk_get_first_port_id(const struct doca_dev *dev, uint16_t *port_id)
{
	SI_ASK();
	if (dev == NULL || port_id == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	if (!dev->probed)
		return DOCA_ERROR_NOT_FOUND;
	*port_id = dev->port_id;
	return DOCA_SUCCESS;
}

/* ---- in front of DPDK ------------------------------------------------------------------------ */

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
	SI_ASK_DPDK();
	struct psp_dp_port_info info;

	if (mac == NULL || !describe(id, &info))
		return REAL(rte_eth_macaddr_get)(id, mac);
	memcpy(mac->addr_bytes, info.mac, sizeof(mac->addr_bytes));
	return 0;
}

int rte_eth_dev_get_mtu(uint16_t id, uint16_t *mtu)
{
	SI_ASK_DPDK();
	struct psp_dp_port_info info;

	if (mtu == NULL || !describe(id, &info))
		return REAL(rte_eth_dev_get_mtu)(id, mtu);
	*mtu = (uint16_t)info.mtu;
	return 0;
}

int rte_eth_link_get_nowait(uint16_t id, struct rte_eth_link *link)
{
	SI_ASK_DPDK();
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
	SI_ASK_DPDK();
	struct psp_dp_port_info info;
	int status = REAL(rte_eth_dev_info_get)(id, out);

	if (status == 0 && describe(id, &info))
		out->if_index = info.ifindex;
	return status;
}

/* As mlx5 does: the kernel's interface gets the MTU that the port is configured with. */
static int set_netdev_mtu(const char *name, uint16_t mtu)
{
	struct ifreq request;
	int fd, status;

	memset(&request, 0, sizeof(request));
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	status = ioctl(fd, SIOCGIFMTU, &request);
	if (status == 0 && request.ifr_mtu != mtu) {
		request.ifr_mtu = mtu;
		status = ioctl(fd, SIOCSIFMTU, &request);
	}
	(void)close(fd);
	return status;
}

int rte_eth_dev_configure(uint16_t id, uint16_t n_rx, uint16_t n_tx,
			  const struct rte_eth_conf *conf)
{
	SI_ASK_DPDK();
	struct si_nic_port *port = si_nic_port_of(id);
	int status = REAL(rte_eth_dev_configure)(id, n_rx, n_tx, conf);

	if (status != 0 || port == NULL || !si_strict(DOCA_STANDIN_MTU))
		return status;
	port->mtu = conf->rxmode.mtu != 0 ? (uint16_t)conf->rxmode.mtu : RTE_ETHER_MTU;
	return set_netdev_mtu(port->name, port->mtu) == 0 ? 0 : -EAGAIN;
}

int rte_flow_isolate(uint16_t id, int set, struct rte_flow_error *error)
{
	if (si_nic_port_of(id) == NULL)
		return REAL(rte_flow_isolate)(id, set, error);
	/* A port that runs does not change its mode. */
	return si_refuses(__func__) ? -EBUSY : 0;
}

int rte_eth_rx_queue_setup(uint16_t id, uint16_t queue, uint16_t descriptors, unsigned int socket,
			   const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	SI_ASK_DPDK();
	struct si_nic_port *port = si_nic_port_of(id);
	int status = REAL(rte_eth_rx_queue_setup)(id, queue, descriptors, socket, conf, pool);

	if (status == 0 && port != NULL && queue < SI_QUEUES)
		port->pools[queue] = pool;
	return status;
}

/* The program may try again: the real one is asked once. */
int rte_eal_init(int argc, char **argv)
{
	if (!si_refuses(__func__))
		return REAL(rte_eal_init)(argc, argv);
	rte_errno = ENOTSUP;
	return -1;
}

int rte_flow_dynf_metadata_register(void)
{
	if (!si_refuses(__func__))
		return REAL(rte_flow_dynf_metadata_register)();
	rte_errno = ENOENT;
	return -ENOENT;
}

int rte_eth_tx_queue_setup(uint16_t id, uint16_t queue, uint16_t descriptors, unsigned int socket,
			   const struct rte_eth_txconf *conf)
{
	SI_ASK_DPDK();
	return REAL(rte_eth_tx_queue_setup)(id, queue, descriptors, socket, conf);
}

int rte_eth_dev_start(uint16_t id)
{
	SI_ASK_DPDK();
	return REAL(rte_eth_dev_start)(id);
}

int rte_eth_dev_stop(uint16_t id)
{
	int status = REAL(rte_eth_dev_stop)(id);

	return si_refuses(__func__) ? -ENOTSUP : status;
}

int rte_eth_dev_close(uint16_t id)
{
	int status = REAL(rte_eth_dev_close)(id);

	return si_refuses(__func__) ? -ENOTSUP : status;
}

int rte_thread_register(void)
{
	if (!si_refuses(__func__))
		return REAL(rte_thread_register)();
	rte_errno = ENOMEM;
	return -1;
}

struct rte_mempool *rte_pktmbuf_pool_create(const char *name, unsigned int n, unsigned int cache,
					    uint16_t priv, uint16_t room, int socket)
{
	(void)cache; /* none: see pool.c */
	if (si_refuses(__func__)) {
		rte_errno = ENOMEM;
		return NULL;
	}
	return si_pool_create(name, n, priv, room, socket);
}

void rte_mempool_free(struct rte_mempool *mp)
{
	if (mp != NULL)
		si_pool_check(mp);
	REAL(rte_mempool_free)(mp);
}
