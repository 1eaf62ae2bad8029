// SPDX-License-Identifier: Apache-2.0

/** Names in their order, kept so as they come and go: whoever pages through them sorts nothing. */
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
