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

#define BUFFERS_LEN                                                                                \
	(SOFT_RX_OCTETS + (1u + SOFT_SPLIT_DEPTH) * SOFT_FRAME_OCTETS + SOFT_QUEUE_OCTETS)
#define BUFFERS_ALIGN 64u
#define LARGE 4096u   /* octets of a frame of which few are asked for at a time */
#define WANT_LARGE 4u /* so few: what the second-level cache holds beside what is made of them */
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
	if (posix_memalign((void **)&worker->buffers, BUFFERS_ALIGN, BUFFERS_LEN) != 0) {
		worker->buffers = NULL;
		return PSP_DP_ENOMEM;
	}
	at = worker->buffers;
	worker->rx_buf = at;
	worker->want = WANT_LARGE;
	worker->held_buf = at += SOFT_RX_OCTETS;
	for (uint32_t i = 0; i < SOFT_SPLIT_DEPTH; i++)
		worker->split_buf[i] = at += SOFT_FRAME_OCTETS;
	soft_queue_init(&worker->queue, at + SOFT_FRAME_OCTETS);
	worker->seal_out = (struct soft_out){
		.arena = &worker->queue.arena, .send = soft_out_send_uplink, .arg = worker};
	worker->join_out = (struct soft_out){
		.arena = &worker->queue.arena, .send = soft_out_send_host, .arg = worker};
	worker->join.out = &worker->join_out;
	if (dp_random(&worker->rng, sizeof(worker->rng)) != 0 ||
	    dp_random(&worker->syndromes.seed, sizeof(worker->syndromes.seed)) != 0 ||
	    dp_random(&worker->too_bigs.seed, sizeof(worker->too_bigs.seed)) != 0 ||
	    dp_random(&worker->path_mtus.seed, sizeof(worker->path_mtus.seed)) != 0 ||
	    dp_random(&worker->sources.seed, sizeof(worker->sources.seed)) != 0)
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
		explicit_bzero(worker->buffers, BUFFERS_LEN);
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

/* What was joined and queued leaves, and nothing of the tables is kept. */
static void finish(struct soft_worker *worker)
{
	(void)soft_join_flush(&worker->join);
	soft_queue_flush(worker);
	soft_rcu_quiescent(&worker->dp->rcu, worker->number);
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
		finish(worker);
	}
}

/* Small frames are asked for in numbers, large ones a few at a time. */
static void adapt(struct soft_worker *worker, const struct dp_packet *packets, int32_t n)
{
	uint32_t octets = 0;

	for (int32_t i = 0; i < n; i++)
		octets += packets[i].len;
	if (octets > (uint32_t)n * LARGE)
		worker->want = WANT_LARGE;
	else if ((uint32_t)n == worker->want && worker->want < SOFT_PORT_BATCH)
		worker->want *= 2;
}

/* Frames that wait, a batch of them at most. Their number, or a negative status. */
static int32_t run_batch(struct soft_worker *worker)
{
	const struct dp_port *port = &worker->link->base;
	int32_t n;

	run_released(worker);
	n = soft_port_recv(worker->link->port, worker->rx_buf, SOFT_FRAME_OCTETS, worker->packets,
			   worker->want);
	if (n <= 0)
		return n;
	adapt(worker, worker->packets, n);
	for (int32_t i = 0; i < n; i++) {
		worker->packets[i].handle = port->handle;
		worker->packets[i].network = port->desc.network;
		soft_run(worker, &worker->packets[i]);
	}
	finish(worker);
	return n;
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
