// SPDX-License-Identifier: Apache-2.0

/** What this host knows about asking one peer: who waits, how it went lately, when it may be asked again. */
import { BackOff } from "./back_off.ts";
import { Pace } from "./pace.ts";
import type { Parts } from "./parts.ts";
import type { PspVersion } from "../model/sa.ts";

/** One peer as the initiator sees it. */
export class PeerLine {
  /** Keys of tunnels for the next request, oldest first. */
  readonly waiting: Set<string> = new Set();
  readonly backOff: BackOff;
  readonly pace: Pace = new Pace();
  running = false;
  lastError = "";
  /** The version that the last exchange agreed upon. */
  version: PspVersion | undefined;
  /** Until then a failure drops nothing: the peer said that it stops, and may come back at once. */
  patientUntil = 0;
  failingSince: number | undefined;
  readonly #parts: Parts;
  #wake: AbortController | undefined;

  constructor(readonly peer: string, parts: Parts) {
    this.#parts = parts;
    const { tunnel } = parts.config;
    this.backOff = new BackOff({
      firstMs: tunnel.backOffMs,
      maxMs: tunnel.backOffMaxMs,
      random: parts.random,
    });
  }

  /** Sleeps until `ms` are over or somebody wakes it. Throws only when the core stops. */
  async pause(ms: number): Promise<void> {
    this.#wake = new AbortController();
    const { signal } = this.#wake;
    try {
      await this.#parts.clock.sleep(ms, AbortSignal.any([signal, this.#parts.tasks.signal]));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** The peer may be tried at once. */
  wake(): void {
    this.#wake?.abort();
  }

  /** An exchange went well, or the peer was heard from. True when it had been failing. */
  recovered(): boolean {
    const had = this.backOff.succeed();
    this.failingSince = undefined;
    this.lastError = "";
    if (had) this.wake();
    return had;
  }

  /** An exchange failed: returns for how long the peer is left alone. */
  failed(error: string, capMs: number): number {
    const now = this.#parts.clock.now();
    this.lastError = error;
    this.failingSince ??= now;
    return this.backOff.fail(now, capMs);
  }
}
