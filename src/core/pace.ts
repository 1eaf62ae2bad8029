// SPDX-License-Identifier: Apache-2.0

/**
 * How fast this host asks one peer. One request at a time and all that wait in it is pace enough; what stands here
 * keeps within what every peer allows, and slows down for one that allows less.
 */
import { requestWeight } from "../model/exchange.ts";
import { TokenBucket } from "./token_bucket.ts";

/**
 * Full requests a second, and at once: what `rpc.peer_rate` and half of `rpc.peer_burst` are by default. Not what
 * this host's own configuration says: that is for those who ask here. The other half is for repeated requests.
 */
const RATE = 50;
const BURST = 100;
/**
 * A peer that refuses for the rate is asked this often at first: an agent that counts requests, whatever is in
 * them, allows 50 a second.
 */
const SLOW_FIRST_MS = 25;
const SLOW_MAX_MS = 1000;
/** Without a refusal for so long, the peer is asked at full speed again. */
const SLOW_FOR_MS = 10_000;

/** The pace towards one peer. Times are of `Clock.now`. */
export class Pace {
  readonly #bucket = new TokenBucket(RATE, BURST);
  #slowMs = SLOW_FIRST_MS;
  #refusedAt = -Infinity;
  #askedAt = -Infinity;

  /** 0: a request of so many tunnels goes now, and is counted. Else the milliseconds until one may. */
  take(now: number, tunnels: number): number {
    const slowMs = now - this.#refusedAt < SLOW_FOR_MS ? this.#askedAt + this.#slowMs - now : 0;
    if (slowMs > 0) return Math.max(1, Math.ceil(slowMs));
    const weight = requestWeight(tunnels);
    if (!this.#bucket.take(now, weight)) return Math.max(1, Math.ceil(this.#bucket.waitMs(weight)));
    this.#askedAt = now;
    return 0;
  }

  /** The peer refused a request for the rate, and may be asked again after so many milliseconds. */
  refused(now: number): number {
    // Soon after the last refusal: that was not slow enough. Long after it: the peer may allow more by now.
    const soon = now - this.#refusedAt < SLOW_FOR_MS;
    this.#slowMs = soon
      ? Math.min(2 * this.#slowMs, SLOW_MAX_MS)
      : Math.max(this.#slowMs / 2, SLOW_FIRST_MS);
    this.#refusedAt = this.#askedAt = now;
    return this.#slowMs;
  }
}
