// SPDX-License-Identifier: Apache-2.0

/** What the status listener may ask of the agent, in domain terms. No key ever appears here. */
import type { PortGuard, PortName, PortTraffic } from "../../ffi/plane.ts";
import type { AgentEvent, EventQuery } from "./events.ts";
import type { HistogramView, Latencies } from "./histogram.ts";
import type {
  DropPage,
  DropQuery,
  NetworkView,
  PeerPage,
  PeerQuery,
  SaPage,
  SaQuery,
} from "./lists.ts";
import type { LogCategory, LogLevel, LogLevels } from "./log.ts";
import type { OrderView, TunnelSelector } from "./orders.ts";
import type { PingQuery, PingView } from "./ping.ts";
import type { PspVersion, VipPair } from "./sa.ts";

/**
 * What was seen of a peer. "up": heard within the last minutes, or there are tunnels with it; "idle": heard before;
 * "unknown": never tried; "failing": exchanges with it fail.
 */
export type PeerState = typeof PEER_STATES[number];
/** All of them. */
export const PEER_STATES = ["up", "idle", "unknown", "failing"] as const;

/** A refusal, as the host that refuses and the one that is refused both know it. */
export interface RefusalView {
  readonly by: "this host" | "the peer";
  readonly atMs: number;
  readonly reason: string;
  readonly message: string;
}

export interface PeerView {
  readonly id: string;
  readonly svcAddress: string;
  readonly vips: readonly string[];
  readonly circuit: "closed" | "open" | "half-open";
  readonly failures: number;
  readonly lastError: string;
  readonly nextAttemptAtMs?: number;
  readonly bootEpoch: bigint;
  readonly tunnels: number;
  readonly state: PeerState;
  /** When a message or an answer of it came last; absent: never since the start. */
  readonly heardAtMs?: number;
  /** Since when exchanges fail. */
  readonly failingSinceMs?: number;
  /** Since when no packet that is sent to it arrives, though its agent answers. */
  readonly unreachedSinceMs?: number;
  /** What this host last refused it, or was refused by it. */
  readonly refusal?: RefusalView;
  /** The group of the key exchange, on the newest connection to it. */
  readonly keyExchange?: string;
}

/** An interface of the plane. */
export interface PortView {
  readonly name: PortName;
  readonly interface: string;
  readonly guard: PortGuard;
  /** Absent: an agent of before. */
  readonly facts?: PortFacts;
}

/** How a port is, and what has passed there. */
export interface PortFacts extends PortTraffic {
  readonly state: "up" | "down" | "gone";
  readonly mac: string;
  /** Of a host port; "": the default one. */
  readonly network: string;
  /** Addresses that were found behind it. */
  readonly workloads: number;
}

/** What the plane has. */
export interface SizesView {
  readonly maxEntries: number;
  readonly maxCryptoIds: number;
  /** Octets, of each port; 0 where there is no such thing, like the next ones. */
  readonly actionsMemory: number;
  readonly mbufs: number;
  readonly queues: number;
}

export interface RotationView {
  readonly rotations: bigint;
  readonly sasOnOldKey: number;
  readonly nextAtMs?: number;
  readonly spisLeft: bigint;
}

/** How late the event loop comes to what is due, since the start. */
export interface EventLoopView {
  /** Of all looks; that of the bucket's upper end in which it lies. */
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Of all looks. */
  readonly sumMs: number;
  /** Cumulative: looks that were at most `leMs` late. The last one's is Infinity. */
  readonly buckets: readonly { readonly leMs: number; readonly looks: number }[];
}

/** Which part of the status is wanted. */
export interface StatusQuery {
  /** Peers at most, those that fail first; absent: all. */
  readonly maxPeers?: number | undefined;
}

/** A source of the directory of peers. */
export interface SourceView {
  /** "file", "peers.d" or "etcd": the first one that knows a peer says all of it. */
  readonly name: string;
  /** Whether what it knows is what stands there now, as far as it can tell. */
  readonly isCurrent: boolean;
  /** When that was last so; absent: never. */
  readonly currentAtMs?: number;
  readonly lastError: string;
  readonly records: number;
  /** Records that are left out because something is wrong with them. */
  readonly skipped: number;
  /** Records and prefixes that another one, which comes first, keeps out. */
  readonly conflicts: number;
  /** The first of both, each with its place. */
  readonly problems: readonly string[];
}

export interface StatusView {
  readonly id: string;
  readonly version: string;
  readonly bootEpoch: bigint;
  readonly startedAtMs: number;
  readonly plane: {
    readonly kind: string;
    readonly version: string;
    readonly uplink: string;
    readonly host: string;
    readonly backend: string;
    readonly ports: readonly PortView[];
    /** Absent: of an agent that does not say. */
    readonly granted?: SizesView;
    /** What it was asked for, where it has less. */
    readonly asked?: Pick<SizesView, "maxEntries" | "maxCryptoIds"> & Partial<SizesView>;
  };
  readonly peers: readonly PeerView[];
  /** All of them, however many were asked for. */
  readonly peersTotal: number;
  readonly tunnels: {
    readonly opening: number;
    readonly up: number;
    readonly rekeying: number;
    readonly failed: number;
    /** Set up at the peer's request, and the peer was not heard on them since. */
    readonly unconfirmed: number;
  };
  readonly counters: Readonly<Record<string, bigint>>;
  readonly rotation: RotationView;
  readonly mtu: {
    readonly uplink: number;
    readonly overhead: number;
    readonly largestInnerPacket: number;
  };
  readonly certificateExpiresAtMs?: number;
  readonly draining: boolean;
  readonly eventLoop: EventLoopView;
  readonly latencies: Latencies<HistogramView>;
  /** Why nothing passes, such as "interface p0 is gone". */
  readonly faults: readonly string[];
  /** When the oldest key was made with which this host sends; absent: it sends with none. */
  readonly oldestKeyAtMs?: number;
  /** When the first tunnel that waits for it gets a new SA to send with; absent: none waits. */
  readonly nextRekeyAtMs?: number;
  /** Packets dropped within the last five minutes, by reason, if any were for it. */
  readonly recentDrops: Readonly<Record<string, bigint>>;
  /** Where peers come from, in their order; empty: of an agent that does not say. */
  readonly directory: readonly SourceView[];
}

export interface SaView {
  readonly spi: number;
  readonly version: PspVersion;
  readonly createdAtMs: number;
  readonly expiresAtMs?: number;
  /** Of this SA alone; octets of inner IP packets. */
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** Octets are of inner IP packets. */
export interface Carried {
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** Of what never was. */
export const NOTHING_CARRIED: Carried = { packets: 0n, bytes: 0n };

/** Both. */
export function addCarried(a: Carried, b: Carried): Carried {
  return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
}

export interface TunnelView extends VipPair {
  readonly peer: string;
  readonly state: "opening" | "up" | "rekeying" | "failed" | "unconfirmed";
  readonly tx?: SaView;
  readonly rx?: SaView;
  readonly openedAtMs?: number;
  /** When the transmit SA is replaced. */
  readonly nextRekeyAtMs?: number;
  /** Of all SAs that it has had since it came up. */
  readonly sent?: Carried;
  readonly received?: Carried;
  readonly lastError: string;
}

export interface PipeView {
  readonly name: string;
  readonly entries: number;
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly missPackets: bigint;
  readonly missBytes: bigint;
  /** Those that are there from the start, such as one for each syndrome. */
  readonly staticEntries: readonly EntryView[];
}

export interface EntryView {
  readonly name: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface SampleView {
  readonly timeNs: bigint;
  readonly direction: "egress" | "ingress";
  readonly srcVip: string;
  readonly dstVip: string;
  readonly spi: number;
  readonly length: number;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly lost: number;
}

export interface RotateView {
  readonly started: boolean;
  readonly message: string;
  readonly rotation: RotationView;
  readonly peers: readonly string[];
  readonly tunnels: number;
}

/** What was carried with a peer in a network, over all of their tunnels since the start. */
export interface PeerTraffic {
  readonly peer: string;
  /** "": the default one. */
  readonly network: string;
  readonly sent: Carried;
  readonly received: Carried;
}

/** What metrics show besides the status. */
export interface MetricsView {
  readonly traffic: readonly PeerTraffic[];
  /** When the oldest key was made with which this host sends, and receives; absent: there is none. */
  readonly oldestKeys: { readonly txAtMs?: number; readonly rxAtMs?: number };
  /** Octets of each database on the disk, with what is written ahead of it. */
  readonly databases: Readonly<Record<string, number>>;
  readonly process: {
    readonly cpuSeconds: number;
    readonly residentBytes: number;
    readonly startedAtMs: number;
    /** RLIMIT_NOFILE; undefined: not known. */
    readonly maxDescriptors: number | undefined;
  };
  /** What one count of each counter means, by its name. */
  readonly texts: Readonly<Record<string, string>>;
}

/** What a reload of the configuration did, or would do. */
export interface ReloadView {
  /** It is in force, or would be. */
  readonly done: boolean;
  /** One sentence: what has changed, or why nothing has. */
  readonly message: string;
  /** Peers. */
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Other keys that say something else, such as "tunnel.life". */
  readonly keys: readonly string[];
  /** Keys that an agent cannot take while it runs: one of these, and nothing is taken. */
  readonly restartKeys: readonly string[];
}

/** What a packet meets on its way. */
export interface ExplainStep {
  /** A node of the flowchart: "EGR_ACL", "RSS" (the miss handler), "p0" (the uplink), "host". */
  readonly at: string;
  /** "warn": it goes on, and something is wrong besides. */
  readonly verdict: "ok" | "warn" | "miss" | "wait" | "drop" | "unknown";
  readonly text: string;
  /** The peer where it is so; absent: this host. */
  readonly host?: string;
}

/** A packet that somebody wonders about. */
export interface PacketQuery {
  /** Both canonical. */
  readonly src: string;
  readonly dst: string;
  /** Octets of IP; absent: few enough for any tunnel. */
  readonly length?: number | undefined;
  /** TTL or hop limit; absent: enough. */
  readonly ttl?: number | undefined;
  /** Interface of the host port at which it comes in; absent: that of its source. */
  readonly port?: string | undefined;
}

/** What would become of a packet now. */
export interface ExplainView {
  readonly verdict: "passes" | "held" | "dropped";
  /** The reason under which it would count among the drops, or the counter that goes up ... */
  readonly counter?: string;
  /** ... at this peer; absent: at this host. */
  readonly counterAt?: string;
  readonly peer?: string;
  readonly steps: readonly ExplainStep[];
}

/** The verdict as a sentence; a counter that is empty or absent is not known. */
export function verdictText(
  { verdict, counter, counterAt }: {
    readonly verdict: string;
    readonly counter?: string;
    readonly counterAt?: string;
  },
): string {
  if (verdict === "passes") return "The packet passes.";
  if (verdict === "held") return "The packet waits for a tunnel.";
  const where = counterAt ? ` at ${counterAt}` : "";
  return `The packet is dropped${counter ? `, and counted as ${counter}${where}` : ""}.`;
}

/** Which tunnels, and how many of them. */
export interface TunnelQuery {
  readonly peer?: string | undefined;
  /** In the peer's id or in an address. */
  readonly contains?: string | undefined;
  /** "peer localVip remoteVip" of the last one before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface StatusSource {
  status(query?: StatusQuery): StatusView;
  /** The peers of the same, some at a time: others may have their turn between two parts. */
  peerParts(query?: StatusQuery): Iterable<readonly PeerView[]>;
  metrics(): MetricsView;
  /** Sorted by (peer, localVip, remoteVip); `after` is exclusive. */
  tunnels(query: TunnelQuery): readonly TunnelView[];
  peers(query: PeerQuery): PeerPage;
  sas(query: SaQuery): SaPage;
  drops(query: DropQuery): DropPage;
  ports(): readonly PortView[];
  networks(): readonly NetworkView[];
  pipes(): readonly PipeView[];
  /** The pipes as a Mermaid flowchart with live counters. */
  picture(): string;
  samples(signal: AbortSignal): AsyncIterable<SampleView>;
  /** Asks the peer as well. */
  explain(packet: PacketQuery): Promise<ExplainView>;
  /** Of the last hour, oldest first. */
  events(query: EventQuery & { readonly limit: number }): readonly AgentEvent[];
  /** The same, and then those to come, until `signal` aborts. */
  watchEvents(query: EventQuery, signal: AbortSignal): AsyncIterable<AgentEvent>;
  /** Tries the way to a workload of a peer; opens a tunnel where there is none. */
  ping(query: PingQuery): Promise<PingView>;
  rotate(options: { plan: boolean }): Promise<RotateView>;
  /** Reads the configuration again. */
  reload(options: { plan: boolean }): Promise<ReloadView>;
  /** New SAs for tunnels, soon. */
  rekey(which: TunnelSelector): OrderView;
  /** The end of tunnels, at once. */
  closeTunnels(which: TunnelSelector): OrderView;
  logLevels(): LogLevels;
  /** undefined: of every category. */
  setLogLevel(category: LogCategory | undefined, level: LogLevel): void;
  /** The last lines of the log, oldest first. */
  logLines(): readonly string[];
}
