/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* Orders to the stand-in take effect when they complete; failures on purpose; who owns an mbuf. */
#include <endian.h>
#include <signal.h>

#include "standin_lab.h"

/* What comes from the workload goes to the gate. */
static struct doca_flow_pipe *root, *gate;
static struct doca_flow_pipe_entry *to_gate;

/* By EtherType, so that two entries can be told apart. */
static bool make_pipes(void)
{
	struct doca_flow_match match = {.parser_meta.port_id = lab.ids[1]};
	struct doca_flow_match mask = {.parser_meta.port_id = UINT16_MAX};
	struct spec spec = control(), open = {.counter = true, .entries = 32};
	struct doca_flow_fwd fwd;

	open.match.outer.eth.type = UINT16_MAX;
	open.mask.outer.eth.type = UINT16_MAX;
	open.fwd.type = DOCA_FLOW_FWD_CHANGEABLE;
	open.miss = drop();
	spec.root = true;
	if (create(&open, &gate) != DOCA_SUCCESS || create(&spec, &root) != DOCA_SUCCESS)
		return false;
	fwd = to_pipe(gate);
	if (add_control(root, 0, &match, &mask, &fwd, &to_gate) != DOCA_SUCCESS)
		return false;
	lab_process();
	return true;
}

/* Entries but for the first are there to be counted, never hit. */
static doca_error_t add_type(uint16_t type, struct doca_flow_fwd fwd, void *ctx,
			     struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_match match = {.outer.eth.type = htobe16(type)};
	const struct compat_entry give = {.match = &match, .fwd = &fwd, .ctx = ctx};

	return compat_basic_add(&lab.call, gate, &give, entry);
}

#define FRAME 0x88b5u /* what send_frame() sends */

static uint64_t misses(uint64_t want)
{
	struct doca_flow_resource_query query = {{0, 0}};

	for (uint32_t i = 0; i < 500; i++) {
		if (doca_flow_resource_query_pipe_miss(gate, &query) != DOCA_SUCCESS ||
		    query.counter.total_pkts >= want)
			break;
		usleep(1000);
	}
	return query.counter.total_pkts;
}

static void an_entry_is_not_there_before_its_completion(void)
{
	struct doca_flow_pipe_entry *entry;
	uint64_t before = misses(0);

	CHECK_EQ(add_type(FRAME, to_port(lab.ids[0]), NULL, &entry), DOCA_SUCCESS);
	CHECK(send_frame());
	CHECK_EQ(misses(before + 1), before + 1);
	lab_process();
	CHECK(send_frame());
	CHECK_EQ(hits(entry, 1), 1);
	/* Nor is it gone before that of its removal. */
	CHECK_EQ(doca_flow_pipe_remove_entry(0, COMPAT_NO_WAIT, entry), DOCA_SUCCESS);
	CHECK(send_frame());
	CHECK_EQ(hits(entry, 2), 2);
	lab_process();
	CHECK(send_frame());
	CHECK_EQ(misses(before + 2), before + 2);
}

static void failed_orders_change_nothing(void)
{
	const struct doca_standin_failures second = {.kind = DOCA_STANDIN_ERROR, .every = 2};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct doca_flow_pipe_entry *entry, *failed;
	struct doca_standin_live before, after;

	doca_standin_live(&before);
	lab.failed = 0;
	doca_standin_fail(&second);
	CHECK_EQ(add_type(FRAME, drop(), NULL, &entry), DOCA_SUCCESS);
	CHECK_EQ(add_type(1, drop(), NULL, &failed), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(lab.failed, 1);
	doca_standin_live(&after);
	CHECK_EQ(after.entries, before.entries + 1);
	/* The third succeeds, the fourth does not: the entry stays. */
	CHECK_EQ(add_type(2, drop(), NULL, &failed), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(doca_flow_pipe_remove_entry(0, COMPAT_NO_WAIT, entry), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(lab.failed, 2);
	CHECK(send_frame());
	CHECK_EQ(hits(entry, 1), 1);
	doca_standin_fail(&none);
	remove_now(entry);
	remove_now(failed);
	doca_standin_live(&after);
	CHECK_EQ(after.entries, before.entries);
	CHECK_EQ(after.orders, 0);
}

static void delayed_orders_complete_later(void)
{
	const struct doca_standin_failures delay = {.kind = DOCA_STANDIN_DELAY, .every = 1};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct doca_flow_pipe_entry *entry;

	lab.completed = 0;
	doca_standin_fail(&delay);
	CHECK_EQ(add_type(1, drop(), NULL, &entry), DOCA_SUCCESS);
	(void)doca_flow_entries_process(lab.ports[0], 0, 0, 0);
	CHECK_EQ(lab.completed, 0);
	(void)doca_flow_entries_process(lab.ports[0], 0, 1000000, 1);
	CHECK_EQ(lab.completed, 1);
	doca_standin_fail(&none);
	remove_now(entry);
}

/* The program waits for one entry, and hears of any. */
static void orders_complete_in_any_order(void)
{
	struct doca_flow_pipe_entry *entries[16];
	uint32_t numbers[16], swapped = 0;

	for (uint32_t round = 0; round < 2; round++) {
		doca_standin_hold(DOCA_STANDIN_SHUFFLE, round == 0);
		doca_standin_hold(DOCA_STANDIN_LATE, round == 0);
		lab.completed = 0;
		for (uint32_t i = 0; i < 16; i++) {
			numbers[i] = i;
			CHECK_EQ(add_type((uint16_t)(i + 1), drop(), &numbers[i], &entries[i]),
				 DOCA_SUCCESS);
		}
		(void)doca_flow_entries_process(lab.ports[0], 0, 1000000, 16);
		CHECK_EQ(lab.completed, 16);
		for (uint32_t i = 0, n = 0; i < 16; i++) {
			n += lab.contexts[i] != &numbers[i] ? 1 : 0;
			swapped = round == 0 ? n : swapped;
			CHECK(round == 0 || n == 0);
		}
		for (uint32_t i = 0; i < 16; i++)
			remove_now(entries[i]);
	}
	CHECK(swapped > 0);
	doca_standin_hold(DOCA_STANDIN_SHUFFLE, true);
	doca_standin_hold(DOCA_STANDIN_LATE, true);
}

/* How many of 16 entries a call without time finds done. */
static uint32_t done_at_once(void)
{
	struct doca_flow_pipe_entry *entries[16];
	uint32_t done;

	for (uint32_t i = 0; i < 16; i++) {
		if (add_type((uint16_t)(i + 1), drop(), NULL, &entries[i]) != DOCA_SUCCESS)
			return UINT32_MAX;
	}
	lab.completed = 0;
	(void)doca_flow_entries_process(lab.ports[0], 0, 0, 0);
	done = lab.completed;
	lab_process();
	for (uint32_t i = 0; i < 16; i++)
		remove_now(entries[i]);
	return done;
}

static void orders_take_their_time(void)
{
	uint32_t least = 16;

	for (uint32_t i = 0; i < 100 && least == 16; i++)
		least = done_at_once();
	CHECK(least < 16);
	doca_standin_hold(DOCA_STANDIN_LATE, false);
	CHECK_EQ(done_at_once(), 16);
	doca_standin_hold(DOCA_STANDIN_LATE, true);
}

/* What was counted since the last cycle is not seen, and with the rule off all of it. */
static void counters_are_a_cache(void)
{
	struct doca_flow_resource_query query = {{0, 0}};
	struct doca_flow_pipe_entry *entry;
	uint32_t behind = 0;

	CHECK_EQ(add_type(FRAME, drop(), NULL, &entry), DOCA_SUCCESS);
	lab_process();
	for (uint64_t i = 1; i <= 20; i++) {
		CHECK(send_frame());
		/* By then it was counted, not yet seen unless a cycle has just ended. */
		doca_standin_hold(DOCA_STANDIN_STALE, false);
		CHECK_EQ(hits(entry, i), i);
		doca_standin_hold(DOCA_STANDIN_STALE, true);
		CHECK_EQ(doca_flow_resource_query_entry(entry, &query), DOCA_SUCCESS);
		behind += query.counter.total_pkts < i ? 1 : 0;
		CHECK_EQ(hits(entry, i), i);
	}
	CHECK(behind > 0);
	remove_now(entry);
}

static void what_is_sent_to_the_program_is_its_own(void)
{
	struct doca_flow_pipe_entry *entry;
	struct doca_standin_live live;
	struct rte_mbuf *mbuf = NULL;
	uint16_t queue;

	CHECK_EQ(add_type(FRAME, to_program(&queue), NULL, &entry), DOCA_SUCCESS);
	lab_process();
	CHECK(send_frame());
	CHECK_EQ(hits(entry, 1), 1);
	for (uint32_t i = 0; i < 500 && mbuf == NULL; i++) {
		if (rte_eth_rx_burst(lab.ids[0], 0, &mbuf, 1) == 0)
			usleep(1000);
	}
	CHECK(mbuf != NULL);
	CHECK_EQ(rte_pktmbuf_pkt_len(mbuf), 60);
	doca_standin_live(&live);
	CHECK_EQ(live.mbufs, 1);
	rte_pktmbuf_free(mbuf);
	doca_standin_live(&live);
	CHECK_EQ(live.mbufs, 0);
	remove_now(entry);
}

/* Whether a child that does this is ended by the stand-in. */
static bool dies(void (*what)(struct rte_mbuf *mbuf))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(lab.pool);

		(void)close(STDERR_FILENO);
		(void)signal(SIGABRT, SIG_DFL);
		what(mbuf);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGABRT;
}

static void free_after_transmit(struct rte_mbuf *mbuf)
{
	si_mbuf_take(mbuf); /* what the NIC does with what it finds in the ring */
	rte_pktmbuf_free(mbuf);
}

static void free_then_transmit(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
	si_mbuf_take(mbuf);
}

static void free_twice(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
	rte_pktmbuf_free(mbuf);
}

static void an_mbuf_has_one_owner(void)
{
	CHECK(dies(free_after_transmit));
	CHECK(dies(free_then_transmit));
	CHECK(dies(free_twice));
}

int main(void)
{
	if (!lab_open() || !make_pipes()) {
		printf("not ok the lab does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(an_entry_is_not_there_before_its_completion);
	RUN(failed_orders_change_nothing);
	RUN(delayed_orders_complete_later);
	RUN(orders_complete_in_any_order);
	RUN(orders_take_their_time);
	RUN(counters_are_a_cache);
	RUN(what_is_sent_to_the_program_is_its_own);
	RUN(an_mbuf_has_one_owner);
	lab_close();
	return test_summary();
}
