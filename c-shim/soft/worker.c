/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setname_np(), cpu_set_t, setns() */
/* worker.c: the threads that carry packets: who has frames, a batch of each, what was held, and sleep. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../psp/short_turns.h"
#include "soft.h"

#define BUFFERS_LEN                                                                                \
	(SOFT_RX_OCTETS + (1u + SOFT_SPLIT_DEPTH + 2u + 1u) * SOFT_FRAME_OCTETS + SOFT_QUEUE_OCTETS)
#define BUFFERS_ALIGN 64u
#define UNASKED_MAX (4u * SOFT_TURN_COST) /* until the kernel is asked again who has frames */
/* A turn that has so many gets no other batch: what is carried together stays in the second-level cache. */
#define TURN_OCTETS (3u * DP_FRAME_MAX)
#define EVENTS 64                /* ports of one epoll_wait(); more wait for the next */
#define LOOK_EVERY_MS 1000       /* whether the ports are as they were */
#define LOOK_ABSENT_EVERY_MS 100 /* whether their interfaces are there again */
#define PORT_ERROR_NAP_MS 100
#define NS_IN_MS UINT64_C(1000000)
#define MTU_FALLBACK 1500u
#define WAKE 0u /* no port's handle */

/* ---- how many, and where --------------------------------------------------------------------- */

static uint32_t cpus_of(const struct psp_dp_config *config, cpu_set_t *cpus)
{
	CPU_ZERO(cpus);
	for (size_t n = 0; n < PSP_DP_CPUS_MAX; n++) {
		if (((uint32_t)config->cpus[n / 8] >> n % 8 & 1u) != 0)
			CPU_SET(n, cpus);
	}
	return (uint32_t)CPU_COUNT(cpus);
}

uint32_t soft_workers_wanted(const struct psp_dp_config *config)
{
	cpu_set_t cpus;
	uint32_t n = cpus_of(config, &cpus);

	if (config->workers != 0)
		return config->workers;
	/* Half of the machine is the workloads', and the kernel's that carries their packets. */
	if (n == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = (uint32_t)CPU_COUNT(&cpus) / 2;
	if (n == 0)
		return 1;
	return n < SOFT_WORKERS_DEFAULT_MAX ? n : SOFT_WORKERS_DEFAULT_MAX;
}

/*
 * On the processors that it may have, on one of its own where there are as many. Where there is none of them, or not for us,
 * it runs wherever it may.
 */
static void settle_down(const struct soft_worker *worker)
{
	cpu_set_t cpus;
	const uint32_t n = cpus_of(&worker->dp->base.config, &cpus);

	if (n == worker->dp->n_workers) {
		for (uint32_t cpu = 0, nth = 0; cpu < PSP_DP_CPUS_MAX; cpu++) {
			if (CPU_ISSET(cpu, &cpus) && nth++ != worker->number)
				CPU_CLR(cpu, &cpus);
		}
	}
	if (n > 0)
		(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

/*
 * Sockets that it opens later on are where the ports are, whichever network namespace whoever started it is in. Without the
 * right to go there it is there already, or has none to open.
 */
static void enter_network(const struct psp_dp *dp)
{
	const int ns = dp->uplink != NULL ? ioctl(soft_port_fd(dp->uplink->port), SIOCGSKNS) : -1;

	if (ns < 0)
		return;
	(void)setns(ns, CLONE_NEWNET);
	(void)close(ns);
}

/* ---- made and freed -------------------------------------------------------------------------- */

static int32_t worker_open(struct soft_worker *worker)
{
	struct epoll_event wake = {.events = EPOLLIN, .data.u32 = WAKE};
	const struct psp_crypto_backend *backend = worker->dp->base.keys.backend;
	uint8_t *at;
	int32_t status;

	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->wake < 0 || worker->epoll < 0 ||
	    epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &wake) != 0)
		return PSP_DP_EIO;
	if (posix_memalign((void **)&worker->buffers, BUFFERS_ALIGN, BUFFERS_LEN) != 0) {
		worker->buffers = NULL;
		return PSP_DP_ENOMEM;
	}
	at = worker->buffers;
	worker->rx_buf = at;
	worker->held_buf = at += SOFT_RX_OCTETS;
	for (uint32_t i = 0; i < SOFT_SPLIT_DEPTH; i++)
		worker->split_buf[i] = at += SOFT_FRAME_OCTETS;
	for (uint32_t i = 0; i < 2; i++)
		worker->cut_buf[i] = at += SOFT_FRAME_OCTETS;
	worker->tunnelled_buf = at += SOFT_FRAME_OCTETS;
	soft_queue_init(&worker->queue, at + SOFT_FRAME_OCTETS);
	worker->seal_out = (struct soft_out){.arena = &worker->queue.arena,
					     .send = soft_out_send_uplink,
					     .arg = worker,
					     .room = soft_out_room_uplink};
	soft_joins_init(worker);
	if (dp_random(&worker->rng, sizeof(worker->rng)) != 0 ||
	    dp_random(&worker->syndromes.seed, sizeof(worker->syndromes.seed)) != 0 ||
	    dp_random(&worker->too_bigs.seed, sizeof(worker->too_bigs.seed)) != 0 ||
	    dp_random(&worker->path_mtus.seed, sizeof(worker->path_mtus.seed)) != 0 ||
	    dp_random(&worker->sources.seed, sizeof(worker->sources.seed)) != 0)
		return PSP_DP_EIO;
	status = soft_rx_keys_init(&worker->rx_keys, backend);
	if (status == 0)
		status = soft_cache_init(&worker->cache);
	return status == 0 ? backend->crypto_new(&worker->crypto) : status;
}

int32_t soft_worker_new(struct psp_dp *dp, uint32_t number, struct soft_worker **out)
{
	struct soft_worker *worker = calloc(1, sizeof(*worker));

	*out = worker;
	if (worker == NULL)
		return PSP_DP_ENOMEM;
	worker->dp = dp;
	worker->number = number;
	worker->wake = -1;
	worker->epoll = -1;
	worker->schedstat = -1;
	memset(worker->want, SOFT_WANT_FIRST, sizeof(worker->want));
	soft_rcu_expect(&dp->rcu, number);
	return worker_open(worker);
}

void soft_worker_free(struct soft_worker *worker)
{
	if (worker == NULL)
		return;
	soft_rx_keys_free(&worker->rx_keys);
	soft_cache_free(&worker->cache);
	if (worker->crypto != NULL)
		worker->dp->base.keys.backend->crypto_free(worker->crypto);
	if (worker->buffers != NULL)
		explicit_bzero(worker->buffers, BUFFERS_LEN);
	free(worker->buffers);
	if (worker->epoll >= 0)
		(void)close(worker->epoll);
	if (worker->wake >= 0)
		(void)close(worker->wake);
	if (worker->schedstat >= 0)
		(void)close(worker->schedstat);
	free(worker);
}

/* False: the kernel has no room for it. */
static bool listen_to(const struct soft_worker *worker, const struct soft_link *link,
		      const struct soft_port *port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = link->base.handle};

	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, soft_port_fd(port), &event) == 0 ||
	       errno == EEXIST;
}

void soft_worker_watch(const struct soft_worker *worker, struct soft_link *link)
{
	struct soft_port *port = soft_link_port(link, worker->number);

	if (port == NULL || atomic_exchange_explicit(&port->watched, true, memory_order_acq_rel))
		return;
	if (!listen_to(worker, link, port))
		atomic_store_explicit(&port->watched, false, memory_order_release);
}

void soft_worker_ignore(const struct soft_worker *worker, struct soft_link *link)
{
	const struct soft_port *port = soft_link_port(link, worker->number);

	if (port != NULL)
		(void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, soft_port_fd(port), NULL);
}

/* ---- between batches ------------------------------------------------------------------------- */

static bool ends(const struct soft_worker *worker)
{
	return atomic_load_explicit(&worker->dp->stop, memory_order_acquire);
}

/* The next port from slot n on, under RCU; NULL: there is none. */
static struct soft_link *next_link(struct psp_dp *dp, uint32_t *n)
{
	while (*n < PSP_DP_PORTS_MAX) {
		struct dp_port *port =
			atomic_load_explicit(&dp->base.ports.slot[(*n)++], memory_order_acquire);

		if (port != NULL)
			return soft_link(port);
	}
	return NULL;
}

static void look(struct soft_worker *worker)
{
	const uint64_t absent_ns = LOOK_ABSENT_EVERY_MS * NS_IN_MS;
	const bool all = worker->now_ns - worker->looked_ns >= LOOK_EVERY_MS * NS_IN_MS;
	struct soft_link *link;
	uint32_t n = 0;

	if (worker->number != 0 || worker->now_ns - worker->mended_ns < absent_ns)
		return;
	worker->mended_ns = worker->now_ns;
	if (all)
		worker->looked_ns = worker->now_ns;
	/* It alone changes who is there. */
	worker->misses_link = false;
	while ((link = next_link(worker->dp, &n)) != NULL) {
		if (!all && link->present)
			continue;
		soft_link_look(worker, link);
		worker->misses_link |= !link->present;
		for (uint32_t i = 0; link->present && i < worker->dp->n_workers; i++)
			soft_worker_watch(worker->dp->workers[i], link);
	}
}

/* A port that failed is asked again after a while. */
static void listen_again(struct soft_worker *worker)
{
	struct soft_link *link;
	uint32_t n = 0;

	if (!worker->deaf || worker->now_ns - worker->packet_ns < PORT_ERROR_NAP_MS * NS_IN_MS)
		return;
	worker->deaf = false;
	while ((link = next_link(worker->dp, &n)) != NULL) {
		const struct soft_port *port = soft_link_port(link, worker->number);

		if (port != NULL && !listen_to(worker, link, port))
			worker->deaf = true;
	}
}

/* proc(5): time on a processor, and waiting for one. False: this kernel does not say. */
static bool ask_scheduler(const struct soft_worker *worker, struct soft_pace_time *time)
{
	char text[64];
	const ssize_t n = pread(worker->schedstat, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return sscanf(text, "%" SCNu64 " %" SCNu64, &time->ran_ns, &time->waited_ns) == 2;
}

/* Ports with many frames rest, and end their rest. */
static void keep_pace(struct soft_worker *worker)
{
	struct soft_pace *pace = &worker->pace;
	struct soft_pace_time time;
	uint32_t handle;

	if ((pace->carried != 0 || pace->cost_per_ms != 0) &&
	    soft_pace_is_look_due(pace, worker->now_ns) && ask_scheduler(worker, &time))
		soft_pace_look(pace, &time, worker->now_ns);
	while ((handle = soft_pace_rested(pace, worker->now_ns)) != 0) {
		struct dp_port *port = dp_port_find(&worker->dp->base.ports, handle);
		struct soft_link *link = port != NULL ? soft_link(port) : NULL;
		const struct soft_port *own =
			link != NULL ? soft_link_port(link, worker->number) : NULL;

		if (own == NULL)
			continue;
		soft_turns_add(&worker->turns, handle);
		if (!listen_to(worker, link, own)) {
			worker->deaf = true;
			worker->packet_ns = worker->now_ns;
		}
	}
}

/* What others have changed since the last round. */
static void follow(struct soft_worker *worker)
{
	struct psp_dp *dp = worker->dp;
	uint32_t stale, mtu = 0;

	worker->now_ns = dp_now_ns();
	look(worker);
	listen_again(worker);
	keep_pace(worker);
	if (dp->uplink != NULL)
		mtu = atomic_load_explicit(&dp->uplink->mtu, memory_order_relaxed);
	worker->max_ip = mtu != 0 ? mtu : MTU_FALLBACK;
	stale = soft_rx_keys_follow(&worker->rx_keys,
				    atomic_load_explicit(&dp->keys.master, memory_order_acquire));
	if (stale != 0)
		soft_worker_count(worker, DP_STALE_EVENTS, stale);
}

/* What was joined and queued leaves, and nothing of the tables is kept. */
static void finish(struct soft_worker *worker)
{
	soft_flush(worker);
	soft_rcu_quiescent(&worker->dp->rcu, worker->number);
}

static void run_released(struct soft_worker *worker)
{
	struct dp_hold *hold = &worker->dp->base.hold;
	struct dp_held *chain = NULL;

	while (dp_hold_is_releasing(hold) && !ends(worker)) {
		soft_chain_begin(worker);
		chain = dp_hold_next(hold, 0);
		if (chain != NULL)
			soft_run_held(worker, chain);
		finish(worker);
		if (chain == NULL)
			return;
	}
}

/* ---- a batch of a port ----------------------------------------------------------------------- */

/* Of a frame that is not parsed yet: as many as there can be in it. */
static uint32_t packets_of(const struct dp_packet *packet)
{
	return 1 + (packet->gso_size != 0 ? packet->len / packet->gso_size : 0);
}

static uint32_t cost_of(const struct dp_packet *packets, uint32_t n)
{
	uint32_t cost = n * SOFT_COST_FRAME;

	for (uint32_t i = 0; i < n; i++)
		cost += packets[i].len + packets_of(&packets[i]) * SOFT_COST_PACKET;
	return cost;
}

/* How large a frame is for who asks for the next ones: octets, or what its packets cost. */
static uint32_t size_of(const struct dp_packet *packet)
{
	const uint32_t cost = packets_of(packet) * SOFT_COST_PACKET;

	return packet->len > cost ? packet->len : cost;
}

/* What a turn of a port came to. */
struct turn {
	uint32_t cost, frames, octets;
	bool more;  /* there may be */
	bool heavy; /* more than the port will ever be asked for at a time */
};

/* Each is lost, for one packet: how many it stood for nobody knows. */
static void count_unreadable(struct soft_worker *worker, const struct soft_link *link,
			     struct soft_port *port)
{
	const bool host = link->base.desc.kind == PSP_DP_PORT_HOST;
	const uint32_t n = port->unreadable;

	if (n == 0)
		return;
	port->unreadable = 0;
	soft_worker_count(worker, host ? DP_HOST_RX_PACKETS : DP_UPLINK_RX_PACKETS, n);
	soft_worker_count(worker, host ? DP_HOST_MALFORMED : DP_UPLINK_MALFORMED, n);
}

/* Frames that wait, as many as the kernel is asked for at a time. What is made of them stays in the queue. */
static void run_batch(struct soft_worker *worker, struct soft_link *link, struct turn *turn)
{
	uint8_t *want = &worker->want[dp_port_slot(link->base.handle)];
	struct soft_port *port = soft_link_port(link, worker->number);
	const uint8_t asked = *want;
	uint32_t octets = 0;
	int32_t n;

	worker->link = link;
	n = soft_port_recv(port, worker->rx_buf + (size_t)turn->frames * SOFT_FRAME_OCTETS,
			   SOFT_FRAME_OCTETS, worker->packets, asked);
	count_unreadable(worker, link, port);
	turn->more = n == asked;
	turn->heavy = false;
	if (n < 0) {
		soft_worker_count(worker, DP_PORT_ERRORS, 1);
		soft_worker_ignore(worker, link);
		worker->deaf = true;
		worker->packet_ns = worker->now_ns;
		return;
	}
	if (n == 0)
		return;
	for (int32_t i = 0; i < n; i++) {
		octets += size_of(&worker->packets[i]);
		worker->packets[i].handle = link->base.handle;
		worker->packets[i].network = link->base.desc.network;
	}
	turn->cost += cost_of(worker->packets, (uint32_t)n);
	turn->frames += (uint32_t)n;
	turn->octets += octets;
	*want = soft_turns_want(asked, (uint32_t)n, octets);
	turn->heavy = turn->more && *want <= asked;
	soft_run(worker, (uint32_t)n);
}

/* Packets of a flow leave in fuller super-frames the more of them are there when the turn ends. */
static struct turn run_turn(struct soft_worker *worker, struct soft_link *link)
{
	const uint8_t *want = &worker->want[dp_port_slot(link->base.handle)];
	struct turn turn = {0};

	do {
		run_batch(worker, link, &turn);
	} while (turn.more && turn.octets < TURN_OCTETS && turn.frames + *want <= SOFT_RX_FRAMES);
	if (turn.frames > 0)
		finish(worker);
	return turn;
}

/* As many turns as there are ports that are ready. */
static void run_ready(struct soft_worker *worker)
{
	struct soft_turns *turns = &worker->turns;

	for (uint32_t left = turns->n; left > 0 && turns->n > 0 && !ends(worker); left--) {
		struct dp_port *port =
			dp_port_find(&worker->dp->base.ports, soft_turns_next(turns));
		struct turn turn = {0};

		if (port != NULL)
			turn = run_turn(worker, soft_link(port));
		if (turn.cost != 0 && port->desc.kind == PSP_DP_PORT_HOST &&
		    soft_pace_turn(&worker->pace, port->handle, turn.cost, turn.heavy,
				   worker->now_ns)) {
			soft_worker_ignore(worker, soft_link(port));
			turn.more = false;
		}
		soft_turns_end(turns, turn.cost, turn.more);
		worker->unasked += turn.cost;
		run_released(worker);
	}
}

/* ---- who has frames -------------------------------------------------------------------------- */

static void note(struct soft_worker *worker, const struct epoll_event *event)
{
	const uint32_t handle = event->data.u32;
	uint64_t wakes;

	if (handle == WAKE) {
		worker->woken = read(worker->wake, &wakes, sizeof(wakes)) > 0;
		return;
	}
	soft_turns_add(&worker->turns, handle);
}

/* Asks the kernel, and waits at most so long. */
static void ask(struct soft_worker *worker, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(worker->epoll, events, EVENTS, timeout_ms);

	worker->unasked = 0;
	for (int i = 0; i < n; i++)
		note(worker, &events[i]);
}

static void sleep_until_woken(struct soft_worker *worker)
{
	struct psp_dp *dp = worker->dp;
	const uint64_t until = worker->now_ns + (uint64_t)dp->base.config.busy_poll_us * 1000u;
	const bool soon = worker->deaf || worker->misses_link;

	worker->woken = false;
	while (dp->base.config.busy_poll_us != 0 && worker->turns.n == 0 && !worker->woken &&
	       dp_now_ns() < until)
		ask(worker, 0);
	if (worker->turns.n != 0 || worker->woken)
		return;
	soft_rcu_offline(&dp->rcu, worker->number);
	ask(worker, soft_pace_wait_ms(&worker->pace, worker->now_ns,
				      soon ? LOOK_ABSENT_EVERY_MS : LOOK_EVERY_MS));
	soft_rcu_online(&dp->rcu, worker->number);
}

static void *work(void *arg)
{
	struct soft_worker *worker = arg;
	struct psp_dp *dp = worker->dp;
	char name[16];

	(void)snprintf(name, sizeof(name), "psp-worker-%u", worker->number % 100);
	(void)pthread_setname_np(pthread_self(), name);
	settle_down(worker);
	if (dp->n_workers > 1)
		enter_network(dp);
	(void)psp_short_turns();
	worker->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	worker->looked_ns = dp_now_ns();
	soft_rcu_online(&dp->rcu, worker->number);
	while (!ends(worker)) {
		follow(worker);
		run_released(worker);
		if (worker->turns.n == 0)
			sleep_until_woken(worker);
		else if (worker->unasked >= UNASKED_MAX)
			ask(worker, 0);
		run_ready(worker);
		soft_rcu_quiescent(&dp->rcu, worker->number);
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

/* Whichever worker is first takes them. */
void plane_released(struct psp_dp *dp)
{
	for (uint32_t i = 0; i < dp->n_workers; i++)
		soft_worker_wake(dp->workers[i]);
}

void soft_worker_join(struct soft_worker *worker)
{
	if (worker->running)
		(void)pthread_join(worker->thread, NULL);
	worker->running = false;
}
