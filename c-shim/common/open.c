/* SPDX-License-Identifier: Apache-2.0 */
/* open.c: opening, starting, stopping and closing, and what is asked of the library as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "limits.h"
#include "plane.h"

int32_t psp_dp_abi_version(uint32_t *abi)
{
	if (abi == NULL)
		return PSP_DP_EINVAL;
	*abi = PSP_DP_ABI_VERSION;
	return 0;
}

int32_t psp_dp_version(char *buf, uint32_t cap, uint32_t *len)
{
	char text[512];

	if (len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	plane_version(text, sizeof(text));
	*len = (uint32_t)strlen(text);
	if (*len > cap)
		return PSP_DP_ERANGE;
	memcpy(buf, text, *len);
	return 0;
}

/* ---- open ------------------------------------------------------------------------------------ */

static int32_t check(const struct psp_dp_config *config, const struct psp_dp_port_desc *ports,
		     uint32_t n_ports, char *why, size_t cap)
{
	int32_t status;

	if (!dp_limits_hold(config, why, cap))
		return PSP_DP_EINVAL;
	if (config->versions >> PSP_VERSIONS != 0) {
		(void)snprintf(why, cap, "versions names one that PSP does not have");
		return PSP_DP_EINVAL;
	}
	if (config->inspect > PSP_DP_INSPECT_ALL) {
		(void)snprintf(why, cap, "inspect is none of off, syn and all");
		return PSP_DP_EINVAL;
	}
	if (config->workers > PSP_DP_WORKERS_MAX ||
	    config->busy_poll_us > PSP_DP_BUSY_POLL_US_MAX) {
		(void)snprintf(why, cap, "workers are at most %u, and busy_poll_us at most %u",
			       PSP_DP_WORKERS_MAX, PSP_DP_BUSY_POLL_US_MAX);
		return PSP_DP_EINVAL;
	}
	if (config->queues != 0) {
		(void)snprintf(why, cap, "no plane has a choice of queues");
		return PSP_DP_ENOTSUP;
	}
	status = dp_ports_check(ports, n_ports, why, cap);
	return status == 0 ? plane_check(config, ports, n_ports, why, cap) : status;
}

/* Everything that can be given back by give_back(), whether it got this far or not. */
static struct psp_dp *plane_new(const struct psp_dp_config *config)
{
	struct psp_dp *dp = plane_alloc();
	struct dp_plane *plane = dp_plane_of(dp);

	if (dp == NULL)
		return NULL;
	plane->config = *config;
	pthread_mutex_init(&plane->writer, NULL);
	pthread_mutex_init(&plane->stopping, NULL);
	pthread_mutex_init(&plane->error_lock, NULL);
	pthread_rwlock_init(&plane->ports.lock, NULL);
	dp_handles_init(&plane->entries, config->max_entries);
	return dp;
}

/* In the reverse order of open_all(). Nothing runs and no event_wait is inside. */
static void give_back(struct psp_dp *dp)
{
	struct dp_plane *plane = dp_plane_of(dp);

	plane_down(dp);
	dp_hold_free(&plane->hold);
	dp_events_free(&plane->events);
	dp_keys_down(dp);
	dp_handles_free(&plane->entries);
	for (uint32_t i = 0; i < PSP_DP_PORTS_MAX; i++) {
		struct dp_port *port =
			atomic_load_explicit(&plane->ports.slot[i], memory_order_relaxed);

		if (port != NULL)
			plane_port_free(port);
	}
	pthread_rwlock_destroy(&plane->ports.lock);
	pthread_mutex_destroy(&plane->error_lock);
	pthread_mutex_destroy(&plane->stopping);
	pthread_mutex_destroy(&plane->writer);
	free(dp);
}

static int32_t make_ports(struct psp_dp *dp, const struct psp_dp_port_desc *descs, uint32_t n)
{
	int32_t status = 0;

	for (uint32_t i = 0; status == 0 && i < n; i++) {
		struct dp_port *port;

		status = dp_port_make(dp, &descs[i], &port);
		if (status == 0)
			dp_port_publish(dp, port);
	}
	return status;
}

static int32_t open_all(struct psp_dp *dp, const struct psp_dp_port_desc *ports, uint32_t n_ports,
			char *err, uint32_t err_cap)
{
	struct dp_plane *plane = dp_plane_of(dp);
	const struct psp_dp_config *config = &plane->config;
	struct dp_hold_limits limits = {.packets_per_flow = config->hold_packets_per_flow,
					.flows = config->hold_flows,
					.bytes = config->hold_bytes};
	int32_t status = dp_keys_up(dp, err, err_cap);

	if (status != 0)
		return status;
	status = make_ports(dp, ports, n_ports);
	if (status == 0)
		status = dp_events_init(&plane->events, config->ring_bytes);
	if (status == 0)
		status = dp_hold_init(&plane->hold, &limits, &plane->counters, &plane->events);
	if (status != 0) {
		dp_open_fail(err, err_cap,
			     status == PSP_DP_ENOMEM ? "out of memory"
						     : "the kernel gives no random octets");
		return status;
	}
	return plane_up(dp, err, err_cap);
}

int32_t psp_dp_open(const struct psp_dp_config *config, const struct psp_dp_port_desc *ports,
		    uint32_t n_ports, struct psp_dp **out, char *err, uint32_t err_cap)
{
	struct psp_dp_config filled;
	struct psp_dp *dp;
	char why[160];
	int32_t status;

	if (err == NULL)
		err_cap = 0;
	if (err_cap > 0)
		err[0] = 0;
	if (out != NULL)
		*out = NULL;
	if (config == NULL || ports == NULL || out == NULL || config->size != sizeof(*config)) {
		dp_open_fail(err, err_cap,
			     "the configuration or its ports are missing, or of a size that is not "
			     "known");
		return PSP_DP_EINVAL;
	}
	status = check(config, ports, n_ports, why, sizeof(why));
	if (status != 0) {
		dp_open_fail(err, err_cap, why);
		return status;
	}
	filled = *config;
	dp_limits_fill(&filled);
	if (filled.versions == 0)
		filled.versions = PSP_VERSIONS_DEFAULT;
	dp = plane_new(&filled);
	if (dp == NULL) {
		dp_open_fail(err, err_cap, "out of memory");
		return PSP_DP_ENOMEM;
	}
	status = open_all(dp, ports, n_ports, err, err_cap);
	if (status != 0)
		give_back(dp);
	else
		*out = dp;
	return status;
}

int32_t psp_dp_granted(struct psp_dp *dp, struct psp_dp_granted *granted)
{
	const struct psp_dp_config *config = &dp_plane_of(dp)->config;

	if (dp == NULL || granted == NULL || granted->size != sizeof(*granted))
		return PSP_DP_EINVAL;
	*granted = (struct psp_dp_granted){
		.size = sizeof(*granted),
		.max_entries = config->max_entries,
		.max_crypto_ids = config->max_crypto_ids,
		.hold_packets_per_flow = config->hold_packets_per_flow,
		.hold_flows = config->hold_flows,
		.sample_bytes = config->sample_bytes,
		.hold_bytes = config->hold_bytes,
		.features = plane_features(dp),
	};
	memcpy(granted->ring_bytes, config->ring_bytes, sizeof(granted->ring_bytes));
	plane_granted(dp, granted);
	return 0;
}

/* ---- start, stop and close ------------------------------------------------------------------------- */

int32_t psp_dp_start(struct psp_dp *dp)
{
	struct dp_plane *plane = dp_plane_of(dp);
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_lock(dp);
	if (plane->started)
		status = dp_fail(dp, PSP_DP_EBUSY, "Cannot start plane: it runs already");
	else if (plane->stopped)
		status = dp_fail(dp, PSP_DP_ECLOSED, "Cannot start plane: it was stopped");
	else
		status = plane_start(dp);
	plane->started = plane->started || status == 0;
	dp_unlock(dp);
	return status;
}

int32_t psp_dp_stop(struct psp_dp *dp)
{
	struct dp_plane *plane = dp_plane_of(dp);

	if (dp == NULL)
		return PSP_DP_EINVAL;
	/* Whoever starts it at this moment finishes first. */
	dp_lock(dp);
	plane->stopped = true;
	dp_unlock(dp);
	dp_events_stop(&plane->events);
	pthread_mutex_lock(&plane->stopping);
	plane_stop(dp);
	pthread_mutex_unlock(&plane->stopping);
	return 0;
}

int32_t psp_dp_close(struct psp_dp *dp)
{
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	if (dp_events_is_read(&dp_plane_of(dp)->events))
		return dp_fail(dp, PSP_DP_EBUSY,
			       "Cannot close plane: a call is waiting for its events");
	status = psp_dp_stop(dp);
	if (status != 0)
		return status;
	/* Whoever changes tables at this moment finishes first. */
	dp_lock(dp);
	dp_unlock(dp);
	give_back(dp);
	return 0;
}
