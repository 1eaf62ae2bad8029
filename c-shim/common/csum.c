/* SPDX-License-Identifier: Apache-2.0 */
#include "csum.h"
#include "csum_blocks.h"
#include "net.h"

/* Summed in memory order; the sum of swapped words is the swapped sum (RFC 1071, 2B). */
static uint16_t in_host_order(uint64_t total)
{
	uint8_t folded[2];
	uint16_t word;

	total = (total & 0xffffffffu) + (total >> 32);
	total = (total & 0xffffffffu) + (total >> 32);
	word = dp_csum_fold((uint32_t)total);
	memcpy(folded, &word, 2);
	return psp_get16(folded);
}

uint32_t dp_csum_add(uint32_t sum, const uint8_t *data, size_t len)
{
	const size_t blocks = len / DP_CSUM_BLOCK;
	uint64_t total = blocks != 0 ? dp_csum_blocks(data, blocks) : 0;

	data += blocks * DP_CSUM_BLOCK;
	len -= blocks * DP_CSUM_BLOCK;
	for (; len >= 8; data += 8, len -= 8) {
		uint64_t word64;

		memcpy(&word64, data, 8);
		total += (word64 & 0xffffffffu) + (word64 >> 32);
	}
	if (len >= 4) {
		uint32_t word32;

		memcpy(&word32, data, 4);
		total += word32;
		data += 4;
		len -= 4;
	}
	if (len >= 2) {
		uint16_t word16;

		memcpy(&word16, data, 2);
		total += word16;
		data += 2;
		len -= 2;
	}
	if (len != 0) {
		const uint8_t rest[2] = {data[0], 0};
		uint16_t word16;

		memcpy(&word16, rest, 2);
		total += word16;
	}
	return sum + in_host_order(total);
}

uint32_t dp_csum_ip4_head(const uint8_t *ip, uint32_t len)
{
	uint64_t first, second;
	uint32_t last;

	if (len != NET_IP4_LEN)
		return dp_csum_add(0, ip, len);
	memcpy(&first, ip, 8);
	memcpy(&second, ip + 8, 8);
	memcpy(&last, ip + 16, 4);
	return in_host_order((first & 0xffffffffu) + (first >> 32) + (second & 0xffffffffu) +
			     (second >> 32) + last);
}

uint32_t dp_csum_pseudo(const uint8_t *ip, uint8_t proto, uint32_t l4_len)
{
	uint32_t sum = proto + l4_len;

	if ((ip[0] >> 4) == 6)
		return dp_csum_add(sum, ip + NET_IP6_SRC, 32);
	return dp_csum_add(sum, ip + NET_IP4_SRC, 8);
}

void dp_csum_ipv4(uint8_t *ip)
{
	psp_put16(ip + NET_IP4_CSUM, 0);
	psp_put16(ip + NET_IP4_CSUM,
		  (uint16_t)~dp_csum_fold(dp_csum_ip4_head(ip, (ip[0] & 0x0fu) * 4u)));
}

uint16_t dp_csum_update(uint16_t csum, uint16_t from, uint16_t to)
{
	uint32_t sum = (uint16_t)~csum;

	sum += (uint16_t)~from;
	sum += to;
	return (uint16_t)~dp_csum_fold(sum);
}

bool dp_csum_verify(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t len)
{
	return dp_csum_fold(dp_csum_add(dp_csum_pseudo(ip, proto, len), l4, len)) == 0xffffu;
}

void dp_csum_complete(struct dp_packet *packet)
{
	uint8_t *start = packet->frame + packet->csum_start;
	uint16_t csum;

	csum = (uint16_t)~dp_csum_fold(dp_csum_add(0, start, packet->len - packet->csum_start));
	/* 0 would say "no checksum" in UDP, and is the same number as 0xffff everywhere else. */
	psp_put16(start + packet->csum_offset, csum == 0 ? 0xffffu : csum);
	packet->needs_csum = false;
}
