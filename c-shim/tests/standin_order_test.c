/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* Orders to the stand-in take effect when they complete; failures on purpose; who owns an mbuf. */
#include <signal.h>

#include "standin_lab.h"

static struct doca_flow_pipe *root;

static bool make_root(void)
{
	struct doca_flow_pipe_cfg *cfg;
	bool done = doca_flow_pipe_cfg_create(&cfg, lab.ports[0]) == DOCA_SUCCESS;

	(void)doca_flow_pipe_cfg_set_name(cfg, "ROOT");
	(void)doca_flow_pipe_cfg_set_type(cfg, DOCA_FLOW_PIPE_CONTROL);
	(void)doca_flow_pipe_cfg_set_is_root(cfg, true);
	(void)doca_flow_pipe_cfg_set_nr_entries(cfg, 16);
	done = done && doca_flow_pipe_create(cfg, NULL, NULL, &root) == DOCA_SUCCESS;
	(void)doca_flow_pipe_cfg_destroy(cfg);
	return done;
}

/* Everything from the workload, with a counter. */
static doca_error_t add(uint32_t priority, struct doca_flow_fwd fwd,
			struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_match match = {.parser_meta.port_id = lab.ids[1]};
	struct doca_flow_match mask = {.parser_meta.port_id = UINT16_MAX};
	struct doca_flow_monitor monitor = {.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED};

	return doca_flow_pipe_control_add_entry(0, priority, root, &match, &mask, NULL, NULL, NULL,
						NULL, &monitor, &fwd, NULL, entry);
}

static struct doca_flow_fwd to_wire(void)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_PORT};

	fwd.port_id = lab.ids[0];
	return fwd;
}

static struct doca_flow_fwd to_program(uint16_t *queue)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_RSS};

	*queue = 0;
	fwd.rss_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	fwd.rss.queues_array = queue;
	fwd.rss.nr_queues = 1;
	return fwd;
}

static bool send_frame(void)
{
	static uint8_t buf[DP_HEADROOM + 64] = {[DP_HEADROOM + 12] = 0x88,
						[DP_HEADROOM + 13] = 0xb5};
	struct dp_packet packet = {.frame = buf + DP_HEADROOM, .len = 60};
	bool retry;

	memset(packet.frame, 0xff, 6);
	return soft_port_send(lab.workload, &packet, &retry) == 0;
}

/* Hits of an entry once `want` packets were counted, or after half a second without. */
static uint64_t hits(struct doca_flow_pipe_entry *entry, uint64_t want)
{
	struct doca_flow_resource_query query = {{0, 0}};

	for (uint32_t i = 0; i < 500; i++) {
		if (doca_flow_resource_query_entry(entry, &query) != DOCA_SUCCESS ||
		    query.counter.total_pkts >= want)
			break;
		usleep(1000);
	}
	return query.counter.total_pkts;
}

static void remove_now(struct doca_flow_pipe_entry *entry)
{
	(void)doca_flow_pipe_remove_entry(0, DOCA_FLOW_NO_WAIT, entry);
	lab_process();
}

static void an_entry_is_not_there_before_its_completion(void)
{
	struct doca_flow_pipe_entry *below, *entry;

	CHECK_EQ(add(5, to_wire(), &below), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(add(0, to_wire(), &entry), DOCA_SUCCESS);
	CHECK(send_frame());
	CHECK_EQ(hits(below, 1), 1);
	CHECK_EQ(hits(entry, 0), 0);
	lab_process();
	CHECK(send_frame());
	CHECK_EQ(hits(entry, 1), 1);
	CHECK_EQ(hits(below, 0), 1);
	/* Nor is it gone before that of its removal. */
	CHECK_EQ(doca_flow_pipe_remove_entry(0, DOCA_FLOW_NO_WAIT, entry), DOCA_SUCCESS);
	CHECK(send_frame());
	CHECK_EQ(hits(entry, 2), 2);
	lab_process();
	CHECK(send_frame());
	CHECK_EQ(hits(below, 2), 2);
	remove_now(below);
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
	CHECK_EQ(add(0, to_wire(), &entry), DOCA_SUCCESS);
	CHECK_EQ(add(1, to_wire(), &failed), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(lab.failed, 1);
	doca_standin_live(&after);
	CHECK_EQ(after.entries, before.entries + 1);
	/* The third succeeds, the fourth does not: the entry stays. */
	CHECK_EQ(add(2, to_wire(), &failed), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(doca_flow_pipe_remove_entry(0, DOCA_FLOW_NO_WAIT, entry), DOCA_SUCCESS);
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

static void late_orders_complete_later(void)
{
	const struct doca_standin_failures late = {.kind = DOCA_STANDIN_LATE, .every = 1};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct doca_flow_pipe_entry *entry;

	lab.completed = 0;
	doca_standin_fail(&late);
	CHECK_EQ(add(0, to_wire(), &entry), DOCA_SUCCESS);
	lab_process();
	lab_process();
	CHECK_EQ(lab.completed, 0);
	lab_process();
	CHECK_EQ(lab.completed, 1);
	doca_standin_fail(&none);
	remove_now(entry);
}

static void what_is_sent_to_the_program_is_its_own(void)
{
	struct doca_flow_pipe_entry *entry;
	struct doca_standin_live live;
	struct rte_mbuf *mbuf = NULL;
	uint16_t queue;

	CHECK_EQ(add(0, to_program(&queue), &entry), DOCA_SUCCESS);
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
	if (!lab_open() || !make_root()) {
		printf("not ok the lab does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(an_entry_is_not_there_before_its_completion);
	RUN(failed_orders_change_nothing);
	RUN(late_orders_complete_later);
	RUN(what_is_sent_to_the_program_is_its_own);
	RUN(an_mbuf_has_one_owner);
	lab_close();
	return test_summary();
}
