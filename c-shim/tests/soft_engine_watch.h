/* SPDX-License-Identifier: Apache-2.0 */
/* soft_engine_watch.h: what a plane says of itself: its last refusal, its counters, its events. */
#ifndef PSP_SOFT_ENGINE_WATCH_H
#define PSP_SOFT_ENGINE_WATCH_H

#include "soft_engine_graph.h"

/* Is this what the plane says of its last refusal? */
static inline bool graph_says(struct psp_dp *dp, const char *want)
{
	char text[256] = {0};
	uint32_t len = 0;

	if (psp_dp_error_text(dp, text, sizeof(text) - 1, &len) != 0)
		return false;
	if (strstr(text, want) == NULL)
		printf("# it says: %s\n", text);
	return strstr(text, want) != NULL;
}

static inline uint64_t graph_count(struct psp_dp *dp, enum dp_counter counter)
{
	return dp_counter_sum(&dp->base.counters, counter);
}

/* What came in less what is accounted for: 0 by the identity in counters.h. The plane must be idle. */
static inline int64_t graph_unaccounted(struct psp_dp *dp)
{
	static const enum dp_counter ends[] = {
		DP_TX_PACKETS,         DP_HOST_TX_PACKETS, DP_EXCEPTIONS,     DP_UPLINK_KERNEL,
		DP_RX_AUTH_FAIL,       DP_RX_ERROR,        DP_RX_BAD,         DP_TX_ERROR,
		DP_TX_KEY_EXPIRED,     DP_RX_NO_SA,        DP_RX_POLICY,      DP_RX_BAD_INNER,
		DP_RX_CRYPT_OFFSET,    DP_DROP_PIPE,       DP_DROP_LOOP,      DP_HOST_TX_BUSY,
		DP_HOST_TX_ERROR,      DP_HOST_REFUSED,    DP_HOST_UNMATCHED, DP_HOST_MALFORMED,
		DP_UPLINK_MALFORMED,   DP_UPLINK_TX_BUSY,  DP_TOO_BIG,        DP_HELD_PACKETS,
		DP_EXCEPTIONS_LIMITED, DP_RX_REPLAY};
	uint64_t in = graph_count(dp, DP_HOST_RX_PACKETS) + graph_count(dp, DP_UPLINK_RX_PACKETS) +
		      graph_count(dp, DP_FRAGMENTS) + graph_count(dp, DP_TOO_BIG_TOLD);
	uint64_t out = 0;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		out += graph_count(dp, ends[i]);
	return (int64_t)(in + graph_count(dp, DP_HELD_RELEASED) - out);
}

/* Waits until a counter has come to a value; false after NET_HANG_MS. */
static inline bool graph_wait(struct psp_dp *dp, enum dp_counter counter, uint64_t value)
{
	for (uint32_t i = 0; i < NET_HANG_MS; i++) {
		if (graph_count(dp, counter) >= value)
			return true;
		usleep(1000);
	}
	printf("# counter %u is %llu, not %llu\n", counter,
	       (unsigned long long)graph_count(dp, counter), (unsigned long long)value);
	return false;
}

/* The next event of a type, others are passed over; false after so long a silence. data may be NULL. */
static inline bool graph_event_within(struct psp_dp *dp, uint32_t ms, uint16_t type,
				      struct psp_dp_event *event, uint8_t *data, uint32_t cap)
{
	uint8_t buf[sizeof(*event) + DP_EXCEPTION_BYTES];
	uint32_t len;

	for (uint32_t i = 0; i < 50000; i++) {
		/* Room for one record and no other: what is read and not looked at is lost. */
		int32_t status = psp_dp_event_wait(dp, buf, sizeof(*event), 100, &len);

		if (status == PSP_DP_ERANGE && len <= sizeof(buf))
			status = psp_dp_event_wait(dp, buf, len, 100, &len);
		if (status == PSP_DP_ERANGE)
			continue; /* another came first, and is longer */
		if (status != 0)
			return false;
		for (uint32_t at = 0; at < len; at += event->record_size) {
			memcpy(event, buf + at, sizeof(*event));
			if (event->type != type)
				continue;
			if (data != NULL)
				memcpy(data, buf + at + sizeof(*event),
				       event->data_len < cap ? event->data_len : cap);
			return true;
		}
		if (len == 0 && i >= ms / 100)
			return false;
	}
	return false;
}

/* One that has to come. */
static inline bool graph_event(struct psp_dp *dp, uint16_t type, struct psp_dp_event *event,
			       uint8_t *data, uint32_t cap)
{
	return graph_event_within(dp, NET_HANG_MS, type, event, data, cap);
}

#endif
