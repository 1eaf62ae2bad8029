// SPDX-License-Identifier: Apache-2.0

/**
 * Breadth first through everything that may happen. Each state that is gone on from is reached by one choice from the one before
 * it, and written down, to be put back for each of its choices; what was seen before in another naming is not gone on from.
 */
import { broken, Healer } from "./checks.ts";
import { type Bounds, Stage } from "./stage.ts";
import { Heap, type Saved } from "../sim/heap.ts";
import type { CoreModules } from "../sim/load.ts";

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

/** One state: how it was reached from an earlier one, and what it was. */
export interface Node {
  readonly parent: Node | undefined;
  readonly choice: string;
  readonly depth: number;
  /** undefined: it is reached from the nearest one before it that was written down. */
  saved: Saved | undefined;
  /** States that are to be reached from it and gone on from. */
  waiting: number;
}

/** What a state is. */
export interface Look {
  readonly hash: number;
  readonly choices: readonly string[];
  readonly wrong: readonly string[];
  readonly healMs: number;
  readonly settleMs: number;
}

/** States that stay written down for those that follow from them: some tens of thousands of octets each. */
const KEPT = 10_000;

/** A stage on which any state can be put back. */
export class Ground {
  readonly stage: Stage;
  readonly first: Node;
  readonly #heap: Heap;
  readonly #healer: Healer;
  #kept = 0;

  constructor(modules: CoreModules, bounds: Bounds) {
    // Errors are part of the game here, and their stacks cost more than all the rest of it.
    Error.stackTraceLimit = 0;
    const { root, heap } = Heap.of(() => new Stage(modules, bounds));
    this.stage = root;
    this.#heap = heap;
    this.#healer = new Healer(root);
    this.first = { parent: undefined, choice: "", depth: 0, saved: heap.save(), waiting: 0 };
  }

  /** Puts a state back. */
  go(to: Node): void {
    const path: string[] = [];
    let at = to;
    for (; at.saved === undefined && at.parent !== undefined; at = at.parent) path.push(at.choice);
    if (at.saved === undefined) throw new Error("The first state is written down for good");
    this.#heap.restore(at.saved);
    for (const choice of path.reverse()) this.stage.take(choice);
  }

  /** Goes to the state after a choice. */
  goOn(from: Node, choice: string): Node {
    this.go(from);
    this.stage.take(choice);
    return { parent: from, choice, depth: from.depth + 1, saved: undefined, waiting: 0 };
  }

  /** It is gone on from: `begin` before its first choice, `end` after the last one. */
  begin(node: Node): void {
    if (node.saved !== undefined) return;
    this.go(node);
    this.keep(node);
  }

  end(node: Node): void {
    if (node.waiting === 0 || this.#kept > KEPT) this.#leave(node);
    this.giveUp(node);
  }

  /** Nobody goes on from it here: the one before it need not wait for it. */
  giveUp({ parent }: Node): void {
    if (parent !== undefined && --parent.waiting === 0) this.#leave(parent);
  }

  /** Writes down the state that `node` is: the stage is there. */
  keep(node: Node): void {
    if (node.saved === undefined) this.#kept++;
    node.saved = this.#heap.save();
  }

  #leave(node: Node): void {
    if (node.saved === undefined || node === this.first) return;
    this.#kept--;
    node.saved = undefined;
  }

  /**
   * Looks at the state on the stage, which is used up by it; undefined: it is not new, and nothing went wrong on the way.
   * `isLast`: nobody goes on from it.
   * `everyone`: each host is once the one that sends first when it heals; else one of them is.
   */
  look(
    node: Node,
    { isNew, isLast, everyone }: {
      readonly isNew: (hash: number) => boolean;
      readonly isLast: boolean;
      readonly everyone: boolean;
    },
  ): Look | undefined {
    const { stage } = this;
    // The walk through what the cores hold is what a hash costs: one is enough for all that is asked of this state.
    const [hash = 0, ...ahead] = stage.hashes([stage.ahead(), ...this.#healer.aheads()]);
    // What must not happen may have happened on the way to a state that was there before.
    if (!isNew(hash) && stage.world.violations.length === 0) return undefined;
    const choices = stage.choices();
    const wrong = broken(stage);
    if (wrong.length > 0) return { hash, choices, wrong, healMs: 0, settleMs: 0 };
    if (!isLast && node.parent !== undefined) node.parent.waiting++;
    const n = stage.world.hosts.length;
    const firsts = Array.from({ length: everyone ? n : 1 }, (_, i) => (hash + i) % n)
      .map((first) => ({ first, hash: ahead[first] as number }));
    return { hash, choices, ...this.#healer.heal(firsts, () => this.go(node)) };
  }
}

/** Looks at everything within the bounds. */
export function explore(
  modules: CoreModules,
  bounds: Bounds,
  { states: most = Infinity, ms = Infinity, onProgress }: Patience = {},
): Outcome {
  const began = performance.now();
  const seen = new Set<number>();
  let worst = { healMs: 0, settleMs: 0 };
  let [edges, depth] = [0, 0];
  const ground = new Ground(modules, bounds);
  let queue: { readonly node: Node; readonly choices: readonly string[] }[] = [];
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
  const isNew = (hash: number) => seen.size < seen.add(hash).size;
  /** Looks at the state on the stage. */
  const visit = (node: Node): Violation | undefined => {
    edges++;
    const isLast = node.depth >= bounds.depth;
    const looked = ground.look(node, { isNew, isLast, everyone: false });
    if (looked === undefined) return undefined;
    depth = Math.max(depth, node.depth);
    worst = {
      healMs: Math.max(worst.healMs, looked.healMs),
      settleMs: Math.max(worst.settleMs, looked.settleMs),
    };
    if (looked.wrong.length > 0) return { choices: pathOf(node), wrong: looked.wrong };
    if (!isLast) queue.push({ node, choices: looked.choices });
    return undefined;
  };
  const wrong = visit(ground.first);
  if (wrong !== undefined) return end(false, wrong);
  while (queue.length > 0) {
    const level = queue;
    queue = [];
    for (const { node, choices } of level) {
      ground.begin(node);
      for (const choice of choices) {
        const violation = visit(ground.goOn(node, choice));
        if (violation !== undefined) return end(false, violation);
        if (edges % 1000 === 0) onProgress?.(end(false));
        if (seen.size >= most || performance.now() - began >= ms) return end(false);
      }
      ground.end(node);
    }
  }
  return end(true);
}

/** The stage that choices lead to. */
export function reach(modules: CoreModules, bounds: Bounds, path: readonly string[]): Stage {
  const stage = new Stage(modules, bounds);
  for (const choice of path) stage.take(choice);
  return stage;
}

/** Choices from the first state on. */
export function pathOf(node: Node): string[] {
  const path: string[] = [];
  for (let at: Node | undefined = node; at?.parent !== undefined; at = at.parent) {
    path.push(at.choice);
  }
  return path.reverse();
}
