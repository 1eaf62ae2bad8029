/* SPDX-License-Identifier: Apache-2.0 */
/* vectors_types.h: the rows of the tables that vectors.mjs makes. */
#ifndef PSP_VECTORS_TYPES_H
#define PSP_VECTORS_TYPES_H

#include <stddef.h>
#include <stdint.h>

struct octets {
	size_t len;
	const uint8_t *at;
};

/* psp_packets.json: what goes into a packet, and the packet. */
struct packet_vector {
	const char *name;
	uint8_t version;
	uint8_t next_header;
	uint32_t spi;
	uint64_t iv;
	uint8_t crypt_offset;
	uint8_t s, d, r, v;
	struct octets ext;
	struct octets key;
	struct octets payload;
	struct octets psp;
};

/* psp_malformed.json: a packet, and the verdict of a correct receiver. */
struct malformed_vector {
	const char *name;
	const char *expect;
	struct octets psp;
};

/* kbkdf_cmac_aes256.json: NIST's. */
struct kbkdf_vector {
	struct octets key;
	struct octets fixed;
	struct octets out;
};

/* psp_dp.h */
struct abi_struct {
	const char *name;
};

#endif
