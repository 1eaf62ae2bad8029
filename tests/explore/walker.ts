// SPDX-License-Identifier: Apache-2.0

/** One of several that explore together: a worker that goes on from states, and claims what is new in a common table. */
import { Ground, type Node } from "./explore.ts";
import type { Bounds } from "./stage.ts";
import { type CoreModules, loadCore, type Patch } from "../sim/load.ts";

/** What a walker begins with. */
export interface WalkerStart {
  readonly bounds: Bounds;
  readonly patches: readonly Patch[];
  /** The hashes that were seen, as a hash table of a power of two of places. */
  readonly seen: SharedArrayBuffer;
}

/** A state to go on from. */
export interface Job {
  /** The state's own number; what comes of it is told with it. */
  readonly node: number;
  readonly path: readonly string[];
  readonly choices: readonly string[];
  /** By which the walker that found it knows it; undefined: this one did not. */
  readonly own: number | undefined;
}

/** What a walker is to do. */
export interface Task {
  readonly jobs: readonly Job[];
  /** Of its own, those from which another walker goes on. */
  readonly given: readonly number[];
}

/** A state that nobody had seen. */
export interface Found {
  readonly node: number;
  readonly choice: string;
  readonly choices: readonly string[];
  readonly wrong: readonly string[];
  readonly healMs: number;
  readonly settleMs: number;
  /** By which its walker knows it. */
  readonly own: number;
}

/** What came of some jobs. */
export interface Walked {
  readonly found: readonly Found[];
  readonly edges: number;
  /** The table is full. */
  readonly full: boolean;
}

/** Claims a hash: true for one walker only, the first. undefined: the table is full. */
export function claim(seen: BigInt64Array, hash: number): boolean | undefined {
  const mask = seen.length - 1;
  // No hash is 0, which is a free place.
  const value = BigInt(hash) + 1n;
  for (let i = hash % seen.length, n = 0; n < 1000; i = (i + 1) & mask, n++) {
    const before = Atomics.compareExchange(seen, i, 0n, value);
    if (before === 0n) return true;
    if (before === value) return false;
  }
  return undefined;
}

/** Goes on from states, its own and those of others. */
export class Walker {
  readonly #ground: Ground;
  readonly #seen: BigInt64Array;
  /** States that it found and nobody has gone on from yet. */
  readonly #own = new Map<number, Node>();
  #n = 0;
  #full = false;

  constructor(modules: CoreModules, { bounds, seen }: Omit<WalkerStart, "patches">) {
    this.#ground = new Ground(modules, bounds);
    this.#seen = new BigInt64Array(seen);
  }

  walk({ jobs, given }: Task): Walked {
    for (const own of given) this.#give(own);
    const found: Found[] = [];
    let edges = 0;
    for (const { node, path, choices, own } of jobs) {
      const from = own === undefined ? undefined : this.#own.get(own);
      const at = from ?? this.#nodeOf(path);
      this.#ground.begin(at);
      for (const choice of choices) {
        edges++;
        const next = choice === "" ? this.#ground.first : this.#ground.goOn(at, choice);
        const looked = this.#ground.look(next, {
          isNew: (hash) => this.#claim(hash),
          isLast: false,
          everyone: true,
        });
        if (looked === undefined) continue;
        const { hash: _, ...what } = looked;
        this.#own.set(++this.#n, next);
        found.push({ node, choice, own: this.#n, ...what });
      }
      this.#ground.end(at);
      if (own !== undefined) this.#own.delete(own);
    }
    return { found, edges, full: this.#full };
  }

  #claim(hash: number): boolean {
    const isNew = claim(this.#seen, hash);
    this.#full ||= isNew === undefined;
    return isNew ?? false;
  }

  /** Another one goes on from it. */
  #give(own: number): void {
    const node = this.#own.get(own);
    if (node !== undefined) this.#ground.giveUp(node);
    this.#own.delete(own);
  }

  #nodeOf(path: readonly string[]): Node {
    return path.reduce<Node>(
      (parent, choice) => {
        parent.waiting++;
        return { parent, choice, depth: parent.depth + 1, saved: undefined, waiting: 0 };
      },
      this.#ground.first,
    );
  }
}

/** Answers tasks as messages: the first message is a `WalkerStart`. */
function serve(): void {
  const port = self as unknown as {
    onmessage: (event: MessageEvent) => void;
    postMessage(walked: Walked): void;
  };
  port.onmessage = async ({ data }: MessageEvent<WalkerStart>) => {
    const walker = new Walker(await loadCore(data.patches), data);
    port.onmessage = ({ data: task }: MessageEvent<Task>) => port.postMessage(walker.walk(task));
    port.postMessage({ found: [], edges: 0, full: false });
  };
}

if ("WorkerGlobalScope" in globalThis) serve();
