/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A huge page more is asked for, and what lies outside of the alignment is given back. */
void *psp_pages_map(size_t len, bool huge)
{
	uint8_t *at = mmap(NULL, len + PSP_PAGES_HUGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (at == MAP_FAILED)
		return NULL;
	before = (size_t)(-(uintptr_t)at & (PSP_PAGES_HUGE - 1));
	if (before > 0)
		(void)munmap(at, before);
	(void)munmap(at + before + len, PSP_PAGES_HUGE - before);
	/* Where the kernel has none, small pages do. */
	if (huge)
		(void)madvise(at + before, len, MADV_HUGEPAGE);
	return at + before;
}

void psp_pages_unmap(void *at, size_t len)
{
	(void)munmap(at, len);
}

static size_t rounded(size_t len, size_t to)
{
	return (len + to - 1) / to * to;
}

void *psp_pages_alloc(size_t len)
{
	const size_t lines = rounded(len, PSP_PAGES_LINE);
	void *at;

	if (len >= PSP_PAGES_HUGE)
		return psp_pages_map(rounded(len, PSP_PAGES_HUGE), true);
	at = aligned_alloc(PSP_PAGES_LINE, lines);
	if (at != NULL)
		memset(at, 0, lines);
	return at;
}

void psp_pages_free(void *at, size_t len)
{
	if (at == NULL)
		return;
	if (len >= PSP_PAGES_HUGE)
		psp_pages_unmap(at, rounded(len, PSP_PAGES_HUGE));
	else
		free(at);
}
