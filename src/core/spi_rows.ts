// SPDX-License-Identifier: Apache-2.0

/** Rows of tunnels by the SPI that they send with: a peer's, so that two of them may have the same. */
export class SpiRows {
  /** Of a hundred thousand a pair or two has a list. */
  readonly #rows = new Map<number, number | readonly number[]>();

  /** Those with an SPI. */
  of(spi: number): readonly number[] {
    const rows = this.#rows.get(spi);
    return rows === undefined ? [] : typeof rows === "number" ? [rows] : rows;
  }

  add(spi: number, row: number): void {
    this.#set(spi, [...this.of(spi), row]);
  }

  /** Nothing happens when it is not there. */
  delete(spi: number, row: number): void {
    this.#set(spi, this.of(spi).filter((other) => other !== row));
  }

  #set(spi: number, rows: readonly number[]): void {
    const [first] = rows;
    if (first === undefined) this.#rows.delete(spi);
    else this.#rows.set(spi, rows.length === 1 ? first : rows);
  }
}
