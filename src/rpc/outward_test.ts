// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Outward } from "./outward.ts";

function outward(
  { max = 3, busy = new Set<string>(), looked = { n: 0 } } = {},
) {
  return new Outward({
    max,
    keepMs: 60_000,
    pingMs: 20_000,
    inUse: (peer) => {
      looked.n++;
      return busy.has(peer);
    },
  });
}

Deno.test("at the bound the one whose last call is longest ago makes room", () => {
  const all = outward();
  for (const peer of ["a", "b", "c"]) assert.equal(all.enter(peer, 0), undefined);
  all.begin("a", 1);
  all.end("a", 2);
  assert.equal(all.enter("d", 3), "b");
  assert.equal(all.enter("e", 4), "c");
  assert.equal(all.size, 3);
});

Deno.test("one with a call under way goes for nobody", () => {
  const all = outward({ max: 2 });
  all.enter("a", 0);
  all.begin("a", 0);
  all.enter("b", 1);
  assert.equal(all.enter("c", 2), "b");
  all.begin("c", 2);
  assert.equal(all.enter("d", 3), "full");
  all.end("a", 4);
  assert.equal(all.isIdle("a"), true);
  assert.equal(all.enter("d", 5), "a");
});

Deno.test("a connection is closed a minute after its last call, unless packets pass", () => {
  const busy = new Set(["b"]);
  const all = outward({ busy });
  all.enter("a", 0);
  all.enter("b", 0);
  all.enter("c", 0);
  all.begin("c", 0);
  assert.deepEqual(all.due(59_999).close, []);
  assert.deepEqual(all.due(60_000).close, ["a"]);
  assert.equal(all.size, 2);
  busy.clear();
  all.end("c", 70_000);
  assert.deepEqual(all.due(119_999).close, []);
  assert.deepEqual(all.due(120_000).close, ["b"]);
  assert.deepEqual(all.due(130_000).close, ["c"]);
});

Deno.test("of ten thousand that are quiet some are asked in each look, each in its turn", () => {
  const all = outward({ max: 10_000 });
  for (let i = 0; i < 10_000; i++) all.enter(`h${i}`, 0);
  assert.deepEqual(all.due(19_999).ping, []);
  const asked: string[] = [];
  for (let second = 20; second < 30; second++) asked.push(...all.due(second * 1000).ping);
  assert.deepEqual(asked, Array.from({ length: 10 }, (_, i) => `h${i}`));
  all.leave("h10");
  assert.equal(all.due(30_000).ping[0], "h11");
});

Deno.test("a look goes through a bounded number, however many there are", () => {
  const looked = { n: 0 };
  const busy = new Set(Array.from({ length: 10_000 }, (_, i) => `h${i}`));
  const all = outward({ max: 10_000, busy, looked });
  for (let i = 0; i < 10_000; i++) all.enter(`h${i}`, 0);
  all.due(60_000);
  assert.ok(looked.n <= 64, `${looked.n} looks`);
  all.due(30_000);
  assert.ok(looked.n <= 64, `${looked.n} looks`);
});
