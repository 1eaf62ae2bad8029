// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { joined, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

Deno.test("a lost reply: the repeated request is identical and gets the identical answer", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  let lost = 0;
  w.network.fate = ({ kind }) => kind === "reply" && lost++ < 2 ? "lose" : "pass";
  h1.send(h2);
  await w.clock.advance(5000);
  assert.equal(h2.got(h1), 1);
  const asked = w.network.requests.filter(({ from }) => from === "h1");
  assert.equal(asked.length, 3);
  assert.equal(new Set(asked.map(({ content }) => content)).size, 1);
  const answers = w.network.replies.filter(({ requestId }) => requestId === asked[0]?.requestId);
  assert.equal(answers.length, 3);
  assert.equal(new Set(answers.map(({ content }) => content)).size, 1);
  assert.equal(h2.counter("responder-repeats"), 2n);
  assert.equal(h2.counter("responder-exchanges"), 1n);
});

Deno.test("a peer that is down: bounded retries, held packets dropped, then only the back-off asks", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.attach("h2", undefined);
  h1.send(h2);
  await w.clock.advance(750);
  assert.equal(w.network.requests.length, 4);
  assert.equal(h1.flows.drops.peer_unreachable, 1);
  assert.deepEqual([h1.flows.rx.size, h1.flows.held], [0, 0]);
  const [peer] = h1.core.status().peers;
  assert.equal(peer?.circuit, "open");
  assert.equal(peer?.failures, 1);
  assert.match(peer?.lastError ?? "", /down/);
  h1.send(h2, { from: 2 });
  await w.clock.advance(10);
  assert.equal(w.network.requests.length, 4, "another flow asks no RPC either");
  assert.equal(h1.flows.drops.back_off, 1);

  w.network.attach("h2", h2.core.handler);
  await w.clock.advance(2000);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
  assert.equal(h1.core.status().peers[0]?.circuit, "closed");
});

Deno.test("a peer that asks ends the back-off against it", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.attach("h2", undefined);
  for (let i = 0; i < 30; i++) {
    h1.send(h2);
    await w.clock.advance(4000);
  }
  w.network.attach("h2", h2.core.handler);
  h2.send(h1, { from: 9, dst: 9 });
  await w.clock.advance(100);
  assert.ok(h1.flows.calls.some(({ call }) => call === "clearHoldOff"));
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
});

Deno.test("a late reply to a dead attempt leaves only what the peer may send with", async () => {
  await using w = world({ changes: { rpc: { attempts: 1, timeoutMs: 500 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.fate = ({ kind, n }) => kind === "reply" && n === 0 ? 5000 : "pass";
  h1.send(h2);
  await w.clock.advance(600);
  assert.equal(h1.flows.drops.peer_unreachable, 1);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [1, 0]);
  h1.send(h2);
  await w.clock.advance(800);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
  await w.clock.advance(10_000);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [1, 1]);
});

for (const loss of [0.1, 0.3, 0.5]) {
  const seeds = scaled(loss === 0.5 ? 80 : 60, 10_000);
  Deno.test(`${loss * 100} % of requests and replies lost: ${seeds} seeds converge within 10 s`, async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      await using w = world({
        seed,
        files: false,
        changes: { rpc: { timeoutMs: 200, attempts: 40, peerRate: 1000, peerBurst: 1000 } },
      });
      const [h1, h2] = [w.host(1), w.host(2)];
      Object.assign(w.network.weather, {
        requestLoss: loss,
        replyLoss: loss,
        repeat: 0.2,
        delayMs: [1, 120],
      });
      const pair = { localVip: h1.vip(), remoteVip: h2.vip() };
      h1.send(h2);
      if (seed % 2 === 0) h2.send(h1);
      await w.clock.until(() => joined(h1, h2, pair), 10_000);
      Object.assign(w.network.weather, { requestLoss: 0, replyLoss: 0 });
      // Traffic and the grace time: then there is one SA per direction.
      for (let i = 0; i < 20; i++) {
        h1.send(h2);
        h2.send(h1);
        await w.clock.advance(800);
      }
      assert.ok(joined(h1, h2, pair), `seed ${seed}`);
      for (const host of [h1, h2]) {
        assert.equal(host.flows.rx.size, 1, `seed ${seed}: one SA per direction`);
        assert.equal(host.flows.drops["rx-auth-fail"], undefined, `seed ${seed}: keys match`);
        assert.equal(host.flows.drops["rx-no-sa"], undefined, `seed ${seed}: no black hole`);
      }
      const ids = new Map<string, string>();
      for (const { requestId, content } of w.network.requests) {
        assert.equal(ids.get(requestId) ?? content, content, `seed ${seed}: retries identical`);
        ids.set(requestId, content);
      }
    }
  });
}
