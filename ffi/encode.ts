// SPDX-License-Identifier: Apache-2.0

/** Descriptors as the structs of the ABI. Each function throws RangeError when a value does not fit. */
import { putMac } from "./address.ts";
import { PORTS, putMask, putMatch, wholeFields } from "./encode_match.ts";
import type {
  Actions,
  Domain,
  DropReason,
  EntryDescriptor,
  Fwd,
  Monitor,
  PipeDescriptor,
  PlaneOptions,
  PspVersionNumber,
  SpiKey,
  TxKey,
} from "./plane.ts";
import { Struct } from "./struct.ts";

/** enum psp_dp_backend */
export const BACKENDS = { auto: 0, openssl: 1, "ipsec-mb": 2 } as const;
const DOMAINS: Readonly<Record<Domain, number>> = {
  default: 0,
  secure_ingress: 1,
  egress: 2,
  secure_egress: 3,
};
/** enum psp_dp_action */
const ACTION = {
  DECRYPT: 1 << 0,
  DECAP: 1 << 1,
  ENCAP: 1 << 2,
  ENCRYPT: 1 << 3,
  SET_PKT_META: 1 << 4,
  SET_S: 1 << 5,
  COPY_DSCP: 1 << 6,
  CHECK_CRYPT_OFFSET: 1 << 7,
};
/** enum psp_dp_net_type */
const NET_TYPES = { psp_tunnel: 0, psp_transport: 1 };
/** enum psp_dp_fwd_type */
const FWD = { PORT: 1, PIPE: 2, RSS: 3, DROP: 4, KERNEL: 5 };
/** enum psp_dp_rss */
const RSS = { miss: 0, exception: 1 };

/** enum psp_dp_drop_reason */
export const DROP_REASONS: Readonly<Record<DropReason, number>> = {
  no_peer: 0,
  peer_unreachable: 1,
  refused: 2,
  no_resource: 3,
  shutdown: 4,
  back_off: 5,
};

/** struct psp_dp_config */
export function encodeConfig(options: PlaneOptions): Struct<"psp_dp_config"> {
  return Struct.sized("psp_dp_config")
    .set("backend", BACKENDS[options.backend ?? "auto"])
    .setText("uplink", options.uplink)
    .setText("host", options.host)
    .set("max_entries", options.maxEntries ?? 0)
    .set("max_crypto_ids", options.maxCryptoIds ?? 0)
    .set("hold_packets_per_flow", options.holdPacketsPerFlow ?? 0)
    .set("hold_flows", options.holdFlows ?? 0)
    .set("hold_bytes", options.holdBytes ?? 0)
    .set("sample_bytes", options.sampleBytes ?? 0)
    .set("versions", versionBits(options.versions ?? []))
    .set("uplink_vlan", options.uplinkVlan ?? 0)
    .set("mss_clamp", options.mssClamp ? 1 : 0)
    .setText("options", options.options ?? "");
}

/** Bit n: PSP version n. */
export function versionBits(versions: readonly PspVersionNumber[]): number {
  return versions.reduce<number>((bits, version) => bits | 1 << version, 0);
}

/** struct psp_dp_pipe_desc */
export function encodePipe(pipe: PipeDescriptor): Struct<"psp_dp_pipe_desc"> {
  const desc = Struct.sized("psp_dp_pipe_desc")
    .setText("name", pipe.name)
    .set("type", pipe.type === "control" ? 1 : 0)
    .set("domain", DOMAINS[pipe.domain])
    .set("is_root", pipe.is_root ? 1 : 0)
    .set("miss_counter", pipe.miss_counter ? 1 : 0)
    .set("nr_entries", pipe.nr_entries);
  putMask(desc.inner("match_mask", "psp_dp_match"), pipe.match_mask ?? {});
  putActions(desc.inner("actions", "psp_dp_actions"), pipe.actions);
  putMonitor(desc.inner("monitor", "psp_dp_monitor"), pipe.monitor);
  putFwd(desc.inner("fwd", "psp_dp_fwd"), pipe.fwd);
  putFwd(desc.inner("fwd_miss", "psp_dp_fwd"), pipe.fwd_miss);
  return desc;
}

/**
 * struct psp_dp_entry_desc, filled in anew for each entry: an agent programs thousands in a second, and octets of
 * this size are the costly kind of garbage.
 */
export class EntryEncoder {
  readonly #desc = new Struct("psp_dp_entry_desc");
  readonly #match = this.#desc.inner("match", "psp_dp_match");
  readonly #mask = this.#desc.inner("match_mask", "psp_dp_match");
  readonly #actions = this.#desc.inner("actions", "psp_dp_actions");
  readonly #monitor = this.#desc.inner("monitor", "psp_dp_monitor");
  readonly #fwd = this.#desc.inner("fwd", "psp_dp_fwd");

  /** Good until the next call. `control`: the pipe is one, so the entry carries its own mask. */
  encode(
    entry: EntryDescriptor,
    { control }: { readonly control: boolean },
  ): Struct<"psp_dp_entry_desc"> {
    this.#desc.bytes.fill(0);
    this.#desc.setSize().set("priority", entry.priority ?? 0);
    putMatch(this.#match, entry.match);
    this.#mask.setSize();
    if (control) putMask(this.#mask, entry.match_mask ?? wholeFields(entry.match));
    putActions(this.#actions, entry.actions);
    putMonitor(this.#monitor, entry.monitor);
    putFwd(this.#fwd, entry.fwd);
    return this.#desc;
  }
}

/** struct psp_dp_key, into one of zeros. It holds the key in clear: wipe `bytes` after use. */
export function encodeKey(
  key: SpiKey | TxKey,
  into: Struct<"psp_dp_key"> = new Struct("psp_dp_key"),
): Struct<"psp_dp_key"> {
  return into.setSize()
    .set("spi", key.spi >>> 0)
    .set("version", key.version)
    .setOctets("key", key.key.reveal())
    .set("iv_limit", "ivLimit" in key ? key.ivLimit : 0n);
}

function putActions(struct: Struct<"psp_dp_actions">, actions: Actions | undefined): void {
  struct.setSize();
  let flags = 0;
  const { crypto, crypto_encap: encap, meta, tun } = actions ?? {};
  if (crypto?.action === "decrypt") flags |= ACTION.DECRYPT;
  if (crypto?.action === "encrypt") {
    flags |= ACTION.ENCRYPT;
    struct.set("crypto_id", crypto.crypto_id);
  }
  if (encap !== undefined) struct.set("encap_net_type", NET_TYPES[encap.net_type]);
  if (encap?.action === "encap") {
    flags |= ACTION.ENCAP | (encap.copy_dscp ? ACTION.COPY_DSCP : 0);
    struct.set("encap_size", encap.encap_data.length).setOctets("encap_data", encap.encap_data);
  }
  if (encap?.action === "decap") {
    flags |= ACTION.DECAP;
    struct.write("eth_dst", putMac, encap.eth_dst).write("eth_src", putMac, encap.eth_src);
    if (encap.crypt_offset !== undefined) {
      flags |= ACTION.CHECK_CRYPT_OFFSET;
      struct.set("crypt_offset", encap.crypt_offset);
    }
  }
  if (meta !== undefined) {
    flags |= ACTION.SET_PKT_META;
    struct.set("pkt_meta", meta.pkt_meta);
  }
  if (tun !== undefined) flags |= ACTION.SET_S;
  struct.set("flags", flags);
}

function putMonitor(struct: Struct<"psp_dp_monitor">, monitor: Monitor | undefined): void {
  struct.setSize();
  if (monitor?.counter) struct.set("counter", 1);
  if (monitor?.mirror) struct.set("mirror", 1);
  if (monitor?.notify) struct.set("notify", 1);
}

function putFwd(struct: Struct<"psp_dp_fwd">, fwd: Fwd | undefined): void {
  struct.setSize();
  switch (fwd?.type) {
    case undefined:
      return;
    case "port":
      struct.set("type", FWD.PORT).set("target", PORTS[fwd.port]);
      return;
    case "pipe":
      struct.set("type", FWD.PIPE).set("target", fwd.pipe);
      return;
    case "rss":
      struct.set("type", FWD.RSS).set("target", RSS[fwd.rss]);
      return;
    case "drop":
      struct.set("type", FWD.DROP);
      return;
    case "kernel":
      struct.set("type", FWD.KERNEL);
      return;
    default:
      fwd satisfies never;
  }
}
