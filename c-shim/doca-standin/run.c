/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: a packet from pipe to pipe, to a port, to the program, or to its end. The lock is held. */
#include <stdlib.h>
#include <string.h>

#include "../common/net.h"
#include "standin.h"

uint32_t si_len(const struct si_walk *walk)
{
	return walk->packet.len + (walk->decrypted ? PSP_ICV_LEN : 0);
}

/* A copy has a frame of its own. */
static void run_copy(const struct si_walk *walk, const struct si_fwd *fwd);

static struct doca_flow_pipe *follow(struct si_walk *walk, const struct si_fwd *fwd)
{
	switch (fwd->type) {
	case DOCA_FLOW_FWD_PIPE:
		return fwd->pipe;
	case DOCA_FLOW_FWD_PORT:
		if (walk->crypto_id == 0 || si_encrypt(walk))
			si_to_wire(walk, fwd->port_id);
		return NULL;
	case DOCA_FLOW_FWD_RSS:
		si_to_program(walk, fwd->queue);
		return NULL;
	default:
		/* The kernel has its copy already; the rest is dropped. */
		return NULL;
	}
}

static struct doca_flow_pipe *run_pipe(struct si_walk *walk, struct doca_flow_pipe *pipe)
{
	struct doca_flow_pipe_entry *entry = si_lookup(pipe, walk);

	if (entry == NULL) {
		pipe->miss_packets++;
		pipe->miss_bytes += si_len(walk);
		return follow(walk, &pipe->miss);
	}
	if (entry->rule.count) {
		entry->packets++;
		entry->bytes += si_len(walk);
	}
	if (!si_act(walk, &entry->rule))
		return NULL;
	if (entry->rule.mirror != 0)
		run_copy(walk, &si.mirrors[entry->rule.mirror].copy);
	return follow(walk, &entry->rule.fwd);
}

void si_run(struct si_walk *walk, struct doca_flow_pipe *pipe)
{
	while (pipe != NULL && walk->hops++ < SI_HOPS_MAX)
		pipe = run_pipe(walk, pipe);
}

static void run_copy(const struct si_walk *walk, const struct si_fwd *fwd)
{
	static const uint32_t room = DP_HEADROOM + DP_FRAME_MAX + PSP_ICV_LEN;
	struct si_walk copy = *walk;
	uint8_t *buffers = malloc(2u * (size_t)room);

	if (buffers == NULL)
		si_die("the stand-in is out of memory");
	copy.buf = buffers;
	copy.spare = buffers + room;
	copy.packet.frame = copy.buf + DP_HEADROOM;
	memcpy(copy.packet.frame, walk->packet.frame, si_len(walk));
	si_run(&copy, follow(&copy, fwd));
	free(buffers);
}
