/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All backends seal, open and derive the same, in place, elsewhere and in parts: each against the last one, for every length
 * of text and of clear text up to some hundred, where their loops begin, end and meet, and at random beyond; and none reads or
 * writes an octet more.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../psp/kdf.h"
#include "psp_backends.h"

#define ROOM 65536u
#define TEXT_MAX 800u /* three chunks of any backend, and more */
#define AAD_MAX 100u
#define LONG_TRIES 300u
#define GUARD 0xa5u /* stands around what is written */

struct side {
	const struct psp_crypto_backend *backend;
	struct psp_crypto *crypto;
	struct psp_aead_key *key[2]; /* of 128 and of 256 bits */
};

static struct side this, that;
static uint8_t text[ROOM], aad[ROOM], nonce[12];
static uint8_t wanted[ROOM + 2 * PSP_ICV_LEN], got[ROOM + 2 * PSP_ICV_LEN];

static uint64_t state = 42;
static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static void fill(uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)draw(256);
}

static bool side_open(struct side *side)
{
	uint8_t octets[32];

	for (uint32_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 37u + 11u);
	return side->backend->key_new(side->crypto, PSP_AES_GCM_128, octets, &side->key[0]) == 0 &&
	       side->backend->key_new(side->crypto, PSP_AES_GCM_256, octets, &side->key[1]) == 0;
}

static void side_close(struct side *side)
{
	side->backend->key_free(side->key[0]);
	side->backend->key_free(side->key[1]);
}

static bool reference_take(void)
{
	const struct psp_crypto_backend *next;

	for (uint32_t n = 0; (next = psp_crypto_backend_at(n)) != NULL; n++)
		that.backend = next;
	if (that.backend->crypto_new(&that.crypto) != PSP_DP_OK)
		return false;
	return side_open(&that);
}

static void is_sealed_alike(uint32_t key, size_t aad_len, size_t len)
{
	const uint32_t split = draw((uint32_t)len + 1);
	struct psp_text parts;

	CONTEXT("key %" PRIu32 ", %zu of clear text, %zu of text, in two from %" PRIu32 " on", key,
		aad_len, len, split);
	CHECK_EQ(that.backend->seal(that.crypto, that.key[key], nonce, aad, aad_len, text, len,
				    wanted, wanted + len),
		 PSP_DP_OK);
	/* Elsewhere, in place, and in two parts. */
	memset(got, GUARD, len + 2 * PSP_ICV_LEN);
	CHECK_EQ(this.backend->seal(this.crypto, this.key[key], nonce, aad, aad_len, text, len, got,
				    got + len),
		 PSP_DP_OK);
	CHECK_MEM(got, wanted, len + PSP_ICV_LEN);
	CHECK_EQ(got[len + PSP_ICV_LEN], GUARD);
	memset(got, GUARD, len + 2 * PSP_ICV_LEN);
	memcpy(got, text, len);
	CHECK_EQ(this.backend->seal(this.crypto, this.key[key], nonce, aad, aad_len, got, len, got,
				    got + len),
		 PSP_DP_OK);
	CHECK_MEM(got, wanted, len + PSP_ICV_LEN);
	memset(got, GUARD, len + 2 * PSP_ICV_LEN);
	memcpy(got, text, split);
	parts = (struct psp_text){.head = draw(2) == 0 ? got : text,
				  .head_len = split,
				  .body = text + split,
				  .body_len = len - split};
	CHECK_EQ(this.backend->seal_parts(this.crypto, this.key[key], nonce, aad, aad_len, &parts,
					  got, got + len),
		 PSP_DP_OK);
	CHECK_MEM(got, wanted, len + PSP_ICV_LEN);
	CHECK_EQ(got[len + PSP_ICV_LEN], GUARD);
}

/* What the other one has sealed. */
static void is_opened_alike(uint32_t key, size_t aad_len, size_t len)
{
	const uint32_t bit = draw(PSP_ICV_LEN * 8);
	uint8_t tag[PSP_ICV_LEN];

	memcpy(tag, wanted + len, sizeof(tag));
	memset(got, GUARD, len + 2 * PSP_ICV_LEN);
	CHECK_EQ(this.backend->open(this.crypto, this.key[key], nonce, aad, aad_len, wanted, len,
				    got, tag),
		 PSP_DP_VERDICT_OK);
	CHECK_MEM(got, text, len);
	CHECK_EQ(got[len], GUARD);
	memcpy(got, wanted, len);
	CHECK_EQ(this.backend->open(this.crypto, this.key[key], nonce, aad, aad_len, got, len, got,
				    tag),
		 PSP_DP_VERDICT_OK);
	CHECK_MEM(got, text, len);
	tag[bit / 8] = (uint8_t)(tag[bit / 8] ^ (1u << bit % 8));
	CHECK_EQ(this.backend->open(this.crypto, this.key[key], nonce, aad, aad_len, wanted, len,
				    got, tag),
		 PSP_DP_VERDICT_ICV);
	if (len == 0)
		return;
	memcpy(tag, wanted + len, sizeof(tag));
	memcpy(got, wanted, len);
	got[draw((uint32_t)len)] ^= 0x10;
	CHECK_EQ(this.backend->open(this.crypto, this.key[key], nonce, aad, aad_len, got, len, got,
				    tag),
		 PSP_DP_VERDICT_ICV);
}

static void every_length_is_sealed_and_opened_alike(void)
{
	for (uint32_t key = 0; key < 2; key++) {
		for (size_t len = 0; len <= TEXT_MAX; len++) {
			fill(nonce, sizeof(nonce));
			/* Of every length of clear text where one sum may be full, and of the usual one elsewhere. */
			for (size_t aad_len = 0; aad_len <= AAD_MAX; aad_len++) {
				if (len > 300 && aad_len != 20 && aad_len != 36 &&
				    aad_len != len % AAD_MAX)
					continue;
				SUB(is_sealed_alike(key, aad_len, len));
				SUB(is_opened_alike(key, aad_len, len));
			}
		}
	}
}

static void long_texts_are_sealed_and_opened_alike(void)
{
	for (uint32_t i = 0; i < LONG_TRIES; i++) {
		const uint32_t len = draw(ROOM - AAD_MAX), aad_len = draw(AAD_MAX);

		fill(nonce, sizeof(nonce));
		SUB(is_sealed_alike(i % 2, aad_len, len));
		SUB(is_opened_alike(i % 2, aad_len, len));
	}
}

/* GMAC authenticates a whole packet and encrypts nothing. */
static void clear_text_of_any_length_is_authenticated_alike(void)
{
	for (uint32_t i = 0; i < 3000; i++) {
		const uint32_t aad_len = i < 2000 ? i : draw(ROOM);

		fill(nonce, sizeof(nonce));
		SUB(is_sealed_alike(i % 2, aad_len, 0));
		SUB(is_opened_alike(i % 2, aad_len, 0));
	}
}

/* Lengths about which a PSP packet, or the text in it, is the longest that there is. */
static void the_longest_texts_are_sealed_and_opened_alike(void)
{
	for (size_t len = ROOM - 300; len <= ROOM; len++) {
		fill(nonce, sizeof(nonce));
		SUB(is_sealed_alike(len % 2, 36, len));
		SUB(is_opened_alike(len % 2, 36, len));
	}
}

/* Nonce and clear text are authenticated like the text. */
static void what_goes_with_a_text_is_not_forged(void)
{
	for (size_t len = 0; len <= TEXT_MAX; len += 7) {
		const size_t aad_len = 1 + draw(AAD_MAX);
		const uint32_t bit = draw((uint32_t)aad_len * 8);

		CONTEXT("%zu of clear text, %zu of text", aad_len, len);
		fill(nonce, sizeof(nonce));
		SUB(is_sealed_alike(0, aad_len, len));
		aad[bit / 8] = (uint8_t)(aad[bit / 8] ^ (1u << bit % 8));
		CHECK_EQ(this.backend->open(this.crypto, this.key[0], nonce, aad, aad_len, wanted,
					    len, got, wanted + len),
			 PSP_DP_VERDICT_ICV);
		aad[bit / 8] = (uint8_t)(aad[bit / 8] ^ (1u << bit % 8));
		nonce[bit % 12] ^= 1;
		CHECK_EQ(this.backend->open(this.crypto, this.key[0], nonce, aad, aad_len, wanted,
					    len, got, wanted + len),
			 PSP_DP_VERDICT_ICV);
		/* One octet less, as clear text or as text, is another packet. */
		nonce[bit % 12] ^= 1;
		CHECK_EQ(this.backend->open(this.crypto, this.key[0], nonce, aad, aad_len - 1,
					    wanted, len, got, wanted + len),
			 PSP_DP_VERDICT_ICV);
	}
}

#define PAGES 2u /* between two that nobody may touch */

static uint8_t *fenced(size_t page)
{
	uint8_t *at = mmap(NULL, (PAGES + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + page, PAGES * page, PROT_READ | PROT_WRITE) != 0)
		return NULL;
	return at + page;
}

/* n octets with nothing behind them, or nothing in front: where they begin is as their length is. */
static uint8_t *place(uint8_t *room, size_t page, size_t n, bool at_end)
{
	return at_end ? room + PAGES * page - n : room;
}

static void nothing_past_the_ends_is_touched(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *in_room = fenced(page), *out_room = fenced(page), *aad_room = fenced(page);

	CHECK(in_room != NULL && out_room != NULL && aad_room != NULL);
	for (size_t i = 0; i <= 2 * TEXT_MAX; i++) {
		const size_t len = i / 2, aad_len = draw(AAD_MAX);
		const bool at_end = i % 2 == 0;
		uint8_t *in = place(in_room, page, len, at_end);
		uint8_t *out = place(out_room, page, len + PSP_ICV_LEN, at_end);
		uint8_t *clear = place(aad_room, page, aad_len, at_end);
		const uint32_t split = draw((uint32_t)len + 1), key = draw(2);
		const struct psp_text parts = {.head = out,
					       .head_len = split,
					       .body = in + split,
					       .body_len = len - split};

		CONTEXT("%zu of clear text, %zu of text, at the %s", aad_len, len,
			at_end ? "end" : "beginning");
		fill(nonce, sizeof(nonce));
		memcpy(clear, aad, aad_len);
		memcpy(in, text, len);
		SUB(is_sealed_alike(key, aad_len, len));
		CHECK_EQ(this.backend->seal(this.crypto, this.key[key], nonce, clear, aad_len, in,
					    len, out, out + len),
			 PSP_DP_OK);
		CHECK_MEM(out, wanted, len + PSP_ICV_LEN);
		memcpy(out, text, split);
		CHECK_EQ(this.backend->seal_parts(this.crypto, this.key[key], nonce, clear, aad_len,
						  &parts, out, out + len),
			 PSP_DP_OK);
		CHECK_MEM(out, wanted, len + PSP_ICV_LEN);
		CHECK_EQ(this.backend->open(this.crypto, this.key[key], nonce, clear, aad_len, out,
					    len, in, out + len),
			 PSP_DP_VERDICT_OK);
		CHECK_MEM(in, text, len);
	}
	munmap(in_room - page, (PAGES + 2) * page);
	munmap(out_room - page, (PAGES + 2) * page);
	munmap(aad_room - page, (PAGES + 2) * page);
}

static void keys_are_derived_alike(void)
{
	uint8_t mac[16], other[16], key[32];

	for (uint32_t i = 0; i < 2000; i++) {
		const uint32_t len = i < 200 ? i : draw(2000);

		CONTEXT("%" PRIu32 " octets", len);
		fill(key, sizeof(key));
		CHECK_EQ(this.backend->cmac256(this.crypto, key, text, len, mac), PSP_DP_OK);
		CHECK_EQ(that.backend->cmac256(that.crypto, key, text, len, other), PSP_DP_OK);
		CHECK_MEM(mac, other, sizeof(mac));
	}
}

/* Any key: what is expanded of it is right. */
static void any_key_is_expanded_alike(void)
{
	for (uint32_t i = 0; i < 2000; i++) {
		struct psp_aead_key *mine, *others;
		uint8_t octets[32];

		fill(octets, sizeof(octets));
		CHECK_EQ(this.backend->key_new(this.crypto, i % 2, octets, &mine), PSP_DP_OK);
		CHECK_EQ(that.backend->key_new(that.crypto, i % 2, octets, &others), PSP_DP_OK);
		CHECK_EQ(this.backend->seal(this.crypto, mine, nonce, aad, 36, text, 700, got,
					    got + 700),
			 PSP_DP_OK);
		CHECK_EQ(that.backend->seal(that.crypto, others, nonce, aad, 36, text, 700, wanted,
					    wanted + 700),
			 PSP_DP_OK);
		this.backend->key_free(mine);
		that.backend->key_free(others);
		CHECK_MEM(got, wanted, 700 + PSP_ICV_LEN);
	}
}

int main(void)
{
	fill(text, sizeof(text));
	fill(aad, sizeof(aad));
	if (!reference_take()) {
		printf("not ok: the last backend is not usable\n");
		return 1;
	}
	for (uint32_t n = 0; backend_take(n); n++) {
		this = (struct side){.backend = backend, .crypto = crypto};
		if (side_open(&this)) {
			RUN(every_length_is_sealed_and_opened_alike);
			RUN(long_texts_are_sealed_and_opened_alike);
			RUN(clear_text_of_any_length_is_authenticated_alike);
			RUN(the_longest_texts_are_sealed_and_opened_alike);
			RUN(what_goes_with_a_text_is_not_forged);
			RUN(nothing_past_the_ends_is_touched);
			RUN(keys_are_derived_alike);
			RUN(any_key_is_expanded_alike);
		}
		side_close(&this);
		backend_give();
	}
	side_close(&that);
	that.backend->crypto_free(that.crypto);
	return test_summary();
}
