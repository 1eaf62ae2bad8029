// SPDX-License-Identifier: Apache-2.0

/**
 * A demon on three hosts: `make soak MINUTES=60 SEED=1`. Every few seconds it does one thing to one host (demon.ts);
 * once a minute it stops and waits until all workloads hear each other. Ends with 1, and says why, when they
 * do not, when an agent ends by itself, when something left in clear text or an IV came twice, when an agent grows, or when a tunnel took a
 * step that the protocol does not allow.
 */
import { judge } from "../explore/trace.ts";
import { seededRandom } from "../support/seeded_random.ts";
import { eventually } from "../support/wait.ts";
import { DEEDS, rest } from "./demon.ts";
import { HOSTS, Lab, MARK } from "./lab.ts";
import { judgeWire } from "./wire.ts";

/** All pairs talk so soon after the last deed, on a machine that has time. */
const HEALS_MS = 5_000;
/** A machine on which other things run is slower; this is none. */
const GIVE_UP_MS = 60_000;
const CHECK_MS = 60_000;
/** Nobody kills its agent: it shows whether memory stays flat. */
const OLD = 3;
const MIB = 2 ** 20;
const LOGS = new URL("../../build/test/soak", import.meta.url).pathname;
/** Of these so many are told. */
const REFUSALS = 20;

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

/** Resolves with everything that must not have been. */
export async function soak({ seconds, seed, say }: SoakOptions): Promise<readonly string[]> {
  const random = seededRandom(seed);
  const pick = <T>(of: readonly T[]): T => {
    const found = of[Math.floor(random.uniform() * of.length)];
    if (found === undefined) throw new RangeError("Nothing to pick from");
    return found;
  };
  await using lab = await Lab.make();
  const capture = await lab.capture();
  await Promise.all(HOSTS.map((i) => lab.start(i)));
  lab.pingAll();
  const healed: number[] = [];
  const memory: number[] = [];
  const heal = async () => {
    const since = performance.now();
    await eventually(() => lab.silentSince(since).length === 0, {
      what: "all pairs to talk again",
      deadlineMs: GIVE_UP_MS,
      describe: () => `silent: ${lab.silentSince(since).join(", ")}`,
    });
    healed.push(performance.now() - since);
    memory.push(await lab.resident(OLD));
  };
  const faults: string[] = [];
  const deeds = Object.keys(DEEDS);
  let done = 0;
  try {
    await heal();
    const start = performance.now();
    let checked = start;
    while (performance.now() - start < seconds * 1000) {
      await rest(500 + random.uniform() * 2500);
      const name = pick(deeds);
      const hosts = name === "SIGKILL" || name === "a restart" ? HOSTS.slice(0, 2) : HOSTS;
      const turn = {
        lab,
        host: pick(hosts),
        awayMs: 200 + random.uniform() * 2800,
        draw: Math.floor(random.uniform() * 1e6),
      };
      say(
        `${((performance.now() - start) / 1000).toFixed(1).padStart(7)} s  h${turn.host}: ${name}`,
      );
      await DEEDS[name]?.(turn);
      done++;
      if (performance.now() - checked < CHECK_MS) continue;
      await heal();
      checked = performance.now();
      say(`           all pairs after ${ms(healed.at(-1))}, ${mib(memory.at(-1))} MiB`);
    }
    await heal();
    await Promise.all(HOSTS.map((i) => lab.end(i, "SIGTERM")));
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error));
    for (const i of HOSTS) faults.push(...(lab.agents.get(i)?.warnings ?? []).slice(-10));
  }
  await capture.stop();
  const { psp, spis, clear, repeated, foreign } = judgeWire(capture.paths, MARK);
  say(`${done} deeds, all pairs again after ${healed.map(ms).join(", ")}`);
  say(`${lab.starts.length} starts, the longest took ${ms(Math.max(...lab.starts))}`);
  say(`memory of h${OLD}: ${memory.map(mib).join(", ")} MiB`);
  say(`${psp} PSP packets on ${spis} SPIs; beside them ${JSON.stringify(foreign)}`);
  faults.push(...lab.faults);
  const { refusals, steps, sas } = judge(lab.traces);
  say(`${steps} steps and ${sas} SAs held against the protocol`);
  faults.push(...refusals.slice(0, REFUSALS).map((what) => `the protocol does not allow: ${what}`));
  if (steps === 0) faults.push("nobody told of a step: no proof");
  if (clear > 0) faults.push(`${clear} frames in clear text`);
  if (repeated.length > 0) faults.push(`IVs came twice: ${repeated.slice(0, 5).join("; ")}`);
  if (psp === 0) faults.push("nothing was on the wire: no proof");
  const late = healed.filter((t) => t > HEALS_MS).length;
  if (late > 0) say(`missed: ${late} of ${healed.length} times it took more than ${HEALS_MS} ms`);
  const grown = growth(memory);
  if (grown > 32 * MIB) faults.push(`the agent of h${OLD} has grown by ${mib(grown)} MiB`);
  if (faults.length > 0) {
    const dir = `${LOGS}/seed-${seed}`;
    await lab.keepLogs(dir);
    say(`the agents' logs: ${dir}`);
  }
  return faults;
}

/** What the last third has more than the one before it; 0 for a run too short to say. */
function growth(memory: readonly number[]): number {
  const third = Math.floor(memory.length / 3);
  if (third < 2) return 0;
  const least = (of: readonly number[]) => Math.min(...of);
  return least(memory.slice(-third)) - least(memory.slice(third, 2 * third));
}

function ms(t: number | undefined): string {
  return `${Math.round(t ?? NaN)} ms`;
}

function mib(octets: number | undefined): string {
  return `${Math.round((octets ?? NaN) / MIB)}`;
}

if (import.meta.main) {
  const minutes = Number(Deno.env.get("MINUTES") ?? 60);
  const seed = Number(Deno.env.get("SEED") ?? Date.now() % 1e6);
  console.log(`${minutes} minutes, SEED=${seed}`);
  const faults = await soak({ seconds: minutes * 60, seed, say: (line) => console.log(line) });
  for (const fault of faults) console.log(`WRONG: ${fault}`);
  if (faults.length > 0) Deno.exit(1);
}
