/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/* The DOCA shim on its stand-in: tunnels that come and go while orders fail leave nothing behind. */
#include "ports.h"
#include "standin_lab.h"

#define CYCLES 10000u
#define MAX_ENTRIES 64u
#define TRIES 50u

static struct psp_dp *dp;
static uint32_t egr_acl, ingr_acl;

static void describe_pipe(struct psp_dp_pipe_desc *d, const char *name, uint32_t domain)
{
	memset(d, 0, sizeof(*d));
	d->size = sizeof(*d);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	d->domain = domain;
	d->nr_entries = MAX_ENTRIES;
	d->match_mask.size = sizeof(d->match_mask);
	d->actions.size = sizeof(d->actions);
	d->monitor.size = sizeof(d->monitor);
	d->monitor.counter = 1;
	d->fwd.size = sizeof(d->fwd);
	d->fwd.type = PSP_DP_FWD_PORT;
	d->fwd_miss.size = sizeof(d->fwd_miss);
	d->fwd_miss.type = PSP_DP_FWD_DROP;
}

static bool open_plane(void)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = MAX_ENTRIES,
				       .max_crypto_ids = 4,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .mbufs = 512};
	struct psp_dp_pipe_desc d;
	char why[200];

	if (ports_open(&config, "up0", "host0", PSP_DP_GUARD_AUTO, &dp, why, sizeof(why)) != 0) {
		printf("# %s\n", why);
		return false;
	}
	describe_pipe(&d, "EGR_ACL", PSP_DP_DOMAIN_SECURE_EGRESS);
	memset(d.match_mask.outer_ip_src, 0xff, 16);
	memset(d.match_mask.outer_ip_dst, 0xff, 16);
	d.actions.flags = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT;
	d.fwd.target = UPLINK;
	if (psp_dp_pipe_create(dp, &d, &egr_acl) != 0)
		return false;
	describe_pipe(&d, "INGR_ACL", PSP_DP_DOMAIN_SECURE_INGRESS);
	d.match_mask.parser_meta_psp_syndrome = 0xff;
	d.match_mask.tun_psp_spi = UINT32_MAX;
	memset(d.match_mask.inner_ip_src, 0xff, 16);
	memset(d.match_mask.inner_ip_dst, 0xff, 16);
	d.actions.flags = PSP_DP_ACTION_DECAP;
	d.fwd.target = HOST;
	return psp_dp_pipe_create(dp, &d, &ingr_acl) == 0 && psp_dp_start(dp) == 0;
}

static void describe_entry(struct psp_dp_entry_desc *e)
{
	memset(e, 0, sizeof(*e));
	e->size = sizeof(*e);
	e->match.size = sizeof(e->match);
	e->match_mask.size = sizeof(e->match_mask);
	e->actions.size = sizeof(e->actions);
	e->monitor.size = sizeof(e->monitor);
	e->monitor.counter = 1;
	e->fwd.size = sizeof(e->fwd);
}

/* IPv6 needs two lookups in hardware: both forms take turns. */
static void put_address(uint8_t out[16], bool v6, uint32_t number)
{
	memset(out, 0, 16);
	if (v6)
		out[0] = 0xfd;
	else
		memset(out + 10, 0xff, 2);
	psp_put32(out + 12, number);
}

static int32_t add_egress(uint32_t number, uint32_t spi, uint32_t *entry)
{
	struct psp_dp_entry_desc e;
	uint8_t *eth, *ip, *udp;

	describe_entry(&e);
	put_address(e.match.outer_ip_src, number % 2 != 0, number);
	put_address(e.match.outer_ip_dst, number % 2 != 0, number + 1);
	eth = e.actions.encap_data;
	ip = eth + NET_ETH_LEN;
	udp = ip + NET_IP4_LEN;
	psp_put16(eth + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put16(udp + NET_UDP_DST, PSP_UDP_PORT);
	udp[NET_UDP_LEN + 1] = 1;
	udp[NET_UDP_LEN + 3] = PSP_FLAG_ALWAYS;
	psp_put32(udp + NET_UDP_LEN + 4, spi);
	e.actions.encap_size = NET_ETH_LEN + NET_IP4_LEN + NET_UDP_LEN + PSP_HEADER_LEN;
	e.actions.crypto_id = number % 4 + 1;
	return psp_dp_entry_add(dp, egr_acl, &e, entry);
}

static int32_t add_ingress(uint32_t number, uint32_t spi, uint32_t *entry)
{
	struct psp_dp_entry_desc e;

	describe_entry(&e);
	e.match.tun_psp_spi = spi;
	put_address(e.match.inner_ip_src, number % 2 != 0, number);
	put_address(e.match.inner_ip_dst, number % 2 != 0, number + 1);
	return psp_dp_entry_add(dp, ingr_acl, &e, entry);
}

/* Until it is gone, however often its removal fails. */
static bool remove_entry(uint32_t entry)
{
	for (uint32_t i = 0; i < TRIES; i++) {
		if (psp_dp_entry_remove(dp, entry) == 0)
			return true;
	}
	return false;
}

struct outcome {
	uint32_t added, refused;
};

static bool cycle(uint32_t number, struct outcome *outcome)
{
	uint32_t in = 0, out = 0;
	bool sound = true;

	if (add_ingress(number, number + 1, &in) == 0) {
		outcome->added++;
		if (add_egress(number, number + 1, &out) == 0) {
			outcome->added++;
			sound = remove_entry(out);
		} else {
			outcome->refused++;
		}
		sound = remove_entry(in) && sound;
	} else {
		outcome->refused++;
	}
	return sound;
}

/* What is alive but for what was lost on purpose, and for the keys, which stay with their ids. */
static void live(struct doca_standin_live *out)
{
	doca_standin_live(out);
	out->failed = 0;
	out->late = 0;
	out->lost = 0;
	out->keys = 0;
	out->ids = 0;
	out->most_orders = 0; /* of all time */
}

static void run_cycles(enum doca_standin_failure kind, uint32_t every, uint32_t cycles)
{
	const struct doca_standin_failures failures = {.kind = kind, .every = every};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	struct doca_standin_live before, after;
	struct outcome outcome = {0, 0};
	uint32_t in[MAX_ENTRIES], n = 0;

	live(&before);
	doca_standin_fail(&failures);
	for (uint32_t i = 0; i < cycles; i++) {
		CONTEXT("cycle %u", i);
		CHECK(cycle(i, &outcome));
	}
	doca_standin_fail(&none);
	live(&after);
	CHECK_MEM(&after, &before, sizeof(after));
	CHECK(outcome.added > cycles);
	CHECK((outcome.refused > 0) == (kind == DOCA_STANDIN_ERROR));
	/* All handles and all room are there again. */
	while (n < MAX_ENTRIES && add_ingress(2 * n, n + 1, &in[n]) == 0)
		n++;
	CHECK_EQ(n, MAX_ENTRIES);
	while (n > 0)
		CHECK(remove_entry(in[--n]));
	live(&after);
	CHECK_MEM(&after, &before, sizeof(after));
}

static void ten_thousand_cycles_with_failed_orders_leak_nothing(void)
{
	run_cycles(DOCA_STANDIN_ERROR, 7, CYCLES);
}

static void delayed_orders_are_waited_for(void)
{
	run_cycles(DOCA_STANDIN_DELAY, 5, 500);
}

static void keys_stay_within_their_ids(void)
{
	struct doca_standin_live now;

	doca_standin_live(&now);
	CHECK(now.keys <= 4);
	CHECK_EQ(now.bulks, 0);
	CHECK_EQ(now.mbufs, 0);
}

static void what_is_never_completed_is_an_error_and_no_crash(void)
{
	const struct doca_standin_failures never = {.kind = DOCA_STANDIN_NEVER, .every = 1};
	const struct doca_standin_failures none = {.kind = DOCA_STANDIN_NONE};
	uint32_t entry = 0;

	doca_standin_fail(&never);
	CHECK(add_ingress(2, 77, &entry) != 0);
	doca_standin_fail(&none);
	CHECK_EQ(add_ingress(4, 78, &entry), 0);
	CHECK(remove_entry(entry));
}

static void a_closed_plane_leaves_nothing(void)
{
	struct doca_standin_live now;

	CHECK_EQ(psp_dp_close(dp), 0);
	doca_standin_live(&now);
	CHECK_EQ(now.pipes, 0);
	CHECK_EQ(now.entries, 0);
	CHECK_EQ(now.orders, 0);
	CHECK_EQ(now.keys, 0);
	CHECK_EQ(now.leaked_mbufs, 0);
	/* And another one opens in its place. */
	CHECK(open_plane());
	CHECK_EQ(psp_dp_close(dp), 0);
}

int main(void)
{
	if (!lab_up() || !open_plane()) {
		printf("not ok the plane does not open (root? libdpdk-dev?)\n");
		return 1;
	}
	RUN(ten_thousand_cycles_with_failed_orders_leak_nothing);
	RUN(delayed_orders_are_waited_for);
	RUN(keys_stay_within_their_ids);
	RUN(what_is_never_completed_is_an_error_and_no_crash);
	RUN(a_closed_plane_leaves_nothing);
	return test_summary();
}
