// SPDX-License-Identifier: Apache-2.0

/** Packets that were dropped in the last minutes, by reason: what the counters say now, less what they said then. */
import type { Plane } from "../../ffi/plane.ts";
import { dropsByReason } from "../model/plane_counters.ts";

/** How far it looks back. */
export const RECENT_MS = 5 * 60_000;
/** Between two looks: the span is longer than asked for by this at most. */
const LOOK_MS = 15_000;

/** The clock of the process and its counters, for tests others. */
export interface RecentDropsOptions {
  readonly counters: () => Readonly<Record<string, bigint>>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Calls `look` every so many milliseconds; the result ends that. */
  readonly every: (look: () => void, ms: number) => () => void;
}

/** Those of a plane, by the clock of the process. */
export function recentDropsOf(plane: Pick<Plane, "counters">): RecentDrops {
  return new RecentDrops({
    counters: () => plane.counters(),
    now: () => performance.now(),
    every(look, ms) {
      const timer = setInterval(look, ms);
      Deno.unrefTimer(timer);
      return () => clearInterval(timer);
    },
  });
}

interface Look {
  readonly at: number;
  readonly drops: ReadonlyMap<string, bigint>;
}

/** Looks until it is disposed of. */
export class RecentDrops implements Disposable {
  readonly #options: RecentDropsOptions;
  readonly #end: () => void;
  /** The oldest first; the first one is as old as is wanted, or the start. */
  #looks: Look[];

  constructor(options: RecentDropsOptions) {
    this.#options = options;
    this.#looks = [{ at: options.now(), drops: new Map() }];
    this.#end = options.every(() => this.#look(), LOOK_MS);
  }

  /** Packets by reason, without those that were not dropped for it. */
  view(): Readonly<Record<string, bigint>> {
    const [first] = this.#looks;
    const all = dropsByReason(this.#options.counters());
    return Object.fromEntries(
      all.map(([reason, n]) => [reason, n - (first?.drops.get(reason) ?? 0n)] as const)
        .filter(([, n]) => n > 0n),
    );
  }

  [Symbol.dispose](): void {
    this.#end();
  }

  #look(): void {
    const at = this.#options.now();
    this.#looks.push({ at, drops: new Map(dropsByReason(this.#options.counters())) });
    const old = this.#looks.findLastIndex((look) => at - look.at >= RECENT_MS);
    if (old > 0) this.#looks = this.#looks.slice(old);
  }
}
