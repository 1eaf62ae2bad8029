// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { LogTail } from "./log_tail.ts";

Deno.test("the last lines are kept, oldest first, without their newlines", () => {
  const tail = new LogTail({ lines: 3, characters: 1000 });
  for (let i = 1; i <= 100; i++) {
    tail.add(`line ${i}\n`);
    const from = Math.max(1, i - 2);
    const last = Array.from({ length: i - from + 1 }, (_, n) => `line ${from + n}`);
    assert.deepEqual(tail.lines(), last);
  }
});

Deno.test("long lines leave room for fewer, and one is cut to what there is room for", () => {
  const tail = new LogTail({ lines: 100, characters: 10 });
  for (const line of ["a", "bbbb", "cccc", "dd"]) tail.add(line);
  assert.deepEqual(tail.lines(), ["bbbb", "cccc", "dd"]);
  tail.add("e".repeat(50));
  assert.deepEqual(tail.lines(), ["e".repeat(10)]);
});
