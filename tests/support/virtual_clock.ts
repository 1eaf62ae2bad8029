// SPDX-License-Identifier: Apache-2.0

/** A clock that stands still until the test moves it. */
import { setImmediate } from "node:timers";
import type { Clock } from "../../src/model/clock.ts";

interface Sleeper {
  readonly at: number;
  readonly order: number;
  wake(): void;
}

/** Sleeps end in the order of their times, and everything that follows one happens before the next. */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #sleepers = new Set<Sleeper>();
  /** Added to `now` for the wall clock: steps of it are changes of this. */
  wallOffsetMs = 1_700_000_000_000;

  now(): number {
    return this.#now;
  }

  wallMs(): number {
    return this.#now + this.wallOffsetMs;
  }

  /** Sleeps that have not ended. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const sleeper = {
        at: this.#now + Math.max(0, ms),
        order: this.#order++,
        wake: () => {
          signal?.removeEventListener("abort", abort);
          resolve();
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Moves time on. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settled();
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      this.#sleepers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
      await settled();
    }
    this.#now = until;
  }

  /** Moves time on in steps of 10 ms until the condition holds; throws when it does not within `limitMs`. */
  async until(condition: () => boolean, limitMs = 60_000): Promise<number> {
    const start = this.#now;
    await settled();
    while (!condition()) {
      if (this.#now - start >= limitMs) throw new Error(`Waited ${limitMs} virtual ms in vain`);
      await this.advance(10);
    }
    return this.#now - start;
  }

  /** Moves time on until the promise is settled. */
  async run<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let over = false;
    promise.then(() => over = true, () => over = true);
    await this.until(() => over, limitMs);
    return await promise;
  }

  #next(until: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const s of this.#sleepers) {
      if (s.at > until) continue;
      if (next === undefined || s.at < next.at || (s.at === next.at && s.order < next.order)) {
        next = s;
      }
    }
    return next;
  }
}

/** Resolves when every microtask that is due has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
