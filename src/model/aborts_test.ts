// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Aborts } from "./aborts.ts";

/** A signal that counts its listeners. */
function counting() {
  const end = new AbortController();
  const { signal } = end;
  let added = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    added++;
    add(...args);
  };
  return { end, signal, added: () => added };
}

Deno.test("thousands who wait for one signal are one listener of it, and all are told", () => {
  const { end, signal, added } = counting();
  const aborts = new Aborts();
  const told: number[] = [];
  for (let i = 0; i < 5000; i++) aborts.add(signal, () => told.push(i));
  end.abort("over");
  assert.equal(added(), 1);
  assert.equal(told.length, 5000);
  assert.equal(aborts.size, 0);
});

Deno.test("whoever has left is not told, and the last one takes the listener along", () => {
  const end = new AbortController();
  const aborts = new Aborts();
  const told: unknown[] = [];
  const [a, b] = [(reason: unknown) => told.push(["a", reason]), () => told.push("b")];
  aborts.add(end.signal, a);
  aborts.add(end.signal, b);
  aborts.remove(end.signal, b);
  aborts.remove(end.signal, b);
  assert.equal(aborts.size, 1);
  end.abort("why");
  assert.deepEqual(told, [["a", "why"]]);
  const other = new AbortController();
  aborts.add(other.signal, a);
  aborts.remove(other.signal, a);
  assert.equal(aborts.size, 0);
});
