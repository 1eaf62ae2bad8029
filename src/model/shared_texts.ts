// SPDX-License-Identifier: Apache-2.0

/** Texts that are made anew again and again, equal to each other, and kept: of equal ones the first is kept for all. */
export class SharedTexts {
  readonly #known = new Map<string, string>();

  /** The first text that was equal to this one; this very one, if it is that. */
  of(text: string): string {
    const known = this.#known.get(text);
    if (known === undefined) this.#known.set(text, text);
    return known ?? text;
  }
}
