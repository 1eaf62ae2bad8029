/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.c: where packets go next, from the ABI's words to the hardware's. To the CPU they go by pipes of our own, which
 * belong to the ABI's pipe that uses them: taps, samplers, tags; and by those that spread them over its queues.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpu.h"
#include "match.h"
#include "rss.h"

/* Of one pipe to be made. Large, so on the heap. */
struct work {
	struct dpu_hw_spec spec;
	struct dpu_hw_acts acts;
	struct dpu_hw_entry entry;
};

/* ---- the CPU's queues ------------------------------------------------------------------------ */

/*
 * One reader has one queue of a class, and a tap leads there. Several have one each, over which packets are spread by
 * their addresses, so that a flow's come to one reader, in order:
 *
 *   SPREAD_<class>    by the IP version, over the queues of all readers -> SPREAD_<class>R, what has no addresses
 *   SPREAD_<class>R   the first reader's
 *
 * By version, because a forward hashes one: so does psp_gateway from 3.1 on. They stay until the plane is closed.
 */

static bool is_egress(enum doca_flow_pipe_domain domain)
{
	return domain == DOCA_FLOW_PIPE_DOMAIN_EGRESS;
}

static void spread_begin(struct work *work, enum doca_flow_pipe_domain domain, uint16_t class,
			 const char *suffix)
{
	memset(work, 0, sizeof(*work));
	(void)snprintf(work->spec.name, sizeof(work->spec.name), "SPREAD%s_%u%s",
		       is_egress(domain) ? "_EGR" : "", class, suffix);
	work->spec.type = DOCA_FLOW_PIPE_BASIC;
	work->spec.domain = domain;
}

static int32_t spread_rest(struct psp_dp *dp, struct dpu_spread *spread, uint16_t class,
			   struct work *work)
{
	int32_t status;

	work->spec.entries = 1;
	work->spec.fwd = (struct dpu_to){.type = DOCA_FLOW_FWD_RSS, .class = class, .readers = 1};
	status = dpu_hw_pipe_create(dp, &work->spec, &spread->rest);
	return status == 0 ? dpu_hw_add(dp, &spread->rest, &work->entry, &spread->rest_entry)
			   : status;
}

static int32_t spread_by_l3(struct psp_dp *dp, struct dpu_spread *spread, uint16_t class,
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
static bool spread_is_lost(const struct dpu_spread *spread)
{
	return spread->rest_entry.lost || spread->entries[0].lost || spread->entries[1].lost;
}

/* After a refusal: the next who asks tries again. */
static void spread_down(struct psp_dp *dp, struct dpu_spread *spread)
{
	for (uint32_t i = 0; i < 2; i++)
		(void)dpu_hw_remove(dp, &spread->by_l3, &spread->entries[i]);
	dpu_hw_pipe_destroy(dp, &spread->by_l3);
	(void)dpu_hw_remove(dp, &spread->rest, &spread->rest_entry);
	dpu_hw_pipe_destroy(dp, &spread->rest);
}

/* The CPU's queues of a class as a forward of pipes of a domain, DEFAULT or EGRESS. */
static int32_t spread_get(struct psp_dp *dp, uint16_t class, enum doca_flow_pipe_domain domain,
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
	if (spread_is_lost(spread))
		return dp_fail(dp, PSP_DP_EIO,
			       "Cannot spread packets over queues: an entry has not come up (start "
			       "the agent anew)");
	work = malloc(sizeof(*work));
	if (work == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM,
			       "Cannot spread packets over queues: out of memory");
	spread_begin(work, domain, class, "R");
	status = spread_rest(dp, spread, class, work);
	if (status == 0) {
		spread_begin(work, domain, class, "");
		status = spread_by_l3(dp, spread, class, work);
	}
	if (status != 0)
		spread_down(dp, spread);
	free(work);
	return status;
}

/* ---- taps ------------------------------------------------------------------------------------ */

/*
 * A tap is a pipe of the hardware that matches everything, writes a mark into pkt_meta and forwards to our queues. One
 * of them leads to the kernel: a root table has no such target.
 */

/* Whose queue it comes to: see rss.h. */
static uint16_t class_of(uint32_t mark)
{
	uint32_t kind = dpu_mark_kind(mark);

	if (kind == DPU_MARK_MISS || kind == DPU_MARK_EXCEPTION)
		return DPU_CLASS_TRUSTED;
	return kind == DPU_MARK_INSPECT ? DPU_CLASS_DETOUR : DPU_CLASS_HOSTILE;
}

/*
 * The domains from which the samples reach their RSS pipes: an EGRESS one from DEFAULT and both egress domains, a
 * DEFAULT one for copies and after decryption.
 */
static enum doca_flow_pipe_domain domain_of(const struct dpu_pipe *pipe, uint32_t mark)
{
	uint32_t kind = dpu_mark_kind(mark);

	return kind == DPU_MARK_SAMPLE || kind == DPU_MARK_KERNEL ||
			       pipe->domain == PSP_DP_DOMAIN_SECURE_INGRESS
		       ? DOCA_FLOW_PIPE_DOMAIN_DEFAULT
		       : DOCA_FLOW_PIPE_DOMAIN_EGRESS;
}

static const char *kind_name(uint32_t mark)
{
	switch (dpu_mark_kind(mark)) {
	case DPU_MARK_MISS:
		return "MISS";
	case DPU_MARK_EXCEPTION:
		return "EXC";
	case DPU_MARK_SAMPLE:
		return "SAMP";
	case DPU_MARK_INSPECT:
		return "INSP";
	case DPU_MARK_KERNEL:
		return "KERN";
	default:
		return "SYND";
	}
}

static bool is_by_port(const struct dpu_tap *tap)
{
	return dpu_mark_argument(tap->mark) == DPU_ANY_HOST;
}

static uint32_t mark_for(const struct dpu_tap *tap, uint32_t port)
{
	return dpu_mark((enum dpu_mark)dpu_mark_kind(tap->mark), port, dpu_mark_pipe(tap->mark));
}

static void set_mark(struct dpu_hw_acts *acts, uint32_t mark)
{
	acts->modify = true;
	acts->actions.meta.pkt_meta = htobe32(mark);
	acts->mask.meta.pkt_meta = UINT32_MAX;
}

/* By the number of the port that a packet carries. */
static void look_at_port(struct dpu_hw_spec *spec)
{
	spec->match.meta.u32[DPU_ORIGIN_WORD] = UINT32_MAX;
	spec->mask.meta.u32[DPU_ORIGIN_WORD] = UINT32_MAX;
}

static int32_t add_entries(struct psp_dp *dp, struct dpu_tap *tap, struct work *work)
{
	int32_t status = 0;

	/* Nothing carries the uplink's number. */
	for (uint32_t i = is_by_port(tap) ? DPU_HOST : 0; status == 0 && i < tap->n; i++) {
		if (is_by_port(tap)) {
			set_mark(&work->acts, mark_for(tap, i));
			work->entry.match.meta.u32[DPU_ORIGIN_WORD] = htobe32(i);
			work->entry.mask.meta.u32[DPU_ORIGIN_WORD] = UINT32_MAX;
		}
		work->entry.acts = work->acts;
		status = dpu_hw_add(dp, &tap->hw, &work->entry, &tap->entries[i]);
	}
	return status;
}

static void tap_down(struct psp_dp *dp, struct dpu_tap *tap)
{
	bool lost = false;

	for (uint32_t i = 0; i < tap->n; i++) {
		(void)dpu_hw_remove(dp, &tap->hw, &tap->entries[i]);
		lost = lost || tap->entries[i].lost;
	}
	dpu_hw_pipe_destroy(dp, &tap->hw);
	dpu_free(dp, tap, lost);
}

static int32_t tap_up(struct psp_dp *dp, const struct dpu_pipe *pipe, struct dpu_tap *tap,
		      struct work *work)
{
	struct dpu_hw_spec *spec = &work->spec;
	char port[8] = "";
	int32_t status = 0;

	if (!is_by_port(tap))
		(void)snprintf(port, sizeof(port), "%u", dpu_mark_argument(tap->mark));
	(void)snprintf(spec->name, sizeof(spec->name), "%s_%s%s", pipe->base.name,
		       kind_name(tap->mark), port);
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = domain_of(pipe, tap->mark);
	spec->entries = tap->n;
	if (is_by_port(tap))
		look_at_port(spec);
	if (dpu_mark_kind(tap->mark) == DPU_MARK_KERNEL) {
		spec->fwd.type = DOCA_FLOW_FWD_TARGET;
	} else {
		/* For its one entry the same: a constant of the pipe. */
		set_mark(&work->acts, is_by_port(tap) ? UINT32_MAX : tap->mark);
		spec->shape = (struct dpu_hw_shape){.n = 1, .templates = &work->acts};
		status = spread_get(dp, class_of(tap->mark), spec->domain, &spec->fwd);
	}
	if (status == 0)
		status = dpu_hw_pipe_create(dp, spec, &tap->hw);
	return status == 0 ? add_entries(dp, tap, work) : status;
}

int32_t dpu_tap_get(struct psp_dp *dp, struct dpu_pipe *pipe, uint32_t mark, struct dpu_to *out)
{
	struct dpu_tap *tap = pipe->taps;
	struct work *work;
	int32_t status = 0;
	uint32_t n = 1;

	if (dpu_mark_argument(mark) == DPU_ANY_HOST && !dpu_has_tags(dp))
		mark = dpu_mark((enum dpu_mark)dpu_mark_kind(mark), DPU_HOST, dpu_mark_pipe(mark));
	if (dpu_mark_argument(mark) == DPU_ANY_HOST)
		n = dp->n_ports;
	while (tap != NULL && tap->mark != mark)
		tap = tap->next;
	if (tap == NULL) {
		tap = calloc(1, sizeof(*tap) + n * sizeof(tap->entries[0]));
		work = calloc(1, sizeof(*work));
		if (tap == NULL || work == NULL) {
			free(tap);
			free(work);
			return dp_fail(
				dp, PSP_DP_ENOMEM,
				"Cannot send packets of pipe \"%s\" to the CPU: out of memory",
				pipe->base.name);
		}
		tap->mark = mark;
		tap->n = n;
		status = tap_up(dp, pipe, tap, work);
		free(work);
		if (status != 0) {
			tap_down(dp, tap);
			return status;
		}
		tap->next = pipe->taps;
		pipe->taps = tap;
	}
	*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &tap->hw};
	return 0;
}

int32_t dpu_kernel_get(struct psp_dp *dp, struct dpu_pipe *pipe, struct dpu_to *out)
{
	if (dp->kernel == NULL)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "Cannot forward from pipe \"%s\" to the kernel: this DOCA "
			       "offers no such target",
			       pipe->base.name);
	if (!pipe->root) {
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_TARGET};
		return 0;
	}
	return dpu_tap_get(dp, pipe, dpu_mark(DPU_MARK_KERNEL, 0, 0), out);
}

/* ---- samplers -------------------------------------------------------------------------------- */

/*
 * A sample is a copy. Up to DOCA 3.1 a mirror makes it; from 3.2 on the packet goes to a flooding pipe whose entries
 * are the way on and the tap.
 */

static bool is_ingress(const struct dpu_pipe *pipe)
{
	return pipe->domain == PSP_DP_DOMAIN_SECURE_INGRESS ||
	       pipe->domain == PSP_DP_DOMAIN_DEFAULT;
}

/*
 * On the way in the copy goes on and the packet itself to the tap: so do the samples. On the way out it is the other
 * way round.
 */
static int32_t mirror_up(struct psp_dp *dp, const struct dpu_pipe *pipe,
			 struct dpu_sampler *sampler, const struct dpu_to *tap)
{
	const struct dpu_to *copy = is_ingress(pipe) ? &sampler->on : tap;
	struct doca_flow_fwd fwd;
	struct dpu_queues queues;
	char text[80];
	doca_error_t result;
	uint32_t id = 1;

	while (id <= DPU_MIRRORS && (dp->mirrors >> id & 1u) != 0)
		id++;
	if (id > DPU_MIRRORS)
		return dp_fail(dp, PSP_DP_ENOSPC,
			       "Cannot sample in pipe \"%s\": all %u mirrors are taken",
			       pipe->base.name, DPU_MIRRORS);
	dpu_hw_fwd(dp, copy, &queues, &fwd);
	result = compat_mirror_set(&dp->call, dp->switch_port, id,
				   (dp->mirrors_bound >> id & 1u) != 0, &fwd);
	(void)dpu_trace(&dp->trace, result, "mirror_set id=%u copy=%s", id,
			dpu_hw_to_text(copy, text, sizeof(text)));
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "Cannot set up a mirror for samples", result);
	sampler->mirror = id;
	dp->mirrors |= 1u << id;
	dp->mirrors_bound |= 1u << id;
	return 0;
}

static int32_t flood_up(struct psp_dp *dp, const struct dpu_pipe *pipe, struct dpu_sampler *sampler,
			const struct dpu_to *tap, struct work *work)
{
	struct dpu_hw_spec *spec = &work->spec;
	int32_t status;

	(void)snprintf(spec->name, sizeof(spec->name), "%s_FLOOD", pipe->base.name);
	spec->type = DOCA_FLOW_PIPE_HASH;
	spec->domain =
		is_ingress(pipe) ? DOCA_FLOW_PIPE_DOMAIN_DEFAULT : DOCA_FLOW_PIPE_DOMAIN_EGRESS;
	spec->entries = 2;
	spec->fwd.type = DOCA_FLOW_FWD_CHANGEABLE;
	status = dpu_hw_pipe_create(dp, spec, &sampler->flood);
	for (uint32_t i = 0; status == 0 && i < 2; i++) {
		work->entry.at = i;
		work->entry.to = i == 0 ? sampler->on : *tap;
		status = dpu_hw_add(dp, &sampler->flood, &work->entry, &sampler->entries[i]);
	}
	return status;
}

static bool same_to(const struct dpu_to *a, const struct dpu_to *b)
{
	return a->type == b->type && a->port_id == b->port_id && a->pipe == b->pipe;
}

static void sampler_down(struct psp_dp *dp, struct dpu_sampler *sampler)
{
	bool lost = false;

	for (uint32_t i = 2; i-- > 0;) {
		(void)dpu_hw_remove(dp, &sampler->flood, &sampler->entries[i]);
		lost = lost || sampler->entries[i].lost;
	}
	dpu_hw_pipe_destroy(dp, &sampler->flood);
	if (sampler->mirror != 0)
		dp->mirrors &= ~(1u << sampler->mirror);
	dpu_free(dp, sampler, lost);
}

static int32_t sampler_new(struct psp_dp *dp, struct dpu_pipe *pipe, const struct dpu_to *on,
			   const struct dpu_to *tap, struct dpu_sampler **out)
{
	struct dpu_sampler *sampler = calloc(1, sizeof(*sampler));
	struct work *work = calloc(1, sizeof(*work));
	int32_t status;

	if (sampler == NULL || work == NULL) {
		free(sampler);
		free(work);
		return dp_fail(dp, PSP_DP_ENOMEM, "Cannot sample in pipe \"%s\": out of memory",
			       pipe->base.name);
	}
	sampler->on = *on;
	status = compat()->has_mirror ? mirror_up(dp, pipe, sampler, tap)
				      : flood_up(dp, pipe, sampler, tap, work);
	free(work);
	if (status != 0) {
		sampler_down(dp, sampler);
		return status;
	}
	sampler->next = pipe->samplers;
	pipe->samplers = sampler;
	*out = sampler;
	return 0;
}

int32_t dpu_sampler_get(struct psp_dp *dp, struct dpu_pipe *pipe, const struct dpu_to *on,
			struct dpu_to *out, uint32_t *mirror)
{
	uint32_t index = dp_pipe_index(pipe->base.id);
	struct dpu_sampler *sampler = pipe->samplers;
	struct dpu_to tap;
	int32_t status = dpu_tap_get(
		dp, pipe,
		dpu_mark(DPU_MARK_SAMPLE, is_ingress(pipe) ? DPU_UPLINK : DPU_ANY_HOST, index),
		&tap);

	while (status == 0 && sampler != NULL && !same_to(&sampler->on, on))
		sampler = sampler->next;
	if (status == 0 && sampler == NULL)
		status = sampler_new(dp, pipe, on, &tap, &sampler);
	if (status != 0)
		return status;
	*mirror = sampler->mirror;
	if (sampler->mirror == 0)
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_HASH_PIPE, .pipe = &sampler->flood};
	else
		*out = is_ingress(pipe) ? tap : *on;
	return 0;
}

void dpu_taps_free(struct psp_dp *dp, struct dpu_pipe *pipe)
{
	while (pipe->samplers != NULL) {
		struct dpu_sampler *sampler = pipe->samplers;

		pipe->samplers = sampler->next;
		sampler_down(dp, sampler);
	}
	while (pipe->taps != NULL) {
		struct dpu_tap *tap = pipe->taps;

		pipe->taps = tap->next;
		tap_down(dp, tap);
	}
}

/* ---- tags ------------------------------------------------------------------------------------ */

/*
 * Which host port a packet came from, where there are several. What leaves a root for a pipe passes one in the default
 * domain that matches parser_meta.port_id and writes the port's number into a scratch word of doca_flow_meta; what the
 * CPU sends on gets it from its mark, in the transmit root. Pipes behind compare the word, which is the same for both:
 * tunnels of one workload are not those of another with the same address, and the CPU learns the port of what misses.
 * What no host port sent has none: a scratch word that nobody has set holds anything.
 */

void dpu_tag_acts(uint32_t number, struct dpu_hw_acts *out)
{
	memset(out, 0, sizeof(*out));
	out->modify = true;
	out->actions.meta.u32[DPU_ORIGIN_WORD] = htobe32(number);
	out->mask.meta.u32[DPU_ORIGIN_WORD] = UINT32_MAX;
}

static void tag_down(struct psp_dp *dp, struct dpu_tag *tag)
{
	bool lost = false;

	for (uint32_t i = 0; i + DPU_HOST < dp->n_ports; i++) {
		(void)dpu_hw_remove(dp, &tag->hw, &tag->entries[i]);
		lost = lost || tag->entries[i].lost;
	}
	dpu_hw_pipe_destroy(dp, &tag->hw);
	dpu_free(dp, tag, lost);
}

static int32_t tag_up(struct psp_dp *dp, const struct dpu_pipe *root, uint32_t n,
		      struct dpu_tag *tag, struct work *work)
{
	const struct psp_dp_match mask = {.parser_meta_port_id = UINT16_MAX};
	const struct dpu_match_ports ports = dpu_match_ports(dp, PSP_DP_DOMAIN_DEFAULT);
	struct dpu_hw_spec *spec = &work->spec;
	int32_t status;

	(void)snprintf(spec->name, sizeof(spec->name), "%s_PORT%u", root->base.name, n);
	spec->type = DOCA_FLOW_PIPE_BASIC;
	spec->domain = DOCA_FLOW_PIPE_DOMAIN_DEFAULT;
	spec->entries = dp->n_ports;
	dpu_match_template(&mask, PSP_DP_L3_NONE, &ports, &spec->match, &spec->mask);
	dpu_tag_acts(UINT32_MAX, &work->acts);
	spec->shape = (struct dpu_hw_shape){.n = 1, .templates = &work->acts};
	spec->fwd = tag->on;
	spec->miss = tag->on;
	status = dpu_hw_pipe_create(dp, spec, &tag->hw);
	for (uint32_t i = 0; status == 0 && i + DPU_HOST < dp->n_ports; i++) {
		const struct psp_dp_match value = {.parser_meta_port_id =
							   (uint16_t)(i + DPU_HOST + 1u)};

		memset(&work->entry, 0, sizeof(work->entry));
		dpu_match_entry(&value, &mask, PSP_DP_L3_NONE, &ports, &work->entry.match,
				&work->entry.mask);
		dpu_tag_acts(i + DPU_HOST, &work->entry.acts);
		status = dpu_hw_add(dp, &tag->hw, &work->entry, &tag->entries[i]);
	}
	return status;
}

int32_t dpu_tag_get(struct psp_dp *dp, struct dpu_pipe *root, struct dpu_to *to)
{
	struct dpu_tag *tag = root->tags;
	struct work *work;
	uint32_t n = 0;
	int32_t status;

	if (!dpu_has_tags(dp) || to->type != DOCA_FLOW_FWD_PIPE)
		return 0;
	for (const struct dpu_tag *t = tag; t != NULL; t = t->next)
		n++;
	while (tag != NULL && tag->on.pipe != to->pipe)
		tag = tag->next;
	if (tag == NULL) {
		tag = calloc(1, sizeof(*tag) + dp->n_ports * sizeof(tag->entries[0]));
		work = calloc(1, sizeof(*work));
		status = PSP_DP_ENOMEM;
		if (tag != NULL && work != NULL) {
			tag->on = *to;
			status = tag_up(dp, root, n, tag, work);
		}
		free(work);
		if (status != 0) {
			if (tag != NULL)
				tag_down(dp, tag);
			return status;
		}
		tag->next = root->tags;
		root->tags = tag;
	}
	*to = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE, .pipe = &tag->hw};
	return 0;
}

void dpu_tags_free(struct psp_dp *dp, struct dpu_pipe *root)
{
	while (root->tags != NULL) {
		struct dpu_tag *tag = root->tags;

		root->tags = tag->next;
		tag_down(dp, tag);
	}
}

/* ---- a pipe's forwards ----------------------------------------------------------------------- */

int32_t dpu_goto_hw(struct psp_dp *dp, struct dpu_pipe *from, const struct dp_fwd *to,
		    struct dpu_to *out)
{
	const uint32_t index = dp_pipe_index(from->base.id);
	/* What is decrypted came from the uplink, and carries no number. */
	const uint32_t port =
		from->domain == PSP_DP_DOMAIN_SECURE_INGRESS ? DPU_UPLINK : DPU_ANY_HOST;

	memset(out, 0, sizeof(*out));
	switch (to->type) {
	case PSP_DP_FWD_PORT:
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PORT,
				       .port_id = dp->ids[dpu_port_number(to->port)]};
		return 0;
	case PSP_DP_FWD_PIPE:
		*out = (struct dpu_to){.type = DOCA_FLOW_FWD_PIPE,
				       .pipe = dpu_pipe(to->pipe)->entrance};
		return 0;
	case PSP_DP_FWD_RSS:
		return dpu_tap_get(
			dp, from,
			dpu_mark(to->target == PSP_DP_RSS_MISS ? DPU_MARK_MISS : DPU_MARK_EXCEPTION,
				 port, index),
			out);
	case PSP_DP_FWD_KERNEL:
		return dpu_kernel_get(dp, from, out);
	default:
		out->type = DOCA_FLOW_FWD_DROP;
		return 0;
	}
}
