// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { Slices } from "./slices.ts";

Deno.test("others have their turn when a slice is over, and not before", async () => {
  let [now, turns] = [0, 0];
  const slices = new Slices({
    sliceMs: 5,
    now: () => now,
    pause: () => {
      turns++;
      now += 100;
      return Promise.resolve();
    },
  });
  const seen: number[] = [];
  for (let step = 0; step < 12; step++) {
    now += 1;
    await slices.next();
    seen.push(turns);
  }
  assert.deepEqual(seen, [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2]);
});
