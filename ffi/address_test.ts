// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { addressBytes, addressText, ipv4Bits, macBytes, macText } from "./address.ts";

Deno.test("IPv4 addresses are v4-mapped", () => {
  assert.equal(addressBytes("10.0.0.1").toHex(), "00000000000000000000ffff0a000001");
});

Deno.test("IPv6 text is canonical", () => {
  const cases = [["fd00:0:0::1", "fd00::1"], ["2001:DB8::a", "2001:db8::a"], ["::", "::"]] as const;
  for (const [text, canonical] of cases) assert.equal(addressText(addressBytes(text)), canonical);
});

Deno.test("octets come back through text", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (octets) => {
    assert.deepEqual(addressBytes(addressText(octets)), Uint8Array.from(octets));
  }));
  fc.assert(fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (octets) => {
    assert.deepEqual(macBytes(macText(octets)), Uint8Array.from(octets));
  }));
});

Deno.test("what is no address is refused", () => {
  for (
    const text of ["", "10.1", "10.0.0.256", "0x7f000001", "::1%lo", "h1", "1::2::3", "10.0.0.1/32"]
  ) {
    assert.throws(() => addressBytes(text), RangeError, text);
  }
  for (const text of ["", "02:00", "02:00:00:00:00:0g", "02-00-00-00-00-01"]) {
    assert.throws(() => macBytes(text), RangeError, text);
  }
});

Deno.test("the 32 bits of an IPv4 address are read in its one spelling only", () => {
  fc.assert(fc.property(fc.nat({ max: 0xffff_ffff }), (bits) => {
    const text = [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
    assert.equal(ipv4Bits(text), bits >>> 0);
  }));
  const others = ["", "1.2.3", "1.2.3.", "1.2.3.4.", ".1.2.3", "1..2.3", "01.2.3.4", "1.2.3.256"];
  for (const text of [...others, "1.2.3.4 ", "::1", "1.2.3.4.5", "0x1.2.3.4"]) {
    assert.equal(ipv4Bits(text), undefined, text);
  }
});
