/* SPDX-License-Identifier: Apache-2.0 */
/* short_turns.c: what a thread asks of the kernel's scheduler, since JavaScript has no such call. */
#include "short_turns.h"

#include "../psp_dp.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS 100000u /* the kernel gives no shorter ones */

/* struct sched_attr of <linux/sched/types.h>, which older headers have not. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

bool psp_short_turns(void)
{
	struct attributes now = {.size = sizeof(now)};

	/* A thread that an operator put above the others stays there. */
	if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) != 0 || now.policy != SCHED_OTHER)
		return false;
	now.runtime = TURN_NS;
	if (syscall(SYS_sched_setattr, 0, &now, 0) != 0)
		return false;
	/* Kernels without it pass over what they do not know. */
	return syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) == 0 && now.runtime == TURN_NS;
}

int32_t psp_dp_short_turns(void)
{
	return psp_short_turns() ? PSP_DP_OK : PSP_DP_ENOTSUP;
}
