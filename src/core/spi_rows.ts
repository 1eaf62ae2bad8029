// SPDX-License-Identifier: Apache-2.0

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
