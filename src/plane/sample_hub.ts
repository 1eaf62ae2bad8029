// SPDX-License-Identifier: Apache-2.0

/** Sampled packets, to everybody who watches. A slow reader loses samples and is told how many. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { SampleView } from "../model/status.ts";

/** Samples that wait for one reader. */
const QUEUE_MAX = 256;

/** What the agent counts of samples; the plane counts what it lost itself. */
export const SAMPLE_COUNTERS = {
  "samples-egress": "samples of packets on their way out",
  "samples-ingress": "samples of packets that came in",
  "samples-lost-by-readers": "samples that found a reader's queue full, once for each reader",
} as const;

interface Reader {
  readonly queue: SampleView[];
  lost: number;
  wake: () => void;
}

/** Never blocks and never holds more than the queues of its readers. */
export class SampleHub {
  readonly #readers = new Set<Reader>();
  #egress = 0n;
  #ingress = 0n;
  #lost = 0n;

  /** One sample from the plane. */
  add(event: Extract<PlaneEvent, { type: "sample" }>): void {
    if (event.direction === "egress") this.#egress++;
    else this.#ingress++;
    const { type: _, ...sample } = event;
    for (const reader of this.#readers) {
      if (reader.queue.length >= QUEUE_MAX) {
        reader.lost++;
        this.#lost++;
        continue;
      }
      reader.queue.push({ ...sample, lost: reader.lost });
      reader.lost = 0;
      reader.wake();
    }
  }

  counters(): Readonly<Record<keyof typeof SAMPLE_COUNTERS, bigint>> {
    return {
      "samples-egress": this.#egress,
      "samples-ingress": this.#ingress,
      "samples-lost-by-readers": this.#lost,
    };
  }

  /** What comes from now on, until `signal` aborts. */
  async *watch(signal: AbortSignal): AsyncGenerator<SampleView> {
    const reader: Reader = { queue: [], lost: 0, wake: () => {} };
    this.#readers.add(reader);
    const wake = () => reader.wake();
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        const next = reader.queue.shift();
        if (next !== undefined) {
          yield next;
          continue;
        }
        await new Promise<void>((resolve) => reader.wake = resolve);
      }
    } finally {
      signal.removeEventListener("abort", wake);
      this.#readers.delete(reader);
    }
  }
}
