/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "memory_port.h"

#define MTU 1500u

/* Who has the frames. The worker that finds none twice has sent everything that it had joined. */
enum state { IDLE, READY, RUNNING, EMPTY, FLOODING, CALMING };

struct memory_port {
	struct soft_port base; /* first: it is what the plane holds */
	int fd;                /* eventfd: readable while there are frames */
	uint8_t side;
	_Atomic int state; /* hands over everything below */
	sem_t done;
	const struct memory_frame *frames;
	uint32_t n, next;
	uint64_t start_ns;
	struct memory_run run;
	struct memory_frame *kept;
	uint32_t kept_cap, kept_n;
	_Atomic uint64_t sent, taken, taken_ns;
};

static struct soft_port *last[2];

static struct memory_port *memory(const struct soft_port *port)
{
	return (struct memory_port *)(uintptr_t)port;
}

static uint64_t thread_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the bench's side ------------------------------------------------------------------------ */

struct soft_port *memory_port_last(uint8_t side)
{
	return last[side];
}

static void kick(struct memory_port *port)
{
	const uint64_t one = 1;

	(void)!write(port->fd, &one, sizeof(one));
}

void memory_port_run(struct soft_port *given, const struct memory_frame *frames, uint32_t n,
		     struct memory_run *run)
{
	struct memory_port *port = memory(given);

	port->frames = frames;
	port->n = n;
	port->next = 0;
	atomic_store_explicit(&port->state, READY, memory_order_release);
	kick(port);
	while (sem_wait(&port->done) != 0 && errno == EINTR)
		;
	*run = port->run;
}

void memory_port_flood(struct soft_port *given, const struct memory_frame *frames, uint32_t n)
{
	struct memory_port *port = memory(given);

	port->frames = frames;
	port->n = n;
	port->next = 0;
	atomic_store_explicit(&port->state, FLOODING, memory_order_release);
	kick(port);
}

void memory_port_calm(struct soft_port *given)
{
	struct memory_port *port = memory(given);

	atomic_store_explicit(&port->state, CALMING, memory_order_release);
	while (sem_wait(&port->done) != 0 && errno == EINTR)
		;
}

uint64_t memory_port_taken(struct soft_port *given, uint64_t *ns)
{
	*ns = atomic_load_explicit(&memory(given)->taken_ns, memory_order_relaxed);
	return atomic_load_explicit(&memory(given)->taken, memory_order_relaxed);
}

void memory_port_keep(struct soft_port *given, struct memory_frame *frames, uint32_t cap)
{
	struct memory_port *port = memory(given);
	port->kept = frames;
	port->kept_cap = cap;
	port->kept_n = 0;
}

uint64_t memory_port_sent(struct soft_port *given)
{
	struct memory_port *port = memory(given);
	return atomic_exchange(&port->sent, 0);
}

uint32_t memory_port_kept(const struct soft_port *given)
{
	struct memory_port *port = memory(given);
	return port->kept_n;
}

/* ---- the plane's side: port.h ---------------------------------------------------------------- */

int32_t soft_port_open(const char *name, uint8_t side, uint16_t vlan, struct soft_port **out,
		       char *err, uint32_t err_cap)
{
	struct memory_port *port = calloc(1, sizeof(*port));

	(void)name;
	(void)vlan;
	(void)err;
	(void)err_cap;
	*out = port == NULL ? NULL : &port->base;
	if (port == NULL)
		return PSP_DP_ENOMEM;
	port->side = side;
	port->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	(void)sem_init(&port->done, 0, 0);
	last[side] = &port->base;
	return port->fd >= 0 ? PSP_DP_OK : PSP_DP_EIO;
}

void soft_port_close(struct soft_port *given)
{
	struct memory_port *port = memory(given);
	(void)close(port->fd);
	(void)sem_destroy(&port->done);
	free(port);
}

int32_t soft_port_query(struct soft_port *given, struct psp_dp_port_info *info)
{
	struct memory_port *port = memory(given);
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->mtu = MTU;
	info->mac[5] = port->side;
	info->link_up = 1;
	return PSP_DP_OK;
}

uint32_t soft_port_lost(const struct soft_port *port)
{
	(void)port;
	return 0;
}

int32_t soft_port_follow(struct soft_port *port)
{
	(void)port;
	return 0;
}

/* Its frames are one worker's. */
int32_t soft_port_group(struct soft_port *port)
{
	(void)port;
	return -1;
}

int32_t soft_port_beside(const struct soft_port *port, struct soft_port **out)
{
	(void)port;
	*out = NULL;
	return PSP_DP_ENOTSUP;
}

bool soft_port_join(struct soft_port *port, int32_t group)
{
	(void)port;
	(void)group;
	return false;
}

int soft_port_fd(const struct soft_port *given)
{
	struct memory_port *port = memory(given);
	return port->fd;
}

int soft_port_tx_fd(const struct soft_port *given)
{
	return soft_port_fd(given);
}

static void take(const struct memory_frame *from, uint8_t *buf, uint8_t side,
		 struct dp_packet *packet)
{
	*packet = from->packet;
	packet->port = side;
	packet->frame = buf + DP_HEADROOM;
	memcpy(packet->frame, from->octets, from->packet.len);
}

/* The frames come from another core: the first pass brings them, the second says what copying them costs. */
static void begin(struct memory_port *port, uint8_t *buf, uint32_t cap, struct dp_packet *packets)
{
	uint64_t start = 0;

	for (int pass = 0; pass < 2; pass++) {
		start = thread_ns();
		for (uint32_t i = 0, n = 0; i < port->n; i++, n = (n + 1) % SOFT_PORT_BATCH)
			take(&port->frames[i], buf + (size_t)n * cap, port->side, &packets[n]);
	}
	port->start_ns = thread_ns();
	port->run.port_ns = port->start_ns - start;
	atomic_store_explicit(&port->state, RUNNING, memory_order_relaxed);
}

static void finish(struct memory_port *port)
{
	uint64_t wakes;

	(void)!read(port->fd, &wakes, sizeof(wakes));
	atomic_store_explicit(&port->state, IDLE, memory_order_release);
	(void)sem_post(&port->done);
}

static int32_t take_again(struct memory_port *port, uint8_t *buf, uint32_t cap,
			  struct dp_packet *packets, uint32_t max)
{
	for (uint32_t n = 0; n < max; n++) {
		take(&port->frames[port->next], buf + (size_t)n * cap, port->side, &packets[n]);
		port->next = (port->next + 1) % port->n;
	}
	atomic_store_explicit(&port->taken_ns, thread_ns(), memory_order_relaxed);
	atomic_fetch_add_explicit(&port->taken, max, memory_order_relaxed);
	return (int32_t)max;
}

int32_t soft_port_recv(struct soft_port *given, uint8_t *buf, uint32_t cap,
		       struct dp_packet *packets, uint32_t max)
{
	struct memory_port *port = memory(given);
	uint32_t n = 0;

	switch (atomic_load_explicit(&port->state, memory_order_acquire)) {
	case IDLE:
		return 0;
	case READY:
		begin(port, buf, cap, packets);
		break;
	case EMPTY:
		port->run.engine_ns = thread_ns() - port->start_ns;
		finish(port);
		return 0;
	case FLOODING:
		return take_again(port, buf, cap, packets, max);
	case CALMING:
		finish(port);
		return 0;
	default:
		break;
	}
	if (port->next == port->n) {
		atomic_store_explicit(&port->state, EMPTY, memory_order_relaxed);
		return 0;
	}
	for (; n < max && port->next < port->n; n++)
		take(&port->frames[port->next++], buf + (size_t)n * cap, port->side, &packets[n]);
	return (int32_t)n;
}

uint32_t soft_port_send_all(struct soft_port *given, const struct soft_frame *frames, uint32_t n,
			    bool *retry)
{
	struct memory_port *port = memory(given);

	*retry = false;
	for (uint32_t i = 0; i < n; i++) {
		const struct soft_frame *frame = &frames[i];
		struct memory_frame *kept = &port->kept[port->kept_n];
		uint32_t at = 0;

		atomic_fetch_add_explicit(&port->sent, soft_frame_segments(frame),
					  memory_order_relaxed);
		if (port->kept == NULL)
			continue;
		if (port->kept_n == port->kept_cap)
			return i;
		kept->packet = (struct dp_packet){.len = frame->len,
						  .l3_off = frame->l3_off,
						  .l4_off = frame->l4_off,
						  .payload_off = frame->payload_off,
						  .gso = frame->gso,
						  .gso_size = frame->gso_size,
						  .needs_csum = frame->needs_csum,
						  .csum_start = frame->csum_start,
						  .csum_offset = frame->csum_offset};
		for (uint32_t k = 0; k < frame->n_parts; k++) {
			memcpy(kept->octets + at, frame->parts[k].iov_base,
			       frame->parts[k].iov_len);
			at += (uint32_t)frame->parts[k].iov_len;
		}
		port->kept_n++;
	}
	return n;
}

/* There is no kernel to be kept quiet. */
int32_t soft_port_sink_open(int fds[2], char *err, uint32_t err_cap)
{
	(void)err;
	(void)err_cap;
	fds[0] = fds[1] = -1;
	return PSP_DP_OK;
}
