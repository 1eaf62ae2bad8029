/* SPDX-License-Identifier: Apache-2.0 */
/* plane.c: what the soft plane opens, starts and closes, and its two interfaces as the agent asks about them. */
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../psp/forwarding.h"
#include "forwarding.h"
#include "soft.h"

_Static_assert(offsetof(struct psp_dp, base) == 0 && offsetof(struct soft_pipe, base) == 0,
	       "what is common comes first");

void plane_version(char *text, size_t cap)
{
	const struct psp_crypto_backend *backend;
	size_t at = (size_t)snprintf(text, cap, "soft " PSP_AGENT_VERSION "; backends:");

	for (uint32_t i = 0; (backend = psp_crypto_backend_at(i)) != NULL && at < cap; i++)
		at += (size_t)snprintf(text + at, cap - at, "%s %s %s", i > 0 ? "," : "",
				       backend->name, backend->version());
}

/* ---- open ------------------------------------------------------------------------------------ */

int32_t plane_check(const struct psp_dp_config *config, char *why, size_t cap)
{
	const char *uplink = config->uplink, *host = config->host, *wrong = NULL;
	const char *hardware = config->hugepages_mb != 0     ? "hugepages_mb"
			       : config->mbufs != 0          ? "mbufs"
			       : config->actions_memory != 0 ? "actions_memory"
			       : config->devargs[0] != 0     ? "devargs"
			       : config->representor[0] != 0 ? "representor"
			       : config->flow_mode[0] != 0   ? "flow_mode"
							     : NULL;

	if (memchr(uplink, 0, sizeof(config->uplink)) == NULL || uplink[0] == 0)
		wrong = "uplink is not the name of an interface";
	else if (memchr(host, 0, sizeof(config->host)) == NULL || host[0] == 0)
		wrong = "host is not the name of an interface";
	else if (strcmp(uplink, host) == 0)
		wrong = "uplink and host are the same interface";
	else if (config->host_guard > PSP_DP_GUARD_NEVER)
		wrong = "host_guard is not auto, require or off";
	if (wrong != NULL)
		(void)snprintf(why, cap, "%s", wrong);
	else if (hardware != NULL)
		(void)snprintf(why, cap, "%s is of hardware alone", hardware);
	return wrong != NULL ? PSP_DP_EINVAL : hardware != NULL ? PSP_DP_ENOTSUP : 0;
}

void plane_granted(struct psp_dp *dp, struct psp_dp_granted *granted)
{
	(void)dp;
	granted->workers = SOFT_WORKERS;
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
	for (uint32_t i = 0; i < SOFT_WORKERS; i++) {
		dp->workers[i].wake = -1;
		pthread_mutex_init(&dp->send[i], NULL);
	}
	soft_rcu_init(&dp->rcu);
	return dp;
}

/* The kernel gets copies of what comes in. Without a guard it must do the least with them. */
static int32_t shield(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	const struct psp_dp_config *config = &dp->base.config;
	const struct soft_guard_ports ports = {
		.uplink = config->uplink, .host = config->host, .uplink_vlan = config->uplink_vlan};
	int32_t status;

	if (config->host_guard != PSP_DP_GUARD_NEVER) {
		status = soft_guard_open(&ports, &dp->guard, &dp->guard_reason, err, err_cap);
		if (status == 0 || status == PSP_DP_EBUSY || status == PSP_DP_ENOMEM ||
		    config->host_guard == PSP_DP_GUARD_REQUIRE)
			return status;
	}
	status = soft_forwarding_refuse(config->host, err, err_cap);
	return status == 0 ? soft_port_sink_open(dp->sink, err, err_cap) : status;
}

int32_t plane_up(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	const struct psp_dp_config *config = &dp->base.config;
	int32_t status;

	status = soft_port_open(config->uplink, PSP_DP_PORT_UPLINK, config->uplink_vlan,
				&dp->ports[PSP_DP_PORT_UPLINK], err, err_cap);
	if (status == 0)
		status = soft_port_open(config->host, PSP_DP_PORT_HOST, 0,
					&dp->ports[PSP_DP_PORT_HOST], err, err_cap);
	if (status == 0)
		status = shield(dp, err, err_cap);
	if (status != 0)
		return status;
	status = soft_keys_init(dp);
	for (uint32_t i = 0; status == 0 && i < SOFT_WORKERS; i++)
		status = soft_worker_init(dp, i);
	if (status != 0)
		dp_open_fail(err, err_cap,
			     status == PSP_DP_ENOMEM ? "out of memory"
						     : "the kernel or the crypto library refused");
	return status;
}

void plane_down(struct psp_dp *dp)
{
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_free(&dp->workers[i]);
	soft_pipes_free(dp);
	soft_rcu_wait(&dp->rcu);
	soft_keys_free(dp);
	soft_guard_close(dp->guard);
	for (uint32_t i = 0; i < 2; i++) {
		if (dp->sink[i] >= 0)
			(void)close(dp->sink[i]);
		if (dp->ports[i] != NULL)
			soft_port_close(dp->ports[i]);
		pthread_mutex_destroy(&dp->send[i]);
	}
}

/* ---- start and stop -------------------------------------------------------------------------- */

void plane_stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_wake(&dp->workers[i]);
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_join(&dp->workers[i]);
}

int32_t plane_start(struct psp_dp *dp)
{
	int32_t status = 0;

	for (uint32_t i = 0; status == 0 && i < SOFT_WORKERS; i++)
		status = soft_worker_start(&dp->workers[i]);
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

static void tell_guard(struct psp_dp *dp, uint32_t port, struct psp_dp_port_info *info)
{
	if (dp->guard != NULL) {
		soft_guard_look(dp->guard, port, info);
		return;
	}
	info->guard_reason = dp->guard_reason;
	info->guard = dp->base.config.host_guard == PSP_DP_GUARD_NEVER ? PSP_DP_GUARD_OFF
								       : PSP_DP_GUARD_ABSENT;
}

int32_t plane_port_query(struct psp_dp *dp, uint32_t port, struct psp_dp_port_info *info)
{
	int32_t status = soft_port_query(dp->ports[port], info);
	char name[IF_NAMESIZE];

	if (status != 0)
		return dp_fail(dp, status, "Cannot query port %u: the kernel refused", port);
	tell_guard(dp, port, info);
	if (port == PSP_DP_PORT_HOST && info->guard != PSP_DP_GUARD_STANDS &&
	    if_indextoname(info->ifindex, name) != NULL)
		info->forwards = psp_forwarding(name);
	return 0;
}

int32_t plane_inject(struct psp_dp *dp, uint32_t port, const uint8_t *frame, uint32_t len)
{
	struct dp_packet packet = {.port = (uint8_t)port, .len = len};
	uint8_t *buf = malloc(DP_HEADROOM + len);
	bool retry = false;
	int32_t status;

	if (buf == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot inject: out of memory");
	memcpy(buf + DP_HEADROOM, frame, len);
	packet.frame = buf + DP_HEADROOM;
	pthread_mutex_lock(&dp->send[port]);
	status = soft_port_send(dp->ports[port], &packet, &retry);
	pthread_mutex_unlock(&dp->send[port]);
	free(buf);
	if (status != 0)
		return dp_fail(dp, status, "Cannot inject into port %u: %s", port,
			       retry ? "its queue is full" : "the kernel refused");
	return 0;
}
