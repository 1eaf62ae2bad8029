/* SPDX-License-Identifier: Apache-2.0 */
/* plane.c: opening, starting and closing, and what is asked of the plane as a whole. */
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../psp/wire.h"
#include "dpu.h"
#include "eal.h"
#include "preflight.h"

#define ENTRIES_DEFAULT 262144u
#define CRYPTO_IDS_DEFAULT 131072u
#define LIMIT (1u << 24) /* leaves 8 bits of a handle to its generation; above, marks begin */
#define HOLD_PACKETS_DEFAULT 64u
#define HOLD_FLOWS_DEFAULT 16384u
#define HOLD_FLOWS_LIMIT (1u << 20)
#define HOLD_BYTES_DEFAULT (UINT64_C(16) << 20)
#define EVENT_BYTES_DEFAULT (1u << 20)
#define EVENT_BYTES_LIMIT (1u << 30)
#define SAMPLE_BYTES_DEFAULT 128u
#define VLAN_ID_MAX 4094u
#define MATCH_BUCKETS_MAX (1u << 18)

int32_t psp_dp_abi_version(uint32_t *abi)
{
	if (abi == NULL)
		return PSP_DP_EINVAL;
	*abi = PSP_DP_ABI_VERSION;
	return 0;
}

int32_t psp_dp_version(char *buf, uint32_t cap, uint32_t *len)
{
	char text[256];
	int n;

	if (len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	n = snprintf(text, sizeof(text), "doca " DPU_VERSION "; DOCA %s, built with %s; %s",
		     doca_version_runtime(), doca_version(), rte_version());
	if (n < 0)
		return PSP_DP_EIO;
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
		return "uplink is not a PCI address";
	if (memchr(host, 0, sizeof(config->host)) == NULL || host[0] == 0)
		return "host is not a representor";
	if (strcmp(uplink, host) == 0)
		return "uplink and host are the same";
	if (memchr(config->options, 0, sizeof(config->options)) == NULL)
		return "options have no end";
	if (config->max_entries > LIMIT || config->max_crypto_ids > LIMIT)
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

/* ---- open ------------------------------------------------------------------------------------ */

static struct psp_dp *plane_new(const struct psp_dp_config *config)
{
	struct psp_dp *dp = NULL;

	/* Counters have cache lines of their own. */
	if (posix_memalign((void **)&dp, 64, sizeof(*dp)) != 0)
		return NULL;
	memset(dp, 0, sizeof(*dp));
	dp->config = *config;
	dp->outer_ip_len = 20;
	pthread_mutex_init(&dp->writer, NULL);
	pthread_mutex_init(&dp->matches_lock, NULL);
	pthread_mutex_init(&dp->error_lock, NULL);
	dpu_handles_init(&dp->handles, config->max_entries);
	dpu_trace_open(&dp->trace);
	return dp;
}

/* In the reverse order of open_all(). Nothing polls and no event_wait is inside. */
static void give_back(struct psp_dp *dp, bool has_eal)
{
	dpu_flow_down(dp);
	dpu_pipes_free(dp);
	dpu_limbo_free(dp);
	dpu_nic_down(dp);
	dpu_device_down(dp);
	if (has_eal)
		dpu_eal_give();
	dpu_keys_down(dp);
	dp_hold_free(&dp->hold);
	dp_events_free(&dp->events);
	dpu_handles_free(&dp->handles);
	free(dp->matches);
	dpu_trace_close(&dp->trace);
	pthread_mutex_destroy(&dp->error_lock);
	pthread_mutex_destroy(&dp->matches_lock);
	pthread_mutex_destroy(&dp->writer);
	free(dp);
}

static int32_t make_tables(struct psp_dp *dp)
{
	const struct psp_dp_config *config = &dp->config;
	struct dp_hold_limits limits = {.packets_per_flow = config->hold_packets_per_flow,
					.flows = config->hold_flows,
					.bytes = config->hold_bytes};
	uint32_t buckets = 1;
	int32_t status;

	while (buckets < config->max_entries && buckets < MATCH_BUCKETS_MAX)
		buckets *= 2;
	dp->matches = calloc(buckets, sizeof(*dp->matches));
	dp->matches_mask = buckets - 1;
	if (dp->matches == NULL)
		return dpu_fail(dp, PSP_DP_ENOMEM, "out of memory");
	status = dp_events_init(&dp->events, config->event_bytes);
	if (status == 0)
		status = dp_hold_init(&dp->hold, &limits, &dp->counters, &dp->events);
	if (status == 0)
		status = dp_random(&dp->syndromes.seed, sizeof(dp->syndromes.seed));
	if (status == 0)
		status = dp_random(&dp->too_bigs.seed, sizeof(dp->too_bigs.seed));
	return status == 0 ? dpu_keys_up(dp)
			   : dpu_fail(dp, status, "out of memory, or of random octets");
}

static int32_t open_all(struct psp_dp *dp, bool *has_eal)
{
	char why[160];
	const char *wrong = dpu_options_parse(dp->config.options, &dp->options, why, sizeof(why));
	int32_t status;

	if (wrong != NULL)
		return dpu_fail(dp, PSP_DP_EINVAL, "%s", wrong);
	status = dpu_preflight(dp);
	if (status == 0)
		status = make_tables(dp);
	if (status == 0)
		status = dpu_eal_take(dp);
	*has_eal = status == 0;
	if (status == 0)
		status = dpu_device_up(dp);
	if (status == 0)
		status = dpu_nic_up(dp);
	if (status == 0)
		status = dpu_flow_up(dp);
	return status == 0 ? dpu_master_up(dp) : status;
}

int32_t psp_dp_open(const struct psp_dp_config *config, struct psp_dp **out, char *err,
		    uint32_t err_cap)
{
	struct psp_dp_config filled;
	bool has_eal = false;
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
	status = open_all(dp, &has_eal);
	if (status != 0) {
		say(err, err_cap, dp->error);
		give_back(dp, has_eal);
	} else {
		*out = dp;
	}
	return status;
}

/* ---- start and close ------------------------------------------------------------------------- */

int32_t psp_dp_start(struct psp_dp *dp)
{
	int32_t status;

	if (dp == NULL)
		return PSP_DP_EINVAL;
	pthread_mutex_lock(&dp->writer);
	if (dp->started)
		status = dpu_fail(dp, PSP_DP_EBUSY, "Cannot start plane: it runs already");
	else
		status = dpu_poll_start(dp);
	dp->started = dp->started || status == 0;
	pthread_mutex_unlock(&dp->writer);
	return status;
}

int32_t psp_dp_close(struct psp_dp *dp)
{
	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_events_close(&dp->events);
	dpu_poll_stop(dp);
	/* Whoever changes tables at this moment finishes first. */
	pthread_mutex_lock(&dp->writer);
	pthread_mutex_unlock(&dp->writer);
	give_back(dp, true);
	return 0;
}
