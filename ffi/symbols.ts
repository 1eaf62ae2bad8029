// SPDX-License-Identifier: Apache-2.0

/**
 * The functions of `c-shim/psp_dp.h`. A handle travels as a number: making a pointer object of it would need the
 * permission to load any library.
 */

/** The one symbol that is looked at before the others are trusted. */
export const VERSION_SYMBOLS = {
  psp_dp_abi_version: { parameters: ["buffer" /* uint32_t *abi */], result: "i32" },
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

  // open and close
  psp_dp_open: {
    parameters: [
      "buffer", // const struct psp_dp_config *config
      "buffer", // struct psp_dp **out
      "buffer", // char *err
      "u32", // err_cap
    ],
    result: "i32",
  },
  psp_dp_start: { parameters: ["u64" /* dp */], result: "i32" },
  // May take a second: never on the event loop.
  psp_dp_close: { parameters: ["u64" /* dp */], result: "i32", nonblocking: true },
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

  // crypto
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
