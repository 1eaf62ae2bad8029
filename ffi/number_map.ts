// SPDX-License-Identifier: Apache-2.0

/**
 * Numbers by number, in two arrays: entries by the hundred thousand. A `Map` takes four times as much for each, and for
 * numbers of 32 bits an object beside.
 */

/** Slots at first; a power of two, as it always is. */
const FIRST = 64;

/** From numbers of 32 bits to numbers of 32 bits that are not 0. Half to a quarter of the slots are in use once there are many. */
export class NumberMap {
  #keys = new Uint32Array(FIRST);
  /** 0: the slot is free. */
  #values = new Uint32Array(FIRST);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** undefined: there is none. */
  get(key: number): number | undefined {
    const value = this.#values[this.#slotOf(key)] ?? 0;
    return value === 0 ? undefined : value;
  }

  /** Throws RangeError for a value that is no number of 32 bits, or 0. */
  set(key: number, value: number): void {
    if (value !== value >>> 0 || value === 0) {
      throw new RangeError(`Cannot keep ${value}: it is no number of 1 to 32 bits`);
    }
    let slot = this.#slotOf(key);
    if (this.#values[slot] === 0) {
      if (2 * ++this.#size > this.#keys.length) {
        this.#resize(2 * this.#keys.length);
        slot = this.#slotOf(key);
      }
      this.#keys[slot] = key;
    }
    this.#values[slot] = value;
  }

  /** False: it was not there. */
  delete(key: number): boolean {
    const mask = this.#keys.length - 1;
    let free = this.#slotOf(key);
    if (this.#values[free] === 0) return false;
    // Whoever stands behind only because the place was taken moves up.
    for (let slot = (free + 1) & mask; this.#values[slot] !== 0; slot = (slot + 1) & mask) {
      const other = this.#keys[slot] ?? 0;
      const home = hash(other) & mask;
      if (((slot - home) & mask) < ((slot - free) & mask)) continue;
      this.#keys[free] = other;
      this.#values[free] = this.#values[slot] ?? 0;
      free = slot;
    }
    this.#values[free] = 0;
    this.#size--;
    if (this.#keys.length > FIRST && 8 * this.#size < this.#keys.length) {
      this.#resize(this.#keys.length / 2);
    }
    return true;
  }

  /** All keys, in no order. Nothing may change meanwhile. */
  *keys(): Generator<number> {
    for (const [slot, value] of this.#values.entries()) {
      if (value !== 0) yield this.#keys[slot] ?? 0;
    }
  }

  /** Where the key is, or would be put. */
  #slotOf(key: number): number {
    const mask = this.#keys.length - 1;
    let slot = hash(key) & mask;
    while (this.#values[slot] !== 0 && this.#keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  #resize(slots: number): void {
    const [keys, values] = [this.#keys, this.#values];
    this.#keys = new Uint32Array(slots);
    this.#values = new Uint32Array(slots);
    for (const [i, value] of values.entries()) {
      if (value === 0) continue;
      const key = keys[i] ?? 0;
      const slot = this.#slotOf(key);
      this.#keys[slot] = key;
      this.#values[slot] = value;
    }
  }
}

/** Keys are not of a stranger's choosing: this host's own plane gave them out. */
function hash(key: number): number {
  const h = Math.imul(key ^ key >>> 16, 0x9e3779b1);
  return h ^ h >>> 15;
}
