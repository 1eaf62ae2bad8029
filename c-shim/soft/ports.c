/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c: the two interfaces as the agent asks about them, and frames that go past the pipes. */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "../common/next_hop.h"
#include "../psp/forwarding.h"
#include "soft.h"

int32_t psp_dp_port_query(struct psp_dp *dp, uint32_t port, struct psp_dp_port_info *info)
{
	char name[IF_NAMESIZE];
	int32_t status;

	if (dp == NULL || info == NULL)
		return PSP_DP_EINVAL;
	if (port > PSP_DP_PORT_HOST || info->size != sizeof(*info))
		return soft_fail(dp, PSP_DP_EINVAL,
				 "Cannot query port %u: no such port, or size %u", port,
				 info->size);
	status = soft_port_query(dp->ports[port], info);
	if (status == 0 && port == PSP_DP_PORT_HOST && if_indextoname(info->ifindex, name) != NULL)
		info->forwards = psp_forwarding(name);
	return status == 0
		       ? 0
		       : soft_fail(dp, status, "Cannot query port %u: the kernel refused", port);
}

int32_t psp_dp_next_hop_query(struct psp_dp *dp, const uint8_t pip[16], struct psp_dp_next_hop *hop)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	int32_t status;

	if (dp == NULL || pip == NULL || hop == NULL)
		return PSP_DP_EINVAL;
	if (hop->size != sizeof(*hop))
		return soft_fail(dp, PSP_DP_EINVAL, "Cannot find next hop: size %u is not known",
				 hop->size);
	status = soft_port_query(dp->ports[PSP_DP_PORT_UPLINK], &info);
	if (status == 0)
		status = dp_next_hop(info.ifindex, pip, hop);
	if (status != 0)
		return soft_fail(dp, status, "Cannot find next hop: %s",
				 status == PSP_DP_ENOENT ? "no route over the uplink"
							 : "the kernel refused");
	return 0;
}

int32_t psp_dp_inject(struct psp_dp *dp, uint32_t port, const uint8_t *frame, uint32_t len)
{
	struct dp_packet packet = {.port = (uint8_t)port, .len = len};
	bool retry = false;
	uint8_t *buf;
	int32_t status;

	if (dp == NULL || frame == NULL)
		return PSP_DP_EINVAL;
	if (port > PSP_DP_PORT_HOST || len < 14 || len > DP_FRAME_MAX)
		return soft_fail(dp, PSP_DP_EINVAL, "Cannot inject %u octets into port %u", len,
				 port);
	buf = malloc(DP_HEADROOM + len);
	if (buf == NULL)
		return soft_fail(dp, PSP_DP_ENOMEM, "Cannot inject: out of memory");
	memcpy(buf + DP_HEADROOM, frame, len);
	packet.frame = buf + DP_HEADROOM;
	pthread_mutex_lock(&dp->send[port]);
	status = soft_port_send(dp->ports[port], &packet, &retry);
	pthread_mutex_unlock(&dp->send[port]);
	free(buf);
	if (status != 0)
		return soft_fail(dp, status, "Cannot inject into port %u: %s", port,
				 retry ? "its queue is full" : "the kernel refused");
	return 0;
}
