/* SPDX-License-Identifier: Apache-2.0 */
/* The header parser: fields, every verdict, every length. */
#include "../psp/wire.h"
#include "test.h"

#define ROOM 4096u

/* A sound tunnel packet, version 1, of 16 + 40 + 16 octets; the tests bend it. */
static void sound(uint8_t *psp)
{
	memset(psp, 0, ROOM);
	psp[0] = PSP_NEXT_IPV4;
	psp[1] = 1;
	psp[3] = (PSP_AES_GCM_256 << PSP_VERSION_SHIFT) | PSP_FLAG_ALWAYS;
	psp_put32(psp + 4, 0x9a345678u);
	psp_put64(psp + 8, 0x0123456789abcdefu);
}

#define SOUND_LEN 72u

static void fields_are_read(void)
{
	uint8_t psp[ROOM];
	struct psp_header header;

	sound(psp);
	psp[1] = 2;
	psp[2] = 0xc0 | 7; /* R does not belong to the crypt offset */
	psp[3] |= PSP_FLAG_S | PSP_FLAG_D | PSP_FLAG_V;
	psp_put64(psp + 16, 0x778899aabbccddeeu);
	CHECK_EQ(psp_header_parse(psp, SOUND_LEN, PSP_VERSIONS_DEFAULT, &header),
		 PSP_DP_VERDICT_OK);
	CHECK_EQ(header.next_header, PSP_NEXT_IPV4);
	CHECK_EQ(header.crypt_offset, 7);
	CHECK_EQ(header.version, PSP_AES_GCM_256);
	CHECK(header.sample && header.drop && header.has_vc);
	CHECK_EQ(header.spi, 0x9a345678u);
	CHECK_EQ(header.iv, 0x0123456789abcdefu);
	CHECK_EQ(header.vc, 0x778899aabbccddeeu);
	CHECK_EQ(header.size, 24);
	CHECK_EQ(header.aad_len, 16 + 28);
}

static void without_v_there_is_no_vc(void)
{
	uint8_t psp[ROOM];
	struct psp_header header;

	sound(psp);
	psp[1] = 2;
	psp_put64(psp + 16, 1);
	CHECK_EQ(psp_header_parse(psp, SOUND_LEN, PSP_VERSIONS_DEFAULT, &header),
		 PSP_DP_VERDICT_OK);
	CHECK(!header.has_vc && !header.sample && !header.drop);
	CHECK_EQ(header.vc, 0);
	CHECK_EQ(header.size, 24);
}

/* One octet of the sound packet changed, or its length, and the verdict. */
struct bend {
	const char *what;
	size_t len;
	uint32_t versions;
	unsigned at;
	uint8_t octet;
	uint32_t verdict;
};

static const struct bend bends[] = {
	{"as it is", SOUND_LEN, 0x3, 0, 4, PSP_DP_VERDICT_OK},
	{"next header unknown: policy's affair", SOUND_LEN, 0x3, 0, 59, PSP_DP_VERDICT_OK},
	{"the octet that is always 1 is 0", SOUND_LEN, 0x3, 3, 0x04, PSP_DP_VERDICT_OK},
	{"no octet", 0, 0x3, 0, 4, PSP_DP_VERDICT_SHORT},
	{"header only", 16, 0x3, 0, 4, PSP_DP_VERDICT_SHORT},
	{"one octet short of an ICV", 31, 0x3, 0, 4, PSP_DP_VERDICT_SHORT},
	{"header and ICV", 32, 0x3, 0, 4, PSP_DP_VERDICT_OK},
	{"extension length 0", SOUND_LEN, 0x3, 1, 0, PSP_DP_VERDICT_MALFORMED},
	{"V without room for a VC", SOUND_LEN, 0x3, 3, 0x07, PSP_DP_VERDICT_MALFORMED},
	{"extensions up to the ICV", SOUND_LEN, 0x3, 1, 6, PSP_DP_VERDICT_OK},
	{"extensions beyond", SOUND_LEN, 0x3, 1, 7, PSP_DP_VERDICT_SHORT},
	{"extensions far beyond", SOUND_LEN, 0x3, 1, 255, PSP_DP_VERDICT_SHORT},
	{"crypt offset at the end", SOUND_LEN, 0x3, 2, 10, PSP_DP_VERDICT_OK},
	{"crypt offset beyond", SOUND_LEN, 0x3, 2, 11, PSP_DP_VERDICT_MALFORMED},
	{"crypt offset 63 in a short packet", SOUND_LEN, 0x3, 2, 63, PSP_DP_VERDICT_MALFORMED},
	{"crypt offset 63", 16 + 252 + 16, 0x3, 2, 63, PSP_DP_VERDICT_OK},
	{"version 0", SOUND_LEN, 0x3, 3, 0x01, PSP_DP_VERDICT_OK},
	{"version 0, not enabled", SOUND_LEN, 0x2, 3, 0x01, PSP_DP_VERDICT_DISCARD},
	{"version 2, not enabled", SOUND_LEN, 0x3, 3, 0x09, PSP_DP_VERDICT_DISCARD},
	{"version 2", SOUND_LEN, 0x7, 3, 0x09, PSP_DP_VERDICT_OK},
	{"version 3, not enabled", SOUND_LEN, 0x7, 3, 0x0d, PSP_DP_VERDICT_DISCARD},
	{"version 3", SOUND_LEN, 0xf, 3, 0x0d, PSP_DP_VERDICT_OK},
	{"version 4, whatever is enabled", SOUND_LEN, ~0u, 3, 0x11, PSP_DP_VERDICT_DISCARD},
	{"version 15, whatever is enabled", SOUND_LEN, ~0u, 3, 0x3d, PSP_DP_VERDICT_DISCARD},
	{"longer than a datagram", 65536, 0x3, 0, 4, PSP_DP_VERDICT_MALFORMED},
};

static void every_verdict(void)
{
	uint8_t psp[ROOM];
	struct psp_header header;

	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		const struct bend *bend = &bends[i];

		CONTEXT("%s", bend->what);
		sound(psp);
		psp[bend->at] = bend->octet;
		CHECK_EQ(psp_header_parse(psp, bend->len, bend->versions, &header), bend->verdict);
	}
}

static void reserved_spis(void)
{
	static const uint32_t spis[] = {0, 0x80000000u};
	uint8_t psp[ROOM];
	struct psp_header header;

	sound(psp);
	for (size_t i = 0; i < 2; i++) {
		psp_put32(psp + 4, spis[i]);
		CHECK_EQ(psp_header_parse(psp, SOUND_LEN, 0x3, &header), PSP_DP_VERDICT_RESERVED);
		psp_put32(psp + 4, spis[i] + 1);
		CHECK_EQ(psp_header_parse(psp, SOUND_LEN, 0x3, &header), PSP_DP_VERDICT_OK);
	}
}

static void gmac_covers_everything(void)
{
	uint8_t psp[ROOM];
	struct psp_header header;

	sound(psp);
	psp[3] = 0x09;
	CHECK_EQ(psp_header_parse(psp, SOUND_LEN, 0xf, &header), PSP_DP_VERDICT_OK);
	CHECK_EQ(header.aad_len, SOUND_LEN - PSP_ICV_LEN);
}

/* Whatever octets 1 to 3 say: a header that is OK lies inside its packet. */
static void ok_means_inside(void)
{
	static const size_t lens[] = {32, 33, 40, 47, 48, 72, 300, 2088, 2089};
	uint8_t psp[ROOM];
	struct psp_header header;

	sound(psp);
	for (uint32_t bits = 0; bits < 1u << 20; bits++) {
		const size_t len = lens[bits % (sizeof(lens) / sizeof(lens[0]))];

		psp[1] = (uint8_t)bits;
		psp[2] = (uint8_t)(bits >> 8) & PSP_CRYPT_OFFSET_MASK;
		psp[3] = (uint8_t)(bits >> 14) & 0x3f;
		if (psp_header_parse(psp, len, PSP_VERSIONS_ALL, &header) != PSP_DP_VERDICT_OK)
			continue;
		CONTEXT("octets 1 to 3: %02x %02x %02x, length %zu", psp[1], psp[2], psp[3], len);
		CHECK(header.size >= PSP_HEADER_LEN && header.size + PSP_ICV_LEN <= len);
		CHECK(header.aad_len >= PSP_HEADER_LEN && header.aad_len + PSP_ICV_LEN <= len);
		CHECK(!header.has_vc || header.size >= PSP_HEADER_LEN + PSP_VC_LEN);
	}
}

int main(void)
{
	RUN(fields_are_read);
	RUN(without_v_there_is_no_vc);
	RUN(every_verdict);
	RUN(reserved_spis);
	RUN(gmac_covers_everything);
	RUN(ok_means_inside);
	return test_summary();
}
