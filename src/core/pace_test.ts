// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Pace } from "./pace.ts";

/** When `n` requests of so many tunnels go from `start` on, as fast as they may. */
function times(pace: Pace, { start, n, tunnels }: { start: number; n: number; tunnels: number }) {
  let now = start;
  return Array.from({ length: n }, () => {
    for (let wait = pace.take(now, tunnels); wait > 0; wait = pace.take(now, tunnels)) now += wait;
    return now;
  });
}

Deno.test("few tunnels go at once, many a second; many go as they come up to the burst", () => {
  const small = times(new Pace(), { start: 0, n: 2400, tunnels: 1 });
  assert.equal(small[1599], 0, "sixteen of them are a full request");
  assert.equal(small[2399], 1000);
  const full = times(new Pace(), { start: 0, n: 150, tunnels: 5000 });
  assert.deepEqual([full[99], full[149]], [0, 1000]);
});

Deno.test("after a refusal every request keeps the distance, until ten seconds went well", () => {
  const pace = new Pace();
  assert.equal(pace.take(0, 1), 0);
  assert.equal(pace.refused(1), 25);
  assert.deepEqual(times(pace, { start: 1, n: 3, tunnels: 1 }), [26, 51, 76]);
  assert.deepEqual(times(pace, { start: 10_001, n: 3, tunnels: 1 }), [10_001, 10_001, 10_001]);
});

Deno.test("each refusal soon after another doubles the distance; rest halves it", () => {
  const pace = new Pace();
  const seen = Array.from({ length: 8 }, (_, i) => pace.refused(i * 100));
  assert.deepEqual(seen, [25, 50, 100, 200, 400, 800, 1000, 1000]);
  assert.equal(pace.refused(20_000), 500);
  for (let i = 2; i < 9; i++) pace.refused(20_000 * i);
  assert.equal(pace.refused(200_000), 25, "and no shorter than the first");
});
