// SPDX-License-Identifier: Apache-2.0

/**
 * `c-shim/psp_dp.h` as tables: its functions, and where the fields of its structs lie. A handle travels as a number:
 * making a pointer object of it would need the permission to load any library.
 */

/** The one symbol that is looked at before the others are trusted. */
export const VERSION_SYMBOLS = {
  psp_dp_abi_version: { parameters: ["buffer" /* uint32_t *abi */], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Of the C library, which the shim brings along; see getrlimit(2). */
export const LIBC_SYMBOLS = {
  getrlimit: {
    parameters: ["i32", /* resource */ "buffer" /* struct rlimit *rlim */],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

export const SYMBOLS = {
  ...VERSION_SYMBOLS,
  psp_dp_version: {
    parameters: ["buffer", /* char *buf */ "u32", /* cap */ "buffer" /* uint32_t *len */],
    result: "i32",
  },
  psp_dp_layout: {
    parameters: ["buffer", /* char *buf */ "u32", /* cap */ "buffer" /* uint32_t *len */],
    result: "i32",
  },
  psp_dp_limits: {
    parameters: ["buffer", /* char *buf */ "u32", /* cap */ "buffer" /* uint32_t *len */],
    result: "i32",
  },

  // open and close
  psp_dp_open: {
    parameters: [
      "buffer", // const struct psp_dp_config *config
      "buffer", // const struct psp_dp_port_desc *ports
      "u32", // n_ports
      "buffer", // struct psp_dp **out
      "buffer", // char *err
      "u32", // err_cap
    ],
    result: "i32",
  },
  psp_dp_start: { parameters: ["u64" /* dp */], result: "i32" },
  // May take a second: never on the event loop.
  psp_dp_stop: { parameters: ["u64" /* dp */], result: "i32", nonblocking: true },
  psp_dp_close: { parameters: ["u64" /* dp */], result: "i32", nonblocking: true },
  psp_dp_granted: {
    parameters: ["u64", /* dp */ "buffer" /* struct psp_dp_granted *granted */],
    result: "i32",
  },
  psp_dp_error_text: {
    parameters: [
      "u64", // dp
      "buffer", // char *buf
      "u32", // cap
      "buffer", // uint32_t *len
    ],
    result: "i32",
  },
  psp_dp_port_query: {
    parameters: [
      "u64", /* dp */
      "u32", /* port */
      "buffer", /* struct psp_dp_port_info *info */
    ],
    result: "i32",
  },
  psp_dp_port_add: {
    parameters: [
      "u64", // dp
      "buffer", // const struct psp_dp_port_desc *desc
      "buffer", // uint32_t *port
    ],
    result: "i32",
  },
  psp_dp_port_remove: { parameters: ["u64", /* dp */ "u32" /* port */], result: "i32" },
  psp_dp_next_hop_query: {
    parameters: [
      "u64", // dp
      "buffer", // const uint8_t pip[16]
      "buffer", // struct psp_dp_next_hop *hop
    ],
    result: "i32",
  },

  // pipes
  psp_dp_pipe_create: {
    parameters: [
      "u64", // dp
      "buffer", // const struct psp_dp_pipe_desc *desc
      "buffer", // uint32_t *pipe
    ],
    result: "i32",
  },
  psp_dp_pipe_destroy: { parameters: ["u64", /* dp */ "u32" /* pipe */], result: "i32" },
  psp_dp_pipe_query: {
    parameters: ["u64", /* dp */ "u32", /* pipe */ "buffer" /* struct psp_dp_stats *stats */],
    result: "i32",
  },

  // entries
  psp_dp_entry_add: {
    parameters: [
      "u64", // dp
      "u32", // pipe
      "buffer", // const struct psp_dp_entry_desc *desc
      "buffer", // uint32_t *entry
    ],
    result: "i32",
  },
  psp_dp_entry_update: {
    parameters: [
      "u64", // dp
      "u32", // entry
      "buffer", // const struct psp_dp_entry_desc *desc
    ],
    result: "i32",
  },
  psp_dp_entry_remove: { parameters: ["u64", /* dp */ "u32" /* entry */], result: "i32" },
  psp_dp_entry_query: {
    parameters: ["u64", /* dp */ "u32", /* entry */ "buffer" /* struct psp_dp_stats *stats */],
    result: "i32",
  },

  psp_dp_entry_list: {
    parameters: ["u64", /* dp */ "buffer", /* struct psp_dp_entry_item *items */ "u32" /* n */],
    result: "i32",
  },

  // crypto
  psp_dp_key_list: {
    parameters: ["u64", /* dp */ "buffer", /* struct psp_dp_key_item *items */ "u32" /* n */],
    result: "i32",
  },
  psp_dp_crypto_set: {
    parameters: [
      "u64", // dp
      "u32", // crypto_id
      "buffer", // const struct psp_dp_key *key
    ],
    result: "i32",
  },
  psp_dp_crypto_clear: { parameters: ["u64", /* dp */ "u32" /* crypto_id */], result: "i32" },
  psp_dp_crypto_query: {
    parameters: [
      "u64", // dp
      "u32", // crypto_id
      "buffer", // struct psp_dp_stats *stats
    ],
    result: "i32",
  },
  psp_dp_spi_generate: {
    parameters: [
      "u64", // dp
      "u32", // version
      "buffer", // struct psp_dp_key *keys
      "u32", // n
    ],
    result: "i32",
  },
  psp_dp_master_key_rotate: { parameters: ["u64" /* dp */], result: "i32" },
  psp_dp_master_key_query: {
    parameters: ["u64", /* dp */ "buffer" /* struct psp_dp_master_key_info *info */],
    result: "i32",
  },

  // events: the one call that waits, on a thread of Deno's blocking pool
  psp_dp_event_wait: {
    parameters: [
      "u64", // dp
      "buffer", // uint8_t *buf
      "u32", // cap
      "u32", // timeout_ms
      "buffer", // uint32_t *len
    ],
    result: "i32",
    nonblocking: true,
  },

  // held packets
  psp_dp_held_release: {
    parameters: ["u64", /* dp */ "u32", /* flow */ "buffer" /* uint32_t *packets */],
    result: "i32",
  },
  psp_dp_held_drop: {
    parameters: [
      "u64", // dp
      "u32", // flow
      "u32", // reason
      "u32", // hold_off_ms
      "buffer", // uint32_t *packets
    ],
    result: "i32",
  },
  psp_dp_hold_off_clear: { parameters: ["u64" /* dp */], result: "i32" },
  psp_dp_hold_set: {
    parameters: [
      "u64", // dp
      "u32", // packets_per_flow
      "u32", // flows
      "u64", // bytes
    ],
    result: "i32",
  },

  // inject and counters
  psp_dp_inject: {
    parameters: [
      "u64", // dp
      "u32", // port
      "buffer", // const uint8_t *frame
      "u32", // len
    ],
    result: "i32",
  },
  psp_dp_counter_names: {
    parameters: [
      "u64", // dp
      "buffer", // char *buf
      "u32", // cap
      "buffer", // uint32_t *len
    ],
    result: "i32",
  },
  psp_dp_counters: {
    parameters: [
      "u64", // dp
      "buffer", // uint64_t *values
      "u32", // cap
      "buffer", // uint32_t *n
    ],
    result: "i32",
  },

  // PSP without a plane
  psp_dp_backend_at: {
    parameters: [
      "u32", // n
      "buffer", // uint32_t *backend
      "buffer", // char *name
      "u32", // cap
    ],
    result: "i32",
  },
  psp_dp_kbkdf: {
    parameters: [
      "u32", // backend
      "buffer", // const uint8_t key[32]
      "buffer", // const uint8_t *fixed
      "u32", // fixed_len
      "buffer", // uint8_t *out
      "u32", // out_len
    ],
    result: "i32",
  },
  psp_dp_derive: {
    parameters: [
      "u32", // backend
      "buffer", // const uint8_t mk0[32]
      "buffer", // const uint8_t mk1[32]
      "u32", // spi
      "u32", // version
      "buffer", // uint8_t out[32]
    ],
    result: "i32",
  },
  psp_dp_seal: {
    parameters: [
      "u32", // backend
      "buffer", // const struct psp_dp_key *key
      "buffer", // const uint8_t *in
      "u32", // in_len
      "buffer", // uint8_t *out
      "u32", // cap
      "buffer", // uint32_t *len
    ],
    result: "i32",
  },
  psp_dp_unseal: {
    parameters: [
      "u32", // backend
      "buffer", // const struct psp_dp_key *key
      "u32", // versions
      "buffer", // const uint8_t *in
      "u32", // in_len
      "buffer", // uint8_t *out
      "u32", // cap
      "buffer", // uint32_t *len
      "buffer", // uint32_t *verdict
    ],
    result: "i32",
  },

  // the machine and its service manager
  psp_dp_host_report: {
    parameters: ["buffer", /* char *buf */ "u32", /* cap */ "buffer" /* uint32_t *len */],
    result: "i32",
  },
  psp_dp_interfaces: {
    parameters: ["buffer", /* char *buf */ "u32", /* cap */ "buffer" /* uint32_t *len */],
    result: "i32",
  },
  psp_dp_short_turns: { parameters: [], result: "i32" },
  psp_dp_notify: {
    parameters: [
      "buffer", // const char *path
      "u32", // path_len
      "buffer", // const char *text
      "u32", // len
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions, bound to a library. */
export type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

// ---- structs -------------------------------------------------------------------------------------

/**
 * Where the fields of the ABI's structs lie: [offset, size] in octets, `"."` the whole struct. The
 * library says the same by psp_dp_layout(), and a test compares.
 */
export const LAYOUT = {
  psp_dp_rate: {
    ".": [0, 8],
    per_s: [0, 4],
    burst: [4, 4],
  },
  psp_dp_port_desc: {
    ".": [0, 192],
    size: [0, 4],
    kind: [4, 4],
    name: [8, 64],
    vlan: [72, 2],
    guard: [74, 1],
    pad0: [75, 1],
    network: [76, 4],
    miss: [80, 8],
    miss_per_mac: [88, 8],
    exception: [96, 8],
    exception_per_mac: [104, 8],
    hold_flows: [112, 4],
    pad1: [116, 4],
    hold_bytes: [120, 8],
    reserved: [128, 64],
  },
  psp_dp_config: {
    ".": [0, 672],
    size: [0, 4],
    backend: [4, 4],
    max_entries: [8, 4],
    max_crypto_ids: [12, 4],
    hold_packets_per_flow: [16, 4],
    hold_flows: [20, 4],
    hold_bytes: [24, 8],
    ring_bytes: [32, 20],
    sample_bytes: [52, 4],
    versions: [56, 4],
    mss_clamp: [60, 1],
    inspect: [61, 1],
    pad0: [62, 2],
    workers: [64, 4],
    busy_poll_us: [68, 4],
    cpus: [72, 64],
    queues: [136, 4],
    hugepages_mb: [140, 4],
    mbufs: [144, 4],
    pad1: [148, 4],
    actions_memory: [152, 8],
    devargs: [160, 256],
    representor: [416, 64],
    flow_mode: [480, 64],
    gateway_mac: [544, 6],
    pad2: [550, 2],
    reserved: [552, 120],
  },
  psp_dp_granted: {
    ".": [0, 136],
    size: [0, 4],
    max_entries: [4, 4],
    max_crypto_ids: [8, 4],
    hold_packets_per_flow: [12, 4],
    hold_flows: [16, 4],
    ring_bytes: [20, 20],
    sample_bytes: [40, 4],
    workers: [44, 4],
    queues: [48, 4],
    mbufs: [52, 4],
    hold_bytes: [56, 8],
    actions_memory: [64, 8],
    features: [72, 4],
    pad0: [76, 4],
    reserved: [80, 56],
  },
  psp_dp_port_info: {
    ".": [0, 232],
    size: [0, 4],
    kind: [4, 4],
    network: [8, 4],
    ifindex: [12, 4],
    mtu: [16, 4],
    mac: [20, 6],
    present: [26, 1],
    link_up: [27, 1],
    forwards: [28, 1],
    guard: [29, 1],
    guard_reason: [30, 1],
    pad0: [31, 1],
    guard_restored: [32, 4],
    identity: [36, 4],
    name: [40, 64],
    rx_packets: [104, 8],
    rx_bytes: [112, 8],
    tx_packets: [120, 8],
    tx_bytes: [128, 8],
    tx_busy: [136, 8],
    tx_error: [144, 8],
    misses_limited: [152, 8],
    exceptions_limited: [160, 8],
    reserved: [168, 64],
  },
  psp_dp_next_hop: {
    ".": [0, 60],
    size: [0, 4],
    via_gateway: [4, 1],
    resolved: [5, 1],
    mac: [6, 6],
    address: [12, 16],
    source: [28, 16],
    probe: [44, 1],
    reserved: [45, 15],
  },
  psp_dp_match: {
    ".": [0, 136],
    size: [0, 4],
    parser_meta_port_id: [4, 2],
    parser_meta_outer_l3_type: [6, 1],
    parser_meta_outer_l4_type: [7, 1],
    parser_meta_inner_l3_type: [8, 1],
    parser_meta_psp_syndrome: [9, 1],
    parser_meta_random: [10, 2],
    meta_pkt_meta: [12, 4],
    outer_eth_type: [16, 2],
    outer_l4_src_port: [18, 2],
    outer_l4_dst_port: [20, 2],
    outer_ip_proto: [22, 1],
    outer_icmp_type: [23, 1],
    outer_ip_src: [24, 16],
    outer_ip_dst: [40, 16],
    inner_ip_src: [56, 16],
    inner_ip_dst: [72, 16],
    tun_psp_spi: [88, 4],
    tun_psp_nexthdr: [92, 1],
    tun_psp_hdrextlen: [93, 1],
    tun_psp_res_cryptofst: [94, 1],
    tun_psp_s_d_ver_v: [95, 1],
    tun_psp_vc: [96, 8],
    meta_network: [104, 4],
    pad0: [108, 4],
    reserved: [112, 24],
  },
  psp_dp_actions: {
    ".": [0, 240],
    size: [0, 4],
    flags: [4, 4],
    crypto_id: [8, 4],
    pkt_meta: [12, 4],
    eth_dst: [16, 6],
    eth_src: [22, 6],
    encap_net_type: [28, 1],
    crypt_offset: [29, 1],
    encap_size: [30, 2],
    encap_data: [32, 176],
    path_mtu: [208, 4],
    replay_window: [212, 4],
    reserved: [216, 24],
  },
  psp_dp_monitor: {
    ".": [0, 32],
    size: [0, 4],
    counter: [4, 1],
    mirror: [5, 1],
    notify: [6, 1],
    pad0: [7, 1],
    reserved: [8, 24],
  },
  psp_dp_fwd: {
    ".": [0, 16],
    size: [0, 4],
    type: [4, 4],
    target: [8, 4],
    reserved: [12, 4],
  },
  psp_dp_pipe_desc: {
    ".": [0, 560],
    size: [0, 4],
    name: [4, 32],
    type: [36, 4],
    domain: [40, 4],
    is_root: [44, 1],
    miss_counter: [45, 1],
    pad0: [46, 2],
    nr_entries: [48, 4],
    pad1: [52, 4],
    match_mask: [56, 136],
    actions: [192, 240],
    monitor: [432, 32],
    fwd: [464, 16],
    fwd_miss: [480, 16],
    reserved: [496, 64],
  },
  psp_dp_stats: {
    ".": [0, 64],
    size: [0, 4],
    entries: [4, 4],
    packets: [8, 8],
    bytes: [16, 8],
    miss_packets: [24, 8],
    miss_bytes: [32, 8],
    last_used_ns: [40, 8],
    reserved: [48, 16],
  },
  psp_dp_entry_desc: {
    ".": [0, 600],
    size: [0, 4],
    priority: [4, 4],
    match: [8, 136],
    match_mask: [144, 136],
    actions: [280, 240],
    monitor: [520, 32],
    fwd: [552, 16],
    reserved: [568, 32],
  },
  psp_dp_entry_item: {
    ".": [0, 688],
    size: [0, 4],
    op: [4, 4],
    pipe: [8, 4],
    entry: [12, 4],
    status: [16, 4],
    pad0: [20, 4],
    stats: [24, 64],
    desc: [88, 600],
  },
  psp_dp_key: {
    ".": [0, 88],
    size: [0, 4],
    spi: [4, 4],
    version: [8, 1],
    pad0: [9, 3],
    key: [12, 32],
    pad1: [44, 4],
    iv_limit: [48, 8],
    iv_start: [56, 8],
    reserved: [64, 24],
  },
  psp_dp_key_item: {
    ".": [0, 168],
    size: [0, 4],
    op: [4, 4],
    crypto_id: [8, 4],
    status: [12, 4],
    stats: [16, 64],
    key: [80, 88],
  },
  psp_dp_master_key_info: {
    ".": [0, 56],
    size: [0, 4],
    active: [4, 4],
    rotations: [8, 8],
    spis_left: [16, 8],
    reserved: [24, 32],
  },
  psp_dp_event: {
    ".": [0, 88],
    record_size: [0, 4],
    type: [4, 2],
    port: [6, 2],
    flow: [8, 4],
    pipe: [12, 4],
    spi: [16, 4],
    packet_len: [20, 4],
    time_ns: [24, 8],
    src: [32, 16],
    dst: [48, 16],
    eth_src: [64, 6],
    syndrome: [70, 1],
    egress: [71, 1],
    mtu: [72, 4],
    data_len: [76, 4],
    network: [80, 4],
    pad0: [84, 4],
  },
} as const;

/**
 * The bounds of every size that a plane is opened with, and what 0 stands for, by the field of psp_dp_config or
 * psp_dp_port_desc; and of the window of psp_dp_actions, where 0 is none and `default` an agent's own choice. The library says the same by psp_dp_limits(), and a test compares; nobody else has these numbers.
 */
export const LIMITS = {
  max_entries: { min: 1, default: 262144, max: 16777216 },
  max_crypto_ids: { min: 1, default: 131072, max: 16777216 },
  hold_packets_per_flow: { min: 1, default: 64, max: 65536 },
  hold_flows: { min: 1, default: 16384, max: 1048576 },
  hold_bytes: { min: 65536, default: 16777216, max: 17179869184 },
  ring_bytes: { min: 4096, default: 1048576, max: 1073741824 },
  sample_bytes: { min: 20, default: 128, max: 2048 },
  hugepages_mb: { min: 2, default: 0, max: 1048576 },
  mbufs: { min: 512, default: 8192, max: 1048576 },
  actions_memory: { min: 1048576, default: 0, max: 2147483648 },
  vlan: { min: 0, default: 0, max: 4094 },
  replay_window: { min: 1024, default: 4096, max: 65536 },
} as const satisfies Readonly<Record<string, Limit>>;

/** Host ports that a plane has room for: PSP_DP_PORTS_MAX of psp_dp.h, less the uplink. */
export const HOST_PORTS_MAX = 256;
/** PSP_DP_WORKERS_MAX and PSP_DP_BUSY_POLL_US_MAX of psp_dp.h. */
export const WORKERS_MAX = 64;
export const BUSY_POLL_US_MAX = 1000;

/** One of them. */
export interface Limit {
  readonly min: number;
  readonly default: number;
  readonly max: number;
}

/** A struct of psp_dp.h. */
export type StructName = keyof typeof LAYOUT;

/** A field's place: offset and size in octets. */
export type Field = readonly [offset: number, size: number];

/** Size of a struct in octets. */
export function sizeOf(struct: StructName): number {
  return LAYOUT[struct]["."][1];
}
