// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { LoopLag } from "./loop_lag.ts";

/** Looks fire when they are told to. */
function loop() {
  let now = 0;
  let due: (() => void) | undefined;
  const lag = new LoopLag({
    now: () => now,
    later: (look, ms) => {
      assert.equal(ms, 20);
      due = look;
      return () => due = undefined;
    },
  });
  const fire = (lateMs: number) => {
    now += 20 + lateMs;
    due?.();
  };
  return { lag, fire, waits: () => due !== undefined };
}

Deno.test("looks in time say that nothing stalls", () => {
  const { lag, fire } = loop();
  for (let i = 0; i < 100; i++) fire(0.5);
  const { p99Ms, maxMs, buckets } = lag.view();
  assert.deepEqual([p99Ms, maxMs], [0.5, 0.5]);
  assert.deepEqual([buckets[0], buckets.at(-1)], [
    { leMs: 1, looks: 100 },
    { leMs: Infinity, looks: 100 },
  ]);
});

Deno.test("a stall counts for the looks that it has swallowed, each for what was left of it", () => {
  const { lag, fire } = loop();
  fire(100);
  const { maxMs, buckets } = lag.view();
  assert.equal(maxMs, 100);
  // 100, 80, 60, 40, 20 and 0 ms.
  const at = (leMs: number) => buckets.find((bucket) => bucket.leMs === leMs)?.looks;
  assert.deepEqual([1, 20, 30, 50, 75, 100].map(at), [1, 2, 2, 3, 4, 6]);
});

Deno.test("the percentile is that of all looks", () => {
  const { lag, fire } = loop();
  for (let i = 0; i < 197; i++) fire(0);
  fire(7);
  fire(7);
  fire(7);
  assert.equal(lag.view().p99Ms, 7);
  assert.equal(lag.view().maxMs, 7);
});

Deno.test("nothing is looked at once it is disposed of", () => {
  const { lag, waits } = loop();
  lag[Symbol.dispose]();
  assert.equal(waits(), false);
});
