/* SPDX-License-Identifier: Apache-2.0 */
/* order.c: what was ordered takes effect in doca_flow_entries_process(), or fails there, late or never. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "order.h"

#define LATE_ROUNDS 2u
#define NAP_US 100u

void doca_standin_fail(const struct doca_standin_failures *failures)
{
	pthread_mutex_lock(&si.lock);
	si.failures = *failures;
	si.orders = 0;
	pthread_mutex_unlock(&si.lock);
}

static void read_failures(void)
{
	static const char *const kinds[] = {
		[DOCA_STANDIN_ERROR] = "error/",
		[DOCA_STANDIN_LATE] = "late/",
		[DOCA_STANDIN_NEVER] = "never/",
	};
	const char *text = getenv("DOCA_STANDIN_FAIL");

	for (uint32_t i = DOCA_STANDIN_ERROR; text != NULL && i <= DOCA_STANDIN_NEVER; i++) {
		if (strncmp(text, kinds[i], strlen(kinds[i])) == 0)
			si.failures = (struct doca_standin_failures){
				.kind = (enum doca_standin_failure)i,
				.every = (uint32_t)strtoul(text + strlen(kinds[i]), NULL, 10),
			};
	}
}

void si_orders_up(void)
{
	read_failures();
	si.orders = 0;
}

bool si_order(uint16_t queue, struct doca_flow_pipe_entry *entry, enum doca_flow_entry_op op)
{
	struct si_order *order = calloc(1, sizeof(*order));
	bool hit = si.failures.every != 0 && ++si.orders % si.failures.every == 0;

	if (order == NULL)
		return false;
	entry->status = DOCA_FLOW_ENTRY_STATUS_IN_PROCESS;
	order->entry = entry;
	order->op = op;
	if (hit && si.failures.kind == DOCA_STANDIN_NEVER) {
		si.live.lost++;
		if (op == DOCA_FLOW_ENTRY_OP_ADD) {
			entry->next = entry->pipe->lost;
			entry->pipe->lost = entry;
		}
		free(order);
		return true;
	}
	order->fails = hit && si.failures.kind == DOCA_STANDIN_ERROR;
	order->rounds = hit && si.failures.kind == DOCA_STANDIN_LATE ? LATE_ROUNDS : 0;
	si.live.failed += order->fails;
	si.live.late += order->rounds != 0;
	si.live.orders++;
	if (si.last[queue] != NULL)
		si.last[queue]->next = order;
	else
		si.first[queue] = order;
	si.last[queue] = order;
	return true;
}

static struct si_order *take(uint16_t queue)
{
	struct si_order *order = si.first[queue];

	if (order == NULL)
		return NULL;
	if (order->rounds > 0) {
		order->rounds--;
		return NULL;
	}
	si.first[queue] = order->next;
	if (order->next == NULL)
		si.last[queue] = NULL;
	si.live.orders--;
	return order;
}

static void complete(const struct si_order *order)
{
	struct doca_flow_pipe_entry *entry = order->entry;

	entry->status =
		order->fails ? DOCA_FLOW_ENTRY_STATUS_ERROR : DOCA_FLOW_ENTRY_STATUS_SUCCESS;
	switch (order->op) {
	case DOCA_FLOW_ENTRY_OP_ADD:
		/* What could not be added is gone at once. */
		if (order->fails)
			si_entry_end(entry);
		else
			si_entry_publish(entry);
		break;
	case DOCA_FLOW_ENTRY_OP_DEL:
		if (order->fails)
			entry->state = SI_LIVE;
		else
			si_entry_end(entry);
		break;
	default:
		if (!order->fails) {
			si.counters_used +=
				(uint32_t)entry->fresh.count - (uint32_t)entry->rule.count;
			entry->rule = entry->fresh;
		}
		entry->state = SI_LIVE;
		break;
	}
}

doca_error_t doca_flow_entries_process(struct doca_flow_port *port, uint16_t queue,
				       uint64_t timeout, uint32_t max)
{
	uint32_t n = 0;
	bool waiting;

	if (port == NULL || queue >= si.n_queues)
		return DOCA_ERROR_INVALID_VALUE;
	do {
		struct si_order *order;

		pthread_mutex_lock(&si.lock);
		order = take(queue);
		waiting = order == NULL && si.first[queue] != NULL;
		if (order != NULL)
			complete(order);
		pthread_mutex_unlock(&si.lock);
		if (order == NULL)
			break;
		/* Without the lock: the program may ask things from in there. */
		if (si.done != NULL)
			si.done(order->entry, queue, order->entry->status, order->op,
				order->entry->ctx);
		free(order);
	} while (++n < max || max == 0);
	if (n == 0 && waiting)
		(void)usleep((useconds_t)(timeout < NAP_US ? timeout : NAP_US));
	return DOCA_SUCCESS;
}

void si_orders_drop(const struct doca_flow_pipe *pipe)
{
	for (uint16_t queue = 0; queue < SI_PIPE_QUEUES; queue++) {
		struct si_order **at = &si.first[queue];

		si.last[queue] = NULL;
		while (*at != NULL) {
			struct si_order *order = *at;

			if (order->entry->pipe != pipe) {
				si.last[queue] = order;
				at = &order->next;
				continue;
			}
			*at = order->next;
			si.live.orders--;
			if (order->op == DOCA_FLOW_ENTRY_OP_ADD)
				si_entry_end(order->entry);
			free(order);
		}
	}
}
