/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rss.h: the queues by which packets come to the CPU, and their mark: the 32 bits of pkt_meta with which hardware says
 * why one comes, and the CPU where one that it transmits is to enter. Crypto ids, which pkt_meta carries between pipes,
 * stay below all marks.
 *
 *   31..24 kind      23..8 argument      7..0 index of the ABI's pipe
 */
#ifndef PSP_DPU_RSS_H
#define PSP_DPU_RSS_H

#include <stdint.h>

enum dpu_mark {
	DPU_MARK_MISS = 0x81,      /* argument: number of the port where it came in */
	DPU_MARK_EXCEPTION = 0x82, /* argument: the same */
	DPU_MARK_SAMPLE = 0x83,    /* argument: the same; 0, the uplink, on the way in */
	DPU_MARK_SYNDROME = 0x84,  /* argument: enum psp_dp_syndrome */
	DPU_MARK_INSPECT = 0x85,   /* argument: as of a miss; the pipe is where it is to go on */
	DPU_MARK_KERNEL = 0x86,    /* of a pipe to the kernel: no packet has it */
	DPU_MARK_RESUBMIT = 0x91,  /* argument: as of a miss; enters at the pipe */
	DPU_MARK_INJECT = 0x92,    /* argument: number of the port by which it leaves */
};

/* As the argument of a tap: no packet has it, but that of its own port. */
#define DPU_ANY_HOST 0xffffu

/*
 * What the workloads need goes to queues of one class, what the network can make us look at to another's, and to a third's
 * what a workload can send at will beside its misses: each is bounded by itself. Each reader has a queue of each class.
 */
#define DPU_CLASS_TRUSTED 0u
#define DPU_CLASS_HOSTILE 1u
#define DPU_CLASS_DETOUR 2u
#define DPU_CLASSES 3u
#define DPU_READERS_MAX 16u
#define DPU_QUEUES_MAX (DPU_READERS_MAX * DPU_CLASSES)

static inline uint16_t dpu_queue(uint32_t reader, uint32_t class)
{
	return (uint16_t)(reader * DPU_CLASSES + class);
}

static inline uint32_t dpu_mark(enum dpu_mark kind, uint32_t argument, uint32_t pipe_index)
{
	return ((uint32_t)kind << 24) | ((argument & 0xffffu) << 8) | (pipe_index & 0xffu);
}

static inline uint32_t dpu_mark_kind(uint32_t mark)
{
	return mark >> 24;
}

static inline uint32_t dpu_mark_argument(uint32_t mark)
{
	return mark >> 8 & 0xffffu;
}

static inline uint32_t dpu_mark_pipe(uint32_t mark)
{
	return mark & 0xffu;
}

#endif
