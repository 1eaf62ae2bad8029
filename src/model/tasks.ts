// SPDX-License-Identifier: Apache-2.0

/** The one set of promises that nobody awaits on the spot: `stop()` does. */
import type { Log } from "./log.ts";

/** Work under way. A task that fails says so in the log; its caller has moved on. */
export class Tasks {
  readonly #running = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(readonly log: Log) {}

  /** Aborted by `stop`. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  add(task: Promise<unknown>): void {
    const running: Promise<void> = task.then(() => {}, (cause) => {
      if (!this.#abort.signal.aborted) {
        this.log.error("Background work failed", { cause: String(cause) });
      }
    }).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Aborts what runs and waits for its end. */
  async stop(): Promise<void> {
    this.#abort.abort(new DOMException("The agent is stopping", "AbortError"));
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
