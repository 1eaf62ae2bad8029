// SPDX-License-Identifier: Apache-2.0

/** What is due when: as many timers as there are keys, in one heap. */

interface Item {
  readonly at: number;
  readonly key: string;
}

/** Keys by due time. Setting a key again moves it. */
export class DueHeap {
  readonly #at = new Map<string, number>();
  #heap: Item[] = [];

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
    this.#push({ at, key });
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#at.size) this.#compact();
  }

  delete(key: string): void {
    this.#at.delete(key);
  }

  /** When the first of them is due; Infinity: there is none. */
  next(): number {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#at.get(top.key) === top.at) return top.at;
      // A key that was moved or taken out left this item behind.
      this.#pop();
    }
    return Infinity;
  }

  /** Takes out the keys that are due at `now`, the earliest first, `most` of them. */
  take(now: number, most = Infinity): string[] {
    const due: string[] = [];
    while (due.length < most && this.next() <= now) {
      const [top] = this.#heap;
      if (top === undefined) break;
      this.#pop();
      this.#at.delete(top.key);
      due.push(top.key);
    }
    return due;
  }

  #push(item: Item): void {
    const heap = this.#heap;
    let i = heap.push(item) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || parent.at <= item.at) break;
      heap[i] = parent;
      i = up;
    }
    heap[i] = item;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    while (true) {
      const [left, right] = [heap[2 * i + 1], heap[2 * i + 2]];
      if (left === undefined) break;
      const [child, at] = right !== undefined && right.at < left.at
        ? [right, 2 * i + 2]
        : [left, 2 * i + 1];
      if (child.at >= last.at) break;
      heap[i] = child;
      i = at;
    }
    heap[i] = last;
  }

  #compact(): void {
    this.#heap = [];
    for (const [key, at] of this.#at) this.#push({ at, key });
  }
}
