/* SPDX-License-Identifier: Apache-2.0 */
/* Handles tell a thing that has gone, also when another has taken its place. */
#include "../common/handle.h"
#include "test.h"

static void handles_tell_stale_ones(void)
{
	struct dp_handles handles;
	int thing;
	uint32_t first, other[3], again;

	dp_handles_init(&handles, 4);
	first = dp_handle_take(&handles, &thing);
	CHECK(first != 0);
	for (uint32_t i = 0; i < 3; i++) {
		other[i] = dp_handle_take(&handles, &thing);
		CHECK(other[i] != 0);
	}
	CHECK_EQ(dp_handle_take(&handles, &thing), 0);
	CHECK(dp_handle_find(&handles, first) == &thing);
	CHECK(dp_handle_find(&handles, 0) == NULL);
	dp_handle_give(&handles, first);
	CHECK(dp_handle_find(&handles, first) == NULL);
	again = dp_handle_take(&handles, &thing);
	CHECK(again != first && again != 0);
	CHECK(dp_handle_find(&handles, first) == NULL);
	CHECK(dp_handle_find(&handles, again) == &thing);
	dp_handles_free(&handles);
}

static void what_was_free_for_longest_is_taken_first(void)
{
	struct dp_handles handles;
	uint32_t given[3], taken[3], mask;
	int thing;

	dp_handles_init(&handles, 3);
	mask = (1u << handles.index_bits) - 1;
	for (uint32_t i = 0; i < 3; i++)
		given[i] = dp_handle_take(&handles, &thing);
	dp_handle_give(&handles, given[1]);
	dp_handle_give(&handles, given[0]);
	dp_handle_give(&handles, given[2]);
	for (uint32_t i = 0; i < 3; i++)
		taken[i] = dp_handle_take(&handles, &thing);
	CHECK_EQ(taken[0] & mask, given[1] & mask);
	CHECK_EQ(taken[1] & mask, given[0] & mask);
	CHECK_EQ(taken[2] & mask, given[2] & mask);
	CHECK_EQ(handles.used, 3);
	dp_handles_free(&handles);
}

static void there_are_as_many_as_asked_for(void)
{
	struct dp_handles handles;
	int thing;

	/* More than the table begins with. */
	dp_handles_init(&handles, 1000);
	for (uint32_t i = 0; i < 1000; i++)
		CHECK(dp_handle_take(&handles, &thing) != 0);
	CHECK_EQ(dp_handle_take(&handles, &thing), 0);
	dp_handles_free(&handles);
}

int main(void)
{
	RUN(handles_tell_stale_ones);
	RUN(what_was_free_for_longest_is_taken_first);
	RUN(there_are_as_many_as_asked_for);
	return test_summary();
}
