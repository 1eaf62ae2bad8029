/* SPDX-License-Identifier: Apache-2.0 */
/* plane.c: what the soft plane opens, starts and closes, and its ports as the agent asks about them. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/net.h"
#include "../psp/forwarding.h"
#include "soft.h"

_Static_assert(offsetof(struct psp_dp, base) == 0 && offsetof(struct soft_pipe, base) == 0 &&
		       offsetof(struct soft_link, base) == 0,
	       "what is common comes first");
_Static_assert(SOFT_RCU_READERS >= SOFT_WORKERS_MAX && DP_BLOCK_SHARED >= SOFT_WORKERS_MAX,
	       "each worker is a reader, and has a block of counters");

void plane_version(char *text, size_t cap)
{
	const struct psp_crypto_backend *backend;
	size_t at = (size_t)snprintf(text, cap, "soft " PSP_AGENT_VERSION "; backends:");

	for (uint32_t i = 0; (backend = psp_crypto_backend_at(i)) != NULL && at < cap; i++)
		at += (size_t)snprintf(text + at, cap - at, "%s %s %s", i > 0 ? "," : "",
				       backend->name, backend->version());
}

/* ---- open ------------------------------------------------------------------------------------ */

int32_t plane_check(const struct psp_dp_config *config, const struct psp_dp_port_desc *ports,
		    uint32_t n_ports, char *why, size_t cap)
{
	const char *hardware = config->hugepages_mb != 0     ? "hugepages_mb"
			       : config->mbufs != 0          ? "mbufs"
			       : config->actions_memory != 0 ? "actions_memory"
			       : config->devargs[0] != 0     ? "devargs"
			       : config->representor[0] != 0 ? "representor"
			       : config->flow_mode[0] != 0   ? "flow_mode"
			       : config->inspect != 0        ? "inspect"
							     : NULL;

	(void)ports;
	(void)n_ports;
	if (hardware == NULL)
		return 0;
	(void)snprintf(why, cap, "%s is of hardware alone", hardware);
	return PSP_DP_ENOTSUP;
}

uint32_t plane_features(const struct psp_dp *dp)
{
	(void)dp;
	return PSP_DP_FEATURE_IV_START | PSP_DP_FEATURE_IV_COUNTS | PSP_DP_FEATURE_REPLAY_WINDOW |
	       PSP_DP_FEATURE_NETWORKS;
}

void plane_granted(struct psp_dp *dp, struct psp_dp_granted *granted)
{
	granted->workers = dp->n_workers;
}

struct psp_dp *plane_alloc(void)
{
	struct psp_dp *dp = NULL;

	/* Counters and RCU readers each have cache lines of their own. */
	if (posix_memalign((void **)&dp, 64, sizeof(*dp)) != 0)
		return NULL;
	memset(dp, 0, sizeof(*dp));
	dp->sink[0] = -1;
	dp->sink[1] = -1;
	soft_rcu_init(&dp->rcu);
	for (uint32_t i = 0; i < SOFT_RULE_SIZES; i++)
		psp_slab_init(&dp->rules[i], (i + 1) * SOFT_RULE_GRAIN);
	psp_slab_init(&dp->slots, sizeof(struct soft_tx_slot));
	for (uint32_t i = 0; i < SOFT_ENTRY_LINES_MAX; i++)
		psp_slab_init(&dp->entries[i], (i + 1) * PSP_PAGES_LINE);
	return dp;
}

/* ---- the kernel's copies --------------------------------------------------------------------- */

static bool wants_guard(const struct soft_link *link)
{
	return link->base.desc.guard != PSP_DP_GUARD_NEVER;
}

/*
 * The plane reads frames beside the kernel, it does not take them away. Where there is no ingress guard (guard.h), a kernel
 * that forwards what comes in on the host port would send tenants' packets on in clear text. PSP_DP_EPERM, and in err what to
 * set, when it would.
 */
static int32_t refuse_forwarding(const char *host, char *err, uint32_t err_cap)
{
	const uint8_t found = psp_forwarding(host);

	if (found & PSP_FORWARDS_IPV4) {
		(void)snprintf(err, err_cap,
			       "Cannot open host port \"%s\": the kernel forwards its IPv4 packets "
			       "in clear text; set net.ipv4.conf.%s.forwarding=0, "
			       "or let the agent have its ingress guard",
			       host, host);
		return PSP_DP_EPERM;
	}
	if (found & PSP_FORWARDS_IPV6) {
		(void)snprintf(err, err_cap,
			       "Cannot open host port \"%s\": the kernel forwards its IPv6 packets "
			       "in clear text; set net.ipv6.conf.%s.disable_ipv6=1, "
			       "or let the agent have its ingress guard",
			       host, host);
		return PSP_DP_EPERM;
	}
	return PSP_DP_OK;
}

/* A port that the guard does not have: the kernel must do the least with its copies. */
static int32_t shield_without(struct psp_dp *dp, const struct soft_link *link, char *err,
			      uint32_t err_cap)
{
	if (link->base.desc.kind == PSP_DP_PORT_HOST)
		return refuse_forwarding(link->base.desc.name, err, err_cap);
	return soft_port_sink_open(dp->sink, err, err_cap);
}

/* All or none of the ports that are there: an agent whose guard stands in part has a kernel that does not let it. */
static int32_t set_guard(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	struct soft_guard_port ports[PSP_DP_PORTS_MAX];
	uint8_t reason = PSP_DP_GUARD_NO_REASON;
	bool required = false;
	uint32_t n = 0;
	int32_t status;

	SOFT_EACH_LINK (dp, link) {
		if (!wants_guard(link))
			continue;
		required |= link->base.desc.guard == PSP_DP_GUARD_REQUIRE;
		ports[n++] = (struct soft_guard_port){.handle = link->base.handle,
						      .kind = link->base.desc.kind,
						      .vlan = link->base.desc.vlan,
						      .name = link->base.desc.name};
	}
	if (n == 0)
		return 0;
	status = soft_guard_open(dp->uplink->base.desc.name, ports, n, &dp->guard, &reason, err,
				 err_cap);
	SOFT_EACH_LINK (dp, link) {
		link->guarded = status == 0 && wants_guard(link);
		link->guard_reason = wants_guard(link) ? reason : PSP_DP_GUARD_NO_REASON;
	}
	return required || status == PSP_DP_EBUSY || status == PSP_DP_ENOMEM ? status : 0;
}

static int32_t shield(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	int32_t status = set_guard(dp, err, err_cap);

	SOFT_EACH_LINK (dp, link) {
		if (status == 0 && !link->guarded)
			status = shield_without(dp, link, err, err_cap);
	}
	return status;
}

/* One that has come to those that are there. */
static int32_t shield_one(struct psp_dp *dp, struct soft_link *link, char *err, uint32_t err_cap)
{
	const struct soft_guard_port port = {.handle = link->base.handle,
					     .kind = link->base.desc.kind,
					     .vlan = link->base.desc.vlan,
					     .name = link->base.desc.name};
	int32_t status;

	if (wants_guard(link)) {
		status = dp->guard != NULL
				 ? soft_guard_add(dp->guard, &port, &link->guard_reason, err,
						  err_cap)
				 : soft_guard_open(dp->uplink->base.desc.name, &port, 1, &dp->guard,
						   &link->guard_reason, err, err_cap);
		link->guarded = status == 0;
		if (status == 0 || status == PSP_DP_ENOMEM ||
		    link->base.desc.guard == PSP_DP_GUARD_REQUIRE)
			return status;
	}
	return shield_without(dp, link, err, err_cap);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static int32_t make_workers(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	const uint32_t wanted = soft_workers_wanted(&dp->base.config);
	int32_t status = 0;

	while (status == 0 && dp->n_workers < wanted) {
		status = soft_worker_new(dp, dp->n_workers, &dp->workers[dp->n_workers]);
		dp->n_workers++;
	}
	if (status != 0)
		dp_open_fail(err, err_cap,
			     status == PSP_DP_ENOMEM ? "out of memory"
						     : "the kernel or the crypto library refused");
	return status;
}

/* Opens an interface, and has the workers read it. */
static int32_t put_up(struct psp_dp *dp, struct soft_link *link, char *err, uint32_t err_cap)
{
	int32_t status = soft_link_open(dp, link, err, err_cap);

	for (uint32_t i = 0; status == 0 && i < dp->n_workers; i++)
		soft_worker_watch(dp->workers[i], link);
	return status;
}

int32_t plane_up(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	int32_t status = soft_keys_init(dp);

	if (status != 0)
		dp_open_fail(err, err_cap,
			     status == PSP_DP_ENOMEM ? "out of memory"
						     : "the kernel gives no random octets");
	if (status == 0)
		status = make_workers(dp, err, err_cap);
	SOFT_EACH_LINK (dp, link) {
		if (status == 0)
			status = put_up(dp, link, err, err_cap);
		if (link->base.desc.kind == PSP_DP_PORT_UPLINK)
			dp->uplink = link;
	}
	return status == 0 ? shield(dp, err, err_cap) : status;
}

void plane_down(struct psp_dp *dp)
{
	for (uint32_t i = 0; i < dp->n_workers; i++)
		soft_worker_free(dp->workers[i]);
	SOFT_EACH_LINK (dp, link)
		soft_link_close(link);
	soft_pipes_free(dp);
	soft_rcu_wait(&dp->rcu);
	soft_keys_free(dp);
	for (uint32_t i = 0; i < SOFT_RULE_SIZES; i++)
		psp_slab_free(&dp->rules[i]);
	psp_slab_free(&dp->slots);
	soft_replays_free(&dp->replays);
	for (uint32_t i = 0; i < SOFT_ENTRY_LINES_MAX; i++)
		psp_slab_free(&dp->entries[i]);
	soft_guard_close(dp->guard);
	for (uint32_t i = 0; i < 2; i++) {
		if (dp->sink[i] >= 0)
			(void)close(dp->sink[i]);
	}
}

static void put_down(struct psp_dp *dp, struct soft_link *link)
{
	for (uint32_t i = 0; i < dp->n_workers; i++)
		soft_worker_ignore(dp->workers[i], link);
	/* Its packets, and what others send there. */
	soft_rcu_wait(&dp->rcu);
	if (link->guarded)
		soft_guard_remove(dp->guard, link->base.handle);
	soft_link_close(link);
}

int32_t plane_port_up(struct psp_dp *dp, struct dp_port *base, char *err, uint32_t err_cap)
{
	struct soft_link *link = soft_link(base);
	int32_t status = put_up(dp, link, err, err_cap);

	if (status == 0)
		status = shield_one(dp, link, err, err_cap);
	if (status != 0)
		put_down(dp, link);
	return status;
}

int32_t plane_port_may_go(struct psp_dp *dp, const struct dp_port *port)
{
	(void)dp;
	(void)port;
	return 0;
}

void plane_port_down(struct psp_dp *dp, struct dp_port *port)
{
	put_down(dp, soft_link(port));
}

/* ---- start and stop -------------------------------------------------------------------------- */

void plane_stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	for (uint32_t i = 0; i < dp->n_workers; i++)
		soft_worker_wake(dp->workers[i]);
	for (uint32_t i = 0; i < dp->n_workers; i++)
		soft_worker_join(dp->workers[i]);
}

int32_t plane_start(struct psp_dp *dp)
{
	int32_t status = 0;

	for (uint32_t i = 0; status == 0 && i < dp->n_workers; i++)
		status = soft_worker_start(dp->workers[i]);
	if (status == 0)
		return 0;
	plane_stop(dp);
	atomic_store_explicit(&dp->stop, false, memory_order_release);
	return dp_fail(dp, status, "Cannot start plane: no thread for a worker");
}

/* ---- while it runs --------------------------------------------------------------------------- */

/* The workers count at once. */
void plane_count(struct psp_dp *dp)
{
	(void)dp;
}

static void tell_guard(struct psp_dp *dp, const struct soft_link *link,
		       struct psp_dp_port_info *info)
{
	if (link->guarded) {
		soft_guard_look(dp->guard, link->base.handle, info);
		return;
	}
	info->guard_reason = link->guard_reason;
	info->guard = wants_guard(link) ? PSP_DP_GUARD_ABSENT : PSP_DP_GUARD_OFF;
}

int32_t plane_port_query(struct psp_dp *dp, struct dp_port *port, struct psp_dp_port_info *info)
{
	struct soft_link *link = soft_link(port);
	int32_t status = soft_link_query(link, info);

	if (status != 0)
		return dp_fail(dp, status, "Cannot query port %u: the kernel refused",
			       port->handle);
	/* The kernel gets no copies from what is not there. */
	if (info->present == 0)
		return 0;
	tell_guard(dp, link, info);
	if (port->desc.kind == PSP_DP_PORT_HOST && info->guard != PSP_DP_GUARD_STANDS)
		info->forwards = psp_forwarding(port->desc.name);
	return 0;
}

int32_t plane_inject(struct psp_dp *dp, struct dp_port *port, const uint8_t *frame, uint32_t len)
{
	struct soft_link *link = soft_link(port);
	struct dp_packet packet = {.port = (uint8_t)port->desc.kind, .len = len};
	uint8_t *buf = malloc(DP_HEADROOM + len);
	bool retry = false;
	int32_t status;

	if (buf == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot inject: out of memory");
	memcpy(buf + DP_HEADROOM, frame, len);
	packet.frame = buf + DP_HEADROOM;
	status = soft_port_send(link->port, &packet, &retry);
	free(buf);
	if (status == 0)
		soft_stats_add_shared(&link->tx, 1, len - NET_ETH_LEN);
	if (status != 0)
		return dp_fail(dp, status, "Cannot inject into port %u: %s", port->handle,
			       retry ? "its queue is full" : "the kernel refused");
	return 0;
}
