// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { policyOf } from "./policy.ts";

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
