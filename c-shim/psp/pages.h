/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.h: memory for large tables that are met at random. In pages of 4 KiB the processor finds the page of each access by
 * a walk that takes as long as the access; a huge page has 512 times as much, and its walks stay in the caches.
 */
#ifndef PSP_PAGES_H
#define PSP_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define PSP_PAGES_LINE 64u               /* octets of a cache line */
#define PSP_PAGES_HUGE ((size_t)2 << 20) /* octets */

/* Zeroed, aligned to a huge page; in huge pages where the kernel has some. len: whole huge pages. NULL: out of memory. */
void *psp_pages_map(size_t len, bool huge);
void psp_pages_unmap(void *at, size_t len);

/* Zeroed, aligned to a line; in huge pages from the first whole one on. NULL: out of memory. */
void *psp_pages_alloc(size_t len);
/* NULL is allowed. len: as it was asked for. */
void psp_pages_free(void *at, size_t len);

#endif
