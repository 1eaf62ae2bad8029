/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: a packet from pipe to pipe to its end: lookup, miss or rule, what a rule does to it and reports, what a
 * super-frame does where its packets part, and the two ways out. What leaves by the uplink is sealed; what leaves by
 * the host port was opened.
 */
#include <sched.h>
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "../common/path_mtu.h"
#include "soft.h"

/* Not on the way of nearly all packets, whose functions are the shorter for it. */
#define RARELY __attribute__((noinline, cold))

static uint64_t ip_bytes(const struct dp_packet *packet, uint32_t segments)
{
	return packet->len - packet->l3_off +
	       (uint64_t)(segments - 1) * ((uint32_t)packet->payload_off - packet->l3_off);
}

static void walk_init(struct soft_walk *walk, struct dp_packet *packet)
{
	memset(walk, 0, sizeof(*walk));
	walk->packet = packet;
	walk->segments = dp_segments(packet);
	walk->bytes = ip_bytes(packet, walk->segments);
}

static void count_in(const struct soft_worker *worker, struct soft_stats *stats,
		     const struct soft_walk *walk)
{
	soft_stats_add(stats, worker->number, walk->segments, walk->bytes, worker->now_ns);
}

/* Ends a walk in a drop under exactly one counter. */
static RARELY void walk_drop(struct soft_worker *worker, const struct soft_walk *walk,
			     enum dp_counter counter)
{
	if (walk->counted)
		return;
	if (walk->decrypted && walk->packet->verdict == PSP_DP_VERDICT_POLICY)
		counter = DP_RX_POLICY;
	soft_worker_count(worker, counter, walk->segments);
}

/* ---- reports --------------------------------------------------------------------------------- */

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t spi_of(const struct soft_encap *encap)
{
	return psp_get32(encap->data + encap->udp + NET_UDP_LEN + 4);
}

/* What an event says of any packet. */
static void describe(const struct soft_walk *walk, const struct soft_pipe *pipe,
		     struct psp_dp_event *event)
{
	dp_event_describe(event, walk->packet, pipe != NULL ? pipe->base.id : 0);
	if (walk->encap != NULL)
		event->spi = spi_of(walk->encap);
	event->syndrome = walk->packet->fields.parser_meta_psp_syndrome;
}

static void push(struct soft_worker *worker, const struct psp_dp_event *event, const uint8_t *data,
		 uint32_t len, enum dp_counter lost)
{
	if (!dp_events_push(&worker->dp->base.events, event, data, len))
		soft_worker_count(worker, lost, 1);
}

static bool opened(const struct soft_walk *walk)
{
	uint8_t verdict = walk->packet->verdict;

	return walk->decrypted && !walk->counted &&
	       (verdict == PSP_DP_VERDICT_OK || verdict == PSP_DP_VERDICT_POLICY);
}

/* A sample is the tenant's packet: on its way in, what was inside the PSP packet. */
static RARELY void report_sample(struct soft_worker *worker, const struct soft_walk *walk,
				 const struct soft_pipe *pipe)
{
	const struct dp_packet *packet = walk->packet;
	const struct psp_dp_match *fields = &packet->fields;
	uint32_t from = packet->l3_off, cap = worker->dp->base.config.sample_bytes;
	struct psp_dp_event event;

	describe(walk, pipe, &event);
	event.type = PSP_DP_EVENT_SAMPLE;
	if (opened(walk) && !walk->decapped &&
	    fields->parser_meta_inner_l3_type != PSP_DP_L3_NONE) {
		from = packet->inner_off;
		memcpy(event.src, fields->inner_ip_src, sizeof(event.src));
		memcpy(event.dst, fields->inner_ip_dst, sizeof(event.dst));
	}
	event.packet_len = packet->len - from;
	soft_worker_count(worker, DP_SAMPLES, 1);
	push(worker, &event, packet->frame + from, least(event.packet_len, cap), DP_SAMPLES_LOST);
}

static RARELY void report_syndrome(struct soft_worker *worker, const struct soft_walk *walk,
				   const struct soft_pipe *pipe)
{
	struct psp_dp_event event;

	if (!walk->decrypted || walk->decapped ||
	    !dp_limit_allows(&worker->syndromes, walk->packet->fields.tun_psp_spi, worker->now_ns))
		return;
	describe(walk, pipe, &event);
	event.type = PSP_DP_EVENT_SYNDROME;
	event.packet_len = walk->packet->len - walk->packet->l3_off;
	push(worker, &event, NULL, 0, DP_SYNDROMES_LOST);
}

static RARELY void report_exception(struct soft_worker *worker, const struct soft_walk *walk,
				    const struct soft_pipe *pipe)
{
	struct dp_packet *packet = walk->packet;
	struct psp_dp_event event;

	/* The packet ends here, and whoever answers it checks its sum. */
	if (packet->needs_csum && packet->gso == DP_GSO_NONE)
		dp_csum_complete(packet);
	describe(walk, pipe, &event);
	event.type = PSP_DP_EVENT_EXCEPTION;
	event.packet_len = packet->len;
	push(worker, &event, packet->frame, least(packet->len, DP_EXCEPTION_BYTES),
	     DP_EXCEPTIONS_LOST);
}

/* ---- too long -------------------------------------------------------------------------------- */

/* Octets of IP that a port carries. */
static uint32_t max_ip_of(struct dp_port *to)
{
	const uint32_t mtu = atomic_load_explicit(&soft_link(to)->mtu, memory_order_relaxed);

	return mtu != 0 ? mtu : UINT32_MAX;
}

/* Of a packet, or of each segment of a super-frame. */
static bool is_too_long(const struct dp_packet *packet, uint32_t max_ip)
{
	const uint32_t end = packet->gso == DP_GSO_NONE
				     ? packet->len
				     : (uint32_t)packet->payload_off + packet->gso_size;

	return end - packet->l3_off > max_ip;
}

/* port: of the workload. False: the last report of its flow was a moment ago. */
static RARELY bool report_too_big(struct soft_worker *worker, const struct soft_walk *walk,
				  const struct soft_pipe *pipe, uint32_t max_inner, uint32_t port)
{
	const struct dp_packet *packet = walk->packet;
	uint32_t len = packet->len - packet->l3_off;
	struct psp_dp_event event;

	if (!dp_limit_allows(&worker->too_bigs, dp_flow_hash(packet), worker->now_ns))
		return false;
	describe(walk, pipe, &event);
	event.type = PSP_DP_EVENT_TOO_BIG;
	event.port = (uint16_t)port;
	event.packet_len = len;
	event.mtu = max_inner;
	push(worker, &event, packet->frame + packet->l3_off, least(len, DP_TOO_BIG_BYTES),
	     DP_EXCEPTIONS_LOST);
	return true;
}

/*
 * Cuts an IPv4 packet that may be cut, or each of a super-frame, and each() gets the pieces, of which the walk consists from
 * then on. False: it may not be.
 */
static bool cut_to(struct soft_worker *worker, struct soft_walk *walk, uint32_t max_ip,
		   soft_piece_fn *each, void *arg)
{
	const uint32_t n = soft_fragments(walk->packet, max_ip);

	if (n == 0)
		return false;
	soft_worker_count(worker, DP_FRAGMENTS, n - walk->segments);
	walk->segments = n;
	soft_fragment(walk->packet, max_ip, worker->cut_buf, each, arg);
	return true;
}

/* ---- out: uplink ----------------------------------------------------------------------------- */

/* What was joined so far leaves before the queue does, which may lend it room. */
static void make_room(struct soft_worker *worker)
{
	if (soft_queue_has_room(&worker->queue, SOFT_JOINS, worker->joins.parts))
		return;
	soft_joins_flush(worker);
	soft_queue_flush(worker);
}

int32_t soft_out_send_uplink(void *arg, const struct soft_frame *frame)
{
	struct soft_worker *worker = arg;

	worker->sealed += soft_frame_segments(frame);
	soft_queue_sealed(worker, frame, &worker->sealing);
	make_room(worker);
	return 0;
}

uint32_t soft_out_room_uplink(void *arg, uint32_t len)
{
	const struct soft_worker *worker = arg;

	return soft_queue_room(&worker->queue, &worker->sealing, len);
}

/* A packet whose pieces are sealed each. */
struct sealing {
	struct soft_worker *worker;
	struct soft_tx_key *key;
	uint32_t max_ip;
	enum dp_counter failed;
};

static enum dp_counter seal_failure(enum soft_seal_status status)
{
	return status == SOFT_SEAL_EXPIRED ? DP_TX_KEY_EXPIRED : DP_TX_ERROR;
}

static void seal_piece(void *arg, struct dp_packet *piece)
{
	struct sealing *sealing = arg;
	struct soft_worker *worker = sealing->worker;
	enum soft_seal_status status =
		soft_seal(worker->dp->base.keys.backend, worker->crypto, piece, sealing->key,
			  sealing->max_ip, &worker->seal_out);

	if (status != SOFT_SEAL_OK)
		sealing->failed = seal_failure(status);
}

static enum dp_counter seal(struct soft_worker *worker, struct soft_walk *walk,
			    const struct soft_pipe *pipe, struct soft_tx_key *key)
{
	uint32_t overhead = soft_encap_overhead(walk->packet->encap);
	uint32_t max_ip = soft_encap_max_ip(walk->packet->encap, worker->max_ip);
	uint32_t max_inner = max_ip > overhead ? max_ip - overhead : 0;
	struct sealing sealing = {
		.worker = worker, .key = key, .max_ip = max_ip, .failed = DP_TX_ERROR};
	enum soft_seal_status status;

	if (worker->dp->base.config.mss_clamp != 0 && dp_mss_clamp(walk->packet, max_inner))
		soft_worker_count(worker, DP_MSS_CLAMPED, 1);
	worker->sealing = (struct soft_sealing){.key = key,
						.flow = dp_flow(walk->packet),
						.tunnel = walk->packet->encap->net_type ==
							  PSP_DP_NET_PSP_TUNNEL};
	make_room(worker);
	status = soft_seal(worker->dp->base.keys.backend, worker->crypto, walk->packet, key, max_ip,
			   &worker->seal_out);
	if (status != SOFT_SEAL_TOO_BIG)
		return seal_failure(status);
	/* In transport mode a PSP packet is a whole TCP or UDP packet. */
	if (worker->sealing.tunnel && cut_to(worker, walk, max_inner, seal_piece, &sealing))
		return sealing.failed;
	(void)report_too_big(worker, walk, pipe, max_inner, walk->packet->handle);
	return DP_TOO_BIG;
}

static void out_uplink(struct soft_worker *worker, struct soft_walk *walk,
		       const struct soft_pipe *pipe)
{
	enum dp_counter counter = DP_TX_ERROR;
	struct soft_tx_slot *slot;

	/* Clear text never leaves the uplink, nor does what was not meant to be forwarded. */
	if (walk->encap == NULL || walk->crypto_id == 0 || (walk->decrypted && !walk->decapped)) {
		walk_drop(worker, walk, DP_TX_ERROR);
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

/* ---- out: host ------------------------------------------------------------------------------- */

/* Received frames stay where they are until the batch ends; the others are copied. */
static void settle(struct soft_worker *worker, struct dp_packet *packet)
{
	struct soft_arena *arena = &worker->queue.arena;

	make_room(worker);
	if (packet->frame >= worker->rx_buf && packet->frame < worker->rx_buf + SOFT_RX_OCTETS)
		return;
	memcpy(arena->at, packet->frame, packet->len);
	packet->frame = arena->at;
	packet->tail = 0;
	arena->at += packet->len;
	arena->left -= packet->len;
}

/* Where a packet, or a piece of it, leaves for a workload. */
struct leaving {
	struct soft_worker *worker;
	struct dp_port *to;
	bool local;
};

static void send_host(void *arg, struct dp_packet *packet)
{
	const struct leaving *leaving = arg;
	struct soft_frame frame;
	struct iovec part;

	settle(leaving->worker, packet);
	frame = soft_frame_of(packet);
	part = (struct iovec){packet->frame, packet->len};
	frame.parts = &part;
	frame.n_parts = 1;
	soft_queue_host(leaving->worker, &frame, soft_link(leaving->to), leaving->local);
}

/* From one workload of this host to another: whole as it came, whatever the kernel shall still do to it. */
static void out_local(struct soft_worker *worker, struct soft_walk *walk, struct dp_port *to)
{
	struct leaving leaving = {.worker = worker, .to = to, .local = true};
	const uint32_t max_ip = max_ip_of(to);

	/* The kernel would take it for the sum of IP. */
	if (dp_csum_is_crc(walk->packet))
		dp_csum_complete(walk->packet);
	/* act() has let by what may be cut, or fits. */
	if (!is_too_long(walk->packet, max_ip) ||
	    !cut_to(worker, walk, max_ip, send_host, &leaving))
		send_host(&leaving, walk->packet);
}

/* A packet from a pipe on; returns when it has gone out or was dropped and counted. */
static void walk_on(struct soft_worker *worker, struct soft_walk *walk, struct soft_pipe *pipe);

/*
 * A packet of a peer is longer than the port of its workload carries. Its sender is told as by that workload: a tunnel
 * takes no other address back. The error comes in at the port, as what the workload itself sends.
 */
static RARELY void tell_peer(struct soft_worker *worker, const struct soft_walk *walk,
			     const struct soft_pipe *pipe, struct dp_port *port, uint32_t max_ip)
{
	struct soft_pipe *root =
		soft_pipe(atomic_load_explicit(&worker->dp->base.root, memory_order_acquire));
	struct soft_link *at_work = worker->link;
	struct dp_packet error;
	struct soft_walk back;

	if (!report_too_big(worker, walk, pipe, max_ip, port->handle) ||
	    worker->split_depth >= SOFT_SPLIT_DEPTH ||
	    !soft_too_big(walk->packet, max_ip, worker->split_buf[worker->split_depth], &error))
		return;
	error.port = PSP_DP_PORT_HOST;
	error.handle = port->handle;
	error.network = port->desc.network;
	soft_worker_count(worker, DP_TOO_BIG_TOLD, 1);
	worker->link = soft_link(port);
	worker->split_depth++;
	if (dp_parse(&error)) {
		walk_init(&back, &error);
		walk_on(worker, &back, root);
	}
	worker->split_depth--;
	worker->link = at_work;
}

static void out_host(struct soft_worker *worker, struct soft_walk *walk,
		     const struct soft_pipe *pipe, struct dp_port *port)
{
	struct leaving leaving = {.worker = worker, .to = port};
	const uint32_t max_ip = max_ip_of(port);

	if (!walk->decapped) {
		walk_drop(worker, walk, DP_HOST_REFUSED);
		return;
	}
	if (is_too_long(walk->packet, max_ip)) {
		soft_joins_flush(worker);
		if (cut_to(worker, walk, max_ip, send_host, &leaving))
			return;
		walk_drop(worker, walk, DP_TOO_BIG);
		tell_peer(worker, walk, pipe, port, max_ip);
		return;
	}
	settle(worker, walk->packet);
	/* Counted when it is sent: the joiner may keep it for its neighbours. */
	soft_joins_add(worker, walk->packet, soft_link(port));
}

/* ---- forwards -------------------------------------------------------------------------------- */

/* Where a packet runs again that was held at a pipe. */
static const struct soft_pipe *again(const struct soft_walk *walk, const struct soft_pipe *pipe)
{
	return walk->begins != NULL ? walk->begins : pipe;
}

/* Only what came from the host waits: it is clear text as it was, and can be run again. */
static RARELY void hold(struct soft_worker *worker, const struct soft_walk *walk,
			const struct soft_pipe *pipe)
{
	const struct dp_packet *packet = walk->packet;

	if (pipe == NULL || packet->port != PSP_DP_PORT_HOST ||
	    packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE)
		walk_drop(worker, walk,
			  packet->port == PSP_DP_PORT_HOST ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
	else
		dp_hold_add(&worker->dp->base.hold, again(walk, pipe)->base.id, packet,
			    &worker->link->base.hold, worker->now_ns);
}

/* The kernel gets it too, and makes nothing of it: no socket of its own sent the packet. */
static RARELY void report_path_mtu(struct soft_worker *worker, const struct dp_packet *packet)
{
	struct dp_path_mtu path;
	struct psp_dp_event event;

	if (!dp_path_mtu_read(packet, &path) ||
	    !dp_limit_allows(&worker->path_mtus, path.spi, worker->now_ns))
		return;
	dp_event_describe(&event, packet, 0);
	event.type = PSP_DP_EVENT_PATH_MTU;
	event.spi = path.spi;
	event.mtu = path.mtu;
	memcpy(event.src, path.src, sizeof(event.src));
	memcpy(event.dst, path.dst, sizeof(event.dst));
	push(worker, &event, NULL, 0, DP_PORTS_LOST);
}

static RARELY void leave_to_kernel(struct soft_worker *worker, const struct soft_walk *walk)
{
	if (walk->packet->port == PSP_DP_PORT_HOST)
		walk_drop(worker, walk, DP_HOST_UNMATCHED);
	else if (walk->decrypted)
		walk_drop(worker, walk, DP_DROP_PIPE);
	else {
		soft_worker_count(worker, DP_UPLINK_KERNEL, walk->segments);
		report_path_mtu(worker, walk->packet);
	}
}

/*
 * Whose limit of exceptions a packet counts against: its workload's MAC. What a tunnel brought has our own; there it is the
 * address of the peer's workload, in its network.
 */
static void payer(const struct soft_walk *walk, uint8_t who[6])
{
	const struct dp_packet *packet = walk->packet;
	uint64_t h = packet->psp.vc;

	if (!walk->decapped) {
		memcpy(who, packet->frame + 6, 6);
		return;
	}
	for (uint32_t i = 0; i < sizeof(packet->fields.outer_ip_src); i++)
		h = (h ^ packet->fields.outer_ip_src[i]) * UINT64_C(0x9e3779b97f4a7c15);
	psp_put32(who, (uint32_t)(h >> 32));
	psp_put16(who + 4, (uint16_t)(h >> 16));
}

static bool pass_gate(struct soft_worker *worker, const uint8_t who[6])
{
	struct soft_link *link = worker->link;
	bool passes;

	pthread_mutex_lock(&link->gate);
	passes = dp_gate_pass(&link->base.exceptions, who, worker->now_ns);
	pthread_mutex_unlock(&link->gate);
	return passes;
}

static RARELY void leave_to_agent(struct soft_worker *worker, const struct soft_walk *walk,
				  const struct soft_pipe *pipe, const struct dp_fwd *fwd)
{
	uint8_t who[6];

	if (fwd->target == PSP_DP_RSS_MISS) {
		hold(worker, walk, pipe);
		return;
	}
	payer(walk, who);
	if (!pass_gate(worker, who)) {
		walk_drop(worker, walk, DP_EXCEPTIONS_LIMITED);
		return;
	}
	report_exception(worker, walk, pipe);
	if (!walk->counted)
		soft_worker_count(worker, DP_EXCEPTIONS, walk->segments);
}

static void leave_by_port(struct soft_worker *worker, struct soft_walk *walk,
			  const struct soft_pipe *pipe, const struct dp_fwd *fwd)
{
	if (fwd->target == PSP_DP_PORT_UPLINK)
		out_uplink(worker, walk, pipe);
	else if (walk->routed)
		out_local(worker, walk, fwd->port);
	else
		out_host(worker, walk, pipe, fwd->port);
}

/* A forward that leads to no pipe: the walk ends. */
static void leave(struct soft_worker *worker, struct soft_walk *walk, const struct soft_pipe *pipe,
		  const struct dp_fwd *fwd)
{
	switch (fwd->type) {
	case PSP_DP_FWD_PORT:
		leave_by_port(worker, walk, pipe, fwd);
		break;
	case PSP_DP_FWD_RSS:
		leave_to_agent(worker, walk, pipe, fwd);
		break;
	case PSP_DP_FWD_KERNEL:
		leave_to_kernel(worker, walk);
		break;
	default:
		/* Opened, but nothing let it in: that it has no SA here is the reason. */
		walk_drop(worker, walk,
			  opened(walk) && !walk->decapped ? DP_RX_NO_SA : DP_DROP_PIPE);
		break;
	}
}

/* The next pipe, or NULL when the walk has ended. */
static inline struct soft_pipe *follow(struct soft_worker *worker, struct soft_walk *walk,
				       const struct soft_pipe *pipe, const struct dp_fwd *fwd)
{
	if (fwd->type == PSP_DP_FWD_PIPE)
		return soft_pipe(fwd->pipe);
	leave(worker, walk, pipe, fwd);
	return NULL;
}

/* ---- actions --------------------------------------------------------------------------------- */

/*
 * Sealed as this host asked, so that no more of a packet was readable on the way, and no less. The offset is
 * authenticated. A packet that is shorter than what was asked for is authenticated to its end.
 */
static bool crypt_offset_holds(const struct dp_packet *packet, const struct soft_rule *rule)
{
	uint32_t words = (packet->len - packet->payload_off - PSP_HEADER_LEN) / 4u;

	return (rule->flags & PSP_DP_ACTION_CHECK_CRYPT_OFFSET) == 0 ||
	       packet->psp.crypt_offset == least(rule->strip.crypt_offset, words);
}

/* What goes from workload to workload is carried by the other one's port, or may be cut for it. */
static bool fits_port(const struct soft_walk *walk, const struct soft_rule *rule)
{
	const struct dp_fwd *fwd = &rule->fwd;
	uint32_t max_ip;

	if (fwd->type != PSP_DP_FWD_PORT || fwd->target == PSP_DP_PORT_UPLINK)
		return true;
	max_ip = max_ip_of(fwd->port);
	return !is_too_long(walk->packet, max_ip) || soft_fragments(walk->packet, max_ip) != 0;
}

/* Does what a rule says but DECRYPT, and follows its forward. */
static struct soft_pipe *act(struct soft_worker *worker, struct soft_walk *walk,
			     const struct soft_pipe *pipe, const struct soft_rule *rule)
{
	static const struct dp_fwd to_agent = {.type = PSP_DP_FWD_RSS,
					       .target = PSP_DP_RSS_EXCEPTION};
	const uint32_t flags = rule->flags;
	struct dp_packet *packet = walk->packet;

	if ((flags & SOFT_CHANGES_FIELDS) != 0)
		soft_step_restart(&walk->step);
	if ((flags & PSP_DP_ACTION_SET_S) != 0)
		packet->set_s = true;
	/* Anybody can send a packet with the S bit: what fails to open is nobody's sample. */
	if (rule->mirror && !walk->sampled && (!walk->decrypted || opened(walk)))
		report_sample(worker, walk, pipe);
	walk->sampled = false;
	if (rule->notify)
		report_syndrome(worker, walk, pipe);
	if ((flags & PSP_DP_ACTION_DECAP) != 0) {
		/* A packet that is not to be forwarded ends here at the latest. */
		if (!opened(walk) || walk->decapped || packet->verdict != PSP_DP_VERDICT_OK) {
			walk_drop(worker, walk, DP_DROP_PIPE);
			return NULL;
		}
		if (!crypt_offset_holds(packet, rule)) {
			walk_drop(worker, walk, DP_RX_CRYPT_OFFSET);
			return NULL;
		}
		if (rule->replay.slots != NULL &&
		    !soft_replay_take(&rule->replay, packet->psp.iv)) {
			walk_drop(worker, walk, DP_RX_REPLAY);
			return NULL;
		}
		if (!soft_decap(packet, &rule->strip)) {
			walk_drop(worker, walk, DP_RX_BAD_INNER);
			return NULL;
		}
		walk->decapped = true;
		walk->bytes = packet->len - packet->l3_off;
	}
	if ((flags & PSP_DP_ACTION_ROUTE) != 0) {
		if (packet->port != PSP_DP_PORT_HOST) {
			walk_drop(worker, walk, DP_DROP_PIPE);
			return NULL;
		}
		if (!fits_port(walk, rule)) {
			(void)report_too_big(worker, walk, pipe, max_ip_of(rule->fwd.port),
					     packet->handle);
			walk_drop(worker, walk, DP_TOO_BIG);
			return NULL;
		}
		if (!dp_route(packet, rule->strip.eth_dst, rule->strip.eth_src)) {
			leave_to_agent(worker, walk, pipe, &to_agent);
			return NULL;
		}
		walk->routed = true;
	}
	if ((flags & PSP_DP_ACTION_SET_PKT_META) != 0)
		packet->fields.meta_pkt_meta = rule->pkt_meta;
	if ((flags & PSP_DP_ACTION_ENCAP) != 0) {
		walk->encap = &rule->encap;
		packet->encap = &rule->encap;
	}
	if ((flags & PSP_DP_ACTION_ENCRYPT) != 0)
		walk->crypto_id = rule->crypto_id;
	return follow(worker, walk, pipe, &rule->fwd);
}

/* ---- super-frames ---------------------------------------------------------------------------- */

/* What is to happen to a part of a super-frame. */
typedef void part_fn(struct soft_worker *worker, struct soft_walk *part, struct soft_pipe *pipe,
		     struct soft_entry *entry);

static void run_part(struct soft_worker *worker, const struct soft_walk *whole, uint32_t first,
		     uint32_t count, struct soft_pipe *pipe, struct soft_entry *entry, part_fn *run)
{
	struct soft_walk part = *whole;
	struct dp_packet packet;

	soft_split(whole->packet, first, count, worker->split_buf[worker->split_depth], &packet);
	part.packet = &packet;
	part.segments = count;
	part.bytes = ip_bytes(&packet, count);
	worker->split_depth++;
	run(worker, &part, pipe, entry);
	worker->split_depth--;
}

static bool can_split(const struct soft_worker *worker, const struct soft_walk *walk)
{
	return walk->segments > 1 && worker->split_depth < SOFT_SPLIT_DEPTH;
}

static struct soft_entry *draw(struct soft_worker *worker, const struct soft_pipe *pipe,
			       struct dp_packet *packet)
{
	packet->fields.parser_meta_random = (uint16_t)dp_rng_next(&worker->rng);
	return soft_pipe_find(pipe, &packet->fields);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

struct segment_run {
	struct soft_worker *worker;
	const struct soft_walk *whole;
	const struct soft_pipe *pipe;
	const struct soft_rule *rule;
	uint32_t segments;
};

/* One PSP packet out of what the uplink gave. */
static void run_segment(void *arg, struct dp_packet *packet)
{
	struct segment_run *run = arg;
	struct soft_walk walk = *run->whole;
	struct soft_pipe *next;

	walk.packet = packet;
	walk.segments = 1;
	walk.bytes = ip_bytes(packet, 1);
	run->segments++;
	if (!soft_walk_decrypt(run->worker, &walk))
		return;
	next = act(run->worker, &walk, run->pipe, run->rule);
	if (next != NULL)
		walk_on(run->worker, &walk, next);
}

/* The next pipe of a single packet. */
static struct soft_pipe *run_decrypt(struct soft_worker *worker, struct soft_walk *walk,
				     const struct soft_pipe *pipe, const struct soft_rule *rule)
{
	struct segment_run run = {.worker = worker, .whole = walk, .pipe = pipe, .rule = rule};

	if (walk->packet->gso == DP_GSO_NONE)
		return soft_walk_decrypt(worker, walk) ? act(worker, walk, pipe, rule) : NULL;
	soft_cut(walk->packet, run_segment, &run);
	/* soft_cut() bounds what it cuts. */
	if (run.segments < walk->segments)
		soft_worker_count(worker, DP_RX_ERROR, walk->segments - run.segments);
	return NULL;
}

/* A packet of a super-frame as a sample. */
static void sample_part(struct soft_worker *worker, struct soft_walk *part, struct soft_pipe *pipe,
			struct soft_entry *entry)
{
	(void)entry;
	report_sample(worker, part, pipe);
}

static RARELY void sample_parts(struct soft_worker *worker, struct soft_walk *walk,
				struct soft_pipe *pipe, struct soft_entry *entry)
{
	for (uint32_t i = 0; i < walk->segments; i++)
		run_part(worker, walk, i, 1, pipe, entry, sample_part);
	walk->sampled = true;
}

/*
 * Another MAC than before, or the first: the entry may have been made by what was known before. What was held shows where it
 * was.
 */
static RARELY void change_source(struct soft_worker *worker, const struct soft_walk *walk,
				 const struct soft_pipe *pipe, struct soft_entry *entry,
				 uint64_t now)
{
	struct psp_dp_event event;

	if (worker->resubmitting)
		return;
	/* What is not said now is said of the next packet. */
	if (!dp_limit_allows(&worker->sources, psp_get32(walk->packet->fields.outer_ip_src + 12),
			     worker->now_ns))
		return;
	describe(walk, pipe, &event);
	event.type = PSP_DP_EVENT_SOURCE;
	push(worker, &event, NULL, 0, DP_PORTS_LOST);
	atomic_store_explicit(&entry->source, now, memory_order_relaxed);
}

/*
 * A workload whose interface was made anew, or that has moved, may go on with the connections that it had: nothing misses,
 * and it asks for nothing. What it sends shows its MAC.
 */
static void watch_source(struct soft_worker *worker, const struct soft_walk *walk,
			 const struct soft_pipe *pipe, struct soft_entry *entry)
{
	const uint8_t *mac = walk->packet->frame + 6;
	const uint64_t now = (uint64_t)psp_get16(mac) << 32 | psp_get32(mac + 2);

	if (now != atomic_load_explicit(&entry->source, memory_order_relaxed))
		change_source(worker, walk, pipe, entry, now);
}

static void note(struct soft_rx_hint *hint, enum soft_rx_place of, const void *at)
{
	if (soft_rx_hint_get(hint, of) != at)
		soft_rx_hint_put(hint, of, at);
}

/* The next packet of this key most likely comes here, too. What stays as it is is not written, so that its line stays clean. */
static void leave_hint(const struct soft_worker *worker, const struct soft_pipe *pipe,
		       const struct soft_entry *entry, const struct soft_rule *rule, uint64_t iv)
{
	struct soft_rx_hint *hint = soft_rx_keys_hint(&worker->rx_keys);

	if (hint == NULL)
		return;
	note(hint, SOFT_RX_BUCKET,
	     pipe->base.type == PSP_DP_PIPE_BASIC ? soft_table_place(&pipe->table, entry->hash)
						  : NULL);
	note(hint, SOFT_RX_ENTRY, entry);
	note(hint, SOFT_RX_RULE, rule);
	note(hint, SOFT_RX_WINDOW,
	     rule->replay.slots != NULL ? soft_replay_slot(&rule->replay, iv) : NULL);
}

static struct soft_pipe *run_rule(struct soft_worker *worker, struct soft_walk *walk,
				  struct soft_pipe *pipe, struct soft_entry *entry)
{
	const struct soft_rule *rule = atomic_load_explicit(&entry->rule, memory_order_acquire);
	const uint32_t sends = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ROUTE;

	if (rule->count)
		count_in(worker, &entry->stats, walk);
	if (pipe->base.count)
		count_in(worker, &pipe->hits, walk);
	/* In a list most lead on, and that is all. */
	if (rule->flags == 0 && !rule->mirror && !rule->notify)
		return follow(worker, walk, pipe, &rule->fwd);
	if ((rule->flags & sends) != 0 && walk->packet->port == PSP_DP_PORT_HOST)
		watch_source(worker, walk, pipe, entry);
	if ((rule->flags & PSP_DP_ACTION_DECRYPT) != 0 && !walk->decrypted)
		return run_decrypt(worker, walk, pipe, rule);
	if ((rule->flags & PSP_DP_ACTION_DECAP) != 0)
		leave_hint(worker, pipe, entry, rule, walk->packet->psp.iv);
	if (rule->mirror && walk->packet->port == PSP_DP_PORT_HOST && can_split(worker, walk))
		sample_parts(worker, walk, pipe, entry);
	return act(worker, walk, pipe, rule);
}

static struct soft_pipe *run_found(struct soft_worker *worker, struct soft_walk *walk,
				   struct soft_pipe *pipe, struct soft_entry *entry)
{
	if (entry != NULL)
		return run_rule(worker, walk, pipe, entry);
	if (pipe->base.miss_counter)
		count_in(worker, &pipe->misses, walk);
	return follow(worker, walk, pipe, &pipe->base.fwd_miss);
}

static void found_part(struct soft_worker *worker, struct soft_walk *part, struct soft_pipe *pipe,
		       struct soft_entry *entry)
{
	struct soft_pipe *next = run_found(worker, part, pipe, entry);

	if (next != NULL)
		walk_on(worker, part, next);
}

/* Does an entry nothing but mark a packet and report it, and does the packet go where it would go without? */
static bool only_marks(const struct soft_pipe *pipe, struct soft_entry *entry)
{
	const struct soft_rule *rule;

	if (entry == NULL)
		return true;
	rule = atomic_load_explicit(&entry->rule, memory_order_acquire);
	return (rule->flags & ~(uint32_t)PSP_DP_ACTION_SET_S) == 0 && !rule->notify &&
	       rule->fwd.type == PSP_DP_FWD_PIPE && rule->fwd.pipe == pipe->base.fwd_miss.pipe;
}

/* One packet of a super-frame with the outcome of its draw. */
static void mark(struct soft_worker *worker, struct soft_walk *walk, uint32_t segment,
		 struct soft_pipe *pipe, struct soft_entry *entry)
{
	struct dp_packet *packet = walk->packet;
	const uint32_t at = packet->payload_off + segment * packet->gso_size;
	const uint32_t len = least(packet->len - at, packet->gso_size);
	const struct soft_walk one = {
		.segments = 1, .bytes = (uint64_t)packet->payload_off - packet->l3_off + len};
	const struct soft_rule *rule;

	if (entry == NULL) {
		if (pipe->base.miss_counter)
			count_in(worker, &pipe->misses, &one);
		return;
	}
	rule = atomic_load_explicit(&entry->rule, memory_order_acquire);
	if (rule->count)
		count_in(worker, &entry->stats, &one);
	if (pipe->base.count)
		count_in(worker, &pipe->hits, &one);
	if ((rule->flags & PSP_DP_ACTION_SET_S) != 0)
		packet->s_segments[segment / 64] |= UINT64_C(1) << segment % 64;
	if (rule->mirror)
		run_part(worker, walk, segment, 1, pipe, entry, sample_part);
}

/*
 * Each packet of a super-frame has its own draw. Where that says no more than which of them are samples, the frame stays
 * whole. Else neighbours with the same outcome stay together.
 */
static struct soft_pipe *run_random(struct soft_worker *worker, struct soft_walk *walk,
				    struct soft_pipe *pipe)
{
	const bool parts = can_split(worker, walk) && walk->packet->port == PSP_DP_PORT_HOST;
	const uint32_t n = parts && walk->segments <= DP_MARKED_MAX ? walk->segments : 1;
	struct soft_entry *drawn[DP_MARKED_MAX], *entry;
	bool marks = n > 1 && pipe->base.fwd_miss.type == PSP_DP_FWD_PIPE;
	uint32_t first = 0;

	for (uint32_t i = 0; i < n; i++) {
		drawn[i] = draw(worker, pipe, walk->packet);
		marks = marks && only_marks(pipe, drawn[i]);
	}
	if (marks) {
		for (uint32_t i = 0; i < n; i++)
			mark(worker, walk, i, pipe, drawn[i]);
		return soft_pipe(pipe->base.fwd_miss.pipe);
	}
	entry = drawn[0];
	for (uint32_t i = 1; can_split(worker, walk) && i < walk->segments; i++) {
		struct soft_entry *other = i < n ? drawn[i] : draw(worker, pipe, walk->packet);

		if (other == entry)
			continue;
		run_part(worker, walk, first, i - first, pipe, entry, found_part);
		first = i;
		entry = other;
	}
	if (first == 0)
		return run_found(worker, walk, pipe, entry);
	run_part(worker, walk, first, walk->segments - first, pipe, entry, found_part);
	return NULL;
}

void soft_flush(struct soft_worker *worker)
{
	soft_joins_flush(worker);
	soft_queue_flush(worker);
	if (worker->chains > 0)
		atomic_fetch_sub(&worker->dp->chains, worker->chains);
	worker->chains = 0;
}

/* Other workers have packets that may come before this one, and have not sent them yet. What is its own leaves first. */
static void let_others_end(struct soft_worker *worker)
{
	if (atomic_load(&worker->dp->chains) == worker->chains)
		return;
	soft_flush(worker);
	while (atomic_load(&worker->dp->chains) != 0)
		sched_yield();
}

/* An entry is in, but packets that missed before it came still wait for their release: they go first. */
static bool run_waiting(struct soft_worker *worker, const struct soft_walk *walk,
			const struct soft_pipe *pipe)
{
	struct dp_held *chain = NULL;

	if ((!soft_pipe_holds(pipe) && walk->begins != pipe) || worker->resubmitting ||
	    walk->packet->port != PSP_DP_PORT_HOST)
		return false;
	if (dp_hold_is_holding(&worker->dp->base.hold)) {
		soft_chain_begin(worker);
		chain = dp_hold_take(&worker->dp->base.hold, again(walk, pipe)->base.id,
				     walk->packet);
		if (chain != NULL)
			soft_run_held(worker, chain);
	}
	let_others_end(worker);
	return chain != NULL;
}

static bool is_root(const struct soft_worker *worker, const struct soft_pipe *pipe)
{
	return atomic_load_explicit(&worker->dp->base.root, memory_order_relaxed) == &pipe->base;
}

static struct soft_pipe *run_pipe(struct soft_worker *worker, struct soft_walk *walk,
				  struct soft_pipe *pipe)
{
	struct soft_entry *entry;

	if (++walk->hops > SOFT_HOPS_MAX) {
		walk_drop(worker, walk, DP_DROP_LOOP);
		return NULL;
	}
	if (walk->begins == NULL && !is_root(worker, pipe))
		walk->begins = pipe;
	if (atomic_load_explicit(&pipe->random, memory_order_relaxed))
		return run_random(worker, walk, pipe);
	entry = soft_cache_find(&worker->cache, worker->dp, &walk->step, pipe,
				&walk->packet->fields);
	if (entry != NULL && run_waiting(worker, walk, pipe))
		entry = soft_pipe_find(pipe, &walk->packet->fields);
	return run_found(worker, walk, pipe, entry);
}

static void walk_on(struct soft_worker *worker, struct soft_walk *walk, struct soft_pipe *pipe)
{
	while (pipe != NULL)
		pipe = run_pipe(worker, walk, pipe);
}

/* ---- in -------------------------------------------------------------------------------------- */

/*
 * To one address in IP and to a group on the link: many hear it, and a router that sent it on would send it as often as
 * there are routers (RFC 1812, 5.3.4). What is for a group in IP as well ends where no entry takes it.
 */
static bool is_stray(const struct dp_packet *packet)
{
	const uint8_t *ip = packet->frame + NET_ETH_LEN;

	if ((packet->frame[0] & NET_ETH_GROUP) == 0)
		return false;
	switch (packet->fields.parser_meta_outer_l3_type) {
	case PSP_DP_L3_IPV4:
		return ip[NET_IP4_DST] < NET_IP4_GROUPS;
	case PSP_DP_L3_IPV6:
		return ip[NET_IP6_DST] != NET_IP6_GROUPS;
	default:
		return false;
	}
}

/* sound: it was parsed well. step: from the root on. */
static void run_one(struct soft_worker *worker, struct dp_packet *packet, bool sound,
		    struct soft_step step, struct soft_pipe *root)
{
	static const struct dp_fwd to_kernel = {.type = PSP_DP_FWD_KERNEL};
	const bool from_host = packet->port == PSP_DP_PORT_HOST;
	struct soft_walk walk;

	walk_init(&walk, packet);
	if (!sound) {
		walk_drop(worker, &walk, from_host ? DP_HOST_MALFORMED : DP_UPLINK_MALFORMED);
		return;
	}
	if (from_host && is_stray(packet)) {
		walk_drop(worker, &walk, DP_HOST_UNMATCHED);
		return;
	}
	walk.step = step;
	if (root != NULL)
		walk_on(worker, &walk, root);
	else
		(void)follow(worker, &walk, NULL, &to_kernel);
}

static void count_arrived(struct soft_worker *worker, const struct dp_packet *packet,
			  uint64_t packets, uint64_t bytes)
{
	const bool from_host = packet->port == PSP_DP_PORT_HOST;

	soft_worker_count(worker, from_host ? DP_HOST_RX_PACKETS : DP_UPLINK_RX_PACKETS, packets);
	soft_stats_add(&worker->link->rx, worker->number, packets, bytes, worker->now_ns);
}

static void run_counted(struct soft_worker *worker, struct dp_packet *packet, bool sound,
			struct soft_step step, struct soft_pipe *root)
{
	const uint32_t segments = dp_segments(packet);

	count_arrived(worker, packet, segments, ip_bytes(packet, segments));
	run_one(worker, packet, sound, step, root);
}

/* A frame that was not parsed well: each packet of a workload's own tunnel, or none. */
static void run_unsound(struct soft_worker *worker, struct dp_packet *packet,
			struct soft_pipe *root)
{
	struct soft_tunnelled how;
	struct dp_packet piece;

	if (packet->port != PSP_DP_PORT_HOST || !soft_tunnelled_read(packet, &how)) {
		run_counted(worker, packet, false, (struct soft_step){0}, root);
		return;
	}
	for (uint32_t i = 0; i < how.count; i++) {
		struct soft_step step = {0};
		bool sound;

		soft_tunnelled_packet(packet, &how, i, worker->tunnelled_buf, &piece);
		sound = dp_parse(&piece);
		if (sound && root != NULL)
			soft_cache_start(&worker->cache, worker->dp, &step, root, &piece.fields);
		run_counted(worker, &piece, sound, step, root);
	}
}

/* Parsed; what is sound is counted, before anybody hears of one of them. */
static void take_in(struct soft_worker *worker, uint32_t n)
{
	uint64_t packets = 0, bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dp_packet *packet = &worker->packets[i];
		uint32_t segments;

		worker->sound[i] = dp_parse(packet);
		if (!worker->sound[i])
			continue;
		segments = dp_segments(packet);
		packets += segments;
		bytes += ip_bytes(packet, segments);
	}
	if (packets > 0)
		count_arrived(worker, &worker->packets[0], packets, bytes);
}

void soft_run(struct soft_worker *worker, uint32_t n)
{
	struct soft_pipe *root =
		soft_pipe(atomic_load_explicit(&worker->dp->base.root, memory_order_acquire));

	take_in(worker, n);
	for (uint32_t i = 0; i < n; i++) {
		worker->steps[i] = (struct soft_step){0};
		if (worker->sound[i] && root != NULL)
			soft_cache_start(&worker->cache, worker->dp, &worker->steps[i], root,
					 &worker->packets[i].fields);
	}
	if (root != NULL && n > 1)
		soft_ahead(worker, root, n);
	for (uint32_t i = 0; i < n; i++) {
		if (worker->sound[i])
			run_one(worker, &worker->packets[i], true, worker->steps[i], root);
		else
			run_unsound(worker, &worker->packets[i], root);
	}
}

static void run_one_held(struct soft_worker *worker, const struct dp_held *held)
{
	struct dp_packet packet = held->packet;
	struct soft_pipe *pipe = soft_pipe(dp_pipe_of(worker->dp, held->pipe));
	struct dp_port *port = dp_port_find(&worker->dp->base.ports, packet.handle);
	struct soft_walk walk;

	if (pipe == NULL || port == NULL) {
		soft_worker_count(worker, DP_DROP_SHUTDOWN, held->segments);
		return;
	}
	worker->link = soft_link(port);
	packet.frame = worker->held_buf + DP_HEADROOM;
	memcpy(packet.frame, held->data, packet.len);
	soft_worker_count(worker, DP_HELD_RELEASED, held->segments);
	walk_init(&walk, &packet);
	walk_on(worker, &walk, pipe);
}

void soft_run_held(struct soft_worker *worker, struct dp_held *chain)
{
	struct soft_link *at_work = worker->link;

	worker->resubmitting = true;
	while (chain != NULL) {
		struct dp_held *held = chain;

		chain = held->next;
		run_one_held(worker, held);
		dp_held_free(held);
	}
	worker->resubmitting = false;
	worker->link = at_work;
}
