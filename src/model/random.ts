// SPDX-License-Identifier: Apache-2.0

/** Randomness as a parameter: jitter and request ids. Keys never come from here. */

/** Source of jitter and request ids. */
export interface Random {
  /** In [0, 1). */
  uniform(): number;
  /** `n` random octets as lower-case hex. */
  hex(n: number): string;
}

/** The kernel's randomness. */
export function systemRandom(): Random {
  return {
    uniform: () => Math.random(),
    hex: (n) => crypto.getRandomValues(new Uint8Array(n)).toHex(),
  };
}

/** `n` octets as lower-case hex, drawn from a generator of numbers in [0, 1). For reproducible tests. */
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
