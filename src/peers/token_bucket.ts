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

  /** Takes one when there is one. */
  take(now: number): boolean {
    const elapsed = this.#at === undefined ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.burst, this.#tokens + elapsed * this.rate / 1000);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
