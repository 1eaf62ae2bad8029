/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.c: entries asked for, changed and removed; the orders for that, which are completed in
 * doca_flow_entries_process(); and the tables that packets see, where an entry is from its completion on.
 *
 * Before 3.3 a control entry is completed when it is added: the gateway of 3.0 to 3.2 never processes its own
 * (3.0.0, 1586-1755).
 */
#include <endian.h>
#include <rte_common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "standin.h"

#define LATE_NS 50000u             /* an order completes within this time */
#define DELAY_NS UINT64_C(5000000) /* or, late on purpose, after it */
#define NAP_NS 10000u
#define DEAD_MAX 4096u /* entries that are kept to tell who uses them after their end */

/* ---- counters -------------------------------------------------------------------------------- */

uint64_t si_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The cache is refreshed when a cycle ends; its number. */
static uint64_t cycle_now(void)
{
	const struct doca_flow_port *port = si.ports[SI_SWITCH];
	uint64_t ms = port != NULL ? port->cycle_ms : SI_CYCLE_MS;

	return (si_now_ns() - si.began_ns) / (ms * 1000000u);
}

void si_count_add(struct si_count *count, uint32_t bytes)
{
	uint64_t cycle = cycle_now();

	if (count->cycle != cycle) {
		count->seen_packets = count->packets;
		count->seen_bytes = count->bytes;
		count->cycle = cycle;
	}
	count->packets++;
	count->bytes += bytes;
}

void si_count_read(const struct si_count *count, struct doca_flow_resource_query *out)
{
	bool fresh = !si_strict(DOCA_STANDIN_STALE) || count->cycle != cycle_now();

	out->counter.total_pkts = fresh ? count->packets : count->seen_packets;
	out->counter.total_bytes = fresh ? count->bytes : count->seen_bytes;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool is_numbered(const struct doca_flow_pipe *pipe)
{
	return pipe->slots != NULL;
}

static struct doca_flow_pipe_entry **bucket_of(struct doca_flow_pipe *pipe, uint32_t hash)
{
	return &pipe->buckets[hash % SI_BUCKETS];
}

static struct doca_flow_pipe_entry *find(const struct doca_flow_pipe *pipe,
					 const struct doca_flow_match *value)
{
	uint32_t hash = si_match_hash(value);
	struct doca_flow_pipe_entry *e = pipe->buckets[hash % SI_BUCKETS];

	while (e != NULL && (e->hash != hash || !si_match_same(&e->match.value, value)))
		e = e->hash_next;
	return e;
}

/* Newest of its priority first or last: a device promises neither. Here: last. */
static void publish(struct doca_flow_pipe_entry *entry)
{
	struct doca_flow_pipe *pipe = entry->pipe;
	struct doca_flow_pipe_entry **at = &pipe->entries, *before = NULL;

	if (is_numbered(pipe)) {
		pipe->slots[entry->at] = entry;
	} else if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC) {
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

	if (is_numbered(pipe)) {
		pipe->slots[entry->at] = NULL;
	} else if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC) {
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

static uint32_t octets_of(const struct si_rule *rule)
{
	return rule->own_actions ? SI_ENTRY_OCTETS : 0;
}

static void end(struct doca_flow_pipe_entry *entry)
{
	if (entry->state != SI_ADDING)
		unpublish(entry);
	if (entry->rule.count)
		si.live.counters--;
	entry->pipe->cfg.port->actions_used -= octets_of(&entry->rule);
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

static bool compares(const struct doca_flow_pipe_entry *entry, uint16_t random)
{
	uint16_t value = be16toh(random), than = be16toh(entry->than);

	switch (entry->compare) {
	case DOCA_FLOW_COMPARE_EQ:
		return value == than;
	case DOCA_FLOW_COMPARE_NE:
		return value != than;
	case DOCA_FLOW_COMPARE_LT:
		return value < than;
	case DOCA_FLOW_COMPARE_LE:
		return value <= than;
	case DOCA_FLOW_COMPARE_GT:
		return value > than;
	default:
		return value >= than;
	}
}

struct doca_flow_pipe_entry *si_lookup(const struct doca_flow_pipe *pipe, struct si_walk *walk)
{
	struct doca_flow_match seen;

	if (dp_random(&walk->random, sizeof(walk->random)) != 0)
		si_die("the kernel gives no random octets");
	if (pipe->cfg.type == DOCA_FLOW_PIPE_BASIC) {
		si_match_of(walk, &pipe->cfg.match.mask, &seen);
		return find(pipe, &seen);
	}
	for (struct doca_flow_pipe_entry *e = pipe->entries; e != NULL; e = e->next) {
		si_match_of(walk, &e->match.mask, &seen);
		if (si_match_same(&e->match.value, &seen) &&
		    (!e->compares || compares(e, walk->random)))
			return e;
	}
	return NULL;
}

/* Each of them is a table of its own in the device. */
uint32_t si_root_masks(const struct doca_flow_pipe *root)
{
	uint32_t n = 0;

	if (root == NULL || root->cfg.type != DOCA_FLOW_PIPE_CONTROL)
		return root != NULL ? 1 : 0;
	for (const struct doca_flow_pipe_entry *e = root->entries; e != NULL; e = e->next) {
		const struct doca_flow_pipe_entry *other = root->entries;

		while (other != e && !si_match_same(&other->match.mask, &e->match.mask))
			other = other->next;
		n += other == e ? 1 : 0;
	}
	return n;
}

/* ---- orders ---------------------------------------------------------------------------------- */

void doca_standin_fail(const struct doca_standin_failures *failures)
{
	pthread_mutex_lock(&si.lock);
	si.failures = *failures;
	si.ordered = 0;
	pthread_mutex_unlock(&si.lock);
}

static uint32_t dice(uint32_t sides)
{
	static uint32_t state = 2463534242u; /* xorshift; under the lock */

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % sides;
}

static uint64_t due(bool delayed)
{
	uint64_t now = si_now_ns();

	if (si_strict(DOCA_STANDIN_LATE))
		now += dice(LATE_NS);
	return now + (delayed ? DELAY_NS : 0);
}

/* What an order comes to: every so many as it was asked for, or as a use of its name is refused. */
static enum doca_standin_failure failure_of(enum doca_flow_entry_op op)
{
	static const char *const refused[] = {[DOCA_FLOW_ENTRY_OP_ADD] = "add",
					      [DOCA_FLOW_ENTRY_OP_DEL] = "remove",
					      [DOCA_FLOW_ENTRY_OP_UPD] = "update"};
	static const char *const lost[] = {[DOCA_FLOW_ENTRY_OP_ADD] = "add_lost",
					   [DOCA_FLOW_ENTRY_OP_DEL] = "remove_lost",
					   [DOCA_FLOW_ENTRY_OP_UPD] = "update_lost"};

	if (si.failures.every != 0 && ++si.ordered % si.failures.every == 0)
		return si.failures.kind;
	if (si_refuses(refused[op]))
		return DOCA_STANDIN_ERROR;
	return si_refuses(lost[op]) ? DOCA_STANDIN_NEVER : DOCA_STANDIN_NONE;
}

/* False: out of memory. */
static bool order(uint16_t queue, struct doca_flow_pipe_entry *entry, enum doca_flow_entry_op op)
{
	struct si_order *made = calloc(1, sizeof(*made));
	enum doca_standin_failure failure = failure_of(op);
	bool delayed = failure == DOCA_STANDIN_DELAY;
	struct si_order **at = &si.orders[queue];

	if (made == NULL)
		return false;
	entry->status = DOCA_FLOW_ENTRY_STATUS_IN_PROCESS;
	made->entry = entry;
	made->op = op;
	if (failure == DOCA_STANDIN_NEVER) {
		si.live.lost++;
		if (op == DOCA_FLOW_ENTRY_OP_ADD) {
			entry->next = entry->pipe->lost;
			entry->pipe->lost = entry;
		}
		free(made);
		return true;
	}
	made->fails = failure == DOCA_STANDIN_ERROR;
	made->due_ns = due(delayed);
	si.live.failed += made->fails;
	si.live.late += delayed;
	si.live.orders++;
	if (si.live.orders > si.live.most_orders)
		si.live.most_orders = si.live.orders;
	while (*at != NULL)
		at = &(*at)->next;
	*at = made;
	return true;
}

/* One of those that are due: any, or the oldest. */
static struct si_order *take(uint16_t queue)
{
	struct si_order **chosen = NULL, *taken;
	uint64_t now = si_now_ns();
	uint32_t n = 0;

	for (struct si_order **at = &si.orders[queue]; *at != NULL; at = &(*at)->next) {
		if ((*at)->due_ns > now)
			continue;
		if (n++ == 0 || (si_strict(DOCA_STANDIN_SHUFFLE) && dice(n) == 0))
			chosen = at;
	}
	if (chosen == NULL)
		return NULL;
	taken = *chosen;
	*chosen = taken->next;
	si.live.orders--;
	return taken;
}

static void complete(const struct si_order *done)
{
	struct doca_flow_pipe_entry *entry = done->entry;

	entry->status = done->fails ? DOCA_FLOW_ENTRY_STATUS_ERROR : DOCA_FLOW_ENTRY_STATUS_SUCCESS;
	switch (done->op) {
	case DOCA_FLOW_ENTRY_OP_ADD:
		/* What could not be added is gone at once. */
		if (done->fails)
			end(entry);
		else
			publish(entry);
		break;
	case DOCA_FLOW_ENTRY_OP_DEL:
		if (done->fails)
			entry->state = SI_LIVE;
		else
			end(entry);
		break;
	default:
		if (!done->fails) {
			si.live.counters +=
				(uint32_t)entry->fresh.count - (uint32_t)entry->rule.count;
			entry->pipe->cfg.port->actions_used +=
				octets_of(&entry->fresh) - octets_of(&entry->rule);
			entry->rule = entry->fresh;
		}
		entry->state = SI_LIVE;
		break;
	}
}

/* Without the lock: the program may ask things from in there. */
static void tell(uint16_t queue, struct si_order *done)
{
	if (si.done != NULL)
		si.done(done->entry, queue, done->entry->status, done->op, done->entry->ctx);
	free(done);
}

doca_error_t doca_flow_entries_process(struct doca_flow_port *port, uint16_t queue,
				       uint64_t timeout, uint32_t max)
{
	SI_ASK();
	uint64_t until = si_now_ns() + timeout * 1000u;
	const struct timespec nap = {.tv_nsec = NAP_NS};
	uint32_t n = 0;

	if (port == NULL || queue >= si.n_queues)
		return DOCA_ERROR_INVALID_VALUE;
	while (max == 0 || n < max) {
		struct si_order *done;
		bool waits;

		pthread_mutex_lock(&si.lock);
		done = take(queue);
		waits = si.orders[queue] != NULL;
		if (done != NULL)
			complete(done);
		pthread_mutex_unlock(&si.lock);
		if (done != NULL) {
			tell(queue, done);
			n++;
		} else if (!waits || si_now_ns() >= until) {
			break;
		} else {
			(void)nanosleep(&nap, NULL);
		}
	}
	return DOCA_SUCCESS;
}

/* Forgets what waits for entries of a pipe that is going; entries that never came in end. */
static void orders_drop(const struct doca_flow_pipe *pipe)
{
	for (uint16_t queue = 0; queue < SI_PIPE_QUEUES; queue++) {
		struct si_order **at = &si.orders[queue];

		while (*at != NULL) {
			struct si_order *dropped = *at;

			if (dropped->entry->pipe != pipe) {
				at = &dropped->next;
				continue;
			}
			*at = dropped->next;
			si.live.orders--;
			if (dropped->op == DOCA_FLOW_ENTRY_OP_ADD)
				end(dropped->entry);
			free(dropped);
		}
	}
}

void si_entries_drop(struct doca_flow_pipe *pipe)
{
	orders_drop(pipe);
	while (pipe->lost != NULL) {
		struct doca_flow_pipe_entry *entry = pipe->lost;

		pipe->lost = entry->next;
		end(entry);
	}
	while (pipe->entries != NULL)
		end(pipe->entries);
}

/* ---- entries added --------------------------------------------------------------------------- */

static struct doca_flow_pipe_entry *entry_new(struct doca_flow_pipe *pipe,
					      const struct si_give *give)
{
	struct doca_flow_pipe_entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	entry->pipe = pipe;
	entry->ctx = give->ctx;
	entry->priority = give->priority;
	entry->at = give->at;
	entry->state = SI_ADDING;
	return entry;
}

/* An entry belongs to a pipe of its type, and to a queue that there is. */
static doca_error_t check_pipe(uint16_t queue, const struct doca_flow_pipe *pipe,
			       enum doca_flow_pipe_type type)
{
	if (!si.up)
		return DOCA_ERROR_BAD_STATE;
	if (!si_is_pipe(pipe) || pipe->cfg.type != type || queue >= si.n_queues)
		return DOCA_ERROR_INVALID_VALUE;
	return DOCA_SUCCESS;
}

static bool has_room(const struct doca_flow_port *port, const struct si_rule *rule)
{
	return !si_strict(DOCA_STANDIN_ACTIONS_MEM) || octets_of(rule) == 0 ||
	       port->actions_used + octets_of(rule) <= port->actions_mem;
}

/* Until orders are processed a queue takes so many; control entries of earlier releases pass none. */
static bool is_deep_enough(uint16_t queue)
{
	uint32_t n = 0;

	for (const struct si_order *at = si.orders[queue]; at != NULL; at = at->next)
		n++;
	return !si_strict(DOCA_STANDIN_DEPTH) || n < si.depth;
}

/* One update of 64, while others of its queue are not done. */
static bool comes_again(uint16_t queue)
{
	return si_strict(DOCA_STANDIN_AGAIN) && si.orders[queue] != NULL && dice(64) == 0;
}

/* Masks that a root would have with this one. */
static bool fits_root(const struct doca_flow_pipe_entry *entry)
{
	const struct doca_flow_pipe *pipe = entry->pipe;
	uint32_t n;

	if (!pipe->cfg.is_root || pipe->cfg.type != DOCA_FLOW_PIPE_CONTROL)
		return true;
	for (const struct doca_flow_pipe_entry *e = pipe->entries; e != NULL; e = e->next) {
		if (si_match_same(&e->match.mask, &entry->match.mask))
			return true;
	}
	n = si_root_masks(pipe);
	return n < si.capacity.root_masks;
}

/* Tables have sizes of powers of two: the gateway asks for three and adds four (3.0.0, 1246 and 1256-1299). */
static uint32_t room_of(const struct doca_flow_pipe *pipe)
{
	return rte_align32pow2(pipe->cfg.nr_entries);
}

static doca_error_t add(uint16_t queue, struct doca_flow_pipe_entry *entry)
{
	struct doca_flow_pipe *pipe = entry->pipe;

	if (pipe->n_entries >= room_of(pipe))
		return DOCA_ERROR_FULL;
	if (entry->rule.count && si_strict(DOCA_STANDIN_COUNTERS) &&
	    si.live.counters >= si.n_counters)
		return DOCA_ERROR_FULL;
	if (!has_room(pipe->cfg.port, &entry->rule) || !fits_root(entry))
		return DOCA_ERROR_NO_MEMORY;
	if (!is_deep_enough(queue))
		return DOCA_ERROR_AGAIN;
	if (!order(queue, entry, DOCA_FLOW_ENTRY_OP_ADD))
		return DOCA_ERROR_NO_MEMORY;
	si.live.counters += entry->rule.count;
	pipe->cfg.port->actions_used += octets_of(&entry->rule);
	pipe->n_entries++;
	si.live.entries++;
	return DOCA_SUCCESS;
}

/* The lock is held until here. */
static doca_error_t added(struct doca_flow_pipe_entry *entry, doca_error_t result,
			  struct doca_flow_pipe_entry **out)
{
	pthread_mutex_unlock(&si.lock);
	if (result != DOCA_SUCCESS)
		free(entry);
	else if (out != NULL)
		*out = entry;
	return result;
}

doca_error_t si_basic_add(uint16_t queue, struct doca_flow_pipe *pipe, const struct si_give *give,
			  struct doca_flow_pipe_entry **out)
{
	struct doca_flow_pipe_entry *entry = entry_new(pipe, give);
	doca_error_t result;

	if (entry == NULL)
		return DOCA_ERROR_NO_MEMORY;
	pthread_mutex_lock(&si.lock);
	result = check_pipe(queue, pipe, DOCA_FLOW_PIPE_BASIC);
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, give, &entry->rule);
	if (result == DOCA_SUCCESS) {
		si_match_fill(&pipe->cfg.match, give->match, &entry->match.value);
		entry->hash = si_match_hash(&entry->match.value);
		result = find(pipe, &entry->match.value) == NULL ? add(queue, entry)
								 : DOCA_ERROR_ALREADY_EXIST;
	}
	return added(entry, result, out);
}

/* The one field that is compared here, with the match's own value. */
static doca_error_t take_condition(const struct si_give *give, struct doca_flow_pipe_entry *entry)
{
	const struct doca_flow_match_condition *condition = give->condition;

	if (condition == NULL)
		return DOCA_SUCCESS;
	if (condition->field_op.a.field_string == NULL ||
	    strcmp(condition->field_op.a.field_string, "parser_meta.random.value") != 0 ||
	    condition->field_op.b.field_string != NULL || condition->field_op.width != 16 ||
	    condition->operation > DOCA_FLOW_COMPARE_GE)
		return DOCA_ERROR_NOT_SUPPORTED;
	entry->compares = true;
	entry->compare = condition->operation;
	entry->than = give->match->parser_meta.random;
	return DOCA_SUCCESS;
}

static doca_error_t match_control(const struct si_give *give, struct doca_flow_pipe_entry *entry)
{
	struct doca_flow_match value;
	doca_error_t result;

	if (give->match == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	value = *give->match;
	/* What is compared is not matched as well. */
	if (give->condition != NULL)
		value.parser_meta.random = 0;
	result = si_match_set(&value, give->match_mask, &entry->match);
	if (result == DOCA_SUCCESS)
		result = take_condition(give, entry);
	si_match_mask(&entry->match.value, &entry->match.mask, &value);
	entry->match.value = value;
	return result;
}

static doca_error_t check_level(const struct doca_flow_pipe *pipe, uint32_t priority)
{
	return pipe->cfg.is_root && priority > SI_ROOT_LEVEL && si_strict(DOCA_STANDIN_ROOT_LEVEL)
		       ? DOCA_ERROR_INVALID_VALUE
		       : DOCA_SUCCESS;
}

/* The order that was given last, completed at once. NULL: it never will be. */
static struct si_order *take_last(uint16_t queue, const struct doca_flow_pipe_entry *entry)
{
	struct si_order **at = &si.orders[queue], *taken;

	while (*at != NULL && (*at)->entry != entry)
		at = &(*at)->next;
	taken = *at;
	if (taken == NULL)
		return NULL;
	*at = taken->next;
	si.live.orders--;
	complete(taken);
	return taken;
}

doca_error_t si_control_add(uint16_t queue, struct doca_flow_pipe *pipe, const struct si_give *give,
			    struct doca_flow_pipe_entry **out)
{
	struct doca_flow_pipe_entry *entry = entry_new(pipe, give);
	struct si_order *done = NULL;
	doca_error_t result;

	if (entry == NULL)
		return DOCA_ERROR_NO_MEMORY;
	pthread_mutex_lock(&si.lock);
	result = check_pipe(queue, pipe, DOCA_FLOW_PIPE_CONTROL);
	if (result == DOCA_SUCCESS)
		result = check_level(pipe, give->priority);
	if (result == DOCA_SUCCESS)
		result = match_control(give, entry);
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, give, &entry->rule);
	if (result == DOCA_SUCCESS)
		result = add(queue, entry);
	if (result == DOCA_SUCCESS && DOCA_STANDIN < 303)
		done = take_last(queue, entry);
	result = added(entry, result, out);
	if (done != NULL)
		tell(queue, done);
	return result;
}

doca_error_t si_numbered_add(uint16_t queue, struct doca_flow_pipe *pipe,
			     enum doca_flow_pipe_type type, const struct si_give *give,
			     struct doca_flow_pipe_entry **out)
{
	struct doca_flow_pipe_entry *entry = entry_new(pipe, give);
	doca_error_t result;

	if (entry == NULL)
		return DOCA_ERROR_NO_MEMORY;
	pthread_mutex_lock(&si.lock);
	result = check_pipe(queue, pipe, type);
	if (result == DOCA_SUCCESS && give->at >= pipe->cfg.nr_entries)
		result = DOCA_ERROR_INVALID_VALUE;
	if (result == DOCA_SUCCESS && pipe->slots[give->at] != NULL)
		result = DOCA_ERROR_ALREADY_EXIST;
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, give, &entry->rule);
	if (result == DOCA_SUCCESS)
		result = add(queue, entry);
	return added(entry, result, out);
}

/* ---- changed, removed, counted --------------------------------------------------------------- */

static doca_error_t check_entry(uint16_t queue, const struct doca_flow_pipe_entry *entry)
{
	if (queue >= si.n_queues)
		return DOCA_ERROR_INVALID_VALUE;
	if (entry->state == SI_DEAD)
		si_die("an entry is used after it was gone");
	return entry->state == SI_LIVE ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t si_basic_update(uint16_t queue, struct doca_flow_pipe *pipe,
			     const struct si_give *give, struct doca_flow_pipe_entry *entry)
{
	struct si_rule fresh;
	doca_error_t result;

	if (entry == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	result = check_pipe(queue, pipe, DOCA_FLOW_PIPE_BASIC);
	if (result == DOCA_SUCCESS)
		result = check_entry(queue, entry);
	if (result == DOCA_SUCCESS && entry->pipe != pipe)
		result = DOCA_ERROR_INVALID_VALUE;
	if (result == DOCA_SUCCESS)
		result = si_rule_fill(pipe, give, &fresh);
	if (result == DOCA_SUCCESS && (!is_deep_enough(queue) || comes_again(queue)))
		result = DOCA_ERROR_AGAIN;
	if (result == DOCA_SUCCESS && !order(queue, entry, DOCA_FLOW_ENTRY_OP_UPD))
		result = DOCA_ERROR_NO_MEMORY;
	if (result == DOCA_SUCCESS) {
		entry->fresh = fresh;
		entry->state = SI_UPDATING;
	}
	pthread_mutex_unlock(&si.lock);
	return result;
}

doca_error_t doca_flow_pipe_remove_entry(uint16_t queue, uint32_t flags,
					 struct doca_flow_pipe_entry *entry)
{
	SI_ASK();
	doca_error_t result;

	(void)flags;
	if (entry == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	result = check_entry(queue, entry);
	if (result == DOCA_SUCCESS && !is_deep_enough(queue))
		result = DOCA_ERROR_AGAIN;
	if (result == DOCA_SUCCESS && !order(queue, entry, DOCA_FLOW_ENTRY_OP_DEL))
		result = DOCA_ERROR_NO_MEMORY;
	if (result == DOCA_SUCCESS)
		entry->state = SI_REMOVING;
	pthread_mutex_unlock(&si.lock);
	return result;
}

doca_error_t doca_flow_resource_query_entry(struct doca_flow_pipe_entry *entry,
					    struct doca_flow_resource_query *out)
{
	SI_ASK();
	doca_error_t result = DOCA_SUCCESS;

	if (entry == NULL || out == NULL)
		return DOCA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&si.lock);
	if (entry->state == SI_DEAD)
		si_die("an entry is queried after it was gone");
	if (entry->rule.count)
		si_count_read(&entry->count, out);
	else
		result = DOCA_ERROR_NOT_SUPPORTED;
	pthread_mutex_unlock(&si.lock);
	return result;
}
