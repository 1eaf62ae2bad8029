// SPDX-License-Identifier: Apache-2.0

/** Events by long poll: one call in flight at most, its buffers untouched until it is back. */
import { decodeEvents } from "./events.ts";
import { DataPlaneError, type PlaneEvent } from "./plane.ts";
import { ECLOSED, unwrap } from "./status.ts";
import type { Symbols } from "./symbols.ts";

/** How long one long poll may last: the time until an abort is seen. */
const POLL_MS = 500;
/** After this long a poll has certainly entered the library. */
const POLL_ENTERED_MS = 50;
/** Octets of a batch of events. */
const BATCH_BYTES = 256 * 1024;

/** What the reader asks of its plane. */
export interface EventSource {
  readonly symbols: Pick<Symbols, "psp_dp_event_wait">;
  /** undefined once the plane is closing. */
  handle(): bigint | undefined;
  errorText(): string;
}

/** Belongs to one plane. */
export class EventReader {
  readonly #source: EventSource;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  readonly #len = new Uint32Array(1);
  #poll: Promise<number> | undefined;
  #reading = false;

  constructor(source: EventSource) {
    this.#source = source;
  }

  /** Batches until the plane closes or `signal` aborts. Throws `DataPlaneError` "EBUSY" for a second reader. */
  async *read(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    if (this.#reading) {
      throw new DataPlaneError("Cannot read events: another reader is at it", "EBUSY");
    }
    this.#reading = true;
    try {
      while (!signal?.aborted) {
        const status = await this.#wait();
        if (status === ECLOSED) return;
        unwrap(status, "Cannot read events", () => this.#source.errorText());
        const events = decodeEvents(this.#batch.subarray(0, this.#len[0]));
        if (events.length > 0) yield events;
      }
    } finally {
      this.#reading = false;
    }
  }

  /** To be awaited before the plane is closed: a poll on its way to its thread must not find a freed handle. */
  async entered(): Promise<void> {
    if (this.#poll === undefined) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, POLL_ENTERED_MS));
    await Promise.race([this.#poll, late]);
    clearTimeout(timer);
  }

  /** Resolves when no poll is in flight. */
  async idle(): Promise<void> {
    await this.#poll;
  }

  async #wait(): Promise<number> {
    const handle = this.#source.handle();
    if (handle === undefined) return ECLOSED;
    const { psp_dp_event_wait: wait } = this.#source.symbols;
    this.#poll = wait(handle, this.#batch, this.#batch.length, POLL_MS, this.#len);
    try {
      return await this.#poll;
    } finally {
      this.#poll = undefined;
    }
  }
}
