// SPDX-License-Identifier: Apache-2.0

/** The status as text for Prometheus: its own format 0.0.4, or OpenMetrics 1.0.0. Pure. */
import type { HistogramView } from "../model/histogram.ts";
import { dropReason, dropsByReason, isLostInHold } from "../model/plane_counters.ts";
import {
  addCarried,
  type MetricsView,
  NOTHING_CARRIED,
  type PeerTraffic,
  type PipeView,
  type PortFacts,
  type SourceView,
  type StatusView,
} from "../model/status.ts";
import { networkOf } from "../model/network.ts";

/** The two formats. */
export type MetricsFormat = "prometheus" | "openmetrics";

/** Content type of `metricsText`. */
export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** Peers that have metrics of their own at most, those that fail first: a scrape must not stall what scrapes. */
export const METRICS_PEERS = 1000;

/** The format that an `Accept` header asks for. */
export function metricsFormat(accept: string | undefined): MetricsFormat {
  return /\bapplication\/openmetrics-text\b/i.test(accept ?? "") ? "openmetrics" : "prometheus";
}

type Labels = Readonly<Record<string, string>>;
type Row = readonly [labels: Labels, value: bigint | number];
type Type = "counter" | "gauge" | "histogram";

const PREFIX = "psp_agent";

/** Units that a name may end in, before "_total". */
const UNIT = /_(seconds|bytes)$/;

/** All metrics; one family after the other, all of them always there, as far as they have values. */
export function metricsText(
  { status, pipes, metrics, format = "prometheus", nowMs = Date.now() }: {
    readonly status: StatusView;
    readonly pipes: readonly PipeView[];
    readonly metrics: MetricsView;
    readonly format?: MetricsFormat;
    /** Wall clock. */
    readonly nowMs?: number;
  },
): string {
  const out = new Families(format);
  agentFamilies(out, status);
  peerFamilies(out, status);
  trafficFamilies(out, { peers: status.peers, traffic: metrics.traffic });
  keyFamilies(out, metrics, nowMs);
  directoryFamilies(out, status, nowMs);
  planeFamilies(out, status, pipes);
  latencyFamilies(out, status);
  processFamilies(out, metrics);
  counterFamilies(out, status.counters, metrics.texts);
  return out.end();
}

/** The text while it grows. A family is named without prefix and without "_total". */
class Families {
  readonly #lines: string[] = [];
  readonly #names = new Set<string>();

  constructor(readonly format: MetricsFormat) {}

  has(name: string): boolean {
    return this.#names.has(`${PREFIX}_${name}`);
  }

  add(type: "counter" | "gauge", name: string, help: string, rows: readonly Row[]): void {
    this.family(type, `${PREFIX}_${name}`, help, rows);
  }

  /** As `add`, with a name that has its prefix. */
  family(type: "counter" | "gauge", full: string, help: string, rows: readonly Row[]): void {
    this.#head(type, full, help);
    const sample = type === "counter" ? `${full}_total` : full;
    for (const [labels, value] of rows) this.#lines.push(`${sample}${braces(labels)} ${value}`);
  }

  histogram(name: string, help: string, { buckets, sum }: HistogramView): void {
    const full = `${PREFIX}_${name}`;
    this.#head("histogram", full, help);
    for (const { le, count } of buckets) {
      this.#lines.push(`${full}_bucket{le="${edge(le)}"} ${count}`);
    }
    this.#lines.push(`${full}_sum ${sum}`, `${full}_count ${buckets.at(-1)?.count ?? 0}`);
  }

  end(): string {
    return `${[...this.#lines, ...this.format === "openmetrics" ? ["# EOF"] : []].join("\n")}\n`;
  }

  #head(type: Type, full: string, help: string): void {
    this.#names.add(full);
    const isOpen = this.format === "openmetrics";
    const named = type === "counter" && !isOpen ? `${full}_total` : full;
    const unit = UNIT.exec(full)?.[1];
    this.#lines.push(
      `# HELP ${named} ${isOpen ? escape(help) : help.replaceAll("\\", "\\\\")}`,
      `# TYPE ${named} ${type}`,
      ...isOpen && unit !== undefined ? [`# UNIT ${named} ${unit}`] : [],
    );
  }
}

function agentFamilies(out: Families, status: StatusView): void {
  const { rotation, plane } = status;
  out.add("gauge", "info", "The agent: who it is, its version, its data plane. Always 1.", [[{
    id: status.id,
    version: status.version,
    plane: plane.kind,
    backend: plane.backend,
  }, 1]]);
  out.add(
    "gauge",
    "start_time_seconds",
    "When the agent was started, since 1970.",
    plain(status.startedAtMs / 1000),
  );
  out.add("gauge", "draining", "1 while the agent is ending.", plain(status.draining ? 1 : 0));
  out.add("gauge", "faults", "Reasons why nothing passes now.", plain(status.faults.length));
  out.add(
    "gauge",
    "tunnels",
    "Tunnels by state.",
    Object.entries(status.tunnels).map(([state, n]) => [{ state }, n]),
  );
  out.add(
    "counter",
    "rotations",
    "Rotations of the master key by this agent.",
    plain(rotation.rotations),
  );
  out.add(
    "gauge",
    "sas_on_old_key",
    "SAs still on the master key before the active one.",
    plain(rotation.sasOnOldKey),
  );
  out.add(
    "gauge",
    "spis_left",
    "SPIs that the active master key can still give.",
    plain(rotation.spisLeft),
  );
  out.add(
    "gauge",
    "next_rotation_time_seconds",
    "When the master key is rotated next, since 1970.",
    maybe(rotation.nextAtMs),
  );
  out.add(
    "gauge",
    "certificate_expiry_time_seconds",
    "When the first of the certificates in use ends, since 1970.",
    maybe(status.certificateExpiresAtMs),
  );
}

function peerFamilies(out: Families, { peers, peersTotal }: StatusView): void {
  const perPeer = (value: (peer: StatusView["peers"][number]) => number): Row[] =>
    peers.map((peer) => [{ peer: peer.id }, value(peer)]);
  out.add("gauge", "peers", "Peers that are configured.", plain(peersTotal));
  out.add("gauge", "peer_tunnels", "Tunnels with a peer.", perPeer((peer) => peer.tunnels));
  out.add(
    "gauge",
    "peer_failures",
    "Exchanges with a peer that failed one after the other, up to now.",
    perPeer((peer) => peer.failures),
  );
  out.add(
    "gauge",
    "peer_up",
    "1: a peer was heard since the start; 0: exchanges with it fail. No value: it was never tried.",
    peers.filter(({ state }) => state !== "unknown")
      .map((peer) => [{ peer: peer.id }, peer.state === "failing" ? 0 : 1]),
  );
}

/** By peer and network; and by network alone, where peers without families of their own are in it. */
function trafficFamilies(
  out: Families,
  { peers, traffic }: {
    readonly peers: StatusView["peers"];
    readonly traffic: readonly PeerTraffic[];
  },
): void {
  const known = new Map(traffic.map((one) => [`${one.peer}@${one.network}`, one]));
  const shown = peers.flatMap(({ id, vips }) =>
    [...new Set(vips.map(networkOf))].map((network) => ({ peer: id, network }))
  );
  const networks = new Map([["", NOTHING]]);
  for (const { network } of shown) networks.set(network, NOTHING);
  for (const one of traffic) {
    const before = networks.get(one.network) ?? NOTHING;
    networks.set(one.network, {
      sent: addCarried(before.sent, one.sent),
      received: addCarried(before.received, one.received),
    });
  }
  for (const [way, name, verb] of WAYS) {
    for (
      const [what, unit] of [["packets", "Packets"], ["bytes", "Octets of IP packets"]] as const
    ) {
      out.add(
        "counter",
        `peer_${name}_${what}`,
        `${unit} that tunnels ${verb} a peer.`,
        shown.map(({ peer, network }) => [
          { peer, network },
          known.get(`${peer}@${network}`)?.[way][what] ?? 0n,
        ]),
      );
      out.add(
        "counter",
        `network_${name}_${what}`,
        `${unit} that tunnels of a network ${verb} peers.`,
        [...networks].map(([network, sums]) => [{ network }, sums[way][what]]),
      );
    }
  }
}

const WAYS = [
  ["sent", "tx", "carried to"],
  ["received", "rx", "brought from"],
] as const;
const NOTHING = { sent: NOTHING_CARRIED, received: NOTHING_CARRIED };

function keyFamilies(out: Families, { oldestKeys, databases }: MetricsView, nowMs: number): void {
  const age = (at: number | undefined) => at === undefined ? 0 : Math.max(0, nowMs - at) / 1000;
  out.add(
    "gauge",
    "oldest_key_age_seconds",
    "How old is the oldest key with which this host sends or receives; 0: there is none.",
    [
      [{ direction: "tx" }, age(oldestKeys.txAtMs)],
      [{ direction: "rx" }, age(oldestKeys.rxAtMs)],
    ],
  );
  out.add(
    "gauge",
    "database_bytes",
    "Octets of a database on the disk, with what is written ahead of it.",
    Object.entries(databases).map(([database, bytes]) => [{ database }, bytes]),
  );
}

function directoryFamilies(out: Families, { directory }: StatusView, nowMs: number): void {
  const perSource = (value: (source: SourceView) => number): Row[] =>
    directory.map((source) => [{ source: source.name }, value(source)]);
  out.add(
    "gauge",
    "directory_records",
    "Records that a source of peers has.",
    perSource(({ records }) => records),
  );
  out.add(
    "gauge",
    "directory_skipped",
    "Records of a source that are left out because something is wrong with them.",
    perSource(({ skipped }) => skipped),
  );
  out.add(
    "gauge",
    "directory_conflicts",
    "Records and prefixes of a source that another one, which comes first, keeps out.",
    perSource(({ conflicts }) => conflicts),
  );
  out.add(
    "gauge",
    "directory_current",
    "0 while a source cannot be read: what it said last goes on.",
    perSource(({ isCurrent }) => isCurrent ? 1 : 0),
  );
  out.add(
    "gauge",
    "directory_age_seconds",
    "How old is what is known of a source.",
    directory.flatMap(({ name, isCurrent, currentAtMs }): Row[] =>
      currentAtMs === undefined
        ? []
        : [[{ source: name }, isCurrent ? 0 : Math.max(0, nowMs - currentAtMs) / 1000]]
    ),
  );
}

function planeFamilies(out: Families, status: StatusView, pipes: readonly PipeView[]): void {
  const { counters, mtu, plane: { ports } } = status;
  const perPipe = (value: (pipe: PipeView) => bigint | number): Row[] =>
    pipes.map((pipe) => [{ pipe: pipe.name }, value(pipe)]);
  out.add(
    "gauge",
    "ingress_guard",
    "1 while a port's ingress guard keeps the kernel from its copies of packets.",
    ports.filter(({ guard }) => guard.state !== "not-applicable").map((port) => [
      { port: port.name, interface: port.interface },
      port.guard.state === "stands" ? 1 : 0,
    ]),
  );
  portFamilies(out, ports);
  out.add("gauge", "mtu_bytes", "The uplink's MTU, what PSP takes of it, and what is left.", [
    [{ of: "uplink" }, mtu.uplink],
    [{ of: "overhead" }, mtu.overhead],
    [{ of: "largest_inner_packet" }, mtu.largestInnerPacket],
  ]);
  out.add("gauge", "pipe_entries", "Entries in a pipe.", perPipe((pipe) => pipe.entries));
  const hits = "that an entry of a pipe matched.";
  out.add("counter", "pipe_packets", `Packets ${hits}`, perPipe((pipe) => pipe.packets));
  out.add("counter", "pipe_bytes", `Octets ${hits}`, perPipe((pipe) => pipe.bytes));
  const misses = "that no entry of a pipe matched.";
  out.add("counter", "pipe_miss_packets", `Packets ${misses}`, perPipe((p) => p.missPackets));
  out.add("counter", "pipe_miss_bytes", `Octets ${misses}`, perPipe((pipe) => pipe.missBytes));
  out.add(
    "counter",
    "drops",
    "Packets dropped, by reason: each under one.",
    dropsByReason(counters).map(([reason, packets]) => [{ reason }, packets]),
  );
  out.add("gauge", "hold_packets", "Packets that wait for a tunnel now.", plain(held(counters)));
}

/** Of each port, with its network: "" is the default one. */
function portFamilies(out: Families, ports: StatusView["plane"]["ports"]): void {
  const rows = (value: (facts: PortFacts) => bigint | number): Row[] =>
    ports.flatMap(({ name: port, interface: device, facts }): Row[] =>
      facts === undefined
        ? []
        : [[{ port, interface: device, network: facts.network }, value(facts)]]
    );
  out.add(
    "gauge",
    "port_up",
    "1 while a port's interface is there and has a link.",
    rows(
      ({ state }) => state === "up" ? 1 : 0,
    ),
  );
  out.add(
    "gauge",
    "port_workloads",
    "Addresses that were found behind a port.",
    rows(
      ({ workloads }) => workloads,
    ),
  );
  out.add(
    "counter",
    "port_rx_packets",
    "Packets that came in by a port.",
    rows((p) => p.rxPackets),
  );
  out.add("counter", "port_rx_bytes", "Octets that came in by a port.", rows((p) => p.rxBytes));
  out.add(
    "counter",
    "port_tx_packets",
    "Packets that went out by a port.",
    rows((p) => p.txPackets),
  );
  out.add("counter", "port_tx_bytes", "Octets that went out by a port.", rows((p) => p.txBytes));
  out.add(
    "counter",
    "port_dropped_packets",
    "Packets dropped at a port: its queue was full, its device refused, or they were beyond its limits.",
    rows((p) => p.txBusy + p.txError + p.missesLimited + p.exceptionsLimited),
  );
}

/** Packets in the hold. The counters are read one after the other while packets pass, so the sum may be off by some. */
function held(counters: StatusView["counters"]): bigint {
  let waiting = (counters["held-packets"] ?? 0n) - (counters["held-released"] ?? 0n);
  for (const [name, value] of Object.entries(counters)) if (isLostInHold(name)) waiting -= value;
  return waiting > 0n ? waiting : 0n;
}

function latencyFamilies(out: Families, { eventLoop, latencies }: StatusView): void {
  out.histogram(
    "exchange_seconds",
    "How long NewTunnel calls took that a peer answered.",
    latencies.exchange,
  );
  out.histogram(
    "first_packet_seconds",
    "How long flows without an entry were held until their tunnel was up.",
    latencies.firstPacket,
  );
  out.histogram(
    "event_loop_lag_seconds",
    "How late the event loop comes to what is due.",
    {
      buckets: eventLoop.buckets.map(({ leMs, looks }) => ({ le: leMs / 1000, count: looks })),
      sum: eventLoop.sumMs / 1000,
    },
  );
  out.add(
    "gauge",
    "event_loop_lag_max_seconds",
    "The most that the event loop was late since the start.",
    plain(eventLoop.maxMs / 1000),
  );
}

function processFamilies(out: Families, { process }: MetricsView): void {
  const family = (type: "counter" | "gauge", name: string, help: string, rows: readonly Row[]) =>
    out.family(type, `process_${name}`, help, rows);
  family(
    "counter",
    "cpu_seconds",
    "CPU time of the process, in user and in system mode.",
    plain(process.cpuSeconds),
  );
  family(
    "gauge",
    "resident_memory_bytes",
    "Memory of the process that is in RAM.",
    plain(process.residentBytes),
  );
  family(
    "gauge",
    "start_time_seconds",
    "When the process was started, since 1970.",
    plain(process.startedAtMs / 1000),
  );
  family(
    "gauge",
    "max_fds",
    "Files that the process may have open.",
    process.maxDescriptors === undefined ? [] : plain(process.maxDescriptors),
  );
}

/** Misses that the agent did not open a tunnel for, by reason: flows, where `drops` counts packets. */
const MISSES: ReadonlySet<string> = new Set([
  "no-peer",
  "link-scope",
  "foreign-source",
  "back-off",
]);

/** Whatever has no family of its own above. */
function counterFamilies(
  out: Families,
  counters: StatusView["counters"],
  texts: MetricsView["texts"],
): void {
  out.add(
    "counter",
    "misses_refused",
    "Flows without an entry for which no tunnel was asked for, by reason; drops has their packets.",
    [...MISSES].map((reason) => [{ reason }, counters[reason] ?? 0n]),
  );
  for (const [name, value] of Object.entries(counters).sort(([a], [b]) => a < b ? -1 : 1)) {
    const safe = name.replaceAll(/[^A-Za-z0-9_]/g, "_");
    if (dropReason(name) !== undefined || MISSES.has(name) || out.has(safe)) continue;
    const text = texts[name] ?? name;
    out.add("counter", safe, `${text.charAt(0).toUpperCase()}${text.slice(1)}.`, plain(value));
  }
}

function plain(value: bigint | number): Row[] {
  return [[{}, value]];
}

/** A time in milliseconds as seconds, when there is one. */
function maybe(ms: number | undefined): Row[] {
  return ms === undefined ? [] : plain(ms / 1000);
}

/** OpenMetrics wants a bucket's end to be a float, and the same in both formats keeps series together. */
function edge(le: number): string {
  return le === Infinity ? "+Inf" : Number.isInteger(le) ? `${le}.0` : `${le}`;
}

function braces(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return "";
  return `{${entries.map(([key, value]) => `${key}="${escape(value)}"`).join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
