// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Turns } from "./misses.ts";

interface Item {
  readonly group: number;
  readonly member: string;
  readonly n: number;
}

/** Each item takes a millisecond, a slice has four. */
function begin() {
  const at = { now: 0, done: [] as string[], later: [] as (() => void)[] };
  const turns = new Turns<Item>({
    of: (item) => item,
    act: ({ group, member, n }) => {
      at.done.push(`${group}${member}${n}`);
      at.now++;
    },
    sliceMs: 4,
    now: () => at.now,
    later: (run) => void at.later.push(run),
  });
  const add = (group: number, member: string, ...numbers: number[]) =>
    numbers.forEach((n) => turns.add({ group, member, n }));
  return { at, turns, add };
}

Deno.test("a heap of one is not in front of another's first, whatever names it has", () => {
  const { at, turns, add } = begin();
  add(1, "a", 1, 2, 3);
  add(1, "b", 1, 2);
  add(2, "a", 1);
  turns.run();
  assert.deepEqual(at.done, ["1a1", "2a1", "1b1", "1a2"]);
  at.later.shift()?.();
  assert.deepEqual(at.done.slice(4), ["1b2", "1a3"]);
  assert.equal(at.later.length, 0);
});

Deno.test("the event loop has its turn between slices, once", () => {
  const { at, turns, add } = begin();
  add(1, "a", ...Array.from({ length: 10 }, (_, i) => i));
  turns.run();
  turns.run();
  assert.equal(at.later.length, 1);
  add(2, "b", 0);
  at.later.shift()?.();
  assert.ok(at.done.includes("2b0"));
  assert.deepEqual(at.done.filter((one) => one.startsWith("1a")).length, 10);
});

Deno.test("one that has nothing left is nobody, until it comes again", () => {
  const { at, turns, add } = begin();
  add(1, "a", 1);
  turns.run();
  add(1, "a", 2);
  turns.run();
  assert.deepEqual([at.done, at.later.length], [["1a1", "1a2"], 0]);
});
