// SPDX-License-Identifier: Apache-2.0

/**
 * Numbers for what comes and goes, so that what is known of a hundred thousand things can stand in typed arrays, a row for
 * each.
 */

/** Rows 0, 1, 2, ...: one that was freed is given out again before a new one. */
export class Rows {
  readonly #free: number[] = [];
  #next = 0;

  take(): number {
    return this.#free.pop() ?? this.#next++;
  }

  /** A row that was taken, once. */
  free(row: number): void {
    this.#free.push(row);
  }
}

/** An array that has this row: the same, or one of twice its length with all that it had; 0 in new rows. */
export function longEnough<A extends Int32Array | Uint32Array | Float64Array>(
  array: A,
  row: number,
): A {
  if (row < array.length) return array;
  const { constructor } = array as { constructor: unknown };
  const longer = new (constructor as new (length: number) => A)(
    Math.max(16, 2 * array.length, row + 1),
  );
  longer.set(array);
  return longer;
}
