// SPDX-License-Identifier: Apache-2.0

/** A clock that stands still until the test moves it, for whoever waits with the runtime's promises. */
import { setImmediate } from "node:timers";
import type { Clock } from "../../src/model/clock.ts";
import { FOREVER, WorldClock } from "./clock.ts";

/** Sleeps end in the order of their times, and everything that follows one happens before the next. */
export class VirtualClock implements Clock {
  readonly #clock: WorldClock;
  readonly #own: Clock;

  /** `clock`: of a world that waits with the runtime's promises. */
  constructor(clock: WorldClock = new WorldClock(Promise)) {
    this.#clock = clock;
    this.#own = clock.of(FOREVER);
  }

  now(): number {
    return this.#clock.now();
  }

  wallMs(): number {
    return this.#own.wallMs();
  }

  /** Added to `now` for the wall clock: steps of it are changes of this. */
  get wallOffsetMs(): number {
    return this.#clock.wallOffsetMs;
  }

  set wallOffsetMs(ms: number) {
    this.#clock.wallOffsetMs = ms;
  }

  /** Sleeps that have not ended. */
  get sleeping(): number {
    return this.#clock.sleeping;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#own.sleep(ms, signal);
  }

  /** Moves time on. */
  async advance(ms: number): Promise<void> {
    const until = this.now() + ms;
    await settled();
    while (this.#clock.wakeNext(until)) await settled();
    this.#clock.passTo(until);
  }

  /** Moves time on in steps of 10 ms until the condition holds; throws when it does not within `limitMs`. */
  async until(condition: () => boolean, limitMs = 60_000): Promise<number> {
    const start = this.now();
    await settled();
    while (!condition()) {
      if (this.now() - start >= limitMs) throw new Error(`Waited ${limitMs} virtual ms in vain`);
      await this.advance(10);
    }
    return this.now() - start;
  }

  /** Moves time on until the promise is settled. */
  async run<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let over = false;
    promise.then(() => over = true, () => over = true);
    await this.until(() => over, limitMs);
    return await promise;
  }
}

/** Resolves when every microtask that is due has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
