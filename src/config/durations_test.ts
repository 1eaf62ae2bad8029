// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { formatDuration, parseDuration, quote } from "./durations.ts";

Deno.test("a duration is read in every unit, alone and together", () => {
  const table: [unknown, number][] = [
    ["10m", 600_000],
    ["1h30m", 5_400_000],
    ["24h", 86_400_000],
    ["1d2h3m4s5ms", 93_784_005],
    ["500ms", 500],
    ["0s", 0],
    [2, 2000],
    [0.25, 250],
    [0, 0],
  ];
  for (const [input, ms] of table) assert.equal(parseDuration(input), ms, String(input));
});

Deno.test("what is not a duration is refused with an example", () => {
  for (
    const input of ["", "10", "m", "10 m", "1m1h", "-1s", -1, NaN, Infinity, null, true, "1e3s"]
  ) {
    assert.throws(() => parseDuration(input), /is not a duration: write "10m"/, String(input));
  }
});

Deno.test("a formatted duration reads back as the same number", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (ms) => parseDuration(formatDuration(ms)) === ms));
  assert.equal(formatDuration(5_400_000), "1h30m");
  assert.equal(formatDuration(0), "0s");
});

Deno.test("a quoted value is short", () => {
  assert.equal(quote("x".repeat(100)), `"${"x".repeat(55)}..."`);
  assert.equal(quote({}), "an object");
});
