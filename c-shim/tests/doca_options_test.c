/* SPDX-License-Identifier: Apache-2.0 */
/* The DOCA plane's options: the part that needs neither DOCA nor DPDK, so it is compiled in here. */
#include "../doca/options.c"

#include "test.h"

static struct dpu_options options;
static char why[128];

static const char *parse(const char *text)
{
	why[0] = 0;
	return dpu_options_parse(text, &options, why, sizeof(why));
}

static void no_options_are_defaults(void)
{
	CHECK(parse("") == NULL);
	CHECK(strcmp(options.cores, "0") == 0);
	CHECK_EQ(options.hugepages_mb, -1);
	CHECK_EQ(options.mbufs, 8192);
}

static void a_core_list_may_have_commas(void)
{
	CHECK(parse("cores=0-1,3,hugepages_mb=1024") == NULL);
	CHECK(strcmp(options.cores, "0-1,3") == 0);
	CHECK_EQ(options.hugepages_mb, 1024);
}

static void a_list_at_the_end_keeps_its_commas(void)
{
	CHECK(parse("mbufs=4096,cores=1,2,5") == NULL);
	CHECK(strcmp(options.cores, "1,2,5") == 0);
	CHECK_EQ(options.mbufs, 4096);
}

static void semicolons_stand_for_commas_in_devargs_and_mode(void)
{
	CHECK(parse("devargs=a=1;b=2,mode=switch;hws") == NULL);
	CHECK(strcmp(options.devargs, "a=1,b=2") == 0);
	CHECK(strcmp(options.mode, "switch,hws") == 0);
}

static void what_is_wrong_is_named(void)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"bogus=1", "option \"bogus\" is not an option of the DOCA plane"},
		{"cores", "option \"cores\" has no value"},
		{"cores=", "option \"cores\" is empty or too long"},
		{"mbufs=12", "option \"mbufs\" is not a number in range"},
		{"mbufs=5000x", "option \"mbufs\" is not a number in range"},
		{"hugepages_mb=-1", "option \"hugepages_mb\" is not a number in range"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("%s: %s", rows[i].text, why);
		CHECK(parse(rows[i].text) != NULL);
		CHECK(strcmp(why, rows[i].why) == 0);
	}
}

static void options_that_do_not_fit_are_refused(void)
{
	char text[600];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	CHECK(parse(text) != NULL);
}

int main(void)
{
	RUN(no_options_are_defaults);
	RUN(a_core_list_may_have_commas);
	RUN(a_list_at_the_end_keeps_its_commas);
	RUN(semicolons_stand_for_commas_in_devargs_and_mode);
	RUN(what_is_wrong_is_named);
	RUN(options_that_do_not_fit_are_refused);
	return test_summary();
}
