// SPDX-License-Identifier: Apache-2.0

/** Calls of one kind that may be under way at one time. */
import { Code, ConnectError } from "@connectrpc/connect";

/** So many places. */
export class Places {
  #taken = 0;

  /** `refusal`: what the next one is told. */
  constructor(readonly most: number, readonly refusal: string) {}

  /** A place until it is disposed of. Throws `ConnectError`: there is none. */
  enter(): Disposable {
    if (this.#taken >= this.most) throw new ConnectError(this.refusal, Code.ResourceExhausted);
    this.#taken++;
    return { [Symbol.dispose]: () => void this.#taken-- };
  }
}
