// SPDX-License-Identifier: Apache-2.0

/** Copied data that can be recognised wherever a piece of it appears. */
import { createCipheriv } from "node:crypto";
import type { Buffer } from "node:buffer";

/** Octets of a window that is looked for. */
const WINDOW = 16;

/**
 * The first `length` octets that belong to a seed, in chunks of at most 1 MiB: an AES-CTR key
 * stream, so it has no repetitions, and both ends can make it without a file.
 */
export function* payload(seed: string, length: number): Generator<Buffer> {
  const key = new TextEncoder().encode(seed.padEnd(16, ".").slice(0, 16));
  const cipher = createCipheriv("aes-128-ctr", key, new Uint8Array(16));
  const zeros = new Uint8Array(1 << 20);
  try {
    for (let rest = length; rest > 0; rest -= zeros.length) {
      yield cipher.update(rest < zeros.length ? zeros.subarray(0, rest) : zeros);
    }
  } finally {
    cipher.final();
  }
}

/**
 * Looks for windows of 16 octets of a payload, one in every `stride` octets of it. So a run of
 * `stride + 15` octets of the payload in clear, at any offset, cannot be missed.
 */
export class PayloadSearch {
  readonly stride: number;
  readonly #bits = new Uint8Array(1 << 21);
  readonly #windows = new Map<number, Uint8Array[]>();
  #count = 0;

  constructor(chunks: Iterable<Uint8Array>, stride = 512) {
    this.stride = stride;
    for (const chunk of chunks) {
      for (let at = 0; at + WINDOW <= chunk.length; at += stride) {
        this.#add(chunk.slice(at, at + WINDOW));
      }
    }
  }

  /** How many windows are looked for. */
  get windows(): number {
    return this.#count;
  }

  /** How many windows appear in `data`. */
  countIn(data: Uint8Array): number {
    const bits = this.#bits;
    let found = 0;
    let word = 0;
    for (let i = 0; i < data.length; i++) {
      word = (word >>> 8) | ((data[i] ?? 0) << 24);
      const slot = Math.imul(word, 0x9e3779b1) >>> 8;
      if (((bits[slot >>> 3] ?? 0) & (1 << (slot & 7))) === 0 || i < 3) continue;
      if (this.#isAt(data, i - 3, word)) found++;
    }
    return found;
  }

  #add(window: Uint8Array): void {
    const word = new DataView(window.buffer, window.byteOffset).getInt32(0, true);
    const slot = Math.imul(word, 0x9e3779b1) >>> 8;
    this.#bits[slot >>> 3] = (this.#bits[slot >>> 3] ?? 0) | (1 << (slot & 7));
    const same = this.#windows.get(word);
    if (same === undefined) this.#windows.set(word, [window]);
    else same.push(window);
    this.#count++;
  }

  #isAt(data: Uint8Array, start: number, word: number): boolean {
    const candidates = this.#windows.get(word);
    if (candidates === undefined) return false;
    return candidates.some((window) => window.every((octet, i) => data[start + i] === octet));
  }
}
