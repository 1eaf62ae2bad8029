/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c: the two interfaces as the agent asks about them, and frames that go past the pipes. */
#include "net.h"
#include "next_hop.h"
#include "plane.h"

int32_t psp_dp_port_query(struct psp_dp *dp, uint32_t port, struct psp_dp_port_info *info)
{
	if (dp == NULL || info == NULL)
		return PSP_DP_EINVAL;
	if (port > PSP_DP_PORT_HOST || info->size != sizeof(*info))
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot query port %u: no such port, or size %u",
			       port, info->size);
	return plane_port_query(dp, port, info);
}

int32_t psp_dp_next_hop_query(struct psp_dp *dp, const uint8_t pip[16], struct psp_dp_next_hop *hop)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};
	int32_t status;

	if (dp == NULL || pip == NULL || hop == NULL)
		return PSP_DP_EINVAL;
	if (hop->size != sizeof(*hop))
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot find next hop: size %u is not known",
			       hop->size);
	status = plane_port_query(dp, PSP_DP_PORT_UPLINK, &info);
	if (status == 0)
		status = dp_next_hop(info.ifindex, pip, hop);
	if (status != 0)
		return dp_fail(dp, status, "Cannot find next hop: %s",
			       status == PSP_DP_ENOENT ? "no route over the uplink"
						       : "the kernel refused");
	return 0;
}

int32_t psp_dp_inject(struct psp_dp *dp, uint32_t port, const uint8_t *frame, uint32_t len)
{
	if (dp == NULL || frame == NULL)
		return PSP_DP_EINVAL;
	if (port > PSP_DP_PORT_HOST || len < NET_ETH_LEN || len > DP_FRAME_MAX)
		return dp_fail(dp, PSP_DP_EINVAL, "Cannot inject %u octets into port %u", len,
			       port);
	return plane_inject(dp, port, frame, len);
}
