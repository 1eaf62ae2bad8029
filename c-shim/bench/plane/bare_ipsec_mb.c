/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <intel-ipsec-mb.h>

#include "bare.h"

#define ALIGNMENT 64u
#define PACKET_MAX 2048u
#define TAG_LEN 16u
#define IV_LEN 12u

struct slot {
	_Alignas(ALIGNMENT) struct gcm_key_data key;
};

struct bare {
	IMB_MGR *mgr;
	struct slot
		*slots; /* n to seal with, then the same n to open with, as two hosts have them */
	uint32_t n;
	bool is_256;
	struct gcm_context_data context;
	uint8_t (*sealed)[PACKET_MAX];
	uint32_t sealed_n;
	uint8_t clear[PACKET_MAX], opened[PACKET_MAX];
};

static uint64_t thread_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct bare *bare_open(uint32_t n, bool is_256)
{
	struct bare *bare = calloc(1, sizeof(*bare));

	if (bare == NULL)
		return NULL;
	bare->is_256 = is_256;
	bare->mgr = alloc_mb_mgr(0);
	bare->n = n;
	bare->slots = aligned_alloc(ALIGNMENT, 2 * (size_t)n * sizeof(*bare->slots));
	if (bare->mgr == NULL || bare->slots == NULL) {
		bare_close(bare);
		return NULL;
	}
	init_mb_mgr_auto(bare->mgr, NULL);
	memset(bare->clear, 0x5a, sizeof(bare->clear));
	for (uint32_t i = 0; i < 2 * n; i++) {
		uint8_t key[32] = {0x42};
		uint32_t number = i % n;

		memcpy(key + 4, &number, sizeof(number));
		if (is_256)
			IMB_AES256_GCM_PRE(bare->mgr, key, &bare->slots[i].key);
		else
			IMB_AES128_GCM_PRE(bare->mgr, key, &bare->slots[i].key);
	}
	return bare;
}

void bare_close(struct bare *bare)
{
	if (bare == NULL)
		return;
	if (bare->mgr != NULL)
		free_mb_mgr(bare->mgr);
	free(bare->slots);
	free(bare->sealed);
	free(bare);
}

uint32_t bare_key_octets(void)
{
	return sizeof(struct slot);
}

const char *bare_name(void)
{
	return imb_get_version_str();
}

static void seal(struct bare *bare, const struct gcm_key_data *key, const uint8_t *iv,
		 uint32_t clear, uint32_t len, uint8_t *out)
{
	memcpy(out, bare->clear, clear);
	if (bare->is_256)
		IMB_AES256_GCM_ENC(bare->mgr, key, &bare->context, out + clear, bare->clear + clear,
				   len, iv, out, clear, out + clear + len, TAG_LEN);
	else
		IMB_AES128_GCM_ENC(bare->mgr, key, &bare->context, out + clear, bare->clear + clear,
				   len, iv, out, clear, out + clear + len, TAG_LEN);
}

static bool open(struct bare *bare, const struct gcm_key_data *key, const uint8_t *iv,
		 uint32_t clear, uint32_t len, const uint8_t *in)
{
	uint8_t tag[TAG_LEN];

	if (bare->is_256)
		IMB_AES256_GCM_DEC(bare->mgr, key, &bare->context, bare->opened, in + clear, len,
				   iv, in, clear, tag, TAG_LEN);
	else
		IMB_AES128_GCM_DEC(bare->mgr, key, &bare->context, bare->opened, in + clear, len,
				   iv, in, clear, tag, TAG_LEN);
	return memcmp(tag, in + clear + len, TAG_LEN) == 0;
}

bool bare_run(struct bare *bare, const uint32_t *keys, uint32_t n, uint32_t clear, uint32_t len,
	      uint64_t *seal_ns, uint64_t *open_ns)
{
	uint64_t start, middle;
	bool ok = true;

	if (clear + len + TAG_LEN > PACKET_MAX)
		return false;
	if (bare->sealed_n < n) {
		free(bare->sealed);
		bare->sealed = calloc(n, PACKET_MAX);
		bare->sealed_n = bare->sealed != NULL ? n : 0;
		if (bare->sealed == NULL)
			return false;
	}
	start = thread_ns();
	for (uint32_t i = 0; i < n; i++) {
		uint8_t iv[IV_LEN] = {0};

		memcpy(iv, &i, sizeof(i));
		seal(bare, &bare->slots[keys[i]].key, iv, clear, len, bare->sealed[i]);
	}
	middle = thread_ns();
	for (uint32_t i = 0; i < n; i++) {
		uint8_t iv[IV_LEN] = {0};

		memcpy(iv, &i, sizeof(i));
		ok &= open(bare, &bare->slots[bare->n + keys[i]].key, iv, clear, len,
			   bare->sealed[i]);
	}
	*open_ns = thread_ns() - middle;
	*seal_ns = middle - start;
	return ok;
}
