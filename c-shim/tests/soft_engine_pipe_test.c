/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes and entries through the ABI: what is refused and why, and the lives of handles. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_watch.h"

static struct net net;

static struct psp_dp *open_a(const struct psp_dp_config *like)
{
	struct psp_dp_config config = like != NULL ? *like : (struct psp_dp_config){.size = 0};

	return net_open(&net.a, 'a', &config) ? net.a.dp : NULL;
}

static void pipes_are_refused_by_name(void)
{
	struct psp_dp *dp = open_a(NULL);
	struct psp_dp_pipe_desc p;
	uint32_t a, b, c;

	CHECK(dp != NULL);
	graph_pipe(&p, "A", PSP_DP_PIPE_BASIC);
	p.size--;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "the descriptor has size"));
	graph_pipe(&p, "A", 7);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "Cannot create pipe \"A\": there is no pipe type 7"));
	graph_pipe(&p, "A", PSP_DP_PIPE_BASIC);
	p.match_mask.size = 3;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), PSP_DP_EINVAL);
	graph_pipe(&p, "A", PSP_DP_PIPE_BASIC);
	p.fwd_miss.type = PSP_DP_FWD_NONE;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "where a miss goes"));
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PIPE, 12345);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "no pipe 12345 to forward to"));
	graph_fwd(&p.fwd_miss, PSP_DP_FWD_PORT, 3);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), PSP_DP_EINVAL);

	graph_pipe(&p, "A", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &a), 0);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &b), PSP_DP_EEXIST);
	graph_pipe(&p, "B", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &b), PSP_DP_EEXIST);
	CHECK(graph_says(dp, "root pipe already"));
	p.is_root = 0;
	graph_fwd(&p.fwd, PSP_DP_FWD_PIPE, a);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &b), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, a), PSP_DP_EBUSY);
	CHECK(graph_says(dp, "Cannot remove pipe \"A\": 1 pipes or entries forward to it"));
	CHECK_EQ(psp_dp_pipe_destroy(dp, b), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, b), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_pipe_destroy(dp, a), 0);
	graph_pipe(&p, "A", PSP_DP_PIPE_BASIC);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &c), 0);
	CHECK(c != a);
}

static void entries_live_and_die_by_handle(void)
{
	struct psp_dp_config config = {.max_entries = 3};
	struct psp_dp *dp = open_a(&config);
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;
	uint32_t down, pipe, a, b, c, d;

	CHECK(dp != NULL);
	graph_pipe(&p, "DOWN", PSP_DP_PIPE_CONTROL);
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &down), 0);
	graph_pipe(&p, "PIPE", PSP_DP_PIPE_BASIC);
	p.match_mask.tun_psp_spi = 0xffff;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &pipe), 0);

	graph_entry(&e);
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &a), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "neither it nor the pipe has a forward"));
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, pipe);
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &a), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "its own pipe"));
	graph_fwd(&e.fwd, PSP_DP_FWD_PIPE, down);
	e.match.tun_psp_spi = 0x10001;
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &a), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, down), PSP_DP_EBUSY);
	/* Equal under the mask. */
	e.match.tun_psp_spi = 0x20001;
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &b), PSP_DP_EEXIST);
	e.match.tun_psp_spi = 2;
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &b), 0);
	/* Two of one match in a CONTROL pipe differ by priority. */
	graph_entry(&e);
	e.fwd.type = PSP_DP_FWD_DROP;
	CHECK_EQ(psp_dp_entry_add(dp, down, &e, &c), 0);
	CHECK_EQ(psp_dp_entry_add(dp, down, &e, &d), PSP_DP_EEXIST);
	e.priority = 1;
	CHECK_EQ(psp_dp_entry_add(dp, down, &e, &d), PSP_DP_ENOSPC);
	CHECK(graph_says(dp, "there are 3 entries already"));
	CHECK_EQ(psp_dp_entry_remove(dp, c), 0);
	CHECK_EQ(psp_dp_entry_remove(dp, c), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_entry_query(dp, c, &stats), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_entry_add(dp, down, &e, &d), 0);
	CHECK(d != c);
	CHECK_EQ(psp_dp_entry_update(dp, a, &e), 0);
	CHECK_EQ(psp_dp_entry_update(dp, c, &e), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_pipe_destroy(dp, down), PSP_DP_EBUSY);
	CHECK_EQ(psp_dp_entry_remove(dp, b), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, down), 0);
	CHECK_EQ(psp_dp_entry_query(dp, d, &stats), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_pipe_query(dp, pipe, &stats), 0);
	CHECK_EQ(stats.entries, 1);
}

static void actions_are_checked_before_they_are_believed(void)
{
	struct psp_dp *dp = open_a(NULL);
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;
	uint32_t pipe, id;

	CHECK(dp != NULL);
	graph_pipe(&p, "PIPE", PSP_DP_PIPE_BASIC);
	p.fwd.type = PSP_DP_FWD_DROP;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &pipe), 0);
	graph_entry(&e);
	e.actions.flags = 0x80000000u;
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &id), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "no actions 0x80000000"));
	graph_entry(&e);
	e.actions.flags = PSP_DP_ACTION_ENCRYPT;
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &id), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "crypto id 0"));
	graph_entry(&e);
	e.actions.flags = PSP_DP_ACTION_ENCAP;
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &id), PSP_DP_EINVAL);
	CHECK(graph_says(dp, "encap_data"));
	graph_encap(&e.actions, &net.a, &net.b, &(struct psp_dp_key){.spi = 1});
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &id), 0);
	e.actions.encap_size--;
	CHECK_EQ(psp_dp_entry_update(dp, id, &e), PSP_DP_EINVAL);
	e.actions.encap_size = 177;
	CHECK_EQ(psp_dp_entry_update(dp, id, &e), PSP_DP_EINVAL);
	e.actions.size = 0;
	CHECK_EQ(psp_dp_entry_update(dp, id, &e), PSP_DP_EINVAL);
}

#define MANY 100000u

static void pipe_holds_a_hundred_thousand_entries(void)
{
	static uint32_t ids[MANY];
	struct psp_dp *dp = open_a(NULL);
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	struct psp_dp_pipe_desc p;
	struct psp_dp_entry_desc e;
	struct timespec from, to;
	uint32_t pipe;

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_start(dp), 0);
	graph_pipe(&p, "ROOT", PSP_DP_PIPE_BASIC);
	p.is_root = 1;
	p.match_mask.tun_psp_spi = 0xffffffff;
	p.fwd.type = PSP_DP_FWD_DROP;
	CHECK_EQ(psp_dp_pipe_create(dp, &p, &pipe), 0);
	graph_entry(&e);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (uint32_t i = 0; i < MANY; i++) {
		e.match.tun_psp_spi = i;
		CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &ids[i]), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("# ns per entry added: %.0f\n",
	       ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
		       MANY);
	CHECK_EQ(psp_dp_pipe_query(dp, pipe, &stats), 0);
	CHECK_EQ(stats.entries, MANY);
	for (uint32_t i = 0; i < MANY; i += 2)
		CHECK_EQ(psp_dp_entry_remove(dp, ids[i]), 0);
	CHECK_EQ(psp_dp_pipe_destroy(dp, pipe), 0);
	CHECK_EQ(psp_dp_entry_query(dp, ids[1], &stats), PSP_DP_ENOENT);
}

int main(void)
{
	if (!net_up(&net)) {
		printf("# no network namespaces here\n0 passed, 1 failed\n");
		return 1;
	}
#define RUN_CLOSED(test)                                                                           \
	do {                                                                                       \
		RUN(test);                                                                         \
		net_close(&net.a);                                                                 \
	} while (0)
	RUN_CLOSED(pipes_are_refused_by_name);
	RUN_CLOSED(entries_live_and_die_by_handle);
	RUN_CLOSED(actions_are_checked_before_they_are_believed);
	RUN_CLOSED(pipe_holds_a_hundred_thousand_entries);
	return test_summary();
}
