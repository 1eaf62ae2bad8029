/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of entries and keys: each item has its own outcome, and what is taken away says the last that it counted. */
#define _GNU_SOURCE /* unshare(), setns() */
#include "soft_engine_pair.h"

static struct psp_dp_entry_item items[PSP_DP_LIST_MAX + 1];
static struct psp_dp_key_item keys[PSP_DP_LIST_MAX + 1];

static struct psp_dp_entry_item *item(uint32_t i, uint32_t op, uint32_t entry)
{
	memset(&items[i], 0, sizeof(items[i]));
	items[i].size = sizeof(items[i]);
	items[i].op = op;
	items[i].entry = entry;
	items[i].status = 99;
	graph_entry(&items[i].desc);
	return &items[i];
}

static struct psp_dp_key_item *key_item(uint32_t i, uint32_t op, uint32_t id)
{
	memset(&keys[i], 0, sizeof(keys[i]));
	keys[i].size = sizeof(keys[i]);
	keys[i].op = op;
	keys[i].crypto_id = id;
	keys[i].status = 99;
	keys[i].key = (struct psp_dp_key){.size = sizeof(keys[i].key), .spi = 7, .version = 1};
	psp_put32(keys[i].key.key, i + 1);
	psp_put32(keys[i].key.key + 4, id);
	return &keys[i];
}

static void what_is_no_list_is_refused_as_a_whole(void)
{
	struct pair pair;

	CHECK(pair_open(&pair, -1, NULL));
	for (uint32_t i = 0; i < PSP_DP_LIST_MAX + 1; i++) {
		item(i, PSP_DP_OP_QUERY, 1);
		key_item(i, PSP_DP_OP_ADD, 1);
	}
	CHECK_EQ(psp_dp_entry_list(net.a.dp, items, PSP_DP_LIST_MAX + 1), PSP_DP_EINVAL);
	CHECK(graph_says(net.a.dp, "1025 are more than 1024"));
	CHECK_EQ(psp_dp_key_list(net.a.dp, keys, PSP_DP_LIST_MAX + 1), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_entry_list(net.a.dp, NULL, 1), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_entry_list(net.a.dp, NULL, 0), 0);
	CHECK_EQ(psp_dp_key_list(net.a.dp, NULL, 0), 0);
	items[3].op = 4;
	CHECK_EQ(psp_dp_entry_list(net.a.dp, items, 4), PSP_DP_EINVAL);
	CHECK(graph_says(net.a.dp, "item 3 "));
	items[3].op = PSP_DP_OP_QUERY;
	items[2].size = 8;
	CHECK_EQ(psp_dp_entry_list(net.a.dp, items, 4), PSP_DP_EINVAL);
	CHECK_EQ(items[0].status, 99);
	keys[1].op = PSP_DP_OP_UPDATE;
	CHECK_EQ(psp_dp_key_list(net.a.dp, keys, 4), PSP_DP_EINVAL);
	CHECK_EQ(keys[0].status, 99);
}

static void each_item_has_its_own_outcome(void)
{
	struct pair pair;
	uint32_t first, n = 0;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	for (uint32_t i = 0; i < 1000; i++) {
		struct psp_dp_entry_item *add = item(n++, PSP_DP_OP_ADD, 0);

		add->pipe = pair.gb.ingr_acl;
		graph_ingr_acl(&add->desc, &net.a, &net.b, &pair.ab);
		add->desc.match.tun_psp_spi = 0x1000 + i;
	}
	/* The same again, a pipe that is not there, and entries that are not. */
	items[n] = items[0];
	items[n++].entry = 5;
	item(n++, PSP_DP_OP_ADD, 5)->pipe = 0x12345;
	item(n++, PSP_DP_OP_UPDATE, 0x12345);
	item(n++, PSP_DP_OP_REMOVE, 0x12345);
	item(n++, PSP_DP_OP_QUERY, 0x12345);
	item(n++, PSP_DP_OP_QUERY, pair.ab.ingr_acl);
	CHECK_EQ(psp_dp_entry_list(net.b.dp, items, n), PSP_DP_EEXIST);
	CHECK(graph_says(net.b.dp, "INGR_ACL"));
	first = items[0].entry;
	for (uint32_t i = 0; i < 1000; i++) {
		CHECK_EQ(items[i].status, 0);
		CHECK(items[i].entry != 0);
	}
	CHECK_EQ(items[1000].status, PSP_DP_EEXIST);
	CHECK_EQ(items[1000].entry, 0);
	for (uint32_t i = 1001; i < 1005; i++)
		CHECK_EQ(items[i].status, PSP_DP_ENOENT);
	CHECK_EQ(items[1005].status, 0);
	CHECK_EQ(items[1005].stats.size, sizeof(struct psp_dp_stats));
	/* In order: what a list adds or takes away is so for the items behind. */
	for (uint32_t i = 0; i < 1000; i++)
		item(i, PSP_DP_OP_REMOVE, items[i].entry);
	item(1000, PSP_DP_OP_REMOVE, first);
	CHECK_EQ(psp_dp_entry_list(net.b.dp, items, 1001), PSP_DP_ENOENT);
	for (uint32_t i = 0; i < 1000; i++)
		CHECK_EQ(items[i].status, 0);
	CHECK_EQ(items[1000].status, PSP_DP_ENOENT);
	SUB(expect_delivery(&net.a, &net.b, 3, 64));
}

static void keys_are_set_replaced_and_cleared_by_lists(void)
{
	struct pair pair;
	struct psp_dp_stats stats = {.size = sizeof(stats)};

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	SUB(expect_delivery(&net.a, &net.b, 3, 64));
	/* One is counted just after it has gone. */
	for (uint32_t i = 0; i < 5000 && stats.packets < 3; i++) {
		CHECK_EQ(psp_dp_crypto_query(net.a.dp, 1, &stats), 0);
		usleep(1000);
	}
	for (uint32_t i = 0; i < 1000; i++)
		key_item(i, PSP_DP_OP_ADD, 10 + i);
	key_item(1000, PSP_DP_OP_ADD, 0);
	keys[1001] = keys[5];
	keys[1001].crypto_id = 2000;
	key_item(1002, PSP_DP_OP_REMOVE, 3000);
	key_item(1003, PSP_DP_OP_QUERY, 1);
	CHECK_EQ(psp_dp_key_list(net.a.dp, keys, 1004), PSP_DP_EINVAL);
	CHECK(graph_says(net.a.dp, "Cannot set crypto id 0: "));
	for (uint32_t i = 0; i < 1000; i++)
		CHECK_EQ(keys[i].status, 0);
	CHECK_EQ(keys[1000].status, PSP_DP_EINVAL);
	CHECK_EQ(keys[1001].status, PSP_DP_EKEY);
	CHECK_EQ(keys[1002].status, PSP_DP_ENOENT);
	CHECK_EQ(keys[1003].status, 0);
	CHECK_EQ(keys[1003].stats.packets, 3);
	/* The key that was there says what it has sealed; then there is none. */
	key_item(0, PSP_DP_OP_ADD, 1)->key.spi = pair.ab.key.spi;
	key_item(1, PSP_DP_OP_REMOVE, 1);
	key_item(2, PSP_DP_OP_REMOVE, 10);
	key_item(3, PSP_DP_OP_QUERY, 1);
	CHECK_EQ(psp_dp_key_list(net.a.dp, keys, 4), PSP_DP_ENOENT);
	CHECK_EQ(keys[0].stats.packets, 3);
	CHECK_EQ(keys[1].stats.packets, 0);
	CHECK_EQ(keys[2].status, 0);
	CHECK_EQ(keys[3].status, PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_crypto_query(net.a.dp, 1, &stats), PSP_DP_ENOENT);
	CHECK_EQ(psp_dp_crypto_query(net.a.dp, 11, &stats), 0);
}

/* Keys and entries change again and again while packets pass: nothing that they counted is lost. */
static void no_count_is_lost_under_traffic(void)
{
	struct pair pair;
	struct flood f = {.n = 20000};
	pthread_t thread;
	uint64_t sealed = 0, opened = 0;
	struct tunnel t;

	CHECK(pair_open(&pair, -1, NULL));
	CHECK(tunnel_up(&net.a, &net.b, &pair.ga, &pair.gb, 1, &pair.ab));
	t = pair.ab;
	/* Something is counted before the first list, however soon all has been sent. */
	SUB(expect_delivery(&net.a, &net.b, 1, 64));
	SUB(expect_accounts());
	CHECK_EQ(pthread_create(&thread, NULL, flood, &f), 0);
	do {
		struct psp_dp_entry_item *add = item(1, PSP_DP_OP_ADD, 0);

		/* The same key, with IVs of the next run; the same SPI, in a new entry. */
		item(0, PSP_DP_OP_REMOVE, t.ingr_acl);
		add->pipe = pair.gb.ingr_acl;
		graph_ingr_acl(&add->desc, &net.a, &net.b, &t);
		CHECK_EQ(psp_dp_entry_list(net.b.dp, items, 2), 0);
		t.ingr_acl = add->entry;
		opened += items[0].stats.packets;
		key_item(0, PSP_DP_OP_ADD, 1);
		t.key.iv_start += UINT64_C(1) << 40;
		keys[0].key = t.key;
		CHECK_EQ(psp_dp_key_list(net.a.dp, keys, 1), 0);
		sealed += keys[0].stats.packets;
		while (net_recv(&net.b, &got, 0))
			;
	} while (atomic_load(&f.sent) < f.n);
	pthread_join(thread, NULL);
	/* What waits in the sockets comes through yet. */
	for (uint64_t before = 0; before != graph_count(net.b.dp, DP_UPLINK_RX_PACKETS);) {
		before = graph_count(net.b.dp, DP_UPLINK_RX_PACKETS);
		while (net_recv(&net.b, &got, 300))
			;
	}
	SUB(expect_accounts());
	key_item(0, PSP_DP_OP_REMOVE, 1);
	CHECK_EQ(psp_dp_key_list(net.a.dp, keys, 1), 0);
	item(0, PSP_DP_OP_REMOVE, t.ingr_acl);
	CHECK_EQ(psp_dp_entry_list(net.b.dp, items, 1), 0);
	CHECK_EQ(sealed + keys[0].stats.packets, graph_count(net.a.dp, DP_TX_PACKETS));
	CHECK_EQ(opened + items[0].stats.packets,
		 graph_count(net.b.dp, DP_RX_PACKETS) - graph_count(net.b.dp, DP_RX_NO_SA));
	CHECK(opened > 0 && sealed > 0);
}

static void run(void)
{
	RUN_CLOSED(what_is_no_list_is_refused_as_a_whole);
	RUN_CLOSED(each_item_has_its_own_outcome);
	RUN_CLOSED(keys_are_set_replaced_and_cleared_by_lists);
	RUN_CLOSED(no_count_is_lost_under_traffic);
}

int main(void)
{
	return run_with_each_backend(run);
}
