// SPDX-License-Identifier: Apache-2.0

/**
 * Lines on their way to whoever reads them, who may be slow or have stopped: a terminal on hold, a full pipe, a journal
 * that hangs. Nothing waits for that reader but the lines, and only so many of them.
 */
import { joined } from "../model/octets.ts";

/** Some thousands of lines. */
const MAX_WAITING_OCTETS = 1 << 20;

export interface LineWriterOptions {
  /** Takes some of the octets, and says how many. A rejection: nobody reads any more. */
  readonly write: (octets: Uint8Array) => Promise<number>;
  /** The line that says that so many were lost; it goes out once the reader is back. */
  readonly gap: (lost: number) => string;
  /** What may wait; default 1 MiB. */
  readonly maxOctets?: number;
}

export class LineWriter {
  readonly #options: LineWriterOptions;
  readonly #encoder = new TextEncoder();
  #waiting: Uint8Array[] = [];
  #octets = 0;
  #lost = 0;
  #gap = 0;
  #running: Promise<void> | undefined;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  /** Lines that found no room. */
  get lost(): number {
    return this.#lost;
  }

  /** Begins to write the line at once where nothing is before it. Never throws. */
  write(line: string): void {
    const octets = this.#encoder.encode(line);
    if (this.#octets + octets.length > (this.#options.maxOctets ?? MAX_WAITING_OCTETS)) {
      this.#lost++;
      this.#gap++;
      return;
    }
    this.#put(octets);
    this.#running ??= this.#run();
  }

  /** Over when all is written, or after so many milliseconds. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#running === undefined) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, timeoutMs);
    await Promise.race([this.#running, late.promise]);
    clearTimeout(timer);
  }

  #put(octets: Uint8Array): void {
    this.#waiting.push(octets);
    this.#octets += octets.length;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = joined(this.#waiting);
      this.#waiting = [];
      try {
        for (let sent = 0; sent < batch.length;) {
          sent += await this.#options.write(batch.subarray(sent));
        }
      } catch {
        // Nobody reads any more: the agent's work matters more than its words.
      }
      this.#octets -= batch.length;
      if (this.#gap === 0) continue;
      const gap = this.#gap;
      this.#gap = 0;
      this.#put(this.#encoder.encode(this.#options.gap(gap)));
    }
    this.#running = undefined;
  }
}
