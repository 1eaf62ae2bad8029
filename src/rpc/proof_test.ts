// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { FirstOver } from "./proof.ts";

Deno.test("nobody looks through proofs before the first of them may be over, or a clock was stepped", () => {
  const first = new FirstOver();
  assert.equal(first.take(5), false);
  for (let i = 0; i < 1000; i++) first.add({ fromMs: i, untilMs: 10_000 + i });
  assert.equal(first.take(5000), false);
  assert.equal(first.take(9999), false);
  assert.equal(first.take(10_000), true);
  // Those that are good still are added again by whoever looked.
  for (let i = 1; i < 1000; i++) first.add({ fromMs: i, untilMs: 10_000 + i });
  assert.equal(first.take(10_000), false);
  assert.equal(first.take(500), true);
});
