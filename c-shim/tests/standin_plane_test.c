/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare */
/*
 * The DOCA shim on its stand-in: what a plane refuses to open with, what it does when the device refuses something,
 * what it leaves of the interfaces, and pipes that come again.
 */
#include "../common/plane.h"
#include "ports.h"
#include "standin_lab.h"

#define MIRRORS 8u /* ids that the shim has */
#define FULL 16384u

static struct psp_dp *dp;
static char why[256];

static int32_t open_with(uint32_t max_entries)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = max_entries,
				       .max_crypto_ids = 4,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .mbufs = 512};

	return ports_open(&config, "up0", "host0", PSP_DP_GUARD_AUTO, &dp, why, sizeof(why));
}

static int32_t open_plane(void)
{
	return open_with(64);
}

/* DOCA 3.0 probes by DPDK's word for it, which for the host's own function is a number of its own. */
static void the_hosts_own_function_can_be_the_host_port(void)
{
	struct psp_dp_config config = {.size = sizeof(config),
				       .max_entries = 64,
				       .max_crypto_ids = 4,
				       .hugepages_mb = PSP_DP_HUGEPAGES_NONE,
				       .mbufs = 512};

	CHECK(LAB_IP("link", "set", "host0", "down"));
	CHECK(LAB_IP("link", "set", "host0", "name", "pf0hpf", "up"));
	CHECK_EQ(ports_open(&config, "up0", "pf0hpf", PSP_DP_GUARD_AUTO, &dp, why, sizeof(why)), 0);
	CHECK_EQ(psp_dp_close(dp), 0);
	CHECK(LAB_IP("link", "set", "pf0hpf", "down"));
	CHECK(LAB_IP("link", "set", "pf0hpf", "name", "host0", "up"));
}

/* "-v -v ..." or one long word. */
static void set_words(const char *word, uint32_t n)
{
	char text[1024] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s ", word);
	(void)setenv("PSP_DOCA_EAL", text, 1);
}

static void words_for_which_there_is_no_room_are_refused(void)
{
	static const struct {
		const char *word;
		uint32_t n;
	} rows[] = {{"-v", 40}, {"--a-word-of-some-length-that-comes-again", 20}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("row %zu", i);
		set_words(rows[i].word, rows[i].n);
		CHECK_EQ(open_plane(), PSP_DP_EINVAL);
		CHECK(strstr(why, "PSP_DOCA_EAL") != NULL);
	}
	(void)unsetenv("PSP_DOCA_EAL");
}

/* A pipe that samples every packet. */
static int32_t sampling_pipe(uint32_t *pipe)
{
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.name = "EGR_SAMP",
		.domain = PSP_DP_DOMAIN_EGRESS,
		.nr_entries = 1,
		.match_mask.size = sizeof(d.match_mask),
		.actions = {.size = sizeof(d.actions), .flags = PSP_DP_ACTION_SET_S},
		.monitor = {.size = sizeof(d.monitor), .mirror = 1},
		.fwd = {.size = sizeof(d.fwd), .type = PSP_DP_FWD_PORT, .target = UPLINK},
		.fwd_miss = {.size = sizeof(d.fwd_miss), .type = PSP_DP_FWD_DROP},
	};
	struct psp_dp_entry_desc e = {
		.size = sizeof(e),
		.match.size = sizeof(e.match),
		.match_mask.size = sizeof(e.match_mask),
		.actions = d.actions,
		.monitor = d.monitor,
		.fwd = {.size = sizeof(e.fwd)},
	};
	uint32_t entry;
	int32_t status = psp_dp_pipe_create(dp, &d, pipe);

	return status == 0 ? psp_dp_entry_add(dp, *pipe, &e, &entry) : status;
}

static void pipes_that_sample_come_and_go(void)
{
	uint32_t pipe;

	for (uint32_t i = 0; i < 2 * MIRRORS; i++) {
		CONTEXT("time %u", i);
		CHECK_EQ(sampling_pipe(&pipe), 0);
		CHECK_EQ(psp_dp_pipe_destroy(dp, pipe), 0);
	}
}

static bool says(const char *what)
{
	char text[256] = "";
	uint32_t len;

	return psp_dp_error_text(dp, text, sizeof(text) - 1, &len) == 0 &&
	       strstr(text, what) != NULL;
}

/* Networks, IVs that start elsewhere and replay windows are the soft plane's: they are refused by name. */
static void what_hardware_lacks_is_refused_by_name(void)
{
	struct psp_dp_granted granted = {.size = sizeof(granted)};
	struct psp_dp_key key = {.size = sizeof(key), .spi = 1, .key = {1}, .iv_start = 2};
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.name = "NETWORKS",
		.domain = PSP_DP_DOMAIN_DEFAULT,
		.nr_entries = 1,
		.match_mask = {.size = sizeof(d.match_mask), .meta_network = UINT32_MAX},
		.actions.size = sizeof(d.actions),
		.monitor.size = sizeof(d.monitor),
		.fwd = {.size = sizeof(d.fwd), .type = PSP_DP_FWD_DROP},
		.fwd_miss = {.size = sizeof(d.fwd_miss), .type = PSP_DP_FWD_DROP},
	};
	struct psp_dp_entry_desc e = {
		.size = sizeof(e),
		.match.size = sizeof(e.match),
		.match_mask.size = sizeof(e.match_mask),
		.actions = {.size = sizeof(e.actions),
			    .flags = PSP_DP_ACTION_CHECK_REPLAY,
			    .replay_window = 4096},
		.monitor.size = sizeof(e.monitor),
		.fwd.size = sizeof(e.fwd),
	};
	uint32_t pipe, entry;

	CHECK_EQ(psp_dp_granted(dp, &granted), 0);
	CHECK_EQ(granted.features, 0);
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), PSP_DP_ENOTSUP);
	CHECK(says("iv_start"));
	key.iv_start = 1;
	CHECK_EQ(psp_dp_crypto_set(dp, 1, &key), 0);
	CHECK_EQ(psp_dp_crypto_set(dp, 2, &key), PSP_DP_EKEY);
	CHECK_EQ(psp_dp_pipe_create(dp, &d, &pipe), PSP_DP_ENOTSUP);
	CHECK(says("network"));
	d.match_mask.meta_network = 0;
	CHECK_EQ(psp_dp_pipe_create(dp, &d, &pipe), 0);
	CHECK_EQ(psp_dp_entry_add(dp, pipe, &e, &entry), PSP_DP_ENOTSUP);
	CHECK(says("replay_window"));
	CHECK_EQ(psp_dp_pipe_destroy(dp, pipe), 0);
}

#define KNOWN 65536u /* that it knows at least, and at most twice as many */

static int32_t set_numbered(uint32_t number)
{
	struct psp_dp_key key = {.size = sizeof(key), .spi = 1, .version = 1, .key = {7}};

	psp_put32(key.key + 4, number);
	return psp_dp_crypto_set(dp, 1, &key);
}

/* It knows the last ones, in memory that has a bound. */
static void keys_of_long_ago_are_forgotten_and_no_others(void)
{
	const struct dp_keys *keys = &((const struct dp_plane *)(const void *)dp)->keys;
	uint32_t last = 2 * KNOWN + 10;

	for (uint32_t i = 0; i <= last; i++) {
		CONTEXT("key %u", i);
		CHECK_EQ(set_numbered(i), 0);
		CHECK(keys->prints.used <= KNOWN && keys->older.used <= KNOWN);
	}
	CHECK_EQ(set_numbered(last), PSP_DP_EKEY);
	CHECK_EQ(set_numbered(last - KNOWN + 1), PSP_DP_EKEY);
	CHECK_EQ(set_numbered(0), 0);
	CHECK_EQ(psp_dp_crypto_clear(dp, 1), 0);
}

static void close_plane(void)
{
	CHECK_EQ(psp_dp_close(dp), 0);
}

/* ---- interfaces ------------------------------------------------------------------------------ */

/* Name, MTU, flags, address and the like of all interfaces, as the kernel tells it, without what is counted. */
static bool describe_interfaces(char *out, size_t cap)
{
	FILE *pipe = popen("ip -o -d link show | sed 's/promiscuity [0-9]*//'", "r");
	size_t len = 0;

	if (pipe == NULL)
		return false;
	len = fread(out, 1, cap - 1, pipe);
	out[len] = 0;
	return pclose(pipe) == 0 && len > 100;
}

static void opening_running_and_closing_change_no_interface(void)
{
	static const char *const mtus[] = {"9000", "1400", "1500"};
	static char before[8192], now[8192];

	lab_running();
	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		CONTEXT("MTU %s", mtus[i]);
		CHECK(LAB_IP("link", "set", "up0", "mtu", mtus[i]));
		CHECK(describe_interfaces(before, sizeof(before)));
		CHECK_EQ(open_plane(), 0);
		CHECK(describe_interfaces(now, sizeof(now)));
		CHECK(strcmp(now, before) == 0);
		CHECK_EQ(psp_dp_start(dp), 0);
		SUB(close_plane());
		CHECK(describe_interfaces(now, sizeof(now)));
		CHECK(strcmp(now, before) == 0);
	}
}

/* The kernel's, whatever the port was configured with. */
static void an_mtu_that_changes_is_followed(void)
{
	struct psp_dp_port_info info = {.size = sizeof(info)};

	CHECK_EQ(open_plane(), 0);
	CHECK_EQ(psp_dp_port_query(dp, UPLINK, &info), 0);
	CHECK_EQ(info.mtu, 1500);
	CHECK(LAB_IP("link", "set", "up0", "mtu", "1400"));
	CHECK_EQ(psp_dp_port_query(dp, UPLINK, &info), 0);
	CHECK_EQ(info.mtu, 1400);
	CHECK(LAB_IP("link", "set", "up0", "mtu", "1500"));
	SUB(close_plane());
}

/* ---- refusals that are no end ---------------------------------------------------------------- */

static int32_t make_root(uint32_t *root)
{
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.name = "ROOT",
		.type = PSP_DP_PIPE_CONTROL,
		.is_root = 1,
		.nr_entries = 4,
		.match_mask.size = sizeof(d.match_mask),
		.actions.size = sizeof(d.actions),
		.monitor.size = sizeof(d.monitor),
		.fwd.size = sizeof(d.fwd),
		.fwd_miss = {.size = sizeof(d.fwd_miss), .type = PSP_DP_FWD_KERNEL},
	};

	return psp_dp_pipe_create(dp, &d, root);
}

static uint64_t root_misses(uint32_t root)
{
	struct psp_dp_stats stats = {.size = sizeof(stats)};

	return psp_dp_pipe_query(dp, root, &stats) == 0 ? stats.miss_packets : UINT64_MAX;
}

/* What nobody asked for, from the wire: it is the kernel's. */
static void uplink_misses(bool counted, bool by_default)
{
	struct doca_standin_live before, after;
	uint32_t root = 0;

	CHECK_EQ(open_plane(), 0);
	CHECK_EQ(make_root(&root), 0);
	doca_standin_live(&before);
	CHECK(soft_port_open("up1", PSP_DP_PORT_HOST, 0, &lab.workload, why, sizeof(why)) == 0);
	for (uint64_t i = 1; i <= 3; i++)
		CHECK(send_frame());
	for (uint32_t i = 0; i < 3000 && counted && root_misses(root) < 3; i++)
		usleep(1000);
	CHECK_EQ(root_misses(root), counted ? 3 : 0);
	doca_standin_live(&after);
	CHECK_EQ(after.default_missed - before.default_missed, by_default ? 3 : 0);
	soft_port_close(lab.workload);
	SUB(close_plane());
}

static void what_nobody_takes_is_the_kernels_and_counted(void)
{
	SUB(uplink_misses(true, COMPAT_DOCA == 302));
}

static void without_a_target_it_is_the_default(void)
{
	(void)setenv("DOCA_STANDIN_REFUSE", "doca_flow_get_target", 1);
	SUB(uplink_misses(COMPAT_DOCA >= 302, COMPAT_DOCA >= 302));
	(void)unsetenv("DOCA_STANDIN_REFUSE");
}

/* Masks that the hardware's root has, with entries of three in the ABI's. */
static uint32_t root_masks(void)
{
	struct doca_standin_live live;
	struct psp_dp_entry_desc e = {
		.size = sizeof(e),
		.match = {.size = sizeof(e.match), .parser_meta_port_id = HOST},
		.match_mask = {.size = sizeof(e.match_mask), .parser_meta_port_id = UINT16_MAX},
		.actions.size = sizeof(e.actions),
		.monitor.size = sizeof(e.monitor),
		.fwd = {.size = sizeof(e.fwd), .type = PSP_DP_FWD_DROP},
	};
	uint32_t root, entry;

	if (open_plane() != 0 || make_root(&root) != 0)
		return 0;
	for (uint32_t i = 0; i < 3; i++) {
		e.priority = i;
		e.match_mask.outer_eth_type = i == 0 ? UINT16_MAX : 0;
		e.match_mask.parser_meta_outer_l3_type = i == 1 ? UINT8_MAX : 0;
		if (psp_dp_entry_add(dp, root, &e, &entry) != 0)
			return 0;
	}
	doca_standin_live(&live);
	return psp_dp_close(dp) == 0 ? live.root_masks : 0;
}

static void the_hardwares_root_is_what_its_release_has(void)
{
	if (COMPAT_DOCA < 303) {
		CHECK(root_masks() >= 3);
		return;
	}
	CHECK_EQ(root_masks(), 1);
	/* A BASIC root that is refused, and the way to the kernel behind it: a CONTROL pipe takes its place. */
	doca_standin_refuse("doca_flow_get_target");
	CHECK(root_masks() >= 3);
	doca_standin_refuse("doca_flow_pipe_create/4");
	CHECK(root_masks() >= 3);
	CHECK_EQ(doca_standin_refused(), 1);
	doca_standin_refuse(NULL);
}

static void without_a_default_a_pipe_leads_to_the_kernel(void)
{
	(void)setenv("DOCA_STANDIN_REFUSE", "doca_flow_port_update_default_miss", 1);
	SUB(uplink_misses(true, false));
	(void)unsetenv("DOCA_STANDIN_REFUSE");
}

/* Where the root may not count what it leaves to the default, the pipe behind it does. */
static void a_root_that_may_not_count_leads_to_a_pipe_that_does(void)
{
	if (COMPAT_DOCA != 302)
		return;
	doca_standin_refuse("doca_flow_pipe_cfg_set_miss_counter/1");
	SUB(uplink_misses(true, false));
	CHECK_EQ(doca_standin_refused(), 1);
	doca_standin_refuse(NULL);
}

static void what_misses_goes_to_no_port(void)
{
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.name = "PAST",
		.nr_entries = 4,
		.match_mask = {.size = sizeof(d.match_mask), .outer_eth_type = UINT16_MAX},
		.actions.size = sizeof(d.actions),
		.monitor.size = sizeof(d.monitor),
		.fwd = {.size = sizeof(d.fwd), .type = PSP_DP_FWD_DROP},
		.fwd_miss = {.size = sizeof(d.fwd_miss), .type = PSP_DP_FWD_PORT, .target = HOST},
	};
	uint32_t pipe;

	CHECK_EQ(open_plane(), 0);
	CHECK_EQ(psp_dp_pipe_create(dp, &d, &pipe), PSP_DP_ENOTSUP);
	CHECK(says("goes to no port"));
	SUB(close_plane());
}

static void without_either_an_isolated_port_leaves_it_there(void)
{
	(void)setenv("DOCA_STANDIN_REFUSE",
		     "doca_flow_port_update_default_miss,doca_flow_get_target", 1);
	SUB(uplink_misses(false, false));
	(void)unsetenv("DOCA_STANDIN_REFUSE");
}

static void a_port_that_is_not_isolated_by_us_starts(void)
{
	(void)setenv("DOCA_STANDIN_REFUSE", "rte_flow_isolate", 1);
	CHECK_EQ(open_plane(), 0);
	SUB(close_plane());
	(void)unsetenv("DOCA_STANDIN_REFUSE");
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static int32_t make_full_pipe(uint32_t *pipe)
{
	struct psp_dp_pipe_desc d = {
		.size = sizeof(d),
		.name = "EGR_ACL",
		.domain = PSP_DP_DOMAIN_SECURE_EGRESS,
		.nr_entries = FULL,
		.match_mask.size = sizeof(d.match_mask),
		.actions = {.size = sizeof(d.actions),
			    .flags = PSP_DP_ACTION_ENCAP | PSP_DP_ACTION_ENCRYPT},
		.monitor = {.size = sizeof(d.monitor), .counter = 1},
		.fwd = {.size = sizeof(d.fwd), .type = PSP_DP_FWD_PORT, .target = UPLINK},
		.fwd_miss = {.size = sizeof(d.fwd_miss), .type = PSP_DP_FWD_DROP},
	};

	memset(d.match_mask.outer_ip_src, 0xff, 16);
	memset(d.match_mask.outer_ip_dst, 0xff, 16);
	return psp_dp_pipe_create(dp, &d, pipe);
}

static int32_t add_ip6(uint32_t pipe, uint32_t number)
{
	struct psp_dp_entry_desc e = {
		.size = sizeof(e),
		.match.size = sizeof(e.match),
		.match_mask.size = sizeof(e.match_mask),
		.actions = {.size = sizeof(e.actions), .encap_size = 58, .crypto_id = 1},
		.monitor = {.size = sizeof(e.monitor), .counter = 1},
		.fwd.size = sizeof(e.fwd),
	};
	uint8_t *ip = e.actions.encap_data + NET_ETH_LEN, *udp = ip + NET_IP4_LEN;
	uint32_t entry;

	e.match.outer_ip_src[0] = 0xfd;
	e.match.outer_ip_dst[0] = 0xfd;
	psp_put32(e.match.outer_ip_src + 12, number);
	psp_put32(e.match.outer_ip_dst + 12, number + 1);
	psp_put16(e.actions.encap_data + NET_ETH_TYPE, NET_TYPE_IPV4);
	ip[0] = 0x45;
	ip[NET_IP4_PROTO] = NET_PROTO_UDP;
	psp_put16(udp + NET_UDP_DST, PSP_UDP_PORT);
	udp[NET_UDP_LEN + 1] = 1;
	udp[NET_UDP_LEN + 3] = PSP_FLAG_ALWAYS;
	psp_put32(udp + NET_UDP_LEN + 4, number + 1);
	return psp_dp_entry_add(dp, pipe, &e, &entry);
}

/* IPv6 takes the most of the device: two lookups for each entry, and its crypto. */
static void as_many_entries_fit_as_the_plane_was_opened_for(void)
{
	uint32_t pipe;

	/* The order of completions is not what this is about. */
	doca_standin_hold(DOCA_STANDIN_LATE, false);
	CHECK_EQ(open_with(FULL), 0);
	CHECK_EQ(make_full_pipe(&pipe), 0);
	for (uint32_t i = 0; i < FULL; i++) {
		CONTEXT("entry %u", i);
		CHECK_EQ(add_ip6(pipe, i), 0);
	}
	SUB(close_plane());
	doca_standin_hold(DOCA_STANDIN_LATE, true);
}

/* A device that has less than was asked for says so, and the plane with it. */
static void a_device_without_memory_is_an_error(void)
{
	static const char *const least[] = {"actions_mem=65536", "psp=2", "counters=100"};

	for (size_t i = 0; i < sizeof(least) / sizeof(least[0]); i++) {
		CONTEXT("%s", least[i]);
		(void)setenv("DOCA_STANDIN_CAPACITY", least[i], 1);
		CHECK_EQ(open_plane(), PSP_DP_ENOMEM);
		doca_standin_capacity(NULL);
	}
	(void)unsetenv("DOCA_STANDIN_CAPACITY");
	CHECK_EQ(open_plane(), 0);
	SUB(close_plane());
}

int main(void)
{
	if (!lab_up()) {
		printf("not ok there are no interfaces (root?)\n");
		return 1;
	}
	RUN(words_for_which_there_is_no_room_are_refused);
	RUN(the_hosts_own_function_can_be_the_host_port);
	RUN(opening_running_and_closing_change_no_interface);
	RUN(an_mtu_that_changes_is_followed);
	RUN(what_nobody_takes_is_the_kernels_and_counted);
	RUN(without_a_default_a_pipe_leads_to_the_kernel);
	RUN(without_a_target_it_is_the_default);
	RUN(the_hardwares_root_is_what_its_release_has);
	RUN(a_root_that_may_not_count_leads_to_a_pipe_that_does);
	RUN(what_misses_goes_to_no_port);
	RUN(without_either_an_isolated_port_leaves_it_there);
	RUN(a_port_that_is_not_isolated_by_us_starts);
	RUN(as_many_entries_fit_as_the_plane_was_opened_for);
	RUN(a_device_without_memory_is_an_error);
	if (open_plane() != 0) {
		printf("not ok %s\n", why);
		return 1;
	}
	RUN(what_hardware_lacks_is_refused_by_name);
	RUN(pipes_that_sample_come_and_go);
	RUN(keys_of_long_ago_are_forgotten_and_no_others);
	if (psp_dp_close(dp) != 0)
		printf("# the plane does not close\n");
	return test_summary();
}
