/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setname_np(), cpu_set_t */
/* worker.c: one thread for each port: read, run, flush, sleep. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "soft.h"

#define BUFFER_LEN (DP_HEADROOM + DP_FRAME_MAX + 2u) /* even */
#define BUFFERS (4u + SOFT_SPLIT_DEPTH)              /* received, held, sealed, joined, split */
#define LOOK_EVERY_MS 1000       /* whether the port is as it was, and how much fits the uplink */
#define LOOK_ABSENT_EVERY_MS 100 /* whether its interface is there again */
#define PORT_ERROR_NAP_MS 100
#define MTU_FALLBACK 1500u

static const char *const names[] = {
	[PSP_DP_PORT_UPLINK] = "psp-ingress",
	[PSP_DP_PORT_HOST] = "psp-egress",
};

int32_t soft_worker_init(struct psp_dp *dp, struct soft_link *link)
{
	struct soft_worker *worker = &link->worker;
	uint8_t *at;
	int32_t status;

	worker->dp = dp;
	worker->link = link;
	worker->number = dp_port_slot(link->base.handle);
	soft_rcu_expect(&dp->rcu, worker->number);
	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->wake < 0)
		return PSP_DP_EIO;
	worker->buffers = malloc((size_t)BUFFERS * BUFFER_LEN);
	if (worker->buffers == NULL)
		return PSP_DP_ENOMEM;
	at = worker->buffers;
	worker->rx_buf = at;
	worker->held_buf = at += BUFFER_LEN;
	worker->seal_out = (struct soft_out){.buf = at += BUFFER_LEN,
					     .cap = BUFFER_LEN,
					     .send = soft_out_send_uplink,
					     .arg = worker};
	worker->join_out = (struct soft_out){.buf = at += BUFFER_LEN,
					     .cap = BUFFER_LEN,
					     .send = soft_out_send_host,
					     .arg = worker};
	for (uint32_t i = 0; i < SOFT_SPLIT_DEPTH; i++)
		worker->split_buf[i] = at += BUFFER_LEN;
	worker->join.out = &worker->join_out;
	if (dp_random(&worker->rng, sizeof(worker->rng)) != 0 ||
	    dp_random(&worker->syndromes.seed, sizeof(worker->syndromes.seed)) != 0 ||
	    dp_random(&worker->too_bigs.seed, sizeof(worker->too_bigs.seed)) != 0 ||
	    dp_random(&worker->path_mtus.seed, sizeof(worker->path_mtus.seed)) != 0)
		return PSP_DP_EIO;
	status = soft_rx_keys_init(&worker->rx_keys, dp->base.keys.backend);
	return status == 0 ? dp->base.keys.backend->crypto_new(&worker->crypto) : status;
}

void soft_worker_free(struct soft_worker *worker)
{
	if (worker->dp == NULL)
		return;
	soft_rx_keys_free(&worker->rx_keys);
	if (worker->crypto != NULL)
		worker->dp->base.keys.backend->crypto_free(worker->crypto);
	if (worker->buffers != NULL)
		explicit_bzero(worker->buffers, (size_t)BUFFERS * BUFFER_LEN);
	free(worker->buffers);
	if (worker->wake >= 0)
		(void)close(worker->wake);
}

static void read_mtu(struct soft_worker *worker)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};

	if (soft_port_query(worker->dp->uplink->port, &info) == 0)
		worker->max_ip = info.mtu;
	else if (worker->max_ip == 0)
		worker->max_ip = MTU_FALLBACK;
}

static int look_every_ms(const struct soft_worker *worker)
{
	/* Its worker alone changes it. */
	return worker->link->present ? LOOK_EVERY_MS : LOOK_ABSENT_EVERY_MS;
}

static bool ends(const struct soft_worker *worker)
{
	return atomic_load_explicit(&worker->dp->stop, memory_order_acquire) ||
	       atomic_load_explicit(&worker->stop, memory_order_acquire);
}

/* What others have changed since the last round. */
static void follow(struct soft_worker *worker)
{
	struct psp_dp *dp = worker->dp;
	uint32_t stale;

	worker->now_ns = dp_now_ns();
	if (worker->now_ns - worker->looked_ns >= (uint64_t)look_every_ms(worker) * 1000000u) {
		worker->looked_ns = worker->now_ns;
		soft_link_look(worker);
		read_mtu(worker);
	}
	stale = soft_rx_keys_follow(&worker->rx_keys,
				    atomic_load_explicit(&dp->keys.master, memory_order_acquire));
	if (stale != 0)
		soft_worker_count(worker, DP_STALE_EVENTS, stale);
}

/* Held packets belong to the worker that held them, so that those of a flow stay in order. */
static void run_released(struct soft_worker *worker)
{
	struct dp_hold *hold = &worker->dp->base.hold;
	struct dp_held *chain;

	if (worker->link->base.desc.kind != PSP_DP_PORT_HOST || !dp_hold_is_releasing(hold))
		return;
	while (!ends(worker) && (chain = dp_hold_next(hold, worker->link->base.handle)) != NULL) {
		soft_run_held(worker, chain);
		soft_rcu_quiescent(&worker->dp->rcu, worker->number);
	}
}

/* Frames until the batch is full or none waits. Their number, or a negative status. */
static int32_t run_batch(struct soft_worker *worker)
{
	struct psp_dp *dp = worker->dp;
	struct dp_packet packet;
	int32_t n = 0, got = 1;

	while (n < (int32_t)SOFT_BATCH && !ends(worker)) {
		run_released(worker);
		got = soft_port_recv(worker->link->port, worker->rx_buf, BUFFER_LEN, &packet);
		if (got <= 0)
			break;
		packet.handle = worker->link->base.handle;
		packet.network = worker->link->base.desc.network;
		soft_run(worker, &packet);
		/* Nothing of the tables is kept from one frame to the next. */
		soft_rcu_quiescent(&dp->rcu, worker->number);
		n++;
	}
	(void)soft_join_flush(&worker->join);
	return n == 0 && got < 0 ? got : n;
}

static void sleep_until_woken(struct soft_worker *worker, bool port_failed)
{
	struct psp_dp *dp = worker->dp;
	struct pollfd fds[2] = {
		{.fd = worker->wake, .events = POLLIN},
		{.fd = soft_port_fd(worker->link->port), .events = POLLIN},
	};
	uint64_t wakes;

	soft_rcu_offline(&dp->rcu, worker->number);
	/* An interface that is down reports an error at once, over and over: leave it alone for a while. */
	(void)poll(fds, port_failed ? 1 : 2,
		   port_failed ? PORT_ERROR_NAP_MS : look_every_ms(worker));
	if ((fds[0].revents & POLLIN) != 0 && read(worker->wake, &wakes, sizeof(wakes)) < 0 &&
	    errno != EAGAIN)
		soft_worker_count(worker, DP_PORT_ERRORS, 1);
	soft_rcu_online(&dp->rcu, worker->number);
}

/* On the processors that it may have. Where there is none of them, or not for us, it runs wherever it may. */
static void settle_down(const struct psp_dp *dp)
{
	const struct psp_dp_config *config = &dp->base.config;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (size_t n = 0; n < PSP_DP_CPUS_MAX; n++) {
		if (((uint32_t)config->cpus[n / 8] >> n % 8 & 1u) != 0)
			CPU_SET(n, &cpus);
	}
	if (CPU_COUNT(&cpus) > 0)
		(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

static void *work(void *arg)
{
	struct soft_worker *worker = arg;
	struct psp_dp *dp = worker->dp;

	(void)pthread_setname_np(pthread_self(), names[worker->link->base.desc.kind]);
	settle_down(dp);
	worker->now_ns = dp_now_ns();
	worker->looked_ns = worker->now_ns;
	read_mtu(worker);
	soft_rcu_online(&dp->rcu, worker->number);
	while (!ends(worker)) {
		int32_t n;

		follow(worker);
		n = run_batch(worker);
		if (n < 0)
			soft_worker_count(worker, DP_PORT_ERRORS, 1);
		if (n <= 0)
			sleep_until_woken(worker, n < 0);
	}
	soft_rcu_offline(&dp->rcu, worker->number);
	return NULL;
}

int32_t soft_worker_start(struct soft_worker *worker)
{
	sigset_t all, before;
	int error;

	/* Signals are the program's: its threads, not these, take them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&worker->thread, NULL, work, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	worker->running = error == 0;
	return error == 0 ? 0 : PSP_DP_ENOMEM;
}

/* Held packets go on where they were held: whoever has none of them sleeps again. */
void plane_released(struct psp_dp *dp)
{
	dp_ports_read(dp);
	SOFT_EACH_LINK (dp, link) {
		if (link->base.desc.kind == PSP_DP_PORT_HOST)
			soft_worker_wake(&link->worker);
	}
	dp_ports_done(dp);
}

void soft_worker_join(struct soft_worker *worker)
{
	if (worker->running)
		(void)pthread_join(worker->thread, NULL);
	worker->running = false;
}
