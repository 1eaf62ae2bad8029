// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { LoopLag } from "./loop_lag.ts";

/** Looks fire when they are told to. */
function loop() {
  let now = 0;
  let due: { readonly look: () => void; readonly at: number } | undefined;
  const lag = new LoopLag({
    now: () => now,
    later: (look, ms) => {
      due = { look, at: now + ms };
      return () => due = undefined;
    },
  });
  /** The next look comes so late; returns how long it was waited for. */
  const fire = (lateMs: number) => {
    const { look, at } = due ?? { look: () => {}, at: now };
    const waited = at - now;
    now = at + lateMs;
    look();
    return waited;
  };
  return { lag, fire, waits: () => due !== undefined, pass: (ms: number) => void (now += ms) };
}

/** Looks that were at most so late. */
function looks({ lag }: { readonly lag: LoopLag }, leMs: number): number | undefined {
  return lag.view().buckets.find((bucket) => bucket.leMs === leMs)?.looks;
}

Deno.test("looks in time say that nothing stalls", () => {
  const { lag, fire } = loop();
  let lastedMs = 0;
  for (let i = 0; i < 100; i++) lastedMs += fire(0.5);
  const { p99Ms, maxMs, buckets } = lag.view();
  assert.deepEqual([p99Ms, maxMs], [0.5, 0.5]);
  const all = Math.round(lastedMs / 20);
  assert.deepEqual([buckets[0], buckets.at(-1)], [
    { leMs: 1, looks: all },
    { leMs: Infinity, looks: all },
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
  for (let n = 0; n < 291; n = looks({ lag }, Infinity) ?? 0) fire(0);
  for (let i = 0; i < 4; i++) fire(7);
  assert.equal(lag.view().p99Ms, 7);
  assert.equal(lag.view().maxMs, 7);
});

Deno.test("at rest looks are seldom, and each stands for those that were spared", () => {
  const { lag, fire } = loop();
  assert.deepEqual([1, 2, 3, 4, 5].map(() => fire(0)), [20, 40, 80, 160, 160]);
  assert.equal(looks({ lag }, Infinity), 23);
  assert.equal(fire(50), 160);
  assert.equal(looks({ lag }, 5), 23 + 7, "those that were spared, as late as a timer is");
  assert.equal(fire(0), 20, "after a late one they come often again");
});

Deno.test("whoever has something to do is looked at from then on", () => {
  const { lag, fire, pass } = loop();
  for (let i = 0; i < 5; i++) fire(0);
  const before = looks({ lag }, Infinity) ?? 0;
  pass(100);
  lag.stir();
  lag.stir();
  assert.equal(looks({ lag }, Infinity), before + 5);
  assert.equal(fire(60), 20);
  assert.equal(lag.view().maxMs, 60);
});

Deno.test("nothing is looked at once it is disposed of", () => {
  const { lag, waits } = loop();
  lag[Symbol.dispose]();
  assert.equal(waits(), false);
});
