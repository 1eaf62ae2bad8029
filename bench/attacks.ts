// SPDX-License-Identifier: Apache-2.0

/**
 * What attacks cost those who have nothing to do with them. Each runs for a while at its rate against host h1, beside a good
 * pair: pings, short-lived keys, a new tunnel a second, and a third host that asks for one a second. Then the same generator runs beside the agent and not against it (at a
 * port of a bridge, or a listener that does nothing), because it takes processors too. Usage, as root:
 *   deno run -A bench/attacks.ts [--seconds=10] [--only=dhcp,scan] [--json]
 * Ends with status 1 where a ping or a new tunnel of the good pair was lost, a rekey of it was missed, the third host was refused,
 * or an exchange of either took 100 ms more than beside the generator alone. Keys that ended may be the attacker's own: those of the
 * good pair are lost pings.
 */
import { issue, makePki, type PeersJson } from "../tests/support/agent_config.ts";
import { AgentProcess } from "../tests/support/agent_process.ts";
import { EvilPeer } from "../tests/support/evil_peer.ts";
import { ip, requireRoot, spawnHelper } from "../tests/support/netns.ts";
import { GATEWAY, GATEWAY_MAC } from "../tests/support/plan.ts";
import { ping } from "../tests/support/traffic.ts";
import { World } from "../tests/support/world.ts";
import { type FrameKind, LISTEN_PORT, type Task } from "./attacks/generator.ts";
import { percentile, table } from "./lib/figures.ts";
import { memoryMib } from "./lib/memory.ts";

const STATUS_PORT = 7480;
const PING_S = 0.02;
/** Life of keys: those of the good pair are replaced several times beside each attack. */
const LIFE_S = 10;
/** Tunnels that nobody uses any more end by then: a scan has its own opened again, not rekeyed, and leaves none to the next attack. */
const IDLE_S = 2;
/** How often the good pair's tunnel is looked at for new keys, at the host that nobody attacks. */
const LOOK_MS = 1000;
/** The third host: what it has, and how often it asks for a tunnel. */
const THIRD = { id: "h4", prefix: "10.4", pip: "192.168.77.8", everyMs: 1000 } as const;
/** Between an attack and what is measured next. */
const REST_MS = 12_000;
const SAMPLE_MS = 250;
/** Each waits for 3 s. */
const STATUS_TRIES = 20;
/** The exchange of the good pair may take so much longer than beside the generator alone. */
const MOST_MS = 100;

/** Somebody who attacks, or does the same beside the agent. */
interface Attack {
  readonly name: string;
  readonly rate: string;
  /** Resolves with what was done, in words. undefined: there is no such thing beside the agent. */
  readonly run: (at: "agent" | "beside") => Promise<string> | undefined;
}

/** What the good pair had of it. */
interface Seen {
  readonly pings: number;
  readonly lost: number;
  readonly pingP99Ms: number;
  readonly opened: number;
  readonly failed: number;
  readonly openP99Ms: number;
  /** New keys of the pair that pings: those that its life asks for, and those that came. */
  readonly rekeysDue: number;
  readonly rekeys: number;
  /** What the third host asked for, was not given, and how long an answer took. */
  readonly asked: number;
  readonly refused: number;
  readonly askP99Ms: number;
  readonly expired: number;
  readonly rssMb: number;
  readonly did: string;
}

interface Stage {
  readonly world: World;
  readonly h1: AgentProcess;
  readonly h2: AgentProcess;
  readonly seconds: number;
  /** The next vip of the good workload that has not been used, and its number. */
  readonly fresh: () => { readonly vip: string; readonly n: number };
}

// ---- attacks ----------------------------------------------------------------------------------------

const FLOODS: Readonly<Record<FrameKind, { readonly from: "v1" | "h2"; readonly rate: number }>> = {
  scan: { from: "v1", rate: 6_500 },
  dhcp: { from: "v1", rate: 5_000 },
  arp: { from: "v1", rate: 30_000 },
  solicit: { from: "v1", rate: 20_000 },
  psp: { from: "h2", rate: 140_000 },
};

function attacks(stage: Stage): readonly Attack[] {
  const kinds = Object.keys(FLOODS) as FrameKind[];
  return [...kinds.map((kind) => flood(stage, kind)), evilPeer(stage), strangers(stage)];
}

/** Frames of a workload of h1, or from the wire. */
function flood({ world, seconds }: Stage, kind: FrameKind): Attack {
  const { from, rate } = FLOODS[kind];
  const inside = from === "v1";
  const [host, workload] = [world.host("h1"), world.workload("h1")];
  const task: Omit<Task, "device"> = {
    kind,
    rate,
    seconds,
    srcMac: inside ? workload.mac : world.host("h2").uplinkMac,
    dstMac: inside ? GATEWAY_MAC : host.uplinkMac,
    src: inside ? workload.vips.ipv4[0] ?? "" : world.host("h2").pip,
    dst: kind === "arp" ? GATEWAY.ipv4 : inside ? "10.2.64.0" : host.pip,
  };
  const ns = inside ? workload.ns : world.ns("h2");
  return {
    name: kind,
    rate: `${rate}/s`,
    run: async (at) => {
      const device = at === "beside" ? `beside-${from}` : inside ? "eth0" : "uplink";
      const sent = Number(await generate({ ...task, device }, ns));
      return `${Math.round(sent / seconds)}/s sent`;
    },
  };
}

async function generate(task: Task, ns: string): Promise<string> {
  const program = new URL("attacks/generator.ts", import.meta.url).pathname;
  const child = spawnHelper(program, { ns, args: [JSON.stringify(task)] });
  await child.stdin.close();
  const { code, stdout, stderr } = await child.output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** A peer that owns a /16 and wants all of it, again and again. */
function evilPeer({ world, seconds }: Stage): Attack {
  return {
    name: "evil peer",
    rate: "65,536 pairs",
    run: (at) =>
      at === "beside" ? undefined : (async () => {
        await using evil = new EvilPeer(world, {
          id: "h3",
          in: "h2",
          to: "h1",
          prefix: "10.3",
          vips: [world.vip("h1")],
          pip: "192.168.77.9",
          pairs: 65_536,
          seconds,
        });
        const { asked, granted } = await evil.ended();
        return `${Math.round(asked / seconds)}/s asked, ${granted} granted`;
      })(),
  };
}

/** Silent connections, as many as are let in, and rubbish. */
function strangers({ world, seconds }: Stage): Attack {
  const program = new URL("../tests/support/strangers.ts", import.meta.url).pathname;
  return {
    name: "strangers at the status port",
    rate: "256 silent, 200/s bad",
    run: async (at) => {
      const port = at === "agent" ? STATUS_PORT : LISTEN_PORT;
      await using stack = new AsyncDisposableStack();
      if (at === "beside") {
        const listen = new URL("attacks/generator.ts", import.meta.url).pathname;
        const task = { kind: "listen" } satisfies Pick<Task, "kind">;
        const listener = spawnHelper(listen, { ns: world.ns("h1"), args: [JSON.stringify(task)] });
        stack.defer(() => end(listener).then(() => {}));
      }
      const args = [port, 256, 200].map(String);
      const child = spawnHelper(program, { ns: world.ns("h1"), args });
      await sleep(seconds * 1000);
      const did = JSON.parse((await end(child)).trim().split("\n").at(-1) ?? "{}");
      return `${did.silent} silent, ${did.bad} bad`;
    },
  };
}

/** Ends its standard input; what it said. */
async function end(child: Deno.ChildProcess): Promise<string> {
  await child.stdin.close();
  return new TextDecoder().decode((await child.output()).stdout);
}

// ---- the good pair ------------------------------------------------------------------------------------

/** Watches the good pair while something happens. */
async function beside(stage: Stage, what: () => Promise<string>): Promise<Seen> {
  const { world, h1, h2, seconds } = stage;
  const before = await countersOf(h1);
  const steady = stage.fresh();
  await ping(world, { in: "v1b", to: world.vip("h2", steady.n) }, { from: steady.vip });
  let rssMb = 0;
  const sampling = setInterval(() => rssMb = Math.max(rssMb, memoryMib(h1.pid)), SAMPLE_MS);
  await using third = new EvilPeer(world, {
    ...THIRD,
    in: "h2",
    to: "h1",
    vips: [world.vip("h1")],
    pairs: seconds,
    perRequest: 1,
    seconds,
  });
  const watching = new AbortController();
  const keys = keysOf(h2, { vip: world.vip("h2", steady.n), signal: watching.signal });
  const happening = what();
  const pinging = ping(world, { in: "v1b", to: world.vip("h2", steady.n) }, {
    from: steady.vip,
    count: Math.round(seconds / PING_S),
    interval: PING_S,
  });
  const opened: number[] = [];
  let failed = 0;
  for (let i = 0; i < seconds; i++) {
    const next = sleep(1000);
    const { vip, n } = stage.fresh();
    const { received, rttMs } = await ping(world, { in: "v1b", to: world.vip("h2", n) }, {
      from: vip,
    });
    if (received === 1) opened.push(rttMs[0] ?? NaN);
    else failed++;
    await next;
  }
  const [did, pings, asking] = await Promise.all([happening, pinging, third.ended()]);
  clearInterval(sampling);
  watching.abort();
  const after = await countersOf(h1);
  const grown = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
  return {
    pings: pings.sent,
    lost: pings.sent - pings.received,
    pingP99Ms: percentile(pings.rttMs, 0.99),
    opened: opened.length,
    failed,
    openP99Ms: percentile(opened, 0.99),
    rekeysDue: Math.floor(seconds / LIFE_S),
    rekeys: (await keys).size - 1,
    asked: asking.asked,
    refused: Object.values(asking.refused).reduce((sum, n) => sum + n, 0),
    askP99Ms: percentile(asking.tookMs, 0.99),
    expired: grown("tx-sas-expired"),
    rssMb,
    did,
  };
}

/** The SPIs with which a workload of this host sends, until `signal` aborts. */
async function keysOf(
  agent: AgentProcess,
  { vip, signal }: { readonly vip: string; readonly signal: AbortSignal },
): Promise<ReadonlySet<number>> {
  const seen = new Set<number>();
  do {
    const tunnels = await agent.tunnels(vip).catch(() => []);
    const tunnel = tunnels.find(({ localVip }) => localVip === vip);
    if (tunnel !== undefined && tunnel.txSpi > 0) seen.add(tunnel.txSpi);
    await sleep(LOOK_MS);
  } while (!signal.aborted);
  return seen;
}

/** However long it takes: an agent that is late is what is measured. */
async function countersOf(agent: AgentProcess): Promise<Readonly<Record<string, number>>> {
  for (let tries = 1;; tries++) {
    try {
      return (await agent.status()).counters;
    } catch (error) {
      if (tries === STATUS_TRIES) throw error;
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// ---- all of it ----------------------------------------------------------------------------------------

interface Row {
  readonly attack: string;
  readonly rate: string;
  readonly attacked: Seen;
  /** undefined: compared with quiet. */
  readonly alone: Seen | undefined;
}

function configure(config: PeersJson): void {
  config.tunnel = { ...config.tunnel, life: `${LIFE_S}s`, idle: `${IDLE_S}s`, grace: "1s" };
  config.log.level = "info";
  const prefixOf = (id: string) => id === "h1" ? "10.1.0.0/16" : "10.2.0.0/16";
  config.vips.push({ vip: prefixOf(config.id) });
  if (config.id !== "h1") return;
  const evil = { id: "h3", pip: "192.168.77.9", prefix: "10.3" };
  for (const { id, pip, prefix } of [evil, THIRD]) {
    config.peers.push({ id, svc_address: `${pip}:7443`, vips: [`${prefix}.0.0/16`] });
  }
}

/** Ports of a bridge of h1 that the agent has nothing to do with, for those who stand in v1 and in h2. */
async function layBridge(world: World): Promise<void> {
  await ip(["link add beside type bridge", "link set beside up"], world.ns("h1"));
  for (const from of ["v1", "h2"]) {
    const far = `beside-${from}`;
    await ip([
      `link add ${from}-port type veth peer name ${far} netns ${world.ns(from)}`,
      `link set ${from}-port master beside up`,
    ], world.ns("h1"));
    await ip([`link set ${far} up`], world.ns(from));
  }
}

async function measure(
  seconds: number,
  only: readonly string[],
  tell: (row: Row) => void,
): Promise<{ readonly quiet: Seen; readonly rows: readonly Row[] }> {
  const vips = 32 * (seconds + 2);
  await using world = await World.create({ workloads: 2, vips });
  await makePki(world);
  await issue(world, "h3");
  await issue(world, THIRD.id);
  await layBridge(world);
  const start = (host: "h1" | "h2") => AgentProcess.start(world, host, { change: configure });
  const [h1, h2] = await Promise.all([start("h1"), start("h2")]);
  let n = 0;
  const mine = world.workload("h1", 1).vips.ipv4;
  const fresh = () => {
    const vip = mine[++n];
    if (vip === undefined) throw new Error(`The good workload has no more than ${n} vips`);
    return { vip, n };
  };
  const stage: Stage = { world, h1, h2, seconds, fresh };
  const quiet = await beside(stage, async () => {
    await sleep(seconds * 1000);
    return "";
  });
  const rows: Row[] = [];
  for (const { name, rate, run } of attacks(stage)) {
    if (only.length > 0 && !only.some((word) => name.includes(word))) continue;
    const phase = async (at: "agent" | "beside"): Promise<Seen | undefined> => {
      await sleep(REST_MS);
      let isNone = false;
      const seen = await beside(stage, async () => {
        const running = run(at);
        isNone = running === undefined;
        return await running ?? "";
      });
      return isNone ? undefined : seen;
    };
    const attacked = await phase("agent");
    if (attacked === undefined) continue;
    const row = { attack: name, rate, attacked, alone: await phase("beside") };
    rows.push(row);
    tell(row);
  }
  return { quiet, rows };
}

/** What an attack did that none may; empty: nothing. */
function wrongs({ attacked, alone }: Row, quiet: Seen): readonly string[] {
  const wrong: string[] = [];
  if (attacked.lost > 0) wrong.push(`${attacked.lost} pings lost`);
  if (attacked.failed > 0) wrong.push(`${attacked.failed} new tunnels failed`);
  if (attacked.rekeys < attacked.rekeysDue) {
    wrong.push(`${attacked.rekeysDue - attacked.rekeys} rekeys missed`);
  }
  if (attacked.refused > 0) wrong.push(`the third host was refused ${attacked.refused} times`);
  const more = (of: (seen: Seen) => number) => of(attacked) - of(alone ?? quiet);
  const open = more(({ openP99Ms }) => openP99Ms);
  if (open > MOST_MS) wrong.push(`an exchange took ${open.toFixed(0)} ms more`);
  const ask = more(({ askP99Ms }) => askP99Ms);
  if (ask > MOST_MS) wrong.push(`the third host waited ${ask.toFixed(0)} ms more`);
  return wrong;
}

async function main(): Promise<void> {
  requireRoot();
  const given = (name: string) =>
    Deno.args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const seconds = Number(given("seconds") ?? 10);
  const only = given("only")?.split(",") ?? [];
  const json = Deno.args.includes("--json");
  const { quiet, rows } = await measure(seconds, only, (row) => {
    if (json) console.log(JSON.stringify(row));
    else console.error(`${row.attack}: ${row.attacked.did}`);
  });
  const both = (row: Row, of: (seen: Seen) => string) =>
    row.alone === undefined ? of(row.attacked) : `${of(row.attacked)} / ${of(row.alone)}`;
  const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0);
  if (!json) {
    console.log(
      `${seconds} s each, load ${
        Deno.loadavg()[0]?.toFixed(0)
      } at the end; attacked / beside the generator alone. Quiet: ping p99 ${
        ms(quiet.pingP99Ms)
      } ms, new tunnel p99 ${ms(quiet.openP99Ms)} ms, ${quiet.lost} of ${quiet.pings} lost, ` +
        `${ms(quiet.rssMb)} MB\n`,
    );
    console.log(table(
      ["attack", "rate", "done", "lost", "ping p99 ms", "new p99 ms", "failed"]
        .concat(["rekeys of due", "third host p99 ms", "refused", "keys ended", "rss MB", "wrong"]),
      rows.map((row) => [
        row.attack,
        row.rate,
        row.attacked.did,
        both(row, ({ lost }) => String(lost)),
        both(row, ({ pingP99Ms }) => ms(pingP99Ms)),
        both(row, ({ openP99Ms }) => ms(openP99Ms)),
        both(row, ({ failed }) => String(failed)),
        both(row, ({ rekeys, rekeysDue }) => `${rekeys} of ${rekeysDue}`),
        both(row, ({ askP99Ms }) => ms(askP99Ms)),
        both(row, ({ refused }) => String(refused)),
        both(row, ({ expired }) => String(expired)),
        both(row, ({ rssMb }) => rssMb.toFixed(0)),
        wrongs(row, quiet).join("; "),
      ]),
    ));
  }
  if (rows.some((row) => wrongs(row, quiet).length > 0)) Deno.exit(1);
}

if (import.meta.main) await main();
