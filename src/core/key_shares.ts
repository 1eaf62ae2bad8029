// SPDX-License-Identifier: Apache-2.0

/** Keys that more than one place has to keep: wiped when the last of them lets go. */
import type { Key } from "../../ffi/key.ts";

/** Counts who holds a key. */
export class KeyShares {
  readonly #holders = new Map<Key, number>();

  /** Keys that somebody holds. */
  get size(): number {
    return this.#holders.size;
  }

  hold(key: Key): void {
    this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
  }

  /** Wipes when this was the last holder. */
  release(key: Key): void {
    const left = (this.#holders.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#holders.set(key, left);
      return;
    }
    this.#holders.delete(key);
    key.wipe();
  }

  /** Wipes all that is left. */
  wipe(): void {
    for (const key of this.#holders.keys()) key.wipe();
    this.#holders.clear();
  }
}
