// SPDX-License-Identifier: Apache-2.0

/** What is paged through, in its order, without a sort for each page. */

/** Names in their order, kept so as they come and go. */
export class SortedNames {
  readonly #names: string[] = [];

  get size(): number {
    return this.#names.length;
  }

  add(name: string): void {
    const i = this.#from(name);
    if (this.#names[i] !== name) this.#names.splice(i, 0, name);
  }

  delete(name: string): void {
    const i = this.#from(name);
    if (this.#names[i] === name) this.#names.splice(i, 1);
  }

  /** Those that are not before `name`, in order. */
  *from(name: string): Generator<string> {
    for (let i = this.#from(name); i < this.#names.length; i++) {
      const next = this.#names[i];
      if (next !== undefined) yield next;
    }
  }

  #from(name: string): number {
    return firstWhere(this.#names, (other) => other >= name);
  }
}

/** What came and went since the last look is kept apart up to this share of all, and this many. */
const APART_SHARE = 1 / 4;
const APART_LEAST = 64;

/**
 * Items in the order of their keys, which differ. Coming and going costs no more than in a set, however many there are:
 * what did since the last look is put in its place at the next one. While nobody looks nothing is kept.
 */
export class SortedLate<T extends { readonly key: string }> {
  #sorted: readonly T[] | undefined;
  readonly #came = new Set<T>();
  readonly #gone = new Set<T>();

  /** `all`: every item there is. */
  constructor(readonly all: { readonly size: number } & Iterable<T>) {}

  /** It is among all of them now, and was not before. */
  came(item: T): void {
    if (this.#sorted === undefined) return;
    if (!this.#gone.delete(item)) this.#came.add(item);
    this.#bound();
  }

  /** It was among them, and is no more. */
  went(item: T): void {
    if (this.#sorted === undefined) return;
    if (!this.#came.delete(item)) this.#gone.add(item);
    this.#bound();
  }

  /** A list that stays as it is. */
  get(): readonly T[] {
    if (this.#sorted === undefined) this.#sorted = byKey(this.all);
    else if (this.#came.size + this.#gone.size > 0) {
      this.#sorted = merged(this.#sorted, { came: byKey(this.#came), gone: this.#gone });
    }
    this.#came.clear();
    this.#gone.clear();
    return this.#sorted;
  }

  /** Too much to be worth a merge: the next look sorts all. */
  #bound(): void {
    if (this.#came.size + this.#gone.size <= APART_LEAST + APART_SHARE * this.all.size) return;
    this.#sorted = undefined;
    this.#came.clear();
    this.#gone.clear();
  }
}

function byKey<T extends { readonly key: string }>(items: Iterable<T>): T[] {
  return [...items].sort((a, b) => a.key < b.key ? -1 : 1);
}

function merged<T extends { readonly key: string }>(
  sorted: readonly T[],
  { came, gone }: { readonly came: readonly T[]; readonly gone: ReadonlySet<T> },
): readonly T[] {
  const all: T[] = [];
  let next = 0;
  for (const item of sorted) {
    for (let one = came[next]; one !== undefined && one.key < item.key; one = came[++next]) {
      all.push(one);
    }
    if (!gone.has(item)) all.push(item);
  }
  return all.concat(came.slice(next));
}

/** The index of the first of a sorted list from which on `is` holds; its length where it holds for none. */
export function firstWhere<T>(sorted: readonly T[], is: (one: T) => boolean): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const one = sorted[middle];
    if (one !== undefined && is(one)) high = middle;
    else low = middle + 1;
  }
  return low;
}
