// SPDX-License-Identifier: Apache-2.0

/** Key bytes that cannot leak by accident: every way of printing one says `[key]`. */
export class Key implements Disposable {
  #bytes: Uint8Array<ArrayBuffer>;

  /** Takes the bytes over; the caller keeps no reference. 16 or 32 octets. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    if (bytes.length !== 16 && bytes.length !== 32) {
      throw new RangeError(`Cannot make a key of ${bytes.length} octets: 16 or 32 are needed`);
    }
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** The bytes themselves, for the two places that need them: the wire and the plane. Do not copy. */
  reveal(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Zero-fills. A key that was wiped reveals zeros, and the plane refuses those. */
  wipe(): void {
    this.#bytes.fill(0);
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  toString(): string {
    return "[key]";
  }

  toJSON(): string {
    return "[key]";
  }

  [Symbol.for("Deno.customInspect")](): string {
    return "[key]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[key]";
  }
}
