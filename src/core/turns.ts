// SPDX-License-Identifier: Apache-2.0

/**
 * Work that comes in heaps, a little at a time: each group has its turn, in a group each member, and between two slices
 * the event loop has. So two thousand misses of one workload are not in front of another's first.
 */

/** Whose an item is, what is done with it, and for how long at a time. */
export interface TurnsOptions<T> {
  readonly of: (item: T) => { readonly group: number; readonly member: string };
  /** Must not throw. */
  readonly act: (item: T) => void;
  readonly sliceMs: number;
  readonly now: () => number;
  /** Calls back when the event loop has had its turn. */
  readonly later: (run: () => void) => void;
}

/** The items of one, of which those before `at` are done. */
interface Queue<T> {
  readonly items: T[];
  at: number;
}

/** Holds what is still to be done; not bounded, for what comes in is. */
export class Turns<T> {
  readonly #o: TurnsOptions<T>;
  /** The order of a map is that of the turns. */
  readonly #groups = new Map<number, Map<string, Queue<T>>>();
  #isDue = false;

  constructor(options: TurnsOptions<T>) {
    this.#o = options;
  }

  /** Does nothing of it yet: see `run`. */
  add(item: T): void {
    const { group, member } = this.#o.of(item);
    const members = this.#groups.get(group) ?? new Map<string, Queue<T>>();
    if (members.size === 0) this.#groups.set(group, members);
    const queue = members.get(member) ?? { items: [], at: 0 };
    if (queue.items.length === 0) members.set(member, queue);
    queue.items.push(item);
  }

  /** Works for a slice, and goes on later with what is left. */
  run(): void {
    const { act, now, sliceMs, later } = this.#o;
    const end = now() + sliceMs;
    for (let item = this.#next(); item !== undefined; item = this.#next()) {
      act(item.value);
      if (now() >= end) break;
    }
    if (this.#groups.size === 0 || this.#isDue) return;
    this.#isDue = true;
    later(() => {
      this.#isDue = false;
      this.run();
    });
  }

  /** Whoever was first goes behind all others. */
  #next(): { readonly value: T } | undefined {
    for (const [group, members] of this.#groups) {
      for (const [member, queue] of members) {
        const value = queue.items[queue.at++] as T;
        members.delete(member);
        this.#groups.delete(group);
        if (queue.at < queue.items.length) members.set(member, queue);
        if (members.size > 0) this.#groups.set(group, members);
        return { value };
      }
    }
    return undefined;
  }
}
