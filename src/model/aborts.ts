// SPDX-License-Identifier: Apache-2.0

/**
 * Who is to be told when a signal aborts. A signal itself looks through all its listeners whenever one comes or goes;
 * where ten thousand wait for the same one, it gets a single listener here.
 */

/** Called with the signal's reason. */
export type OnAbort = (reason: unknown) => void;

/** Listeners by signal. */
export class Aborts {
  readonly #waiting = new Map<
    AbortSignal,
    { readonly all: Set<OnAbort>; readonly tell: () => void }
  >();

  /** `listener` is called once if `signal` aborts, and must not be there yet. */
  add(signal: AbortSignal, listener: OnAbort): void {
    let entry = this.#waiting.get(signal);
    if (entry === undefined) {
      const all = new Set<OnAbort>();
      const tell = () => {
        this.#waiting.delete(signal);
        for (const listener of all) listener(signal.reason);
      };
      entry = { all, tell };
      this.#waiting.set(signal, entry);
      signal.addEventListener("abort", tell, { once: true });
    }
    entry.all.add(listener);
  }

  /** It is not called any more. */
  remove(signal: AbortSignal, listener: OnAbort): void {
    const entry = this.#waiting.get(signal);
    if (entry === undefined || !entry.all.delete(listener) || entry.all.size > 0) return;
    this.#waiting.delete(signal);
    signal.removeEventListener("abort", entry.tell);
  }

  /** Signals that somebody waits for. */
  get size(): number {
    return this.#waiting.size;
  }
}
