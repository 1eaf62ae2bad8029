/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: the entries that packets see, and those that are gone. The lock is held. */
#include <stdlib.h>
#include <string.h>

#include "order.h"
#include "standin.h"

#define DEAD_MAX 4096u /* entries that are kept to tell who uses them after their end */

static struct doca_flow_pipe_entry **bucket_of(struct doca_flow_pipe *pipe, uint32_t hash)
{
	return &pipe->buckets[hash % SI_BUCKETS];
}

struct doca_flow_pipe_entry *si_entry_find(const struct doca_flow_pipe *pipe,
					   const struct doca_flow_match *value)
{
	uint32_t hash = si_match_hash(value);
	struct doca_flow_pipe_entry *e = pipe->buckets[hash % SI_BUCKETS];

	while (e != NULL && (e->hash != hash || !si_match_same(&e->match.value, value)))
		e = e->hash_next;
	return e;
}

/* Newest of its priority first or last: a device promises neither. Here: last. */
void si_entry_publish(struct doca_flow_pipe_entry *entry)
{
	struct doca_flow_pipe *pipe = entry->pipe;
	struct doca_flow_pipe_entry **at = &pipe->entries, *before = NULL;

	if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC) {
		entry->hash_next = *bucket_of(pipe, entry->hash);
		*bucket_of(pipe, entry->hash) = entry;
	} else {
		while (*at != NULL && (*at)->priority <= entry->priority) {
			before = *at;
			at = &(*at)->next;
		}
	}
	entry->prev = before;
	entry->next = *at;
	if (*at != NULL)
		(*at)->prev = entry;
	*at = entry;
	entry->state = SI_LIVE;
}

static void unpublish(struct doca_flow_pipe_entry *entry)
{
	struct doca_flow_pipe *pipe = entry->pipe;
	struct doca_flow_pipe_entry **at;

	if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC) {
		for (at = bucket_of(pipe, entry->hash); *at != entry; at = &(*at)->hash_next)
			;
		*at = entry->hash_next;
	}
	if (entry->prev != NULL)
		entry->prev->next = entry->next;
	else
		pipe->entries = entry->next;
	if (entry->next != NULL)
		entry->next->prev = entry->prev;
}

void si_entry_end(struct doca_flow_pipe_entry *entry)
{
	if (entry->state != SI_ADDING)
		unpublish(entry);
	if (entry->rule.count)
		si.counters_used--;
	entry->pipe->n_entries--;
	si.live.entries--;
	entry->state = SI_DEAD;
	entry->next = NULL;
	if (si.dead_last != NULL)
		si.dead_last->next = entry;
	else
		si.dead_first = entry;
	si.dead_last = entry;
	if (++si.n_dead > DEAD_MAX) {
		struct doca_flow_pipe_entry *oldest = si.dead_first;

		si.dead_first = oldest->next;
		si.n_dead--;
		free(oldest);
	}
}

void si_entries_drop(struct doca_flow_pipe *pipe)
{
	si_orders_drop(pipe);
	while (pipe->lost != NULL) {
		struct doca_flow_pipe_entry *entry = pipe->lost;

		pipe->lost = entry->next;
		si_entry_end(entry);
	}
	while (pipe->entries != NULL)
		si_entry_end(pipe->entries);
}

void si_entries_free(void)
{
	while (si.dead_first != NULL) {
		struct doca_flow_pipe_entry *entry = si.dead_first;

		si.dead_first = entry->next;
		free(entry);
	}
	si.dead_last = NULL;
	si.n_dead = 0;
}

struct doca_flow_pipe_entry *si_lookup(const struct doca_flow_pipe *pipe, struct si_walk *walk)
{
	struct doca_flow_match seen;

	if (dp_random(&walk->random, sizeof(walk->random)) != 0)
		si_die("the kernel gives no random octets");
	if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC) {
		si_match_of(walk, &pipe->cfg.mask, &seen);
		return si_entry_find(pipe, &seen);
	}
	for (struct doca_flow_pipe_entry *e = pipe->entries; e != NULL; e = e->next) {
		si_match_of(walk, &e->match.mask, &seen);
		if (si_match_same(&e->match.value, &seen))
			return e;
	}
	return NULL;
}
