// SPDX-License-Identifier: Apache-2.0

/** How often something took how long. */

/** Seconds. Buckets are cumulative; the last one's end is Infinity. */
export interface HistogramView {
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
  readonly sum: number;
}

/** Counts since it was made. */
export class Histogram {
  readonly #ends: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  /** Upper ends in seconds, ascending; Infinity is added. */
  constructor(ends: readonly number[]) {
    this.#ends = [...ends, Infinity];
    this.#counts = new Float64Array(this.#ends.length);
  }

  observe(seconds: number): void {
    const i = this.#ends.findIndex((end) => seconds <= end);
    this.#counts[i] = (this.#counts[i] ?? 0) + 1;
    this.#sum += seconds;
  }

  view(): HistogramView {
    let count = 0;
    const buckets = this.#ends.map((le, i) => ({ le, count: count += this.#counts[i] ?? 0 }));
    return { buckets, sum: this.#sum };
  }
}

/** From half a millisecond, which a local exchange takes, to the ten seconds after which nobody waits any more. */
const LATENCY_SECONDS = [
  ...[0.0005, 0.001, 0.002, 0.005],
  ...[0.01, 0.02, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10],
];

/** How long the two things take that a workload waits for. */
export interface Latencies<H = Histogram> {
  /** A `NewTunnel` call that was answered: from its start to its answer. */
  readonly exchange: H;
  /** A held flow whose tunnel came up: from its miss to its release. */
  readonly firstPacket: H;
}

/** Both, empty. */
export function newLatencies(): Latencies {
  return { exchange: new Histogram(LATENCY_SECONDS), firstPacket: new Histogram(LATENCY_SECONDS) };
}
