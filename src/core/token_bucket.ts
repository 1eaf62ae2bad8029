// SPDX-License-Identifier: Apache-2.0

/** So many per second, and a burst: for requests of peers. */

/** A bucket that begins full. Time comes in as a parameter. */
export class TokenBucket {
  #tokens: number;
  #at: number | undefined;

  /** `rate` tokens come in each second, at most `burst` are kept. */
  constructor(readonly rate: number, readonly burst: number) {
    this.#tokens = burst;
  }

  /** Takes `n`, one by default, when they are there; `n` may be a part of one. */
  take(now: number, n = 1): boolean {
    const elapsed = this.#at === undefined ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.burst, this.#tokens + elapsed * this.rate / 1000);
    if (this.#tokens < n) return false;
    this.#tokens -= n;
    return true;
  }

  /** Milliseconds from the last look until `n` are there. */
  waitMs(n: number): number {
    return Math.max(0, n - this.#tokens) * 1000 / this.rate;
  }
}
