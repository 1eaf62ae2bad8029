/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.c: where every field of psp_dp.h lies. One table, read twice: by the compiler, which holds
 * it against the header, and by psp_dp_layout(), which tells the caller.
 */
#include "../psp_dp.h"

#include <stddef.h>
#include <string.h>

/* STRUCT(name, size) and, in order, FIELD(name, field, offset, size). */
/* clang-format off */
#define LAYOUT \
	STRUCT(psp_dp_rate, 8) \
	FIELD(psp_dp_rate, per_s, 0, 4) \
	FIELD(psp_dp_rate, burst, 4, 4) \
	STRUCT(psp_dp_port_desc, 192) \
	FIELD(psp_dp_port_desc, size, 0, 4) \
	FIELD(psp_dp_port_desc, kind, 4, 4) \
	FIELD(psp_dp_port_desc, name, 8, 64) \
	FIELD(psp_dp_port_desc, vlan, 72, 2) \
	FIELD(psp_dp_port_desc, guard, 74, 1) \
	FIELD(psp_dp_port_desc, pad0, 75, 1) \
	FIELD(psp_dp_port_desc, network, 76, 4) \
	FIELD(psp_dp_port_desc, miss, 80, 8) \
	FIELD(psp_dp_port_desc, miss_per_mac, 88, 8) \
	FIELD(psp_dp_port_desc, exception, 96, 8) \
	FIELD(psp_dp_port_desc, exception_per_mac, 104, 8) \
	FIELD(psp_dp_port_desc, hold_flows, 112, 4) \
	FIELD(psp_dp_port_desc, pad1, 116, 4) \
	FIELD(psp_dp_port_desc, hold_bytes, 120, 8) \
	FIELD(psp_dp_port_desc, reserved, 128, 64) \
	STRUCT(psp_dp_config, 672) \
	FIELD(psp_dp_config, size, 0, 4) \
	FIELD(psp_dp_config, backend, 4, 4) \
	FIELD(psp_dp_config, max_entries, 8, 4) \
	FIELD(psp_dp_config, max_crypto_ids, 12, 4) \
	FIELD(psp_dp_config, hold_packets_per_flow, 16, 4) \
	FIELD(psp_dp_config, hold_flows, 20, 4) \
	FIELD(psp_dp_config, hold_bytes, 24, 8) \
	FIELD(psp_dp_config, ring_bytes, 32, 20) \
	FIELD(psp_dp_config, sample_bytes, 52, 4) \
	FIELD(psp_dp_config, versions, 56, 4) \
	FIELD(psp_dp_config, mss_clamp, 60, 1) \
	FIELD(psp_dp_config, inspect, 61, 1) \
	FIELD(psp_dp_config, pad0, 62, 2) \
	FIELD(psp_dp_config, workers, 64, 4) \
	FIELD(psp_dp_config, busy_poll_us, 68, 4) \
	FIELD(psp_dp_config, cpus, 72, 64) \
	FIELD(psp_dp_config, queues, 136, 4) \
	FIELD(psp_dp_config, hugepages_mb, 140, 4) \
	FIELD(psp_dp_config, mbufs, 144, 4) \
	FIELD(psp_dp_config, pad1, 148, 4) \
	FIELD(psp_dp_config, actions_memory, 152, 8) \
	FIELD(psp_dp_config, devargs, 160, 256) \
	FIELD(psp_dp_config, representor, 416, 64) \
	FIELD(psp_dp_config, flow_mode, 480, 64) \
	FIELD(psp_dp_config, gateway_mac, 544, 6) \
	FIELD(psp_dp_config, pad2, 550, 2) \
	FIELD(psp_dp_config, reserved, 552, 120) \
	STRUCT(psp_dp_granted, 136) \
	FIELD(psp_dp_granted, size, 0, 4) \
	FIELD(psp_dp_granted, max_entries, 4, 4) \
	FIELD(psp_dp_granted, max_crypto_ids, 8, 4) \
	FIELD(psp_dp_granted, hold_packets_per_flow, 12, 4) \
	FIELD(psp_dp_granted, hold_flows, 16, 4) \
	FIELD(psp_dp_granted, ring_bytes, 20, 20) \
	FIELD(psp_dp_granted, sample_bytes, 40, 4) \
	FIELD(psp_dp_granted, workers, 44, 4) \
	FIELD(psp_dp_granted, queues, 48, 4) \
	FIELD(psp_dp_granted, mbufs, 52, 4) \
	FIELD(psp_dp_granted, hold_bytes, 56, 8) \
	FIELD(psp_dp_granted, actions_memory, 64, 8) \
	FIELD(psp_dp_granted, features, 72, 4) \
	FIELD(psp_dp_granted, pad0, 76, 4) \
	FIELD(psp_dp_granted, reserved, 80, 56) \
	STRUCT(psp_dp_port_info, 232) \
	FIELD(psp_dp_port_info, size, 0, 4) \
	FIELD(psp_dp_port_info, kind, 4, 4) \
	FIELD(psp_dp_port_info, network, 8, 4) \
	FIELD(psp_dp_port_info, ifindex, 12, 4) \
	FIELD(psp_dp_port_info, mtu, 16, 4) \
	FIELD(psp_dp_port_info, mac, 20, 6) \
	FIELD(psp_dp_port_info, present, 26, 1) \
	FIELD(psp_dp_port_info, link_up, 27, 1) \
	FIELD(psp_dp_port_info, forwards, 28, 1) \
	FIELD(psp_dp_port_info, guard, 29, 1) \
	FIELD(psp_dp_port_info, guard_reason, 30, 1) \
	FIELD(psp_dp_port_info, pad0, 31, 1) \
	FIELD(psp_dp_port_info, guard_restored, 32, 4) \
	FIELD(psp_dp_port_info, identity, 36, 4) \
	FIELD(psp_dp_port_info, name, 40, 64) \
	FIELD(psp_dp_port_info, rx_packets, 104, 8) \
	FIELD(psp_dp_port_info, rx_bytes, 112, 8) \
	FIELD(psp_dp_port_info, tx_packets, 120, 8) \
	FIELD(psp_dp_port_info, tx_bytes, 128, 8) \
	FIELD(psp_dp_port_info, tx_busy, 136, 8) \
	FIELD(psp_dp_port_info, tx_error, 144, 8) \
	FIELD(psp_dp_port_info, misses_limited, 152, 8) \
	FIELD(psp_dp_port_info, exceptions_limited, 160, 8) \
	FIELD(psp_dp_port_info, reserved, 168, 64) \
	STRUCT(psp_dp_next_hop, 60) \
	FIELD(psp_dp_next_hop, size, 0, 4) \
	FIELD(psp_dp_next_hop, via_gateway, 4, 1) \
	FIELD(psp_dp_next_hop, resolved, 5, 1) \
	FIELD(psp_dp_next_hop, mac, 6, 6) \
	FIELD(psp_dp_next_hop, address, 12, 16) \
	FIELD(psp_dp_next_hop, source, 28, 16) \
	FIELD(psp_dp_next_hop, probe, 44, 1) \
	FIELD(psp_dp_next_hop, reserved, 45, 15) \
	STRUCT(psp_dp_match, 136) \
	FIELD(psp_dp_match, size, 0, 4) \
	FIELD(psp_dp_match, parser_meta_port_id, 4, 2) \
	FIELD(psp_dp_match, parser_meta_outer_l3_type, 6, 1) \
	FIELD(psp_dp_match, parser_meta_outer_l4_type, 7, 1) \
	FIELD(psp_dp_match, parser_meta_inner_l3_type, 8, 1) \
	FIELD(psp_dp_match, parser_meta_psp_syndrome, 9, 1) \
	FIELD(psp_dp_match, parser_meta_random, 10, 2) \
	FIELD(psp_dp_match, meta_pkt_meta, 12, 4) \
	FIELD(psp_dp_match, outer_eth_type, 16, 2) \
	FIELD(psp_dp_match, outer_l4_src_port, 18, 2) \
	FIELD(psp_dp_match, outer_l4_dst_port, 20, 2) \
	FIELD(psp_dp_match, outer_ip_proto, 22, 1) \
	FIELD(psp_dp_match, outer_icmp_type, 23, 1) \
	FIELD(psp_dp_match, outer_ip_src, 24, 16) \
	FIELD(psp_dp_match, outer_ip_dst, 40, 16) \
	FIELD(psp_dp_match, inner_ip_src, 56, 16) \
	FIELD(psp_dp_match, inner_ip_dst, 72, 16) \
	FIELD(psp_dp_match, tun_psp_spi, 88, 4) \
	FIELD(psp_dp_match, tun_psp_nexthdr, 92, 1) \
	FIELD(psp_dp_match, tun_psp_hdrextlen, 93, 1) \
	FIELD(psp_dp_match, tun_psp_res_cryptofst, 94, 1) \
	FIELD(psp_dp_match, tun_psp_s_d_ver_v, 95, 1) \
	FIELD(psp_dp_match, tun_psp_vc, 96, 8) \
	FIELD(psp_dp_match, meta_network, 104, 4) \
	FIELD(psp_dp_match, pad0, 108, 4) \
	FIELD(psp_dp_match, reserved, 112, 24) \
	STRUCT(psp_dp_actions, 240) \
	FIELD(psp_dp_actions, size, 0, 4) \
	FIELD(psp_dp_actions, flags, 4, 4) \
	FIELD(psp_dp_actions, crypto_id, 8, 4) \
	FIELD(psp_dp_actions, pkt_meta, 12, 4) \
	FIELD(psp_dp_actions, eth_dst, 16, 6) \
	FIELD(psp_dp_actions, eth_src, 22, 6) \
	FIELD(psp_dp_actions, encap_net_type, 28, 1) \
	FIELD(psp_dp_actions, crypt_offset, 29, 1) \
	FIELD(psp_dp_actions, encap_size, 30, 2) \
	FIELD(psp_dp_actions, encap_data, 32, 176) \
	FIELD(psp_dp_actions, path_mtu, 208, 4) \
	FIELD(psp_dp_actions, replay_window, 212, 4) \
	FIELD(psp_dp_actions, reserved, 216, 24) \
	STRUCT(psp_dp_monitor, 32) \
	FIELD(psp_dp_monitor, size, 0, 4) \
	FIELD(psp_dp_monitor, counter, 4, 1) \
	FIELD(psp_dp_monitor, mirror, 5, 1) \
	FIELD(psp_dp_monitor, notify, 6, 1) \
	FIELD(psp_dp_monitor, pad0, 7, 1) \
	FIELD(psp_dp_monitor, reserved, 8, 24) \
	STRUCT(psp_dp_fwd, 16) \
	FIELD(psp_dp_fwd, size, 0, 4) \
	FIELD(psp_dp_fwd, type, 4, 4) \
	FIELD(psp_dp_fwd, target, 8, 4) \
	FIELD(psp_dp_fwd, reserved, 12, 4) \
	STRUCT(psp_dp_pipe_desc, 560) \
	FIELD(psp_dp_pipe_desc, size, 0, 4) \
	FIELD(psp_dp_pipe_desc, name, 4, 32) \
	FIELD(psp_dp_pipe_desc, type, 36, 4) \
	FIELD(psp_dp_pipe_desc, domain, 40, 4) \
	FIELD(psp_dp_pipe_desc, is_root, 44, 1) \
	FIELD(psp_dp_pipe_desc, miss_counter, 45, 1) \
	FIELD(psp_dp_pipe_desc, pad0, 46, 2) \
	FIELD(psp_dp_pipe_desc, nr_entries, 48, 4) \
	FIELD(psp_dp_pipe_desc, pad1, 52, 4) \
	FIELD(psp_dp_pipe_desc, match_mask, 56, 136) \
	FIELD(psp_dp_pipe_desc, actions, 192, 240) \
	FIELD(psp_dp_pipe_desc, monitor, 432, 32) \
	FIELD(psp_dp_pipe_desc, fwd, 464, 16) \
	FIELD(psp_dp_pipe_desc, fwd_miss, 480, 16) \
	FIELD(psp_dp_pipe_desc, reserved, 496, 64) \
	STRUCT(psp_dp_stats, 64) \
	FIELD(psp_dp_stats, size, 0, 4) \
	FIELD(psp_dp_stats, entries, 4, 4) \
	FIELD(psp_dp_stats, packets, 8, 8) \
	FIELD(psp_dp_stats, bytes, 16, 8) \
	FIELD(psp_dp_stats, miss_packets, 24, 8) \
	FIELD(psp_dp_stats, miss_bytes, 32, 8) \
	FIELD(psp_dp_stats, last_used_ns, 40, 8) \
	FIELD(psp_dp_stats, reserved, 48, 16) \
	STRUCT(psp_dp_entry_desc, 600) \
	FIELD(psp_dp_entry_desc, size, 0, 4) \
	FIELD(psp_dp_entry_desc, priority, 4, 4) \
	FIELD(psp_dp_entry_desc, match, 8, 136) \
	FIELD(psp_dp_entry_desc, match_mask, 144, 136) \
	FIELD(psp_dp_entry_desc, actions, 280, 240) \
	FIELD(psp_dp_entry_desc, monitor, 520, 32) \
	FIELD(psp_dp_entry_desc, fwd, 552, 16) \
	FIELD(psp_dp_entry_desc, reserved, 568, 32) \
	STRUCT(psp_dp_entry_item, 688) \
	FIELD(psp_dp_entry_item, size, 0, 4) \
	FIELD(psp_dp_entry_item, op, 4, 4) \
	FIELD(psp_dp_entry_item, pipe, 8, 4) \
	FIELD(psp_dp_entry_item, entry, 12, 4) \
	FIELD(psp_dp_entry_item, status, 16, 4) \
	FIELD(psp_dp_entry_item, pad0, 20, 4) \
	FIELD(psp_dp_entry_item, stats, 24, 64) \
	FIELD(psp_dp_entry_item, desc, 88, 600) \
	STRUCT(psp_dp_key, 88) \
	FIELD(psp_dp_key, size, 0, 4) \
	FIELD(psp_dp_key, spi, 4, 4) \
	FIELD(psp_dp_key, version, 8, 1) \
	FIELD(psp_dp_key, pad0, 9, 3) \
	FIELD(psp_dp_key, key, 12, 32) \
	FIELD(psp_dp_key, pad1, 44, 4) \
	FIELD(psp_dp_key, iv_limit, 48, 8) \
	FIELD(psp_dp_key, iv_start, 56, 8) \
	FIELD(psp_dp_key, reserved, 64, 24) \
	STRUCT(psp_dp_key_item, 168) \
	FIELD(psp_dp_key_item, size, 0, 4) \
	FIELD(psp_dp_key_item, op, 4, 4) \
	FIELD(psp_dp_key_item, crypto_id, 8, 4) \
	FIELD(psp_dp_key_item, status, 12, 4) \
	FIELD(psp_dp_key_item, stats, 16, 64) \
	FIELD(psp_dp_key_item, key, 80, 88) \
	STRUCT(psp_dp_master_key_info, 56) \
	FIELD(psp_dp_master_key_info, size, 0, 4) \
	FIELD(psp_dp_master_key_info, active, 4, 4) \
	FIELD(psp_dp_master_key_info, rotations, 8, 8) \
	FIELD(psp_dp_master_key_info, spis_left, 16, 8) \
	FIELD(psp_dp_master_key_info, reserved, 24, 32) \
	STRUCT(psp_dp_event, 88) \
	FIELD(psp_dp_event, record_size, 0, 4) \
	FIELD(psp_dp_event, type, 4, 2) \
	FIELD(psp_dp_event, port, 6, 2) \
	FIELD(psp_dp_event, flow, 8, 4) \
	FIELD(psp_dp_event, pipe, 12, 4) \
	FIELD(psp_dp_event, spi, 16, 4) \
	FIELD(psp_dp_event, packet_len, 20, 4) \
	FIELD(psp_dp_event, time_ns, 24, 8) \
	FIELD(psp_dp_event, src, 32, 16) \
	FIELD(psp_dp_event, dst, 48, 16) \
	FIELD(psp_dp_event, eth_src, 64, 6) \
	FIELD(psp_dp_event, syndrome, 70, 1) \
	FIELD(psp_dp_event, egress, 71, 1) \
	FIELD(psp_dp_event, mtu, 72, 4) \
	FIELD(psp_dp_event, data_len, 76, 4) \
	FIELD(psp_dp_event, network, 80, 4) \
	FIELD(psp_dp_event, pad0, 84, 4)
/* clang-format on */

#define STRUCT(name, octets) _Static_assert(sizeof(struct name) == (octets), #name);
#define FIELD(name, field, at, octets)                                                             \
	_Static_assert(offsetof(struct name, field) == (at), #name " " #field);                    \
	_Static_assert(sizeof(((struct name *)NULL)->field) == (octets), #name " " #field);
LAYOUT
#undef STRUCT
#undef FIELD

/* A line each, put together by the preprocessor. */
#define STRUCT(name, octets) #name " . 0 " #octets "\n"
#define FIELD(name, field, at, octets) #name " " #field " " #at " " #octets "\n"
static const char layout[] = LAYOUT;

int32_t psp_dp_layout(char *buf, uint32_t cap, uint32_t *len)
{
	const uint32_t needed = (uint32_t)(sizeof(layout) - 1);

	if (len == NULL || (buf == NULL && cap != 0))
		return PSP_DP_EINVAL;
	*len = needed;
	if (cap < needed)
		return PSP_DP_ERANGE;
	memcpy(buf, layout, needed);
	return PSP_DP_OK;
}
