// SPDX-License-Identifier: Apache-2.0

/** Randomness that comes out the same each time. */
import type { Random } from "../../src/model/random.ts";

/** The same numbers for the same seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  // mulberry32: small, and good enough for jitter.
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    uniform,
    hex: (n) => Uint8Array.from({ length: n }, () => Math.floor(uniform() * 256)).toHex(),
  };
}
