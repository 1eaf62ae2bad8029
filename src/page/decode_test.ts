// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { decode, summary } from "./decode.ts";

function octets(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replaceAll(/\s/g, ""));
}

function fieldsOf(hex: string, n: number): Record<string, string> {
  return Object.fromEntries(decode(octets(hex))[n]?.fields ?? []);
}

const TCP_SYN = `
  45b80034 1c464000 40060000 0a010001 0a020001
  c3500050 00000001 00000000 8002fde8 00000000 0204056401030307 01010402`;
const FRAGMENTED = "4500 05dc 1234 20b9 3f11 0000 0a010001 0a020001 0000000000000000";
const ECHO6 = `
  6ab12345 0010 00 40 fd000001000000000000000000000001 fd000002000000000000000000000002
  3a00010400000000
  8000 0000 0007 0003`;

Deno.test("a TCP segment in IPv4", () => {
  assert.equal(summary(decode(octets(TCP_SYN))), "IPv4, TCP 50000 to 80 SYN");
  const { DSCP, ECN, bits, TTL, protocol, from, to } = fieldsOf(TCP_SYN, 0);
  assert.deepEqual({ DSCP, ECN, bits, TTL, protocol, from, to }, {
    DSCP: "46",
    ECN: "not ECT",
    bits: "DF",
    TTL: "64",
    protocol: "TCP",
    from: "10.1.0.1",
    to: "10.2.0.1",
  });
});

Deno.test("of a fragment that is not the first one nothing more is read", () => {
  assert.equal(summary(decode(octets(FRAGMENTED))), "IPv4 from 1480");
});

Deno.test("an echo in IPv6, behind an extension header", () => {
  assert.equal(summary(decode(octets(ECHO6))), "IPv6, Extension, ICMPv6 echo request");
  const { from, "flow label": label, "hop limit": hops } = fieldsOf(ECHO6, 0);
  assert.deepEqual([from, label, hops], ["fd00:1::1", "0x12345", "64"]);
});

Deno.test("what was cut off is said, and nothing throws for what is in a packet", () => {
  assert.equal(summary(decode(octets(TCP_SYN).subarray(0, 30))), "IPv4, TCP");
  assert.deepEqual(decode(new Uint8Array(0)), []);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 128 }), fc.integer({ min: 0, max: 1 }), (
    data,
    six,
  ) => {
    if (data.length > 0) data[0] = (six ? 0x60 : 0x40) | (data[0] ?? 0) & 15;
    for (const { name, fields } of decode(data)) {
      assert.ok(name !== "" && fields.every(([field, value]) => field !== "" && value !== ""));
    }
  }));
});
