// SPDX-License-Identifier: Apache-2.0

/** The views of src/model/status.ts between domain objects and proto messages, both ways. */
import { create } from "@bufbuild/protobuf";
import {
  type Timestamp,
  timestampFromMs,
  timestampMs,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import { type AgentEvent, EVENT_KINDS, type EventKind, type EventQuery } from "../model/events.ts";
import { warningsOf } from "../model/health.ts";
import type { HistogramView } from "../model/histogram.ts";
import { dropsByReason } from "../model/plane_counters.ts";
import { PSP_VERSIONS } from "../model/sa.ts";
import type {
  Carried,
  ExplainView,
  PeerView,
  PipeView,
  PortFacts,
  PortView,
  RefusalView,
  ReloadView,
  RotateView,
  RotationView,
  SampleView,
  SaView,
  SizesView,
  StatusView,
  TunnelView,
} from "../model/status.ts";
import * as pb from "./gen/psp/v1/status_pb.ts";
import { versionNumber } from "./tunnel_codec.ts";

/** To the wire; `peers`: those of the view, where they are there already. */
export function statusToProto(
  view: StatusView,
  peers: pb.PeerStatus[] = view.peers.map(peerToProto),
): pb.GetStatusResponse {
  return create(pb.GetStatusResponseSchema, {
    id: view.id,
    version: view.version,
    bootEpoch: view.bootEpoch,
    startedAt: timestamp(view.startedAtMs),
    plane: planeToProto(view.plane),
    peers,
    tunnels: create(pb.TunnelCountsSchema, view.tunnels),
    counters: { ...view.counters },
    rotation: rotationToProto(view.rotation),
    mtu: create(pb.MtuStatusSchema, view.mtu),
    ...time("certificateExpiresAt", view.certificateExpiresAtMs),
    draining: view.draining,
    faults: [...view.faults],
    peersTotal: view.peersTotal,
    directory: view.directory.map((source) =>
      create(pb.DirectorySourceSchema, {
        name: source.name,
        current: source.isCurrent,
        ...time("currentAt", source.currentAtMs),
        lastError: source.lastError,
        records: source.records,
        skipped: source.skipped,
        conflicts: source.conflicts,
        problems: [...source.problems],
      })
    ),
    drops: Object.fromEntries(dropsByReason(view.counters)),
    recentDrops: { ...view.recentDrops },
    ...time("oldestKeyAt", view.oldestKeyAtMs),
    ...time("nextRekeyAt", view.nextRekeyAtMs),
    warnings: warningsOf(view, Date.now()).map((warning) => create(pb.WarningSchema, warning)),
    latencies: create(pb.LatencyStatusSchema, {
      exchange: histogramToProto(view.latencies.exchange),
      firstPacket: histogramToProto(view.latencies.firstPacket),
    }),
    eventLoop: create(pb.EventLoopStatusSchema, {
      p99Ms: view.eventLoop.p99Ms,
      maxMs: view.eventLoop.maxMs,
      sumMs: view.eventLoop.sumMs,
      buckets: view.eventLoop.buckets.map(({ leMs, looks }) =>
        create(pb.LagBucketSchema, { leMs, looks: BigInt(looks) })
      ),
    }),
  });
}

/** From the wire. */
export function statusFromProto(message: pb.GetStatusResponse): StatusView {
  const { plane, tunnels, mtu } = message;
  return {
    id: message.id,
    version: message.version,
    bootEpoch: message.bootEpoch,
    startedAtMs: ms(message.startedAt) ?? 0,
    plane: {
      kind: plane?.kind ?? "",
      version: plane?.version ?? "",
      uplink: plane?.uplink ?? "",
      host: plane?.host ?? "",
      backend: plane?.backend ?? "",
      ports: plane?.ports.map(portFromProto) ?? [],
      ...sizesFromProto("granted", plane?.granted),
      ...sizesFromProto("asked", plane?.asked),
    },
    peers: message.peers.map(peerFromProto),
    tunnels: {
      opening: tunnels?.opening ?? 0,
      up: tunnels?.up ?? 0,
      rekeying: tunnels?.rekeying ?? 0,
      failed: tunnels?.failed ?? 0,
      unconfirmed: tunnels?.unconfirmed ?? 0,
    },
    counters: message.counters,
    rotation: rotationFromProto(message.rotation),
    mtu: {
      uplink: mtu?.uplink ?? 0,
      overhead: mtu?.overhead ?? 0,
      largestInnerPacket: mtu?.largestInnerPacket ?? 0,
    },
    ...maybe("certificateExpiresAtMs", ms(message.certificateExpiresAt)),
    ...maybe("oldestKeyAtMs", ms(message.oldestKeyAt)),
    ...maybe("nextRekeyAtMs", ms(message.nextRekeyAt)),
    recentDrops: message.recentDrops,
    draining: message.draining,
    faults: message.faults,
    directory: message.directory.map((source) => ({
      name: source.name,
      isCurrent: source.current,
      ...maybe("currentAtMs", ms(source.currentAt)),
      lastError: source.lastError,
      records: source.records,
      skipped: source.skipped,
      conflicts: source.conflicts,
      problems: source.problems,
    })),
    // An agent of before has no such number, and tells of all.
    peersTotal: Math.max(message.peersTotal, message.peers.length),
    latencies: {
      exchange: histogramFromProto(message.latencies?.exchange),
      firstPacket: histogramFromProto(message.latencies?.firstPacket),
    },
    eventLoop: {
      p99Ms: message.eventLoop?.p99Ms ?? 0,
      maxMs: message.eventLoop?.maxMs ?? 0,
      sumMs: message.eventLoop?.sumMs ?? 0,
      buckets: message.eventLoop?.buckets.map(({ leMs, looks }) => ({
        leMs,
        looks: Number(looks),
      })) ?? [],
    },
  };
}

/** From the wire. */
export function peerFromProto(peer: pb.PeerStatus): PeerView {
  return {
    id: peer.id,
    svcAddress: peer.svcAddress,
    vips: peer.vips,
    circuit: oneOf(peer.circuit, ["closed", "open", "half-open"]),
    failures: peer.failures,
    lastError: peer.lastError,
    ...maybe("nextAttemptAtMs", ms(peer.nextAttemptAt)),
    bootEpoch: peer.bootEpoch,
    tunnels: peer.tunnels,
    // An agent of before says no more than whether exchanges fail.
    state: peer.state === "" && peer.circuit !== "closed"
      ? "failing"
      : oneOf(peer.state, ["unknown", "up", "idle", "failing"]),
    ...maybe("heardAtMs", ms(peer.heardAt)),
    ...maybe("failingSinceMs", ms(peer.failingSince)),
    ...maybe("unreachedSinceMs", ms(peer.unreachedSince)),
    ...(peer.refusal === undefined ? {} : { refusal: refusalFromProto(peer.refusal) }),
    ...(peer.keyExchange === "" ? {} : { keyExchange: peer.keyExchange }),
  };
}

function planeToProto(
  { ports, granted, asked, ...plane }: StatusView["plane"],
): pb.PlaneStatus {
  return create(pb.PlaneStatusSchema, {
    ...plane,
    ports: ports.map(portToProto),
    ...sizesToProto("granted", granted),
    ...sizesToProto("asked", asked),
  });
}

function sizesToProto<K extends string>(
  key: K,
  sizes: Partial<SizesView> | undefined,
): { [P in K]?: pb.PlaneSizes } {
  if (sizes === undefined) return {};
  const { actionsMemory = 0, ...others } = sizes;
  return {
    [key]: create(pb.PlaneSizesSchema, { ...others, actionsMemory: BigInt(actionsMemory) }),
  } as { [P in K]: pb.PlaneSizes };
}

function sizesFromProto<K extends string>(
  key: K,
  sizes: pb.PlaneSizes | undefined,
): { [P in K]?: SizesView } {
  if (sizes === undefined) return {};
  const { maxEntries, maxCryptoIds, actionsMemory, mbufs, queues } = sizes;
  return {
    [key]: { maxEntries, maxCryptoIds, actionsMemory: Number(actionsMemory), mbufs, queues },
  } as { [P in K]: SizesView };
}

function histogramToProto({ buckets, sum }: HistogramView): pb.Histogram {
  return create(pb.HistogramSchema, {
    buckets: buckets.map(({ le, count }) => create(pb.BucketSchema, { le, count: BigInt(count) })),
    sum,
  });
}

function histogramFromProto(message: pb.Histogram | undefined): HistogramView {
  return {
    buckets: message?.buckets.map(({ le, count }) => ({ le, count: Number(count) })) ?? [],
    sum: message?.sum ?? 0,
  };
}

/** To the wire. */
export function peerToProto(peer: PeerView): pb.PeerStatus {
  return create(pb.PeerStatusSchema, {
    id: peer.id,
    svcAddress: peer.svcAddress,
    vips: [...peer.vips],
    circuit: peer.circuit,
    failures: peer.failures,
    lastError: peer.lastError,
    ...time("nextAttemptAt", peer.nextAttemptAtMs),
    bootEpoch: peer.bootEpoch,
    tunnels: peer.tunnels,
    keyExchange: peer.keyExchange ?? "",
    state: peer.state,
    ...time("heardAt", peer.heardAtMs),
    ...time("failingSince", peer.failingSinceMs),
    ...time("unreachedSince", peer.unreachedSinceMs),
    ...peer.refusal === undefined ? {} : { refusal: refusalToProto(peer.refusal) },
  });
}

/** To the wire. */
export function portToProto({ guard, facts, ...port }: PortView): pb.PortStatus {
  return create(pb.PortStatusSchema, {
    ...port,
    ...facts,
    guard: guard.state,
    guardReason: guard.reason ?? "",
    guardRestored: guard.restored,
  });
}

/** From the wire. */
export function portFromProto(port: pb.PortStatus): PortView {
  return {
    name: oneOf(port.name, ["uplink", "host"]),
    interface: port.interface,
    guard: {
      state: oneOf(port.guard, ["absent", "stands", "off", "not-applicable"]),
      restored: port.guardRestored,
      ...port.guardReason === ""
        ? {}
        : { reason: oneOf(port.guardReason, ["refused", "no-right", "no-kernel"]) },
    },
    ...port.state === "" ? {} : { facts: factsFromProto(port) },
  };
}

function factsFromProto({ state, ...port }: pb.PortStatus): PortFacts {
  const { mac, network, workloads, rxPackets, rxBytes, txPackets, txBytes } = port;
  const { txBusy, txError, missesLimited, exceptionsLimited } = port;
  return {
    state: oneOf(state, ["down", "up", "gone"]),
    ...{ mac, network, workloads, rxPackets, rxBytes, txPackets, txBytes },
    ...{ txBusy, txError, missesLimited, exceptionsLimited },
  };
}

/** To the wire. */
export function tunnelToProto(view: TunnelView): pb.Tunnel {
  return create(pb.TunnelSchema, {
    peer: view.peer,
    localVip: view.localVip,
    remoteVip: view.remoteVip,
    state: view.state,
    ...(view.tx ? { tx: saToProto(view.tx) } : {}),
    ...(view.rx ? { rx: saToProto(view.rx) } : {}),
    ...time("openedAt", view.openedAtMs),
    ...time("nextRekeyAt", view.nextRekeyAtMs),
    lastError: view.lastError,
    ...(view.sent ? { sent: create(pb.TrafficSchema, view.sent) } : {}),
    ...(view.received ? { received: create(pb.TrafficSchema, view.received) } : {}),
  });
}

/** From the wire. */
export function tunnelFromProto(message: pb.Tunnel): TunnelView {
  return {
    peer: message.peer,
    localVip: message.localVip,
    remoteVip: message.remoteVip,
    state: oneOf(message.state, ["opening", "up", "rekeying", "failed", "unconfirmed"]),
    ...(message.tx ? { tx: saFromProto(message.tx) } : {}),
    ...(message.rx ? { rx: saFromProto(message.rx) } : {}),
    ...maybe("openedAtMs", ms(message.openedAt)),
    ...maybe("nextRekeyAtMs", ms(message.nextRekeyAt)),
    lastError: message.lastError,
    ...carried("sent", message.sent),
    ...carried("received", message.received),
  };
}

/** To the wire. */
export function pipeToProto(view: PipeView): pb.PipeStatus {
  const staticEntries = view.staticEntries.map((entry) => create(pb.EntryStatusSchema, entry));
  return create(pb.PipeStatusSchema, { ...view, staticEntries });
}

/** From the wire. */
export function pipeFromProto(message: pb.PipeStatus): PipeView {
  const { name, entries, packets, bytes, missPackets, missBytes } = message;
  const staticEntries = message.staticEntries.map((entry) => ({
    name: entry.name,
    packets: entry.packets,
    bytes: entry.bytes,
  }));
  return { name, entries, packets, bytes, missPackets, missBytes, staticEntries };
}

function refusalToProto({ by, atMs, reason, message }: RefusalView): pb.Refusal {
  return create(pb.RefusalSchema, { by, at: timestamp(atMs), reason, message });
}

function refusalFromProto({ by, at, reason, message }: pb.Refusal): RefusalView {
  return { by: oneOf(by, ["this host", "the peer"]), atMs: ms(at) ?? 0, reason, message };
}

/** To the wire. */
export function explainToProto(view: ExplainView): pb.ExplainResponse {
  return create(pb.ExplainResponseSchema, {
    verdict: view.verdict,
    counter: view.counter ?? "",
    counterAt: view.counterAt ?? "",
    peer: view.peer ?? "",
    steps: view.steps.map((step) => create(pb.ExplainStepSchema, step)),
  });
}

/** From the wire. */
export function explainFromProto(message: pb.ExplainResponse): ExplainView {
  return {
    verdict: oneOf(message.verdict, ["dropped", "held", "passes"]),
    ...text("counter", message.counter),
    ...text("counterAt", message.counterAt),
    ...text("peer", message.peer),
    steps: message.steps.map((step) => ({
      at: step.at,
      verdict: oneOf(step.verdict, ["unknown", "ok", "warn", "miss", "wait", "drop"]),
      text: step.text,
      ...text("host", step.host),
    })),
  };
}

/** To the wire. */
export function eventToProto(event: AgentEvent): pb.Event {
  const { cursor, timeMs, kind, count, txSpi, rxSpi, durationMs } = event;
  return create(pb.EventSchema, {
    cursor: BigInt(cursor),
    time: timestamp(timeMs),
    kind,
    peer: event.peer ?? "",
    localVip: event.localVip ?? "",
    remoteVip: event.remoteVip ?? "",
    ...maybe("txSpi", txSpi),
    ...maybe("rxSpi", rxSpi),
    role: event.role ?? "",
    reason: event.reason ?? "",
    message: event.message ?? "",
    ...maybe("durationMs", durationMs),
    count,
    text: EVENT_KINDS[kind].text,
  });
}

/** From the wire. A kind that this program does not know reads as it was sent. */
export function eventFromProto(event: pb.Event): AgentEvent {
  const { txSpi, rxSpi, durationMs } = event;
  return {
    cursor: Number(event.cursor),
    timeMs: ms(event.time) ?? 0,
    kind: event.kind as EventKind,
    count: event.count,
    ...text("peer", event.peer),
    ...text("localVip", event.localVip),
    ...text("remoteVip", event.remoteVip),
    ...maybe("txSpi", txSpi),
    ...maybe("rxSpi", rxSpi),
    ...event.role === "" ? {} : { role: oneOf(event.role, ["initiator", "responder"]) },
    ...text("reason", event.reason),
    ...text("message", event.message),
    ...maybe("durationMs", durationMs),
  };
}

/** To the wire. */
export function queryToProto(
  { after = 0, sinceMs, peer = "", kinds = [] }: EventQuery,
): pb.EventFilter {
  return create(pb.EventFilterSchema, {
    after: BigInt(after),
    ...time("since", sinceMs),
    peer,
    kinds: [...kinds],
  });
}

/** From the wire. */
export function queryFromProto(filter: pb.EventFilter | undefined): EventQuery {
  return {
    after: Number(filter?.after ?? 0n),
    sinceMs: ms(filter?.since),
    peer: filter?.peer || undefined,
    kinds: filter?.kinds,
  };
}

/** To the wire. */
export function sampleToProto(view: SampleView): pb.Sample {
  return create(pb.SampleSchema, {
    time: create(TimestampSchema, {
      seconds: view.timeNs / 1_000_000_000n,
      nanos: Number(view.timeNs % 1_000_000_000n),
    }),
    direction: view.direction,
    srcVip: view.srcVip,
    dstVip: view.dstVip,
    spi: view.spi,
    length: view.length,
    data: view.data,
    lost: BigInt(view.lost),
  });
}

/** From the wire. */
export function sampleFromProto(message: pb.Sample): SampleView {
  const { time } = message;
  return {
    timeNs: (time?.seconds ?? 0n) * 1_000_000_000n + BigInt(time?.nanos ?? 0),
    direction: oneOf(message.direction, ["egress", "ingress"]),
    srcVip: message.srcVip,
    dstVip: message.dstVip,
    spi: message.spi,
    length: message.length,
    data: new Uint8Array(message.data),
    lost: Number(message.lost),
  };
}

/** To the wire. */
export function reloadToProto(view: ReloadView): pb.ReloadResponse {
  return create(pb.ReloadResponseSchema, {
    done: view.done,
    message: view.message,
    peersAdded: view.added,
    peersRemoved: view.removed,
    peersChanged: view.changed,
    keys: [...view.keys],
    restartKeys: [...view.restartKeys],
  });
}

/** From the wire. */
export function reloadFromProto(message: pb.ReloadResponse): ReloadView {
  return {
    done: message.done,
    message: message.message,
    added: message.peersAdded,
    removed: message.peersRemoved,
    changed: message.peersChanged,
    keys: message.keys,
    restartKeys: message.restartKeys,
  };
}

/** To the wire. */
export function rotateToProto(view: RotateView): pb.RotateResponse {
  return create(pb.RotateResponseSchema, {
    started: view.started,
    message: view.message,
    rotation: rotationToProto(view.rotation),
    peers: [...view.peers],
    tunnels: view.tunnels,
  });
}

/** From the wire. */
export function rotateFromProto(message: pb.RotateResponse): RotateView {
  return {
    started: message.started,
    message: message.message,
    rotation: rotationFromProto(message.rotation),
    peers: message.peers,
    tunnels: message.tunnels,
  };
}

function rotationToProto(view: RotationView): pb.RotationStatus {
  return create(pb.RotationStatusSchema, {
    rotations: view.rotations,
    sasOnOldKey: view.sasOnOldKey,
    ...time("nextAt", view.nextAtMs),
    spisLeft: view.spisLeft,
  });
}

function rotationFromProto(message: pb.RotationStatus | undefined): RotationView {
  return {
    rotations: message?.rotations ?? 0n,
    sasOnOldKey: message?.sasOnOldKey ?? 0,
    ...maybe("nextAtMs", ms(message?.nextAt)),
    spisLeft: message?.spisLeft ?? 0n,
  };
}

/** To the wire. */
export function saToProto(view: SaView): pb.Sa {
  return create(pb.SaSchema, {
    spi: view.spi,
    version: versionNumber(view.version),
    createdAt: timestamp(view.createdAtMs),
    ...time("expiresAt", view.expiresAtMs),
    packets: view.packets,
    bytes: view.bytes,
  });
}

/** From the wire. */
export function saFromProto(message: pb.Sa): SaView {
  return {
    spi: message.spi,
    version: PSP_VERSIONS[message.version - 1] ?? PSP_VERSIONS[0],
    createdAtMs: ms(message.createdAt) ?? 0,
    ...maybe("expiresAtMs", ms(message.expiresAt)),
    packets: message.packets,
    bytes: message.bytes,
  };
}

/** An agent of before does not say. */
function carried<K extends string>(
  key: K,
  traffic: pb.Traffic | undefined,
): { [P in K]?: Carried } {
  if (traffic === undefined) return {};
  const { packets, bytes } = traffic;
  return { [key]: { packets, bytes } } as { [P in K]: Carried };
}

function time<K extends string>(key: K, value: number | undefined): { [P in K]?: Timestamp } {
  return value === undefined ? {} : { [key]: timestamp(value) } as { [P in K]: Timestamp };
}

/** Whole milliseconds: a clock's fraction of one would become a fraction of a nanosecond, which no reader takes. */
export function timestamp(ms: number): Timestamp {
  return timestampFromMs(Math.floor(ms));
}

/** From the wire; undefined: it is not there. */
export function ms(value: Timestamp | undefined): number | undefined {
  return value === undefined ? undefined : timestampMs(value);
}

function text<K extends string>(key: K, value: string): { [P in K]?: string } {
  return value === "" ? {} : { [key]: value } as { [P in K]: string };
}

/** A field that is there when it has a value. */
export function maybe<K extends string>(key: K, value: number | undefined): { [P in K]?: number } {
  return value === undefined ? {} : { [key]: value } as { [P in K]: number };
}

/** Texts of a newer agent that this one does not know read as the first. */
export function oneOf<const T extends readonly [string, ...string[]]>(
  value: string,
  known: T,
): T[number] {
  return known.find((k) => k === value) ?? known[0];
}
