/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h: the PSP header, its constants and its parser (seal.c). Source: PSP Architecture Specification
 * (Google, 2022-11-17), section "PSP header".
 *
 *   octet 0      next header             octet 1     header extension length (8 octets, less the first 8)
 *   octet 2      R (2 bits) | crypt offset (6 bits, units of 4 octets, from the end of the IV)
 *   octet 3      S | D | version (4 bits) | V | 1
 *   octets 4-7   SPI                     octets 8-15 IV            [16-23 VC, when V is 1]
 */
#ifndef PSP_WIRE_H
#define PSP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../psp_dp.h"

#define PSP_UDP_PORT 1000u
#define PSP_HEADER_LEN 16u /* octets up to the end of the IV */
#define PSP_VC_LEN 8u
#define PSP_ICV_LEN 16u
#define PSP_PACKET_MAX 65535u /* octets of a PSP packet: the payload of one UDP datagram */
#define PSP_NONCE_OFFSET 4u   /* SPI | IV are the GCM nonce */
#define PSP_FLAG_S 0x80u
#define PSP_FLAG_D 0x40u
#define PSP_FLAG_V 0x02u
#define PSP_FLAG_ALWAYS 0x01u
#define PSP_VERSION_SHIFT 2u
#define PSP_VERSION_MASK 0x0fu
#define PSP_CRYPT_OFFSET_MASK 0x3fu
#define PSP_SPI_MASTER_KEY 0x80000000u /* selects master key 1 */

#define PSP_NEXT_IPV4 4u
#define PSP_NEXT_TCP 6u
#define PSP_NEXT_UDP 17u
#define PSP_NEXT_IPV6 41u

enum psp_version {
	PSP_AES_GCM_128 = 0,
	PSP_AES_GCM_256 = 1,
	PSP_AES_GMAC_128 =
		2, /* key derivation by extrapolation: the specification leaves it open */
	PSP_AES_GMAC_256 = 3,
};
#define PSP_VERSIONS 4u
#define PSP_VERSIONS_DEFAULT 0x3u /* bit n: version n */
#define PSP_VERSIONS_ALL 0xfu

static inline uint16_t psp_get16(const uint8_t *p)
{
	return (uint16_t)((uint16_t)(p[0] << 8) | p[1]);
}

static inline uint32_t psp_get32(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline uint64_t psp_get64(const uint8_t *p)
{
	return ((uint64_t)psp_get32(p) << 32) | psp_get32(p + 4);
}

static inline void psp_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void psp_put32(uint8_t *p, uint32_t v)
{
	psp_put16(p, (uint16_t)(v >> 16));
	psp_put16(p + 2, (uint16_t)v);
}

static inline void psp_put64(uint8_t *p, uint64_t v)
{
	psp_put32(p, (uint32_t)(v >> 32));
	psp_put32(p + 4, (uint32_t)v);
}

/* What a PSP header says. Offsets count from its first octet. */
struct psp_header {
	uint8_t next_header;
	uint8_t crypt_offset; /* units of 4 octets */
	uint8_t version;
	bool sample; /* S */
	bool drop;   /* D */
	bool has_vc; /* V */
	uint32_t spi;
	uint64_t iv;
	uint64_t vc;   /* 0 without V; ciphertext while the packet is sealed and crypt_offset < 2 */
	uint32_t size; /* of the header with its extensions: where the payload starts */
	uint32_t aad_len; /* header start to crypt offset: where the ciphertext starts */
};

/* Octets that a key of this version has: 16 or 32. */
static inline uint32_t psp_key_len(uint32_t version)
{
	return (version & 1u) != 0 ? 32u : 16u;
}

/*
 * Versions that authenticate everything and encrypt nothing: aad_len reaches to the ICV then, whatever
 * the crypt offset says.
 */
static inline bool psp_is_gmac(uint32_t version)
{
	return version == PSP_AES_GMAC_128 || version == PSP_AES_GMAC_256;
}

/*
 * Reads the header of a PSP packet (the UDP payload, `len` octets, ICV included) and checks every
 * length before it believes it. versions: bit n set means that version n is supported.
 * Returns, looked for in this order (enum psp_dp_verdict): SHORT (no room for 16 octets and ICV),
 * DISCARD, MALFORMED (extension length), SHORT (no room for the extensions), MALFORMED (crypt offset
 * beyond the payload), RESERVED, OK. *header is whole only for OK.
 */
uint32_t psp_header_parse(const uint8_t *psp, size_t len, uint32_t versions,
			  struct psp_header *header);

#endif
