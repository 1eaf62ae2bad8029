// SPDX-License-Identifier: Apache-2.0

/** How long a peer that failed is left alone: doubling, with jitter, and open to see. */
import type { Random } from "../model/random.ts";

/** As status shows it. */
export type Circuit = "closed" | "open" | "half-open";

export interface BackOffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly random: Random;
}

/** The memory of a peer's failures. Times are of `Clock.now`. */
export class BackOff {
  #failures = 0;
  #until = 0;
  #trying = false;

  constructor(readonly options: BackOffOptions) {}

  get failures(): number {
    return this.#failures;
  }

  /** When the next attempt may be made; undefined: now. */
  nextAttemptAt(now: number): number | undefined {
    return this.#failures > 0 && now < this.#until ? this.#until : undefined;
  }

  /** Closed: healthy. Open: left alone. Half-open: one attempt is due or under way. */
  circuit(now: number): Circuit {
    if (this.#failures === 0) return "closed";
    return !this.#trying && now < this.#until ? "open" : "half-open";
  }

  /** An attempt begins. */
  begin(): void {
    this.#trying = true;
  }

  /** It failed: returns for how long the peer is left alone, at most `capMs`. */
  fail(now: number, capMs = Infinity): number {
    const { firstMs, maxMs, random } = this.options;
    const full = Math.min(firstMs * 2 ** Math.min(this.#failures, 30), maxMs, capMs);
    this.#failures++;
    this.#trying = false;
    // Between half and all of it, so that many hosts do not come back at the same instant.
    const waitMs = full * (0.5 + random.uniform() / 2);
    this.#until = now + waitMs;
    return waitMs;
  }

  /** It succeeded, or the peer was heard from. True when there had been failures. */
  succeed(): boolean {
    const had = this.#failures > 0;
    this.#failures = 0;
    this.#until = 0;
    this.#trying = false;
    return had;
  }
}
