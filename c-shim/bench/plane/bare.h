/* SPDX-License-Identifier: Apache-2.0 */
/* bare.h: AES-GCM by the library alone, called as its manual says: what an engine can at best come down to. */
#ifndef PSP_BENCH_BARE_H
#define PSP_BENCH_BARE_H

#include <stdbool.h>
#include <stdint.h>

struct bare;

/* n keys of 16 octets, or 32, each expanded for sealing and for opening. NULL: no such library, or no memory. */
struct bare *bare_open(uint32_t n, bool is_256);
void bare_close(struct bare *bare);
/* Octets of one expanded key. */
uint32_t bare_key_octets(void);
const char *bare_name(void);

/*
 * Seals, then opens, one packet of `clear` octets in clear and `len` to be encrypted for each of the n keys named,
 * in this order, from one buffer to another. CPU time of this thread for each; false: a tag was wrong.
 */
bool bare_run(struct bare *bare, const uint32_t *keys, uint32_t n, uint32_t clear, uint32_t len,
	      uint64_t *seal_ns, uint64_t *open_ns);

#endif
