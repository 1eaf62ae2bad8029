// SPDX-License-Identifier: Apache-2.0

/**
 * Explores for as long as it is given, on every processor: `make explore`. For each plan it prints states, depth, seconds and
 * states a second, and for a violation the shortest way to it as a sequence diagram and as a test for tests/core.
 *   main.ts [MINUTES=10] [ONLY=name] [WORKERS=2] [BUDGETS=packets:2,lose:2] [DEPTH=12] [PAIRS=1] [HOSTS=2]
 * Each plan may take its share of the time; what is left of one is another's.
 */
import { LONG, type Plan } from "./budgets.ts";
import type { Violation } from "./explore.ts";
import { type Budgets, NOTHING } from "./stage.ts";
import { diagramOf, storyOf } from "./story.ts";
import type { Found, Task, Walked, WalkerStart } from "./walker.ts";
import { loadCore } from "../sim/load.ts";

/** Places for hashes: 128 MiB. */
const PLACES = 2 ** 24;
/** States in one message to a walker. */
const BATCH = 32;
const SAY_MS = 10_000;

interface Options {
  readonly workers: number;
  readonly until: number;
}

interface Result {
  readonly states: number;
  readonly edges: number;
  readonly depth: number;
  readonly complete: boolean;
  readonly healMs: number;
  readonly settleMs: number;
  readonly violation: Violation | undefined;
}

/** A state to go on from: its number, that which its walker gave it, and what may happen in it. */
interface State {
  readonly node: number;
  readonly own: number | undefined;
  readonly choices: readonly string[];
}

/** A walker and the answer that it owes. */
class Walker {
  /** What it found and nobody has gone on from: it has these written down. */
  frontier: State[] = [];
  /** Of these, what was given to another. */
  given: number[] = [];
  readonly #worker = new Worker(new URL("./walker.ts", import.meta.url).href, { type: "module" });

  ask(message: WalkerStart | Task): Promise<Walked> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Walked>) => resolve(data);
      this.#worker.onerror = (event) => reject(new Error(event.message));
      this.#worker.postMessage(message);
    });
  }

  end(): void {
    this.#worker.terminate();
  }
}

/** Explores a plan, breadth first, with several walkers. */
async function run({ name, bounds }: Plan, { workers, until }: Options): Promise<Result> {
  const began = performance.now();
  const seen = new SharedArrayBuffer(8 * PLACES);
  const walkers = Array.from({ length: workers }, () => new Walker());
  await Promise.all(walkers.map((walker) => walker.ask({ bounds, patches: [], seen })));
  // Node 0 is before the beginning: the first state has no choice that leads to it.
  const parents: number[] = [-1];
  const choices: string[] = [""];
  const pathOf = (node: number) => {
    const path: string[] = [];
    for (let at = node; at > 1; at = parents[at] ?? 0) path.push(choices[at] ?? "");
    return path.reverse();
  };
  let result = { states: 0, edges: 0, depth: 0, complete: false, healMs: 0, settleMs: 0 };
  let violation: Violation | undefined;
  const [first] = walkers;
  first?.frontier.push({ node: 0, own: undefined, choices: [""] });
  let saidAt = began;
  let full = false;
  const take = (next: State[], found: Found) => {
    const node = parents.length;
    parents.push(found.node);
    choices.push(found.choice);
    result.states++;
    result.healMs = Math.max(result.healMs, found.healMs);
    result.settleMs = Math.max(result.settleMs, found.settleMs);
    if (found.wrong.length > 0) violation ??= { choices: pathOf(node), wrong: found.wrong };
    next.push({ node, own: found.own, choices: found.choices });
  };
  const isOver = () => violation !== undefined || full || Date.now() >= until;
  const isLeft = () => walkers.some(({ frontier }) => frontier.length > 0);
  for (let depth = 0; isLeft() && depth <= bounds.depth && !isOver(); depth++) {
    result = { ...result, depth };
    const serve = async (walker: Walker) => {
      const next: State[] = [];
      while (!isOver()) {
        const jobs = takeSome(walker, walkers);
        if (jobs.length === 0) break;
        const { given } = walker;
        walker.given = [];
        const walked = await walker.ask({
          jobs: jobs.map((job) => ({ ...job, path: pathOf(job.node) })),
          given,
        });
        full ||= walked.full;
        result.edges += walked.edges;
        for (const found of walked.found) take(next, found);
        if (performance.now() - saidAt >= SAY_MS) {
          saidAt = performance.now();
          say(name, result, began);
        }
      }
      return next;
    };
    const nexts = await Promise.all(walkers.map(serve));
    for (const [i, walker] of walkers.entries()) walker.frontier = nexts[i] ?? [];
    if (!isOver() && (!isLeft() || depth === bounds.depth)) result.complete = true;
  }
  for (const walker of walkers) walker.end();
  say(name, result, began);
  return { ...result, violation };
}

/** States for a walker: of its own, or else of the one that has most. */
function takeSome(walker: Walker, walkers: readonly Walker[]): State[] {
  if (walker.frontier.length > 0) return walker.frontier.splice(-BATCH);
  const other = walkers.reduce((a, b) => a.frontier.length >= b.frontier.length ? a : b);
  return other.frontier.splice(0, BATCH).map(({ own, ...state }) => {
    if (own !== undefined) other.given.push(own);
    return { ...state, own: undefined };
  });
}

function say(name: string, so: Omit<Result, "violation">, began: number): void {
  const seconds = (performance.now() - began) / 1000;
  console.log(
    `${name}: ${so.states} states, ${so.edges} choices, depth ${so.depth}${
      so.complete ? " (all)" : ""
    }, ${seconds.toFixed(0)} s, ${(so.states / seconds).toFixed(0)} states/s, ` +
      `heals in ${so.healMs} ms, settles in ${so.settleMs} ms`,
  );
}

function plans(): readonly Plan[] {
  const { BUDGETS, DEPTH = "12", PAIRS = "1", HOSTS = "2", ONLY } = Deno.env.toObject();
  if (BUDGETS === undefined) {
    return LONG.filter(({ name }) => ONLY === undefined || name.includes(ONLY));
  }
  const budgets: Partial<Record<keyof Budgets, number>> = {};
  for (const part of BUDGETS.split(",")) {
    const [what = "", n = ""] = part.split(":");
    if (!(what in NOTHING)) throw new Error(`There is no budget "${what}"`);
    budgets[what as keyof Budgets] = Number(n);
  }
  const bounds = {
    budgets: { ...NOTHING, ...budgets },
    depth: Number(DEPTH),
    pairs: Number(PAIRS),
    hosts: Number(HOSTS),
  };
  return [{ name: BUDGETS, bounds }];
}

async function main(): Promise<void> {
  const { MINUTES = "10", WORKERS = `${navigator.hardwareConcurrency}` } = Deno.env.toObject();
  const end = Date.now() + Number(MINUTES) * 60_000;
  const all = plans();
  let failed = false;
  for (const [i, plan] of all.entries()) {
    const share = Math.max(0, end - Date.now()) / (all.length - i);
    const result = await run(plan, { workers: Number(WORKERS), until: Date.now() + share });
    if (result.violation === undefined) continue;
    failed = true;
    const { violation } = result;
    const modules = await loadCore();
    console.log(`\nVIOLATION in "${plan.name}": ${violation.wrong.join("; ")}\n`);
    console.log(
      diagramOf(modules, plan.bounds, violation.choices),
      `\n\n${storyOf(violation, plan.bounds)}\n`,
    );
  }
  Deno.exit(failed ? 1 : 0);
}

if (import.meta.main) await main();
