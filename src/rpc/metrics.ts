// SPDX-License-Identifier: Apache-2.0

/** The status as Prometheus text, version 0.0.4. Pure. */
import type { PipeView, StatusView } from "../model/status.ts";

/** Content type of `metricsText`. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Peers that have metrics of their own at most, those that fail first: a scrape must not stall what scrapes. */
export const METRICS_PEERS = 1000;

type Labels = Readonly<Record<string, string>>;
type Row = readonly [labels: Labels, value: bigint | number];

const PREFIX = "psp_agent";

/** All metrics, sorted as they stand here; one family after the other. */
export function metricsText(status: StatusView, pipes: readonly PipeView[]): string {
  const { rotation, mtu, peers } = status;
  const plain = (value: bigint | number): Row[] => [[{}, value]];
  const perPeer = (value: (peer: StatusView["peers"][number]) => number): Row[] =>
    peers.map((peer) => [{ peer: peer.id }, value(peer)]);
  const perPipe = (value: (pipe: PipeView) => bigint | number): Row[] =>
    pipes.map((pipe) => [{ pipe: pipe.name }, value(pipe)]);
  const out: string[] = [];
  const family = (type: "counter" | "gauge", name: string, rows: readonly Row[]) => {
    if (rows.length === 0) return;
    const full = `${PREFIX}_${name}`;
    out.push(`# TYPE ${full} ${type}`);
    for (const [labels, value] of rows) out.push(`${full}${braces(labels)} ${value}`);
  };
  const { eventLoop } = status;
  family("gauge", "info", [[{
    id: status.id,
    version: status.version,
    plane: status.plane.kind,
    backend: status.plane.backend,
  }, 1]]);
  family("gauge", "start_time_seconds", plain(status.startedAtMs / 1000));
  family("gauge", "draining", plain(status.draining ? 1 : 0));
  family("gauge", "tunnels", Object.entries(status.tunnels).map(([state, n]) => [{ state }, n]));
  family("gauge", "peers", plain(status.peersTotal));
  family("gauge", "peer_tunnels", perPeer((peer) => peer.tunnels));
  family("gauge", "peer_failures", perPeer((peer) => peer.failures));
  family("gauge", "peer_up", perPeer((peer) => peer.circuit === "closed" ? 1 : 0));
  family(
    "gauge",
    "ingress_guard",
    status.plane.ports.filter(({ guard }) => guard.state !== "not-applicable").map((port) => [
      { port: port.name, interface: port.interface },
      port.guard.state === "stands" ? 1 : 0,
    ]),
  );
  const lag = `${PREFIX}_event_loop_lag_seconds`;
  out.push(
    `# TYPE ${lag} histogram`,
    ...eventLoop.buckets.map(({ leMs, looks }) =>
      `${lag}_bucket{le="${leMs === Infinity ? "+Inf" : leMs / 1000}"} ${looks}`
    ),
    `${lag}_sum ${eventLoop.sumMs / 1000}`,
    `${lag}_count ${eventLoop.buckets.at(-1)?.looks ?? 0}`,
  );
  family("gauge", "event_loop_lag_max_seconds", plain(eventLoop.maxMs / 1000));
  family("counter", "rotations_total", plain(rotation.rotations));
  family("gauge", "sas_on_old_key", plain(rotation.sasOnOldKey));
  family("gauge", "spis_left", plain(rotation.spisLeft));
  if (rotation.nextAtMs !== undefined) {
    family("gauge", "next_rotation_time_seconds", plain(rotation.nextAtMs / 1000));
  }
  family("gauge", "mtu_bytes", [
    [{ of: "uplink" }, mtu.uplink],
    [{ of: "overhead" }, mtu.overhead],
    [{ of: "largest_inner_packet" }, mtu.largestInnerPacket],
  ]);
  if (status.certificateExpiresAtMs !== undefined) {
    family("gauge", "certificate_expiry_time_seconds", plain(status.certificateExpiresAtMs / 1000));
  }
  family("gauge", "pipe_entries", perPipe((pipe) => pipe.entries));
  family("counter", "pipe_packets_total", perPipe((pipe) => pipe.packets));
  family("counter", "pipe_bytes_total", perPipe((pipe) => pipe.bytes));
  family("counter", "pipe_miss_packets_total", perPipe((pipe) => pipe.missPackets));
  family("counter", "pipe_miss_bytes_total", perPipe((pipe) => pipe.missBytes));
  const reserved = new Set(out.map((line) => /^# TYPE (\S+)/.exec(line)?.[1]));
  for (const [name, value] of Object.entries(status.counters).sort(([a], [b]) => a < b ? -1 : 1)) {
    const safe = `${name.replaceAll(/[^A-Za-z0-9_]/g, "_")}_total`;
    // A family must not appear twice: what has a metric of its own above is left out here.
    if (reserved.has(`${PREFIX}_${safe}`)) continue;
    reserved.add(`${PREFIX}_${safe}`);
    family("counter", safe, plain(value));
  }
  return `${out.join("\n")}\n`;
}

function braces(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return "";
  return `{${entries.map(([key, value]) => `${key}="${escape(value)}"`).join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
