/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matches.c: entries by what they match. Hardware would take the same match twice, so the agent's are looked up
 * before they go in; and the poll thread asks which tunnel a packet belongs to, under the table's own lock.
 */
#include <stddef.h>
#include <string.h>

#include "dpu.h"

#define MATCH_FROM sizeof(uint32_t) /* after size */
#define MATCH_LEN (offsetof(struct psp_dp_match, reserved) - MATCH_FROM)

/* Only the agent's entries come here: a plain hash will do. */
static uint32_t hash_of(uint32_t pipe, uint32_t priority, const struct psp_dp_match *match)
{
	const uint8_t *bytes = (const uint8_t *)match + MATCH_FROM;
	uint32_t h = pipe ^ priority;

	for (size_t i = 0; i < MATCH_LEN; i++)
		h = (h ^ bytes[i]) * 16777619u;
	return h ^ (h >> 15);
}

static bool same(const struct psp_dp_match *a, const struct psp_dp_match *b)
{
	return memcmp((const uint8_t *)a + MATCH_FROM, (const uint8_t *)b + MATCH_FROM,
		      MATCH_LEN) == 0;
}

void dpu_match_set(struct dpu_entry *entry, const struct psp_dp_match *value)
{
	const uint8_t *from = (const uint8_t *)value;
	uint8_t *match = (uint8_t *)&entry->match, *mask = (uint8_t *)&entry->mask;

	for (size_t i = MATCH_FROM; i < MATCH_FROM + MATCH_LEN; i++)
		match[i] = from[i] & mask[i];
	entry->hash = hash_of(entry->base.pipe->id, entry->base.priority, &entry->match);
}

bool dpu_match_is_there(const struct psp_dp *dp, const struct dpu_entry *entry)
{
	const struct dpu_entry *other = dp->matches[entry->hash & dp->matches_mask];

	while (other != NULL &&
	       (other->base.pipe != entry->base.pipe ||
		other->base.priority != entry->base.priority ||
		!same(&other->match, &entry->match) || !same(&other->mask, &entry->mask)))
		other = other->hash_next;
	return other != NULL;
}

void dpu_match_link(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_entry **bucket = &dp->matches[entry->hash & dp->matches_mask];

	pthread_mutex_lock(&dp->matches_lock);
	entry->hash_next = *bucket;
	*bucket = entry;
	pthread_mutex_unlock(&dp->matches_lock);
}

void dpu_match_unlink(struct psp_dp *dp, struct dpu_entry *entry)
{
	struct dpu_entry **at = &dp->matches[entry->hash & dp->matches_mask];

	pthread_mutex_lock(&dp->matches_lock);
	while (*at != entry)
		at = &(*at)->hash_next;
	*at = entry->hash_next;
	pthread_mutex_unlock(&dp->matches_lock);
}

void dpu_rule_set(struct psp_dp *dp, struct dpu_entry *entry, const struct dp_rule *rule)
{
	pthread_mutex_lock(&dp->matches_lock);
	entry->rule = *rule;
	pthread_mutex_unlock(&dp->matches_lock);
}

static bool find(struct psp_dp *dp, uint32_t pipe, const struct psp_dp_match *match,
		 const struct psp_dp_match *mask, struct dp_rule *rule)
{
	uint32_t hash = hash_of(pipe, 0, match);
	const struct dpu_entry *entry;

	pthread_mutex_lock(&dp->matches_lock);
	entry = dp->matches[hash & dp->matches_mask];
	while (entry != NULL && (entry->base.pipe->id != pipe || !same(&entry->match, match) ||
				 !same(&entry->mask, mask)))
		entry = entry->hash_next;
	if (entry != NULL)
		*rule = entry->rule;
	pthread_mutex_unlock(&dp->matches_lock);
	return entry != NULL;
}

/* What hardware would find: only for pipes that look at both outer addresses, or at the port as well. */
bool dpu_rule_find(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
		   struct dp_rule *rule)
{
	const struct psp_dp_match *fields = &packet->fields;
	struct psp_dp_match match, mask;

	memset(&match, 0, sizeof(match));
	memset(&mask, 0, sizeof(mask));
	memcpy(match.outer_ip_src, fields->outer_ip_src, sizeof(match.outer_ip_src));
	memcpy(match.outer_ip_dst, fields->outer_ip_dst, sizeof(match.outer_ip_dst));
	memset(mask.outer_ip_src, 0xff, sizeof(mask.outer_ip_src));
	memset(mask.outer_ip_dst, 0xff, sizeof(mask.outer_ip_dst));
	if (find(dp, pipe, &match, &mask, rule))
		return true;
	match.parser_meta_port_id = packet->handle;
	mask.parser_meta_port_id = UINT16_MAX;
	return find(dp, pipe, &match, &mask, rule);
}

bool dpu_tunnel_find(struct psp_dp *dp, uint32_t pipe, const struct dp_packet *packet,
		     struct psp_dp_actions *encap)
{
	struct dp_rule rule;

	if (!dpu_rule_find(dp, pipe, packet, &rule) ||
	    (rule.actions.flags & PSP_DP_ACTION_ENCAP) == 0)
		return false;
	*encap = rule.actions;
	return true;
}
