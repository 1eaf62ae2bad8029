/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the ABI that needs no plane: results, refusals, and the layout report. */
#include "../psp/wire.h"
#include "psp_backends.h"
#include "vectors.h"

#define ROOM 16384u

static struct psp_dp_key key_of(const struct packet_vector *v)
{
	struct psp_dp_key key = {.size = sizeof(key), .spi = v->spi, .version = v->version};

	memcpy(key.key, v->key.at, v->key.len);
	return key;
}

static void backends_are_listed_in_order(void)
{
	char name[16];
	uint32_t id = 99, n = 0;

	CHECK_EQ(psp_dp_backend_at(0, &id, name, sizeof(name)), PSP_DP_OK);
	CHECK_EQ(id, psp_crypto_backend_by_id(PSP_DP_BACKEND_AUTO)->id);
	CHECK(strcmp(name, psp_crypto_backend_by_id(id)->name) == 0);
	CHECK_EQ(psp_dp_backend_at(0, &id, name, 3), PSP_DP_ERANGE);
	CHECK_EQ(psp_dp_backend_at(0, &id, NULL, 0), PSP_DP_OK);
	CHECK_EQ(psp_dp_backend_at(0, NULL, NULL, 0), PSP_DP_EINVAL);
	while (psp_dp_backend_at(n, &id, name, sizeof(name)) == PSP_DP_OK)
		n++;
	CHECK(n >= 1);
	CHECK_EQ(id, PSP_DP_BACKEND_OPENSSL);
	CHECK_EQ(psp_dp_backend_at(n, &id, name, sizeof(name)), PSP_DP_ENOENT);
}

static void kbkdf_and_derive(void)
{
	const struct kbkdf_vector *nist = &kbkdf_vectors[0];
	const struct packet_vector *v = &packet_vectors[0];
	uint8_t out[32];

	CHECK_EQ(psp_dp_kbkdf(backend->id, nist->key.at, nist->fixed.at, (uint32_t)nist->fixed.len,
			      out, (uint32_t)nist->out.len),
		 PSP_DP_OK);
	CHECK_MEM(out, nist->out.at, nist->out.len);
	memset(out, 0xee, sizeof(out));
	CHECK_EQ(psp_dp_derive(backend->id, vector_mk0.at, vector_mk1.at, v->spi, v->version, out),
		 PSP_DP_OK);
	CHECK_MEM(out, v->key.at, v->key.len);
	CHECK_EQ(out[16], 0xee); /* 16 octets are written, no more */

	CHECK_EQ(psp_dp_kbkdf(backend->id, NULL, out, 1, out, 16), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_kbkdf(backend->id, nist->key.at, NULL, 1, out, 16), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_kbkdf(backend->id, nist->key.at, NULL, 0, out, 4097), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_kbkdf(7, nist->key.at, NULL, 0, out, 16), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_derive(backend->id, vector_mk0.at, NULL, 1, 0, out), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_derive(backend->id, vector_mk0.at, vector_mk1.at, 1, 4, out),
		 PSP_DP_EINVAL);
}

static void seal_and_unseal_every_vector(void)
{
	static uint8_t clear[ROOM], out[ROOM];

	for (size_t i = 0; i < sizeof(packet_vectors) / sizeof(packet_vectors[0]); i++) {
		const struct packet_vector *v = &packet_vectors[i];
		const struct psp_dp_key key = key_of(v);
		const uint32_t len = (uint32_t)v->psp.len;
		uint32_t got = 0, verdict = 99;

		CONTEXT("%s", v->name);
		CHECK_EQ(psp_dp_unseal(backend->id, &key, PSP_VERSIONS_ALL, v->psp.at, len, clear,
				       len - PSP_ICV_LEN, &got, &verdict),
			 PSP_DP_OK);
		CHECK_EQ(verdict, v->d != 0 ? PSP_DP_VERDICT_POLICY : PSP_DP_VERDICT_OK);
		CHECK_EQ(got, len - PSP_ICV_LEN);
		CHECK_MEM(clear + got - v->payload.len, v->payload.at, v->payload.len);
		CHECK_EQ(psp_dp_seal(backend->id, &key, clear, got, out, len, &got), PSP_DP_OK);
		CHECK_EQ(got, len);
		CHECK_MEM(out, v->psp.at, len);
	}
}

static void what_is_not_authentic_is_not_shown(void)
{
	const struct packet_vector *v = &packet_vectors[0];
	struct psp_dp_key key = key_of(v);
	uint8_t psp[256], out[256], untouched[256];
	uint32_t got = 99, verdict = 99;

	memset(untouched, 0xee, sizeof(untouched));
	memcpy(out, untouched, sizeof(out));
	memcpy(psp, v->psp.at, v->psp.len);
	psp[v->psp.len - 1] ^= 1;
	CHECK_EQ(psp_dp_unseal(backend->id, &key, 0, psp, (uint32_t)v->psp.len, out, sizeof(out),
			       &got, &verdict),
		 PSP_DP_OK);
	CHECK_EQ(verdict, PSP_DP_VERDICT_ICV);
	CHECK_EQ(got, 0);
	CHECK_MEM(out, untouched, sizeof(out));

	key.spi++; /* the key of another SA */
	CHECK_EQ(psp_dp_unseal(backend->id, &key, 0, v->psp.at, (uint32_t)v->psp.len, out,
			       sizeof(out), &got, &verdict),
		 PSP_DP_OK);
	CHECK_EQ(verdict, PSP_DP_VERDICT_ICV);
	CHECK_MEM(out, untouched, sizeof(out));
}

static void arguments_are_checked(void)
{
	const struct packet_vector *v = &packet_vectors[0];
	struct psp_dp_key key = key_of(v);
	const uint32_t len = (uint32_t)v->psp.len;
	uint8_t out[256];
	uint32_t got = 99, verdict = 99;

	CHECK_EQ(psp_dp_unseal(backend->id, &key, 0, v->psp.at, len, out, len - 17, &got, &verdict),
		 PSP_DP_ERANGE);
	CHECK_EQ(got, len - 16);
	CHECK_EQ(psp_dp_unseal(backend->id, &key, 0, NULL, 0, NULL, 0, &got, &verdict), PSP_DP_OK);
	CHECK_EQ(verdict, PSP_DP_VERDICT_SHORT);
	CHECK_EQ(psp_dp_seal(backend->id, &key, v->psp.at, len - 16, out, len - 1, &got),
		 PSP_DP_ERANGE);
	CHECK_EQ(got, len);
	CHECK_EQ(psp_dp_seal(backend->id, &key, v->psp.at, 15, out, sizeof(out), &got),
		 PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_seal(backend->id, &key, v->psp.at, UINT32_MAX, out, sizeof(out), &got),
		 PSP_DP_EINVAL);
	key.version = 1; /* not what the header says */
	CHECK_EQ(psp_dp_seal(backend->id, &key, v->psp.at, len - 16, out, sizeof(out), &got),
		 PSP_DP_EINVAL);
	key.version = 4;
	CHECK_EQ(psp_dp_unseal(backend->id, &key, 0, v->psp.at, len, out, sizeof(out), &got,
			       &verdict),
		 PSP_DP_EINVAL);
	key.version = 0;
	key.size--;
	CHECK_EQ(psp_dp_seal(backend->id, &key, v->psp.at, len - 16, out, sizeof(out), &got),
		 PSP_DP_EINVAL);
}

/* Each struct is covered from 0 to its size without a gap: no field is missing, no padding hides. */
static void layout_has_no_gaps(void)
{
	static char text[ROOM];
	char of[64] = "", name[64], field[64];
	uint32_t len = 0, at, size, end = 0, whole = 0;
	char *line;

	CHECK_EQ(psp_dp_layout(NULL, 0, &len), PSP_DP_ERANGE);
	CHECK(len < sizeof(text));
	CHECK_EQ(psp_dp_layout(text, len, &len), PSP_DP_OK);
	CHECK_EQ(text[len - 1], '\n');
	for (line = text; *line != 0; line = strchr(line, '\n') + 1) {
		CONTEXT("%.60s", line);
		CHECK_EQ(sscanf(line, "%63s %63s %" SCNu32 " %" SCNu32, name, field, &at, &size),
			 4);
		if (strcmp(field, ".") == 0) {
			CHECK_EQ(end, whole);
			CHECK_EQ(at, 0);
			strcpy(of, name);
			whole = size;
			end = 0;
			continue;
		}
		CHECK(strcmp(of, name) == 0);
		CHECK_EQ(at, end);
		end = at + size;
	}
	CHECK_EQ(end, whole);
}

static void layout_names_every_struct(void)
{
	static char text[ROOM];
	char line[96];
	uint32_t len = 0;

	CHECK_EQ(psp_dp_layout(text, sizeof(text) - 1, &len), PSP_DP_OK);
	CHECK(sizeof(abi_structs) > 0);
	for (size_t i = 0; i < sizeof(abi_structs) / sizeof(abi_structs[0]); i++) {
		(void)snprintf(line, sizeof(line), "%s . 0 ", abi_structs[i].name);
		CONTEXT("%s", abi_structs[i].name);
		CHECK(strstr(text, line) != NULL);
	}
}

int main(void)
{
	RUN(backends_are_listed_in_order);
	RUN(layout_has_no_gaps);
	RUN(layout_names_every_struct);
	RUN_EACH(kbkdf_and_derive);
	RUN_EACH(seal_and_unseal_every_vector);
	RUN_EACH(what_is_not_authentic_is_not_shown);
	RUN_EACH(arguments_are_checked);
	return test_summary();
}
