/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c: where each rule of strictness comes from, which of them hold, and how much the device has. A rule is here
 * when a published source says it; what a sample of the release does is allowed. Tags are those of
 * NVIDIA-DOCA/doca-samples and of DPDK/dpdk; "3.0 headers" is the doxygen listing of stolyarchuk/doca-docs.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

#define GATEWAY "applications/psp_gateway/psp_gw_flows.cpp"
#define MLX5_HW "drivers/net/mlx5/mlx5_flow_hw.c"

static const struct doca_standin_source sources[DOCA_STANDIN_RULES] = {
	/* ENCAP and ENCRYPT: SECURE_EGRESS. DECRYPT: SECURE_INGRESS. DECAP: DEFAULT (3.0.0, 626-686), and SECURE_INGRESS
	 * (3.0.0, ipsec_security_gw/flow_decrypt.c 753-777; 3.1.0, 754; 3.2.0, 925-928; 3.3.0, 1025-1029). */
	[DOCA_STANDIN_DOMAIN] = {"domain", GATEWAY, "402-418, 648-686, 884-930", "3.0.0"},
	[DOCA_STANDIN_LIST] = {"list", GATEWAY, "494-523, 1208-1283", "3.2.0"},
	[DOCA_STANDIN_LIST_DOMAIN] = {"list-domain", GATEWAY, "668-669", "3.3.0"},
	/* The one way back in it is a flood's copy to a pipe of the default domain that ends in RSS. */
	[DOCA_STANDIN_JUMP] = {"jump", GATEWAY, "332-356, 1911", "3.3.0"},
	[DOCA_STANDIN_ROOT_TARGET] = {"root-target", MLX5_HW, "2992-2998", "v26.07"},
	[DOCA_STANDIN_ROOT_LEVEL] = {"root-level", MLX5_HW, "51-52", "v26.07"},
	/* None by default, a power of two, not less than 64 octets; an entry takes at most 128. */
	[DOCA_STANDIN_ACTIONS_MEM] = {"actions-mem", "doca_flow.h", "264, 2620", "3.0 headers"},
	[DOCA_STANDIN_TEMPLATES] = {"templates", "drivers/net/mlx5/mlx5_flow.h", "1677-1678",
				    "v26.07"},
	/* The list's miss goes to SYNDROME_STATS, and the ACL behind it no longer compares the syndrome (3.0.0, 631). */
	[DOCA_STANDIN_DECRYPT_MISS] = {"decrypt-miss", GATEWAY, "515-526, 958-995", "3.2.0"},
	/* Either order: the headers say of set_cfg that it is for bound and unbound resources; the gateway binds first. */
	[DOCA_STANDIN_BIND] = {"bind", GATEWAY, "318-335; 3.2.0: 392-402", "3.0.0"},
	[DOCA_STANDIN_KEYED] = {"keyed", GATEWAY, "977-1040", "3.0.0"},
	[DOCA_STANDIN_COUNTERS] = {"counters", GATEWAY, "273; 3.3.0: 373-379", "3.0.0"},
	/* Types of headers, or of parser_meta, beside the fields of unions. */
	[DOCA_STANDIN_NAMED] = {"named", GATEWAY, "632-644, 1529-1536", "3.0.0"},
	[DOCA_STANDIN_MODE] = {"mode", GATEWAY, "274; 3.3.0: 444", "3.0.0"},
	/* rte_eth_dev_configure() fills in 1500; mlx5_dev_configure() sets it: mlx5_ethdev.c 157, 747-774. */
	[DOCA_STANDIN_MTU] = {"mtu", "lib/ethdev/rte_ethdev.c", "1467-1477", "v26.07"},
	/* A service thread refreshes the cache of counters once a second unless another cycle is set. */
	[DOCA_STANDIN_STALE] = {"stale", "doca_flow.h", "2660", "3.0 headers"},
	/* The gateway waits up to 10 ms in doca_flow_entries_process() for each entry. */
	[DOCA_STANDIN_LATE] = {"late", GATEWAY, "60, 1818-1830", "3.0.0"},
	/* A completion names its entry and its context, and nothing says that they come in order. */
	[DOCA_STANDIN_SHUFFLE] = {"shuffle", "doca_flow.h", "204-208", "3.0 headers"},
	/* 128 unless another depth is set; the program looks whether a queue is full before it gives more orders. */
	[DOCA_STANDIN_DEPTH] = {"depth", "applications/common/flow_skeleton.c",
				"34, 113, 125-128, 433-443", "3.3.0"},
	/* DOCA_ERROR_AGAIN of the functions that update entries: "resource temporarily unavailable, try again". */
	[DOCA_STANDIN_AGAIN] = {"again", "doca_flow.h", "doca_flow_pipe_basic_update_entry",
				"3.3 headers"},
	/* "No initial value for Meta data, must match after setting value." pkt_meta is 0: the gateway of 3.3 matches that. */
	[DOCA_STANDIN_META] = {"meta", "doca_flow.h", "struct doca_flow_meta", "3.0, 3.3 headers"},
	/* All 79 misses of the samples of 3.3 are pipes, drops, or in this one the kernel. */
	[DOCA_STANDIN_MISS] = {"miss", "samples/doca_flow/flow_fwd_target/flow_fwd_target_sample.c",
			       "101", "3.3.0"},
};

/* 512 MiB is the most that a sample asks for: GATEWAY 3.0.0, 62 and 240. */
static const struct doca_standin_capacity roomy = {
	.actions_mem = UINT32_C(512) << 20,
	.psp = UINT32_MAX,
	.counters = UINT32_MAX,
	.root_masks = UINT32_MAX,
};

static _Atomic bool relaxed[DOCA_STANDIN_RULES];

const struct doca_standin_source *doca_standin_source(enum doca_standin_rule rule)
{
	return (uint32_t)rule < DOCA_STANDIN_RULES ? &sources[rule] : NULL;
}

void doca_standin_hold(enum doca_standin_rule rule, bool holds)
{
	relaxed[rule] = !holds;
}

bool si_strict(enum doca_standin_rule rule)
{
	return !relaxed[rule];
}

void doca_standin_capacity(const struct doca_standin_capacity *capacity)
{
	pthread_mutex_lock(&si.lock);
	si.capacity = capacity != NULL ? *capacity : roomy;
	pthread_mutex_unlock(&si.lock);
}

/* Whether a list with commas has this word. */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list != NULL && *list != 0) {
		size_t end = strcspn(list, ",");

		if (end == len && memcmp(list, word, len) == 0)
			return true;
		list += end + (list[end] == ',' ? 1 : 0);
	}
	return false;
}

/* A mistake in a test's environment must not pass for a rule that holds. */
static void check_words(const char *list)
{
	char word[64];

	while (list != NULL && *list != 0) {
		size_t end = strcspn(list, ",");
		bool known = false;

		(void)snprintf(word, sizeof(word), "%.*s", (int)end, list);
		for (uint32_t i = 0; i < DOCA_STANDIN_RULES; i++)
			known = known || strcmp(sources[i].name, word) == 0;
		if (!known)
			si_die("DOCA_STANDIN_RELAX names no rule \"%s\"", word);
		list += end + (list[end] == ',' ? 1 : 0);
	}
}

static void read_capacity(void)
{
	const char *text = getenv("DOCA_STANDIN_CAPACITY");
	struct {
		const char *key;
		uint32_t *value;
	} rows[] = {{"actions_mem=", &si.capacity.actions_mem},
		    {"psp=", &si.capacity.psp},
		    {"counters=", &si.capacity.counters},
		    {"root_masks=", &si.capacity.root_masks}};

	for (size_t i = 0; text != NULL && i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = strstr(text, rows[i].key);

		if (at != NULL)
			*rows[i].value = (uint32_t)strtoul(at + strlen(rows[i].key), NULL, 10);
	}
}

void si_rules_up(void)
{
	const char *relax = getenv("DOCA_STANDIN_RELAX");

	check_words(relax);
	for (uint32_t i = 0; i < DOCA_STANDIN_RULES; i++)
		relaxed[i] = relaxed[i] || has_word(relax, sources[i].name);
	if (si.capacity.actions_mem == 0)
		si.capacity = roomy;
	read_capacity();
}
