// SPDX-License-Identifier: Apache-2.0

/** Crypto ids 1..max: the lowest free one is given out first, so that few are ever in use. */
export class CryptoIds {
  readonly #used: Uint8Array;
  /** No id below is free. */
  #lowest = 1;
  #size = 0;

  /** `max` ids. */
  constructor(readonly max: number) {
    this.#used = new Uint8Array(max + 1);
  }

  /** How many are given out. */
  get size(): number {
    return this.#size;
  }

  /** The lowest free id; undefined when there is none. */
  take(): number | undefined {
    const id = this.#used.indexOf(0, this.#lowest);
    if (id === -1) {
      this.#lowest = this.max + 1;
      return undefined;
    }
    this.#used[id] = 1;
    this.#lowest = id + 1;
    this.#size++;
    return id;
  }

  /** Throws RangeError when the id was not given out. */
  free(id: number): void {
    if (this.#used[id] !== 1) throw new RangeError(`Cannot free crypto id ${id}: it is not in use`);
    this.#used[id] = 0;
    this.#lowest = Math.min(this.#lowest, id);
    this.#size--;
  }
}
