/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_lab.h: two veth pairs in a namespace of the test's own, up0-up1 and host0-host1, and the stand-in's device
 * on up0 with host0 as its representor. standin_lab_open() does what the shim does, by hand.
 */
#ifndef STANDIN_LAB_H
#define STANDIN_LAB_H

#include <fcntl.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../doca-standin/standin.h"
#include "../common/net.h"
#include "test.h"

static inline bool lab_run(const char *const *args)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(args[0], (char *const *)(uintptr_t)args);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

#define LAB_IP(...) lab_run((const char *const[]){"ip", __VA_ARGS__, NULL})

/* Neighbour discovery would add packets that no test has sent. */
static inline bool lab_quiet(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return true; /* a kernel without IPv6 */
	done = write(fd, "1", 1) == 1;
	(void)close(fd);
	return done;
}

static inline bool lab_up(void)
{
	static const char *const names[] = {"lo", "up0", "up1", "host0", "host1"};

	if (unshare(CLONE_NEWNET) != 0 || !lab_quiet() ||
	    !LAB_IP("link", "add", "up0", "type", "veth", "peer", "name", "up1") ||
	    !LAB_IP("link", "add", "host0", "type", "veth", "peer", "name", "host1"))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!LAB_IP("link", "set", names[i], "up"))
			return false;
	}
	return true;
}

/* ---- the library, without the shim ----------------------------------------------------------- */

struct lab {
	struct doca_dev *dev;
	struct rte_mempool *pool;
	struct doca_flow_port *ports[2];
	uint16_t ids[2];
	struct soft_port *workload, *wire; /* the far ends */
	uint32_t completed, failed;
};

static struct lab lab;

static inline void lab_completed(struct doca_flow_pipe_entry *entry, uint16_t queue,
				 enum doca_flow_entry_status status, enum doca_flow_entry_op op,
				 void *ctx)
{
	(void)entry;
	(void)queue;
	(void)op;
	(void)ctx;
	lab.completed++;
	lab.failed += status == DOCA_FLOW_ENTRY_STATUS_ERROR ? 1 : 0;
}

static inline bool lab_eal(void)
{
	char *args[] = {"test",
			"-a",
			"ffff:ff:1f.7",
			"-l",
			"0",
			"--no-shconf",
			"--no-huge",
			"-m",
			"64",
			"--no-telemetry",
			"--log-level=error"};

	return rte_eal_init((int)(sizeof(args) / sizeof(args[0])), args) >= 0 &&
	       rte_flow_dynf_metadata_register() == 0;
}

static inline bool lab_device(void)
{
	struct doca_devinfo **list;
	uint32_t n;

	if (doca_devinfo_create_list(&list, &n) != DOCA_SUCCESS)
		return false;
	for (uint32_t i = 0; i < n && lab.dev == NULL; i++) {
		uint8_t equal = 0;

		if (doca_devinfo_is_equal_pci_addr(list[i], "up0", &equal) == DOCA_SUCCESS &&
		    equal != 0 && doca_dev_open(list[i], &lab.dev) != DOCA_SUCCESS)
			lab.dev = NULL;
	}
	(void)doca_devinfo_destroy_list(list);
	return lab.dev != NULL &&
	       doca_dpdk_port_probe(lab.dev, "dv_flow_en=2,representor=host0") == DOCA_SUCCESS &&
	       doca_dpdk_get_first_port_id(lab.dev, &lab.ids[0]) == DOCA_SUCCESS;
}

static inline bool lab_queues(void)
{
	struct rte_eth_conf conf;

	lab.ids[1] = (uint16_t)(lab.ids[0] + 1);
	memset(&conf, 0, sizeof(conf));
	lab.pool = rte_pktmbuf_pool_create("lab", 512, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return lab.pool != NULL && rte_eth_dev_configure(lab.ids[0], 1, 1, &conf) == 0 &&
	       rte_eth_rx_queue_setup(lab.ids[0], 0, 256, 0, NULL, lab.pool) == 0 &&
	       rte_eth_tx_queue_setup(lab.ids[0], 0, 256, 0, NULL) == 0 &&
	       rte_eth_dev_start(lab.ids[0]) == 0;
}

#define LAB_KEYS 8u
#define LAB_MIRRORS 4u

static inline bool lab_flow(void)
{
	struct doca_flow_cfg *cfg;
	bool done =
		doca_flow_cfg_create(&cfg) == DOCA_SUCCESS &&
		doca_flow_cfg_set_pipe_queues(cfg, 1) == DOCA_SUCCESS &&
		doca_flow_cfg_set_mode_args(cfg, "switch,hws,isolated,expert") == DOCA_SUCCESS &&
		doca_flow_cfg_set_cb_entry_process(cfg, lab_completed) == DOCA_SUCCESS &&
		doca_flow_cfg_set_nr_counters(cfg, 64) == DOCA_SUCCESS &&
		doca_flow_cfg_set_nr_shared_resource(
			cfg, LAB_KEYS, DOCA_FLOW_SHARED_RESOURCE_PSP) == DOCA_SUCCESS &&
		doca_flow_cfg_set_nr_shared_resource(
			cfg, LAB_MIRRORS, DOCA_FLOW_SHARED_RESOURCE_MIRROR) == DOCA_SUCCESS &&
		doca_flow_init(cfg) == DOCA_SUCCESS;

	(void)doca_flow_cfg_destroy(cfg);
	return done;
}

static inline doca_error_t lab_port(uint16_t id, struct doca_dev *dev, struct doca_flow_port **port)
{
	struct doca_flow_port_cfg *cfg;
	doca_error_t result = doca_flow_port_cfg_create(&cfg);

	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_port_id(cfg, id);
	if (result == DOCA_SUCCESS && dev != NULL)
		result = doca_flow_port_cfg_set_dev(cfg, dev);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_start(cfg, port);
	(void)doca_flow_port_cfg_destroy(cfg);
	return result;
}

static inline bool lab_open(void)
{
	char why[160];

	return lab_up() && lab_eal() && lab_device() && lab_queues() && lab_flow() &&
	       lab_port(lab.ids[0], lab.dev, &lab.ports[0]) == DOCA_SUCCESS &&
	       lab_port(lab.ids[1], NULL, &lab.ports[1]) == DOCA_SUCCESS &&
	       soft_port_open("host1", PSP_DP_PORT_HOST, 0, &lab.workload, why, sizeof(why)) == 0 &&
	       soft_port_open("up1", PSP_DP_PORT_HOST, 0, &lab.wire, why, sizeof(why)) == 0;
}

static inline void lab_close(void)
{
	soft_port_close(lab.workload);
	soft_port_close(lab.wire);
	(void)doca_flow_port_stop(lab.ports[1]);
	(void)doca_flow_port_stop(lab.ports[0]);
	doca_flow_destroy();
	(void)rte_eth_dev_stop(lab.ids[0]);
	(void)rte_eth_dev_close(lab.ids[1]);
	(void)rte_eth_dev_close(lab.ids[0]);
	rte_mempool_free(lab.pool);
	(void)doca_dev_close(lab.dev);
}

/* Completes what was ordered. */
static inline void lab_process(void)
{
	(void)doca_flow_entries_process(lab.ports[0], 0, 1000, 0);
}

#endif
