// SPDX-License-Identifier: Apache-2.0

/** What has a rank, in its order: where it stands is kept in it. */

/** Has a rank among its like, the least of them first; ranks differ. */
export interface Ranks {
  /** May change only before `put`. */
  rank: number;
  /** Where the order has it, from 1; 0: nowhere. Only the order writes it. */
  place: number;
}

/** An order of such. Each stands in one of them at most. */
export class Ranked<T extends Ranks> {
  /** A heap: what stands at `i` comes before what stands at 2i and 2i + 1, from 1. */
  readonly #heap: T[] = [];

  get first(): T | undefined {
    return this.#heap[0];
  }

  /** Puts it in, or where it belongs when its rank has changed. */
  put(one: T): void {
    if (one.place === 0) {
      this.#heap.push(one);
      one.place = this.#heap.length;
    }
    this.#settle(one);
  }

  delete(one: T): void {
    const { place } = one;
    if (place === 0) return;
    one.place = 0;
    const last = this.#heap.pop();
    if (last === undefined || last === one) return;
    last.place = place;
    this.#settle(last);
  }

  /** The first ones of them, as many as are taken: each costs the logarithm of those before it. It must not change meanwhile. */
  *inOrder(): Generator<T> {
    // What may be next, the last one first.
    const next: T[] = [];
    const see = (place: number) => {
      const one = this.#heap[place - 1];
      if (one === undefined) return;
      let [from, to] = [0, next.length];
      while (from < to) {
        const middle = (from + to) >> 1;
        if ((next[middle]?.rank ?? 0) > one.rank) from = middle + 1;
        else to = middle;
      }
      next.splice(from, 0, one);
    };
    see(1);
    for (let one = next.pop(); one !== undefined; one = next.pop()) {
      yield one;
      see(2 * one.place);
      see(2 * one.place + 1);
    }
  }

  #settle(one: T): void {
    let { place } = one;
    const { rank } = one;
    for (let up = this.#at(place >> 1); up !== undefined && up.rank > rank;) {
      this.#set(place, up);
      place >>= 1;
      up = this.#at(place >> 1);
    }
    for (;;) {
      const [left, right] = [this.#at(2 * place), this.#at(2 * place + 1)];
      const down = right !== undefined && left !== undefined && right.rank < left.rank
        ? right
        : left;
      if (down === undefined || down.rank >= rank) break;
      const below = down.place;
      this.#set(place, down);
      place = below;
    }
    this.#set(place, one);
  }

  #at(place: number): T | undefined {
    return place === 0 ? undefined : this.#heap[place - 1];
  }

  #set(place: number, one: T): void {
    this.#heap[place - 1] = one;
    one.place = place;
  }
}
