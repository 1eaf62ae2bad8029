// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { TokenBucket } from "./token_bucket.ts";

Deno.test("a burst, then the rate", () => {
  const bucket = new TokenBucket(50, 200);
  let taken = 0;
  while (bucket.take(1000)) taken++;
  assert.equal(taken, 200);
  for (let ms = 1; ms <= 10_000; ms++) if (bucket.take(1000 + ms)) taken++;
  assert.ok(Math.abs(taken - 700) <= 1, `${taken}`);
});

Deno.test("rest fills it to the burst and no further", () => {
  const bucket = new TokenBucket(50, 5);
  while (bucket.take(0));
  let taken = 0;
  while (bucket.take(1e9)) taken++;
  assert.equal(taken, 5);
});
