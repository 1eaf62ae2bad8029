// SPDX-License-Identifier: Apache-2.0

/** What the status listener is told: the core's view, the plane's and the agent's own, in one. */
import type { Plane } from "../../ffi/plane.ts";
import { type Config, hostNames } from "../config/config.ts";
import type { Core } from "../core/core.ts";
import { type InstalledTopology, UPLINK_REST } from "../pipes/install.ts";
import { COUNTER_TEXTS } from "./counter_texts.ts";
import type { LoopLag } from "./loop_lag.ts";
import type { RecentDrops } from "./recent_drops.ts";
import type { DropLog } from "../model/drop_log.ts";
import type { NetworkView } from "../model/lists.ts";
import type { Logs } from "../model/log.ts";
import type { EventLog } from "../store/event_log.ts";
import type { PlaneWatch } from "../plane/plane_watch.ts";
import type { SampleHub } from "../plane/sample_hub.ts";
import type { Sizes } from "../plane/sizes.ts";
import { mermaid } from "../pipes/mermaid.ts";
import type { PipeName } from "../pipes/types.ts";
import type {
  EntryView,
  MetricsView,
  PeerView,
  PipeView,
  StatusSource,
  StatusView,
} from "../model/status.ts";
import { VERSION } from "../model/version.ts";

/** Where the answers come from. */
export interface AgentStatusParts {
  readonly config: Config;
  readonly core: Core;
  readonly plane: Pick<
    Plane,
    "kind" | "version" | "granted" | "counters" | "queryPipe" | "queryEntry"
  >;
  readonly installed: InstalledTopology;
  readonly samples: SampleHub;
  /** Of the last hour. */
  readonly happenings: Pick<EventLog, "list" | "watch" | "refusal">;
  readonly drops: Pick<DropLog, "list">;
  readonly logs: Pick<Logs, "levels" | "setLevel" | "tail">;
  readonly watch: Pick<PlaneWatch, "counters" | "ports" | "faults">;
  /** The three numbers about the MTU, at this moment. */
  readonly mtu: () => StatusView["mtu"];
  /** Counters kept outside of core and plane: the RPC listener's. */
  readonly counters: () => Readonly<Record<string, bigint>>;
  readonly certificateExpiresAtMs: () => number | undefined;
  /** By peer, the group of the key exchange. */
  readonly keyExchanges: () => ReadonlyMap<string, string>;
  readonly lag: Pick<LoopLag, "view">;
  /** The crypto backend in use. */
  readonly backend: string;
  /** When the oldest keys were made. */
  readonly oldestKeys: () => MetricsView["oldestKeys"];
  readonly recentDrops: Pick<RecentDrops, "view">;
  /** What the flow table and the disk say for the metrics. */
  readonly metrics: () => Pick<MetricsView, "traffic" | "databases">;
  /** Of this process. */
  readonly process: () => MetricsView["process"];
  /** What the plane was asked for, where it has less. */
  readonly asked?: Sizes | undefined;
  readonly reload: StatusSource["reload"];
  /** Where peers come from, at this moment. */
  readonly directory: () => StatusView["directory"];
}

/** A snapshot per question; nothing is cached. */
export function agentStatus(parts: AgentStatusParts): StatusSource {
  const { config, core, plane, installed, samples } = parts;
  return {
    status: (query) => {
      const view = core.status(query);
      const expiresAt = parts.certificateExpiresAtMs();
      const { txAtMs } = parts.oldestKeys();
      return {
        ...view,
        peers: withKnowledge(view.peers, parts),
        id: `spiffe://${config.domain}/psp/${config.id}`,
        version: VERSION,
        plane: planeView(parts),
        counters: {
          ...plane.counters(),
          ...view.counters,
          ...samples.counters(),
          ...parts.watch.counters(),
          ...parts.counters(),
        },
        mtu: parts.mtu(),
        eventLoop: parts.lag.view(),
        latencies: core.latencies(),
        faults: parts.watch.faults().map(({ text }) => text),
        directory: parts.directory(),
        recentDrops: parts.recentDrops.view(),
        ...(expiresAt === undefined ? {} : { certificateExpiresAtMs: expiresAt }),
        ...(txAtMs === undefined ? {} : { oldestKeyAtMs: txAtMs }),
      };
    },
    *peerParts(query) {
      for (const part of core.peerParts(query)) yield withKnowledge(part, parts);
    },
    metrics: () => ({
      ...parts.metrics(),
      oldestKeys: parts.oldestKeys(),
      process: parts.process(),
      texts: COUNTER_TEXTS,
    }),
    tunnels: (query) => core.tunnels(query),
    peers: (query) => {
      const { peers, total } = core.peers(query);
      return { peers: withKnowledge(peers, parts), total };
    },
    sas: (query) => core.sas(query),
    drops: (query) => parts.drops.list(query),
    ports: () => parts.watch.ports(),
    networks: () => networks(parts),
    pipes: () => [...installed.pipes].reverse().map(([name]) => pipeView(name, parts)),
    picture: () => picture(parts),
    ping: (query) => core.ping(query),
    explain: async (packet) => await core.explain(packet),
    samples: (signal) => samples.watch(signal),
    events: (query) => parts.happenings.list(query),
    watchEvents: (query, signal) => parts.happenings.watch(query, signal),
    rotate: async (options) => await core.rotate(options),
    reload: parts.reload,
    rekey: (which) => core.rekey(which),
    closeTunnels: (which) => core.closeTunnels(which),
    logLevels: () => parts.logs.levels(),
    setLogLevel: (category, level) => parts.logs.setLevel(category, level),
    logLines: () => parts.logs.tail(),
  };
}

/** What other parts know of peers. */
function withKnowledge(
  peers: readonly PeerView[],
  { keyExchanges, happenings }: Pick<AgentStatusParts, "keyExchanges" | "happenings">,
): readonly PeerView[] {
  const groups = keyExchanges();
  return peers.map((peer) => {
    const keyExchange = groups.get(peer.id);
    const refusal = happenings.refusal(peer.id);
    return {
      ...peer,
      ...keyExchange === undefined ? {} : { keyExchange },
      ...refusal === undefined ? {} : { refusal },
    };
  });
}

/** The default one, and those of the configuration. */
function networks(
  { config, core, watch }: Pick<AgentStatusParts, "config" | "core" | "watch">,
): readonly NetworkView[] {
  const ports = watch.ports().flatMap(({ name, facts }) => name === "host" && facts ? [facts] : []);
  return [undefined, ...config.networks ?? []].map((network): NetworkView => {
    const name = network?.name ?? "";
    const own = ports.filter((port) => port.network === name);
    return {
      name,
      ...network === undefined ? {} : { vc: network.vc },
      ports: own.length,
      workloads: own.reduce((sum, { workloads }) => sum + workloads, 0),
      tunnels: core.tunnelsOf(name),
    };
  });
}

/** As `psp-agent pipes --live` draws it. */
function picture(parts: AgentStatusParts): string {
  const { installed, config: { plane } } = parts;
  const there = new Set(installed.pipes.keys());
  return mermaid(installed.topology, {
    ...plane.kind === "soft"
      ? { ports: { uplink: plane.uplink, host: hostNames(plane).join(" ") } }
      : {},
    counters: (pipe) => there.has(pipe) ? pipeView(pipe, parts) : undefined,
  });
}

function pipeView(
  name: PipeName,
  { installed, plane }: Pick<AgentStatusParts, "installed" | "plane">,
): PipeView {
  const all = staticEntries(name, { installed, plane });
  // With many host ports, ROOT's miss on the uplink is an entry.
  const rest = all.find((entry) => entry.name === UPLINK_REST);
  const entries = all.filter((entry) => entry !== rest);
  const queried = plane.queryPipe(installed.pipeId(name));
  const stats = rest === undefined ? queried : {
    ...queried,
    entries: queried.entries - 1,
    missPackets: queried.missPackets + rest.packets,
    missBytes: queried.missBytes + rest.bytes,
  };
  const type = installed.topology.pipes.find((pipe) => pipe.name === name)?.type;
  // A control pipe counts at its entries only, all of which are static.
  const sum = (of: "packets" | "bytes") => entries.reduce((total, entry) => total + entry[of], 0n);
  return {
    name,
    ...stats,
    ...type === "control" ? { packets: sum("packets"), bytes: sum("bytes") } : {},
    staticEntries: entries,
  };
}

function staticEntries(
  pipe: string,
  { installed, plane }: Pick<AgentStatusParts, "installed" | "plane">,
): readonly EntryView[] {
  return [...installed.entries].filter(([name]) => name.startsWith(`${pipe}/`))
    .map(([name, id]) => {
      const { packets, bytes } = plane.queryEntry(id);
      return { name: name.slice(pipe.length + 1), packets, bytes };
    });
}

function planeView(
  { config: { plane: config }, plane, backend, watch, asked }: Pick<
    AgentStatusParts,
    "config" | "plane" | "backend" | "watch" | "asked"
  >,
): StatusView["plane"] {
  const uplink = config.kind === "soft" ? config.uplink : config.pci;
  const host = hostNames(config).join(", ");
  const { maxEntries, maxCryptoIds, actionsMemory, mbufs, queues } = plane.granted();
  return {
    kind: plane.kind,
    version: plane.version(),
    uplink,
    host,
    backend,
    ports: watch.ports(),
    granted: { maxEntries, maxCryptoIds, actionsMemory, mbufs, queues },
    ...asked === undefined ? {} : { asked },
  };
}
