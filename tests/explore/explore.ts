// SPDX-License-Identifier: Apache-2.0

/**
 * Breadth first through everything that may happen. The core's objects cannot be put back, so each state is reached by
 * replaying the choices that lead to it; what was seen before in another naming is not gone on from.
 */
import { broken, heal } from "./checks.ts";
import { type Bounds, Stage } from "./stage.ts";
import type { CoreModules } from "./world/load.ts";

/** How a run ended. */
export interface Outcome {
  readonly states: number;
  readonly edges: number;
  /** Choices from the beginning, of the deepest state. */
  readonly depth: number;
  /** Every state within the depth was gone on from. */
  readonly complete: boolean;
  readonly seconds: number;
  /** The longest that a state took to carry packets in both directions, and then to settle. */
  readonly worstHealMs: number;
  readonly worstSettleMs: number;
  readonly violation: Violation | undefined;
}

/** What went wrong, and how it came to it. */
export interface Violation {
  readonly choices: readonly string[];
  readonly wrong: readonly string[];
}

/** When to end before everything was seen. */
export interface Patience {
  readonly states?: number;
  readonly ms?: number;
  /** Called now and then. */
  readonly onProgress?: (so: Pick<Outcome, "states" | "edges" | "depth" | "seconds">) => void;
}

/** One state: how it was reached from an earlier one. */
interface Node {
  readonly parent: Node | undefined;
  readonly choice: string;
  readonly depth: number;
}

/** Looks at everything within the bounds. Call it inside `synchronously`. */
export function explore(
  modules: CoreModules,
  bounds: Bounds,
  { states: most = Infinity, ms = Infinity, onProgress }: Patience = {},
): Outcome {
  const began = performance.now();
  const seen = new Set<number>();
  let worst = { healMs: 0, settleMs: 0 };
  let [edges, depth] = [0, 0];
  const first: Node = { parent: undefined, choice: "", depth: 0 };
  let queue: Node[] = [];
  const end = (complete: boolean, violation?: Violation): Outcome => ({
    states: seen.size,
    edges,
    depth,
    complete,
    seconds: (performance.now() - began) / 1000,
    worstHealMs: worst.healMs,
    worstSettleMs: worst.settleMs,
    violation,
  });
  /** Reaches a state, and looks at it when it is new. */
  const visit = (node: Node): Violation | undefined => {
    edges++;
    const looked = look(modules, bounds, pathOf(node), (hash) => {
      if (seen.has(hash)) return false;
      seen.add(hash);
      return true;
    });
    if (looked === undefined) return undefined;
    depth = Math.max(depth, node.depth);
    worst = {
      healMs: Math.max(worst.healMs, looked.healMs),
      settleMs: Math.max(worst.settleMs, looked.settleMs),
    };
    if (looked.wrong.length > 0) return { choices: pathOf(node), wrong: looked.wrong };
    if (node.depth < bounds.depth) {
      for (const choice of looked.choices) {
        queue.push({ parent: node, choice, depth: node.depth + 1 });
      }
    }
    return undefined;
  };
  const wrong = visit(first);
  if (wrong !== undefined) return end(false, wrong);
  while (queue.length > 0) {
    const level = queue;
    queue = [];
    for (const node of level) {
      const violation = visit(node);
      if (violation !== undefined) return end(false, violation);
      if (edges % 1000 === 0) onProgress?.(end(false));
      if (seen.size >= most || performance.now() - began >= ms) return end(false);
    }
  }
  return end(true);
}

/** What a state is. */
export interface Look {
  readonly hash: number;
  readonly choices: readonly string[];
  readonly wrong: readonly string[];
  readonly healMs: number;
  readonly settleMs: number;
}

/** Replays choices and looks at where they lead; undefined: it is not new. */
export function look(
  modules: CoreModules,
  bounds: Bounds,
  path: readonly string[],
  isNew: (hash: number) => boolean = () => true,
): Look | undefined {
  // Errors are part of the game here, and their stacks cost more than all the rest of it.
  Error.stackTraceLimit = 0;
  const stage = reach(modules, bounds, path);
  const wrong = broken(stage);
  const hash = stage.hash();
  if (!isNew(hash)) return undefined;
  const choices = stage.choices();
  if (wrong.length > 0) return { hash, choices, wrong, healMs: 0, settleMs: 0 };
  return { hash, choices, ...heal(stage, hash % stage.world.hosts.length) };
}

/** The stage that choices lead to. */
export function reach(modules: CoreModules, bounds: Bounds, path: readonly string[]): Stage {
  const stage = new Stage(modules, bounds);
  for (const choice of path) stage.take(choice);
  return stage;
}

function pathOf(node: Node): string[] {
  const path: string[] = [];
  for (let at: Node | undefined = node; at?.parent !== undefined; at = at.parent) {
    path.push(at.choice);
  }
  return path.reverse();
}
