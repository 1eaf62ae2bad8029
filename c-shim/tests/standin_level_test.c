/* SPDX-License-Identifier: Apache-2.0 */
/* Levels of a control pipe's entries in hardware. */
#include "../doca/dpu.h"

#include "test.h"

/* The root of the reference topologies, as src/pipes/topology.ts adds it. */
struct row {
	const char *name;
	struct psp_dp_match match, mask;
	uint32_t level; /* wanted */
};

#define PORT(n) .parser_meta_port_id = (n)
#define ANY_PORT .parser_meta_port_id = UINT16_MAX
#define L4(n) .parser_meta_outer_l4_type = (n)
#define L3(n) .parser_meta_outer_l3_type = (n)

static const struct row root[] = {
	{"arp", {PORT(2), .outer_eth_type = 0x0806}, {ANY_PORT, .outer_eth_type = UINT16_MAX}, 0},
	{"nd-rs",
	 {PORT(2), L4(PSP_DP_L4_ICMP6), .outer_icmp_type = 133},
	 {ANY_PORT, L4(UINT8_MAX), .outer_icmp_type = UINT8_MAX},
	 1},
	{"nd-ns",
	 {PORT(2), L4(PSP_DP_L4_ICMP6), .outer_icmp_type = 135},
	 {ANY_PORT, L4(UINT8_MAX), .outer_icmp_type = UINT8_MAX},
	 1},
	{"dhcp",
	 {PORT(2), L4(PSP_DP_L4_UDP), .outer_l4_src_port = 68, .outer_l4_dst_port = 67},
	 {ANY_PORT, L4(UINT8_MAX), .outer_l4_src_port = UINT16_MAX,
	  .outer_l4_dst_port = UINT16_MAX},
	 1},
	{"host-ipv4", {PORT(2), L3(PSP_DP_L3_IPV4)}, {ANY_PORT, L3(UINT8_MAX)}, 2},
	{"host-ipv6", {PORT(2), L3(PSP_DP_L3_IPV6)}, {ANY_PORT, L3(UINT8_MAX)}, 2},
	{"uplink-psp",
	 {PORT(1), L4(PSP_DP_L4_UDP), .outer_l4_dst_port = 1000},
	 {ANY_PORT, L4(UINT8_MAX), .outer_l4_dst_port = UINT16_MAX},
	 0},
};

#define ROWS (sizeof(root) / sizeof(root[0]))

static void the_root_needs_three_levels(void)
{
	struct dpu_ranked ranked[ROWS];

	for (uint32_t i = 0; i < ROWS; i++) {
		ranked[i] = (struct dpu_ranked){
			.match = &root[i].match, .mask = &root[i].mask, .priority = i};
		ranked[i].level = dpu_level(ranked, i, &ranked[i]);
		CONTEXT("%s", root[i].name);
		CHECK_EQ(ranked[i].level, root[i].level);
	}
}

/* One that overlaps with everything, at these priorities, one after the other. */
static uint32_t chain(const uint32_t *priorities, uint32_t n)
{
	static const struct psp_dp_match anything;
	struct dpu_ranked ranked[16];

	for (uint32_t i = 0; i < n; i++) {
		ranked[i] = (struct dpu_ranked){
			.match = &anything, .mask = &anything, .priority = priorities[i]};
		ranked[i].level = dpu_level(ranked, i, &ranked[i]);
		if (i == n - 1)
			return ranked[i].level;
	}
	return 0;
}

static void a_later_priority_gets_a_later_level(void)
{
	CHECK_EQ(chain((uint32_t[]){10, 20, 4000000000u}, 3), 2);
}

static void between_neighbouring_levels_there_is_none(void)
{
	CHECK_EQ(chain((uint32_t[]){10, 30, 20}, 3), DPU_LEVELS);
}

static void before_the_first_level_there_is_none(void)
{
	CHECK_EQ(chain((uint32_t[]){10, 5}, 2), DPU_LEVELS);
}

static void levels_end(void)
{
	CHECK_EQ(chain((uint32_t[]){0, 1, 2, 3, 4, 5}, 6), DPU_LEVELS - 1);
	CHECK_EQ(chain((uint32_t[]){0, 1, 2, 3, 4, 5, 6}, 7), DPU_LEVELS);
}

int main(void)
{
	RUN(the_root_needs_three_levels);
	RUN(a_later_priority_gets_a_later_level);
	RUN(between_neighbouring_levels_there_is_none);
	RUN(before_the_first_level_there_is_none);
	RUN(levels_end);
	return test_summary();
}
