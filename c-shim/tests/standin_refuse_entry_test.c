/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* What the stand-in for DOCA Flow refuses of entries and keys, and with which error. */
#include "standin_specs.h"

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
	RUN(an_entry_belongs_to_a_pipe_of_its_type);
	RUN(a_pipe_has_the_room_that_it_asked_for);
	RUN(priorities_end_at_seven);
	RUN(an_entry_fills_in_its_template_and_no_more);
	lab_close();
	return test_summary();
}
