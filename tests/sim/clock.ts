// SPDX-License-Identifier: Apache-2.0

/**
 * One clock for all hosts of a world: it moves when it is told to, and whatever is due happens in one order. Whoever waits
 * with promises that lie open moves it at once (`run`); with those of the runtime, `virtual_clock.ts` does.
 */
import type { Clock } from "../../src/model/clock.ts";
import { drain, Promised } from "./promise.ts";

/** Whose sleep it is: what a process that was killed waits for never comes. */
export interface Life {
  readonly alive: boolean;
}

/** Of whoever is there as long as the world is. */
export const FOREVER: Life = { alive: true };

interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly life: Life;
  /** undefined: it was aborted. */
  wake: (() => void) | undefined;
}

/** What is waited with: the runtime's `Promise`, or `Promised`. */
export type PromiseMaker = new <T>(
  executor: (
    resolve: (value: T | PromiseLike<T>) => void,
    reject: (reason?: unknown) => void,
  ) => void,
) => Promise<T>;

/** Virtual time and what is due in it. */
export class WorldClock {
  private _now = 0;
  private _order = 0;
  private _heap: Sleeper[] = [];
  /** Called after each thing that happened, once nothing is left to await. */
  onSettled: () => void = () => {};
  /** Added to `now` for the wall clock: steps of it are changes of this. */
  wallOffsetMs = 1_700_000_000_000;
  private readonly _promise: PromiseMaker;

  constructor(promise: PromiseMaker = Promised) {
    this._promise = promise;
  }

  now(): number {
    return this._now;
  }

  /** The clock as one process sees it. */
  of(life: Life): Clock {
    return {
      now: () => this._now,
      wallMs: () => this._now + this.wallOffsetMs,
      sleep: (ms, signal) => this.#sleep(life, ms, signal),
    };
  }

  /** Calls `wake` at a time. */
  at(at: number, life: Life, wake: () => void): void {
    this.#push({ at: Math.max(at, this._now), order: this._order++, life, wake });
  }

  /** When the next thing is due; undefined: never. */
  next(): number | undefined {
    this.#dropDead();
    return this._heap[0]?.at;
  }

  /** Whatever is due until then happens, the earliest first. */
  run(until: number): void {
    while (this.wakeNext(until)) {
      drain();
      this.onSettled();
    }
    this.passTo(until);
  }

  /** The earliest of what is due until then happens, and nothing that follows from it. False: nothing is due. */
  wakeNext(until: number): boolean {
    const at = this.next();
    if (at === undefined || at > until) return false;
    const sleeper = this.#pop();
    this._now = Math.max(this._now, at);
    sleeper?.wake?.();
    return true;
  }

  /** Nothing is due until then. */
  passTo(until: number): void {
    this._now = Math.max(this._now, until);
  }

  /** Sleeps that have not ended. */
  get sleeping(): number {
    return this._heap.filter(({ life, wake }) => life.alive && wake !== undefined).length;
  }

  /** Milliseconds until each sleep of a process ends, in order. */
  sleepsOf(life: Life): number[] {
    return this._heap.filter((s) => s.life === life && s.wake !== undefined)
      .sort((a, b) => a.at - b.at || a.order - b.order)
      .map(({ at }) => at - this._now);
  }

  #sleep(life: Life, ms: number, signal?: AbortSignal): Promise<void> {
    return new this._promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const at = this._now + Math.max(0, ms);
      const sleeper: Sleeper = { at, order: this._order++, life, wake: resolve };
      if (signal !== undefined) {
        const abort = () => {
          sleeper.wake = undefined;
          reject(signal.reason);
        };
        signal.addEventListener("abort", abort, { once: true });
        sleeper.wake = () => {
          signal.removeEventListener("abort", abort);
          resolve();
        };
      }
      this.#push(sleeper);
    });
  }

  #dropDead(): void {
    for (let top = this._heap[0]; top !== undefined; top = this._heap[0]) {
      if (top.wake !== undefined && top.life.alive) return;
      this.#pop();
    }
  }

  #push(sleeper: Sleeper): void {
    const heap = this._heap;
    let i = heap.push(sleeper) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !isBefore(sleeper, parent)) break;
      heap[i] = parent;
      i = up;
    }
    heap[i] = sleeper;
  }

  #pop(): Sleeper | undefined {
    const heap = this._heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let i = 0;
    while (true) {
      const [left, right] = [heap[2 * i + 1], heap[2 * i + 2]];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (!isBefore(child, last)) break;
      heap[i] = child;
      i = isRight ? 2 * i + 2 : 2 * i + 1;
    }
    heap[i] = last;
    return top;
  }
}

function isBefore(a: Sleeper, b: Sleeper): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
