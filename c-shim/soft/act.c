/* SPDX-License-Identifier: Apache-2.0 */
/* act.c: what a rule does to a packet, what it reports, and where it sends it. */
#include <string.h>

#include "../common/csum.h"
#include "../common/net.h"
#include "soft.h"

/* ---- reports --------------------------------------------------------------------------------- */

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What an event says of any packet. */
static void describe(const struct soft_walk *walk, const struct soft_pipe *pipe,
		     struct psp_dp_event *event)
{
	dp_event_describe(event, walk->packet, pipe != NULL ? pipe->base.id : 0);
	if (walk->encap != NULL)
		event->spi = walk->encap->tx_spi;
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
static void report_sample(struct soft_worker *worker, const struct soft_walk *walk,
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

static void report_syndrome(struct soft_worker *worker, const struct soft_walk *walk,
			    const struct soft_pipe *pipe)
{
	struct psp_dp_event event;

	if (!walk->decrypted || walk->decapped ||
	    !dp_limit_allows(&worker->syndromes, walk->packet->fields.tun_psp_spi, worker->now_ns))
		return;
	describe(walk, pipe, &event);
	event.type = PSP_DP_EVENT_SYNDROME;
	event.packet_len = walk->packet->len - walk->packet->l3_off;
	push(worker, &event, NULL, 0, DP_EVENTS_LOST);
}

static void report_exception(struct soft_worker *worker, const struct soft_walk *walk,
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
	push(worker, &event, packet->frame, least(packet->len, DP_EXCEPTION_BYTES), DP_EVENTS_LOST);
}

/* ---- actions --------------------------------------------------------------------------------- */

/*
 * Sealed as this host asked, so that no more of a packet was readable on the way, and no less. The offset is
 * authenticated. A packet that is shorter than what was asked for is authenticated to its end.
 */
static bool crypt_offset_holds(const struct dp_packet *packet, const struct psp_dp_actions *actions)
{
	uint32_t words = (packet->len - packet->payload_off - PSP_HEADER_LEN) / 4u;

	return (actions->flags & PSP_DP_ACTION_CHECK_CRYPT_OFFSET) == 0 ||
	       packet->psp.crypt_offset == least(actions->crypt_offset, words);
}

struct soft_pipe *soft_walk_act(struct soft_worker *worker, struct soft_walk *walk,
				const struct soft_pipe *pipe, const struct soft_rule *rule)
{
	const struct psp_dp_actions *actions = &rule->base.actions;
	struct dp_packet *packet = walk->packet;

	if ((actions->flags & PSP_DP_ACTION_SET_S) != 0)
		packet->set_s = true;
	/* Anybody can send a packet with the S bit: what fails to open is nobody's sample. */
	if (rule->base.mirror && (!walk->decrypted || opened(walk)))
		report_sample(worker, walk, pipe);
	if (rule->base.notify)
		report_syndrome(worker, walk, pipe);
	if ((actions->flags & PSP_DP_ACTION_DECAP) != 0) {
		/* A packet that is not to be forwarded ends here at the latest. */
		if (!opened(walk) || walk->decapped || packet->verdict != PSP_DP_VERDICT_OK) {
			soft_walk_drop(worker, walk, DP_DROP_PIPE);
			return NULL;
		}
		if (!crypt_offset_holds(packet, actions)) {
			soft_walk_drop(worker, walk, DP_RX_CRYPT_OFFSET);
			return NULL;
		}
		if (!soft_decap(packet, actions)) {
			soft_walk_drop(worker, walk, DP_RX_BAD_INNER);
			return NULL;
		}
		walk->decapped = true;
		walk->bytes = packet->len - packet->l3_off;
	}
	if ((actions->flags & PSP_DP_ACTION_SET_PKT_META) != 0)
		packet->fields.meta_pkt_meta = actions->pkt_meta;
	if ((actions->flags & PSP_DP_ACTION_ENCAP) != 0) {
		walk->encap = rule;
		packet->encap = actions;
	}
	if ((actions->flags & PSP_DP_ACTION_ENCRYPT) != 0)
		walk->crypto_id = actions->crypto_id;
	return soft_walk_forward(worker, walk, pipe, &rule->base.fwd);
}

/* ---- forwards -------------------------------------------------------------------------------- */

/* Only what came from the host waits: it is clear text as it was, and can be run again. */
static void hold(struct soft_worker *worker, const struct soft_walk *walk,
		 const struct soft_pipe *pipe)
{
	const struct dp_packet *packet = walk->packet;

	if (pipe == NULL || packet->port != PSP_DP_PORT_HOST ||
	    packet->fields.parser_meta_outer_l3_type == PSP_DP_L3_NONE)
		soft_walk_drop(worker, walk,
			       packet->port == PSP_DP_PORT_HOST ? DP_HOST_UNMATCHED : DP_DROP_PIPE);
	else
		dp_hold_add(&worker->dp->base.hold, pipe->base.id, packet, worker->now_ns);
}

static void leave_to_kernel(struct soft_worker *worker, const struct soft_walk *walk)
{
	if (walk->packet->port == PSP_DP_PORT_HOST)
		soft_walk_drop(worker, walk, DP_HOST_UNMATCHED);
	else if (walk->decrypted)
		soft_walk_drop(worker, walk, DP_DROP_PIPE);
	else
		soft_worker_count(worker, DP_UPLINK_KERNEL, walk->segments);
}

static void leave_to_agent(struct soft_worker *worker, const struct soft_walk *walk,
			   const struct soft_pipe *pipe, const struct dp_fwd *fwd)
{
	if (fwd->target == PSP_DP_RSS_MISS) {
		hold(worker, walk, pipe);
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
		soft_out_uplink(worker, walk, pipe);
	else
		soft_out_host(worker, walk);
}

struct soft_pipe *soft_walk_forward(struct soft_worker *worker, struct soft_walk *walk,
				    const struct soft_pipe *pipe, const struct dp_fwd *fwd)
{
	switch (fwd->type) {
	case PSP_DP_FWD_PIPE:
		return soft_pipe(fwd->pipe);
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
		soft_walk_drop(worker, walk,
			       opened(walk) && !walk->decapped ? DP_RX_NO_SA : DP_DROP_PIPE);
		break;
	}
	return NULL;
}
