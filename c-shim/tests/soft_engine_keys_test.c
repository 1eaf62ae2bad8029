/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: none is used twice, none is handed out twice, and rotations end what they should. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_watch.h"

static struct net net;

static struct psp_dp *open_a(const struct psp_dp_config *like)
{
	struct psp_dp_config config = like != NULL ? *like : (struct psp_dp_config){.size = 0};

	return net_open(&net.a, 'a', &config) ? net.a.dp : NULL;
}

static void key_is_never_used_twice(void)
{
	struct psp_dp_config config = {.max_crypto_ids = 5};
	struct psp_dp *dp = open_a(&config);
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	struct psp_dp_key key = {.size = sizeof(key), .spi = 1, .version = 1, .key = {1, 2, 3}};

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_crypto_set(dp, 0, &key), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_crypto_set(dp, 6, &key), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_crypto_query(dp, 1, &stats), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), 0);
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EKEY);
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	CHECK(graph_says(dp, "the key is or was in use already"));
	CHECK_EQ(psp_dp_crypto_clear(dp, 1), 0);
	CHECK_EQ(psp_dp_crypto_query(dp, 1, &stats), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EKEY);
	key.spi = 2;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EKEY);
	for (uint32_t i = 1; i < 1000; i++) {
		psp_put32(key.key + 20, i);
		CHECK_EQ(psp_dp_crypto_set(dp, 1 + i % 5, &key), 0);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		psp_put32(key.key + 20, i);
		CHECK_EQ(psp_dp_crypto_set(dp, 5, &key), PSP_DP_EKEY);
	}
	memset(key.key, 0, sizeof(key.key));
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EINVAL);
	key.key[0] = 9;
	key.spi = 0x80000000;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EINVAL);
	key.spi = 7;
	key.version = 4;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EINVAL);
	key.version = 0;
	key.size = 8;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EINVAL);
}

#define IV_RUN(n) ((uint64_t)(n) << 40)

static uint64_t next_iv(const struct psp_dp *dp, uint32_t id)
{
	const struct soft_tx_slot *slot = atomic_load(&dp->keys.tx[id]);

	return slot != NULL ? atomic_load(&slot->key.next_iv) : 0;
}

/* A key may come again where its IVs cannot, and memory is bounded because such a place can always be found. */
static void key_comes_again_with_other_ivs_alone(void)
{
	struct psp_dp *dp = open_a(NULL);
	struct psp_dp_granted granted = {.size = sizeof(granted)};
	struct psp_dp_key key = {.size = sizeof(key), .spi = 1, .version = 1, .key = {1, 2, 3}};
	const uint32_t remembered = 2 * PSP_DP_MAX_CRYPTO_IDS_DEFAULT;

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_granted(dp, &granted), 0);
	CHECK((granted.features & PSP_DP_FEATURE_IV_START) != 0);
	key.iv_start = UINT64_MAX - 5;
	key.iv_limit = 7;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_EINVAL);
	key.iv_start = IV_RUN(5);
	key.iv_limit = 0;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), 0);
	CHECK_EQ(next_iv(dp, 1), IV_RUN(5));
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	key.key[0] = 9;
	key.iv_start = IV_RUN(5) - 1;
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	key.iv_start = IV_RUN(5) + 1;
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	key.iv_start = IV_RUN(5) + DP_IV_LIMIT_DEFAULT - 1;
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	CHECK(graph_says(dp, "were given to other keys already"));
	key.iv_start = 0;
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	/* The first key again, beside itself, with IVs that it does not have. */
	key.key[0] = 1;
	key.iv_start = IV_RUN(5) + DP_IV_LIMIT_DEFAULT;
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), 0);
	CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), PSP_DP_EKEY);
	key.iv_start = IV_RUN(6);
	for (uint32_t i = 0; i < remembered; i++) {
		psp_put32(key.key + 20, i);
		CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), 0);
	}
	CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), PSP_DP_EKEY);
	psp_put32(key.key + 20, remembered);
	CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), PSP_DP_ENOSPC);
	CHECK(graph_says(dp, "begin at a greater one"));
	CHECK_EQ(dp->base.keys.prints.used, remembered);
	key.iv_start = IV_RUN(7);
	CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), 0);
	CHECK_EQ(dp->base.keys.prints.used, 1);
	CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), PSP_DP_EKEY);
	psp_put32(key.key + 20, 5);
	CHECK_EQ(psp_dp_crypto_set(dp, 3, &key), 0);
}

static void spis_are_handed_out_once_until_none_is_left(void)
{
	struct psp_dp *dp = open_a(NULL);
	struct psp_dp_master_key_info info = {.size = sizeof(info)};
	struct psp_dp_key keys[4];
	uint8_t want[32];
	const struct soft_master *master;

	CHECK(dp != NULL);
	memset(keys, 0, sizeof(keys));
	CHECK_EQ(psp_dp_spi_generate(dp, 1, keys, 4), PSP_DP_EINVAL);
	for (uint32_t i = 0; i < 4; i++)
		keys[i].size = sizeof(keys[i]);
	CHECK_EQ(psp_dp_spi_generate(dp, 4, keys, 4), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_spi_generate(dp, 2, keys, 4), PSP_DP_ENOTSUP);
	CHECK_EQ(psp_dp_spi_generate(dp, 1, keys, 0), PSP_DP_EINVAL);
	/* Over the end of the numbers: 0x7fffffff is followed by 1. */
	dp->keys.spi_start = DP_SPI_COUNT - 2;
	CHECK_EQ(psp_dp_spi_generate(dp, 1, keys, 4), 0);
	CHECK_EQ(keys[0].spi, 0x7ffffffe);
	CHECK_EQ(keys[1].spi, 0x7fffffff);
	CHECK_EQ(keys[2].spi, 1);
	CHECK_EQ(keys[3].spi, 2);
	master = atomic_load(&dp->keys.master);
	CHECK_EQ(psp_dp_derive(PSP_DP_BACKEND_OPENSSL, master->key[0], master->key[1], keys[3].spi,
			       1, want),
		 0);
	CHECK_MEM(keys[3].key, want, 32);
	dp->base.master.spis_used = DP_SPI_COUNT - 1;
	CHECK_EQ(psp_dp_spi_generate(dp, 0, keys, 2), PSP_DP_EKEY);
	CHECK_EQ(psp_dp_spi_generate(dp, 0, keys, 1), 0);
	CHECK_EQ(keys[0].spi, 0x7ffffffd);
	CHECK_EQ(psp_dp_master_key_query(dp, &info), 0);
	CHECK(info.active == 0 && info.spis_left == 0 && info.rotations == 0);
	CHECK_EQ(psp_dp_spi_generate(dp, 0, keys, 1), PSP_DP_EKEY);
	CHECK_EQ(psp_dp_master_key_rotate(dp), 0);
	CHECK_EQ(psp_dp_spi_generate(dp, 0, keys, 1), 0);
	CHECK((keys[0].spi & 0x80000000) != 0 && (keys[0].spi & 0x7fffffff) != 0);
}

static void rotation_redraws_the_key_it_flips_to(void)
{
	struct psp_dp *dp = open_a(NULL);
	uint8_t before[2][32];

	CHECK(dp != NULL);
	memcpy(before, atomic_load(&dp->keys.master)->key, sizeof(before));
	CHECK_EQ(psp_dp_master_key_rotate(dp), 0);
	CHECK_MEM(atomic_load(&dp->keys.master)->key[0], before[0], 32);
	CHECK(memcmp(atomic_load(&dp->keys.master)->key[1], before[1], 32) != 0);
	CHECK_EQ(psp_dp_master_key_rotate(dp), 0);
	CHECK(memcmp(atomic_load(&dp->keys.master)->key[0], before[0], 32) != 0);
}

static void receive_keys_are_bounded_and_follow_rotations(void)
{
	const struct psp_crypto_backend *backend = psp_crypto_backend_by_id(PSP_DP_BACKEND_OPENSSL);
	struct soft_master master = {.generation = {1, 1}};
	struct soft_rx_keys keys;
	struct psp_crypto *crypto;
	const uint8_t key[32] = {1};
	uint32_t there = 0, total = SOFT_RX_SETS_MAX * SOFT_RX_WAYS / 8;

	CHECK_EQ(backend->crypto_new(&crypto), 0);
	CHECK_EQ(soft_rx_keys_init(&keys, backend), 0);
	(void)soft_rx_keys_follow(&keys, &master);
	for (uint32_t i = 1; i <= total; i++) {
		uint32_t spi = i % 2 != 0 ? i : i | 0x80000000u;
		struct psp_aead_key *aead = NULL;

		CHECK_EQ(backend->key_new(crypto, 1, key, &aead), 0);
		soft_rx_keys_put(&keys, spi, 1, 1, aead);
		CHECK(soft_rx_keys_find(&keys, spi, 1, 1) == aead);
		CHECK(soft_rx_keys_find(&keys, spi, 0, 1) == NULL);
		CHECK(soft_rx_keys_find(&keys, spi, 1, 2) == NULL);
	}
	for (uint32_t i = 1; i <= total; i++)
		there += soft_rx_keys_find(&keys, i % 2 != 0 ? i : i | 0x80000000u, 1, 1) != NULL;
	CHECK(there > total - total / 100);
	master.generation[1] = 2;
	CHECK_EQ(soft_rx_keys_follow(&keys, &master), there / 2);
	CHECK(soft_rx_keys_find(&keys, 2 | 0x80000000u, 1, 1) == NULL);
	soft_rx_keys_free(&keys);
	backend->crypto_free(crypto);
}

int main(void)
{
	if (!net_up(&net)) {
		printf("# no network namespaces here\n0 passed, 1 failed\n");
		return 1;
	}
#define RUN_CLOSED(test)                                                                           \
	do {                                                                                       \
		RUN(test);                                                                         \
		net_close(&net.a);                                                                 \
	} while (0)
	RUN_CLOSED(key_is_never_used_twice);
	RUN_CLOSED(key_comes_again_with_other_ivs_alone);
	RUN_CLOSED(spis_are_handed_out_once_until_none_is_left);
	RUN_CLOSED(rotation_redraws_the_key_it_flips_to);
	RUN_CLOSED(receive_keys_are_bounded_and_follow_rotations);
	return test_summary();
}
