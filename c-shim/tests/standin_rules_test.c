/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/*
 * What the stand-in for DOCA Flow refuses, and with which error: a test of the tests' own ground. Each rule that can be
 * switched off is tried both ways. Those of time (late, shuffle, stale) are in standin_order_test.c.
 */
#include "standin_lab.h"

#define NEW (COMPAT_DOCA >= 302)

/* Refused while the rule holds, granted when it does not. */
#define BOTH_WAYS(rule, error, call)                                                               \
	do {                                                                                       \
		CHECK_EQ(call, error);                                                             \
		doca_standin_hold(rule, false);                                                    \
		CHECK_EQ(call, DOCA_SUCCESS);                                                      \
		doca_standin_hold(rule, true);                                                     \
	} while (0)

static void every_rule_has_a_source(void)
{
	for (uint32_t i = 0; i < DOCA_STANDIN_RULES; i++) {
		const struct doca_standin_source *source =
			doca_standin_source((enum doca_standin_rule)i);

		CONTEXT("rule %u", i);
		CHECK(source->name != NULL && source->file != NULL && source->lines != NULL &&
		      source->tag != NULL);
	}
	CHECK(doca_standin_source(DOCA_STANDIN_RULES) == NULL);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

/* A pipe with this in its actions, or from 3.2 on in its list. */
static doca_error_t try_crypto(const struct compat_crypto *part, enum doca_flow_pipe_domain domain,
			       bool listed)
{
	struct doca_flow_actions actions = as_actions(part);
	struct compat_crypto copy = *part;
	struct spec spec = basic();

	spec.domain = domain;
	if (listed) {
		spec.type = DOCA_FLOW_PIPE_ORDERED_LIST;
		spec.list = &copy;
	} else {
		spec.actions = &actions;
	}
	return try_pipe(&spec);
}

static void actions_have_their_domains(void)
{
	static const uint32_t domains = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	const uint32_t ingress = 1u << DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS;
	const uint32_t egress = 1u << DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	const uint32_t both = ingress | 1u << DOCA_FLOW_PIPE_DOMAIN_DEFAULT;
	const struct {
		struct compat_crypto part;
		uint32_t domains;
	} rows[] = {
		{crypto_part(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, UINT32_MAX), egress},
		{crypto_part(DOCA_FLOW_CRYPTO_ACTION_DECRYPT, UINT32_MAX), ingress},
		{reformat_part(DOCA_FLOW_CRYPTO_REFORMAT_ENCAP), egress},
		{reformat_part(DOCA_FLOW_CRYPTO_REFORMAT_DECAP),
		 COMPAT_DOCA == 300 ? both : ingress},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint32_t d = 0; d <= domains; d++) {
			enum doca_flow_pipe_domain domain = (enum doca_flow_pipe_domain)d;

			CONTEXT("row %zu, domain %u", i, d);
			if ((rows[i].domains >> d & 1u) != 0)
				CHECK_EQ(try_crypto(&rows[i].part, domain, NEW), DOCA_SUCCESS);
			else
				BOTH_WAYS(DOCA_STANDIN_DOMAIN, DOCA_ERROR_NOT_SUPPORTED,
					  try_crypto(&rows[i].part, domain, NEW));
		}
	}
}

static void crypto_is_in_lists_from_3_2_on(void)
{
	const struct compat_crypto part = crypto_part(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, UINT32_MAX);
	enum doca_flow_pipe_domain domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;

	if (NEW) {
		BOTH_WAYS(DOCA_STANDIN_LIST, DOCA_ERROR_NOT_SUPPORTED,
			  try_crypto(&part, domain, false));
		CHECK_EQ(try_crypto(&part, domain, true), DOCA_SUCCESS);
		return;
	}
	CHECK_EQ(try_crypto(&part, domain, false), DOCA_SUCCESS);
	CHECK_EQ(try_crypto(&part, domain, true), DOCA_ERROR_NOT_SUPPORTED);
}

static void a_list_is_entered_from_its_own_domain(void)
{
	struct compat_crypto part = crypto_part(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, UINT32_MAX);
	struct spec spec = {.type = DOCA_FLOW_PIPE_ORDERED_LIST, .list = &part, .fwd = drop()};
	struct spec from = basic();
	struct doca_flow_pipe *list;

	if (!NEW)
		return;
	spec.domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	CHECK_EQ(create(&spec, &list), DOCA_SUCCESS);
	from.fwd = to_list(list, UINT32_MAX);
	from.domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	CHECK_EQ(try_pipe(&from), DOCA_SUCCESS);
	from.domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS;
	BOTH_WAYS(DOCA_STANDIN_LIST_DOMAIN, DOCA_ERROR_NOT_SUPPORTED, try_pipe(&from));
	from.domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	from.fwd = to_list(list, 4); /* it has entries 0 to 3 */
	CHECK_EQ(try_pipe(&from), DOCA_ERROR_INVALID_VALUE);
	doca_flow_pipe_destroy(list);
}

static void what_leaves_does_not_come_in_again(void)
{
	struct spec spec = basic(), egress = basic();
	struct doca_flow_pipe *pipe;

	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	egress.domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS;
	egress.fwd = to_pipe(pipe);
	BOTH_WAYS(DOCA_STANDIN_JUMP, DOCA_ERROR_NOT_SUPPORTED, try_pipe(&egress));
	doca_flow_pipe_destroy(pipe);
}

/* But for the copy that a flood makes. */
static void a_flood_leads_back(void)
{
	struct spec spec = basic(), flood = {.type = DOCA_FLOW_PIPE_HASH, .entries = 2};
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe, *other;
	struct doca_flow_fwd fwd;

	if (!NEW)
		return;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	flood.domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS;
	flood.fwd.type = DOCA_FLOW_FWD_CHANGEABLE;
	CHECK_EQ(create(&flood, &other), DOCA_SUCCESS);
	fwd = to_pipe(pipe);
	CHECK_EQ(compat_flood_add(&lab.call, other, 2, &fwd, NULL, &entry),
		 DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(compat_flood_add(&lab.call, other, 0, &fwd, NULL, &entry), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(compat_flood_add(&lab.call, other, 0, &fwd, NULL, &entry),
		 DOCA_ERROR_ALREADY_EXIST);
	doca_flow_pipe_destroy(other);
	doca_flow_pipe_destroy(pipe);
}

static void what_misses_goes_to_a_pipe_or_nowhere(void)
{
	struct spec spec = basic(), other = basic();
	struct doca_flow_pipe *pipe;
	uint16_t queue;

	CHECK_EQ(create(&other, &pipe), DOCA_SUCCESS);
	spec.miss = to_pipe(pipe);
	CHECK_EQ(try_pipe(&spec), DOCA_SUCCESS);
	spec.miss = drop();
	CHECK_EQ(try_pipe(&spec), DOCA_SUCCESS);
	spec.miss = to_port(lab.ids[1]);
	BOTH_WAYS(DOCA_STANDIN_MISS, DOCA_ERROR_NOT_SUPPORTED, try_pipe(&spec));
	spec.miss = to_program(&queue);
	BOTH_WAYS(DOCA_STANDIN_MISS, DOCA_ERROR_NOT_SUPPORTED, try_pipe(&spec));
	doca_flow_pipe_destroy(pipe);
}

/* Packets of 20 whose second scratch word, that nobody has set, is 0. */
static uint64_t blank(struct doca_flow_pipe_entry *zero, struct doca_flow_pipe_entry *any)
{
	const uint64_t before = hits(zero, 0), seen = hits(any, 0);

	for (uint32_t i = 0; i < 20; i++)
		(void)send_frame();
	for (uint32_t i = 0; i < 3000 && hits(zero, 0) + hits(any, 0) < before + seen + 20; i++)
		usleep(1000);
	return hits(zero, 0) - before;
}

static void a_scratch_word_holds_anything_until_it_is_set(void)
{
	struct doca_flow_match none = {.meta.pkt_meta = 0}, mask = none;
	struct spec spec = control();
	struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *zero, *any;
	struct doca_flow_pipe *pipe;

	mask.meta.u32[1] = UINT32_MAX;
	spec.root = true;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(add_control(pipe, 0, &none, &mask, &fwd, &zero), DOCA_SUCCESS);
	CHECK_EQ(add_control(pipe, 1, &none, &none, &fwd, &any), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(blank(zero, any), 0);
	doca_standin_hold(DOCA_STANDIN_META, false);
	CHECK_EQ(blank(zero, any), 20);
	doca_standin_hold(DOCA_STANDIN_META, true);
	doca_flow_pipe_destroy(pipe);
}

static void a_mask_names_what_it_looks_at(void)
{
	struct spec spec = basic();

	/* Addresses of which IP version? */
	spec.mask.outer.ip4.src_ip = UINT32_MAX;
	BOTH_WAYS(DOCA_STANDIN_NAMED, DOCA_ERROR_INVALID_VALUE, try_pipe(&spec));
	/* That of parser_meta will do. */
	spec.match.parser_meta.outer_l3_type = DOCA_FLOW_L3_META_IPV4;
	spec.mask.parser_meta.outer_l3_type = (enum doca_flow_l3_meta)UINT32_MAX;
	CHECK_EQ(try_pipe(&spec), DOCA_SUCCESS);
	/* An SPI of which tunnel? */
	spec = basic();
	spec.mask.tun.psp.spi = UINT32_MAX;
	BOTH_WAYS(DOCA_STANDIN_NAMED, DOCA_ERROR_INVALID_VALUE, try_pipe(&spec));
	/* A value that no mask looks at. */
	spec = basic();
	spec.match.parser_meta.port_id = 7;
	BOTH_WAYS(DOCA_STANDIN_NAMED, DOCA_ERROR_INVALID_VALUE, try_pipe(&spec));
}

static void a_pipe_has_as_many_templates_as_a_table(void)
{
	struct doca_flow_actions actions = {.meta.pkt_meta = UINT32_MAX};
	struct spec spec = basic();

	spec.actions = &actions;
	spec.templates = 32;
	CHECK_EQ(try_pipe(&spec), DOCA_SUCCESS);
	spec.templates = 33;
	BOTH_WAYS(DOCA_STANDIN_TEMPLATES, DOCA_ERROR_TOO_BIG, try_pipe(&spec));
}

static void ports_and_queues_are_there(void)
{
	uint16_t queue;
	struct doca_flow_port *port;
	struct spec spec = basic();

	spec.fwd = to_port(99);
	CHECK_EQ(try_pipe(&spec), DOCA_ERROR_INVALID_VALUE);
	spec.fwd = to_program(&queue);
	CHECK_EQ(try_pipe(&spec), DOCA_SUCCESS);
	queue = 1; /* the lab has queue 0 alone */
	CHECK_EQ(try_pipe(&spec), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(lab_port(99, lab.dev, NULL, &port), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(lab_port(lab.ids[0], lab.dev, NULL, &port), DOCA_ERROR_ALREADY_EXIST);
	CHECK_EQ(doca_flow_port_stop(lab.ports[0]), DOCA_ERROR_IN_USE);
}

static void modes_are_those_of_the_release(void)
{
	struct doca_flow_cfg *cfg;
	const char *other = COMPAT_DOCA >= 303 ? "switch,hws,isolated,expert" : "switch,hws,expert";

	CHECK_EQ(doca_flow_cfg_create(&cfg), DOCA_SUCCESS);
	CHECK_EQ(doca_flow_cfg_set_mode_args(cfg, compat()->mode_args), DOCA_SUCCESS);
	CHECK_EQ(doca_flow_cfg_set_mode_args(cfg, "vnf,hws"),
		 COMPAT_DOCA >= 303 ? DOCA_ERROR_NOT_SUPPORTED : DOCA_ERROR_INVALID_VALUE);
	BOTH_WAYS(DOCA_STANDIN_MODE, DOCA_ERROR_INVALID_VALUE,
		  doca_flow_cfg_set_mode_args(cfg, other));
	(void)doca_flow_cfg_destroy(cfg);
}

/* ---- roots ----------------------------------------------------------------------------------- */

static struct doca_flow_fwd to_kernel(void)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_TARGET};

	(void)doca_flow_get_target(DOCA_FLOW_TARGET_KERNEL, &fwd.target);
	return fwd;
}

static void a_root_does_not_lead_to_the_kernel(void)
{
	struct doca_flow_match none = {.meta.pkt_meta = 0};
	struct spec spec = basic(), root = control();
	struct doca_flow_fwd fwd = to_kernel();
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe;

	spec.fwd = fwd;
	CHECK_EQ(try_pipe(&spec), DOCA_SUCCESS);
	spec.root = true;
	BOTH_WAYS(DOCA_STANDIN_ROOT_TARGET, DOCA_ERROR_NOT_SUPPORTED, try_pipe(&spec));
	spec.fwd = drop();
	spec.miss = fwd;
	BOTH_WAYS(DOCA_STANDIN_ROOT_TARGET, DOCA_ERROR_NOT_SUPPORTED, try_pipe(&spec));
	root.root = true;
	CHECK_EQ(create(&root, &pipe), DOCA_SUCCESS);
	BOTH_WAYS(DOCA_STANDIN_ROOT_TARGET, DOCA_ERROR_NOT_SUPPORTED,
		  add_control(pipe, 0, &none, &none, &fwd, &entry));
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

static void a_root_has_sixteen_levels(void)
{
	struct doca_flow_match none = {.meta.pkt_meta = 0};
	struct spec spec = control();
	struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe;

	spec.root = true;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(add_control(pipe, 15, &none, &none, &fwd, &entry), DOCA_SUCCESS);
	BOTH_WAYS(DOCA_STANDIN_ROOT_LEVEL, DOCA_ERROR_INVALID_VALUE,
		  add_control(pipe, 16, &none, &none, &fwd, &entry));
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

static void masks_of_a_root_are_counted(void)
{
	struct doca_standin_capacity two = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 2};
	struct doca_flow_match port = {.parser_meta.port_id = 1}, port_mask = port;
	struct doca_flow_match none = {.meta.pkt_meta = 0}, type = none, type_mask = none;
	struct spec spec = control();
	struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *entry;
	struct doca_standin_live live;
	struct doca_flow_pipe *pipe;

	port_mask.parser_meta.port_id = UINT16_MAX;
	type.outer.eth.type = 8;
	type_mask.outer.eth.type = UINT16_MAX;
	spec.root = true;
	spec.entries = 8;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(add_control(pipe, 0, &port, &port_mask, &fwd, &entry), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(add_control(pipe, 1, &none, &none, &fwd, &entry), DOCA_SUCCESS);
	lab_process();
	doca_standin_live(&live);
	CHECK_EQ(live.root_masks, 2);
	doca_standin_capacity(&two);
	port.parser_meta.port_id = 0;
	CHECK_EQ(add_control(pipe, 0, &port, &port_mask, &fwd, &entry), DOCA_SUCCESS);
	CHECK_EQ(add_control(pipe, 0, &type, &type_mask, &fwd, &entry), DOCA_ERROR_NO_MEMORY);
	doca_standin_capacity(NULL);
	CHECK_EQ(add_control(pipe, 0, &type, &type_mask, &fwd, &entry), DOCA_SUCCESS);
	lab_process();
	doca_standin_live(&live);
	CHECK_EQ(live.root_masks, 3);
	doca_flow_pipe_destroy(pipe);
}

static void there_is_one_root(void)
{
	struct spec spec = control();
	struct doca_flow_pipe *pipe, *other;

	spec.root = true;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(create(&spec, &other), DOCA_ERROR_ALREADY_EXIST);
	doca_flow_pipe_destroy(pipe);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void an_entry_belongs_to_a_pipe_of_its_type(void)
{
	struct spec spec = basic(), open = control();
	struct doca_flow_pipe *pipe, *other, *gate, *foreign = (void *)&spec;
	struct doca_flow_match none = {.meta.pkt_meta = 0};
	const struct compat_entry change = {.match = NULL};
	struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *entry, *unused;

	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(create(&spec, &other), DOCA_SUCCESS);
	CHECK_EQ(create(&open, &gate), DOCA_SUCCESS);
	CHECK_EQ(add(gate, 1, NULL, NULL, &unused), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add_control(pipe, 0, &none, &none, &fwd, &unused), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add(foreign, 1, NULL, NULL, &unused), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add(pipe, 1, NULL, NULL, &entry), DOCA_SUCCESS);
	lab_process();
	CHECK_EQ(add(pipe, 1, NULL, NULL, &unused), DOCA_ERROR_ALREADY_EXIST);
	CHECK_EQ(compat_basic_update(&lab.call, other, &change, entry), DOCA_ERROR_INVALID_VALUE);
	doca_flow_pipe_destroy(pipe);
	doca_flow_pipe_destroy(other);
	doca_flow_pipe_destroy(gate);
}

static void a_pipe_has_the_room_that_it_asked_for(void)
{
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe;
	struct spec spec = basic();

	spec.entries = 2;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(add(pipe, 1, NULL, NULL, &entry), DOCA_SUCCESS);
	CHECK_EQ(add(pipe, 2, NULL, NULL, &entry), DOCA_SUCCESS);
	CHECK_EQ(add(pipe, 3, NULL, NULL, &entry), DOCA_ERROR_FULL);
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

static void a_port_has_memory_for_so_many_actions(void)
{
	struct doca_flow_actions open = {.meta.pkt_meta = UINT32_MAX}, with = {.meta.pkt_meta = 7};
	struct doca_flow_pipe_entry *entry;
	struct doca_standin_live live;
	struct doca_flow_pipe *pipe, *fixed;
	struct spec spec = basic();

	spec.entries = 64;
	spec.actions = &open;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	for (uint32_t i = 0; i < LAB_ACTIONS_MEM / 128; i++)
		CHECK_EQ(add(pipe, i + 1, &with, NULL, &entry), DOCA_SUCCESS);
	lab_process();
	doca_standin_live(&live);
	CHECK_EQ(live.actions_mem, LAB_ACTIONS_MEM);
	BOTH_WAYS(DOCA_STANDIN_ACTIONS_MEM, DOCA_ERROR_NO_MEMORY,
		  add(pipe, 99, &with, NULL, &entry));
	/* What is the same for all entries of a pipe takes none. */
	spec.actions = &with;
	CHECK_EQ(create(&spec, &fixed), DOCA_SUCCESS);
	CHECK_EQ(add(fixed, 1, NULL, NULL, &entry), DOCA_SUCCESS);
	lab_process();
	doca_flow_pipe_destroy(fixed);
	doca_flow_pipe_destroy(pipe);
	doca_standin_live(&live);
	CHECK_EQ(live.actions_mem, 0);
}

static void there_are_so_many_counters(void)
{
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe;
	struct spec spec = basic();

	spec.entries = LAB_COUNTERS + 2;
	spec.counter = true;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	for (uint32_t i = 0; i < LAB_COUNTERS; i++)
		CHECK_EQ(add(pipe, i + 1, NULL, NULL, &entry), DOCA_SUCCESS);
	BOTH_WAYS(DOCA_STANDIN_COUNTERS, DOCA_ERROR_FULL, add(pipe, 999, NULL, NULL, &entry));
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

static void an_entry_fills_in_its_template_and_no_more(void)
{
	struct doca_flow_actions open = {.meta.pkt_meta = UINT32_MAX}, with = {.meta.pkt_meta = 7};
	struct doca_flow_fwd fwd = drop(), other = to_port(lab.ids[0]);
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *plain, *pipe;
	struct spec spec = basic();

	CHECK_EQ(create(&spec, &plain), DOCA_SUCCESS);
	CHECK_EQ(add(plain, 1, &with, NULL, &entry), DOCA_ERROR_INVALID_VALUE);
	/* A forward that the pipe has already may be said again, and no other. */
	CHECK_EQ(add(plain, 1, NULL, &other, &entry), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add(plain, 1, NULL, &fwd, &entry), DOCA_SUCCESS);
	spec.actions = &open;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(add(pipe, 1, NULL, NULL, &entry), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add(pipe, 1, &with, NULL, &entry), DOCA_SUCCESS);
	lab_process();
	doca_flow_pipe_destroy(plain);
	doca_flow_pipe_destroy(pipe);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static struct doca_flow_pipe *encrypting;

/* An entry that encrypts with an id. */
static doca_error_t use_key(uint32_t id, uint32_t at, struct doca_flow_pipe_entry **entry)
{
	struct compat_crypto part = crypto_part(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, id);
	struct doca_flow_actions actions = as_actions(&part);
	doca_error_t result =
		NEW ? compat_list_add(&lab.call, encrypting, at, 0, &part, NULL, NULL, entry)
		    : add(encrypting, at + 1, &actions, NULL, entry);

	if (result == DOCA_SUCCESS)
		lab_process();
	return result;
}

static doca_error_t try_key(uint32_t id, uint32_t at)
{
	struct doca_flow_pipe_entry *entry;
	doca_error_t result = use_key(id, at, &entry);

	if (result == DOCA_SUCCESS)
		remove_now(entry);
	return result;
}

static bool make_encrypting(void)
{
	struct compat_crypto open = crypto_part(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, UINT32_MAX);
	struct doca_flow_actions template = as_actions(&open);
	struct spec spec = basic();

	spec.domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	if (NEW) {
		spec.type = DOCA_FLOW_PIPE_ORDERED_LIST;
		spec.list = &open;
	} else {
		spec.actions = &template;
	}
	return create(&spec, &encrypting) == DOCA_SUCCESS;
}

/* Bound by the program, or handed out by the port. Sets a key before or after. */
static void an_id_is_bound_and_has_a_key_in_either_order(void)
{
	struct doca_standin_live live;
	uint32_t id = 3;

	CHECK(make_encrypting());
	CHECK_EQ(try_key(LAB_KEYS, 0), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(set_key(LAB_KEYS), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(compat_psp_slot_take(&lab.call, lab.ports[0], 3, &id), DOCA_SUCCESS);
	CHECK_EQ(compat_psp_slot_bind(&lab.call, lab.ports[0], id), DOCA_SUCCESS);
	BOTH_WAYS(DOCA_STANDIN_KEYED, DOCA_ERROR_BAD_STATE, try_key(id, 0));
	CHECK_EQ(set_key(id), DOCA_SUCCESS);
	CHECK_EQ(try_key(id, 0), DOCA_SUCCESS);
	/* Another key over the first, without binding again. */
	CHECK_EQ(set_key(id), DOCA_SUCCESS);
	if (!NEW)
		CHECK_EQ(compat_psp_slot_bind(&lab.call, lab.ports[0], id), DOCA_ERROR_BAD_STATE);
	/* One that was never asked for: before 3.2 it may have its key, but no entry names it. */
	if (NEW)
		BOTH_WAYS(DOCA_STANDIN_BIND, DOCA_ERROR_BAD_STATE, set_key(5));
	else
		CHECK_EQ(set_key(5), DOCA_SUCCESS);
	BOTH_WAYS(DOCA_STANDIN_BIND, DOCA_ERROR_BAD_STATE, try_key(5, 0));
	doca_standin_live(&live);
	CHECK_EQ(live.ids, 1);
	doca_flow_pipe_destroy(encrypting);
	CHECK_EQ(compat_psp_slot_give(&lab.call, lab.ports[0], id), DOCA_SUCCESS);
}

/* From 3.2 on they come from the port, until there are none. */
static void a_port_hands_out_each_id_once(void)
{
	uint32_t ids[LAB_KEYS], one;

	if (!NEW)
		return;
	for (uint32_t i = 0; i + 1 < LAB_KEYS; i++) {
		CHECK_EQ(compat_psp_slot_take(&lab.call, lab.ports[0], 0, &ids[i]), DOCA_SUCCESS);
		for (uint32_t j = 0; j < i; j++)
			CHECK(ids[i] != ids[j]);
	}
	CHECK_EQ(compat_psp_slot_take(&lab.call, lab.ports[0], 0, &one), DOCA_ERROR_FULL);
	for (uint32_t i = 0; i + 1 < LAB_KEYS; i++)
		CHECK_EQ(compat_psp_slot_give(&lab.call, lab.ports[0], ids[i]), DOCA_SUCCESS);
	CHECK_EQ(compat_psp_slot_give(&lab.call, lab.ports[0], ids[0]), DOCA_ERROR_INVALID_VALUE);
}

/* ---- queues ---------------------------------------------------------------------------------- */

#define DEPTH 128u /* the lab sets none */

static void a_queue_is_as_deep_as_it_was_asked_to_be(void)
{
	struct spec spec = basic();
	struct doca_flow_pipe *pipe;
	struct doca_flow_pipe_entry *entry;

	spec.entries = 2 * DEPTH;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	for (uint32_t i = 0; i < DEPTH; i++)
		CHECK_EQ(add(pipe, i, NULL, NULL, &entry), DOCA_SUCCESS);
	BOTH_WAYS(DOCA_STANDIN_DEPTH, DOCA_ERROR_AGAIN, add(pipe, DEPTH, NULL, NULL, &entry));
	for (uint32_t i = 0; i < 10; i++)
		lab_process();
	CHECK_EQ(add(pipe, DEPTH + 1, NULL, NULL, &entry), DOCA_SUCCESS);
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

/* Updates of 16 entries that are told to come again, given one after the other. */
static uint32_t put_off(struct doca_flow_pipe *pipe, struct doca_flow_pipe_entry *const *entries)
{
	struct doca_flow_actions with = {.meta.pkt_meta = 9};
	const struct compat_entry change = {.actions = &with};
	uint32_t n = 0;

	for (uint32_t i = 0; i < 16; i++)
		n += compat_basic_update(&lab.call, pipe, &change, entries[i]) == DOCA_ERROR_AGAIN
			     ? 1
			     : 0;
	for (uint32_t i = 0; i < 4; i++)
		lab_process();
	return n;
}

static void an_update_may_be_told_to_come_again(void)
{
	struct doca_flow_actions open = {.meta.pkt_meta = UINT32_MAX}, with = {.meta.pkt_meta = 7};
	struct doca_flow_pipe_entry *entries[16];
	struct doca_flow_pipe *pipe;
	struct spec spec = basic();
	uint32_t n = 0;

	spec.entries = 16;
	spec.actions = &open;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	for (uint32_t i = 0; i < 16; i++)
		CHECK_EQ(add(pipe, i, &with, NULL, &entries[i]), DOCA_SUCCESS);
	for (uint32_t i = 0; i < 4; i++)
		lab_process();
	for (uint32_t i = 0; n == 0 && i < 1000; i++)
		n += put_off(pipe, entries);
	CHECK(n > 0);
	doca_standin_hold(DOCA_STANDIN_AGAIN, false);
	for (uint32_t i = 0; i < 20; i++)
		CHECK_EQ(put_off(pipe, entries), 0);
	doca_standin_hold(DOCA_STANDIN_AGAIN, true);
	doca_flow_pipe_destroy(pipe);
}

/* ---- the port and its interface -------------------------------------------------------------- */

/* The port is stopped for it: the lab is closed afterwards. */
static void an_mtu_of_0_is_1500_for_the_kernel_too(void)
{
	struct rte_eth_conf conf;

	CHECK(LAB_IP("link", "set", "up0", "mtu", "4000"));
	(void)rte_eth_dev_stop(lab.ids[0]);
	memset(&conf, 0, sizeof(conf));
	doca_standin_hold(DOCA_STANDIN_MTU, false);
	CHECK_EQ(rte_eth_dev_configure(lab.ids[0], 1, 1, &conf), 0);
	CHECK_EQ(lab_mtu("up0"), 4000);
	doca_standin_hold(DOCA_STANDIN_MTU, true);
	CHECK_EQ(rte_eth_dev_configure(lab.ids[0], 1, 1, &conf), 0);
	CHECK_EQ(lab_mtu("up0"), 1500);
	conf.rxmode.mtu = 4000;
	CHECK_EQ(rte_eth_dev_configure(lab.ids[0], 1, 1, &conf), 0);
	CHECK_EQ(lab_mtu("up0"), 4000);
}

int main(void)
{
	if (!lab_open()) {
		printf("not ok the lab does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(every_rule_has_a_source);
	RUN(actions_have_their_domains);
	RUN(crypto_is_in_lists_from_3_2_on);
	RUN(a_list_is_entered_from_its_own_domain);
	RUN(what_leaves_does_not_come_in_again);
	RUN(a_flood_leads_back);
	RUN(what_misses_goes_to_a_pipe_or_nowhere);
	RUN(a_scratch_word_holds_anything_until_it_is_set);
	RUN(a_mask_names_what_it_looks_at);
	RUN(a_pipe_has_as_many_templates_as_a_table);
	RUN(ports_and_queues_are_there);
	RUN(modes_are_those_of_the_release);
	RUN(a_root_does_not_lead_to_the_kernel);
	RUN(a_root_has_sixteen_levels);
	RUN(masks_of_a_root_are_counted);
	RUN(there_is_one_root);
	RUN(an_entry_belongs_to_a_pipe_of_its_type);
	RUN(a_pipe_has_the_room_that_it_asked_for);
	RUN(a_port_has_memory_for_so_many_actions);
	RUN(there_are_so_many_counters);
	RUN(an_entry_fills_in_its_template_and_no_more);
	RUN(an_id_is_bound_and_has_a_key_in_either_order);
	RUN(a_port_hands_out_each_id_once);
	RUN(a_queue_is_as_deep_as_it_was_asked_to_be);
	RUN(an_update_may_be_told_to_come_again);
	RUN(an_mtu_of_0_is_1500_for_the_kernel_too);
	lab_close();
	return test_summary();
}
