// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Histogram } from "./histogram.ts";

Deno.test("a histogram counts cumulatively, a value on an end within it, and what is beyond all", () => {
  const h = new Histogram([0.25, 1]);
  for (const value of [0.125, 0.25, 0.5, 64]) h.observe(value);
  assert.deepEqual(h.view(), {
    buckets: [{ le: 0.25, count: 2 }, { le: 1, count: 3 }, { le: Infinity, count: 4 }],
    sum: 64.875,
  });
});
