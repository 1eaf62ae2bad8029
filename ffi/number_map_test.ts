// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { NumberMap } from "./number_map.ts";

Deno.test("a map of numbers agrees with a Map, whatever is set and deleted", () => {
  const key = fc.oneof(
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: 0, max: 40 }).map((n) => (0xffff_ffd0 + n) >>> 0),
    fc.integer({ min: 0, max: 10 }).map((n) => n << 16),
  );
  const command = fc.record({
    key,
    value: fc.integer({ min: 1, max: 0xffff_ffff }),
    isGone: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(command, { maxLength: 600 }), (commands) => {
    const [map, model] = [new NumberMap(), new Map<number, number>()];
    for (const { key, value, isGone } of commands) {
      if (isGone) assert.equal(map.delete(key), model.delete(key));
      else {
        map.set(key, value);
        model.set(key, value);
      }
      assert.equal(map.size, model.size);
      assert.equal(map.get(key), model.get(key));
    }
    const inOrder = (keys: Iterable<number>) => [...keys].sort((a, b) => a - b);
    assert.deepEqual(inOrder(map.keys()), inOrder(model.keys()));
    for (const [key, value] of model) assert.equal(map.get(key), value);
  }));
});

Deno.test("many keys come and go, and none is lost", () => {
  const map = new NumberMap();
  for (let i = 1; i <= 20_000; i++) map.set(Math.imul(i, 0x10001) >>> 0, i);
  for (let i = 1; i <= 20_000; i += 2) assert.equal(map.delete(Math.imul(i, 0x10001) >>> 0), true);
  for (let i = 1; i <= 20_000; i++) {
    assert.equal(map.get(Math.imul(i, 0x10001) >>> 0), i % 2 === 0 ? i : undefined);
  }
  for (let i = 2; i <= 20_000; i += 2) map.delete(Math.imul(i, 0x10001) >>> 0);
  assert.deepEqual([map.size, [...map.keys()]], [0, []]);
});

Deno.test("0 and what is no number of 32 bits cannot be kept", () => {
  const map = new NumberMap();
  for (const value of [0, -1, 1.5, 2 ** 32]) {
    assert.throws(() => map.set(1, value), new RegExp(`Cannot keep ${value}`));
  }
});
