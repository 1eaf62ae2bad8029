/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setname_np, cpu_set_t */
/* poll.c: the thread that looks at what hardware sends to the CPU. */
#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
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

/* The last core of a list such as "0-1,3"; negative: not readable. */
static int last_core(const char *cores)
{
	const char *at = cores + strlen(cores);

	while (at > cores && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return *at != 0 ? atoi(at) : -1;
}

static void settle_down(const struct psp_dp *dp)
{
	int core = last_core(dp->options.cores);
	cpu_set_t cpus;

	(void)pthread_setname_np(pthread_self(), "psp-poll");
	if (core < 0 || core >= CPU_SETSIZE)
		return;
	CPU_ZERO(&cpus);
	CPU_SET((size_t)core, &cpus);
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
	struct psp_dp *dp = arg;
	uint64_t last_tick = dp_now_ns();
	/* With an identity of DPDK's the thread has a cache of buffers of its own. */
	bool registered = rte_thread_register() == 0;
	uint32_t idle = 0, rounds = 0;

	settle_down(dp);
	while (!atomic_load_explicit(&dp->stop, memory_order_acquire)) {
		uint32_t n = dpu_rx_round(dp, DPU_QUEUE_TRUSTED, BURST_TRUSTED);

		n += dpu_rx_round(dp, DPU_QUEUE_HOSTILE, BURST_HOSTILE);
		n += dpu_rx_round(dp, DPU_QUEUE_DETOUR, BURST_DETOUR);
		if (dpu_released(dp))
			n++;
		idle = n > 0 ? 0 : idle + 1;
		/* Traffic that never ends must not keep a key alive. */
		if (++rounds % LOOK_ROUNDS == 0)
			tick(dp, &last_tick);
		if (idle < SPINS)
			continue;
		atomic_fetch_add_explicit(&dp->rests, 1, memory_order_release);
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
	int error;

	/* Signals are the program's: its threads, not this one, take them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&dp->poll_thread, NULL, work, dp);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	dp->polling = error == 0;
	return error == 0 ? 0 : dp_fail(dp, PSP_DP_ENOMEM, "Cannot start plane: no thread to poll");
}

void plane_stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	if (dp->polling)
		(void)pthread_join(dp->poll_thread, NULL);
	dp->polling = false;
}

/* The poll thread looks by itself. */
void plane_released(struct psp_dp *dp)
{
	(void)dp;
}
