/* SPDX-License-Identifier: Apache-2.0 */
/* out.c: the two ways out. What leaves by the uplink is sealed; what leaves by the host port was opened. */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "soft.h"

#define SEND_TRIES 10u
#define SEND_NAP_NS 50000
#define SEND_POLL_MS 1

/* Waits a little for a queue that is full: about a millisecond, then it is the packet's turn to go. */
static int32_t send(struct soft_worker *worker, uint32_t port, const struct dp_packet *frame,
		    bool *busy)
{
	struct soft_port *to = worker->dp->ports[port];
	struct pollfd fd = {.fd = soft_port_fd(to), .events = POLLOUT};
	int32_t status = PSP_DP_EIO;

	*busy = true;
	for (uint32_t i = 0; i < SEND_TRIES && status != 0 && *busy; i++) {
		if (i > 0) {
			(void)poll(&fd, 1, SEND_POLL_MS);
			nanosleep(&(struct timespec){.tv_nsec = SEND_NAP_NS}, NULL);
		}
		pthread_mutex_lock(&worker->dp->send[port]);
		status = soft_port_send(to, frame, busy);
		pthread_mutex_unlock(&worker->dp->send[port]);
	}
	return status;
}

/* ---- uplink ---------------------------------------------------------------------------------- */

int32_t soft_out_send_uplink(void *arg, const struct dp_packet *frame)
{
	struct soft_worker *worker = arg;
	struct soft_tx_key *key = worker->sealing_key;
	uint32_t n = dp_segments(frame);
	uint64_t bytes = frame->len - frame->payload_off -
			 (uint64_t)n * (PSP_HEADER_LEN + PSP_ICV_LEN); /* after the IV, no ICV */
	bool busy;
	int32_t status = send(worker, PSP_DP_PORT_UPLINK, frame, &busy);

	worker->sealed += n;
	if (status != 0) {
		soft_worker_count(worker, busy ? DP_UPLINK_TX_BUSY : DP_TX_ERROR, n);
		return status;
	}
	soft_worker_count(worker, DP_TX_PACKETS, n);
	soft_worker_count(worker, DP_TX_BYTES, bytes);
	atomic_fetch_add_explicit(&key->packets, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&key->bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&key->last_used_ns, worker->now_ns, memory_order_relaxed);
	return 0;
}

static void report_too_big(struct soft_worker *worker, const struct soft_walk *walk,
			   const struct soft_pipe *pipe, uint32_t max_inner)
{
	const struct dp_packet *packet = walk->packet;
	uint32_t len = packet->len - packet->l3_off;
	struct psp_dp_event event;

	if (!dp_limit_allows(&worker->too_bigs, dp_flow_hash(packet), worker->now_ns))
		return;
	dp_event_describe(&event, packet, pipe->base.id);
	event.type = PSP_DP_EVENT_TOO_BIG;
	event.spi = walk->encap->tx_spi;
	event.packet_len = len;
	event.mtu = max_inner;
	if (!dp_events_push(&worker->dp->base.events, &event, packet->frame + packet->l3_off,
			    len < DP_TOO_BIG_BYTES ? len : DP_TOO_BIG_BYTES))
		soft_worker_count(worker, DP_EVENTS_LOST, 1);
}

static enum dp_counter seal(struct soft_worker *worker, struct soft_walk *walk,
			    const struct soft_pipe *pipe, struct soft_tx_key *key)
{
	uint32_t overhead = dp_overhead(walk->packet->encap);
	uint32_t max_inner = worker->max_ip > overhead ? worker->max_ip - overhead : 0;

	if (worker->dp->base.config.mss_clamp != 0 && dp_mss_clamp(walk->packet, max_inner))
		soft_worker_count(worker, DP_MSS_CLAMPED, 1);
	worker->sealing_key = key;
	switch (soft_seal(worker->dp->base.keys.backend, worker->crypto, walk->packet, key,
			  worker->max_ip, &worker->seal_out)) {
	case SOFT_SEAL_EXPIRED:
		return DP_TX_KEY_EXPIRED;
	case SOFT_SEAL_TOO_BIG:
		report_too_big(worker, walk, pipe, max_inner);
		return DP_TOO_BIG;
	default:
		return DP_TX_ERROR;
	}
}

void soft_out_uplink(struct soft_worker *worker, struct soft_walk *walk,
		     const struct soft_pipe *pipe)
{
	enum dp_counter counter = DP_TX_ERROR;
	struct soft_tx_slot *slot;

	/* Clear text never leaves the uplink, nor does what was not meant to be forwarded. */
	if (walk->encap == NULL || walk->crypto_id == 0 || (walk->decrypted && !walk->decapped)) {
		soft_walk_drop(worker, walk, DP_TX_ERROR);
		return;
	}
	worker->sealed = 0;
	slot = atomic_load_explicit(&worker->dp->keys.tx[walk->crypto_id], memory_order_acquire);
	if (slot == NULL)
		counter = DP_TX_KEY_EXPIRED;
	else
		counter = seal(worker, walk, pipe, &slot->key);
	/* What soft_seal() did not hand over is lost for its reason; the rest has been counted. */
	if (worker->sealed < walk->segments)
		soft_worker_count(worker, counter, walk->segments - worker->sealed);
}

/* ---- host ------------------------------------------------------------------------------------ */

int32_t soft_out_send_host(void *arg, const struct dp_packet *frame)
{
	struct soft_worker *worker = arg;
	enum dp_counter counter = DP_HOST_TX_PACKETS;
	bool busy;
	int32_t status = send(worker, PSP_DP_PORT_HOST, frame, &busy);

	if (status != 0)
		counter = busy ? DP_HOST_TX_BUSY : DP_HOST_TX_ERROR;
	soft_worker_count(worker, counter, dp_segments(frame));
	return status;
}

void soft_out_host(struct soft_worker *worker, struct soft_walk *walk)
{
	if (!walk->decapped) {
		soft_walk_drop(worker, walk, DP_HOST_REFUSED);
		return;
	}
	/* Counted when it is sent: the joiner may keep it for its neighbours. */
	(void)soft_join_add(&worker->join, walk->packet);
}
