/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* What the stand-in for DOCA Flow refuses, and with which error: a test of the tests' own ground. */
#include "standin_lab.h"

/* ---- descriptions, short ------------------------------------------------------------------- */

struct spec {
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool root;
	uint32_t entries; /* 0: 4 */
	struct doca_flow_match match, mask;
	struct doca_flow_actions *actions; /* NULL: none */
	struct doca_flow_fwd fwd, miss;
};

static struct doca_flow_fwd drop(void)
{
	return (struct doca_flow_fwd){.type = DOCA_FLOW_FWD_DROP};
}

static struct doca_flow_fwd to_pipe(struct doca_flow_pipe *pipe)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_PIPE};

	fwd.next_pipe = pipe;
	return fwd;
}

static doca_error_t create(const struct spec *spec, struct doca_flow_pipe **pipe)
{
	struct doca_flow_actions *actions[1] = {spec->actions};
	struct doca_flow_pipe_cfg *cfg;
	doca_error_t result = doca_flow_pipe_cfg_create(&cfg, lab.ports[0]);

	*pipe = NULL;
	if (result != DOCA_SUCCESS)
		return result;
	(void)doca_flow_pipe_cfg_set_name(cfg, "TEST");
	(void)doca_flow_pipe_cfg_set_type(cfg, spec->type);
	(void)doca_flow_pipe_cfg_set_domain(cfg, spec->domain);
	(void)doca_flow_pipe_cfg_set_is_root(cfg, spec->root);
	(void)doca_flow_pipe_cfg_set_nr_entries(cfg, spec->entries != 0 ? spec->entries : 4);
	if (spec->type == DOCA_FLOW_PIPE_BASIC)
		(void)doca_flow_pipe_cfg_set_match(cfg, &spec->match, &spec->mask);
	if (spec->actions != NULL)
		(void)doca_flow_pipe_cfg_set_actions(cfg, actions, NULL, NULL, 1);
	result = doca_flow_pipe_create(
		cfg, spec->fwd.type != DOCA_FLOW_FWD_NONE ? &spec->fwd : NULL,
		spec->miss.type != DOCA_FLOW_FWD_NONE ? &spec->miss : NULL, pipe);
	(void)doca_flow_pipe_cfg_destroy(cfg);
	return result;
}

/* Matches pkt_meta, drops. */
static struct spec basic(void)
{
	struct spec spec = {.fwd = drop()};

	spec.match.meta.pkt_meta = UINT32_MAX;
	spec.mask.meta.pkt_meta = UINT32_MAX;
	return spec;
}

static struct spec control(void)
{
	return (struct spec){.type = DOCA_FLOW_PIPE_CONTROL};
}

static doca_error_t add(struct doca_flow_pipe *pipe, uint32_t meta,
			const struct doca_flow_actions *actions, const struct doca_flow_fwd *fwd,
			struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_match match = {.meta.pkt_meta = meta};

	return doca_flow_pipe_add_entry(0, pipe, &match, actions, NULL, fwd, DOCA_FLOW_NO_WAIT,
					NULL, entry);
}

static doca_error_t add_control(struct doca_flow_pipe *pipe, uint32_t priority,
				const struct doca_flow_match *match,
				const struct doca_flow_match *mask, const struct doca_flow_fwd *fwd,
				struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_monitor monitor = {.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED};

	return doca_flow_pipe_control_add_entry(0, priority, pipe, match, mask, NULL, NULL, NULL,
						NULL, &monitor, fwd, NULL, entry);
}

static struct doca_flow_actions crypto(enum doca_flow_crypto_action_type type, uint32_t id)
{
	return (struct doca_flow_actions){.crypto = {.action_type = type,
						     .resource_type = DOCA_FLOW_CRYPTO_RESOURCE_PSP,
						     .crypto_id = id}};
}

static struct doca_flow_actions reformat(enum doca_flow_crypto_encap_action_type type)
{
	return (struct doca_flow_actions){
		.has_crypto_encap = true,
		.crypto_encap = {.action_type = type,
				 .net_type = DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL,
				 .icv_size = 16,
				 .data_size = type == DOCA_FLOW_CRYPTO_REFORMAT_DECAP ? 14 : 58}};
}

static doca_error_t set_key(uint32_t id)
{
	uint32_t key[4] = {1, 2, 3, id};
	struct doca_flow_shared_resource_cfg cfg = {
		.psp_cfg.key_cfg = {.key_type = DOCA_FLOW_CRYPTO_KEY_128, .key = key}};

	return doca_flow_shared_resource_set_cfg(DOCA_FLOW_SHARED_RESOURCE_PSP, id, &cfg);
}

static doca_error_t bind_key(uint32_t id)
{
	return doca_flow_shared_resources_bind(DOCA_FLOW_SHARED_RESOURCE_PSP, &id, 1, lab.ports[0]);
}

/* ---- the refusals ---------------------------------------------------------------------------- */

static void shared_resources_are_set_then_bound_then_used(void)
{
	struct doca_flow_actions template = crypto(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, UINT32_MAX);
	struct doca_flow_actions with = crypto(DOCA_FLOW_CRYPTO_ACTION_ENCRYPT, 3);
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe;
	struct spec spec = basic();

	spec.domain = DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS;
	spec.actions = &template;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(bind_key(3), DOCA_ERROR_BAD_STATE);
	CHECK_EQ(add(pipe, 1, &with, NULL, &entry), DOCA_ERROR_BAD_STATE);
	CHECK_EQ(set_key(LAB_KEYS), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(set_key(3), DOCA_SUCCESS);
	CHECK_EQ(add(pipe, 1, &with, NULL, &entry), DOCA_ERROR_BAD_STATE);
	CHECK_EQ(bind_key(3), DOCA_SUCCESS);
	CHECK_EQ(bind_key(3), DOCA_ERROR_BAD_STATE);
	CHECK_EQ(add(pipe, 1, &with, NULL, &entry), DOCA_SUCCESS);
	with.crypto.crypto_id = LAB_KEYS;
	CHECK_EQ(add(pipe, 2, &with, NULL, &entry), DOCA_ERROR_INVALID_VALUE);
	/* Another key over the first, without binding again. */
	CHECK_EQ(set_key(3), DOCA_SUCCESS);
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

static void actions_have_their_domains(void)
{
	static const struct {
		bool crypto;
		int type;
		enum doca_flow_pipe_domain good[2], bad[2];
	} rows[] = {
		{true,
		 DOCA_FLOW_CRYPTO_ACTION_ENCRYPT,
		 {DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS, DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS},
		 {DOCA_FLOW_PIPE_DOMAIN_DEFAULT, DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS}},
		{true,
		 DOCA_FLOW_CRYPTO_ACTION_DECRYPT,
		 {DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS, DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS},
		 {DOCA_FLOW_PIPE_DOMAIN_DEFAULT, DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS}},
		{false,
		 DOCA_FLOW_CRYPTO_REFORMAT_ENCAP,
		 {DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS, DOCA_FLOW_PIPE_DOMAIN_EGRESS},
		 {DOCA_FLOW_PIPE_DOMAIN_DEFAULT, DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS}},
		{false,
		 DOCA_FLOW_CRYPTO_REFORMAT_DECAP,
		 {DOCA_FLOW_PIPE_DOMAIN_SECURE_INGRESS, DOCA_FLOW_PIPE_DOMAIN_DEFAULT},
		 {DOCA_FLOW_PIPE_DOMAIN_EGRESS, DOCA_FLOW_PIPE_DOMAIN_SECURE_EGRESS}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct doca_flow_actions actions =
			rows[i].crypto
				? crypto((enum doca_flow_crypto_action_type)rows[i].type,
					 UINT32_MAX)
				: reformat((enum doca_flow_crypto_encap_action_type)rows[i].type);
		struct doca_flow_pipe *pipe;
		struct spec spec = basic();

		CONTEXT("row %zu", i);
		spec.actions = &actions;
		for (size_t j = 0; j < 2; j++) {
			spec.domain = rows[i].good[j];
			CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
			doca_flow_pipe_destroy(pipe);
			spec.domain = rows[i].bad[j];
			CHECK_EQ(create(&spec, &pipe), DOCA_ERROR_NOT_SUPPORTED);
		}
	}
}

static void what_leaves_does_not_come_in_again(void)
{
	struct spec spec = basic(), egress = basic();
	struct doca_flow_pipe *pipe, *other;

	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	egress.domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS;
	egress.fwd = to_pipe(pipe);
	CHECK_EQ(create(&egress, &other), DOCA_ERROR_NOT_SUPPORTED);
	doca_flow_pipe_destroy(pipe);
}

static void an_entry_belongs_to_a_pipe_of_its_type(void)
{
	struct spec spec = basic(), open = control();
	struct doca_flow_pipe *pipe, *other, *gate, *foreign = (void *)&spec;
	struct doca_flow_match none = {.meta.pkt_meta = 0};
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
	CHECK_EQ(doca_flow_pipe_update_entry(0, other, NULL, NULL, NULL, DOCA_FLOW_NO_WAIT, entry),
		 DOCA_ERROR_INVALID_VALUE);
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

static void a_mask_names_what_it_looks_at(void)
{
	struct doca_flow_pipe *pipe;
	struct spec spec = basic();

	/* Addresses of which IP version? */
	spec.mask.outer.ip4.src_ip = UINT32_MAX;
	CHECK_EQ(create(&spec, &pipe), DOCA_ERROR_INVALID_VALUE);
	/* An SPI of which tunnel? */
	spec = basic();
	spec.mask.tun.psp.spi = UINT32_MAX;
	CHECK_EQ(create(&spec, &pipe), DOCA_ERROR_INVALID_VALUE);
	/* A value that no mask looks at. */
	spec = basic();
	spec.match.parser_meta.port_id = 7;
	CHECK_EQ(create(&spec, &pipe), DOCA_ERROR_INVALID_VALUE);
}

static void priorities_end_at_seven(void)
{
	struct doca_flow_match none = {.meta.pkt_meta = 0};
	struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *pipe;
	struct spec spec = control();

	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	CHECK_EQ(add_control(pipe, 8, &none, &none, &fwd, &entry), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add_control(pipe, 7, &none, &none, &fwd, &entry), DOCA_SUCCESS);
	lab_process();
	doca_flow_pipe_destroy(pipe);
}

static void ports_and_queues_are_there(void)
{
	uint16_t queue = 1; /* the lab has queue 0 alone */
	struct doca_flow_port *port;
	struct doca_flow_pipe *pipe;
	struct spec spec = basic();

	spec.fwd = (struct doca_flow_fwd){.type = DOCA_FLOW_FWD_PORT};
	spec.fwd.port_id = 99;
	CHECK_EQ(create(&spec, &pipe), DOCA_ERROR_INVALID_VALUE);
	spec.fwd = (struct doca_flow_fwd){.type = DOCA_FLOW_FWD_RSS};
	spec.fwd.rss_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	spec.fwd.rss.queues_array = &queue;
	spec.fwd.rss.nr_queues = 1;
	CHECK_EQ(create(&spec, &pipe), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(lab_port(99, lab.dev, &port), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(lab_port(lab.ids[0], lab.dev, &port), DOCA_ERROR_ALREADY_EXIST);
	CHECK_EQ(doca_flow_port_stop(lab.ports[0]), DOCA_ERROR_IN_USE);
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

static void an_entry_fills_in_its_template_and_no_more(void)
{
	struct doca_flow_actions template = reformat(DOCA_FLOW_CRYPTO_REFORMAT_ENCAP), longer;
	struct doca_flow_fwd fwd = drop();
	struct doca_flow_pipe_entry *entry;
	struct doca_flow_pipe *plain, *pipe;
	struct spec spec = basic();

	CHECK_EQ(create(&spec, &plain), DOCA_SUCCESS);
	CHECK_EQ(add(plain, 1, &template, NULL, &entry), DOCA_ERROR_INVALID_VALUE);
	CHECK_EQ(add(plain, 1, NULL, &fwd, &entry), DOCA_ERROR_INVALID_VALUE);
	spec.domain = DOCA_FLOW_PIPE_DOMAIN_EGRESS;
	spec.actions = &template;
	CHECK_EQ(create(&spec, &pipe), DOCA_SUCCESS);
	longer = template;
	longer.crypto_encap.data_size = 66;
	CHECK_EQ(add(pipe, 1, &longer, NULL, &entry), DOCA_ERROR_INVALID_VALUE);
	longer = template;
	longer.action_idx = 1;
	CHECK_EQ(add(pipe, 1, &longer, NULL, &entry), DOCA_ERROR_INVALID_VALUE);
	doca_flow_pipe_destroy(plain);
	doca_flow_pipe_destroy(pipe);
}

int main(void)
{
	if (!lab_open()) {
		printf("not ok the lab does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(shared_resources_are_set_then_bound_then_used);
	RUN(actions_have_their_domains);
	RUN(what_leaves_does_not_come_in_again);
	RUN(an_entry_belongs_to_a_pipe_of_its_type);
	RUN(a_pipe_has_the_room_that_it_asked_for);
	RUN(a_mask_names_what_it_looks_at);
	RUN(priorities_end_at_seven);
	RUN(ports_and_queues_are_there);
	RUN(there_is_one_root);
	RUN(an_entry_fills_in_its_template_and_no_more);
	lab_close();
	return test_summary();
}
