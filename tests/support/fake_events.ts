// SPDX-License-Identifier: Apache-2.0

/** Events of the fake plane: a queue with one reader. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import { refuse } from "./fake_checks.ts";

export class FakeEvents {
  #queue: PlaneEvent[] = [];
  #wake: (() => void) | undefined;
  #reading = false;
  #closed = false;

  push(event: PlaneEvent): void {
    this.#queue.push(event);
    this.#wake?.();
  }

  /** Ends the reader. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** What has come since the last batch, until `close` or `signal`. Throws `DataPlaneError`. */
  async *batches(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    if (this.#reading) throw refuse("Cannot read events", "they are being read already", "EBUSY");
    this.#reading = true;
    const wake = () => this.#wake?.();
    signal?.addEventListener("abort", wake);
    try {
      while (!this.#closed && !signal?.aborted) {
        if (this.#queue.length === 0) {
          await new Promise<void>((resolve) => this.#wake = resolve);
          this.#wake = undefined;
          continue;
        }
        const batch = this.#queue;
        this.#queue = [];
        yield batch;
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      this.#reading = false;
    }
  }
}
