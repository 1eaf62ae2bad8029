// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { addressIn, canonicalVip, parsePrefix, PrefixTable } from "./vip.ts";

Deno.test("an address has one spelling", () => {
  const cases: [string, string | undefined][] = [
    ["10.0.0.1", "10.0.0.1"],
    ["FD00:0:0::0001", "fd00::1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::FFFF:a00:1", "10.0.0.1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::", "::"],
    ["010.0.0.1", undefined],
    ["10.1", undefined],
    ["0x7f.0.0.1", undefined],
    ["fe80::1%eth0", undefined],
    ["10.0.0.1/32", undefined],
    ["10.0.0.256", undefined],
    ["", undefined],
    ["h1", undefined],
  ];
  for (const [text, wanted] of cases) assert.equal(canonicalVip(text), wanted, text);
});

Deno.test("a prefix is read with its host bits cleared", () => {
  assert.deepEqual(parsePrefix("10.1.2.3/16"), {
    network: "",
    family: 4,
    bits: 0x0a010000n,
    length: 16,
  });
  assert.deepEqual(parsePrefix("10.1.2.3"), {
    network: "",
    family: 4,
    bits: 0x0a010203n,
    length: 32,
  });
  assert.deepEqual(parsePrefix("::ffff:10.1.2.3/112"), {
    network: "",
    family: 4,
    bits: 0x0a010000n,
    length: 16,
  });
  assert.deepEqual(parsePrefix("fd00::1/64"), {
    network: "",
    family: 6,
    bits: 0xfd00n << 112n,
    length: 64,
  });
  assert.deepEqual(parsePrefix("0.0.0.0/0"), { network: "", family: 4, bits: 0n, length: 0 });
  for (
    const bad of ["10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/08", "::ffff:1.2.3.4/95"]
  ) {
    assert.equal(parsePrefix(bad), undefined, bad);
  }
});

Deno.test("the longest prefix wins, whatever the order", () => {
  const prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0", "fd00::/8"];
  fc.assert(fc.property(fc.shuffledSubarray(prefixes, { minLength: 6 }), (order) => {
    const table = new PrefixTable<string>();
    for (const text of order) {
      const prefix = parsePrefix(text);
      assert.ok(prefix && table.add(prefix, text));
    }
    assert.equal(table.lookup("10.1.2.3"), "10.1.2.3/32");
    assert.equal(table.lookup("::ffff:10.1.2.4"), "10.1.0.0/16");
    assert.equal(table.lookup("10.200.0.1"), "10.0.0.0/8");
    assert.equal(table.lookup("192.0.2.1"), "0.0.0.0/0");
    assert.equal(table.lookup("fd12::1"), "fd00::/8");
    assert.equal(table.lookup("2001::1"), "::/0");
    assert.equal(table.lookup("nonsense"), undefined);
  }));
});

Deno.test("the same prefix twice keeps the first value", () => {
  const table = new PrefixTable<number>();
  const prefix = parsePrefix("10.0.0.0/8");
  assert.ok(prefix);
  assert.equal(table.add(prefix, 1), true);
  assert.equal(table.add(prefix, 2), false);
  assert.equal(table.lookup("10.0.0.1"), 1);
});

Deno.test("any text is an address with a canonical form of its own, or none", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), (text) => {
    const canonical = canonicalVip(text);
    if (canonical !== undefined) assert.equal(canonicalVip(canonical), canonical);
  }));
});

Deno.test("only a prefix of full length is one address, whatever its family", () => {
  const table: readonly (readonly [string, string | undefined])[] = [
    ["10.1.0.1/32", "10.1.0.1"],
    ["10.1.0.1", "10.1.0.1"],
    ["10.1.0.0/24", undefined],
    ["fd00::1/128@blue", "fd00::1@blue"],
    ["fd00::/32", undefined],
    ["nothing", undefined],
  ];
  for (const [prefix, address] of table) assert.equal(addressIn(prefix), address, prefix);
});
