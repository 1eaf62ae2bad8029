// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { DueHeap } from "./due_heap.ts";

Deno.test("what is due comes out once, the earliest first", () => {
  const heap = new DueHeap();
  heap.set("b", 20);
  heap.set("a", 10);
  heap.set("c", 30);
  heap.set("c", 15);
  heap.set("d", 5);
  heap.set("d", Infinity);
  assert.deepEqual(heap.take(9), []);
  assert.deepEqual(heap.take(20), ["a", "c", "b"]);
  assert.deepEqual(heap.take(100), []);
  assert.equal(heap.size, 0);
});

Deno.test("it agrees with a list, whatever is set, moved and deleted", () => {
  const command = fc.record({
    key: fc.integer({ min: 0, max: 20 }),
    at: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(Infinity)),
    take: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(command, { maxLength: 500 }), (commands) => {
    const heap = new DueHeap();
    const model = new Map<string, number>();
    for (const { key, at, take } of commands) {
      if (take) {
        const now = at === Infinity ? 50 : at;
        const due = [...model].filter(([, t]) => t <= now);
        assert.deepEqual(heap.take(now).sort(), due.map(([k]) => k).sort());
        for (const [k] of due) model.delete(k);
      } else {
        heap.set(String(key), at);
        if (at === Infinity) model.delete(String(key));
        else model.set(String(key), at);
      }
      assert.equal(heap.size, model.size);
    }
  }));
});

Deno.test("all of them come out when there is no limit of time", () => {
  const heap = new DueHeap();
  for (const at of [3, 1, 2]) heap.set(`${at}`, at);
  assert.deepEqual(heap.take(Infinity), ["1", "2", "3"]);
  assert.equal(heap.next(), Infinity);
});
