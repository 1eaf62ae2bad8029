// SPDX-License-Identifier: Apache-2.0

/** Descriptors as the structs of the ABI. Each function throws RangeError when a value does not fit. */
import { addressBytes, macBytes } from "./address.ts";
import type {
  Actions,
  Domain,
  EntryDescriptor,
  Fwd,
  L3,
  L4,
  Match,
  MatchMask,
  Monitor,
  PipeDescriptor,
  PlaneOptions,
  PortName,
  PspVersionNumber,
  SpiKey,
  Syndrome,
  TxKey,
} from "./plane.ts";
import { Struct } from "./struct.ts";

/** enum psp_dp_port */
export const PORTS: Readonly<Record<PortName, number>> = { uplink: 0, host: 1 };
/** enum psp_dp_backend */
export const BACKENDS = { auto: 0, openssl: 1, "ipsec-mb": 2 } as const;
const DOMAINS: Readonly<Record<Domain, number>> = {
  default: 0,
  secure_ingress: 1,
  egress: 2,
  secure_egress: 3,
};
const L3S: Readonly<Record<L3, number>> = { ipv4: 1, ipv6: 2 };
const L4S: Readonly<Record<L4, number>> = { tcp: 1, udp: 2, icmp: 3, icmp6: 4 };
const SYNDROMES: Readonly<Record<Syndrome, number>> = { ok: 0, icv_failed: 1, bad_trailer: 2 };
/** enum psp_dp_action */
const ACTION = {
  DECRYPT: 1 << 0,
  DECAP: 1 << 1,
  ENCAP: 1 << 2,
  ENCRYPT: 1 << 3,
  SET_PKT_META: 1 << 4,
  SET_S: 1 << 5,
  COPY_DSCP: 1 << 6,
};
/** enum psp_dp_net_type */
const NET_TYPES = { psp_tunnel: 0, psp_transport: 1 };
/** enum psp_dp_fwd_type */
const FWD = { PORT: 1, PIPE: 2, RSS: 3, DROP: 4, KERNEL: 5 };
/** enum psp_dp_rss */
const RSS = { miss: 0, exception: 1 };

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

/** struct psp_dp_entry_desc. `control`: the pipe is one, so the entry carries its own mask. */
export function encodeEntry(
  entry: EntryDescriptor,
  { control }: { readonly control: boolean },
): Struct<"psp_dp_entry_desc"> {
  const desc = Struct.sized("psp_dp_entry_desc").set("priority", entry.priority ?? 0);
  putMatch(desc.inner("match", "psp_dp_match"), entry.match);
  const mask = desc.inner("match_mask", "psp_dp_match").setSize();
  if (control) putMask(mask, entry.match_mask ?? wholeFields(entry.match));
  putActions(desc.inner("actions", "psp_dp_actions"), entry.actions);
  putMonitor(desc.inner("monitor", "psp_dp_monitor"), entry.monitor);
  putFwd(desc.inner("fwd", "psp_dp_fwd"), entry.fwd);
  return desc;
}

/** struct psp_dp_key. It holds the key in clear: wipe `bytes` after use. */
export function encodeKey(key: SpiKey | TxKey): Struct<"psp_dp_key"> {
  return Struct.sized("psp_dp_key")
    .set("spi", key.spi >>> 0)
    .set("version", key.version)
    .setOctets("key", key.key.reveal())
    .set("iv_limit", "ivLimit" in key ? key.ivLimit : 0n);
}

type MatchStruct = Struct<"psp_dp_match">;
type MatchField = Parameters<MatchStruct["set"]>[0];

/** Where each field of `Match` lies, and how its value becomes a number. Addresses: `putAddress`. */
const NUMBERS: readonly {
  readonly field: MatchField;
  readonly of: (match: Match) => number | bigint | undefined;
  readonly mask: (mask: MatchMask) => true | number | bigint | undefined;
}[] = [
  {
    field: "parser_meta_port_id",
    // 0 is never a port, so that a mask can say "any".
    of: (m) => map(m.parser_meta?.port_id, (port) => PORTS[port] + 1),
    mask: (m) => m.parser_meta?.port_id,
  },
  {
    field: "parser_meta_outer_l3_type",
    of: (m) => map(m.parser_meta?.outer_l3_type, (l3) => L3S[l3]),
    mask: (m) => m.parser_meta?.outer_l3_type,
  },
  {
    field: "parser_meta_outer_l4_type",
    of: (m) => map(m.parser_meta?.outer_l4_type, (l4) => L4S[l4]),
    mask: (m) => m.parser_meta?.outer_l4_type,
  },
  {
    field: "parser_meta_inner_l3_type",
    of: (m) => map(m.parser_meta?.inner_l3_type, (l3) => L3S[l3]),
    mask: (m) => m.parser_meta?.inner_l3_type,
  },
  {
    field: "parser_meta_psp_syndrome",
    of: (m) => map(m.parser_meta?.psp_syndrome, (syndrome) => SYNDROMES[syndrome]),
    mask: (m) => m.parser_meta?.psp_syndrome,
  },
  {
    field: "parser_meta_random",
    of: (m) => m.parser_meta?.random,
    mask: (m) => m.parser_meta?.random,
  },
  { field: "meta_pkt_meta", of: (m) => m.meta?.pkt_meta, mask: (m) => m.meta?.pkt_meta },
  { field: "outer_eth_type", of: (m) => m.outer?.eth_type, mask: (m) => m.outer?.eth_type },
  { field: "outer_l4_src_port", of: (m) => m.outer?.src_port, mask: (m) => m.outer?.src_port },
  { field: "outer_l4_dst_port", of: (m) => m.outer?.dst_port, mask: (m) => m.outer?.dst_port },
  { field: "outer_ip_proto", of: (m) => m.outer?.ip_proto, mask: (m) => m.outer?.ip_proto },
  { field: "outer_icmp_type", of: (m) => m.outer?.icmp_type, mask: (m) => m.outer?.icmp_type },
  { field: "tun_psp_spi", of: (m) => m.tun?.psp?.spi, mask: (m) => m.tun?.psp?.spi },
  { field: "tun_psp_nexthdr", of: (m) => m.tun?.psp?.nexthdr, mask: (m) => m.tun?.psp?.nexthdr },
  {
    field: "tun_psp_hdrextlen",
    of: (m) => m.tun?.psp?.hdrextlen,
    mask: (m) => m.tun?.psp?.hdrextlen,
  },
  {
    field: "tun_psp_res_cryptofst",
    of: (m) => m.tun?.psp?.res_cryptofst,
    mask: (m) => m.tun?.psp?.res_cryptofst,
  },
  {
    field: "tun_psp_s_d_ver_v",
    of: (m) => m.tun?.psp?.s_d_ver_v,
    mask: (m) => m.tun?.psp?.s_d_ver_v,
  },
  { field: "tun_psp_vc", of: (m) => m.tun?.psp?.vc, mask: (m) => m.tun?.psp?.vc },
];

const ADDRESSES: readonly {
  readonly field: MatchField;
  readonly of: (match: Match | MatchMask) => string | true | number | undefined;
}[] = [
  { field: "outer_ip_src", of: (m) => m.outer?.src_ip },
  { field: "outer_ip_dst", of: (m) => m.outer?.dst_ip },
  { field: "inner_ip_src", of: (m) => m.inner?.src_ip },
  { field: "inner_ip_dst", of: (m) => m.inner?.dst_ip },
];

function putMatch(struct: MatchStruct, match: Match): void {
  struct.setSize();
  for (const { field, of } of NUMBERS) {
    const value = of(match);
    if (value !== undefined) struct.set(field, value);
  }
  for (const { field, of } of ADDRESSES) {
    const value = of(match);
    if (typeof value === "string") struct.setOctets(field, addressBytes(value));
  }
}

function putMask(struct: MatchStruct, mask: MatchMask): void {
  struct.setSize();
  for (const { field, mask: of } of NUMBERS) {
    const bits = of(mask);
    if (bits === true) struct.octets(field).fill(0xff);
    else if (bits !== undefined) struct.set(field, bits);
  }
  for (const { field, of } of ADDRESSES) {
    const bits = of(mask);
    if (bits === undefined) continue;
    if (bits !== true) throw new RangeError(`the mask of ${field} must be the whole field`);
    struct.octets(field).fill(0xff);
  }
}

/** The mask that compares each field of a match, whole. */
function wholeFields(match: Match): MatchMask {
  const whole = (group: object | undefined) =>
    Object.fromEntries(
      Object.entries(group ?? {}).filter(([, v]) => v !== undefined).map(([k]) => [k, true]),
    );
  return {
    parser_meta: whole(match.parser_meta),
    meta: whole(match.meta),
    outer: whole(match.outer),
    inner: whole(match.inner),
    tun: { psp: whole(match.tun?.psp) },
  };
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
    struct.setOctets("eth_dst", macBytes(encap.eth_dst));
    struct.setOctets("eth_src", macBytes(encap.eth_src));
  }
  if (meta !== undefined) {
    flags |= ACTION.SET_PKT_META;
    struct.set("pkt_meta", meta.pkt_meta);
  }
  if (tun !== undefined) flags |= ACTION.SET_S;
  struct.set("flags", flags);
}

function putMonitor(struct: Struct<"psp_dp_monitor">, monitor: Monitor | undefined): void {
  struct.setSize()
    .set("counter", monitor?.counter ? 1 : 0)
    .set("mirror", monitor?.mirror ? 1 : 0)
    .set("notify", monitor?.notify ? 1 : 0);
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

function map<T, R>(value: T | undefined, f: (value: T) => R): R | undefined {
  return value === undefined ? undefined : f(value);
}
