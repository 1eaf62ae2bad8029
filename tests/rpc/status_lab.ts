// SPDX-License-Identifier: Apache-2.0

/** A status listener with fixed answers, and curl to ask it. */
import type { Config } from "../../src/config/config.ts";
import {
  startStatusServer,
  type StatusServer,
  type StatusServerOptions,
} from "../../src/rpc/status_server.ts";
import { tunnelToken } from "../../src/rpc/status_service.ts";
import type { DropView, NetworkView, SaEntry } from "../../src/model/lists.ts";
import type { LogLevels } from "../../src/model/log.ts";
import type { AgentEvent } from "../../src/model/events.ts";
import type {
  MetricsView,
  PeerView,
  SampleView,
  StatusSource,
  StatusView,
  TunnelView,
} from "../../src/model/status.ts";
import { VERSION } from "../../src/model/version.ts";
import { ears, type Heard, type Lab, TRUST } from "./lab.ts";
import type { RpcServerOptions } from "../../src/rpc/server.ts";

/** What `source` answers. */
export const STATUS: StatusView = {
  id: "spiffe://example.org/psp/h1",
  version: VERSION,
  bootEpoch: 2n ** 63n + 1n,
  startedAtMs: 1_700_000_000_123,
  plane: {
    kind: "soft",
    version: "1",
    uplink: "up0",
    host: "host0",
    backend: "openssl",
    granted: { maxEntries: 64, maxCryptoIds: 32, actionsMemory: 2 ** 33, mbufs: 5, queues: 3 },
    asked: { maxEntries: 128, maxCryptoIds: 64, actionsMemory: 0, mbufs: 0, queues: 0 },
    ports: [
      { name: "uplink", interface: "up0", guard: { state: "stands", restored: 2 } },
      {
        name: "host",
        interface: "host0",
        guard: { state: "absent", reason: "no-right", restored: 0 },
      },
      {
        name: "host",
        interface: "host1",
        guard: { state: "not-applicable", restored: 0 },
        facts: {
          state: "down",
          mac: "02:00:00:00:00:07",
          network: "blue",
          workloads: 3,
          rxPackets: 2n ** 60n,
          rxBytes: 11n,
          txPackets: 12n,
          txBytes: 13n,
          txBusy: 1n,
          txError: 2n,
          missesLimited: 3n,
          exceptionsLimited: 4n,
        },
      },
    ],
  },
  peers: [{
    id: "h2",
    svcAddress: "192.0.2.2:7443",
    vips: ["10.2.0.0/24"],
    circuit: "half-open",
    failures: 3,
    lastError: 'a "quoted" text',
    nextAttemptAtMs: 1_700_000_001_000,
    bootEpoch: 5n,
    tunnels: 2,
    state: "failing",
    heardAtMs: 1_700_000_000_500,
    failingSinceMs: 1_700_000_000_900,
    refusal: {
      by: "the peer",
      atMs: 1_700_000_000_800,
      reason: "refused",
      message: "h1 is not a peer of this host",
    },
  }],
  tunnels: { opening: 1, up: 2, rekeying: 3, failed: 4, unconfirmed: 5 },
  counters: { "rx-auth-fail": 2n ** 60n, "tx_key_expired": 0n, "rx-packets": 9n, "rotations": 8n },
  rotation: { rotations: 7n, sasOnOldKey: 1, nextAtMs: 1_700_000_100_000, spisLeft: 99n },
  recentDrops: { "rx-auth-fail": 2n ** 59n },
  oldestKeyAtMs: 1_700_000_000_400,
  nextRekeyAtMs: 1_700_000_200_000,
  mtu: { uplink: 1500, overhead: 80, largestInnerPacket: 1420 },
  certificateExpiresAtMs: 1_800_000_000_000,
  draining: false,
  peersTotal: 1,
  eventLoop: {
    p99Ms: 2,
    maxMs: 15.5,
    sumMs: 120,
    buckets: [{ leMs: 2, looks: 99 }, { leMs: Infinity, looks: 100 }],
  },
  faults: [],
  directory: [
    {
      name: "file",
      isCurrent: true,
      currentAtMs: 1_700_000_000_000,
      lastError: "",
      records: 2,
      skipped: 0,
      conflicts: 0,
      problems: [],
    },
    {
      name: "etcd",
      isCurrent: false,
      lastError: "connection refused",
      records: 3,
      skipped: 1,
      conflicts: 2,
      problems: ["/psp-agent/peers/h9:1:2: vips: is missing"],
    },
  ],
  latencies: {
    exchange: { buckets: [{ le: 1, count: 3 }, { le: Infinity, count: 4 }], sum: 3.5 },
    firstPacket: { buckets: [{ le: 0.5, count: 0 }, { le: Infinity, count: 0 }], sum: 0 },
  },
};

export const METRICS: MetricsView = {
  process: {
    cpuSeconds: 1.5,
    residentBytes: 4096,
    startedAtMs: 1_700_000_000_000,
    maxDescriptors: 1024,
  },
  texts: { "rx-packets": "packets opened" },
  traffic: [
    {
      peer: "h2",
      network: "",
      sent: { packets: 3n, bytes: 300n },
      received: { packets: 4n, bytes: 400n },
    },
    {
      peer: "far",
      network: "red",
      sent: { packets: 1n, bytes: 2n },
      received: { packets: 0n, bytes: 0n },
    },
  ],
  oldestKeys: { txAtMs: 1_700_000_000_000 },
  databases: { "agent.db": 4096, "events.db": 0 },
};

export const TUNNELS: readonly TunnelView[] = [
  "10.2.0.1",
  "10.2.0.2",
  "10.2.0.3",
  "10.2.0.4",
  "10.2.0.5",
]
  .map((remoteVip, i) => ({
    peer: i < 4 ? "h2" : "h3",
    localVip: "10.1.0.1",
    remoteVip,
    state: "up",
    tx: {
      spi: 0x8000_0001 + i,
      version: "aes-gcm-256",
      createdAtMs: 1_700_000_000_000,
      expiresAtMs: 1_700_003_600_000,
      packets: 10n,
      bytes: 1000n,
    },
    openedAtMs: 1_700_000_000_000,
    nextRekeyAtMs: 1_700_003_300_000,
    lastError: "",
    sent: { packets: 2n ** 60n, bytes: 7n },
    received: { packets: 0n, bytes: 0n },
  }));

export const PEERS: readonly PeerView[] = ["h2", "h3", "h4"].map((id) => ({
  id,
  svcAddress: "192.0.2.2:7443",
  vips: ["10.2.0.0/24"],
  circuit: "closed",
  failures: 0,
  lastError: "",
  bootEpoch: 5n,
  tunnels: 2,
  state: id === "h3" ? "failing" : "up",
}));

const SA = {
  version: "aes-gcm-256",
  createdAtMs: 1_700_000_000_000,
  packets: 10n,
  bytes: 1000n,
} as const;

export const SAS: readonly SaEntry[] = (["tx", "rx"] as const).flatMap((direction) =>
  (["current", "superseded", "offered"] as const).map((state, i) => ({
    peer: "h2",
    localVip: "10.1.0.1",
    remoteVip: "10.2.0.1",
    direction,
    state,
    sa: { ...SA, spi: 0x8000_0001 + i },
  }))
);

export const DROPS: readonly DropView[] = [
  {
    reason: "rx-auth-fail",
    detail: "",
    peer: "h2",
    src: "192.0.2.2",
    dst: "192.0.2.1",
    outer: true,
    spi: 0xffff_fff0,
    header: new Uint8Array(),
    packets: 3,
    firstAtMs: 1_700_000_000_000,
    lastAtMs: 1_700_000_000_500,
  },
  {
    reason: "too-big",
    detail: "at most 1440 octets",
    peer: "",
    src: "10.1.0.1",
    dst: "10.2.0.1",
    outer: false,
    header: new Uint8Array([0x45, 0, 0, 1]),
    packets: 1,
    firstAtMs: 1_700_000_000_000,
    lastAtMs: 1_700_000_000_000,
  },
];

export const NETWORKS: readonly NetworkView[] = [
  { name: "", ports: 1, workloads: 2, tunnels: 3 },
  { name: "blue", vc: 2n ** 63n, ports: 0, workloads: 0, tunnels: 0 },
];

export const EVENTS: readonly AgentEvent[] = [
  { cursor: 7, timeMs: 1_700_000_000_000, kind: "agent-ready", count: 1 },
  {
    cursor: 8,
    timeMs: 1_700_000_000_250,
    kind: "tunnel-opened",
    count: 1,
    peer: "h2",
    localVip: "10.1.0.1",
    remoteVip: "10.2.0.1",
    txSpi: 0x8000_0001,
    rxSpi: 5,
    role: "initiator",
    durationMs: 2.5,
  },
];

export const SAMPLE: SampleView = {
  timeNs: 1_700_000_000_123_456_789n,
  direction: "ingress",
  srcVip: "10.2.0.1",
  dstVip: "10.1.0.1",
  spi: 7,
  length: 100,
  data: new Uint8Array([69, 0]),
  lost: 3,
};

export const LEVELS: LogLevels = {
  agent: "info",
  core: "debug",
  directory: "info",
  plane: "info",
  rpc: "warning",
  store: "info",
};

export const LOG_LINES: readonly string[] = ["2023-11-14T22:13:20.000Z INFO The agent is ready"];

/** An agent that says always the same, but for `changes`. */
export function source(changes: Partial<StatusSource> = {}): StatusSource {
  return {
    status: () => STATUS,
    peerParts: ({ maxPeers = Infinity } = {}) =>
      STATUS.peers.slice(0, maxPeers).map((peer) => [peer]),
    metrics: () => METRICS,
    tunnels: ({ peer, after, limit }) =>
      TUNNELS.filter((t) => peer === undefined || t.peer === peer)
        .filter((t) => after === undefined || tunnelToken(t) > after).slice(0, limit),
    peers: ({ contains = "", states = [], after = "", limit }) => ({
      peers: PEERS.filter(({ id, state }) =>
        id > after && id.includes(contains) && (states.length === 0 || states.includes(state))
      ).slice(0, limit),
      total: PEERS.length,
    }),
    sas: ({ after, direction, limit }) => {
      const all = SAS.filter((one) => direction === undefined || one.direction === direction);
      const from = after === undefined ? 0 : Number(after);
      const next = from + limit < all.length ? String(from + limit) : undefined;
      return { sas: all.slice(from, from + limit), next };
    },
    drops: ({ reason, after = 0, limit }) => {
      const found = DROPS.filter((drop) => reason === undefined || drop.reason === reason);
      const next = after + limit < found.length ? after + limit : undefined;
      return { drops: found.slice(after, after + limit), next };
    },
    ports: () => STATUS.plane.ports,
    networks: () => NETWORKS,
    pipes: () => [
      {
        name: "EGR_ACL",
        entries: 5,
        packets: 1n,
        bytes: 2n,
        missPackets: 3n,
        missBytes: 4n,
        staticEntries: [{ name: "one", packets: 5n, bytes: 6n }],
      },
    ],
    picture: () => "flowchart LR\n    ingress{{ingress}}-->ROOT\n",
    async *samples(signal) {
      yield SAMPLE;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    },
    ping: ({ dst }) =>
      Promise.resolve({
        peer: "h2",
        src: "10.1.0.1",
        dst,
        legs: [
          { name: "control", verdict: "ok", ms: 1.5, text: "The agent of h2 answers" },
          { name: "tunnel", verdict: "failed", text: "no answer" },
        ],
      }),
    explain: ({ src, dst }) =>
      Promise.resolve({
        verdict: "dropped",
        counter: "no-peer",
        steps: [{ at: "RSS", verdict: "drop", text: `No peer owns ${dst}, asked ${src}` }],
      }),
    events: ({ after = 0, limit }) => EVENTS.filter(({ cursor }) => cursor > after).slice(0, limit),
    async *watchEvents({ after = 0 }, signal) {
      yield* EVENTS.filter(({ cursor }) => cursor > after);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    },
    reload: ({ plan }) =>
      Promise.resolve({
        done: !plan,
        message: "peers: 1 added, 2 removed, 3 changed; tunnel.life",
        added: 1,
        removed: 2,
        changed: 3,
        keys: ["tunnel.life"],
        restartKeys: ["plane.uplink"],
      }),
    rotate: ({ plan }) =>
      Promise.resolve({
        started: !plan,
        message: "would rekey",
        rotation: STATUS.rotation,
        peers: ["h2"],
        tunnels: 5,
      }),
    rekey: ({ peer }) => ({ tunnels: 3, message: `Rekeying 3 tunnels of ${peer}` }),
    closeTunnels: ({ vips, spi }) => ({ tunnels: 1, message: `Closed ${vips.join(" ")} ${spi}` }),
    logLevels: () => LEVELS,
    setLogLevel: () => {},
    logLines: () => LOG_LINES,
    ...changes,
  };
}

/** A status listener on loopback. */
export interface World extends AsyncDisposable {
  readonly server: StatusServer;
  readonly address: string;
  readonly url: string;
  readonly events: Heard;
  /** Who comes by this is known. */
  readonly socket: string;
}

/** Starts one, as `config` says. */
export async function world(
  config: Partial<Config["status"]> = {},
  of = source(),
  more: Partial<StatusServerOptions> = {},
): Promise<World> {
  const events = ears();
  const dir = await Deno.makeTempDir({ prefix: "psp-status-" });
  const socket = `${dir}/agent.sock`;
  const server = await startStatusServer({
    config: { listen: "127.0.0.1:0", admin: false, origins: [], ...config },
    source: of,
    trust: TRUST,
    events,
    socket: { path: socket, optional: false },
    ...more,
  }).catch(async (error) => {
    await Deno.remove(dir, { recursive: true });
    throw error;
  });
  const address = `127.0.0.1:${server.address.port}`;
  const url = `${config.tls ? "https" : "http"}://${address}`;
  return {
    server,
    address,
    url,
    events,
    socket,
    async [Symbol.asyncDispose]() {
      await server.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** Status 0: no answer. */
export async function curl(...args: string[]): Promise<{ status: number; body: string }> {
  const { stdout } = await new Deno.Command("curl", {
    args: ["-s", "-m", "5", "-w", "\n%{http_code}", ...args],
  }).output();
  const text = new TextDecoder().decode(stdout);
  const at = text.lastIndexOf("\n");
  return { status: Number(text.slice(at + 1)), body: text.slice(0, at) };
}

/** Collects what nobody holds any more, also what that has held; only with --expose-gc. */
export async function collect(): Promise<void> {
  const { gc } = globalThis as { readonly gc?: () => void };
  for (let i = 0; i < 3; i++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** One in a process of its own. */
export interface Apart extends AsyncDisposable {
  readonly port: number;
  /** The first log line that matches, when it comes. */
  line(pattern: RegExp): Promise<string>;
  /**
   * Its counters, its memory as `rss` and what JavaScript holds of it as `held`, octets; "gc": once what nobody holds has
   * been collected.
   */
  ask(when?: "gc"): Promise<Record<string, number>>;
}

/** A status listener in a process of its own, with this limit of descriptors, told how many it has or not. */
export function apart(
  { descriptors = 256, budget }: { readonly descriptors?: number; readonly budget?: number } = {},
): Promise<Apart> {
  const args = budget === undefined ? [] : [`${budget}`];
  return process("./status_process.ts", { descriptors, args });
}

/** The listener for peers of a lab's "h2", likewise. `options`: of the server, as far as JSON can say them. */
export function peersApart(
  lab: Lab,
  options: Partial<RpcServerOptions> = {},
): Promise<Apart> {
  const args = [lab.dir, JSON.stringify(options)];
  return process("./control_process.ts", { descriptors: 4096, args });
}

async function process(
  script: string,
  { descriptors, args }: { readonly descriptors: number; readonly args: readonly string[] },
): Promise<Apart> {
  const path = new URL(script, import.meta.url).pathname;
  const run = ["run", "-A", "--quiet", "--no-check", "--cached-only", "--v8-flags=--expose-gc"];

  const child = new Deno.Command("prlimit", {
    args: [`--nofile=${descriptors}:${descriptors}`, Deno.execPath(), ...run, path, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines: string[] = [];
  const heard = (async () => {
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
    }
  })();
  const line = async (pattern: RegExp) => {
    for (;;) {
      const found = lines.find((one) => pattern.test(one));
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const port = Number((await line(/^port /)).slice(5));
  const writer = child.stdin.getWriter();
  return {
    port,
    line,
    async ask(when: "gc" | "?" = "?"): Promise<Record<string, number>> {
      const before = lines.length;
      await writer.write(new TextEncoder().encode(`${when}\n`));
      while (!lines.slice(before).some((one) => one.startsWith("{"))) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return JSON.parse(lines.slice(before).find((one) => one.startsWith("{")) ?? "");
    },
    async [Symbol.asyncDispose]() {
      await writer.write(new TextEncoder().encode("end\n"));
      await writer.close();
      const { code } = await child.status;
      await heard;
      if (code !== 0) throw new Error(`the listener's process ended with ${code}`);
    },
  };
}
