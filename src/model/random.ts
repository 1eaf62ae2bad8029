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
