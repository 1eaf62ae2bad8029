// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { DropLog } from "./drop_log.ts";

Deno.test("drops of one reason, peer and flow are one line, the latest first", () => {
  let now = 1000;
  const log = new DropLog(() => now);
  const flow = { src: "10.1.0.1", dst: "10.2.0.1" };
  log.add({ reason: "no-peer", ...flow, packets: 2 });
  log.add({ reason: "refused", peer: "h2", ...flow, packets: 1 });
  now = 2000;
  log.add({ reason: "no-peer", ...flow, packets: 3, header: new Uint8Array(200).fill(7) });
  const [first, second] = log.list({ limit: 10 }).drops;
  assert.deepEqual(
    [first?.reason, first?.packets, first?.firstAtMs, first?.lastAtMs, first?.header.length],
    ["no-peer", 5, 1000, 2000, 64],
  );
  assert.equal(second?.peer, "h2");
  assert.equal(log.list({ reason: "refused", limit: 10 }).drops.length, 1);
  assert.equal(log.list({ peer: "h2", limit: 10 }).drops.length, 1);
  assert.equal(log.list({ vip: "10.2.0.1", limit: 10 }).drops.length, 2);
  assert.equal(log.list({ vip: "10.9.0.1", limit: 10 }).drops.length, 0);
  const page = log.list({ limit: 1 });
  assert.equal(page.drops.length, 1);
  const rest = log.list({ limit: 1, after: page.next });
  assert.deepEqual([rest.drops[0]?.peer, rest.next], ["h2", undefined]);
});

Deno.test("so many lines are kept, and the ones that were added to longest ago go", () => {
  const log = new DropLog(() => 0);
  const add = (n: number) => log.add({ reason: "no-peer", src: "a", dst: `${n}`, packets: 1 });
  add(0);
  for (let n = 1; n < 1024; n++) add(n);
  add(0);
  add(1024);
  const kept = log.list({ limit: 10_000 }).drops;
  assert.equal(kept.length, 1024);
  assert.ok(kept.some(({ dst }) => dst === "0"));
  assert.ok(!kept.some(({ dst }) => dst === "1"));
});
