// SPDX-License-Identifier: Apache-2.0

/**
 * The packet path beside others, in rounds: each contender once a round, in rotating order, in the same namespaces.
 * Usage, as root: `make bench-path`, with in the environment
 *
 *   ROUNDS=7            rounds that must be quiet; 1 for a trial
 *   SECONDS=3           of each TCP flow
 *   FOREIGN_MAX=0.05    share of all processors' time that others and the hypervisor may take in a part of a round
 *   CONGESTION=cubic    of iperf3's streams; without it, what this machine has by default
 *   ONLY=direct,...     these contenders alone; names as in contenders.ts, where there are also forms of the agent
 *   WIREGUARD_GO=path   a current wireguard-go
 *
 * Standard output has a JSON object for each figure, then a table; build/bench/path.json has every round.
 */
import {
  compare,
  type Figure,
  FIGURE_HEAD,
  figureRows,
  line,
  median,
  percentile,
  table,
} from "../lib/figures.ts";
import { positive } from "../lib/options.ts";
import { mustRun, run } from "../../tests/support/netns.ts";
import { BUILD, type Contender, type ContenderName, contenders } from "./contenders.ts";
import { type CpuUse, mark, since } from "../lib/cpu.ts";
import { Lab, type Wire } from "./lab.ts";
import { checkedCopy, lossless, reach, type Route, rtt, tcp } from "./load.ts";
import { proveWire } from "./proof.ts";

const OURS = "psp-agent";
/** How often a part of a round is measured, until it is quiet. */
const TRIES = 3;
/** Rounds in all, for each that must be quiet. */
const ROUNDS_FACTOR = 2;
const COPY = 64 << 20;
const UDP_SECONDS = 1;

/** What is measured, and what that is for people. */
const METRICS = {
  tcp1_gbps: "TCP 1 stream, Gb/s",
  tcp8_gbps: "TCP 8 streams, Gb/s",
  rtt_p50_us: "RTT p50, us",
  rtt_p99_us: "RTT p99, us",
  loaded_rtt_p50_us: "RTT p50 beside a flow, us",
  loaded_rtt_p99_us: "RTT p99 beside a flow, us",
  udp64_pps: "UDP 64 octets without loss, packets/s",
  cpu_s_per_gb: "gateway CPU, s/GB",
  mtu_tcp1_gbps: "TCP 1 stream, MTU-sized packets, Gb/s",
  mtu_cpu_s_per_gb: "gateway CPU, MTU-sized packets, s/GB",
} as const;
type Metric = keyof typeof METRICS;

/** Percentiles of these are of all rounds' samples together. */
const POOLED: Partial<Record<Metric, readonly [samples: "idle" | "loaded", share: number]>> = {
  rtt_p50_us: ["idle", 0.5],
  rtt_p99_us: ["idle", 0.99],
  loaded_rtt_p50_us: ["loaded", 0.5],
  loaded_rtt_p99_us: ["loaded", 0.99],
};

interface Part {
  readonly values: Partial<Record<Metric, number>>;
  readonly samples: { readonly idle: readonly number[]; readonly loaded: readonly number[] };
}

interface Measured extends Part {
  /** Of each attempt; the last one is the one that counts. */
  readonly use: readonly CpuUse[];
  readonly quiet: boolean;
}

type Round = Partial<Record<ContenderName, Record<Wire, Measured | undefined>>>;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly foreignMax: number;
  /** TCP's congestion control at the workloads. */
  readonly congestion: string;
}

async function main(): Promise<void> {
  const options: Options = {
    rounds: positive("ROUNDS", 7),
    seconds: positive("SECONDS", 3),
    foreignMax: positive("FOREIGN_MAX", 0.05),
    congestion: Deno.env.get("CONGESTION") ||
      (await mustRun(["cat", "/proc/sys/net/ipv4/tcp_congestion_control"])).trim(),
  };
  const { there, missing } = await present();
  say(`TCP: congestion control ${options.congestion}`);
  await using cable = await Lab.create("cable");
  await using bridge = await Lab.create("bridge");
  const labs = { cable, bridge };
  await prove(labs, there);
  const quiet: Round[] = [];
  let tried = 0;
  while (quiet.length < options.rounds && tried < options.rounds * ROUNDS_FACTOR) {
    const round = await measureRound(labs, rotated(there, tried++), options);
    if (round === undefined) say(`round ${tried}: rejected`);
    else quiet.push(round);
  }
  const figures = there.some(({ name }) => name === OURS) ? compareAll(there, quiet) : [];
  await Deno.writeTextFile(
    `${BUILD}/path.json`,
    JSON.stringify({ options, tried, rounds: quiet, figures }),
  );
  for (const figure of figures) console.log(line(figure));
  console.log(`\n${overview(there, quiet)}\n`);
  for (const text of missing) console.log(text);
  if (figures.length > 0) console.log(table(FIGURE_HEAD, figureRows(figures)));
  if (quiet.length < options.rounds) {
    throw new Error(
      `Cannot give ${options.rounds} quiet rounds: ${quiet.length} of ${tried} were, with at most ` +
        `${percent(options.foreignMax)} of the processors used by others (FOREIGN_MAX)`,
    );
  }
}

/** Contenders that this machine has; the others are named. */
async function present(): Promise<{ there: Contender[]; missing: string[] }> {
  const only = Deno.env.get("ONLY")?.split(",");
  const there: Contender[] = [];
  const missing: string[] = [];
  if ((await run(["sh", "-c", "command -v iperf3"])).code !== 0) {
    throw new Error('Cannot measure TCP: no "iperf3": Debian package iperf3');
  }
  for (const contender of contenders(Deno.env.get("WIREGUARD_GO") || undefined)) {
    if (only === undefined ? contender.isForm : !only.includes(contender.name)) continue;
    const found = await contender.about();
    if ("missing" in found) {
      missing.push(`${contender.name}: not measured: ${found.missing}`);
      continue;
    }
    say(`${contender.name}: ${found.version}`);
    there.push(contender);
  }
  for (const text of missing) say(text);
  if (there.length === 0) throw new Error("Cannot measure: no contender is left");
  return { there, missing };
}

/** Before anything is measured: the wire under psp-agent, and a hashed copy through every contender. */
async function prove(labs: Record<Wire, Lab>, there: readonly Contender[]): Promise<void> {
  for (const lab of Object.values(labs)) {
    for (const contender of there) {
      if (contender.path === "direct" && lab.wire === "bridge") continue;
      if (contender.name === OURS) {
        const { frames, pspFrames, longest, lost } = await proveWire(lab, contender);
        say(
          `wire (${lab.wire}): ${pspFrames} of ${frames} frames are PSP, the rest control channel and ` +
            `ARP; longest ${longest} octets; ${lost} not captured`,
        );
      }
      await using _running = await contender.start(lab);
      const route = { lab, address: lab.address(contender.path) };
      await reach(route);
      const { receivedSha256 } = await checkedCopy(route, COPY, "bench");
      say(
        `${contender.name} (${lab.wire}): ${COPY} octets, SHA-256 ${receivedSha256.slice(0, 16)}`,
      );
    }
  }
}

/** Undefined: a part of it was not quiet however often it was tried. */
async function measureRound(
  labs: Record<Wire, Lab>,
  order: readonly Contender[],
  options: Options,
): Promise<Round | undefined> {
  const round: Round = {};
  for (const contender of order) {
    const done: Record<Wire, Measured | undefined> = { cable: undefined, bridge: undefined };
    for (const lab of Object.values(labs)) {
      if (contender.path === "direct" && lab.wire === "bridge") continue;
      const measured = await measureQuietly(lab, contender, options);
      const last = measured.use.at(-1);
      say(
        `${contender.name} (${lab.wire}): own ${percent(last?.own)}, foreign ${
          percent(last?.foreign)
        }, stolen ${percent(last?.steal)}, limit ${
          percent(options.foreignMax)
        }, attempt ${measured.use.length}${measured.quiet ? "" : ": not quiet"}  ${
          values(measured)
        }`,
      );
      if (!measured.quiet) return undefined;
      done[lab.wire] = measured;
    }
    round[contender.name] = done;
  }
  return round;
}

async function measureQuietly(
  lab: Lab,
  contender: Contender,
  options: Options,
): Promise<Measured> {
  await using running = await contender.start(lab);
  const route = { lab, address: lab.address(contender.path), congestion: options.congestion };
  await reach(route);
  const use: CpuUse[] = [];
  while (true) {
    const start = mark();
    const part = await measure(route, { ...options, pids: running.pids });
    const used = since(start);
    use.push(used);
    const quiet = used.foreign + used.steal <= options.foreignMax;
    if (quiet || use.length >= TRIES) return { ...part, use, quiet };
  }
}

async function measure(
  route: Route,
  { seconds, pids }: { readonly seconds: number; readonly pids: readonly number[] },
): Promise<Part> {
  const one = await tcp(route, { streams: 1, seconds, pids });
  if (route.lab.wire === "bridge") {
    return {
      values: { mtu_tcp1_gbps: one.gbps, ...cpu("mtu_cpu_s_per_gb", one.cpuSPerGb) },
      samples: { idle: [], loaded: [] },
    };
  }
  const eight = await tcp(route, { streams: 8, seconds, pids });
  const idle = await rtt(route, { seconds: Math.ceil(seconds / 3), loaded: false });
  const loaded = await rtt(route, { seconds: Math.ceil(seconds), loaded: true });
  return {
    values: {
      tcp1_gbps: one.gbps,
      tcp8_gbps: eight.gbps,
      rtt_p50_us: percentile(idle, 0.5),
      rtt_p99_us: percentile(idle, 0.99),
      loaded_rtt_p50_us: percentile(loaded, 0.5),
      loaded_rtt_p99_us: percentile(loaded, 0.99),
      udp64_pps: await lossless(route, UDP_SECONDS),
      ...cpu("cpu_s_per_gb", one.cpuSPerGb),
    },
    samples: { idle, loaded },
  };
}

function cpu(metric: Metric, value: number | undefined): Partial<Record<Metric, number>> {
  return value === undefined ? {} : { [metric]: value };
}

// ---- what comes of it --------------------------------------------------------------------------

function valueIn(round: Round, name: ContenderName, metric: Metric): number | undefined {
  const parts = round[name];
  return parts?.cable?.values[metric] ?? parts?.bridge?.values[metric];
}

/** Over all rounds: a median, or a percentile of all samples. */
function overall(rounds: readonly Round[], name: ContenderName, metric: Metric): number {
  const pooled = POOLED[metric];
  if (pooled === undefined) {
    const found = rounds.map((round) => valueIn(round, name, metric));
    return median(found.filter((value) => value !== undefined));
  }
  const [samples, share] = pooled;
  return percentile(rounds.flatMap((round) => round[name]?.cable?.samples[samples] ?? []), share);
}

function compareAll(there: readonly Contender[], rounds: readonly Round[]): Figure[] {
  const figures: Figure[] = [];
  for (const metric of Object.keys(METRICS) as Metric[]) {
    for (const { name } of there) {
      if (name === OURS) continue;
      const found = compare(
        `${metric}/${name}`,
        rounds.map((round) => [valueIn(round, OURS, metric), valueIn(round, name, metric)]),
      );
      if (found === undefined) continue;
      const [ours, other] = [OURS, name].map((who) =>
        overall(rounds, who as ContenderName, metric)
      );
      const pooled = metric in POOLED && ours !== undefined && other !== undefined;
      figures.push(pooled ? { ...found, ours, other, ratio: ours / other } : found);
    }
  }
  return figures;
}

/** A row for each metric, a column for each contender. */
function overview(there: readonly Contender[], rounds: readonly Round[]): string {
  const rows = (Object.entries(METRICS) as [Metric, string][]).map(([metric, title]) => [
    title,
    ...there.map(({ name }) => {
      const value = overall(rounds, name, metric);
      return Number.isNaN(value) ? "-" : value.toPrecision(value >= 1000 ? 4 : 3).replace(
        /^(.*)e\+(\d+)$/,
        () => value.toFixed(0),
      );
    }),
  ]);
  return table(["", ...there.map(({ name }) => name)], rows);
}

function values({ values }: Part): string {
  return Object.entries(values).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
    .join(", ");
}

function rotated<T>(all: readonly T[], by: number): T[] {
  const at = by % all.length;
  return [...all.slice(at), ...all.slice(0, at)];
}

function percent(share: number | undefined): string {
  return `${(100 * (share ?? NaN)).toFixed(1)} %`;
}

function say(text: string): void {
  console.error(text);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
