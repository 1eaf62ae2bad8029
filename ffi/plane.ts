// SPDX-License-Identifier: Apache-2.0

/**
 * The data plane as TypeScript sees it: types only, one to one with `c-shim/psp_dp.h`.
 * `DataPlane` (data_plane.ts) implements it over FFI; tests of the core implement it in memory.
 * Addresses are text ("10.0.0.1", "fd00::1"), MACs "02:00:00:00:00:01", SPIs unsigned 32 bit numbers.
 */
import type { Key } from "./key.ts";

/** What a port is for, and what a topology calls those that a plane is opened with; here they have handles. */
export type PortName = "uplink" | "host";
export type PipeType = "basic" | "control";
export type Domain = "default" | "secure_ingress" | "egress" | "secure_egress";
export type L3 = "ipv4" | "ipv6";
export type L4 = "tcp" | "udp" | "icmp" | "icmp6";
export type Syndrome = "ok" | "icv_failed" | "bad_trailer";

/** Fields that an entry compares; an absent field matches anything. `R` is how a port is named. */
export interface Match<R = number> {
  readonly parser_meta?: {
    readonly port_id?: R;
    readonly outer_l3_type?: L3;
    readonly outer_l4_type?: L4;
    readonly inner_l3_type?: L3;
    readonly psp_syndrome?: Syndrome;
    readonly random?: number;
  };
  /** network: of the port where it came in; the soft plane alone. */
  readonly meta?: { readonly pkt_meta?: number; readonly network?: number };
  readonly outer?: {
    readonly eth_type?: number;
    readonly ip_proto?: number;
    readonly icmp_type?: number;
    readonly src_ip?: string;
    readonly dst_ip?: string;
    readonly src_port?: number;
    readonly dst_port?: number;
  };
  readonly inner?: { readonly src_ip?: string; readonly dst_ip?: string };
  readonly tun?: {
    readonly psp?: {
      readonly spi?: number;
      readonly nexthdr?: number;
      readonly hdrextlen?: number;
      readonly res_cryptofst?: number;
      readonly s_d_ver_v?: number;
      readonly vc?: bigint;
    };
  };
}

/**
 * Which bits of each field a pipe compares: the same shape, a number or bigint of mask bits, or `true`
 * for the whole field.
 */
export interface MatchMask {
  readonly parser_meta?: {
    readonly [K in keyof NonNullable<Match["parser_meta"]>]?: true | number;
  };
  readonly meta?: { readonly pkt_meta?: true | number; readonly network?: true | number };
  readonly outer?: { readonly [K in keyof NonNullable<Match["outer"]>]?: true | number };
  readonly inner?: { readonly src_ip?: true; readonly dst_ip?: true };
  readonly tun?: {
    readonly psp?: {
      readonly [K in keyof NonNullable<NonNullable<Match["tun"]>["psp"]>]?: true | number | bigint;
    };
  };
}

export type NetType = "psp_tunnel" | "psp_transport";

export interface Actions {
  readonly crypto?: { readonly action: "encrypt"; readonly crypto_id: number } | {
    readonly action: "decrypt";
  };
  readonly crypto_encap?:
    | {
      readonly action: "encap";
      readonly net_type: NetType;
      /** Ethernet to PSP header with VC; see ENCAP in psp_dp.h for what the plane fills in. */
      readonly encap_data: Uint8Array;
      readonly copy_dscp: boolean;
      /** Octets of outer IP that the way there carries; absent: what the uplink does. */
      readonly path_mtu?: number;
    }
    | {
      readonly action: "decap";
      readonly net_type: NetType;
      readonly eth_dst: string;
      readonly eth_src: string;
      /** Packets that were sealed with another one are dropped as rx-crypt-offset; absent: any will do. */
      readonly crypt_offset?: number;
      /** IVs of the replay window: what comes again is dropped as rx-replay; absent or 0: no window. */
      readonly replay_window?: number;
    };
  /** The soft plane alone, with no other: TTL one less, L2 as given, and out by a host port in clear. */
  readonly route?: { readonly eth_dst: string; readonly eth_src: string };
  readonly meta?: { readonly pkt_meta: number };
  readonly tun?: { readonly psp: { readonly s: 1 } };
}

export interface Monitor {
  readonly counter?: boolean;
  readonly mirror?: "sample";
  readonly notify?: "syndrome";
}

/** How a port is named where pipes are named by `P`: by name beside names, by handle beside ids. */
export type PortOf<P> = [P] extends [number] ? number : PortName;

/** `P` is how a pipe is named: by name in src/pipes, by id here. */
export type Fwd<P = number> =
  | { readonly type: "port"; readonly port: PortOf<P> }
  | { readonly type: "pipe"; readonly pipe: P }
  | { readonly type: "rss"; readonly rss: "miss" | "exception" }
  | { readonly type: "drop" }
  | { readonly type: "kernel" };

export interface PipeDescriptor<P = number> {
  /** At most 31 octets. */
  readonly name: string;
  readonly type: PipeType;
  readonly domain: Domain;
  readonly is_root?: boolean;
  readonly miss_counter?: boolean;
  /** Expected entries, for sizing. */
  readonly nr_entries: number;
  /** Basic pipes only. */
  readonly match_mask?: MatchMask;
  readonly actions?: Actions;
  readonly monitor?: Monitor;
  /** Absent: each entry brings its own. */
  readonly fwd?: Fwd<P>;
  readonly fwd_miss: Fwd<P>;
}

export interface EntryDescriptor<P = number> {
  /** Control pipes: 0 is looked at first. */
  readonly priority?: number;
  readonly match: Match<PortOf<P>>;
  /** Control pipes only; absent: each field of `match`, whole. */
  readonly match_mask?: MatchMask;
  readonly actions?: Actions;
  readonly monitor?: Monitor;
  readonly fwd?: Fwd<P>;
}

/** Whether the host's kernel is kept from its own copies of what comes in on a port, and why not. */
export interface PortGuard {
  /** "not-applicable": it gets no copies (hardware). "off": by the configuration. */
  readonly state: "not-applicable" | "stands" | "absent" | "off";
  /** Of "absent": without CAP_NET_ADMIN; a kernel without what it takes; anything else. */
  readonly reason?: "no-right" | "no-kernel" | "refused";
  /** Times that it was found gone and put back. */
  readonly restored: number;
}

export interface PortInfo {
  readonly kind: PortName;
  /** The interface; of hardware, what it was opened by. */
  readonly name: string;
  /** false: its interface is not there, and what else is said of it was so last. */
  readonly present: boolean;
  /** 1, and one more each time that another interface of its name took its place. */
  readonly identity: number;
  /** What it was opened with. */
  readonly network: number;
  readonly traffic: PortTraffic;
  readonly ifindex: number;
  readonly mac: string;
  /** Octets of IP. */
  readonly mtu: number;
  readonly linkUp: boolean;
  /** Of the host port, without a guard: the kernel sends packets of these families on in clear text, by itself. */
  readonly forwards: readonly ("ipv4" | "ipv6")[];
  readonly guard: PortGuard;
}

/** Packets, one by one within a super-frame, and octets of IP; the soft plane alone counts them. */
export interface PortTraffic {
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  /** Packets that found the queue full, and that the device refused. */
  readonly txBusy: bigint;
  readonly txError: bigint;
  /** Beyond the limits of the port or of a source MAC: packets that would be one more flow, and exceptions. */
  readonly missesLimited: bigint;
  readonly exceptionsLimited: bigint;
}

/** A port to be opened. */
export interface PortOptions {
  readonly kind: PortName;
  /** An interface (soft); a PCI address or a representor (doca). */
  readonly name: string;
  /** 802.1Q VLAN id; absent or 0: untagged. */
  readonly vlan?: number;
  /** Of the soft plane; "auto" when absent. */
  readonly guard?: "auto" | "require" | "off";
  /** Host ports of the soft plane: `meta.network` of what comes in; 0, the default network, when absent. */
  readonly network?: number;
  /** Its share of held flows, and of their octets; 0 or absent: as many as the plane has. */
  readonly holdFlows?: number;
  readonly holdBytes?: number;
  /** Flows that miss, and exceptions: of the port, and of each source MAC. Absent: the library's default. */
  readonly miss?: Rate;
  readonly missPerMac?: Rate;
  readonly exception?: Rate;
  readonly exceptionPerMac?: Rate;
}

/** What may come per second, and at once. */
export interface Rate {
  /** "none": without a limit. */
  readonly perS: number | "none";
  /** Absent: as many as in a second. */
  readonly burst?: number;
}

/** How the kernel is asked where packets leave the uplink. */
export interface NextHopOptions {
  /** The packets' own outer address, which rules may go by. */
  readonly source?: string;
  /** It finds out now whether a neighbour that it takes to be there is; needs CAP_NET_ADMIN. Default false. */
  readonly probe?: boolean;
}

/** Where packets to an outer address leave the uplink. */
export interface NextHop {
  /** false: the outer address itself is on the link. */
  readonly viaGateway: boolean;
  /** Of the router, or the outer address. */
  readonly address: string;
  /** Absent: being resolved, ask again. */
  readonly mac?: string;
}

export interface Stats {
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Nanoseconds of CLOCK_MONOTONIC, 0n: never. */
  readonly lastUsedNs: bigint;
}

export interface PipeStats extends Stats {
  readonly entries: number;
  readonly missPackets: bigint;
  readonly missBytes: bigint;
}

/** PSP version field of the header. */
export type PspVersionNumber = 0 | 1 | 2 | 3;

export interface SpiKey {
  readonly spi: number;
  readonly version: PspVersionNumber;
  readonly key: Key;
}

export interface TxKey extends SpiKey {
  /** Packets that may be sealed with it; 0n: the plane's default. */
  readonly ivLimit: bigint;
  /** The first IV; absent or 0n: 1. See psp_dp_crypto_set() for what the plane refuses. */
  readonly ivStart?: bigint;
}

/** A change of an entry as one of a list. */
export type EntryChange =
  | { readonly op: "add"; readonly pipe: number; readonly entry: EntryDescriptor }
  | { readonly op: "update"; readonly id: number; readonly entry: EntryDescriptor }
  | { readonly op: "remove" | "query"; readonly id: number };

/** A change of a key as one of a list; "set" replaces one that is there. */
export type KeyChange =
  | { readonly op: "set"; readonly cryptoId: number; readonly key: TxKey }
  | { readonly op: "clear" | "query"; readonly cryptoId: number };

/** What became of one change of a list. */
export interface Outcome {
  /** Of the entry, or the crypto id; 0: an entry that was not added. */
  readonly id: number;
  /**
   * What the entry has counted, or the key that was there before; 0 for one that was added. Of what was taken away it is
   * the last: nothing is counted any more.
   */
  readonly stats: Stats;
  readonly error: DataPlaneError | undefined;
}

export interface MasterKeyInfo {
  readonly active: 0 | 1;
  readonly rotations: bigint;
  readonly spisLeft: bigint;
}

export type DropReason =
  | "no_peer"
  | "peer_unreachable"
  | "refused"
  | "no_resource"
  | "shutdown"
  | "back_off";

/** What the plane reports. `flow` is the handle under which packets are held. */
export type PlaneEvent =
  | {
    readonly type: "miss";
    readonly flow: number;
    /** Handle of the port where it came in. */
    readonly port: number;
    /** That port's. */
    readonly network: number;
    readonly srcVip: string;
    readonly dstVip: string;
    readonly ethSrc: string;
  }
  | {
    readonly type: "exception";
    /** Handle of the port where it came in. */
    readonly port: number;
    /** That port's. */
    readonly network: number;
    readonly frame: Uint8Array<ArrayBuffer>;
    readonly timeNs: bigint;
  }
  | {
    readonly type: "sample";
    readonly direction: "egress" | "ingress";
    readonly spi: number;
    readonly srcVip: string;
    readonly dstVip: string;
    /** Octets of the whole IP packet; `data` is its start. */
    readonly length: number;
    readonly data: Uint8Array<ArrayBuffer>;
    readonly timeNs: bigint;
  }
  | {
    readonly type: "syndrome";
    readonly spi: number;
    readonly syndrome: Syndrome;
    readonly srcPip: string;
    readonly dstPip: string;
  }
  | {
    readonly type: "too_big";
    /** Handle of the port where it came in. */
    readonly port: number;
    readonly mtu: number;
    readonly ethSrc: string;
    readonly data: Uint8Array<ArrayBuffer>;
  }
  | {
    /** A router could not pass on a PSP packet of ours. */
    readonly type: "path_mtu";
    readonly spi: number;
    /** The packet's outer addresses. */
    readonly src: string;
    readonly dst: string;
    /** Octets of IP that its next link carries; 0: it does not say. */
    readonly mtu: number;
  }
  | {
    /** Who sent the first packet of an entry towards a peer, and the first of it from another MAC. */
    readonly type: "source";
    readonly port: number;
    readonly srcVip: string;
    readonly ethSrc: string;
  }
  | {
    /** Its interface has come, gone or changed. */
    readonly type: "port";
    readonly port: number;
  };

/** Every method throws `DataPlaneError` when the plane refuses. */
export interface Plane extends AsyncDisposable {
  readonly kind: string;
  version(): string;
  granted(): Granted;
  /** Handles of the uplink, and of the first host port that it was opened with. */
  readonly ports: Readonly<Record<PortName, number>>;
  /** By handle, or one of those two by its name. */
  port(port: PortName | number): PortInfo;
  /** Opens one more host port while the plane runs; returns its handle. */
  addPort(port: PortOptions): number;
  /** No pipe and no entry may forward there. */
  removePort(port: number): void;
  /** By the kernel's rules, routes and neighbours; undefined: no route over the uplink. */
  nextHop(pip: string, options?: NextHopOptions): NextHop | undefined;
  start(): void;
  createPipe(descriptor: PipeDescriptor): number;
  destroyPipe(pipe: number): void;
  queryPipe(pipe: number): PipeStats;
  addEntry(pipe: number, entry: EntryDescriptor): number;
  updateEntry(entry: number, descriptor: EntryDescriptor): void;
  removeEntry(entry: number): void;
  queryEntry(entry: number): Stats;
  /**
   * Changes entries in this order, all of them whatever is refused, in few calls. Throws, having done nothing, for what
   * cannot be encoded.
   */
  changeEntries(changes: readonly EntryChange[]): readonly Outcome[];
  setCrypto(cryptoId: number, key: TxKey): void;
  clearCrypto(cryptoId: number): void;
  queryCrypto(cryptoId: number): Stats;
  /** As `changeEntries`. */
  changeKeys(changes: readonly KeyChange[]): readonly Outcome[];
  generateSpis(version: PspVersionNumber, n: number): SpiKey[];
  rotateMasterKey(): void;
  masterKey(): MasterKeyInfo;
  /** Batches of events until the plane closes or `signal` aborts. One reader at a time. */
  events(signal?: AbortSignal): AsyncIterable<readonly PlaneEvent[]>;
  /** Returns how many packets were resubmitted. */
  releaseHeld(flow: number): number;
  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number;
  clearHoldOff(): void;
  /** Other limits of the hold, from now on. Throws `DataPlaneError`, and nothing has changed then. */
  limitHold(limits: HoldLimits): void;
  inject(port: PortName | number, frame: Uint8Array<ArrayBuffer>): void;
  counters(): Readonly<Record<string, bigint>>;
  close(): Promise<void>;
}

/** Of the hold; absent: the default. */
export interface HoldLimits {
  readonly packetsPerFlow?: number | undefined;
  readonly flows?: number | undefined;
  /** Over all flows. */
  readonly bytes?: number | undefined;
}

/** What may be said when a plane is opened. */
export interface PlaneOptions {
  /** One uplink, and host ports; they get the handles 1 to n in this order. */
  readonly ports: readonly PortOptions[];
  readonly backend?: "auto" | "openssl" | "ipsec-mb" | "vaes";
  readonly maxEntries?: number;
  readonly maxCryptoIds?: number;
  readonly holdPacketsPerFlow?: number;
  readonly holdFlows?: number;
  readonly holdBytes?: number;
  readonly sampleBytes?: number;
  readonly versions?: readonly PspVersionNumber[];
  readonly mssClamp?: boolean;
  /** Of the soft plane: the MAC whose frames host ports take, besides broadcast and multicast; absent: any. */
  readonly gatewayMac?: string;
  /** Of the soft plane: threads that carry packets; absent: as the machine has processors. */
  readonly workers?: number;
  /** Of the soft plane: microseconds in which a worker looks for packets before it sleeps; absent: 0. */
  readonly busyPollUs?: number;
  /** Processors that carry packets; absent or empty: any (soft), the first (doca). */
  readonly cpus?: readonly number[];
  /** From here on of the DOCA plane. MiB for DPDK. */
  readonly hugepagesMb?: number;
  /** Packet buffers. */
  readonly mbufs?: number;
  /** Octets for what entries do; absent: what maxEntries may need. */
  readonly actionsMemory?: number;
  /** More of mlx5's, "key=value,...". */
  readonly devargs?: string;
  /** DPDK's word for the representor; absent: found out, as far as that goes. */
  readonly dpdkRepresentor?: string;
  /** DOCA Flow's mode words; absent: those of the release. */
  readonly flowMode?: string;
  /** What its CPU looks at before it is encapsulated: nothing, SYNs, too long packets as well. Default: "off". */
  readonly inspect?: "off" | "syn" | "all";
  /** Of each class of events. */
  readonly ringBytes?: number;
}

/** What an open plane has of each size; octets for memory, 0 for what it does not have. */
export interface Granted {
  readonly maxEntries: number;
  readonly maxCryptoIds: number;
  readonly holdPacketsPerFlow: number;
  readonly holdFlows: number;
  readonly holdBytes: number;
  /** Of the events of each class: misses, exceptions, samples, syndromes, ports. */
  readonly ringBytes: readonly number[];
  readonly sampleBytes: number;
  readonly workers: number;
  readonly queues: number;
  readonly mbufs: number;
  readonly actionsMemory: number;
  readonly features: ReadonlySet<Feature>;
}

/** What not every plane can do; enum psp_dp_feature says what each is. */
export type Feature = "iv-start" | "iv-counts" | "replay-window" | "networks";

/** A refusal of the data plane: what could not be done, and why. */
export class DataPlaneError extends Error {
  override readonly name = "DataPlaneError";
  constructor(
    message: string,
    /** Name of the status, such as "ENOSPC", or "LOAD" when the library itself could not be used. */
    readonly code: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
