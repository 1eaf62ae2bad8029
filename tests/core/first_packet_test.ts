// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { joined, world } from "../support/core_world.ts";

Deno.test("the first packet opens the tunnel and arrives", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  assert.equal(h1.send(h2), "held");
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
  assert.equal(h1.send(h2), "sent");
  assert.equal(h2.send(h1), "sent");
  assert.equal(h2.got(h1), 2);
  assert.equal(h1.got(h2), 1);
  assert.equal(w.network.requests.length, 1);
  assert.ok(joined(h1, h2, { localVip: h1.vip(), remoteVip: h2.vip() }));
  assert.deepEqual(h1.core.status().tunnels, {
    opening: 0,
    up: 1,
    rekeying: 0,
    failed: 0,
    unconfirmed: 0,
  });
});

Deno.test("receive is programmed before it is advertised, transmit comes last", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  assert.deepEqual(h1.flows.calls.map(({ call }) => call), [
    "generateSpis",
    "addRx",
    "setTx",
    "releaseHeld",
  ]);
  assert.deepEqual(h2.flows.calls.map(({ call }) => call), ["generateSpis", "addRx", "setTx"]);
});

Deno.test("misses of one batch go into one request", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  for (let i = 1; i <= 300; i++) h1.send(h2, { from: i, dst: i });
  await w.clock.advance(200);
  assert.equal(w.network.requests.length, 2);
  for (let i = 1; i <= 300; i++) assert.equal(h2.got(h1, { src: i, dst: i }), 1);
});

Deno.test("a destination that no peer owns is dropped as no_peer, with one line a second", async () => {
  await using w = world();
  const h1 = w.host(1);
  for (let i = 0; i < 50; i++) {
    h1.flows.packet({ localVip: h1.vip(), remoteVip: `172.16.0.${i}` });
    await w.clock.advance(10);
  }
  assert.equal(h1.flows.drops.no_peer, 50);
  assert.equal(h1.counter("no-peer"), 50n);
  assert.equal(h1.lines.filter(({ message }) => message.startsWith("No peer")).length, 1);
  assert.equal(h1.flows.packet({ localVip: h1.vip(), remoteVip: "172.16.0.0" }), "dropped");
  assert.equal(h1.counter("no-peer"), 50n);
  assert.equal(w.network.requests.length, 0);
});

Deno.test("a plane without room drops what it held and names the reason", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.flows.failNext("addRx");
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h1.flows.drops.no_resource, 1);
  assert.equal(w.network.requests.length, 0);
  assert.equal(h1.flows.rx.size, 0);
  await w.clock.advance(20_000);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
});

Deno.test("an entry that the plane lost is asked for again, and nothing spins", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  h1.flows.tx.clear();
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 2);
  assert.equal(w.network.requests.length, 2);
});

Deno.test("a transmit that the plane refuses takes only what nobody was told of with it", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.flows.failNext("setTx");
  h1.send(h2);
  await w.clock.advance(100);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [1, 0], "the peer sends with it");
  h2.send(h1);
  assert.equal(h1.got(h2), 1);
  assert.equal(h1.flows.drops.no_resource, 1);
  await w.clock.advance(20_000);
  h2.flows.failNext("setTx");
  h1.send(h2, { from: 2 });
  await w.clock.advance(100);
  assert.equal([...h2.flows.rx.values()].filter(({ sa }) => sa.remoteVip === h1.vip(2)).length, 0);
  assert.equal(h1.core.status().tunnels.failed, 1);
});
