/* SPDX-License-Identifier: Apache-2.0 */
/* soft_packet_rule.h: actions as a rule of the soft plane has them. */
#ifndef PSP_SOFT_PACKET_RULE_H
#define PSP_SOFT_PACKET_RULE_H

#include "../soft/steps.h"

/* As a rule has it; until the next call. */
static inline const struct soft_encap *encap_of(const struct psp_dp_actions *actions)
{
	static union {
		struct soft_encap encap;
		uint8_t room[sizeof(struct soft_encap) + SOFT_ENCAP_DATA_MAX + SOFT_ENCAP_SLACK];
	} made;

	soft_encap_make(&made.encap, actions);
	return &made.encap;
}

static inline bool decap_by(struct dp_packet *packet, const struct psp_dp_actions *actions)
{
	const struct soft_strip strip = soft_strip_of(actions);

	return soft_decap(packet, &strip);
}

#endif
