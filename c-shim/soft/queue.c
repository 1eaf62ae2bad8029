/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c: frames gathered, made longer, sent, counted. */
#include "queue.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "soft.h"

#define SEND_TRIES 10u
#define SEND_NAP_NS 50000
#define SEND_POLL_MS 1
#define ARENA_ALIGN 64u /* a cache line */

_Static_assert((SOFT_QUEUE_FLOWS & (SOFT_QUEUE_FLOWS - 1)) == 0, "a mask finds a flow");
_Static_assert(SOFT_QUEUE_SLICES >= 2 * SOFT_FRAME_PARTS_MAX, "a frame fits");

void soft_queue_init(struct soft_queue *queue, uint8_t *octets)
{
	memset(queue, 0, sizeof(*queue));
	queue->octets = octets;
	queue->arena = (struct soft_arena){octets, SOFT_QUEUE_OCTETS};
}

bool soft_queue_has_room(const struct soft_queue *queue, uint32_t frames, uint32_t parts)
{
	return queue->n + frames + 2 <= SOFT_QUEUE_FRAMES &&
	       queue->n_slices + parts + 2 * SOFT_FRAME_PARTS_MAX <= SOFT_QUEUE_SLICES &&
	       queue->arena.left >= DP_FRAME_MAX + SOFT_JOIN_ROOM;
}

static void add_slice(struct soft_queue *queue, struct soft_queued *to, const struct iovec *part)
{
	queue->slices[queue->n_slices++] = (struct soft_slice){.part = *part};
	if (to->last != 0)
		queue->slices[to->last - 1].next = queue->n_slices;
	else
		to->first = queue->n_slices;
	to->last = queue->n_slices;
}

static struct soft_queued *add_frame(struct soft_queue *queue, const struct soft_frame *frame)
{
	struct soft_queued *queued = &queue->queued[queue->n];

	queue->frames[queue->n++] = *frame;
	*queued = (struct soft_queued){.segments = soft_frame_segments(frame)};
	for (uint32_t i = 0; i < frame->n_parts; i++)
		add_slice(queue, queued, &frame->parts[i]);
	return queued;
}

/* ---- sealed packets of one flow -------------------------------------------------------------- */

/*
 * All of the outer headers but lengths, IPv4's identification and checksums. They are a tunnel's: IP without options, whose
 * lengths are known here, so that nobody has to be called.
 */
static bool same_outer(const uint8_t *a, const uint8_t *b, const struct soft_frame *frame)
{
	const uint8_t *x = a + NET_ETH_LEN, *y = b + NET_ETH_LEN;

	if (memcmp(a, b, NET_ETH_LEN + 2u) != 0 ||
	    memcmp(a + frame->l4_off, b + frame->l4_off, 4) != 0)
		return false;
	if ((x[0] >> 4) == 6)
		return memcmp(x, y, 4) == 0 &&
		       memcmp(x + NET_IP6_NEXT, y + NET_IP6_NEXT, NET_IP6_LEN - NET_IP6_NEXT) == 0;
	return memcmp(x + NET_IP4_FRAG, y + NET_IP4_FRAG, 4) == 0 &&
	       memcmp(x + NET_IP4_SRC, y + NET_IP4_SRC, NET_IP4_LEN - NET_IP4_SRC) == 0;
}

/* Where the headers of a frame lie. */
static uint8_t *head_of(const struct soft_queue *queue, uint32_t at)
{
	return queue->slices[queue->queued[at].first - 1].part.iov_base;
}

/* Octets of UDP payload of the packets of a frame but the last. */
static uint32_t step_of(const struct soft_frame *frame)
{
	return frame->gso != DP_GSO_NONE ? frame->gso_size : frame->len - frame->payload_off;
}

/* Can the packets of a frame follow in one that was sealed before it? */
static bool continues(const struct soft_queue *queue, uint32_t at, const struct soft_frame *frame,
		      const struct soft_tx_key *key)
{
	const struct soft_frame *before = &queue->frames[at];
	const struct soft_queued *queued = &queue->queued[at];
	const uint32_t n = soft_frame_segments(frame), step = step_of(before);

	return queued->key == key && !queued->closed &&
	       (n == 1 ? step_of(frame) <= step : step_of(frame) == step) &&
	       queued->segments + n <= SOFT_SEGMENTS_MAX &&
	       before->len + frame->len - frame->payload_off <= NET_SUPER_MAX &&
	       before->l4_off == frame->l4_off && before->payload_off == frame->payload_off &&
	       same_outer(head_of(queue, at), frame->parts[0].iov_base, frame);
}

/* Is its last packet shorter than the others? Then it stays the last. */
static bool ends_short(const struct soft_frame *frame)
{
	return frame->gso != DP_GSO_NONE &&
	       (frame->len - frame->payload_off) % frame->gso_size != 0;
}

static void follow(struct soft_queue *queue, uint32_t at, const struct soft_frame *frame)
{
	struct soft_frame *whole = &queue->frames[at];
	struct soft_queued *queued = &queue->queued[at];
	uint32_t len = frame->len - frame->payload_off;
	const struct iovec part = {(uint8_t *)frame->parts[0].iov_base + frame->payload_off, len};

	if (queued->segments == 1) {
		whole->gso = DP_GSO_UDP;
		whole->gso_size = (uint16_t)(whole->len - whole->payload_off);
		whole->needs_csum = true;
		whole->csum_start = whole->l4_off;
		whole->csum_offset = NET_UDP_CSUM;
	}
	add_slice(queue, queued, &part);
	whole->len += len;
	queued->segments += soft_frame_segments(frame);
	queued->closed = ends_short(whole);
}

/* Headers for what has become a super-frame. */
static void mend(const struct soft_frame *frame)
{
	uint8_t *head = frame->parts[0].iov_base;
	uint8_t *ip = head + frame->l3_off, *udp = head + frame->l4_off;
	uint32_t udp_len = frame->len - frame->l4_off;

	dp_segment_ip(ip, frame->len - frame->l3_off, 0);
	psp_put16(udp + NET_UDP_LENGTH, (uint16_t)udp_len);
	psp_put16(udp + NET_UDP_CSUM, dp_csum_fold(dp_csum_pseudo(ip, NET_PROTO_UDP, udp_len)));
}

static void take_room(struct soft_arena *arena, uint32_t len)
{
	const uint32_t rounded = (len + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	const uint32_t taken = rounded < arena->left ? rounded : arena->left;

	arena->at += taken;
	arena->left -= taken;
}

uint32_t soft_queue_room(const struct soft_queue *queue, const struct soft_sealing *sealing,
			 uint32_t len)
{
	const uint32_t latest = queue->latest[sealing->flow & (SOFT_QUEUE_FLOWS - 1)];
	const struct soft_frame *frame;
	const struct soft_queued *queued;
	uint32_t n;

	if (latest == 0)
		return 0;
	frame = &queue->frames[latest - 1];
	queued = &queue->queued[latest - 1];
	if (queued->key != sealing->key || queued->closed || step_of(frame) != len)
		return 0;
	n = (NET_SUPER_MAX - frame->len) / len;
	return n < SOFT_SEGMENTS_MAX - queued->segments ? n : SOFT_SEGMENTS_MAX - queued->segments;
}

void soft_queue_sealed(struct soft_worker *worker, const struct soft_frame *frame,
		       const struct soft_sealing *sealing)
{
	struct soft_queue *queue = &worker->queue;
	struct soft_tx_key *key = sealing->key;
	/* Whatever key and headers it has: nothing of a flow goes into a frame before its latest. */
	uint32_t *latest = &queue->latest[sealing->flow & (SOFT_QUEUE_FLOWS - 1)];
	uint32_t n = soft_frame_segments(frame);
	uint32_t bytes = frame->len - frame->payload_off - n * (PSP_HEADER_LEN + PSP_ICV_LEN);
	struct soft_queued *queued;

	take_room(&queue->arena, frame->len);
	if (*latest != 0 && continues(queue, *latest - 1, frame, key)) {
		follow(queue, *latest - 1, frame);
		queue->queued[*latest - 1].sealed_bytes += bytes;
		return;
	}
	queued = add_frame(queue, frame);
	queued->to = worker->dp->uplink;
	queued->key = key;
	queued->sealed_bytes = bytes;
	/* In transport mode the IP header is the tenant's, and its identification counts. */
	queued->closed = !sealing->tunnel || ends_short(frame);
	*latest = queue->n;
}

void soft_queue_host(struct soft_worker *worker, const struct soft_frame *frame,
		     struct soft_link *to, bool local)
{
	struct soft_queued *queued = add_frame(&worker->queue, frame);

	queued->to = to;
	queued->local = local;
}

/* ---- the end of a batch ---------------------------------------------------------------------- */

/* Waits a little for a queue that is full: about a millisecond, then it is the frame's turn to go. */
static bool wait_and_send(struct soft_port *to, const struct soft_frame *frame, bool *busy)
{
	struct pollfd fd = {.fd = soft_port_tx_fd(to), .events = POLLOUT};
	bool sent = false;

	for (uint32_t i = 1; i < SEND_TRIES && !sent && *busy; i++) {
		(void)poll(&fd, 1, SEND_POLL_MS);
		nanosleep(&(struct timespec){.tv_nsec = SEND_NAP_NS}, NULL);
		sent = soft_port_send_all(to, frame, 1, busy) == 1;
	}
	return sent;
}

/* Octets of the inner IP packets among the sealed ones. */
static uint64_t inner_bytes(const struct soft_frame *frame, const struct soft_queued *queued)
{
	const uint8_t *psp = (const uint8_t *)frame->parts[0].iov_base + frame->payload_off;
	uint64_t bytes = queued->sealed_bytes;

	if ((psp[3] & PSP_FLAG_V) != 0)
		bytes -= (uint64_t)queued->segments * PSP_VC_LEN;
	/* In transport mode the IP header stands in front of the UDP header. */
	if (psp[0] != PSP_NEXT_IPV4 && psp[0] != PSP_NEXT_IPV6)
		bytes += (uint64_t)queued->segments * (uint32_t)(frame->l4_off - frame->l3_off);
	return bytes;
}

static void count_uplink(struct soft_worker *worker, const struct soft_queued *queued,
			 const struct soft_frame *frame, bool sent, bool busy)
{
	if (!sent) {
		soft_worker_count(worker, busy ? DP_UPLINK_TX_BUSY : DP_TX_ERROR, queued->segments);
		return;
	}
	soft_worker_count(worker, DP_TX_PACKETS, queued->segments);
	soft_worker_count(worker, DP_TX_BYTES, queued->sealed_bytes);
	soft_stats_add(&queued->key->stats, worker->number, queued->segments,
		       inner_bytes(frame, queued), worker->now_ns);
}

static void count_host(struct soft_worker *worker, const struct soft_queued *queued, bool sent,
		       bool busy)
{
	enum dp_counter counter = DP_HOST_TX_PACKETS;

	if (!sent)
		counter = busy ? DP_HOST_TX_BUSY : DP_HOST_TX_ERROR;
	else if (queued->local)
		soft_worker_count(worker, DP_LOCAL_PACKETS, queued->segments);
	soft_worker_count(worker, counter, queued->segments);
}

static void count(struct soft_worker *worker, const struct soft_queued *queued,
		  const struct soft_frame *frame, bool sent, bool busy)
{
	struct soft_link *to = queued->to;
	const uint32_t n = queued->segments;
	uint64_t bytes = frame->len - frame->l3_off +
			 (uint64_t)(n - 1) * ((uint32_t)frame->payload_off - frame->l3_off);

	if (sent)
		soft_stats_add(&to->tx, worker->number, n, bytes, worker->now_ns);
	else
		atomic_fetch_add_explicit(busy ? &to->tx_busy : &to->tx_error, n,
					  memory_order_relaxed);
	if (queued->key != NULL)
		count_uplink(worker, queued, frame, sent, busy);
	else
		count_host(worker, queued, sent, busy);
}

/* The parts of each frame in a row, and the headers of those that others followed in. */
static void lay_out(struct soft_queue *queue)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < queue->n; i++) {
		struct soft_frame *frame = &queue->frames[i];
		const struct soft_queued *queued = &queue->queued[i];

		frame->parts = &queue->parts[n];
		for (uint32_t at = queued->first; at != 0; at = queue->slices[at - 1].next)
			queue->parts[n++] = queue->slices[at - 1].part;
		frame->n_parts = (uint32_t)(&queue->parts[n] - frame->parts);
		if (queued->key != NULL && queued->segments > 1 && frame->n_parts > 1)
			mend(frame);
	}
}

/* Frames [first, end), which leave by one port. */
static void send_run(struct soft_worker *worker, uint32_t first, uint32_t end)
{
	struct soft_queue *queue = &worker->queue;
	struct soft_port *to = soft_link_sender(queue->queued[first].to, worker->number);

	while (first < end) {
		bool busy, sent;
		uint32_t n = soft_port_send_all(to, &queue->frames[first], end - first, &busy);

		for (uint32_t i = first; i < first + n; i++)
			count(worker, &queue->queued[i], &queue->frames[i], true, false);
		first += n;
		if (first == end)
			break;
		sent = busy && wait_and_send(to, &queue->frames[first], &busy);
		count(worker, &queue->queued[first], &queue->frames[first], sent, busy);
		first++;
	}
}

void soft_queue_flush(struct soft_worker *worker)
{
	struct soft_queue *queue = &worker->queue;

	if (queue->n > 0)
		lay_out(queue);
	for (uint32_t first = 0, end; first < queue->n; first = end) {
		for (end = first + 1;
		     end < queue->n && queue->queued[end].to == queue->queued[first].to; end++)
			;
		send_run(worker, first, end);
	}
	queue->n = 0;
	queue->n_slices = 0;
	memset(queue->latest, 0, sizeof(queue->latest));
	queue->arena = (struct soft_arena){queue->octets, SOFT_QUEUE_OCTETS};
}
