// SPDX-License-Identifier: Apache-2.0

/** How far work has come that takes longer than a second: when it is worth a line, and which. Pure. */

/** The first line comes so long after the work began, each next one after twice the time, but for the last ones. */
const FIRST_MS = 1_000;
const EACH_MS = 600_000;

/** What a line says. */
export interface Progress {
  /** What is left of it; 0: it is over. */
  readonly left: number;
  /** Since it began. */
  readonly afterMs: number;
}

/** Looks at one kind of work, which may begin again once it is over. */
export class ProgressWatch {
  #since: number | undefined;
  #sayAt = Infinity;
  #said = false;

  /** `left`: what is still to be done. The result is worth a line; undefined: nothing is. */
  look(now: number, left: number): Progress | undefined {
    if (left === 0) return this.#end(now);
    if (this.#since === undefined) {
      this.#since = now;
      this.#sayAt = now + FIRST_MS;
    }
    if (now < this.#sayAt) return undefined;
    const afterMs = now - this.#since;
    this.#sayAt = now + Math.min(Math.max(afterMs, FIRST_MS), EACH_MS);
    this.#said = true;
    return { left, afterMs };
  }

  /** Nobody was told of what was over soon. */
  #end(now: number): Progress | undefined {
    const told = this.#said && this.#since !== undefined
      ? { left: 0, afterMs: now - this.#since }
      : undefined;
    this.#since = undefined;
    this.#said = false;
    return told;
  }
}
