// SPDX-License-Identifier: Apache-2.0

/**
 * Numbers for what comes and goes, so that what is known of a hundred thousand things can stand in typed arrays, a row for
 * each; and what is found by such numbers: which of them are due, and which send with an SPI.
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

/** Rows by due time: small numbers, of which each has at most one time. Twenty octets for each. */
export class DueRows {
  /** The rows as a heap, the earliest first. */
  #heap = new Int32Array(0);
  #size = 0;
  /** By row: when it is due ... */
  #at = new Float64Array(0);
  /** ... and where it is in the heap, from 1; 0: not at all. */
  #place = new Int32Array(0);

  /** Rows that are set. */
  get size(): number {
    return this.#size;
  }

  /** Sets or moves; Infinity takes the row out. */
  set(row: number, at: number): void {
    if (at === Infinity) return this.delete(row);
    this.#at = longEnough(this.#at, row);
    this.#place = longEnough(this.#place, row);
    let place = this.#placeOf(row);
    if (place === 0) {
      this.#heap = longEnough(this.#heap, this.#size);
      place = ++this.#size;
      this.#put(place, row);
    } else if (this.#at[row] === at) return;
    this.#at[row] = at;
    this.#settle(place, row);
  }

  delete(row: number): void {
    const place = this.#placeOf(row);
    if (place === 0) return;
    this.#place[row] = 0;
    const last = this.#rowAt(this.#size--);
    if (last !== row) this.#settle(place, last);
  }

  /** When the first of them is due; Infinity: there is none. */
  next(): number {
    return this.#size === 0 ? Infinity : this.#timeOf(this.#rowAt(1));
  }

  /** Takes out the rows that are due at `now`, the earliest first, `most` of them. */
  take(now: number, most = Infinity): number[] {
    const due: number[] = [];
    while (this.#size > 0 && due.length < most && this.next() <= now) {
      const row = this.#rowAt(1);
      this.delete(row);
      due.push(row);
    }
    return due;
  }

  /** Brings a row that may be put at `place` to where its time belongs. */
  #settle(place: number, row: number): void {
    const at = this.#timeOf(row);
    while (place > 1) {
      const up = this.#rowAt(place >> 1);
      if (this.#timeOf(up) <= at) break;
      this.#put(place, up);
      place >>= 1;
    }
    for (let child = 2 * place; child <= this.#size; child = 2 * place) {
      if (
        child < this.#size &&
        this.#timeOf(this.#rowAt(child + 1)) < this.#timeOf(this.#rowAt(child))
      ) child++;
      const down = this.#rowAt(child);
      if (this.#timeOf(down) >= at) break;
      this.#put(place, down);
      place = child;
    }
    this.#put(place, row);
  }

  #put(place: number, row: number): void {
    this.#heap[place - 1] = row;
    this.#place[row] = place;
  }

  #rowAt(place: number): number {
    return this.#heap[place - 1] ?? 0;
  }

  #timeOf(row: number): number {
    return this.#at[row] ?? Infinity;
  }

  #placeOf(row: number): number {
    return this.#place[row] ?? 0;
  }
}

/** Keys by due time. Setting a key again moves it. */
export class DueHeap {
  readonly #rows = new Rows();
  readonly #due = new DueRows();
  readonly #byKey = new Map<string, number>();
  readonly #keys: string[] = [];

  /** Keys that are set. */
  get size(): number {
    return this.#due.size;
  }

  /** Sets or moves; Infinity takes the key out. */
  set(key: string, at: number): void {
    if (at === Infinity) return this.delete(key);
    let row = this.#byKey.get(key);
    if (row === undefined) {
      row = this.#rows.take();
      this.#byKey.set(key, row);
      this.#keys[row] = key;
    }
    this.#due.set(row, at);
  }

  delete(key: string): void {
    const row = this.#byKey.get(key);
    if (row === undefined) return;
    this.#due.delete(row);
    this.#free(row);
  }

  /** When the first of them is due; Infinity: there is none. */
  next(): number {
    return this.#due.next();
  }

  /** Takes out the keys that are due at `now`, the earliest first, `most` of them. */
  take(now: number, most = Infinity): string[] {
    return this.#due.take(now, most).map((row) => this.#free(row));
  }

  #free(row: number): string {
    const key = this.#keys[row] ?? "";
    this.#byKey.delete(key);
    this.#keys[row] = "";
    this.#rows.free(row);
    return key;
  }
}

/** Rows of tunnels by the SPI that they send with: a peer's, so that two of them may have the same. */
export class SpiRows {
  /** Of a hundred thousand a pair or two has a set; one peer may give the same to all of its tunnels. */
  readonly #rows = new Map<number, number | Set<number>>();

  /** Those with an SPI. */
  of(spi: number): readonly number[] {
    const rows = this.#rows.get(spi);
    return rows === undefined ? [] : typeof rows === "number" ? [rows] : [...rows];
  }

  add(spi: number, row: number): void {
    const rows = this.#rows.get(spi);
    if (rows === undefined) this.#rows.set(spi, row);
    else if (typeof rows !== "number") rows.add(row);
    else if (rows !== row) this.#rows.set(spi, new Set([rows, row]));
  }

  /** Nothing happens when it is not there. */
  delete(spi: number, row: number): void {
    const rows = this.#rows.get(spi);
    if (rows === row) this.#rows.delete(spi);
    if (rows === undefined || typeof rows === "number") return;
    rows.delete(row);
    const [first] = rows;
    if (rows.size === 1 && first !== undefined) this.#rows.set(spi, first);
  }
}
