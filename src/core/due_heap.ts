// SPDX-License-Identifier: Apache-2.0

/** What is due when: as many timers as there are keys, in one heap. */

/** Items that moved keys may leave behind: a share of the keys, and never fewer than this. */
const LEFT_BEHIND = 64;

/** Keys by due time. Setting a key again moves it. */
export class DueHeap {
  readonly #at = new Map<string, number>();
  /** The heap, as two lists: an object for each of a hundred thousand keys would be memory for nothing. */
  #times: number[] = [];
  #keys: string[] = [];

  /** Keys that are set. */
  get size(): number {
    return this.#at.size;
  }

  /** Sets or moves; Infinity takes the key out. */
  set(key: string, at: number): void {
    if (at === Infinity) {
      this.#at.delete(key);
      return;
    }
    if (this.#at.get(key) === at) return;
    this.#at.set(key, at);
    this.#push(at, key);
    if (this.#keys.length > LEFT_BEHIND + 2 * this.#at.size) this.#compact();
  }

  delete(key: string): void {
    this.#at.delete(key);
  }

  /** When the first of them is due; Infinity: there is none. */
  next(): number {
    while (true) {
      const [at, key] = [this.#times[0], this.#keys[0]];
      if (at === undefined || key === undefined) return Infinity;
      if (this.#at.get(key) === at) return at;
      // A key that was moved or taken out left this item behind.
      this.#pop();
    }
  }

  /** Takes out the keys that are due at `now`, the earliest first, `most` of them. */
  take(now: number, most = Infinity): string[] {
    const due: string[] = [];
    while (due.length < most && this.next() <= now) {
      const [key] = this.#keys;
      if (key === undefined) break;
      this.#pop();
      this.#at.delete(key);
      due.push(key);
    }
    return due;
  }

  #push(at: number, key: string): void {
    let i = this.#keys.length;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if ((this.#times[up] ?? -Infinity) <= at) break;
      this.#move(up, i);
      i = up;
    }
    this.#put(i, at, key);
  }

  #pop(): void {
    const [at, key] = [this.#times.pop(), this.#keys.pop()];
    const { length } = this.#keys;
    if (at === undefined || key === undefined || length === 0) return;
    let i = 0;
    for (let child = 1; child < length; child = 2 * i + 1) {
      if ((this.#times[child + 1] ?? Infinity) < (this.#times[child] ?? Infinity)) child++;
      if ((this.#times[child] ?? Infinity) >= at) break;
      this.#move(child, i);
      i = child;
    }
    this.#put(i, at, key);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from] ?? Infinity, this.#keys[from] ?? "");
  }

  #put(i: number, at: number, key: string): void {
    this.#times[i] = at;
    this.#keys[i] = key;
  }

  #compact(): void {
    this.#times = [];
    this.#keys = [];
    for (const [key, at] of this.#at) this.#push(at, key);
  }
}
