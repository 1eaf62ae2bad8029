// SPDX-License-Identifier: Apache-2.0

/**
 * A fleet in one process (tests/explore/fleet.ts): for each scenario the time until all flows are there again, the peaks of
 * the exchange, the seconds for which flows were sent into nothing, and whatever must never happen and did. No root, no
 * network. Usage:
 *   deno run -A bench/fleet_sim.ts [--hosts=1000] [--peers=32] [--seed=1] [--scale=0.1] [--only=rack] [--loss=0.001]
 *     [--delay=0.5,5] [--packet-s=10] [--json]
 * `scale` shortens what lasts an hour (rotation), ten minutes (a rack) or five (flapping). A seed that fails replays
 * exactly: the digest of a run is over every message, its time and its number.
 */
import { type Figures, Fleet } from "../tests/explore/fleet.ts";
import { atRest, type Scenario, SCENARIOS, type Told } from "../tests/explore/scenarios.ts";
import { type CoreModules, loadCore } from "../tests/sim/load.ts";
import { table } from "./lib/figures.ts";

interface Options {
  readonly hosts: number;
  readonly peers: number;
  readonly seed: number;
  readonly scale: number;
  readonly loss: number;
  readonly delayMs: readonly [number, number];
  readonly packetEveryMs: number;
}

interface Run extends Figures, Told {
  readonly name: string;
  readonly realS: number;
  readonly heapMb: number;
  readonly violations: readonly string[];
}

/** One scenario on a fleet of its own. */
export function play(modules: CoreModules, scenario: Scenario, options: Options): Run {
  const began = performance.now();
  const fleet = new Fleet({ modules, ...options });
  const isFirst = scenario === SCENARIOS[0];
  if (!isFirst && !atRest(fleet)) fleet.wrong("the fleet does not come to rest");
  const told = scenario.play(fleet, options.scale);
  if (told.convergedS === undefined) fleet.wrong("not all flows are there again");
  return {
    name: scenario.name,
    ...told,
    ...fleet.figures(),
    realS: (performance.now() - began) / 1000,
    heapMb: Deno.memoryUsage().heapUsed / 2 ** 20,
    violations: fleet.violations,
  };
}

function readOptions(args: readonly string[]): Options & { only: string; json: boolean } {
  const given = new Map(args.map((arg) => {
    const [name = "", value = "true"] = arg.replace(/^--/, "").split("=");
    return [name, value];
  }));
  const number = (name: string, otherwise: number) => Number(given.get(name) ?? otherwise);
  const [least = 0.5, most = 5] = (given.get("delay") ?? "0.5,5").split(",").map(Number);
  return {
    hosts: number("hosts", 1000),
    peers: number("peers", 32),
    seed: number("seed", 1),
    scale: number("scale", 0.1),
    loss: number("loss", 0.001),
    delayMs: [least, most],
    packetEveryMs: 1000 * number("packet-s", 10),
    only: given.get("only") ?? "",
    json: given.has("json"),
  };
}

async function main(): Promise<void> {
  const { only, json, ...options } = readOptions(Deno.args);
  Error.stackTraceLimit = 0;
  const modules = await loadCore();
  const runs: Run[] = [];
  for (const scenario of SCENARIOS.filter(({ name }) => name.includes(only))) {
    const run = play(modules, scenario, options);
    runs.push(run);
    if (json) console.log(JSON.stringify(run));
    else {
      console.log(`${run.name}: ${run.note}`);
      for (const wrong of run.violations) console.log(`  VIOLATION: ${wrong}`);
    }
  }
  if (!json) {
    const of = `${options.hosts} hosts with ${options.peers} peers, seed ${options.seed}`;
    console.log(`\n${of}, scale ${options.scale}, loss ${options.loss}\n`);
    console.log(table(
      [
        "scenario",
        "converged s",
        "requests",
        "peak/host/s",
        "peak/s",
        "waiting flow-s",
        "black-holed flow-s",
        "longest s",
        "virtual s",
        "real s",
        "heap MB",
        "digest",
      ],
      runs.map((run) => [
        run.name,
        run.convergedS === undefined ? "never" : run.convergedS.toFixed(1),
        String(run.requests),
        String(run.peakPerHost),
        String(run.peakOfAll),
        String(run.waitingFlowS),
        String(run.blackHoledFlowS),
        String(run.longestHoleS),
        run.virtualS.toFixed(0),
        run.realS.toFixed(0),
        run.heapMb.toFixed(0),
        run.digest,
      ]),
    ));
  }
  if (runs.some(({ violations }) => violations.length > 0)) Deno.exit(1);
}

if (import.meta.main) await main();
