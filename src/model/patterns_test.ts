// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { isPattern, matchesName } from "./patterns.ts";

Deno.test("a pattern names what its letters and wildcards say", () => {
  const rows: [string, string, boolean][] = [
    ["pf0vf0", "pf0vf0", true],
    ["pf0vf0", "pf0vf01", false],
    ["pf0vf*", "pf0vf", true],
    ["pf0vf*", "pf0vf12", true],
    ["pf0vf*", "pf1vf12", false],
    ["*vf?", "pf0vf1", true],
    ["*vf?", "pf0vf12", false],
    ["*", "lo", true],
    ["t*p*", "tap0", true],
    ["t*p*", "ta", false],
    ["a*a", "a", false],
    ["a**a", "aa", true],
    ["tap.", "tap0", false],
    ["?", "", false],
    ["*?*?", "x", false],
    ["*?*?", "xy", true],
  ];
  for (const [pattern, name, expected] of rows) {
    assert.equal(matchesName(pattern, name), expected, `${pattern} ${name}`);
  }
  assert.deepEqual(["tap0", "tap*", "tap?"].map(isPattern), [false, true, true]);
});
