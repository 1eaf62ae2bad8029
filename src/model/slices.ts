// SPDX-License-Identifier: Apache-2.0

/** Long work in slices: between two of them whatever else waits for this thread has its turn. */

/** How long a slice is, by default: with what begins just before its end it stays well under what others may wait. */
const SLICE_MS = 5;

/** Clock and timer of the process, for tests others. */
export interface SlicesOptions {
  readonly sliceMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  /** Everybody else has his turn. */
  readonly pause?: () => Promise<void>;
}

/** One piece of work. */
export class Slices {
  readonly #sliceMs: number;
  readonly #now: () => number;
  readonly #pause: () => Promise<void>;
  #endsAt: number;

  constructor(
    {
      sliceMs = SLICE_MS,
      now = () => performance.now(),
      pause = () => new Promise((resolve) => setTimeout(resolve, 0)),
    }: SlicesOptions = {},
  ) {
    this.#sliceMs = sliceMs;
    this.#now = now;
    this.#pause = pause;
    this.#endsAt = now() + sliceMs;
  }

  /** Call it between two steps that are short themselves: it returns at once, or after everybody else's turn. */
  async next(): Promise<void> {
    if (this.#now() < this.#endsAt) return;
    await this.#pause();
    this.#endsAt = this.#now() + this.#sliceMs;
  }
}
