// SPDX-License-Identifier: Apache-2.0

/** The handle of an open data plane: who calls with it, and what the library says of a refusal. */
import { DataPlaneError } from "./plane.ts";
import { unwrap } from "./status.ts";
import type { Symbols } from "./symbols.ts";

/** Good until it is taken away to be closed. */
export class Handle {
  readonly #symbols: Symbols;
  #value: bigint | undefined;

  constructor(symbols: Symbols, value: bigint) {
    this.#symbols = symbols;
    this.#value = value;
  }

  /** undefined once it was taken away. */
  get value(): bigint | undefined {
    return this.#value;
  }

  /** Throws `DataPlaneError` "ECLOSED" once it was taken away; `what` begins with "Cannot". */
  need(what: string): bigint {
    if (this.#value === undefined) {
      throw new DataPlaneError(`${what}: the data plane is closed`, "ECLOSED");
    }
    return this.#value;
  }

  /** Throws `DataPlaneError` unless the call returns 0. */
  do(what: string, call: (handle: bigint) => number): void {
    this.unwrap(call(this.need(what)), what);
  }

  /** Throws `DataPlaneError`, with the library's own sentence, unless `status` is 0. */
  unwrap(status: number, what: string): void {
    if (status !== 0) unwrap(status, what, () => this.errorText());
  }

  /** For the one who closes it: from here on no call gets it. */
  take(): bigint | undefined {
    const value = this.#value;
    this.#value = undefined;
    return value;
  }

  /** The library's sentence for the last refusal; "" when it has none. */
  errorText(): string {
    if (this.#value === undefined) return "";
    const buf = new Uint8Array(512);
    const len = new Uint32Array(1);
    const status = this.#symbols.psp_dp_error_text(this.#value, buf, buf.length, len);
    return status === 0 ? new TextDecoder().decode(buf.subarray(0, len[0])) : "";
  }
}
