// SPDX-License-Identifier: Apache-2.0

/**
 * Rounds of looks at what packets change, which rest while no packet passes. A counter of one thing may come a moment
 * after that of all, so a round that began at a total is made once more at the same total before nobody looks.
 */
export class Rounds {
  readonly #total: () => bigint | undefined;
  /** The total at the begin of this round. */
  #from: bigint | undefined;
  /** Whole rounds at this total. */
  #made = 0;

  /** `total`: packets that have passed; undefined: nobody knows, and the rounds go on for ever. */
  constructor(total: () => bigint | undefined) {
    this.#total = total;
  }

  /** Whether a look could find something. */
  get isDue(): boolean {
    const total = this.#total();
    if (total === undefined || total !== this.#from) {
      this.#from = total;
      // What was looked at in this round already may be what has changed.
      this.#made = -1;
    }
    return this.#made < 2;
  }

  /** Everything was looked at. */
  ended(): void {
    this.#made++;
  }
}
