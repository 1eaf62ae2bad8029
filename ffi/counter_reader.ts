// SPDX-License-Identifier: Apache-2.0

/** The plane's counters by name. */
import type { Handle } from "./handle.ts";
import { readText } from "./library.ts";
import type { Symbols } from "./symbols.ts";

/** Belongs to one plane, which asks for the names once. */
export class CounterReader {
  readonly #symbols: Symbols;
  readonly #handle: Handle;
  #names: readonly string[] | undefined;

  constructor(symbols: Symbols, handle: Handle) {
    this.#symbols = symbols;
    this.#handle = handle;
  }

  /** All of them. Throws `DataPlaneError`. */
  read(): Readonly<Record<string, bigint>> {
    const names = this.#names ??= this.#readNames();
    const values = new BigUint64Array(Math.max(names.length, 1));
    const n = new Uint32Array(1);
    const what = "Cannot read the counters";
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_counters(dp, values, names.length, n));
    return Object.fromEntries(names.map((name, i) => [name, values[i] ?? 0n]));
  }

  #readNames(): readonly string[] {
    const what = "Cannot read the counters' names";
    const { psp_dp_counter_names: read } = this.#symbols;
    const text = readText(what, (...args) => read(this.#handle.need(what), ...args));
    return text.split("\n").filter((name) => name !== "");
  }
}
