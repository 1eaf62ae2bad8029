// SPDX-License-Identifier: Apache-2.0

/**
 * What a tunnel at rest takes of the JavaScript heap: the table, the record and the flows as they are in the agent, over a
 * plane that counts and keeps nothing. No root, no network, no time: the same on a busy machine. Usage:
 *   deno run -A bench/tunnel_memory.ts [--peers=1000] [--vips=100] [--rotations=0] [--json] [--heap=FILE]
 * Every tunnel is opened as an initiator opens it, each text of it once more: from a packet, from the wire, as it comes
 * there. `rotations`: so often all of them get new SAs, and the old ones end. `heap`: V8's snapshot of it is written there.
 */
import { writeHeapSnapshot } from "node:v8";
import { Key } from "../ffi/key.ts";
import type { TxKey } from "../ffi/plane.ts";
import { rxFrom, type SaDefaults, txFrom } from "../src/core/params.ts";
import { Recorder } from "../src/core/ticker.ts";
import { Shares } from "../src/core/shares.ts";
import type { Event } from "../src/core/tunnel.ts";
import { TunnelTable } from "../src/core/tunnel_table.ts";
import { Counters } from "../src/model/counters.ts";
import type { Flows } from "../src/model/flows.ts";
import { installTopology } from "../src/pipes/install.ts";
import { buildTopology } from "../src/pipes/topology.ts";
import { type FlowPlane, FlowTable } from "../src/plane/flow_table.ts";
import { openSaStore } from "../src/store/sa_store.ts";
import { configOf } from "../tests/support/core_config.ts";
import { FakePlane } from "../tests/support/fake_plane.ts";
import { NO_LOG } from "../tests/support/no_log.ts";
import { table as tableText } from "./lib/figures.ts";

const GRANTED = { maxEntries: 524_288, maxCryptoIds: 262_144 };
const NO_STATS = { packets: 0n, bytes: 0n, lastUsedNs: 0n };

/** Which parts are there: without one, what it takes is the difference. */
interface Parts {
  readonly flows: boolean;
  readonly record: boolean;
}

/** Octets of the heap for each tunnel. */
async function octetsOf(
  parts: Parts,
  given: {
    readonly peers: number;
    readonly vips: number;
    readonly rotations: number;
    /** Where a snapshot of the heap goes. */
    readonly snapshot?: string | undefined;
  },
): Promise<number> {
  const { peers, vips, rotations } = given;
  const config = configOf(1, { hosts: 2, changes: {} });
  let now = 1000.25;
  const clock = {
    now: () => now,
    wallMs: () => 1.7e12 + now,
    sleep: (ms: number) => Promise.resolve().then(() => void (now += ms)),
  };
  using store = openSaStore({ path: ":memory:", log: NO_LOG, wallMs: clock.wallMs });
  const recorder = new Recorder(store, clock, 7n);
  const before = await heap();
  const flows: Flows = parts.flows ? flowTable(clock) : noFlows();
  const table = new TunnelTable({
    flows,
    plane: { releaseHeld: () => 0, dropHeld: () => 0 },
    counters: new Counters(),
    events: { add: () => {} },
    log: NO_LOG,
    clock,
    config,
    shares: new Shares({ tunnels: 131_072, config, peers: () => peers }),
    onReleased: () => {},
    onAsk: () => {},
    onClosed: () => {},
    onConfirmed: () => {},
    onChange: (tunnel) => {
      if (parts.record) recorder.changed(tunnel);
    },
  });
  const defaults: SaDefaults = {
    config,
    mac: "02:00:00:00:00:01",
    ownAddress: () => undefined,
    random: { uniform: () => 0.5, hex: () => "" },
  };
  let spi = 0x1000;
  let serial = 0n;
  const open = (peer: number, vip: number, generation: bigint) => {
    const id = fresh(`peer-${peer}`);
    const n = peer * vips + vip;
    const pair = {
      localVip: fresh(`10.1.0.${10 + n % 50}`),
      remoteVip: fresh(`10.${64 + (n >> 16)}.${n >> 8 & 255}.${n & 255}`),
    };
    const owner = { id, svcAddress: "", vips: [] };
    const at = { now, wallMs: clock.wallMs() };
    const tunnel = table.ensure(pair, id);
    const apply = (event: Event<TxKey>) => table.apply(tunnel, event);
    if (generation === 0n) apply({ type: "wanted" });
    else apply({ type: "rotated", generation });
    const { rx, params } = rxFrom(defaults, {
      spiKey: { spi: spi++, version: 1, key: key() },
      version: "aes-gcm-256",
      pair: tunnel.pair,
      peer: owner,
      ivCounts: true,
      serial: ++serial,
      masterKey: { rotations: generation },
      at,
    });
    apply({ type: "offered", rx });
    const answer = {
      ...params,
      spi: spi++,
      pip: fresh(`198.18.${peer >> 8}.${peer & 255}`),
      mac: fresh("02:00:00:00:00:02"),
      key: key(),
    };
    const epoch = BigInt(1.7e12);
    const tx = txFrom(defaults, { params: answer, pair: tunnel.pair, peer: owner, epoch, at });
    apply({ type: "answered", spi: rx.sa.spi, ...tx });
  };
  for (let turn = 0n; turn <= BigInt(rotations); turn++) {
    for (let peer = 0; peer < peers; peer++) {
      for (let vip = 0; vip < vips; vip++) open(peer, vip, turn);
      store.flush();
    }
    now += 60_000;
    while (table.tickDue());
    store.flush();
    // Keys that retire go.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const octets = await heap() - before;
  if (given.snapshot !== undefined) writeHeapSnapshot(given.snapshot);
  if (table.census.counts.up !== peers * vips) throw new Error("Not every tunnel is up");
  return octets / (peers * vips);
}

/** A text of its own, as one from the wire is: equal ones are there as often as they came. */
function fresh(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

function key(): Key {
  return new Key(new Uint8Array(32));
}

/** Octets that live, once what waits to be let go of has gone. */
async function heap(): Promise<number> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Cannot measure without --expose-gc");
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    gc();
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

function noFlows(): Flows {
  return {
    addRx: () => {},
    removeRx: () => {},
    ignoreReplays: () => {},
    setTx: () => {},
    readdressTx: () => {},
    removeTx: () => {},
    expireTx: () => {},
    txStats: () => NO_STATS,
    rxStats: () => NO_STATS,
    carried: () => undefined,
    traffic: () => undefined,
    together: (work) => work(),
  };
}

function flowTable(
  clock: ConstructorParameters<typeof FlowTable>[0]["clock"],
): FlowTable {
  const fake = new FakePlane({});
  const topology = buildTopology({
    sampling: false,
    sampleRateLog2: 8,
    mode: "tunnel",
    onDemand: true,
    exceptions: false,
    vc: false,
    ports: false,
  });
  const installed = installTopology(fake, topology);
  let entries = 0;
  const done = (all: readonly unknown[]) =>
    all.map(() => ({ id: 0, stats: NO_STATS, error: undefined }));
  const plane: FlowPlane = {
    kind: "soft",
    addEntry: () => ++entries,
    updateEntry: () => {},
    removeEntry: () => {},
    queryEntry: () => NO_STATS,
    queryPipe: () => ({ ...NO_STATS, missPackets: 0n, missBytes: 0n, entries: 0 }),
    changeEntries: done,
    changeKeys: done,
    setCrypto: () => {},
    clearCrypto: () => {},
    queryCrypto: () => NO_STATS,
    port: (port) => fake.port(port),
    granted: () => ({ ...fake.granted(), ...GRANTED }),
  };
  return new FlowTable({
    plane,
    installed,
    clock,
    localPip: "192.0.2.1",
    ttl: 64,
    copyDscp: true,
    gatewayMac: "02:50:53:50:00:01",
    nextHopMac: () => fresh("02:00:00:00:00:03"),
    pathMtu: () => undefined,
    placeOf: () => ({ mac: fresh("02:00:00:00:00:04"), port: 2 }),
    replayWindow: () => 4096,
    maxCryptoIds: GRANTED.maxCryptoIds,
    retireMs: 1,
  });
}

async function main(): Promise<void> {
  const given = (name: string, otherwise: number) =>
    Number(
      Deno.args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise,
    );
  const shape = {
    peers: given("peers", 1000),
    vips: given("vips", 100),
    rotations: given("rotations", 0),
  };
  // Code that runs for the first time takes memory too.
  await octetsOf({ flows: true, record: true }, { peers: 10, vips: 10, rotations: 1 });
  const table = await octetsOf({ flows: false, record: false }, shape);
  const withRecord = await octetsOf({ flows: false, record: true }, shape);
  const snapshot = Deno.args.find((arg) => arg.startsWith("--heap="))?.slice("--heap=".length);
  const all = await octetsOf({ flows: true, record: true }, { ...shape, snapshot });
  const figures = { table, record: withRecord - table, flows: all - withRecord, all };
  if (Deno.args.includes("--json")) return console.log(JSON.stringify(figures));
  const tunnels = shape.peers * shape.vips;
  const rows = Object.entries(figures).map(([name, octets]) => [
    name,
    octets.toFixed(0),
    (octets * tunnels / 2 ** 20).toFixed(0),
  ]);
  console.log(tableText(["part", "octets a tunnel", "MiB"], rows));
}

/** The same once more, with a collector that can be called. */
async function withCollector(): Promise<number> {
  const flags = ["run", "-A", "--quiet", "--no-check", "--v8-flags=--expose-gc"];
  const args = [...flags, new URL(import.meta.url).pathname, ...Deno.args];
  return (await new Deno.Command(Deno.execPath(), { args }).spawn().status).code;
}

if (import.meta.main) {
  if ("gc" in globalThis) await main();
  else Deno.exit(await withCollector());
}
