// SPDX-License-Identifier: Apache-2.0

/** The last lines of the log, kept for whoever asks after the fact. */

/** Lines, and characters of all of them. */
const MOST_LINES = 500;
const MOST_CHARACTERS = 1 << 18;

/** Keeps so many lines and no more, whatever is written. */
export class LogTail {
  readonly #most: { readonly lines: number; readonly characters: number };
  #lines: string[] = [];
  /** Lines at the beginning that are out already: one cut for many of them. */
  #gone = 0;
  #characters = 0;

  constructor(most = { lines: MOST_LINES, characters: MOST_CHARACTERS }) {
    this.#most = most;
  }

  /** With its newline, or without. */
  add(line: string): void {
    const kept = line.trimEnd().slice(0, this.#most.characters);
    this.#lines.push(kept);
    this.#characters += kept.length;
    while (this.#isFull()) this.#dropFirst();
    if (this.#gone < this.#most.lines) return;
    this.#lines = this.#lines.slice(this.#gone);
    this.#gone = 0;
  }

  /** Oldest first. */
  lines(): readonly string[] {
    return this.#lines.slice(this.#gone);
  }

  /** Its text goes now, its place with the next cut. */
  #dropFirst(): void {
    this.#characters -= this.#lines[this.#gone]?.length ?? 0;
    this.#lines[this.#gone++] = "";
  }

  #isFull(): boolean {
    return this.#lines.length - this.#gone > this.#most.lines ||
      this.#characters > this.#most.characters;
  }
}
