/* SPDX-License-Identifier: Apache-2.0 */
/* order.h: orders to the device and their completion. The lock is held. */
#ifndef STANDIN_ORDER_H
#define STANDIN_ORDER_H

#include "standin.h"

/* False: out of memory. */
bool si_order(uint16_t queue, struct doca_flow_pipe_entry *entry, enum doca_flow_entry_op op);
/* Forgets what waits for entries of a pipe that is going; entries that never came in end. */
void si_orders_drop(const struct doca_flow_pipe *pipe);

/* Reads the environment. */
void si_orders_up(void);

/* table.c: NULL: no entry of a BASIC pipe has this match; and what a completion does. */
struct doca_flow_pipe_entry *si_entry_find(const struct doca_flow_pipe *pipe,
					   const struct doca_flow_match *value);
void si_entry_publish(struct doca_flow_pipe_entry *entry);
void si_entry_end(struct doca_flow_pipe_entry *entry);

#endif
