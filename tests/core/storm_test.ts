// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { joined, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

Deno.test("a storm of misses: one exchange in flight per peer, and every packet is accounted for", async () => {
  await using w = world({ files: false });
  const [h1, h2] = [w.host(1), w.host(2)];
  const [rounds, flows] = [scaled(4, 100), scaled(2000, 10_000)];
  let sent = 0;
  for (let round = 0; round < rounds; round++) {
    for (let i = 1; i <= flows; i++) {
      h1.send(h2, { from: i, dst: i });
      sent++;
    }
    await w.clock.advance(100);
  }
  await w.clock.advance(2000);
  assert.equal(w.network.mostInFlight, 1);
  assert.equal(w.network.requests.length, Math.ceil(flows / 256));
  const delivered = [...h2.delivered.values()].reduce((a, b) => a + b, 0);
  assert.equal(delivered, sent);
});

Deno.test("a storm towards a peer that is down: what was sent is held or dropped by reason, exactly", async () => {
  await using w = world({ files: false, changes: { rpc: { timeoutMs: 200 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.attach("h2", undefined);
  let sent = 0;
  for (let round = 0; round < 100; round++) {
    for (let i = 1; i <= 500; i++) {
      h1.send(h2, { from: i, dst: i });
      sent++;
    }
    await w.clock.advance(100);
  }
  const { peer_unreachable = 0, back_off = 0, "hold-off": off = 0, ...others } = h1.flows.drops;
  assert.deepEqual(others, {});
  assert.equal(peer_unreachable + back_off + off + h1.flows.held, sent);
  assert.ok(w.network.requests.length < 40, `${w.network.requests.length} requests in 10 s`);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [0, 0]);
});

Deno.test("thousands of tunnels are restored in batches", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  for (let i = 1; i <= 2000; i++) h1.send(h2, { from: i, dst: i });
  await w.clock.advance(2000);
  const asked = w.network.requests.length;
  h1.kill();
  h1.restart();
  const up = () => h1.core.status().tunnels.up === 2000;
  assert.ok(await w.clock.until(up, 3000) <= 3000);
  assert.equal(w.network.requests.length - asked, 8);
  assert.equal(w.network.mostInFlight, 1);
});

Deno.test("packets that wait for an own request go out when the peer's request brings the tunnel", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.fate = ({ from, kind }) => from === "h1" && kind === "request" ? "lose" : "pass";
  h1.send(h2);
  await w.clock.advance(300);
  assert.equal(h1.flows.held, 1);
  h2.send(h1);
  await w.clock.advance(100);
  assert.deepEqual([h2.got(h1), h1.got(h2), h1.flows.held], [1, 1, 0]);
  await w.clock.advance(30_000);
  h1.send(h2);
  h2.send(h1);
  assert.deepEqual([h2.got(h1), h1.got(h2)], [2, 2], "its own request's failure changes nothing");
  assert.ok(joined(h1, h2, { localVip: h1.vip(), remoteVip: h2.vip() }));
});
