/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c: the PSP header read with every length checked first. */
#include "wire.h"

#define FIXED_LEN 8u /* octets that the header extension length does not count */
#define LENGTH_UNIT 8u
#define OFFSET_UNIT 4u

static bool is_supported(uint32_t version, uint32_t versions)
{
	return version < PSP_VERSIONS && ((versions >> version) & 1u) != 0;
}

/* Octets 0-15, all of which are there. */
static void read_fields(const uint8_t *psp, struct psp_header *header)
{
	const uint8_t flags = psp[3];

	header->next_header = psp[0];
	header->size = FIXED_LEN + LENGTH_UNIT * psp[1];
	header->crypt_offset = psp[2] & PSP_CRYPT_OFFSET_MASK;
	header->sample = (flags & PSP_FLAG_S) != 0;
	header->drop = (flags & PSP_FLAG_D) != 0;
	header->version = (flags >> PSP_VERSION_SHIFT) & PSP_VERSION_MASK;
	header->has_vc = (flags & PSP_FLAG_V) != 0;
	header->spi = psp_get32(psp + 4);
	header->iv = psp_get64(psp + 8);
	header->vc = 0;
	header->aad_len = PSP_HEADER_LEN + OFFSET_UNIT * header->crypt_offset;
}

uint32_t psp_header_parse(const uint8_t *psp, size_t len, uint32_t versions,
			  struct psp_header *header)
{
	if (len < PSP_HEADER_LEN + PSP_ICV_LEN)
		return PSP_DP_VERDICT_SHORT;
	if (len > PSP_PACKET_MAX)
		return PSP_DP_VERDICT_MALFORMED;
	read_fields(psp, header);

	/* The version comes first: it says what the other fields mean. */
	if (!is_supported(header->version, versions))
		return PSP_DP_VERDICT_DISCARD;
	if (header->size < PSP_HEADER_LEN + (header->has_vc ? PSP_VC_LEN : 0))
		return PSP_DP_VERDICT_MALFORMED;
	if (header->size > len - PSP_ICV_LEN)
		return PSP_DP_VERDICT_SHORT;
	if (header->aad_len > len - PSP_ICV_LEN)
		return PSP_DP_VERDICT_MALFORMED;
	if ((header->spi & ~PSP_SPI_MASTER_KEY) == 0)
		return PSP_DP_VERDICT_RESERVED;

	if (header->has_vc)
		header->vc = psp_get64(psp + PSP_HEADER_LEN);
	if (psp_is_gmac(header->version))
		header->aad_len = (uint32_t)(len - PSP_ICV_LEN);
	return PSP_DP_VERDICT_OK;
}
