// SPDX-License-Identifier: Apache-2.0

/** One of several that explore together: a worker that goes on from states, and claims what is new in a common table. */
import { heal } from "./checks.ts";
import { look, reach } from "./explore.ts";
import type { Bounds } from "./stage.ts";
import { type CoreModules, loadCore, type Patch } from "./world/load.ts";
import { synchronously } from "./world/micro.ts";

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
}

/** A state that nobody had seen. */
export interface Found {
  readonly node: number;
  readonly choice: string;
  readonly choices: readonly string[];
  readonly wrong: readonly string[];
  readonly healMs: number;
  readonly settleMs: number;
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

/** Goes on from each state. Call it inside `synchronously`. */
export function walk(
  modules: CoreModules,
  { bounds, seen }: { readonly bounds: Bounds; readonly seen: BigInt64Array },
  jobs: readonly Job[],
): Walked {
  const found: Found[] = [];
  let [edges, full] = [0, false];
  for (const { node, path, choices } of jobs) {
    for (const choice of choices) {
      edges++;
      const way = choice === "" ? path : [...path, choice];
      const looked = look(modules, bounds, way, (hash) => {
        const isNew = claim(seen, hash);
        full ||= isNew === undefined;
        return isNew ?? false;
      });
      if (looked === undefined) continue;
      // Whoever sends first: the unit suite looks at one of them for each state.
      const other = looked.wrong.length > 0
        ? looked
        : heal(reach(modules, bounds, way), (looked.hash + 1) % (bounds.hosts ?? 2));
      found.push({
        node,
        choice,
        choices: looked.choices,
        wrong: other.wrong,
        healMs: Math.max(looked.healMs, other.healMs),
        settleMs: Math.max(looked.settleMs, other.settleMs),
      });
    }
  }
  return { found, edges, full };
}

/** Answers jobs as messages: the first message is a `WalkerStart`. */
function serve(): void {
  const port = self as unknown as {
    onmessage: (event: MessageEvent) => void;
    postMessage(walked: Walked): void;
  };
  port.onmessage = async ({ data }: MessageEvent<WalkerStart>) => {
    const modules = await loadCore(data.patches);
    const on = { bounds: data.bounds, seen: new BigInt64Array(data.seen) };
    port.onmessage = async ({ data: jobs }: MessageEvent<readonly Job[]>) => {
      port.postMessage(await synchronously(() => walk(modules, on, jobs)));
    };
    port.postMessage({ found: [], edges: 0, full: false });
  };
}

if ("WorkerGlobalScope" in globalThis) serve();
