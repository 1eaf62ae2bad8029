// SPDX-License-Identifier: Apache-2.0

/** How two hosts come to a version of PSP. */
import assert from "node:assert/strict";
import { world } from "../support/core_world.ts";

Deno.test("hosts with different versions agree on one", async () => {
  await using w = world({
    changes: [{}, { psp: { versions: ["aes-gcm-128"] } }],
  });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  h1.send(h2, { from: 2 });
  await w.clock.advance(200);
  assert.deepEqual([h2.got(h1), h2.got(h1, { src: 2 })], [1, 1]);
  assert.equal(h1.counter("version-fallbacks"), 1n);
  assert.deepEqual([h1.flows.rx.size, h2.flows.rx.size], [2, 2]);
  h1.send(h2, { from: 3 });
  await w.clock.advance(200);
  assert.equal(h1.counter("version-fallbacks"), 1n, "the version is remembered");
  assert.equal(h2.got(h1, { src: 3 }), 1);
});

Deno.test("hosts without a common version hold off and say so", async () => {
  await using w = world({ changes: [{}, { psp: { versions: ["aes-gmac-128"] } }] });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(200);
  assert.equal(h1.flows.drops.refused, 1);
  assert.equal(w.network.requests.length, 1);
  assert.match(h1.core.status().peers[0]?.lastError ?? "", /No version in common/);
});

Deno.test("an answer in a version that nobody asked for is refused, and not remembered", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  const honest = h2.core.handler;
  w.network.attach("h2", {
    notify: (...asked) => honest.notify(...asked),
    newTunnel: async (...asked) => {
      const version = "aes-gmac-256";
      const reply = await honest.newTunnel(...asked);
      const outcomes = reply.outcomes.map((outcome) =>
        outcome.ok ? { ...outcome, params: { ...outcome.params, version } as const } : outcome
      );
      return { ...reply, version, outcomes };
    },
  });
  h1.send(h2);
  await w.clock.advance(200);
  assert.equal(h2.got(h1), 0);
  assert.ok(w.network.requests.length > 0);
  w.network.attach("h2", honest);
  await w.clock.advance(15_000);
  h1.send(h2);
  await w.clock.advance(200);
  assert.equal(h2.got(h1), 1, "the next exchange is as if there had been none before");
  for (const { content } of w.network.requests) assert.doesNotMatch(content, /gmac/);
});
