/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* The DOCA shim on its stand-in: what a plane refuses to open with, and pipes that come again. */
#include "standin_lab.h"

#define MIRRORS 8u /* ids that the shim has */

static struct psp_dp *dp;
static char why[256];

static int32_t open_plane(void)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .uplink = "up0",
				       .host = "host0",
				       .max_entries = 64,
				       .max_crypto_ids = 4,
				       .options = "hugepages_mb=0,mbufs=512"};

	return psp_dp_open(&config, &dp, why, sizeof(why));
}

/* "-v -v ..." or one long word. */
static void set_words(const char *word, uint32_t n)
{
	char text[1024] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s ", word);
	(void)setenv("PSP_DOCA_EAL", text, 1);
}

static void words_for_which_there_is_no_room_are_refused(void)
{
	static const struct {
		const char *word;
		uint32_t n;
	} rows[] = {{"-v", 40}, {"--a-word-of-some-length-that-comes-again", 20}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("row %zu", i);
		set_words(rows[i].word, rows[i].n);
		CHECK_EQ(open_plane(), PSP_DP_EINVAL);
		CHECK(strstr(why, "PSP_DOCA_EAL") != NULL);
	}
	(void)unsetenv("PSP_DOCA_EAL");
}

/* A pipe that samples every packet. */
static int32_t sampling_pipe(uint32_t *pipe)
{
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.name = "EGR_SAMP",
		.domain = PSP_DP_DOMAIN_EGRESS,
		.nr_entries = 1,
		.match_mask.size = sizeof(d.match_mask),
		.actions = {.size = sizeof(d.actions), .flags = PSP_DP_ACTION_SET_S},
		.monitor = {.size = sizeof(d.monitor), .mirror = 1},
		.fwd = {.size = sizeof(d.fwd), .type = PSP_DP_FWD_PORT},
		.fwd_miss = {.size = sizeof(d.fwd_miss), .type = PSP_DP_FWD_DROP},
	};
	struct psp_dp_entry_desc e = {
		.size = sizeof(e),
		.match.size = sizeof(e.match),
		.match_mask.size = sizeof(e.match_mask),
		.actions = d.actions,
		.monitor = d.monitor,
		.fwd = {.size = sizeof(e.fwd)},
	};
	uint32_t entry;
	int32_t status = psp_dp_pipe_create(dp, &d, pipe);

	return status == 0 ? psp_dp_entry_add(dp, *pipe, &e, &entry) : status;
}

static void pipes_that_sample_come_and_go(void)
{
	uint32_t pipe;

	for (uint32_t i = 0; i < 2 * MIRRORS; i++) {
		CONTEXT("time %u", i);
		CHECK_EQ(sampling_pipe(&pipe), 0);
		CHECK_EQ(psp_dp_pipe_destroy(dp, pipe), 0);
	}
}

int main(void)
{
	if (!lab_up()) {
		printf("not ok there are no interfaces (root?)\n");
		return 1;
	}
	RUN(words_for_which_there_is_no_room_are_refused);
	if (open_plane() != 0) {
		printf("not ok %s\n", why);
		return 1;
	}
	RUN(pipes_that_sample_come_and_go);
	if (psp_dp_close(dp) != 0)
		printf("# the plane does not close\n");
	return test_summary();
}
