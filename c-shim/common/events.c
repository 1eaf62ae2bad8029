/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_cond_clockwait */
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(PSP_DP_SAMPLE_BYTES_MAX <= DP_EXCEPTION_BYTES, "nor is a sample larger");
_Static_assert(sizeof(struct psp_dp_event) % 8 == 0, "records are multiples of 8");
_Static_assert(sizeof(struct psp_dp_event) + DP_EXCEPTION_BYTES <= PSP_DP_RING_BYTES_MIN,
	       "the largest record fits the smallest ring");

int32_t dp_events_init(struct dp_events *events, const uint32_t caps[PSP_DP_EVENT_CLASSES])
{
	memset(events, 0, sizeof(*events));
	pthread_cond_init(&events->changed, NULL);
	pthread_mutex_init(&events->lock, NULL);
	events->made = true;
	for (uint32_t i = 0; i < PSP_DP_EVENT_CLASSES; i++) {
		struct dp_ring *ring = &events->rings[i];

		ring->cap = caps[i] & ~7u;
		ring->buf = malloc(ring->cap);
		if (ring->buf == NULL)
			return PSP_DP_ENOMEM;
	}
	return 0;
}

void dp_events_free(struct dp_events *events)
{
	if (!events->made)
		return;
	for (uint32_t i = 0; i < PSP_DP_EVENT_CLASSES; i++) {
		struct dp_ring *ring = &events->rings[i];

		/* Samples are clear text of a tenant. */
		if (ring->buf != NULL)
			explicit_bzero(ring->buf, ring->tail < ring->cap ? ring->tail : ring->cap);
		free(ring->buf);
	}
	pthread_cond_destroy(&events->changed);
	pthread_mutex_destroy(&events->lock);
	events->made = false;
}

static void ring_write(struct dp_ring *ring, const void *data, uint32_t len)
{
	uint32_t at = (uint32_t)(ring->tail % ring->cap);
	uint32_t first = len < ring->cap - at ? len : ring->cap - at;

	if (len == 0)
		return;
	memcpy(ring->buf + at, data, first);
	memcpy(ring->buf, (const uint8_t *)data + first, len - first);
	ring->tail += len;
}

static void ring_read(struct dp_ring *ring, uint8_t *out, uint32_t len)
{
	uint32_t at = (uint32_t)(ring->head % ring->cap);
	uint32_t first = len < ring->cap - at ? len : ring->cap - at;

	memcpy(out, ring->buf + at, first);
	memcpy(out + first, ring->buf, len - first);
	ring->head += len;
}

static struct dp_ring *ring_of(struct dp_events *events, uint16_t type)
{
	static const uint8_t classes[] = {
		[PSP_DP_EVENT_MISS] = PSP_DP_CLASS_MISS,
		[PSP_DP_EVENT_EXCEPTION] = PSP_DP_CLASS_EXCEPTION,
		[PSP_DP_EVENT_SAMPLE] = PSP_DP_CLASS_SAMPLE,
		[PSP_DP_EVENT_SYNDROME] = PSP_DP_CLASS_SYNDROME,
		[PSP_DP_EVENT_TOO_BIG] = PSP_DP_CLASS_EXCEPTION,
		[PSP_DP_EVENT_PORT] = PSP_DP_CLASS_PORT,
		[PSP_DP_EVENT_PATH_MTU] = PSP_DP_CLASS_PORT,
		[PSP_DP_EVENT_SOURCE] = PSP_DP_CLASS_PORT,
	};

	return &events->rings[classes[type]];
}

void dp_event_describe(struct psp_dp_event *event, const struct dp_packet *packet, uint32_t pipe)
{
	memset(event, 0, sizeof(*event));
	event->port = packet->handle;
	event->network = packet->network;
	event->egress = packet->port == PSP_DP_PORT_HOST;
	event->pipe = pipe;
	event->spi = packet->fields.tun_psp_spi;
	memcpy(event->src, packet->fields.outer_ip_src, sizeof(event->src));
	memcpy(event->dst, packet->fields.outer_ip_dst, sizeof(event->dst));
	memcpy(event->eth_src, packet->frame + 6, sizeof(event->eth_src));
}

bool dp_events_push(struct dp_events *events, const struct psp_dp_event *event, const uint8_t *data,
		    uint32_t data_len)
{
	static const uint8_t padding[8];
	struct dp_ring *ring = ring_of(events, event->type);
	struct psp_dp_event record = *event;
	struct timespec now;
	bool room;

	clock_gettime(CLOCK_REALTIME, &now);
	record.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	record.data_len = data_len;
	record.record_size = ((uint32_t)sizeof(record) + data_len + 7u) & ~7u;

	pthread_mutex_lock(&events->lock);
	room = ring->cap - (ring->tail - ring->head) >= record.record_size;
	if (room) {
		ring_write(ring, &record, sizeof(record));
		ring_write(ring, data, data_len);
		ring_write(ring, padding, record.record_size - (uint32_t)sizeof(record) - data_len);
		pthread_cond_signal(&events->changed);
	}
	pthread_mutex_unlock(&events->lock);
	return room;
}

/* A record starts at a multiple of 8 in a ring of a multiple of 8: its size never wraps. 0: there is none. */
static uint32_t next_size(const struct dp_ring *ring)
{
	uint32_t size = 0;

	if (ring->head != ring->tail)
		memcpy(&size, ring->buf + ring->head % ring->cap, sizeof(size));
	return size;
}

/* Few and short ones that much hangs on come first. */
static const uint8_t order[PSP_DP_EVENT_CLASSES] = {
	PSP_DP_CLASS_PORT,      PSP_DP_CLASS_SYNDROME, PSP_DP_CLASS_MISS,
	PSP_DP_CLASS_EXCEPTION, PSP_DP_CLASS_SAMPLE,
};

/* The size of a record that is there; 0: there is none. */
static uint32_t first_size(const struct dp_events *events)
{
	uint32_t size = 0;

	for (uint32_t i = 0; size == 0 && i < PSP_DP_EVENT_CLASSES; i++)
		size = next_size(&events->rings[order[i]]);
	return size;
}

/* Octets of records, at most cap. */
static uint32_t take(struct dp_ring *ring, uint8_t *buf, uint32_t cap)
{
	uint32_t len = 0;

	for (uint32_t size = next_size(ring); size != 0 && size <= cap - len;
	     size = next_size(ring)) {
		ring_read(ring, buf + len, size);
		len += size;
	}
	return len;
}

/* Each class that is not the last one to have any leaves half of what is left to those behind it; then all of it goes. */
static uint32_t take_fairly(struct dp_events *events, uint8_t *buf, uint32_t cap)
{
	uint32_t len = 0, waiting = 0;

	for (uint32_t i = 0; i < PSP_DP_EVENT_CLASSES; i++)
		waiting += next_size(&events->rings[i]) != 0;
	for (uint32_t i = 0; i < PSP_DP_EVENT_CLASSES; i++) {
		struct dp_ring *ring = &events->rings[order[i]];

		if (next_size(ring) == 0)
			continue;
		len += take(ring, buf + len, waiting > 1 ? (cap - len) / 2 : cap - len);
		waiting--;
	}
	for (uint32_t i = 0; i < PSP_DP_EVENT_CLASSES; i++)
		len += take(&events->rings[order[i]], buf + len, cap - len);
	return len;
}

static struct timespec deadline_in(uint32_t timeout_ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += (time_t)(timeout_ms / 1000u);
	at.tv_nsec += (long)(timeout_ms % 1000u) * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_nsec -= 1000000000L;
		at.tv_sec++;
	}
	return at;
}

int32_t dp_events_take(struct dp_events *events, uint8_t *buf, uint32_t cap, uint32_t timeout_ms,
		       uint32_t *len)
{
	struct timespec deadline = deadline_in(timeout_ms);
	int32_t status = 0;

	*len = 0;
	pthread_mutex_lock(&events->lock);
	if (events->stopped || events->reading) {
		status = events->stopped ? PSP_DP_ECLOSED : PSP_DP_EBUSY;
		pthread_mutex_unlock(&events->lock);
		return status;
	}
	events->reading = true;
	while (!events->stopped && first_size(events) == 0 && timeout_ms > 0) {
		if (pthread_cond_clockwait(&events->changed, &events->lock, CLOCK_MONOTONIC,
					   &deadline) == ETIMEDOUT)
			break;
	}
	if (events->stopped)
		status = PSP_DP_ECLOSED;
	else
		*len = take_fairly(events, buf, cap);
	if (status == 0 && *len == 0 && first_size(events) != 0) {
		status = PSP_DP_ERANGE;
		*len = first_size(events);
	}
	if (status == PSP_DP_ECLOSED)
		events->reading = false;
	pthread_mutex_unlock(&events->lock);
	return status;
}

void dp_events_done(struct dp_events *events)
{
	pthread_mutex_lock(&events->lock);
	events->reading = false;
	pthread_mutex_unlock(&events->lock);
}

void dp_events_stop(struct dp_events *events)
{
	pthread_mutex_lock(&events->lock);
	events->stopped = true;
	pthread_cond_broadcast(&events->changed);
	pthread_mutex_unlock(&events->lock);
}

bool dp_events_is_read(struct dp_events *events)
{
	bool reading;

	pthread_mutex_lock(&events->lock);
	reading = events->reading;
	pthread_mutex_unlock(&events->lock);
	return reading;
}

bool dp_limit_allows(struct dp_limit *limit, uint32_t key, uint64_t now_ns)
{
	uint64_t h = (key ^ limit->seed) * 0x9e3779b97f4a7c15u;
	uint64_t *last = &limit->last_ns[(h >> 32) % DP_LIMIT_SLOTS];

	if (*last != 0 && now_ns - *last < DP_LIMIT_NS)
		return false;
	*last = now_ns;
	return true;
}
