// SPDX-License-Identifier: Apache-2.0

/**
 * One agent among thousands of peers: cold start, rotation, kill -9 and restore, rest. The agent is the real one on the
 * soft plane; its peers are played by one process in a namespace of its own (bench/fleet/responder.ts), each with its
 * own address and certificate. Usage, as root:
 * deno run -A bench/fleet.ts [--shapes=1000x1,10000x1,...] [--only=cold,rotate,closed,idle,restore] [--idle=20] [--json]
 * [--connections=N] [--settle=150] [--limit-s=300] [--nice=-10] [--profile=DIR] [--heap] [--trace]
 * With a directory it keeps there, for each step, what the agent's thread did, and with --heap what is in its heap after
 * it; with --trace every step of every tunnel is written down and held against the protocol. Figures are not to be taken
 * from such a run.
 */
import { DatabaseSync } from "node:sqlite";
import { openSaStore } from "../src/store/sa_store.ts";
import { inNamespace } from "../tests/support/bench_lab.ts";
import { FarNamespace } from "../tests/support/far_namespace.ts";
import { ip } from "../tests/support/own_namespace.ts";
import { judge, type TraceLine, traceLine } from "../tests/explore/trace.ts";
import { PacketSocket } from "../tests/support/packet_socket.ts";
import { type FleetCertificates, fleetCertificates } from "./fleet/certificates.ts";
import { missFrame } from "./fleet/frames.ts";
import {
  AGENT_ID,
  AGENT_IP,
  DOMAIN,
  FAR_IP,
  pairs,
  peerId,
  peerIp,
  PEERS_NET,
  readShape,
  remoteVip,
  RPC_PORT,
  type Shape,
  STATUS,
  workloadMac,
  WORKLOADS,
} from "./fleet/plan.ts";
import { Profiler } from "./fleet/profiler.ts";
import type { FleetStats } from "./fleet/responder.ts";
import { mark, ranS, since } from "./lib/cpu.ts";
import { table } from "./lib/figures.ts";
import { memoryMib } from "./lib/memory.ts";

const SHAPES = "1000x1,2000x1,5000x1,10000x1,1000x100,10000x10";
const STEPS = ["cold", "rotate", "closed", "idle", "restore"] as const;
type Step = (typeof STEPS)[number];
/** More tunnels than this are not begun by packets: one port may bring 1,000 new flows a second. */
const MAX_BY_PACKET = 20_000;
/** Packets that begin a flow, in a second. */
const MISSES_PER_S = 900;
const POLL_MS = 250;
/** Seconds between the last tunnel and the measure of rest: connections that nobody needs are closed by then. */
const SETTLE_S = 150;
/** With it the agent is told to rotate. */
const TOKEN = "fleet-0123456789abcdef0123456789abcdef";
const INSPECTOR_PORT = 9339;
const ROOT = new URL("..", import.meta.url).pathname;

/** One line of the result. */
interface Row {
  readonly shape: string;
  readonly step: Step;
  /** The process lived through it, and all tunnels were there in the end. */
  readonly ended: boolean;
  /** From the command (or the start of the process) to the last tunnel; -1: never. */
  readonly seconds: number;
  readonly exchangesPerPeer: number;
  readonly repeats: number;
  readonly handshakes: number;
  readonly recordsLost: number;
  readonly stallP99Ms: number;
  readonly stallMaxMs: number;
  /** Of the time, what the agent's JavaScript thread was ready to run and did not get a processor. */
  readonly waited: number;
  /** What the process ran, and of that its JavaScript thread, in seconds. */
  readonly cpuS: number;
  readonly threadS: number;
  readonly rssMb: number;
  readonly peakMb: number;
  readonly idleCpu: number;
  readonly descriptors: number;
  /** Share of all processors that others used meanwhile. */
  readonly foreign: number;
}

interface Args {
  readonly shapes: readonly Shape[];
  readonly only: readonly Step[];
  readonly settleS: number;
  readonly idleS: number;
  readonly limitS: number;
  readonly connections: number | undefined;
  /** Of the agent and of its peers: on a machine that others use meanwhile. */
  readonly nice: number;
  readonly json: boolean;
  /** Where profiles go. */
  readonly profile: string | undefined;
  readonly heap: boolean;
  readonly trace: boolean;
}

async function main(): Promise<void> {
  const args = readArgs();
  Deno.mkdirSync(args.profile ?? `${ROOT}build/bench`, { recursive: true });
  Deno.mkdirSync(`${ROOT}build/bench`, { recursive: true });
  const peers = Math.max(...args.shapes.map((shape) => shape.peers));
  const path = `${ROOT}build/bench/fleet-certificates.json`;
  const certificates = await fleetCertificates(path, { peers, agent: AGENT_ID });
  await using wire = await openWire();
  const rows: Row[] = [];
  let refusals = 0;
  for (const shape of args.shapes) {
    await using fleet = await Fleet.open(shape, { wire, certificates, path, args });
    rows.push(...await fleet.run());
    if (args.trace) refusals += await fleet.judge();
  }
  if (!args.json) print(rows);
  if (refusals > 0) Deno.exitCode = 1;
}

// ---- where it happens -------------------------------------------------------------------------------

interface Wire extends AsyncDisposable {
  readonly far: FarNamespace;
}

async function openWire(): Promise<Wire> {
  Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "0");
  await using stack = new AsyncDisposableStack();
  const far = stack.use(await FarNamespace.make());
  await ip(`link set up1 netns ${far.pid}`);
  await ip(`addr add ${AGENT_IP}/24 dev up0`);
  await ip(`route add ${PEERS_NET} via ${FAR_IP}`);
  await far.ip("link set lo up");
  await far.ip("link set up1 up");
  await far.ip(`addr add ${FAR_IP}/24 dev up1`);
  await far.ip(`route add local ${PEERS_NET} dev lo`);
  const owned = stack.move();
  return { far, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The process that plays the peers. */
class Peers implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #rest = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#writer = child.stdin.getWriter();
  }

  static async start(
    { far, certificates, nice }: {
      readonly far: FarNamespace;
      readonly certificates: string;
      readonly nice: number;
    },
  ): Promise<Peers> {
    const [nsenter, ...enter] = far.enter;
    const deno = [
      "nice",
      "-n",
      `${nice}`,
      Deno.execPath(),
      "run",
      "-A",
      "--quiet",
      "--no-check",
      "--frozen",
    ];
    const child = new Deno.Command(nsenter, {
      args: [...enter, ...deno, `${ROOT}bench/fleet/responder.ts`, certificates],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const peers = new Peers(child);
    await peers.#line();
    return peers;
  }

  async say(word: "stats" | "reset" | "close"): Promise<FleetStats> {
    await this.#writer.write(new TextEncoder().encode(`${word}\n`));
    return JSON.parse(await this.#line()) as FleetStats;
  }

  async #line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("The process that plays the peers has ended");
      this.#rest += value;
    }
    const at = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, at);
    this.#rest = this.#rest.slice(at + 1);
    return line;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#lines.cancel();
    await this.#child.status;
  }
}

// ---- the agent --------------------------------------------------------------------------------------

interface LoopView {
  readonly maxMs: number;
  readonly buckets: readonly { readonly leMs: number; readonly looks: number }[];
}

interface StatusView {
  readonly up: number;
  readonly settled: boolean;
  readonly loop: LoopView;
}

/** What bin/psp-agent says of memory. */
function v8Flags(): string {
  const [flag] = /--v8-flags=\S+/.exec(Deno.readTextFileSync(`${ROOT}bin/psp-agent`)) ?? [];
  if (flag === undefined) throw new Error("Cannot find --v8-flags in bin/psp-agent");
  return flag;
}

/** One run of the agent's process. */
class Agent implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  dead = false;

  constructor(
    config: string,
    { log, nice, inspected }: {
      readonly log: string;
      readonly nice: number;
      readonly inspected: boolean;
    },
  ) {
    const file = Deno.openSync(log, { write: true, create: true, append: true });
    const deno = ["run", "-A", "--quiet", "--cached-only", "--frozen", v8Flags()];
    const program = inspected
      ? [Deno.execPath(), ...deno, `--inspect=127.0.0.1:${INSPECTOR_PORT}`, `${ROOT}main.ts`]
      : [`${ROOT}bin/psp-agent`];
    this.#child = new Deno.Command("nice", {
      args: ["-n", `${nice}`, ...program, "--config", config],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#child.stderr.pipeTo(file.writable).catch(() => {});
    this.#child.status.then(() => this.dead = true);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** undefined: it does not answer. */
  async status(): Promise<StatusView | undefined> {
    const reply = await this.#call("GetStatus", { maxPeers: 0 });
    if (reply === undefined) return undefined;
    // deno-lint-ignore no-explicit-any -- proto3 JSON of our own status
    const view = reply as any;
    const tunnels = view.tunnels ?? {};
    const number = (value: unknown) => value === "Infinity" ? Infinity : Number(value ?? 0);
    return {
      up: number(tunnels.up) + number(tunnels.rekeying) + number(tunnels.unconfirmed),
      settled: number(tunnels.rekeying) + number(tunnels.opening) + number(tunnels.failed) === 0,
      loop: {
        maxMs: number(view.eventLoop?.maxMs),
        // deno-lint-ignore no-explicit-any -- as above
        buckets: (view.eventLoop?.buckets ?? []).map((bucket: any) => ({
          leMs: number(bucket.leMs),
          looks: number(bucket.looks),
        })),
      },
    };
  }

  async rotate(): Promise<boolean> {
    const reply = await this.#call("Rotate", {}, "AdminService") as { started?: boolean };
    return reply?.started === true;
  }

  /** Whether no SA is on the key before. */
  async rotatable(): Promise<boolean> {
    const reply = await this.#call("Rotate", { plan: true }, "AdminService") as {
      message?: string;
    };
    return reply?.message?.startsWith("Would") === true;
  }

  async kill(): Promise<void> {
    if (!this.dead) this.#child.kill("SIGKILL");
    await this.#child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #call(method: string, request: unknown, service = "StatusService"): Promise<unknown> {
    try {
      const response = await fetch(`http://${STATUS}/psp.v1.${service}/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify(request),
        signal: AbortSignal.timeout(30_000),
      });
      return await response.json();
    } catch {
      return undefined;
    }
  }
}

// ---- a fleet of one shape ----------------------------------------------------------------------------

interface FleetOptions {
  readonly wire: Wire;
  readonly certificates: FleetCertificates;
  /** Where they are kept. */
  readonly path: string;
  readonly args: Args;
}

class Fleet implements AsyncDisposable {
  readonly #shape: Shape;
  readonly #options: FleetOptions;
  readonly #dir: string;
  readonly #peers: Peers;
  readonly #total: number;
  #agent: Agent | undefined;
  #profiler: Profiler | undefined;
  /** Logs of its processes, where every step is traced. */
  readonly #traced: string[] = [];

  private constructor(shape: Shape, options: FleetOptions & { dir: string; peers: Peers }) {
    this.#shape = shape;
    this.#options = options;
    this.#dir = options.dir;
    this.#peers = options.peers;
    this.#total = shape.peers * shape.vips;
  }

  static async open(shape: Shape, options: FleetOptions): Promise<Fleet> {
    const dir = Deno.makeTempDirSync({ prefix: "psp-fleet-" });
    const peers = await Peers.start({
      far: options.wire.far,
      certificates: options.path,
      nice: options.args.nice,
    });
    const fleet = new Fleet(shape, { ...options, dir, peers });
    fleet.#configure();
    return fleet;
  }

  async run(): Promise<Row[]> {
    const { only, json } = this.#options.args;
    const rows: Row[] = [];
    for (const step of STEPS) {
      if (step !== "cold" && !only.includes(step)) continue;
      const row = await this.#step(step);
      if (step === "cold" && !only.includes("cold")) continue;
      rows.push(row);
      console.log(json ? JSON.stringify(row) : describe(row));
      if (!row.ended) break;
    }
    return rows;
  }

  /** Holds what the agent did against the protocol: says what that does not allow, and returns how much it is. */
  async judge(): Promise<number> {
    await this.#agent?.kill();
    const traces = [];
    for (const path of this.#traced) {
      const lines: TraceLine[] = [];
      const text = (await Deno.open(path)).readable.pipeThrough(new TextDecoderStream());
      let rest = "";
      for await (const chunk of text) {
        const whole = (rest + chunk).split("\n");
        rest = whole.pop() ?? "";
        for (const line of whole) {
          const step = traceLine(line);
          if (step !== undefined) lines.push(step);
        }
      }
      traces.push({ host: AGENT_ID, lines });
    }
    const { refusals, steps, sas } = judge(traces);
    console.error(`${steps} steps and ${sas} SAs: ${refusals.length} refused`);
    for (const refusal of refusals.slice(0, 20)) console.error(refusal);
    return steps === 0 ? 1 : refusals.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#profiler?.[Symbol.dispose]();
    await this.#agent?.[Symbol.asyncDispose]();
    await this.#peers[Symbol.asyncDispose]();
    Deno.removeSync(this.#dir, { recursive: true });
  }

  async #step(step: Step): Promise<Row> {
    const { idleS, settleS } = this.#options.args;
    if (step === "rotate" || step === "closed") await this.#rotatable();
    if (step === "closed") await this.#peers.say("close");
    await this.#peers.say("reset");
    const before = step === "cold" || step === "restore"
      ? undefined
      : (await this.#agent?.status())?.loop;
    const cpu = mark();
    const from = before === undefined ? NOTHING_RAN : ranOf(this.#agent?.pid ?? 0);
    const start = performance.now();
    let records = this.#total;
    let ended = true;
    let idleCpu = NaN;
    switch (step) {
      case "cold":
        if (this.#total > MAX_BY_PACKET) this.#plant();
        await this.#start();
        records = (await this.#until({ packets: this.#total <= MAX_BY_PACKET, records: false }))
          .records;
        break;
      case "restore":
        this.#profiler?.[Symbol.dispose]();
        await this.#agent?.kill();
        await this.#start();
        records = (await this.#until({})).records;
        break;
      case "rotate":
      case "closed":
        await this.#profiler?.begin();
        ended = await this.#agent?.rotate() ?? false;
        if (ended) records = (await this.#until({ tunnels: this.#total })).records;
        break;
      case "idle": {
        await sleep(settleS * 1000);
        const pid = this.#agent?.pid ?? 0;
        const [ran, from] = [ranS([pid]), performance.now()];
        await this.#profiler?.begin();
        await sleep(idleS * 1000);
        idleCpu = (ranS([pid]) - ran) / ((performance.now() - from) / 1000);
        break;
      }
      default:
        step satisfies never;
    }
    const seconds = (performance.now() - start) / 1000;
    const to = ranOf(this.#agent?.pid ?? 0);
    const { foreign } = since(cpu);
    const { profile, heap } = this.#options.args;
    const kept = `${profile}/${this.#shape.peers}x${this.#shape.vips}-${step}`;
    await this.#profiler?.end(kept);
    if (heap) await this.#profiler?.heap(kept);
    const status = await this.#agent?.status();
    const dead = this.#agent?.dead ?? true;
    ended &&= !dead && status?.up === this.#total;
    const stats = await this.#peers.say("stats");
    const failures = Object.entries(stats.failures);
    if (failures.length > 0) console.error("peers:", JSON.stringify(failures.slice(0, 5)));
    const waited = (to.waitedS - from.waitedS) / seconds;
    const memory = memoryOf(this.#agent?.pid ?? 0);
    return {
      shape: `${this.#shape.peers}x${this.#shape.vips}`,
      step,
      ended,
      seconds: ended ? seconds : -1,
      exchangesPerPeer: stats.exchanges / this.#shape.peers,
      repeats: stats.repeats,
      handshakes: stats.handshakes,
      recordsLost: this.#total - records,
      ...stalls(before, status?.loop),
      waited,
      cpuS: to.cpuS - from.cpuS,
      threadS: to.threadS - from.threadS,
      ...memory,
      idleCpu,
      foreign,
    };
  }

  /** Until the last rotation is over: its SAs have a time of grace. */
  async #rotatable(): Promise<void> {
    const until = performance.now() + 60_000;
    while (performance.now() < until && !await this.#agent?.rotatable()) await sleep(1000);
  }

  async #start(): Promise<void> {
    const { nice, profile, trace } = this.#options.args;
    const traced = `${this.#dir}/steps-${this.#traced.length}.log`;
    if (trace) this.#traced.push(traced);
    const log = trace ? traced : `${ROOT}build/bench/fleet-agent.log`;
    const inspected = profile !== undefined;
    this.#agent = new Agent(`${this.#dir}/peers.json`, { log, nice, inspected });
    if (!inspected) return;
    this.#profiler = await Profiler.open(INSPECTOR_PORT);
    await this.#profiler.begin();
  }

  /** Until all tunnels are there, or time is over, or the agent dead. Returns the fewest records seen. */
  async #until(
    { packets = false, tunnels = 0, records = true }: {
      /** Begun by packets. */
      readonly packets?: boolean;
      /** So many must have been asked for. */
      readonly tunnels?: number;
      /** The record is looked at meanwhile. */
      readonly records?: boolean;
    },
  ): Promise<{ readonly records: number }> {
    const until = performance.now() + this.#options.args.limitS * 1000;
    using sender = packets ? this.#sender() : undefined;
    let fewest = this.#total;
    while (performance.now() < until && !this.#agent?.dead) {
      const asked = (await this.#peers.say("stats")).tunnels;
      const status = await this.#agent?.status();
      if (records) fewest = Math.min(fewest, this.#records());
      if (asked >= tunnels && status?.up === this.#total && status.settled) break;
      sender?.from(status?.up);
      await sleep(POLL_MS);
    }
    // What was recorded last is on disk by then.
    await sleep(2 * POLL_MS);
    return { records: Math.min(fewest, this.#records()) };
  }

  /** Sends a packet of each pair, again and again, at a pace that the port bears. */
  #sender(): { from(up: number | undefined): void } & Disposable {
    const socket = new PacketSocket("host1");
    const all = [...pairs(this.#shape)];
    let next = 0;
    let at: number | undefined;
    const timer = setInterval(() => {
      if (at === undefined) return;
      const now = performance.now();
      const due = Math.min(100, Math.floor((now - at) * MISSES_PER_S / 1000));
      if (due === 0) return;
      at = now;
      for (let i = 0; i < due; i++) {
        const pair = all[next++ % all.length];
        if (pair !== undefined) socket.send(missFrame(pair));
      }
    }, 10);
    return {
      from: (up) => {
        if (up !== undefined) at ??= performance.now();
      },
      [Symbol.dispose]() {
        clearInterval(timer);
        socket[Symbol.dispose]();
      },
    };
  }

  #records(): number {
    try {
      using db = new Database(`${this.#dir}/state/agent.db`);
      return db.count();
    } catch {
      // It is being opened: there is nothing to count yet.
      return this.#total;
    }
  }

  /** The record of a last run that had all tunnels. */
  #plant(): void {
    const silent = () => {};
    const log = { debug: silent, info: silent, warn: silent, error: silent };
    Deno.mkdirSync(`${this.#dir}/state`, { recursive: true, mode: 0o700 });
    using store = openSaStore({ path: `${this.#dir}/state/agent.db`, log, wallMs: Date.now });
    const now = Date.now();
    let spi = 1;
    for (const { peer, localVip, remoteVip } of pairs(this.#shape)) {
      const sa = () => ({
        spi: spi++,
        version: "aes-gcm-256" as const,
        epoch: BigInt(now - 60_000),
        serial: BigInt(spi),
        createdAtMs: now - 60_000,
        expiresAtMs: now + 3_500_000,
        packets: 1n,
        bytes: 100n,
      });
      store.put({
        localVip,
        remoteVip,
        peer: peerId(peer),
        openedAtMs: now - 60_000,
        tx: sa(),
        rx: sa(),
      });
    }
    store.flush();
  }

  #configure(): void {
    const { certificates: { ca, agent }, args: { connections, trace } } = this.#options;
    const { peers, vips } = this.#shape;
    const write = (name: string, content: string) => {
      Deno.writeTextFileSync(`${this.#dir}/${name}`, content, { mode: 0o600 });
      return `${this.#dir}/${name}`;
    };
    const tls = {
      cert: write("agent.crt", agent.cert),
      key: write("agent.key", agent.key),
      ca: write("ca.crt", ca),
    };
    write(
      "peers.json",
      JSON.stringify({
        id: AGENT_ID,
        domain: DOMAIN,
        state_dir: `${this.#dir}/state`,
        pip: AGENT_IP,
        vips: Array.from({ length: WORKLOADS }, (_, i) => ({
          vip: `10.1.0.${10 + i}`,
          mac: workloadMac(i),
        })),
        plane: { kind: "soft", uplink: "up0", host: "host0" },
        rpc: {
          listen: `${AGENT_IP}:${RPC_PORT}`,
          tls,
          ...(connections === undefined ? {} : { max_connections: connections }),
        },
        status: { listen: STATUS, admin: true, token_file: write("token", TOKEN) },
        log: trace ? { level: "debug", format: "json" } : { level: "info", format: "text" },
        peers: Array.from({ length: peers }, (_, i) => ({
          id: peerId(i),
          svc_address: `${peerIp(i)}:${RPC_PORT}`,
          vips: Array.from({ length: vips }, (_, v) => remoteVip(i * vips + v)),
        })),
      }),
    );
  }
}

class Database implements Disposable {
  readonly #db: DatabaseSync;

  constructor(path: string) {
    this.#db = new DatabaseSync(path, { readOnly: true });
  }

  count(): number {
    return Number(this.#db.prepare("SELECT count(*) AS n FROM tunnel").get()?.n);
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

// ---- figures -----------------------------------------------------------------------------------------

/** What the loop did since `before`; the longest stall is exact unless an earlier one was longer. */
function stalls(
  before: LoopView | undefined,
  after: LoopView | undefined,
): { readonly stallP99Ms: number; readonly stallMaxMs: number } {
  if (after === undefined) return { stallP99Ms: NaN, stallMaxMs: NaN };
  const buckets = after.buckets.map(({ leMs, looks }, i) => ({
    leMs,
    looks: looks - (before?.buckets[i]?.looks ?? 0),
  }));
  const all = buckets.at(-1)?.looks ?? 0;
  const reach = (share: number) =>
    Math.min(buckets.find(({ looks }) => looks >= share * all)?.leMs ?? NaN, after.maxMs);
  const longest = after.maxMs > (before?.maxMs ?? 0) ? after.maxMs : reach(1);
  return { stallP99Ms: reach(0.99), stallMaxMs: longest };
}

/** What a process ran since it began, and its main thread, and how long that waited for a processor; seconds. */
interface Ran {
  readonly cpuS: number;
  readonly threadS: number;
  readonly waitedS: number;
}

const NOTHING_RAN: Ran = { cpuS: 0, threadS: 0, waitedS: 0 };

function ranOf(pid: number): Ran {
  try {
    const [ranNs, waitedNs] = Deno.readTextFileSync(`/proc/${pid}/schedstat`).split(" ").map(
      Number,
    );
    return {
      cpuS: ranS([pid]),
      threadS: (ranNs ?? NaN) / 1e9,
      waitedS: (waitedNs ?? NaN) / 1e9,
    };
  } catch {
    return { cpuS: NaN, threadS: NaN, waitedS: NaN };
  }
}

function memoryOf(pid: number): {
  readonly rssMb: number;
  readonly peakMb: number;
  readonly descriptors: number;
} {
  try {
    return {
      rssMb: memoryMib(pid),
      peakMb: memoryMib(pid, "VmHWM"),
      descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    };
  } catch {
    return { rssMb: NaN, peakMb: NaN, descriptors: NaN };
  }
}

function cells(row: Row): string[] {
  const number = (value: number, digits: number) =>
    Number.isNaN(value) ? "" : value.toFixed(digits);
  return [
    row.shape,
    row.step,
    row.ended ? "yes" : "NO",
    number(row.seconds, 1),
    number(row.exchangesPerPeer, 2),
    String(row.repeats),
    String(row.handshakes),
    String(row.recordsLost),
    number(row.stallP99Ms, 0),
    number(row.stallMaxMs, 0),
    number(100 * row.waited, 0),
    number(row.cpuS, 1),
    number(row.threadS, 1),
    number(row.rssMb, 0),
    number(row.peakMb, 0),
    number(100 * row.idleCpu, 1),
    number(row.descriptors, 0),
    number(100 * row.foreign, 0),
  ];
}

const HEAD = [
  "shape",
  "step",
  "ended",
  "s",
  "exch/peer",
  "repeats",
  "handshakes",
  "lost",
  "stall p99 ms",
  "max ms",
  "waited %",
  "cpu s",
  "thread s",
  "rss MB",
  "peak MB",
  "idle CPU %",
  "fds",
  "foreign CPU %",
];

function describe(row: Row): string {
  return cells(row).map((cell, i) => cell === "" ? "" : `${HEAD[i]} ${cell}`)
    .filter((text) => text !== "").join(", ");
}

function print(rows: readonly Row[]): void {
  console.log(`\n${table(HEAD, rows.map(cells))}`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function readArgs(): Args {
  const text = (name: string) =>
    Deno.args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const only = text("only")?.split(",") ?? [...STEPS];
  const isStep = (name: string): name is Step => (STEPS as readonly string[]).includes(name);
  const unknown = only.find((name) => !isStep(name));
  if (unknown !== undefined) throw new Error(`Cannot take step "${unknown}": one of ${STEPS}`);
  const connections = text("connections");
  return {
    shapes: (text("shapes") ?? SHAPES).split(",").map(readShape),
    only: only.filter(isStep),
    settleS: Number(text("settle") ?? SETTLE_S),
    idleS: Number(text("idle") ?? 20),
    limitS: Number(text("limit-s") ?? 300),
    connections: connections === undefined ? undefined : Number(connections),
    nice: Number(text("nice") ?? 0),
    json: Deno.args.includes("--json"),
    profile: text("profile"),
    heap: Deno.args.includes("--heap"),
    trace: Deno.args.includes("--trace"),
  };
}

if (import.meta.main) await inNamespace(import.meta.url, main);
