/* SPDX-License-Identifier: Apache-2.0 */
/* port.h: the DPDK ports as port.c set them up, for rss.c. */
#ifndef PSP_DPU_PORT_H
#define PSP_DPU_PORT_H

#include <pthread.h>
#include <rte_config.h>
#include <rte_mempool.h>
#include <stdbool.h>
#include <stdint.h>

struct dpu_nic {
	struct rte_mempool *pool;
	bool probed, started;          /* probed: it was begun */
	bool others[RTE_MAX_ETHPORTS]; /* ports that were there before */
	pthread_mutex_t inject_lock;   /* of the transmit queue behind the readers' own */
};

#endif
