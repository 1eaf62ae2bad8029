/* SPDX-License-Identifier: Apache-2.0 */
/* The DOCA plane's options in DPDK's words. */
#include <string.h>

#include "../doca/device.h"

#include "test.h"

static struct psp_dp_config config;
static struct dpu_options options;

static bool read_cpus(const uint32_t *cpus, size_t n)
{
	memset(config.cpus, 0, sizeof(config.cpus));
	for (size_t i = 0; i < n; i++)
		config.cpus[cpus[i] / 8] |= (uint8_t)(1u << cpus[i] % 8);
	return dpu_options_read(&config, &options);
}

static void without_processors_it_is_the_first_one(void)
{
	CHECK(read_cpus(NULL, 0));
	CHECK(strcmp(options.cores, "0") == 0);
}

static void processors_become_ranges(void)
{
	static const struct {
		uint32_t cpus[5];
		size_t n;
		const char *want;
	} rows[] = {
		{{0}, 1, "0"},
		{{0, 1}, 2, "0-1"},
		{{0, 1, 3}, 3, "0-1,3"},
		{{1, 2, 5, 510, 511}, 5, "1-2,5,510-511"},
		{{7, 8, 9, 63, 64}, 5, "7-9,63-64"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("%s", rows[i].want);
		CHECK(read_cpus(rows[i].cpus, rows[i].n));
		CHECK(strcmp(options.cores, rows[i].want) == 0);
	}
}

static void processors_that_fit_no_list_are_refused(void)
{
	uint32_t odd[256];

	for (uint32_t i = 0; i < 256; i++)
		odd[i] = 2 * i;
	CHECK(!read_cpus(odd, 256));
	CHECK(read_cpus(odd, 40));
}

static void hugepages_are_a_size_or_none_or_dpdks_own(void)
{
	static const struct {
		uint32_t given;
		int32_t want;
	} rows[] = {{0, -1}, {PSP_DP_HUGEPAGES_NONE, 0}, {2, 2}, {1048576, 1048576}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		config.hugepages_mb = rows[i].given;
		CHECK(read_cpus(NULL, 0));
		CHECK_EQ(options.hugepages_mb, rows[i].want);
	}
}

static void texts_without_an_end_are_refused(void)
{
	CHECK(dpu_options_complaint(&config) == NULL);
	memset(config.devargs, 'x', sizeof(config.devargs));
	CHECK(strcmp(dpu_options_complaint(&config), "devargs have no end") == 0);
	config.devargs[0] = 0;
	memset(config.representor, 'x', sizeof(config.representor));
	CHECK(strcmp(dpu_options_complaint(&config), "representor has no end") == 0);
	config.representor[63] = 0;
	memset(config.flow_mode, 'x', sizeof(config.flow_mode));
	CHECK(strcmp(dpu_options_complaint(&config), "flow_mode has no end") == 0);
	config.flow_mode[0] = 0;
	CHECK(dpu_options_complaint(&config) == NULL);
}

int main(void)
{
	RUN(without_processors_it_is_the_first_one);
	RUN(processors_become_ranges);
	RUN(processors_that_fit_no_list_are_refused);
	RUN(hugepages_are_a_size_or_none_or_dpdks_own);
	RUN(texts_without_an_end_are_refused);
	return test_summary();
}
