/* SPDX-License-Identifier: Apache-2.0 */
/* plane.c: opening, starting and closing, and what is asked of the plane as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "forwarding.h"
#include "soft.h"

#define ENTRIES_DEFAULT 262144u
#define CRYPTO_IDS_DEFAULT 131072u
#define HOLD_PACKETS_DEFAULT 64u
#define HOLD_FLOWS_DEFAULT 16384u
#define HOLD_FLOWS_LIMIT (1u << 20)
#define HOLD_BYTES_DEFAULT (UINT64_C(16) << 20)
#define EVENT_BYTES_DEFAULT (1u << 20)
#define EVENT_BYTES_LIMIT (1u << 30)
#define SAMPLE_BYTES_DEFAULT 128u
#define VLAN_ID_MAX 4094u

uint64_t soft_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int32_t psp_dp_abi_version(uint32_t *abi)
{
	if (abi == NULL)
		return PSP_DP_EINVAL;
	*abi = PSP_DP_ABI_VERSION;
	return 0;
}

int32_t psp_dp_version(char *buf, uint32_t cap, uint32_t *len)
{
	const struct psp_crypto_backend *backend;
	char text[512];
	size_t at;

	if (len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	at = (size_t)snprintf(text, sizeof(text), "soft " SOFT_VERSION "; backends:");
	for (uint32_t i = 0; (backend = psp_crypto_backend_at(i)) != NULL && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s %s %s", i > 0 ? "," : "",
				       backend->name, backend->version());
	*len = (uint32_t)strlen(text);
	if (*len > cap)
		return PSP_DP_ERANGE;
	memcpy(buf, text, *len);
	return 0;
}

#define DEFAULT(field, value) ((field) = (field) != 0 ? (field) : (value))

static void fill_defaults(struct psp_dp_config *config)
{
	DEFAULT(config->max_entries, ENTRIES_DEFAULT);
	DEFAULT(config->max_crypto_ids, CRYPTO_IDS_DEFAULT);
	DEFAULT(config->hold_packets_per_flow, HOLD_PACKETS_DEFAULT);
	DEFAULT(config->hold_flows, HOLD_FLOWS_DEFAULT);
	DEFAULT(config->hold_bytes, HOLD_BYTES_DEFAULT);
	DEFAULT(config->event_bytes, EVENT_BYTES_DEFAULT);
	DEFAULT(config->sample_bytes, SAMPLE_BYTES_DEFAULT);
	DEFAULT(config->versions, PSP_VERSIONS_DEFAULT);
}

/* What is wrong with a configuration whose defaults are filled in; NULL: nothing. */
static const char *complaint(const struct psp_dp_config *config)
{
	const char *uplink = config->uplink, *host = config->host;

	if (memchr(uplink, 0, sizeof(config->uplink)) == NULL || uplink[0] == 0)
		return "uplink is not the name of an interface";
	if (memchr(host, 0, sizeof(config->host)) == NULL || host[0] == 0)
		return "host is not the name of an interface";
	if (strcmp(uplink, host) == 0)
		return "uplink and host are the same interface";
	if (config->options[0] != 0)
		return "the soft plane has no options";
	if (config->max_entries > SOFT_ENTRIES_LIMIT || config->max_crypto_ids > SOFT_ENTRIES_LIMIT)
		return "max_entries and max_crypto_ids go up to 2^24";
	if (config->hold_flows > HOLD_FLOWS_LIMIT)
		return "hold_flows goes up to 2^20";
	if (config->event_bytes < DP_EVENT_BYTES_MIN || config->event_bytes > EVENT_BYTES_LIMIT)
		return "event_bytes is not within 4096 and 2^30";
	if (config->sample_bytes > DP_EXCEPTION_BYTES)
		return "sample_bytes goes up to 2048";
	if (config->versions >> PSP_VERSIONS != 0)
		return "versions names one that PSP does not have";
	if (config->uplink_vlan > VLAN_ID_MAX)
		return "uplink_vlan goes up to 4094";
	return NULL;
}

static void say(char *err, uint32_t err_cap, const char *why)
{
	if (err_cap > 0)
		(void)snprintf(err, err_cap, "Cannot open plane: %s", why);
}

/* Everything that can be given back by give_back(), whether it got this far or not. */
static struct psp_dp *plane_new(const struct psp_dp_config *config)
{
	struct psp_dp *dp = NULL;

	/* Counters and RCU readers each have cache lines of their own. */
	if (posix_memalign((void **)&dp, 64, sizeof(*dp)) != 0)
		return NULL;
	memset(dp, 0, sizeof(*dp));
	dp->config = *config;
	dp->sink[0] = -1;
	dp->sink[1] = -1;
	for (uint32_t i = 0; i < SOFT_WORKERS; i++) {
		dp->workers[i].wake = -1;
		pthread_mutex_init(&dp->send[i], NULL);
	}
	pthread_mutex_init(&dp->writer, NULL);
	pthread_mutex_init(&dp->error_lock, NULL);
	soft_rcu_init(&dp->rcu);
	soft_handles_init(&dp->handles, config->max_entries);
	return dp;
}

/* In the reverse order of open_all(). No worker runs and no event_wait is inside. */
static void give_back(struct psp_dp *dp)
{
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_free(&dp->workers[i]);
	soft_pipes_free(dp);
	soft_rcu_wait(&dp->rcu);
	dp_hold_free(&dp->hold);
	dp_events_free(&dp->events);
	if (dp->backend != NULL)
		soft_keys_free(dp);
	soft_handles_free(&dp->handles);
	for (uint32_t i = 0; i < 2; i++) {
		if (dp->sink[i] >= 0)
			(void)close(dp->sink[i]);
		if (dp->ports[i] != NULL)
			soft_port_close(dp->ports[i]);
		pthread_mutex_destroy(&dp->send[i]);
	}
	pthread_mutex_destroy(&dp->error_lock);
	pthread_mutex_destroy(&dp->writer);
	free(dp);
}

static int32_t open_all(struct psp_dp *dp, char *err, uint32_t err_cap)
{
	const struct psp_dp_config *config = &dp->config;
	struct dp_hold_limits limits = {.packets_per_flow = config->hold_packets_per_flow,
					.flows = config->hold_flows,
					.bytes = config->hold_bytes};
	int32_t status;

	dp->backend = psp_crypto_backend_by_id(config->backend);
	if (dp->backend == NULL) {
		say(err, err_cap, "the crypto backend is not built in, or not for this processor");
		return PSP_DP_ENOTSUP;
	}
	status = soft_port_open(config->uplink, PSP_DP_PORT_UPLINK, config->uplink_vlan,
				&dp->ports[PSP_DP_PORT_UPLINK], err, err_cap);
	if (status == 0)
		status = soft_forwarding_refuse(config->host, err, err_cap);
	if (status == 0)
		status = soft_port_open(config->host, PSP_DP_PORT_HOST, 0,
					&dp->ports[PSP_DP_PORT_HOST], err, err_cap);
	if (status == 0)
		status = soft_port_sink_open(dp->sink, err, err_cap);
	if (status != 0)
		return status;
	status = soft_keys_init(dp);
	if (status == 0)
		status = dp_events_init(&dp->events, config->event_bytes);
	if (status == 0)
		status = dp_hold_init(&dp->hold, &limits, &dp->counters, &dp->events);
	for (uint32_t i = 0; status == 0 && i < SOFT_WORKERS; i++)
		status = soft_worker_init(dp, i);
	if (status != 0)
		say(err, err_cap,
		    status == PSP_DP_ENOMEM ? "out of memory"
					    : "the kernel or the crypto library refused");
	return status;
}

int32_t psp_dp_open(const struct psp_dp_config *config, struct psp_dp **out, char *err,
		    uint32_t err_cap)
{
	struct psp_dp_config filled;
	struct psp_dp *dp;
	const char *why;
	int32_t status;

	if (err == NULL)
		err_cap = 0;
	if (err_cap > 0)
		err[0] = 0;
	if (out != NULL)
		*out = NULL;
	if (config == NULL || out == NULL || config->size != sizeof(*config)) {
		say(err, err_cap, "the configuration is missing, or of a size that is not known");
		return PSP_DP_EINVAL;
	}
	filled = *config;
	fill_defaults(&filled);
	why = complaint(&filled);
	if (why != NULL) {
		say(err, err_cap, why);
		return PSP_DP_EINVAL;
	}
	dp = plane_new(&filled);
	if (dp == NULL) {
		say(err, err_cap, "out of memory");
		return PSP_DP_ENOMEM;
	}
	status = open_all(dp, err, err_cap);
	if (status != 0)
		give_back(dp);
	else
		*out = dp;
	return status;
}

static void stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_wake(&dp->workers[i]);
	for (uint32_t i = 0; i < SOFT_WORKERS; i++)
		soft_worker_join(&dp->workers[i]);
}

int32_t psp_dp_start(struct psp_dp *dp)
{
	int32_t status = 0;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	if (dp->started)
		status = soft_fail(dp, PSP_DP_EBUSY, "Cannot start plane: it runs already");
	for (uint32_t i = 0; status == 0 && i < SOFT_WORKERS; i++) {
		status = soft_worker_start(&dp->workers[i]);
		if (status != 0) {
			stop(dp);
			atomic_store_explicit(&dp->stop, false, memory_order_release);
			(void)soft_fail(dp, status, "Cannot start plane: no thread for a worker");
		}
	}
	if (status == 0)
		dp->started = true;
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_close(struct psp_dp *dp)
{
	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_events_close(&dp->events);
	stop(dp);
	/* Whoever changes tables at this moment finishes first. */
	pthread_mutex_lock(&dp->writer);
	pthread_mutex_unlock(&dp->writer);
	give_back(dp);
	return 0;
}
