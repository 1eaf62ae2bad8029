// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { inSight, pagesOf } from "./virtual.ts";

Deno.test("rows in sight, and some beside them", () => {
  const list = { height: 280, row: 28, total: 100_000 };
  assert.deepEqual(inSight({ ...list, top: 0 }), { first: 0, end: 20 });
  assert.deepEqual(inSight({ ...list, top: 28 * 5000 }), { first: 4990, end: 5020 });
  assert.deepEqual(inSight({ ...list, top: 28 * 99_990 }), { first: 99_980, end: 100_000 });
  assert.deepEqual(inSight({ ...list, top: 1e9 }), { first: 100_000, end: 100_000 });
  assert.deepEqual(inSight({ ...list, total: 0, top: 0 }), { first: 0, end: 0 });
});

Deno.test("the pages that have them", () => {
  assert.deepEqual(pagesOf({ first: 0, end: 20 }, 100), [0]);
  assert.deepEqual(pagesOf({ first: 90, end: 110 }, 100), [0, 1]);
  assert.deepEqual(pagesOf({ first: 100, end: 200 }, 100), [1]);
  assert.deepEqual(pagesOf({ first: 7, end: 7 }, 100), []);
});
