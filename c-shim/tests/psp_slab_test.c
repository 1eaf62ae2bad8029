/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "../psp/pages.h"
#include "../psp/slab.h"
#include "test.h"

#define MANY 5000u /* of 1 KiB: more than two chunks */

static uint8_t *things[MANY];

static bool is_zero(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] != 0)
			return false;
	}
	return true;
}

static void things_come_zeroed_and_each_alone(void)
{
	struct psp_slab slab;

	psp_slab_init(&slab, 1000);
	CHECK_EQ(slab.size, 1024);
	for (uint32_t i = 0; i < MANY; i++) {
		things[i] = psp_slab_take(&slab);
		CHECK(things[i] != NULL && is_zero(things[i], slab.size));
		CHECK_EQ((uintptr_t)things[i] % PSP_PAGES_LINE, 0);
		memset(things[i], (int)(i % 251 + 1), slab.size);
	}
	CHECK_EQ(slab.chunks, 3);
	for (uint32_t i = 0; i < MANY; i++) {
		CHECK_EQ(things[i][0], i % 251 + 1);
		CHECK_EQ(things[i][slab.size - 1], i % 251 + 1);
	}
	/* Half of them come again, elsewhere perhaps, and wiped. */
	for (uint32_t i = 0; i < MANY; i += 2)
		psp_slab_give(things[i]);
	for (uint32_t i = 0; i < MANY; i += 2) {
		things[i] = psp_slab_take(&slab);
		CHECK(things[i] != NULL && is_zero(things[i], slab.size));
		memset(things[i], 0xff, slab.size);
	}
	CHECK_EQ(slab.chunks, 3);
	for (uint32_t i = 1; i < MANY; i += 2)
		CHECK_EQ(things[i][1], i % 251 + 1);
	for (uint32_t i = 0; i < MANY; i++)
		psp_slab_give(things[i]);
	psp_slab_free(&slab);
}

static void chunks_that_hold_nothing_go_but_for_the_last(void)
{
	struct psp_slab slab;

	psp_slab_init(&slab, 1024);
	CHECK_EQ(slab.chunks, 0);
	for (uint32_t i = 0; i < MANY; i++)
		things[i] = psp_slab_take(&slab);
	CHECK_EQ(slab.chunks, 3);
	for (uint32_t i = 0; i < MANY; i++)
		psp_slab_give(things[i]);
	CHECK_EQ(slab.chunks, 1);
	psp_slab_give(NULL);
	psp_slab_free(&slab);
	CHECK(slab.roomy == NULL && slab.chunks == 0);
}

static void tables_are_zeroed_at_every_size(void)
{
	static const size_t sizes[] = {
		1, 64, 4096, PSP_PAGES_HUGE - 1, PSP_PAGES_HUGE, 3 * PSP_PAGES_HUGE + 5};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *at = psp_pages_alloc(sizes[i]);

		CONTEXT("%zu octets", sizes[i]);
		CHECK(at != NULL && is_zero(at, sizes[i]));
		CHECK_EQ((uintptr_t)at %
				 (sizes[i] < PSP_PAGES_HUGE ? PSP_PAGES_LINE : PSP_PAGES_HUGE),
			 0);
		memset(at, 0xff, sizes[i]);
		psp_pages_free(at, sizes[i]);
	}
	psp_pages_free(NULL, PSP_PAGES_HUGE);
}

int main(void)
{
	RUN(things_come_zeroed_and_each_alone);
	RUN(chunks_that_hold_nothing_go_but_for_the_last);
	RUN(tables_are_zeroed_at_every_size);
	return test_summary();
}
