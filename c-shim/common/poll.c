/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c: the agent's side of events and held packets. */
#include "plane.h"

int32_t psp_dp_event_wait(struct psp_dp *dp, uint8_t *buf, uint32_t cap, uint32_t timeout_ms,
			  uint32_t *len)
{
	struct dp_plane *plane = dp_plane_of(dp);
	int32_t status;

	if (dp == NULL || len == NULL || (buf == NULL && cap > 0))
		return PSP_DP_EINVAL;
	status = dp_events_take(&plane->events, buf, cap, timeout_ms, len);
	if (status == PSP_DP_EBUSY)
		return dp_fail(dp, status, "Cannot wait for events: another call is waiting");
	if (status != 0 && status != PSP_DP_ERANGE)
		return status;
	/* Still the reader, so close waits for this. */
	if (status == PSP_DP_ERANGE)
		(void)dp_fail(dp, status,
			      "Cannot wait for events: the next needs %u octets, the buffer has %u",
			      *len, cap);
	else
		dp_hold_pay(&plane->hold); /* what was read has made room */
	dp_events_done(&plane->events);
	return status;
}

int32_t psp_dp_held_release(struct psp_dp *dp, uint32_t flow, uint32_t *packets)
{
	int32_t status;

	if (dp == NULL || packets == NULL)
		return PSP_DP_EINVAL;
	status = dp_hold_release(&dp_plane_of(dp)->hold, flow, packets);
	if (status != 0)
		return dp_fail(dp, status, "Cannot release flow %u: there is none", flow);
	plane_released(dp);
	return 0;
}

int32_t psp_dp_held_drop(struct psp_dp *dp, uint32_t flow, uint32_t reason, uint32_t hold_off_ms,
			 uint32_t *packets)
{
	uint64_t until = hold_off_ms != 0 ? dp_now_ns() + hold_off_ms * UINT64_C(1000000) : 0;
	int32_t status;

	if (dp == NULL || packets == NULL)
		return PSP_DP_EINVAL;
	*packets = 0;
	if (reason >= PSP_DP_DROP_REASONS)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot drop flow %u: there is no reason %u",
			       flow, reason);
	status = dp_hold_drop(&dp_plane_of(dp)->hold, flow, reason, until, packets);
	return status == 0 ? 0 : dp_fail(dp, status, "Cannot drop flow %u: there is none", flow);
}

int32_t psp_dp_hold_off_clear(struct psp_dp *dp)
{
	if (dp == NULL)
		return PSP_DP_EINVAL;
	dp_hold_off_clear(&dp_plane_of(dp)->hold);
	return 0;
}
