// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Rounds } from "./rounds.ts";

/** Rounds until nobody looks any more. */
function roundsLeft(rounds: Rounds): number {
  for (let n = 0; n < 10; n++) {
    if (!rounds.isDue) return n;
    rounds.ended();
  }
  return Infinity;
}

Deno.test("rounds rest while no packet passes, having begun after the last one, and been made twice", () => {
  let total = 0n;
  const rounds = new Rounds(() => total);
  assert.equal(roundsLeft(rounds), 3);
  assert.equal(roundsLeft(rounds), 0);
  total++;
  assert.ok(rounds.isDue);
  rounds.ended();
  // In the middle of a round.
  assert.ok(rounds.isDue);
  total++;
  assert.equal(roundsLeft(rounds), 3);
});

Deno.test("where nobody knows what has passed the rounds go on", () => {
  assert.equal(roundsLeft(new Rounds(() => undefined)), Infinity);
});
