// SPDX-License-Identifier: Apache-2.0

/**
 * What the engine costs for each packet between ports that are memory, beside bare ipsec-mb for the same octets:
 * c-shim/bench/plane/. Usage: `make bench-plane`, with in the environment
 *
 *   ROUNDS=7               rounds that must be quiet; 1 for a trial
 *   FOREIGN_MAX=0.05       share of all processors' time that others and the hypervisor may take in a round
 *   TUNNELS=1,1000,100000  numbers of tunnels, of one host port
 *   PORTS=16,256           numbers of host ports, with 1,000 tunnels together, beside those of one
 *   VERSION=0              PSP version of all of them: 0 (AES-GCM-128) or 1 (AES-GCM-256)
 *
 * Nanoseconds are CPU time of the worker's thread, without what the ports cost. Standard output has a JSON object for
 * each figure, then a table; build/bench/plane.json has every round.
 */
import { compare, type Figure, FIGURE_HEAD, figureRows, line, table } from "../lib/figures.ts";
import { type CpuMark, type CpuUse, mark, since } from "../lib/cpu.ts";
import { positive } from "../lib/options.ts";
import { kill } from "../../tests/support/netns.ts";
import { lines } from "../../tests/support/ns_worker.ts";

const PROGRAM = new URL("../../build/shim/whole/bench_plane", import.meta.url).pathname;
const FAIR = new URL("../../build/shim/whole/bench_fair", import.meta.url).pathname;
const RESULT = new URL("../../build/bench/", import.meta.url).pathname;

/** Rounds in all, for each that must be quiet. */
const ROUNDS_FACTOR = 2;

/** Of each case with several ports. */
const PORTS_TUNNELS = 1000;
/** Of each measurement of ports beside one that floods. */
const FAIR_MS = 500;

/** One line of the program. */
interface Sample {
  /** Tunnels, or tunnels x ports: as it is given to the program. */
  readonly what: string;
  readonly shape: string;
  readonly direction: string;
  /** For each packet, the ports' own cost included. */
  readonly grossNs: number;
  readonly portNs: number;
  readonly bareNs: number;
}

interface Result {
  /** One expanded key of the bare library, in octets. */
  readonly keyOctets: number;
  readonly library: string;
  /** Octets of a plane, by case. */
  readonly memory: ReadonlyMap<string, number>;
  /** In order of rounds. */
  readonly samples: readonly Sample[];
  /** Quiet ones. */
  readonly rounds: number;
  /** Of every round. */
  readonly use: readonly CpuUse[];
}

interface Options {
  readonly rounds: number;
  readonly version: number;
  readonly tunnels: readonly number[];
  readonly ports: readonly number[];
  readonly foreignMax: number;
}

/** Runs the program until there are enough quiet rounds; what it says of others is left out. */
async function measure(options: Options): Promise<Result> {
  const { rounds, version, tunnels, ports, foreignMax } = options;
  // What ports are compared with is measured too.
  const alone = ports.length > 0 ? [...tunnels, PORTS_TUNNELS] : tunnels;
  const cases = [...new Set(alone), ...ports.map((n) => `${PORTS_TUNNELS}x${n}`)];
  const most = rounds * ROUNDS_FACTOR;
  const child = new Deno.Command(PROGRAM, {
    args: [most, version, ...cases].map(String),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const memory = new Map<string, number>();
  const quiet: Sample[][] = [];
  const use: CpuUse[] = [];
  let [keyOctets, library] = [0, ""];
  let round: Sample[] = [];
  let start: CpuMark | undefined;
  for await (const text of lines(child.stdout)) {
    const [kind, ...words] = text.split(" ");
    if (kind === "bare") [keyOctets, library] = [Number(words[0]), words.slice(1).join(" ")];
    if (kind === "memory") memory.set(words[0] ?? "", Number(words[1]));
    // The first round's time begins when all planes are there.
    if (memory.size === cases.length) start ??= mark();
    if (kind === "figure") round.push(sampleOf(words));
    if (kind !== "round" || start === undefined) continue;
    const used = since(start);
    const isQuiet = used.foreign + used.steal <= foreignMax;
    console.error(
      `round ${words[0]}: foreign ${percent(used.foreign)}, stolen ${percent(used.steal)}, limit ` +
        `${percent(foreignMax)}${isQuiet ? "" : ": rejected"}`,
    );
    use.push(used);
    if (isQuiet) quiet.push(round);
    round = [];
    if (quiet.length === rounds) break;
    start = mark();
  }
  const isEnough = quiet.length === rounds;
  if (isEnough) kill(child.pid, "SIGTERM");
  const { success } = await child.status;
  if (!isEnough && !success) throw new Error((await said).trim() || `Cannot run "${PROGRAM}"`);
  return { keyOctets, library, memory, use, rounds: quiet.length, samples: quiet.flat() };
}

function sampleOf(words: readonly string[]): Sample {
  const [what = "", shape = "", direction = "", ...ns] = words;
  const [grossNs = NaN, portNs = NaN, bareNs = NaN] = ns.map(Number);
  return { what, shape, direction, grossNs, portNs, bareNs };
}

/** Three ports beside a fourth that floods: what each carries, beside what it did when the fourth was like them. */
async function measureFair({ rounds }: Options): Promise<Figure[]> {
  const args = [rounds, FAIR_MS].map(String);
  const { success, stdout, stderr } = await new Deno.Command(FAIR, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim() || `Cannot run "${FAIR}"`);
  const lines = new TextDecoder().decode(stdout).split("\n").map((text) => text.split(" "));
  const found = lines.filter(([kind]) => kind === "fair");
  const cases = Map.groupBy(found, ([, shape, flood]) => `fair_${shape}_pps/beside_${flood}`);
  return [...cases].map(([name, all]) =>
    compare(name, all.map(([, , , even, flooded]) => [Number(flooded), Number(even)]))
  ).filter((figure) => figure !== undefined);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function net({ grossNs, portNs }: Sample): number {
  return grossNs - portNs;
}

/** Beside bare ipsec-mb, each way and both ways; then beside the least number of tunnels, or one port. */
function compareAll({ samples, memory, keyOctets }: Result): Figure[] {
  const figures: (Figure | undefined)[] = [];
  const cases = Map.groupBy(samples, ({ what, shape }) => `${shape}_ns@${what}`);
  for (const [name, all] of cases) {
    const [out, into] = ["out", "in"].map((way) =>
      all.filter(({ direction }) => direction === way)
    );
    if (out === undefined || into === undefined) continue;
    const pairs = (of: readonly Sample[]) =>
      of.map((sample) => [net(sample), sample.bareNs || undefined] as const);
    figures.push(compare(`out_${name}/bare`, pairs(out)), compare(`in_${name}/bare`, pairs(into)));
    figures.push(compare(
      `both_${name}/bare`,
      out.flatMap((one, i) => {
        const other = into[i];
        if (other === undefined) return [];
        return [[net(one) + net(other), one.bareNs + other.bareNs || undefined] as const];
      }),
    ));
  }
  const tunnels = [...memory.keys()].map(Number).filter((n) => !Number.isNaN(n));
  const [least, most] = [Math.min(...tunnels), Math.max(...tunnels)];
  for (const [name, all] of Map.groupBy(samples, (s) => `${s.direction}_${s.shape}_ns`)) {
    const byCase = Map.groupBy(all, ({ what }) => what);
    for (const [what, here] of byCase) {
      const beside = what.includes("x") ? PORTS_TUNNELS : least;
      if (what === String(beside)) continue;
      const pairs = here.map((sample, i) => {
        const other = byCase.get(String(beside))?.[i];
        return [net(sample), other === undefined ? undefined : net(other)] as const;
      });
      figures.push(compare(`${name}@${what}/@${beside}`, pairs));
    }
  }
  if (most > least && keyOctets > 0) {
    const of = (n: number) => memory.get(String(n)) ?? NaN;
    // One key to send with, one to receive with.
    const each = (of(most) - of(least)) / (most - least);
    figures.push(compare("octets_per_tunnel/two_bare_keys", [[each, 2 * keyOctets]]));
  }
  return figures.filter((figure) => figure !== undefined);
}

function caseOf({ what }: Sample): string {
  const [tunnels, ports] = what.split("x");
  return ports === undefined ? `${tunnels} tunnels` : `${tunnels} tunnels of ${ports} ports`;
}

/** ns for each packet, as the ports see it and without them, and what one core could carry. */
function overview(samples: readonly Sample[]): string {
  const rows = [...Map.groupBy(samples, (s) => `${s.shape} ${s.direction}, ${caseOf(s)}`)]
    .map(([name, all]) => {
      const of = (value: (sample: Sample) => number) =>
        compare("", all.map((s) => [value(s), 1]))?.ours ?? NaN;
      const ns = of(net);
      return [name, of(({ grossNs }) => grossNs), of(({ portNs }) => portNs), ns]
        .concat(of(({ bareNs }) => bareNs))
        .map((cell) => typeof cell === "number" ? cell.toFixed(1) : cell)
        .concat((1000 / ns).toFixed(2));
    });
  const head = ["octets of IP", "gross ns", "port ns", "engine ns", "bare ns", "Mpps a core"];
  return table(head, rows);
}

async function main(): Promise<void> {
  const rounds = positive("ROUNDS", 7);
  const version = Number(Deno.env.get("VERSION") || 0);
  if (version !== 0 && version !== 1) throw new Error(`Cannot take VERSION="${version}": 0 or 1`);
  const tunnels = (Deno.env.get("TUNNELS") || "1,1000,100000").split(",").map(Number);
  if (tunnels.some((n) => !(n >= 1))) throw new Error(`Cannot take TUNNELS="${tunnels}"`);
  const ports = (Deno.env.get("PORTS") ?? "16,256").split(",").filter(Boolean).map(Number);
  if (ports.some((n) => !(n > 1 && n <= 256))) throw new Error(`Cannot take PORTS="${ports}"`);
  const options = { rounds, version, tunnels, ports, foreignMax: positive("FOREIGN_MAX", 0.05) };
  const result = await measure(options);
  const figures = [...compareAll(result), ...await measureFair(options)];
  await Deno.mkdir(RESULT, { recursive: true });
  await Deno.writeTextFile(
    `${RESULT}/plane.json`,
    JSON.stringify({ options, ...result, memory: [...result.memory], figures }),
  );
  for (const figure of figures) console.log(line(figure));
  console.log(`\nPSP version ${version}; bare ipsec-mb: ${result.library}`);
  console.log(`\n${overview(result.samples)}\n`);
  console.log(table(FIGURE_HEAD, figureRows(figures)));
  if (result.rounds < rounds) {
    throw new Error(
      `Cannot give ${rounds} quiet rounds: ${result.rounds} of ${result.use.length} were, with at most ` +
        `${percent(options.foreignMax)} of the processors used by others (FOREIGN_MAX)`,
    );
  }
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
