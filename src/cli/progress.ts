// SPDX-License-Identifier: Apache-2.0

/** One line on a terminal that says how far a command is, for what takes longer than a second. */

/** Between two words of it, and before the first one. */
const EACH_MS = 1_000;
/** Columns: a line that is broken could not be taken back. */
const WIDTH = 79;

/** Where it is shown, and what time it is. */
export interface ProgressOptions {
  /** Shows text, as it is. */
  readonly write: (text: string) => void;
  /** Milliseconds that never run backwards. */
  readonly now: () => number;
}

/** On stderr where that is a terminal; nowhere else: what is read by programs or kept in files has no such lines. */
export function openProgress(): Progress {
  const isShown = Deno.stderr.isTerminal();
  const encoder = new TextEncoder();
  return new Progress({
    write: (text) => void (isShown && Deno.stderr.writeSync(encoder.encode(text))),
    now: () => performance.now(),
  });
}

/** Leaves nothing behind on the line when it is disposed of. */
export class Progress implements Disposable {
  readonly #options: ProgressOptions;
  #at: number;
  #shown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#at = options.now();
  }

  /** It has come so far; `text` is asked for once a second at most. Call it as often as you like. */
  to(text: () => string): void {
    const { now, write } = this.#options;
    if (now() - this.#at < EACH_MS) return;
    this.#at = now();
    this.#shown = true;
    write(`\r${text().slice(0, WIDTH)}\x1b[K`);
  }

  /** `act`, with one line while it takes long. */
  async during<T>(text: string, act: Promise<T>): Promise<T> {
    const timer = setInterval(() => this.to(() => text), EACH_MS);
    try {
      return await act;
    } finally {
      clearInterval(timer);
      this.clear();
    }
  }

  /** The line is empty again: something else is to be printed. */
  clear(): void {
    if (this.#shown) this.#options.write("\r\x1b[K");
    this.#shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
