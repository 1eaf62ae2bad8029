/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setname_np, cpu_set_t */
/* poll.c: the thread that looks at what hardware sends to the CPU, and the agent's side of events and held packets. */
#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dpu.h"
#include "mark.h"

#define BURST_TRUSTED 32u
#define BURST_HOSTILE 8u /* what the network sends must not starve the workloads */
#define BURST_DETOUR 8u  /* nor one workload the others */
#define SPINS 2000u      /* rounds without a packet before it naps */
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
	uint64_t now = dpu_now_ns();

	if (now - *last_ns < TICK_NS || pthread_mutex_trylock(&dp->writer) != 0)
		return;
	*last_ns = now;
	dpu_slots_expire(dp);
	pthread_mutex_unlock(&dp->writer);
}

static void *work(void *arg)
{
	struct psp_dp *dp = arg;
	uint64_t last_tick = dpu_now_ns();
	/* With an identity of DPDK's the thread has a cache of buffers of its own. */
	bool registered = rte_thread_register() == 0;
	uint32_t idle = 0;

	settle_down(dp);
	while (!atomic_load_explicit(&dp->stop, memory_order_acquire)) {
		uint32_t n = dpu_rx_round(dp, DPU_QUEUE_TRUSTED, BURST_TRUSTED);

		n += dpu_rx_round(dp, DPU_QUEUE_HOSTILE, BURST_HOSTILE);
		n += dpu_rx_round(dp, DPU_QUEUE_DETOUR, BURST_DETOUR);
		if (dpu_tx_released(dp))
			n++;
		idle = n > 0 ? 0 : idle + 1;
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

int32_t dpu_poll_start(struct psp_dp *dp)
{
	sigset_t all, before;
	int error;

	/* Signals are the program's: its threads, not this one, take them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&dp->poll_thread, NULL, work, dp);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	dp->polling = error == 0;
	return error == 0 ? 0
			  : dpu_fail(dp, PSP_DP_ENOMEM, "Cannot start plane: no thread to poll");
}

void dpu_poll_stop(struct psp_dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_release);
	if (dp->polling)
		(void)pthread_join(dp->poll_thread, NULL);
	dp->polling = false;
}

/* ---- the ABI --------------------------------------------------------------------------------- */

int32_t psp_dp_event_wait(struct psp_dp *dp, uint8_t *buf, uint32_t cap, uint32_t timeout_ms,
			  uint32_t *len)
{
	int32_t status;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	status = dp_events_take(&dp->events, buf, cap, timeout_ms, len);
	if (status == PSP_DP_EBUSY)
		return dpu_fail(dp, status, "Cannot wait for events: another call is waiting");
	if (status == PSP_DP_ERANGE)
		return dpu_fail(
			dp, status,
			"Cannot wait for events: the next needs %u octets, the buffer has %u", *len,
			cap);
	if (status != 0)
		return status;
	/* What was read has made room. Still the reader, so close waits for this. */
	dp_hold_pay(&dp->hold);
	dp_events_done(&dp->events);
	return 0;
}

int32_t psp_dp_held_release(struct psp_dp *dp, uint32_t flow, uint32_t *packets)
{
	int32_t status;

	if (dp == NULL || packets == NULL)
		return PSP_DP_EINVAL;
	status = dp_hold_release(&dp->hold, flow, packets);
	return status == 0 ? 0
			   : dpu_fail(dp, status, "Cannot release flow %u: there is none", flow);
}

int32_t psp_dp_held_drop(struct psp_dp *dp, uint32_t flow, uint32_t reason, uint32_t hold_off_ms,
			 uint32_t *packets)
{
	uint64_t until = hold_off_ms != 0 ? dpu_now_ns() + hold_off_ms * UINT64_C(1000000) : 0;
	int32_t status;

	if (dp == NULL || packets == NULL)
		return PSP_DP_EINVAL;
	*packets = 0;
	if (reason >= PSP_DP_DROP_REASONS)
		return dpu_fail(dp, PSP_DP_EINVAL, "Cannot drop flow %u: there is no reason %u",
				flow, reason);
	status = dp_hold_drop(&dp->hold, flow, reason, until, packets);
	return status == 0 ? 0 : dpu_fail(dp, status, "Cannot drop flow %u: there is none", flow);
}

int32_t psp_dp_hold_off_clear(struct psp_dp *dp)
{
	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_hold_off_clear(&dp->hold);
	return 0;
}
