/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csum.h: the Internet checksum (RFC 1071, RFC 1624). A running sum is a uint32_t of at most 2^16 folded
 * 16-bit values in host order, so that sums of parts can simply be added. Private to the packet steps (packet.c).
 */
#ifndef PSP_COMMON_CSUM_H
#define PSP_COMMON_CSUM_H

#include "net.h"

/* sum plus the 16-bit words of data; only the last part of a packet may have an odd length. */
uint32_t dp_csum_add(uint32_t sum, const uint8_t *data, size_t len);

/* The sum of an IPv4 header, of `len` octets: nearly all have 20. */
uint32_t dp_csum_ip4_head(const uint8_t *ip, uint32_t len);

/* Folds to 16 bits, not inverted: what a partial checksum field holds. */
static inline uint16_t dp_csum_fold(uint32_t sum)
{
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

/* The sum of the TCP or UDP pseudo-header; l4_len is what its length field says (below 2^16). */
uint32_t dp_csum_pseudo(const uint8_t *ip, uint8_t proto, uint32_t l4_len);

/* Writes the header checksum of an IPv4 header. */
void dp_csum_ipv4(uint8_t *ip);

/* RFC 1624, equation 3: a complete checksum after a word of what it covers changed. */
uint16_t dp_csum_update(uint16_t csum, uint16_t from, uint16_t to);

/* True when the checksum over l4 (len octets) and its pseudo-header is right. */
bool dp_csum_verify(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t len);

/* Is the partial checksum SCTP's CRC32c? No other header has its checksum so far from its start. */
static inline bool dp_csum_is_crc(const struct dp_packet *packet)
{
	return packet->needs_csum && packet->csum_offset == NET_SCTP_CSUM;
}

/* Completes packet's partial checksum in place (needs_csum, offsets checked by dp_parse()). */
void dp_csum_complete(struct dp_packet *packet);

#endif
