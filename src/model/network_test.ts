// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { addressOf, cookieOf, inNetwork, isNetworkName, networkOf, policyOf } from "./network.ts";
import { canonicalVip, isLinkScope, parsePrefix, PrefixTable } from "./vip.ts";

Deno.test("a vip is an address and a network, and the default network has no name", () => {
  for (const address of ["10.1.0.7", "fd00::1", "10.1.0.0/24"]) {
    for (const network of ["", "blue"]) {
      const vip = inNetwork(address, network);
      assert.deepEqual([addressOf(vip), networkOf(vip)], [address, network]);
    }
  }
  assert.equal(inNetwork("10.1.0.7", "blue"), "10.1.0.7@blue");
});

Deno.test("names are short and plain", () => {
  for (const name of ["blue", "a", "tenant-7", "x.y_z"]) assert.ok(isNetworkName(name), name);
  for (const name of ["", "-a", "a-", "a@b", "a/b", "a b", "ä", "x".repeat(33)]) {
    assert.ok(!isNetworkName(name), name);
  }
});

Deno.test("only a named network has a cookie that its packets must have", () => {
  const networks = [{ name: "blue", vc: 7n }];
  assert.equal(cookieOf("10.1.0.7@blue", networks), 7n);
  assert.equal(cookieOf("10.1.0.7", networks), undefined);
  assert.equal(cookieOf("10.1.0.7@red", networks), undefined);
});

Deno.test("equal addresses of two networks have nothing to do with one another", () => {
  assert.equal(canonicalVip("FD00:0::1@blue"), "fd00::1@blue");
  assert.equal(canonicalVip("10.1.0.7@blue"), "10.1.0.7@blue");
  assert.equal(canonicalVip("10.1.0.7@"), undefined);
  assert.equal(canonicalVip("10.1.0.7@a@b"), undefined);
  const table = new PrefixTable<string>();
  const add = (cidr: string) => {
    const prefix = parsePrefix(cidr);
    assert.ok(prefix !== undefined);
    return table.add(prefix, cidr);
  };
  assert.ok(add("10.1.0.0/16"));
  assert.ok(add("10.1.0.0/24@blue"));
  assert.ok(add("10.1.0.0/24@red"));
  assert.ok(!add("10.1.0.0/24@red"));
  assert.equal(table.lookup("10.1.0.7"), "10.1.0.0/16");
  assert.equal(table.lookup("10.1.0.7@blue"), "10.1.0.0/24@blue");
  assert.equal(table.lookup("10.1.1.7@blue"), undefined);
  assert.equal(table.lookup("10.1.0.7@green"), undefined);
  const blue = parsePrefix("10.1.0.0/24@blue");
  assert.ok(blue && table.covering(blue) === "10.1.0.0/24@blue" && table.delete(blue));
  assert.equal(table.lookup("10.1.0.7@blue"), undefined);
  assert.equal(table.lookup("10.1.0.7@red"), "10.1.0.0/24@red");
});

Deno.test("link scope is a matter of the address, whatever its network", () => {
  for (const address of ["169.254.1.1", "224.0.0.1", "0.0.0.0", "::", "ff02::1", "fe80::1"]) {
    assert.ok(isLinkScope(address) && isLinkScope(`${address}@blue`), address);
  }
  assert.ok(!isLinkScope("10.0.0.1@blue"));
});

Deno.test("a policy denies prefixes of its own network, and of no other", () => {
  const denies = policyOf([
    { name: "blue", policy: { deny: ["10.2.8.0/24", "fd02::/64@blue"] } },
    { name: "red", policy: { deny: [] } },
  ]);
  for (const vip of ["10.2.8.1@blue", "fd02::1@blue"]) assert.ok(denies(vip), vip);
  for (const vip of ["10.2.8.1", "10.2.8.1@red", "10.2.9.1@blue", "10.2.8.1@green"]) {
    assert.ok(!denies(vip), vip);
  }
  assert.ok(!policyOf(undefined)("10.2.8.1@blue"));
});
