/* SPDX-License-Identifier: Apache-2.0 */
/* handle.h: u32 names for things that come and go, which tell a stale one: generation above, index below. Writer only. */
#ifndef PSP_COMMON_HANDLE_H
#define PSP_COMMON_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

struct dp_handle {
	void *thing; /* NULL: free */
	uint32_t generation, next_free;
};

struct dp_handles {
	struct dp_handle *slots;
	uint32_t cap, made, index_bits, used, max;
	uint32_t free_first, free_last;
};

void dp_handles_init(struct dp_handles *handles, uint32_t max);
void dp_handles_free(struct dp_handles *handles);
/* 0: the limit is reached (used == max) or memory is out. */
uint32_t dp_handle_take(struct dp_handles *handles, void *thing);
void dp_handle_give(struct dp_handles *handles, uint32_t handle);
/* NULL: there is none, or no longer. */
void *dp_handle_find(const struct dp_handles *handles, uint32_t handle);

#endif
