/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(PSP_DP_SAMPLE_BYTES_MAX <= DP_EXCEPTION_BYTES, "nor is a sample larger");
_Static_assert(sizeof(struct psp_dp_event) % 8 == 0, "records are multiples of 8");
_Static_assert(sizeof(struct psp_dp_event) + DP_EXCEPTION_BYTES <= PSP_DP_EVENT_BYTES_MIN,
	       "the largest record fits the smallest ring");

int32_t dp_events_init(struct dp_events *events, uint32_t cap)
{
	pthread_condattr_t attr;

	memset(events, 0, sizeof(*events));
	events->cap = cap & ~7u;
	events->buf = malloc(events->cap);
	if (events->buf == NULL)
		return PSP_DP_ENOMEM;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&events->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&events->lock, NULL);
	return 0;
}

void dp_events_free(struct dp_events *events)
{
	if (events->buf == NULL)
		return;
	/* Samples are clear text of a tenant. */
	explicit_bzero(events->buf, events->tail < events->cap ? events->tail : events->cap);
	free(events->buf);
	events->buf = NULL;
	pthread_cond_destroy(&events->changed);
	pthread_mutex_destroy(&events->lock);
}

static void ring_write(struct dp_events *events, const void *data, uint32_t len)
{
	uint32_t at = (uint32_t)(events->tail % events->cap);
	uint32_t first = len < events->cap - at ? len : events->cap - at;

	if (len == 0)
		return;
	memcpy(events->buf + at, data, first);
	memcpy(events->buf, (const uint8_t *)data + first, len - first);
	events->tail += len;
}

static void ring_read(struct dp_events *events, uint8_t *out, uint32_t len)
{
	uint32_t at = (uint32_t)(events->head % events->cap);
	uint32_t first = len < events->cap - at ? len : events->cap - at;

	memcpy(out, events->buf + at, first);
	memcpy(out + first, events->buf, len - first);
	events->head += len;
}

void dp_event_describe(struct psp_dp_event *event, const struct dp_packet *packet, uint32_t pipe)
{
	memset(event, 0, sizeof(*event));
	event->port = packet->handle;
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
	struct psp_dp_event record = *event;
	struct timespec now;
	bool room;

	clock_gettime(CLOCK_REALTIME, &now);
	record.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	record.data_len = data_len;
	record.record_size = ((uint32_t)sizeof(record) + data_len + 7u) & ~7u;

	pthread_mutex_lock(&events->lock);
	room = events->cap - (events->tail - events->head) >= record.record_size;
	if (room) {
		ring_write(events, &record, sizeof(record));
		ring_write(events, data, data_len);
		ring_write(events, padding,
			   record.record_size - (uint32_t)sizeof(record) - data_len);
		pthread_cond_signal(&events->changed);
	}
	pthread_mutex_unlock(&events->lock);
	return room;
}

/* A record starts at a multiple of 8 in a ring of a multiple of 8: its size never wraps. */
static uint32_t next_size(const struct dp_events *events)
{
	uint32_t size;

	memcpy(&size, events->buf + events->head % events->cap, sizeof(size));
	return size;
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
	while (!events->stopped && events->head == events->tail && timeout_ms > 0) {
		if (pthread_cond_timedwait(&events->changed, &events->lock, &deadline) == ETIMEDOUT)
			break;
	}
	if (events->stopped) {
		status = PSP_DP_ECLOSED;
	} else if (events->head != events->tail && next_size(events) > cap) {
		status = PSP_DP_ERANGE;
		*len = next_size(events);
	}
	while (status == 0 && events->head != events->tail && next_size(events) <= cap - *len) {
		uint32_t size = next_size(events);

		ring_read(events, buf + *len, size);
		*len += size;
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
