/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/*
 * The DOCA shim on its stand-in, with lists of entries: many orders are on their way at a time, what stands behind an
 * entry is there before it, and each item is told by itself what became of it.
 */
#include "standin_detour_lab.h"

#define MANY 700u /* more than one window, and than a queue of 128 */
#define TWICE 300u

static struct psp_dp_entry_item *items;
static uint32_t acl;

static int32_t open_plane(void)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = 2048,
				       .max_crypto_ids = 4,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .mbufs = 512};
	char why[200];

	return ports_open(&config, "up0", "host0", PSP_DP_GUARD_AUTO, &dp, why, sizeof(why));
}

static int32_t make_pipe(void)
{
	struct psp_dp_pipe_desc d;

	describe(&d, "EGR_ACL");
	d.domain = PSP_DP_DOMAIN_SECURE_EGRESS;
	d.nr_entries = 1024;
	memset(d.match_mask.outer_ip_src, 0xff, 16);
	memset(d.match_mask.outer_ip_dst, 0xff, 16);
	d.actions.flags = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT;
	d.fwd.type = PSP_DP_FWD_PORT;
	d.fwd.target = UPLINK;
	d.fwd_miss.type = PSP_DP_FWD_DROP;
	return psp_dp_pipe_create(dp, &d, &acl);
}

/* IPv6: two lookups, seven entries of which share the first; and crypto behind them. */
static void describe_item(struct psp_dp_entry_item *item, uint32_t i)
{
	uint8_t *ip = item->desc.actions.encap_data + NET_ETH_LEN,
		*psp = ip + NET_IP4_LEN + NET_UDP_LEN;

	memset(item, 0, sizeof(*item));
	item->size = sizeof(*item);
	item->op = PSP_DP_OP_ADD;
	item->pipe = acl;
	item->desc.size = sizeof(item->desc);
	item->desc.match.size = sizeof(item->desc.match);
	item->desc.match_mask.size = sizeof(item->desc.match_mask);
	item->desc.actions.size = sizeof(item->desc.actions);
	item->desc.monitor.size = sizeof(item->desc.monitor);
	item->desc.monitor.counter = 1;
	item->desc.fwd.size = sizeof(item->desc.fwd);
	item->desc.match.outer_ip_src[0] = 0xfd;
	psp_put32(item->desc.match.outer_ip_src + 12, i / 7);
	item->desc.match.outer_ip_dst[0] = 0xfd;
	psp_put32(item->desc.match.outer_ip_dst + 12, i);
	psp_put16(item->desc.actions.encap_data + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put16(ip + NET_IP4_LEN + NET_UDP_DST, PSP_UDP_PORT);
	psp[1] = 1;
	psp[3] = PSP_FLAG_ALWAYS;
	psp_put32(psp + 4, i + 1);
	item->desc.actions.encap_size =
		(uint16_t)(psp - item->desc.actions.encap_data + PSP_HEADER_LEN);
	item->desc.actions.crypto_id = 1;
}

static void describe_all(void)
{
	for (uint32_t i = 0; i < MANY; i++)
		describe_item(&items[i], i);
}

static bool says(const char *what)
{
	char text[256] = "";
	uint32_t len;

	return psp_dp_error_text(dp, text, sizeof(text) - 1, &len) == 0 &&
	       strstr(text, what) != NULL;
}

/* Those of the list that are there; the others are no items any more. */
static uint32_t to_be_removed(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		if (items[i].status != 0)
			continue;
		items[n] = items[i];
		items[n++].op = PSP_DP_OP_REMOVE;
	}
	return n;
}

static void many_orders_are_on_their_way_at_a_time(void)
{
	struct doca_standin_live before, live;
	struct psp_dp_stats stats = {.size = sizeof(stats)};

	doca_standin_live(&before);
	describe_all();
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), 0);
	for (uint32_t i = 0; i < MANY; i++)
		CHECK(items[i].status == 0 && items[i].entry != 0);
	CHECK_EQ(psp_dp_pipe_query(dp, acl, &stats), 0);
	CHECK_EQ(stats.entries, MANY);
	doca_standin_live(&live);
	CHECK(live.most_orders > 128 && live.most_orders <= 512);
	CHECK_EQ(live.orders, 0);
	CHECK_EQ(to_be_removed(), MANY);
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), 0);
	doca_standin_live(&live);
	CHECK_EQ(live.entries, before.entries);
}

static void each_item_is_told_by_itself_and_the_first_refusal_is_the_sentence(void)
{
	struct doca_standin_live before, live;

	doca_standin_live(&before);
	describe_all();
	items[TWICE] = items[TWICE - 1];
	items[MANY - 1].pipe = 12345;
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), PSP_DP_EEXIST);
	CHECK(says("one with this match is there"));
	CHECK_EQ(items[TWICE - 1].status, 0);
	CHECK_EQ(items[TWICE].status, PSP_DP_EEXIST);
	CHECK_EQ(items[TWICE].entry, 0);
	CHECK_EQ(items[MANY - 1].status, PSP_DP_ENOENT);
	CHECK_EQ(to_be_removed(), MANY - 2);
	items[1] = items[0];
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY - 2), PSP_DP_ENOENT);
	CHECK_EQ(items[0].status, 0);
	CHECK_EQ(items[1].status, PSP_DP_ENOENT);
	/* The one that was overwritten. */
	CHECK_EQ(psp_dp_pipe_destroy(dp, acl), 0);
	CHECK_EQ(make_pipe(), 0);
	doca_standin_live(&live);
	CHECK_EQ(live.entries, before.entries);
}

/* Errors, late completions, and none at all: the tables say what hardware has. */
static void what_a_device_refuses_is_not_there(enum doca_standin_failure kind, uint32_t every)
{
	const struct doca_standin_failures failures = {.kind = kind, .every = every};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	uint32_t there;

	describe_all();
	doca_standin_fail(&failures);
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY) != 0, kind != DOCA_STANDIN_DELAY);
	doca_standin_fail(&none);
	there = to_be_removed();
	CHECK(there > 0 && (there < MANY || kind == DOCA_STANDIN_DELAY));
	CHECK_EQ(psp_dp_pipe_query(dp, acl, &stats), 0);
	CHECK_EQ(stats.entries, there);
	CHECK_EQ(psp_dp_entry_list(dp, items, there), 0);
	CHECK_EQ(psp_dp_pipe_query(dp, acl, &stats), 0);
	CHECK_EQ(stats.entries, 0);
}

static void an_order_that_fails_leaves_the_others(void)
{
	struct doca_standin_live before, live;

	doca_standin_live(&before);
	what_a_device_refuses_is_not_there(DOCA_STANDIN_ERROR, 7);
	what_a_device_refuses_is_not_there(DOCA_STANDIN_DELAY, 5);
	doca_standin_live(&live);
	CHECK_EQ(live.entries, before.entries);
	/* All are asked for once more: no number is used up. */
	what_a_device_refuses_is_not_there(DOCA_STANDIN_NEVER, 211);
	describe_all();
	CHECK_EQ(psp_dp_entry_list(dp, items, 100), 0);
}

static void a_removal_that_fails_leaves_the_entry(void)
{
	const struct doca_standin_failures failures = {.kind = DOCA_STANDIN_ERROR, .every = 9};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct psp_dp_stats stats = {.size = sizeof(stats)};
	uint32_t kept = 0;

	for (uint32_t i = 0; i < 100; i++)
		items[i].op = PSP_DP_OP_REMOVE;
	doca_standin_fail(&failures);
	CHECK(psp_dp_entry_list(dp, items, 100) != 0);
	doca_standin_fail(&none);
	for (uint32_t i = 0; i < 100; i++)
		kept += items[i].status != 0 ? 1 : 0;
	CHECK(kept > 0 && kept < 100);
	CHECK_EQ(psp_dp_pipe_query(dp, acl, &stats), 0);
	CHECK_EQ(stats.entries, kept);
	for (uint32_t i = 0; i < 100; i++) {
		if (items[i].status != 0)
			CHECK_EQ(psp_dp_entry_remove(dp, items[i].entry), 0);
	}
	CHECK_EQ(psp_dp_close(dp), 0);
}

/* How often hardware was asked what has become of orders. */
static uint32_t asked(void)
{
	uint32_t uses = 0;
	const char *name;

	for (uint32_t i = 0; (name = doca_standin_used(i, &uses)) != NULL; i++) {
		if (strcmp(name, "doca_flow_entries_process") == 0)
			return uses;
	}
	return 0;
}

static void to_be_updated(uint32_t spi)
{
	for (uint32_t i = 0; i < MANY; i++) {
		uint8_t *ip = items[i].desc.actions.encap_data + NET_ETH_LEN;

		items[i].op = PSP_DP_OP_UPDATE;
		psp_put32(ip + NET_IP4_LEN + NET_UDP_LEN + 4, spi + i);
	}
}

static void updates_are_on_their_way_together(void)
{
	struct doca_standin_live before, live;
	uint32_t refused = 0;

	describe_all();
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), 0);
	doca_standin_live(&before);
	to_be_updated(5000);
	doca_standin_refuse("");
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), 0);
	CHECK(asked() > 0 && asked() < MANY / 4);
	for (uint32_t i = 0; i < MANY; i++)
		CHECK_EQ(items[i].status, 0);
	/* One that comes twice is updated twice, in order. */
	items[9].entry = items[8].entry;
	to_be_updated(6000);
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), 0);
	/* One that is refused leaves the others, and nothing of it stays. */
	doca_standin_refuse("update/5,add/9,doca_flow_pipe_update_entry/11,update_lost/400");
	CHECK_EQ(psp_dp_entry_list(dp, items, MANY), PSP_DP_EIO);
	CHECK(says("doca_flow_"));
	for (uint32_t i = 0; i < MANY; i++)
		refused += items[i].status != 0 ? 1 : 0;
	CHECK_EQ(refused, doca_standin_refused());
	CHECK(refused >= 2);
	doca_standin_refuse(NULL);
	doca_standin_live(&live);
	CHECK_EQ(live.orders, 0);
	CHECK_EQ(live.entries, before.entries);
	CHECK_EQ(live.counters, before.counters);
	CHECK_EQ(psp_dp_pipe_destroy(dp, acl), 0);
	CHECK_EQ(make_pipe(), 0);
}

int main(void)
{
	items = calloc(MANY, sizeof(*items));
	if (items == NULL || !lab_up() || open_plane() != 0 || make_pipe() != 0) {
		printf("not ok the plane does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(many_orders_are_on_their_way_at_a_time);
	RUN(each_item_is_told_by_itself_and_the_first_refusal_is_the_sentence);
	RUN(updates_are_on_their_way_together);
	RUN(an_order_that_fails_leaves_the_others);
	RUN(a_removal_that_fails_leaves_the_entry);
	free(items);
	return test_summary();
}
