// SPDX-License-Identifier: Apache-2.0

/**
 * Between the plain objects of plane.ts and the structs of the ABI in memory. What is encoded throws RangeError when a
 * value does not fit. Lists of changes are arrays of the ABI's items.
 */
import { addressText, macText, putAddress, putMac } from "./address.ts";
import { Key } from "./key.ts";
import {
  type Actions,
  DataPlaneError,
  type Domain,
  type DropReason,
  type EntryChange,
  type EntryDescriptor,
  type Feature,
  type Fwd,
  type Granted,
  type KeyChange,
  type MasterKeyInfo,
  type Match,
  type MatchMask,
  type Monitor,
  type NextHop,
  type PipeDescriptor,
  type PipeStats,
  type PlaneEvent,
  type PlaneOptions,
  type PortGuard,
  type PortInfo,
  type PortName,
  type PortOptions,
  type PspVersionNumber,
  type Rate,
  type SpiKey,
  type Stats,
  type Syndrome,
  type TxKey,
} from "./plane.ts";
import { type Field, LAYOUT, sizeOf, type StructName } from "./symbols.ts";

// ---- a struct ------------------------------------------------------------------------------------

// Every machine that Deno runs on is little-endian.
const LITTLE_ENDIAN = true;

type FieldName<S extends StructName> = Exclude<keyof (typeof LAYOUT)[S], "."> & string;

/** A struct, or a struct within a struct, over the caller's octets. */
export class Struct<S extends StructName> {
  readonly #whole: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #base: number;
  readonly #fields: Readonly<Record<string, Field>>;

  /**
   * Over `size` octets from `offset` of `bytes`; without `bytes` a fresh one of zeros. `view`: of those very
   * octets, where there is one already.
   */
  constructor(readonly name: S, bytes?: Uint8Array<ArrayBuffer>, offset = 0, view?: DataView) {
    this.#whole = bytes ?? new Uint8Array(sizeOf(name));
    const { buffer, byteOffset, byteLength } = this.#whole;
    if (offset + sizeOf(name) > byteLength) fail(`${name} does not fit ${byteLength} octets`);
    this.#view = view ?? new DataView(buffer, byteOffset, byteLength);
    this.#base = offset;
    this.#fields = LAYOUT[name];
  }

  /** A fresh struct whose `size` says its own size. */
  static sized<S extends StructName>(name: S): Struct<S> {
    return new Struct(name).setSize();
  }

  /** The octets of the struct, in place. */
  get bytes(): Uint8Array<ArrayBuffer> {
    const size = sizeOf(this.name);
    if (this.#whole.length === size) return this.#whole;
    return this.#whole.subarray(this.#base, this.#base + size);
  }

  setSize(): this {
    this.#view.setUint32(this.#base, sizeOf(this.name), LITTLE_ENDIAN);
    return this;
  }

  /** A struct that lies within this one. */
  inner<I extends StructName>(field: FieldName<S>, name: I): Struct<I> {
    return new Struct(name, this.#whole, this.#base + this.#field(field)[0], this.#view);
  }

  number(field: FieldName<S>): number {
    const [offset, size] = this.#field(field);
    switch (size) {
      case 1:
        return this.#view.getUint8(this.#base + offset);
      case 2:
        return this.#view.getUint16(this.#base + offset, LITTLE_ENDIAN);
      case 4:
        return this.#view.getUint32(this.#base + offset, LITTLE_ENDIAN);
      default:
        throw new RangeError(`${this.name}.${field} is no number of 32 bits or less`);
    }
  }

  /** A field that is a row of numbers of 32 bits. */
  numbers(field: FieldName<S>): number[] {
    const [offset, size] = this.#field(field);
    return Array.from(
      { length: size / 4 },
      (_, i) => this.#view.getUint32(this.#base + offset + 4 * i, LITTLE_ENDIAN),
    );
  }

  /** Each number of such a row. Throws RangeError when it does not fit. */
  setNumbers(field: FieldName<S>, value: number): this {
    const [offset, size] = this.#field(field);
    if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** 32) {
      throw new RangeError(`${value} does not fit ${this.name}.${field}`);
    }
    for (let i = 0; i < size; i += 4) {
      this.#view.setUint32(this.#base + offset + i, value, LITTLE_ENDIAN);
    }
    return this;
  }

  bigint(field: FieldName<S>): bigint {
    return this.#view.getBigUint64(this.#base + this.#field(field)[0], LITTLE_ENDIAN);
  }

  /** The octets of a field, in place. */
  octets(field: FieldName<S>): Uint8Array<ArrayBuffer> {
    const [offset, size] = this.#field(field);
    return this.#whole.subarray(this.#base + offset, this.#base + offset + size);
  }

  /** A copy of the first octets of a field. */
  copyOf(field: FieldName<S>, length: number): Uint8Array<ArrayBuffer> {
    const start = this.#base + this.#field(field)[0];
    return this.#whole.slice(start, start + length);
  }

  /** Throws RangeError when the value does not fit the field. */
  set(field: FieldName<S>, value: number | bigint): this {
    const [offset, size] = this.#field(field);
    const fits = typeof value === "bigint"
      ? value < 1n << BigInt(size * 8)
      : Number.isSafeInteger(value) && value < 2 ** (size * 8);
    if (!fits || value < 0) {
      throw new RangeError(`${value} does not fit ${this.name}.${field} of ${size} octets`);
    }
    const at = this.#base + offset;
    if (size === 1) this.#view.setUint8(at, Number(value));
    else if (size === 2) this.#view.setUint16(at, Number(value), LITTLE_ENDIAN);
    else if (size === 4) this.#view.setUint32(at, Number(value), LITTLE_ENDIAN);
    else this.#view.setBigUint64(at, BigInt(value), LITTLE_ENDIAN);
    return this;
  }

  /** Copies octets to the start of a field. Throws RangeError when there are too many. */
  setOctets(field: FieldName<S>, octets: Uint8Array): this {
    const [offset, size] = this.#field(field);
    if (octets.length > size) {
      throw new RangeError(`${octets.length} octets do not fit ${this.name}.${field} of ${size}`);
    }
    this.#whole.set(octets, this.#base + offset);
    return this;
  }

  /** Has `put` (`putAddress`, `putMac`) write what a text stands for into a field. Throws what that throws. */
  write(
    field: FieldName<S>,
    put: (octets: Uint8Array, text: string, at: number) => void,
    text: string,
  ): this {
    put(this.#whole, text, this.#base + this.#field(field)[0]);
    return this;
  }

  /** UTF-8 up to its 0. */
  text(field: FieldName<S>): string {
    const octets = this.octets(field);
    const end = octets.indexOf(0);
    return new TextDecoder().decode(octets.subarray(0, end < 0 ? octets.length : end));
  }

  /** UTF-8, 0-terminated. Throws RangeError when it does not fit or holds a 0. */
  setText(field: FieldName<S>, text: string): this {
    const octets = new TextEncoder().encode(text);
    if (octets.includes(0) || octets.length >= this.octets(field).length) {
      throw new RangeError(`"${text}" does not fit ${this.name}.${field}`);
    }
    return this.setOctets(field, octets);
  }

  #field(field: FieldName<S>): Field {
    return this.#fields[field] ?? fail(`${this.name} has no field ${field}`);
  }
}

function fail(message: string): never {
  throw new RangeError(message);
}

// ---- descriptors ---------------------------------------------------------------------------------

/** enum psp_dp_port_kind */
const PORT_KINDS: Readonly<Record<PortName, number>> = { uplink: 0, host: 1 };
/** enum psp_dp_syndrome */
const SYNDROMES: Readonly<Record<Syndrome, number>> = { ok: 0, icv_failed: 1, bad_trailer: 2 };
/** enum psp_dp_backend */
export const BACKENDS = { auto: 0, openssl: 1, "ipsec-mb": 2, vaes: 3 } as const;
/** enum psp_dp_inspect */
const INSPECT = { off: 0, syn: 1, all: 2 } as const;
/** enum psp_dp_guard_mode */
const GUARD_MODES = { auto: 0, require: 1, off: 2 } as const;
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
  CHECK_REPLAY: 1 << 8,
  ROUTE: 1 << 9,
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

/** As `gateway_mac`: host ports take frames for whatever MAC. */
const ANY_MAC = "00:00:00:00:00:00";

/** struct psp_dp_config */
export function encodeConfig(options: PlaneOptions): Struct<"psp_dp_config"> {
  return Struct.sized("psp_dp_config")
    .set("backend", BACKENDS[options.backend ?? "auto"])
    .set("max_entries", options.maxEntries ?? 0)
    .set("max_crypto_ids", options.maxCryptoIds ?? 0)
    .set("hold_packets_per_flow", options.holdPacketsPerFlow ?? 0)
    .set("hold_flows", options.holdFlows ?? 0)
    .set("hold_bytes", options.holdBytes ?? 0)
    .setNumbers("ring_bytes", options.ringBytes ?? 0)
    .set("sample_bytes", options.sampleBytes ?? 0)
    .set("versions", versionBits(options.versions ?? []))
    .set("mss_clamp", options.mssClamp ? 1 : 0)
    .set("inspect", INSPECT[options.inspect ?? "off"])
    .set("workers", options.workers ?? 0)
    .set("busy_poll_us", options.busyPollUs ?? 0)
    .set("hugepages_mb", options.hugepagesMb ?? 0)
    .set("mbufs", options.mbufs ?? 0)
    .set("actions_memory", options.actionsMemory ?? 0)
    .setText("devargs", options.devargs ?? "")
    .setText("representor", options.dpdkRepresentor ?? "")
    .setText("flow_mode", options.flowMode ?? "")
    .setOctets("cpus", cpuBits(options.cpus ?? []))
    .write("gateway_mac", putMac, options.gatewayMac ?? ANY_MAC);
}

/** struct psp_dp_port_desc */
export function encodePort(
  port: PortOptions,
  into: Struct<"psp_dp_port_desc"> = new Struct("psp_dp_port_desc"),
): Struct<"psp_dp_port_desc"> {
  into.setSize()
    .set("kind", PORT_KINDS[port.kind])
    .setText("name", port.name)
    .set("vlan", port.vlan ?? 0)
    .set("guard", GUARD_MODES[port.guard ?? "auto"])
    .set("network", port.network ?? 0)
    .set("hold_flows", port.holdFlows ?? 0)
    .set("hold_bytes", port.holdBytes ?? 0);
  putRate(into.inner("miss", "psp_dp_rate"), port.miss);
  putRate(into.inner("miss_per_mac", "psp_dp_rate"), port.missPerMac);
  putRate(into.inner("exception", "psp_dp_rate"), port.exception);
  putRate(into.inner("exception_per_mac", "psp_dp_rate"), port.exceptionPerMac);
  return into;
}

/** PSP_DP_RATE_NONE */
const RATE_NONE = 0xffffffff;

function putRate(struct: Struct<"psp_dp_rate">, rate: Rate | undefined): void {
  if (rate === undefined) return;
  struct.set("per_s", rate.perS === "none" ? RATE_NONE : rate.perS).set("burst", rate.burst ?? 0);
}

/** An array of struct psp_dp_port_desc. */
export function encodePorts(ports: readonly PortOptions[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ports.length * sizeOf("psp_dp_port_desc"));
  ports.forEach((port, i) =>
    encodePort(port, new Struct("psp_dp_port_desc", bytes, i * sizeOf("psp_dp_port_desc")))
  );
  return bytes;
}

/** Bit n of octet m: processor 8 m + n. */
function cpuBits(cpus: readonly number[]): Uint8Array {
  const bits = new Uint8Array(LAYOUT.psp_dp_config.cpus[1]);
  for (const cpu of cpus) {
    if (cpu >= bits.length * 8) throw new RangeError(`there is no processor ${cpu}`);
    bits[cpu >> 3] = (bits[cpu >> 3] ?? 0) | 1 << (cpu & 7);
  }
  return bits;
}

/** struct psp_dp_granted */
export function decodeGranted(struct: Struct<"psp_dp_granted">): Granted {
  return {
    maxEntries: struct.number("max_entries"),
    maxCryptoIds: struct.number("max_crypto_ids"),
    holdPacketsPerFlow: struct.number("hold_packets_per_flow"),
    holdFlows: struct.number("hold_flows"),
    holdBytes: Number(struct.bigint("hold_bytes")),
    ringBytes: struct.numbers("ring_bytes"),
    sampleBytes: struct.number("sample_bytes"),
    workers: struct.number("workers"),
    queues: struct.number("queues"),
    mbufs: struct.number("mbufs"),
    actionsMemory: Number(struct.bigint("actions_memory")),
    features: featuresOf(struct.number("features")),
  };
}

/** enum psp_dp_feature, from bit 0 on */
const FEATURES = ["iv-start", "iv-counts", "replay-window", "networks"] as const;

function featuresOf(bits: number): ReadonlySet<Feature> {
  return new Set(FEATURES.filter((_, i) => (bits & 1 << i) !== 0));
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

/**
 * struct psp_dp_key, into one of zeros. It holds the key in clear: wipe `bytes` after use. Throws RangeError for a key of
 * another length than its version's: the rest of it would be zeros that everybody knows.
 */
export function encodeKey(
  key: SpiKey | TxKey,
  into: Struct<"psp_dp_key"> = new Struct("psp_dp_key"),
): Struct<"psp_dp_key"> {
  if (key.key.length !== keyLength(key.version)) {
    throw new RangeError(
      `a key of ${key.key.length} octets is none of version ${key.version}, whose have ${
        keyLength(key.version)
      }`,
    );
  }
  return into.setSize()
    .set("spi", key.spi >>> 0)
    .set("version", key.version)
    .setOctets("key", key.key.reveal())
    .set("iv_limit", "ivLimit" in key ? key.ivLimit : 0n)
    .set("iv_start", "ivStart" in key ? key.ivStart ?? 0n : 0n);
}

function putActions(struct: Struct<"psp_dp_actions">, actions: Actions | undefined): void {
  struct.setSize();
  let flags = 0;
  const { crypto, crypto_encap: encap, route, meta, tun } = actions ?? {};
  if (crypto?.action === "decrypt") flags |= ACTION.DECRYPT;
  if (crypto?.action === "encrypt") {
    flags |= ACTION.ENCRYPT;
    struct.set("crypto_id", crypto.crypto_id);
  }
  if (encap !== undefined) struct.set("encap_net_type", NET_TYPES[encap.net_type]);
  if (encap?.action === "encap") {
    flags |= ACTION.ENCAP | (encap.copy_dscp ? ACTION.COPY_DSCP : 0);
    struct.set("encap_size", encap.encap_data.length).setOctets("encap_data", encap.encap_data);
    struct.set("path_mtu", encap.path_mtu ?? 0);
  }
  if (encap?.action === "decap") {
    flags |= ACTION.DECAP;
    struct.write("eth_dst", putMac, encap.eth_dst).write("eth_src", putMac, encap.eth_src);
    if (encap.crypt_offset !== undefined) {
      flags |= ACTION.CHECK_CRYPT_OFFSET;
      struct.set("crypt_offset", encap.crypt_offset);
    }
    if (encap.replay_window !== undefined && encap.replay_window !== 0) {
      flags |= ACTION.CHECK_REPLAY;
      struct.set("replay_window", encap.replay_window);
    }
  }
  if (route !== undefined) {
    flags |= ACTION.ROUTE;
    struct.write("eth_dst", putMac, route.eth_dst).write("eth_src", putMac, route.eth_src);
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
      struct.set("type", FWD.PORT).set("target", fwd.port);
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

// ---- matches -------------------------------------------------------------------------------------

type MatchStruct = Struct<"psp_dp_match">;
type Value = string | number | bigint;

/** Where a field lies, and what its words mean; an address stands there whole. */
interface Place {
  readonly field: Parameters<MatchStruct["set"]>[0];
  readonly as?: Readonly<Record<string, number>> | "address";
}

type Group = Readonly<Record<string, Place>>;

const L3 = { ipv4: 1, ipv6: 2 };
const L4 = { tcp: 1, udp: 2, icmp: 3, icmp6: 4 };

const PARSER_META: Group = {
  port_id: { field: "parser_meta_port_id" },
  outer_l3_type: { field: "parser_meta_outer_l3_type", as: L3 },
  outer_l4_type: { field: "parser_meta_outer_l4_type", as: L4 },
  inner_l3_type: { field: "parser_meta_inner_l3_type", as: L3 },
  psp_syndrome: { field: "parser_meta_psp_syndrome", as: SYNDROMES },
  random: { field: "parser_meta_random" },
};
const META: Group = {
  pkt_meta: { field: "meta_pkt_meta" },
  network: { field: "meta_network" },
};
const OUTER: Group = {
  eth_type: { field: "outer_eth_type" },
  ip_proto: { field: "outer_ip_proto" },
  icmp_type: { field: "outer_icmp_type" },
  src_ip: { field: "outer_ip_src", as: "address" },
  dst_ip: { field: "outer_ip_dst", as: "address" },
  src_port: { field: "outer_l4_src_port" },
  dst_port: { field: "outer_l4_dst_port" },
};
const INNER: Group = {
  src_ip: { field: "inner_ip_src", as: "address" },
  dst_ip: { field: "inner_ip_dst", as: "address" },
};
const PSP: Group = {
  spi: { field: "tun_psp_spi" },
  nexthdr: { field: "tun_psp_nexthdr" },
  hdrextlen: { field: "tun_psp_hdrextlen" },
  res_cryptofst: { field: "tun_psp_res_cryptofst" },
  s_d_ver_v: { field: "tun_psp_s_d_ver_v" },
  vc: { field: "tun_psp_vc" },
};

/** What is compared. */
function putMatch(struct: MatchStruct, match: Match): void {
  struct.setSize();
  putFields(match, (place, value) => putValue(struct, place, value));
}

/** Which bits of it. */
function putMask(struct: MatchStruct, mask: MatchMask): void {
  struct.setSize();
  putFields(mask, ({ field, as }, bits) => {
    if (bits === true) struct.octets(field).fill(0xff);
    else if (as === "address") throw new RangeError(`the mask of ${field} must be the whole field`);
    else struct.set(field, bits);
  });
}

type Put<T> = (place: Place, value: T) => void;

/** Looks at what is there alone: an entry has three fields or four of the two dozen. */
function putFields(from: Match, put: Put<Value>): void;
function putFields(from: MatchMask, put: Put<true | number | bigint>): void;
function putFields(from: Match | MatchMask, put: Put<never>): void {
  putGroup(PARSER_META, from.parser_meta, put);
  putGroup(META, from.meta, put);
  putGroup(OUTER, from.outer, put);
  putGroup(INNER, from.inner, put);
  putGroup(PSP, from.tun?.psp, put);
}

function putGroup(group: Group, values: object | undefined, put: Put<never>): void {
  if (values === undefined) return;
  for (const [name, value] of Object.entries(values)) {
    const place = group[name];
    if (place !== undefined && value !== undefined) put(place, value as never);
  }
}

function putValue(struct: MatchStruct, { field, as }: Place, value: Value): void {
  if (as === "address") struct.write(field, putAddress, String(value));
  else if (typeof value === "string") struct.set(field, as?.[value] ?? NaN);
  else struct.set(field, value);
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

// ---- answers -------------------------------------------------------------------------------------

/** struct psp_dp_port_info */
export function decodePort(struct: Struct<"psp_dp_port_info">): PortInfo {
  return {
    kind: nameOf(PORT_KINDS, struct.number("kind")) ?? "host",
    name: struct.text("name"),
    present: struct.number("present") !== 0,
    identity: struct.number("identity"),
    network: struct.number("network"),
    traffic: {
      rxPackets: struct.bigint("rx_packets"),
      rxBytes: struct.bigint("rx_bytes"),
      txPackets: struct.bigint("tx_packets"),
      txBytes: struct.bigint("tx_bytes"),
      txBusy: struct.bigint("tx_busy"),
      txError: struct.bigint("tx_error"),
      missesLimited: struct.bigint("misses_limited"),
      exceptionsLimited: struct.bigint("exceptions_limited"),
    },
    ifindex: struct.number("ifindex"),
    mac: macText(struct.octets("mac")),
    mtu: struct.number("mtu"),
    linkUp: struct.number("link_up") !== 0,
    forwards: forwardedFamilies(struct.number("forwards")),
    guard: decodeGuard(struct),
  };
}

/** enum psp_dp_guard */
const GUARDS = ["not-applicable", "stands", "absent", "off"] as const;
/** enum psp_dp_guard_reason, from 1 on */
const GUARD_REASONS = ["no-right", "no-kernel", "refused"] as const;

function decodeGuard(struct: Struct<"psp_dp_port_info">): PortGuard {
  const state = GUARDS[struct.number("guard")] ?? "absent";
  const reason = guardReason(struct.number("guard_reason"));
  return {
    state,
    restored: struct.number("guard_restored"),
    ...state === "absent" ? { reason: reason ?? "refused" } : {},
  };
}

/** A number of enum psp_dp_guard_reason; undefined: nothing speaks against a guard. One that nobody knows is "refused". */
export function guardReason(n: number): PortGuard["reason"] {
  return n === 0 ? undefined : GUARD_REASONS[n - 1] ?? "refused";
}

/** The bits of `psp_dp_port_info.forwards`. */
export function forwardedFamilies(bits: number): PortInfo["forwards"] {
  return [...bits & 1 ? ["ipv4"] as const : [], ...bits & 2 ? ["ipv6"] as const : []];
}

/** struct psp_dp_next_hop */
export function decodeNextHop(struct: Struct<"psp_dp_next_hop">): NextHop {
  return {
    viaGateway: struct.number("via_gateway") !== 0,
    address: addressText(struct.octets("address")),
    ...struct.number("resolved") === 0 ? {} : { mac: macText(struct.octets("mac")) },
  };
}

/** struct psp_dp_stats, of an entry or a crypto id */
export function decodeStats(struct: Struct<"psp_dp_stats">): Stats {
  return {
    packets: struct.bigint("packets"),
    bytes: struct.bigint("bytes"),
    lastUsedNs: struct.bigint("last_used_ns"),
  };
}

/** struct psp_dp_stats, of a pipe */
export function decodePipeStats(struct: Struct<"psp_dp_stats">): PipeStats {
  return {
    ...decodeStats(struct),
    entries: struct.number("entries"),
    missPackets: struct.bigint("miss_packets"),
    missBytes: struct.bigint("miss_bytes"),
  };
}

/** struct psp_dp_master_key_info */
export function decodeMasterKey(struct: Struct<"psp_dp_master_key_info">): MasterKeyInfo {
  return {
    active: struct.number("active") === 0 ? 0 : 1,
    rotations: struct.bigint("rotations"),
    spisLeft: struct.bigint("spis_left"),
  };
}

/** An array of struct psp_dp_key for the library to fill in; wipe it after use. */
export function keyArray(n: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(n * sizeOf("psp_dp_key"));
  const view = viewOf(bytes);
  for (let i = 0; i < n; i++) keyAt(bytes, i, view).setSize();
  return bytes;
}

/** Copies the keys out of the array. */
export function decodeKeys(bytes: Uint8Array<ArrayBuffer>, version: PspVersionNumber): SpiKey[] {
  const n = bytes.length / sizeOf("psp_dp_key");
  const view = viewOf(bytes);
  return Array.from({ length: n }, (_, i) => {
    const struct = keyAt(bytes, i, view);
    return {
      spi: struct.number("spi"),
      version,
      key: new Key(struct.copyOf("key", keyLength(version))),
    };
  });
}

/** Octets in the key of a PSP version. */
export function keyLength(version: PspVersionNumber): 16 | 32 {
  return version % 2 === 0 ? 16 : 32;
}

function keyAt(
  bytes: Uint8Array<ArrayBuffer>,
  i: number,
  view: DataView,
): Struct<"psp_dp_key"> {
  return new Struct("psp_dp_key", bytes, i * sizeOf("psp_dp_key"), view);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

// ---- events --------------------------------------------------------------------------------------

/** enum psp_dp_event_type */
const EVENT = {
  MISS: 1,
  EXCEPTION: 2,
  SAMPLE: 3,
  SYNDROME: 4,
  TOO_BIG: 5,
  PORT: 6,
  PATH_MTU: 7,
  SOURCE: 8,
};

/**
 * Decodes whole records. Data is copied out, so that `batch` may be filled again. A type that is not known
 * is passed over: a newer library may say more. Throws `DataPlaneError` when a record contradicts itself.
 */
export function decodeEvents(batch: Uint8Array<ArrayBuffer>): PlaneEvent[] {
  const header = sizeOf("psp_dp_event");
  const events: PlaneEvent[] = [];
  for (let at = 0; at < batch.length;) {
    if (batch.length - at < header) throw malformed(at);
    const record = new Struct("psp_dp_event", batch, at);
    const size = record.number("record_size");
    const dataLen = record.number("data_len");
    if (size < header + dataLen || size % 8 !== 0 || size > batch.length - at) throw malformed(at);
    const event = decodeEvent(record, batch.slice(at + header, at + header + dataLen));
    if (event !== undefined) events.push(event);
    at += size;
  }
  return events;
}

function decodeEvent(
  record: Struct<"psp_dp_event">,
  data: Uint8Array<ArrayBuffer>,
): PlaneEvent | undefined {
  switch (record.number("type")) {
    case EVENT.MISS:
      return {
        type: "miss",
        flow: record.number("flow"),
        port: record.number("port"),
        network: record.number("network"),
        srcVip: addressText(record.octets("src")),
        dstVip: addressText(record.octets("dst")),
        ethSrc: macText(record.octets("eth_src")),
      };
    case EVENT.EXCEPTION:
      return {
        type: "exception",
        port: record.number("port"),
        network: record.number("network"),
        frame: data,
        timeNs: record.bigint("time_ns"),
      };
    case EVENT.SAMPLE:
      return {
        type: "sample",
        direction: record.number("egress") === 1 ? "egress" : "ingress",
        spi: record.number("spi"),
        srcVip: addressText(record.octets("src")),
        dstVip: addressText(record.octets("dst")),
        length: record.number("packet_len"),
        data,
        timeNs: record.bigint("time_ns"),
      };
    case EVENT.SYNDROME:
      return {
        type: "syndrome",
        spi: record.number("spi"),
        syndrome: nameOf(SYNDROMES, record.number("syndrome")) ?? "bad_trailer",
        srcPip: addressText(record.octets("src")),
        dstPip: addressText(record.octets("dst")),
      };
    case EVENT.PATH_MTU:
      return {
        type: "path_mtu",
        spi: record.number("spi"),
        src: addressText(record.octets("src")),
        dst: addressText(record.octets("dst")),
        mtu: record.number("mtu"),
      };
    case EVENT.TOO_BIG:
      return {
        type: "too_big",
        port: record.number("port"),
        mtu: record.number("mtu"),
        ethSrc: macText(record.octets("eth_src")),
        data,
      };
    case EVENT.SOURCE:
      return {
        type: "source",
        port: record.number("port"),
        srcVip: addressText(record.octets("src")),
        ethSrc: macText(record.octets("eth_src")),
      };
    case EVENT.PORT:
      return { type: "port", port: record.number("port") };
    default:
      return undefined;
  }
}

/** What a number of an enum is called; undefined: a newer library's. */
function nameOf<N extends string>(
  numbers: Readonly<Record<N, number>>,
  value: number,
): N | undefined {
  return (Object.keys(numbers) as N[]).find((name) => numbers[name] === value);
}

/** What `encode` makes; where a value fits no field, throws `DataPlaneError`: "<what>: <why>". */
export function encoded<T>(what: string, encode: () => T): T {
  try {
    return encode();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new DataPlaneError(`${what}: ${cause.message}`, "EINVAL", { cause });
  }
}

function malformed(at: number): DataPlaneError {
  return new DataPlaneError(
    `Cannot read events: the record at octet ${at} contradicts its batch`,
    "EINVAL",
  );
}

/** PSP_DP_LIST_MAX: items of one call. */
export const LIST_MAX = 1024;

/** enum psp_dp_op */
const OPS = { add: 0, set: 0, update: 1, remove: 2, clear: 2, query: 3 } as const;

/** What the library says of an item; `status` as its functions return it. */
export interface ItemOutcome {
  readonly status: number;
  readonly entry: number;
  readonly stats: Stats;
}

/** An array of struct psp_dp_entry_item; `control`: whether a pipe, or that of an entry, is one. Throws RangeError. */
export function encodeEntryItems(
  changes: readonly EntryChange[],
  { encoder, isControl }: {
    readonly encoder: EntryEncoder;
    readonly isControl: (change: EntryChange) => boolean;
  },
): Uint8Array<ArrayBuffer> {
  const size = sizeOf("psp_dp_entry_item");
  const [at] = LAYOUT.psp_dp_entry_item.desc;
  const items = new Uint8Array(changes.length * size);
  changes.forEach((change, i) => {
    const item = new Struct("psp_dp_entry_item", items, i * size).setSize()
      .set("op", OPS[change.op]);
    if (change.op === "add") item.set("pipe", change.pipe);
    else item.set("entry", change.id);
    if (change.op === "add" || change.op === "update") {
      const desc = encoder.encode(change.entry, { control: isControl(change) });
      items.set(desc.bytes, i * size + at);
    }
  });
  return items;
}

/** An array of struct psp_dp_key_item. It holds keys in clear: wipe it after use. Throws RangeError, and leaves none behind. */
export function encodeKeyItems(changes: readonly KeyChange[]): Uint8Array<ArrayBuffer> {
  const size = sizeOf("psp_dp_key_item");
  const items = new Uint8Array(changes.length * size);
  try {
    changes.forEach((change, i) => {
      const item = new Struct("psp_dp_key_item", items, i * size).setSize()
        .set("op", OPS[change.op]).set("crypto_id", change.cryptoId);
      if (change.op === "set") encodeKey(change.key, item.inner("key", "psp_dp_key"));
    });
  } catch (error) {
    items.fill(0);
    throw error;
  }
  return items;
}

/** What became of each item. */
export function decodeItems(
  name: "psp_dp_entry_item" | "psp_dp_key_item",
  items: Uint8Array<ArrayBuffer>,
): ItemOutcome[] {
  const size = sizeOf(name);
  return Array.from({ length: items.length / size }, (_, i) => {
    const item = new Struct(name, items, i * size);
    return {
      status: item.number("status") | 0,
      entry: name === "psp_dp_entry_item" ? new Struct(name, items, i * size).number("entry") : 0,
      stats: decodeStats(item.inner("stats", "psp_dp_stats")),
    };
  });
}
