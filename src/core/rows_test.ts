// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { longEnough, Rows } from "./rows.ts";

Deno.test("rows that were freed are given out again before new ones", () => {
  const rows = new Rows();
  assert.deepEqual([rows.take(), rows.take(), rows.take()], [0, 1, 2]);
  rows.free(1);
  assert.deepEqual([rows.take(), rows.take()], [1, 3]);
});

Deno.test("an array grows with its rows and keeps what it had", () => {
  let array = new Float64Array(0);
  for (let row = 0; row < 1000; row++) {
    array = longEnough(array, row);
    assert.equal(array[row], 0);
    array[row] = row + 0.5;
  }
  assert.equal(array[500], 500.5);
  assert.equal(longEnough(array, 999), array);
  assert.ok(longEnough(new Uint32Array(8), 8) instanceof Uint32Array);
});
