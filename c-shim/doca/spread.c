/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spread.c: the CPU's queues as a forward. One reader has one queue of a class, and a tap leads there. Several have one
 * each, over which packets are spread by their addresses, so that a flow's come to one reader, in order:
 *
 *   SPREAD_<class>    by the IP version, over the queues of all readers -> SPREAD_<class>R, what has no addresses
 *   SPREAD_<class>R   the first reader's
 *
 * By version, because a forward hashes one: so does psp_gateway from 3.1 on. They stay until the plane is closed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "mark.h"
#include "match.h"

struct work {
	struct dpu_hw_spec spec;
	struct dpu_hw_entry entry;
};

static bool is_egress(enum doca_flow_pipe_domain domain)
{
	return domain == DOCA_FLOW_PIPE_DOMAIN_EGRESS;
}

static void begin(struct work *work, enum doca_flow_pipe_domain domain, uint16_t class,
		  const char *suffix)
{
	memset(work, 0, sizeof(*work));
	(void)snprintf(work->spec.name, sizeof(work->spec.name), "SPREAD%s_%u%s",
		       is_egress(domain) ? "_EGR" : "", class, suffix);
	work->spec.type = DOCA_FLOW_PIPE_BASIC;
	work->spec.domain = domain;
}

static int32_t make_rest(struct psp_dp *dp, struct dpu_spread *spread, uint16_t class,
			 struct work *work)
{
	int32_t status;

	work->spec.entries = 1;
	work->spec.fwd = (struct dpu_to){.type = DOCA_FLOW_FWD_RSS, .class = class, .readers = 1};
	status = dpu_hw_pipe_create(dp, &work->spec, &spread->rest);
	return status == 0 ? dpu_hw_add(dp, &spread->rest, &work->entry, &spread->rest_entry)
			   : status;
}

static int32_t make_by_l3(struct psp_dp *dp, struct dpu_spread *spread, uint16_t class,
			  struct work *work)
{
	const struct psp_dp_match mask = {.parser_meta_outer_l3_type = UINT8_MAX};
	int32_t status;

	work->spec.entries = 2;
	dpu_match_template(&mask, PSP_DP_L3_NONE, NULL, &work->spec.match, &work->spec.mask);
	work->spec.fwd = (struct dpu_to){.type = DOCA_FLOW_FWD_RSS, .readers = DPU_OPEN};
	work->spec.miss = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &spread->rest};
	status = dpu_hw_pipe_create(dp, &work->spec, &spread->by_l3);
	for (uint8_t i = 0; status == 0 && i < 2; i++) {
		const struct psp_dp_match value = {
			.parser_meta_outer_l3_type = i == 0 ? PSP_DP_L3_IPV4 : PSP_DP_L3_IPV6};

		dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, NULL, &work->entry.match,
				&work->entry.mask);
		work->entry.to = (struct dpu_to){.type = DOCA_FLOW_FWD_RSS,
						 .class = class,
						 .readers = (uint16_t)dp->n_readers,
						 .l3 = value.parser_meta_outer_l3_type};
		status = dpu_hw_add(dp, &spread->by_l3, &work->entry, &spread->entries[i]);
	}
	return status;
}

/* A completion that never came may come while another entry is in its place. */
static bool is_lost(const struct dpu_spread *spread)
{
	return spread->rest_entry.lost || spread->entries[0].lost || spread->entries[1].lost;
}

/* After a refusal: the next who asks tries again. */
static void unmake(struct psp_dp *dp, struct dpu_spread *spread)
{
	for (uint32_t i = 0; i < 2; i++)
		(void)dpu_hw_remove(dp, &spread->by_l3, &spread->entries[i]);
	dpu_hw_pipe_destroy(dp, &spread->by_l3);
	(void)dpu_hw_remove(dp, &spread->rest, &spread->rest_entry);
	dpu_hw_pipe_destroy(dp, &spread->rest);
}

int32_t dpu_spread_get(struct psp_dp *dp, uint16_t class, enum doca_flow_pipe_domain domain,
		       struct dpu_to *out)
{
	struct dpu_spread *spread = &dp->spreads[class][is_egress(domain) ? 1 : 0];
	struct work *work;
	int32_t status;

	*out = (struct dpu_to){.type = DOCA_FLOW_FWD_RSS, .class = class, .readers = 1};
	if (dp->n_readers == 1)
		return 0;
	*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &spread->by_l3};
	if (spread->by_l3.pipe != NULL)
		return 0;
	if (is_lost(spread))
		return dp_fail(dp, PSP_DP_EIO,
			       "Cannot spread packets over queues: an entry has not come up (start "
			       "the agent anew)");
	work = malloc(sizeof(*work));
	if (work == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM,
			       "Cannot spread packets over queues: out of memory");
	begin(work, domain, class, "R");
	status = make_rest(dp, spread, class, work);
	if (status == 0) {
		begin(work, domain, class, "");
		status = make_by_l3(dp, spread, class, work);
	}
	if (status != 0)
		unmake(dp, spread);
	free(work);
	return status;
}
