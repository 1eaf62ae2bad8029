/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setname_np, cpu_set_t */
/*
 * poll.c: the threads that look at what hardware sends to the CPU, the readers. Each has queues and a processor of its own;
 * a flow's packets come to one of them, which also sends on what was held of it.
 */
#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dpu.h"
#include "mark.h"

#define BURST_TRUSTED 32u
#define BURST_HOSTILE 8u  /* what the network sends must not starve the workloads */
#define BURST_DETOUR 8u   /* nor one workload the others */
#define SPINS 2000u       /* rounds without a packet before it naps */
#define LOOK_ROUNDS 1024u /* between looks at the clock while there are packets */
#define NAP_NS 50000
#define TICK_NS UINT64_C(100000000)

/* Its own of the processors that may be used; more readers than those share them. */
static void settle_down(const struct dpu_reader *reader)
{
	const struct dpu_options *options = &reader->dp->options;
	char name[16];
	cpu_set_t cpus;

	(void)snprintf(name, sizeof(name), "psp-poll-%u", reader->index);
	(void)pthread_setname_np(pthread_self(), name);
	CPU_ZERO(&cpus);
	CPU_SET((size_t)options->core[reader->index % options->n_cores], &cpus);
	/* A core that is not ours to have: it runs wherever it may. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

/* Limits of keys, without ever waiting for the agent. */
static void tick(struct psp_dp *dp, uint64_t *last_ns)
{
	uint64_t now = dp_now_ns();

	if (now - *last_ns < TICK_NS || pthread_mutex_trylock(&dp->base.writer) != 0)
		return;
	*last_ns = now;
	dpu_slots_expire(dp);
	dp_unlock(dp);
}

static void *work(void *arg)
{
	struct dpu_reader *reader = arg;
	struct psp_dp *dp = reader->dp;
	const uint16_t index = (uint16_t)reader->index;
	uint64_t last_tick = dp_now_ns();
	/* With an identity of DPDK's the thread has a cache of buffers of its own. */
	bool registered = rte_thread_register() == 0, ticks = index == 0;
	uint32_t idle = 0, rounds = 0;

	settle_down(reader);
	while (!atomic_load_explicit(&dp->stop, memory_order_acquire)) {
		uint32_t n = dpu_rx_round(dp, index, DPU_CLASS_TRUSTED, BURST_TRUSTED);

		n += dpu_rx_round(dp, index, DPU_CLASS_HOSTILE, BURST_HOSTILE);
		n += dpu_rx_round(dp, index, DPU_CLASS_DETOUR, BURST_DETOUR);
		if (dpu_released(dp, index))
			n++;
		idle = n > 0 ? 0 : idle + 1;
		/* Traffic that never ends must not keep a key alive. */
		if (++rounds % LOOK_ROUNDS == 0 && ticks)
			tick(dp, &last_tick);
		if (idle < SPINS)
			continue;
		atomic_fetch_add_explicit(&reader->rests, 1, memory_order_release);
		if (ticks)
			tick(dp, &last_tick);
		nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	}
	if (registered)
		rte_thread_unregister();
	return NULL;
}

int32_t plane_start(struct psp_dp *dp)
{
	sigset_t all, before;
	int error = 0;

	/* Signals are the program's: its threads, not these, take them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; error == 0 && i < dp->n_readers; i++) {
		struct dpu_reader *reader = &dp->readers[i];

		error = pthread_create(&reader->thread, NULL, work, reader);
		reader->runs = error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return 0;
	plane_stop(dp);
	return dp_fail(dp, PSP_DP_ENOMEM, "Cannot start plane: no thread to poll");
}

void plane_stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	for (uint32_t i = 0; i < dp->n_readers; i++) {
		struct dpu_reader *reader = &dp->readers[i];

		if (reader->runs)
			(void)pthread_join(reader->thread, NULL);
		reader->runs = false;
	}
}

/* The readers look by themselves. */
void plane_released(struct psp_dp *dp)
{
	(void)dp;
}
