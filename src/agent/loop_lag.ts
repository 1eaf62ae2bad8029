// SPDX-License-Identifier: Apache-2.0

/**
 * How late this process comes to what is due: one timer, which fires seldom at rest, and how late it fires. Everything that the agent does in
 * JavaScript waits for the same thread, so this is what a first packet waits for besides its own work.
 */
import type { EventLoopView } from "../model/status.ts";

/** What a look stands for. A stall that is shorter may be missed; each look wakes the process. */
const LOOK_MS = 20;
/** At rest looks come as seldom as this, and each stands for those that were spared: fifty a second cost more than all else. */
const REST_MS = 160;
/** What the timer itself may be late by. */
const IN_TIME_MS = 5;
/** Upper ends in milliseconds: fine around what is allowed (20 ms at p99, 100 ms at most), coarse beyond. */
const BUCKETS_MS = [1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 500, 1000, 5000, Infinity];

/** The clock and the timer of the process, for tests others. */
export interface LoopLagOptions {
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Calls `look` after so many milliseconds; the result keeps it from being called. */
  readonly later: (look: () => void, ms: number) => () => void;
}

/** Looks until it is disposed of. */
export class LoopLag implements Disposable {
  readonly #options: LoopLagOptions;
  readonly #looks = new Float64Array(BUCKETS_MS.length);
  #count = 0;
  #maxMs = 0;
  #sumMs = 0;
  /** Until the next look. */
  #waitMs = LOOK_MS;
  #due = 0;
  #cancel = () => {};

  constructor(options: LoopLagOptions = SYSTEM) {
    this.#options = options;
    this.#wait(LOOK_MS, options.now());
  }

  view(): EventLoopView {
    let looks = 0;
    const buckets = BUCKETS_MS.map((leMs, i) => ({ leMs, looks: looks += this.#looks[i] ?? 0 }));
    const at = buckets.find(({ looks }) => looks >= 0.99 * this.#count)?.leMs ?? 0;
    return { p99Ms: Math.min(at, this.#maxMs), maxMs: this.#maxMs, sumMs: this.#sumMs, buckets };
  }

  /** There is something to do, which may take long: looks come often again, from now on. */
  stir(): void {
    if (this.#waitMs === LOOK_MS) return;
    this.#cancel();
    const now = this.#options.now();
    this.#spare(this.#waitMs - Math.max(0, this.#due - now), 0);
    this.#wait(LOOK_MS, now);
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #look(): void {
    const now = this.#options.now();
    const lateMs = Math.max(0, now - this.#due);
    this.#maxMs = Math.max(this.#maxMs, lateMs);
    this.#spare(this.#waitMs - LOOK_MS, lateMs);
    // The looks that a stall has swallowed would each have been late for what was left of it.
    for (let ms = lateMs; ms >= 0; ms -= LOOK_MS) this.#add(ms);
    this.#wait(lateMs < LOOK_MS ? Math.min(2 * this.#waitMs, REST_MS) : LOOK_MS, now);
  }

  /** Looks that were not made for so long, because nothing was late before. */
  #spare(forMs: number, lateMs: number): void {
    for (let ms = forMs; ms >= LOOK_MS; ms -= LOOK_MS) this.#add(Math.min(lateMs, IN_TIME_MS));
  }

  #wait(ms: number, now: number): void {
    this.#waitMs = ms;
    this.#due = now + ms;
    this.#cancel = this.#options.later(() => this.#look(), ms);
  }

  #add(ms: number): void {
    const i = BUCKETS_MS.findIndex((leMs) => ms <= leMs);
    this.#looks[i] = (this.#looks[i] ?? 0) + 1;
    this.#count++;
    this.#sumMs += ms;
  }
}

const SYSTEM: LoopLagOptions = {
  now: () => performance.now(),
  later(look, ms) {
    const timer = setTimeout(look, ms);
    Deno.unrefTimer(timer);
    return () => clearTimeout(timer);
  },
};
