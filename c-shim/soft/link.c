/* SPDX-License-Identifier: Apache-2.0 */
/* link.c: a port of the plane and its interface, which may go and come again. */
#include <stdlib.h>
#include <string.h>

#include "soft.h"

struct soft_link *soft_link_from(struct psp_dp *dp, uint32_t n)
{
	for (; n < PSP_DP_PORTS_MAX; n++) {
		struct dp_port *port =
			atomic_load_explicit(&dp->base.ports.slot[n], memory_order_relaxed);

		if (port != NULL)
			return soft_link(port);
	}
	return NULL;
}

struct dp_port *plane_port_alloc(void)
{
	struct soft_link *link = aligned_alloc(_Alignof(struct soft_link), sizeof(*link));

	if (link == NULL)
		return NULL;
	memset(link, 0, sizeof(*link));
	pthread_mutex_init(&link->seen, NULL);
	pthread_mutex_init(&link->gate, NULL);
	return &link->base;
}

void plane_port_free(struct dp_port *base)
{
	struct soft_link *link = soft_link(base);

	pthread_mutex_destroy(&link->gate);
	pthread_mutex_destroy(&link->seen);
	free(link);
}

/* A socket for each worker, as far as the kernel gives them: without, the others get all. */
static void share(struct psp_dp *dp, struct soft_link *link)
{
	const int32_t group = dp->n_workers > 1 ? soft_port_group(link->port) : -1;

	for (uint32_t i = 1; group >= 0 && i < dp->n_workers; i++) {
		struct soft_port *port = soft_link_port(link, i);

		if (port == NULL && soft_port_beside(link->port, &port) == 0)
			atomic_store_explicit(&link->ports[i], port, memory_order_release);
		else if (port != NULL)
			(void)soft_port_follow(port);
		if (port != NULL && port->ifindex == link->port->ifindex)
			(void)soft_port_join(port, group);
	}
}

int32_t soft_link_open(struct psp_dp *dp, struct soft_link *link, char *err, uint32_t err_cap)
{
	const struct psp_dp_port_desc *desc = &link->base.desc;
	int32_t status = soft_port_open(desc->name, (uint8_t)desc->kind, desc->vlan, &link->port,
					err, err_cap);

	if (status != 0)
		return status;
	memcpy(link->port->gateway, dp->base.config.gateway_mac, sizeof(link->port->gateway));
	atomic_store_explicit(&link->ports[0], link->port, memory_order_release);
	link->present = true;
	link->identity = 1;
	status = soft_port_query(link->port, &link->last);
	atomic_store_explicit(&link->mtu, link->last.mtu, memory_order_relaxed);
	if (status != 0)
		dp_open_fail(err, err_cap, "the kernel does not describe an interface");
	else
		share(dp, link);
	return status;
}

void soft_link_close(struct soft_link *link)
{
	for (uint32_t i = 0; i < SOFT_WORKERS_MAX; i++) {
		struct soft_port *port = soft_link_port(link, i);

		if (port != NULL)
			soft_port_close(port);
		atomic_store_explicit(&link->ports[i], NULL, memory_order_relaxed);
	}
	link->port = NULL;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static bool differs(const struct psp_dp_port_info *a, const struct psp_dp_port_info *b)
{
	return a->ifindex != b->ifindex || a->mtu != b->mtu || a->link_up != b->link_up ||
	       memcmp(a->mac, b->mac, sizeof(a->mac)) != 0;
}

/* Before a port is bound anew: another socket knows nothing of it. */
static void count_lost(struct soft_worker *worker, struct soft_link *link)
{
	const bool from_host = link->base.desc.kind == PSP_DP_PORT_HOST;
	uint64_t lost = 0;

	for (uint32_t i = 0; i < worker->dp->n_workers; i++) {
		const struct soft_port *port = soft_link_port(link, i);

		if (port != NULL)
			lost += soft_port_lost(port);
	}
	soft_worker_count(worker, from_host ? DP_HOST_RX_FULL : DP_UPLINK_RX_FULL, lost);
}

void soft_link_look(struct soft_worker *worker, struct soft_link *link)
{
	struct psp_dp *dp = worker->dp;
	struct psp_dp_event event = {.type = PSP_DP_EVENT_PORT, .port = link->base.handle};
	struct psp_dp_port_info now;
	bool present, changed;
	int32_t bound;

	count_lost(worker, link);
	bound = soft_port_follow(link->port);
	present = bound >= 0 && soft_port_query(link->port, &now) == 0;
	if (present)
		share(dp, link);
	pthread_mutex_lock(&link->seen);
	changed = bound == 1 || present != link->present || (present && differs(&now, &link->last));
	link->identity += bound == 1;
	link->present = present;
	if (present) {
		link->last = now;
		atomic_store_explicit(&link->mtu, now.mtu, memory_order_relaxed);
	} else {
		link->last.link_up = 0;
	}
	pthread_mutex_unlock(&link->seen);
	if (changed && !dp_events_push(&dp->base.events, &event, NULL, 0))
		soft_worker_count(worker, DP_PORTS_LOST, 1);
}

static uint64_t read_count(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

int32_t soft_link_query(struct soft_link *link, struct psp_dp_port_info *info)
{
	struct psp_dp_port_info now;
	struct psp_dp_stats rx, tx;
	int32_t status = soft_port_query(link->port, &now);

	if (status != 0 && status != PSP_DP_ENODEV)
		return status;
	pthread_mutex_lock(&link->seen);
	/* An interface of its name that its worker has not bound to yet is not its own. */
	info->present = status == 0 && link->present && now.ifindex == link->last.ifindex;
	if (!info->present)
		now = link->last;
	info->identity = link->identity;
	pthread_mutex_unlock(&link->seen);
	info->ifindex = now.ifindex;
	info->mtu = now.mtu;
	memcpy(info->mac, now.mac, sizeof(info->mac));
	info->link_up = info->present != 0 && now.link_up != 0;
	soft_stats_read(&link->rx, &rx);
	info->rx_packets = rx.packets;
	info->rx_bytes = rx.bytes;
	soft_stats_read(&link->tx, &tx);
	info->tx_packets = tx.packets;
	info->tx_bytes = tx.bytes;
	info->tx_busy = read_count(&link->tx_busy);
	info->tx_error = read_count(&link->tx_error);
	return 0;
}
