// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { type World, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

async function talk(w: World, ms: number): Promise<number> {
  const [h1, h2] = [w.host(1), w.host(2)];
  let sent = 0;
  for (let t = 0; t < ms; t += 100) {
    h1.send(h2);
    h2.send(h1);
    sent++;
    await w.clock.advance(100);
  }
  return sent;
}

function nothingLost(w: World, sent: number): void {
  const [h1, h2] = [w.host(1), w.host(2)];
  assert.deepEqual([h2.got(h1), h1.got(h2)], [sent, sent]);
  for (const host of [h1, h2]) {
    assert.equal(host.flows.drops["rx-auth-fail"], undefined);
    assert.equal(host.flows.drops["rx-no-sa"], undefined);
  }
}

Deno.test("rotations on a schedule, both sides, under traffic: no packet is lost", async () => {
  await using w = world({
    files: false,
    changes: { rotation: { intervalMs: 5000 }, tunnel: { graceMs: 2000 } },
  });
  // Each side rotates every 5 s.
  const sent = await talk(w, scaled(300_000, 3_000_000));
  nothingLost(w, sent);
  for (const host of w.hosts) {
    assert.ok(host.counter("rotations") >= 45n, `${host.counter("rotations")}`);
    assert.equal(host.flows.masterKey().rotations, host.counter("rotations"));
  }
});

Deno.test("a second rotation waits until no live SA is on the key before", async () => {
  await using w = world();
  const [h1] = [w.host(1), w.host(2)];
  let sent = await talk(w, 2000);
  assert.equal(h1.core.rotate({ plan: true }).started, false);
  assert.equal(h1.counter("rotations"), 0n);
  const first = h1.core.rotate({ plan: false });
  assert.deepEqual([first.started, first.tunnels, first.peers], [true, 1, ["h2"]]);
  assert.equal(first.rotation.sasOnOldKey, 1);
  const second = h1.core.rotate({ plan: false });
  assert.equal(second.started, false);
  assert.match(second.message, /Cannot rotate: 1 SAs .* h2/);
  sent += await talk(w, 2000);
  assert.equal(h1.core.rotate({ plan: false }).started, false, "the old one is in its grace time");
  sent += await talk(w, 6000);
  assert.equal(h1.core.status().rotation.sasOnOldKey, 0);
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  sent += await talk(w, 2000);
  nothingLost(w, sent);
});

Deno.test("a peer that is gone does not hold up rotations for ever", async () => {
  await using w = world({ changes: { tunnel: { idleMs: 0 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  w.network.weather.requestLoss = 1;
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  await w.clock.advance(30_000);
  assert.equal(h1.core.rotate({ plan: false }).started, false);
  await w.clock.advance(60_000);
  assert.equal(h1.core.rotate({ plan: false }).started, true);
});

Deno.test("a forced double rotation is healed within 3 s", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  await talk(w, 2000);
  h2.flows.rotateMasterKey();
  h2.flows.rotateMasterKey();
  await talk(w, 3000);
  const [got1, got2] = [h1.got(h2), h2.got(h1)];
  const sent = await talk(w, 1000);
  assert.deepEqual([h1.got(h2) - got1, h2.got(h1) - got2], [sent, sent]);
});

Deno.test("a key with few SPIs left is rotated, once, and traffic goes on", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  h1.flows.spisPerKey = 1 << 23;
  await w.clock.advance(10_000);
  assert.equal(h1.counter("rotations"), 1n);
  h1.send(h2);
  assert.equal(h2.got(h1), 2);
});

Deno.test("a key without any SPI is rotated before the next attempt", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.flows.spisPerKey = 0;
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h1.flows.drops.no_resource, 1);
  h1.flows.spisPerKey = 1 << 30;
  await w.clock.advance(20_000);
  assert.equal(h1.counter("rotations"), 1n);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
});

Deno.test("an exchange that was under way during a rotation is made again", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.fate = ({ kind }) => kind === "reply" ? 900 : "pass";
  h1.send(h2);
  await w.clock.advance(500);
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  await w.clock.advance(20_000);
  assert.equal(h1.core.status().rotation.sasOnOldKey, 0);
  h1.send(h2);
  h2.send(h1);
  assert.deepEqual([h2.got(h1), h1.got(h2)], [2, 1]);
});

Deno.test("all peers are asked again, each in batches", async () => {
  await using w = world({ hosts: 4, files: false });
  const h1 = w.host(1);
  for (const n of [2, 3, 4]) {
    for (let i = 1; i <= 300; i++) h1.send(w.host(n), { from: i, dst: i });
  }
  await w.clock.advance(1000);
  const asked = w.network.requests.length;
  assert.equal(asked, 6);
  h1.core.rotate({ plan: false });
  await w.clock.advance(2000);
  assert.equal(w.network.requests.length, asked + 6);
  await w.clock.advance(6000);
  assert.equal(h1.core.status().rotation.sasOnOldKey, 0);
});
