// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { ProgressWatch } from "./progress.ts";

/** Looks four times a second; what was said, as "after left". */
function said(forMs: number, left: (atMs: number) => number): string[] {
  const watch = new ProgressWatch();
  const lines: string[] = [];
  for (let at = 0; at <= forMs; at += 250) {
    const found = watch.look(5_000 + at, left(at));
    if (found !== undefined) lines.push(`${found.afterMs} ${found.left}`);
  }
  return lines;
}

Deno.test("work of less than a second is nobody's concern", () => {
  assert.deepEqual(said(10_000, (at) => at < 1000 ? 9 : 0), []);
  assert.deepEqual(said(10_000, () => 0), []);
});

Deno.test("longer work is told of ever more seldom, and at its end", () => {
  assert.deepEqual(said(10_000, (at) => at < 9000 ? 9000 - at : 0), [
    "1000 8000",
    "2000 7000",
    "4000 5000",
    "8000 1000",
    "9000 0",
  ]);
  const stuck = said(3_600_000, () => 3);
  assert.ok(stuck.length >= 14 && stuck.length <= 18, `${stuck.length} lines in an hour`);
});

Deno.test("the next work begins its own time", () => {
  const lines = said(20_000, (at) => at < 1500 || at >= 10_000 && at < 12_000 ? 1 : 0);
  assert.deepEqual(lines, ["1000 1", "1500 0", "1000 1", "2000 0"]);
});
