/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct limit {
	const char *name;
	size_t offset, size, n; /* n: there is a row of them */
	uint64_t min, fallback, max;
};

#define LIMIT(field, symbol)                                                                       \
	{                                                                                          \
#field, offsetof(struct psp_dp_config, field),                                     \
			sizeof(((struct psp_dp_config *)NULL)->field), 1, PSP_DP_##symbol##_MIN,   \
			PSP_DP_##symbol##_DEFAULT, PSP_DP_##symbol##_MAX                           \
	}

static const struct limit limits[] = {
	LIMIT(max_entries, MAX_ENTRIES),
	LIMIT(max_crypto_ids, MAX_CRYPTO_IDS),
	LIMIT(hold_packets_per_flow, HOLD_PACKETS_PER_FLOW),
	LIMIT(hold_flows, HOLD_FLOWS),
	LIMIT(hold_bytes, HOLD_BYTES),
	{"ring_bytes", offsetof(struct psp_dp_config, ring_bytes), sizeof(uint32_t),
	 PSP_DP_EVENT_CLASSES, PSP_DP_RING_BYTES_MIN, PSP_DP_RING_BYTES_DEFAULT,
	 PSP_DP_RING_BYTES_MAX},
	LIMIT(sample_bytes, SAMPLE_BYTES),
	LIMIT(hugepages_mb, HUGEPAGES_MB),
	LIMIT(mbufs, MBUFS),
	LIMIT(actions_memory, ACTIONS_MEMORY),
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

/* Of a port. */
static const struct limit vlan = {"vlan",           offsetof(struct psp_dp_port_desc, vlan),
				  sizeof(uint16_t), 1,
				  PSP_DP_VLAN_MIN,  PSP_DP_VLAN_DEFAULT,
				  PSP_DP_VLAN_MAX};

/* Of an entry. */
static const struct limit replay_window = {
	"replay_window",          offsetof(struct psp_dp_actions, replay_window),
	sizeof(uint32_t),         1,
	PSP_DP_REPLAY_WINDOW_MIN, PSP_DP_REPLAY_WINDOW_DEFAULT,
	PSP_DP_REPLAY_WINDOW_MAX};

/* Integers of 2, 4 and 8 octets, little-endian as every machine that this is built for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fields are read by their first octets");

static uint64_t get(const struct psp_dp_config *config, const struct limit *limit, size_t i)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)config + limit->offset + i * limit->size, limit->size);
	return value;
}

void dp_limits_fill(struct psp_dp_config *config)
{
	for (size_t l = 0; l < LIMITS; l++) {
		const struct limit *limit = &limits[l];

		for (size_t i = 0; i < limit->n; i++) {
			if (get(config, limit, i) == 0)
				memcpy((char *)config + limit->offset + i * limit->size,
				       &limit->fallback, limit->size);
		}
	}
}

static bool holds(const struct limit *limit, uint64_t value)
{
	return value == 0 || (value >= limit->min && value <= limit->max) ||
	       (limit->offset == offsetof(struct psp_dp_config, hugepages_mb) &&
		value == PSP_DP_HUGEPAGES_NONE);
}

bool dp_limits_hold(const struct psp_dp_config *config, char *why, size_t cap)
{
	for (size_t l = 0; l < LIMITS; l++) {
		const struct limit *limit = &limits[l];

		for (size_t i = 0; i < limit->n; i++) {
			const uint64_t value = get(config, limit, i);

			if (holds(limit, value))
				continue;
			(void)snprintf(why, cap,
				       "%s %" PRIu64 " is not within %" PRIu64 " and %" PRIu64,
				       limit->name, value, limit->min, limit->max);
			return false;
		}
	}
	return true;
}

bool dp_limits_hold_port(const struct psp_dp_port_desc *desc, char *why, size_t cap)
{
	if (desc->vlan <= PSP_DP_VLAN_MAX)
		return true;
	(void)snprintf(why, cap, "vlan %u is not within %u and %u", desc->vlan, PSP_DP_VLAN_MIN,
		       PSP_DP_VLAN_MAX);
	return false;
}

/* Appends a line if there is room, and counts it in any case. */
static void put_line(const struct limit *limit, char *buf, uint32_t cap, uint32_t *len)
{
	char line[128];
	const uint32_t n =
		(uint32_t)snprintf(line, sizeof(line), "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
				   limit->name, limit->min, limit->fallback, limit->max);

	if (*len + n <= cap)
		memcpy(buf + *len, line, n);
	*len += n;
}

int32_t psp_dp_limits(char *buf, uint32_t cap, uint32_t *len)
{
	if (len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	*len = 0;
	for (size_t i = 0; i < LIMITS; i++)
		put_line(&limits[i], buf, cap, len);
	put_line(&vlan, buf, cap, len);
	put_line(&replay_window, buf, cap, len);
	return *len <= cap ? 0 : PSP_DP_ERANGE;
}
