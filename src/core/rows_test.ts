// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { DueHeap, longEnough, Rows, SpiRows } from "./rows.ts";

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

Deno.test("rows are found by their SPI, all of those that have the same", () => {
  const rows = new SpiRows();
  assert.deepEqual(rows.of(0xffffffff), []);
  rows.add(0xffffffff, 0);
  rows.add(7, 1);
  rows.add(7, 2);
  rows.add(7, 3);
  assert.deepEqual([rows.of(0xffffffff), rows.of(7)], [[0], [1, 2, 3]]);
  rows.delete(7, 1);
  assert.deepEqual(rows.of(7), [2, 3]);
  rows.delete(7, 9);
  rows.delete(7, 3);
  assert.deepEqual(rows.of(7), [2]);
  rows.delete(7, 2);
  rows.delete(7, 2);
  assert.deepEqual([rows.of(7), rows.of(0xffffffff)], [[], [0]]);
});

Deno.test("one SPI may be that of all tunnels: each comes and goes by itself, and all are found", () => {
  const rows = new SpiRows();
  const n = 131_072;
  for (let row = 0; row < n; row++) rows.add(9, row);
  rows.add(9, 5);
  assert.equal(rows.of(9).length, n);
  for (let row = 0; row < n; row++) if (row !== 77) rows.delete(9, row);
  assert.deepEqual(rows.of(9), [77]);
  rows.add(9, 77);
  assert.deepEqual(rows.of(9), [77]);
  rows.delete(9, 77);
  assert.deepEqual(rows.of(9), []);
});
