// SPDX-License-Identifier: Apache-2.0

/** Reads DER (X.690, 10): what certificates are written in. Every function throws `RangeError` on bad input. */

/** One value: its tag octet, its content, and both with the length between them. */
export interface Element {
  readonly tag: number;
  readonly body: Uint8Array;
  readonly whole: Uint8Array;
}

/** Tag octets of the universal class, X.680, 8.4. */
export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const;

/** The values that stand in `der`, one after the other. */
export function elements(der: Uint8Array): Element[] {
  const found: Element[] = [];
  let at = 0;
  while (at < der.length) {
    const start = at;
    const tag = octet(der, at);
    let length = octet(der, at + 1);
    at += 2;
    if (length > 0x80) {
      const octets = length - 0x80;
      if (octets > 4) throw new RangeError("Cannot read certificate: a length is too long");
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + octet(der, at + i);
      at += octets;
    } else if (length === 0x80) {
      throw new RangeError("Cannot read certificate: a length is indefinite");
    }
    if (at + length > der.length) {
      throw new RangeError("Cannot read certificate: it is cut short");
    }
    found.push({
      tag,
      body: der.subarray(at, at + length),
      whole: der.subarray(start, at + length),
    });
    at += length;
  }
  return found;
}

/** The content of an element, which must be there and have that tag. */
export function expect(element: Element | undefined, tag: number): Uint8Array {
  if (element?.tag !== tag) {
    throw new RangeError(`Cannot read certificate: tag ${tag} was expected, found ${element?.tag}`);
  }
  return element.body;
}

function octet(der: Uint8Array, at: number): number {
  const value = der[at];
  if (value === undefined) throw new RangeError("Cannot read certificate: it is cut short");
  return value;
}
