/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* What the stand-in for DOCA Flow refuses of pipes, and with which error: a test of the tests' own ground. */
#include "standin_specs.h"

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

int main(void)
{
	if (!lab_open()) {
		printf("not ok the lab does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(actions_have_their_domains);
	RUN(what_leaves_does_not_come_in_again);
	RUN(a_mask_names_what_it_looks_at);
	RUN(ports_and_queues_are_there);
	RUN(there_is_one_root);
	lab_close();
	return test_summary();
}
