// SPDX-License-Identifier: Apache-2.0

/** How fast a peer is asked: as fast as it answers, and more slowly only when it says so. */
import assert from "node:assert/strict";
import { ExchangeError } from "../../src/model/exchange.ts";
import { TokenBucket } from "../../src/core/peer.ts";
import { type Host, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

/** Sends the first packet of pair `i`, and returns the virtual milliseconds until it is delivered. */
async function cold(from: Host, to: Host, i: number): Promise<number> {
  const { clock } = from.world;
  const pair = { from: 1 + (i >> 8), dst: 1 + i };
  const sentAt = clock.now();
  from.send(to, pair);
  const stepMs = from.world.network.weather.delayMs[0];
  while (to.got(from, { src: pair.from, dst: pair.dst }) === 0) await clock.advance(stepMs);
  return Math.round((clock.now() - sentAt) / stepMs) * stepMs;
}

/** A peer of the last release: it counts requests, whatever is in them, and refuses those beyond its limit. */
function older(host: Host, { rate, burst }: { rate: number; burst: number }) {
  const bucket = new TokenBucket(rate, burst);
  const { handler } = host.core;
  const seen = { refusedAt: [] as number[] };
  host.world.network.attach(host.id, {
    notify: (...asked) => handler.notify(...asked),
    newTunnel: async (...asked) => {
      const now = host.world.clock.now();
      if (bucket.take(now)) return await handler.newTunnel(...asked);
      seen.refusedAt.push(now);
      throw new ExchangeError("resource_exhausted", "too many requests");
    },
  });
  return seen;
}

Deno.test("a thousand cold pairs of one peer, one after the other: the last is as fast as the first", async () => {
  // This host lets nobody ask more than once a second: that is about those who ask here.
  await using w = world({ changes: [{ rpc: { peerRate: 1, peerBurst: 1 } }, {}] });
  const [h1, h2] = [w.host(1), w.host(2)];
  const times: number[] = [];
  for (let i = 0; i < 1000; i++) times.push(await cold(h1, h2, i));
  assert.deepEqual([...new Set(times)], [2], "a round trip of the request");
  assert.equal(h2.counter("refused-rate"), 0n);
});

Deno.test("waiting pairs join the next request, which goes as soon as the one before is answered", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.weather.delayMs = [10, 10];
  // A request under way takes 20 ms; a new pair comes each millisecond for two seconds.
  for (let i = 0; i < 2000; i++) {
    h1.send(h2, { from: 1 + (i >> 8), dst: 1 + i });
    await w.clock.advance(1);
  }
  await w.clock.advance(100);
  const times = w.network.requests.map(({ at }) => at);
  assert.equal(w.network.mostInFlight, 1);
  assert.ok(times.slice(1).every((at, i) => Math.round(at - (times[i] ?? 0)) === 20), `${times}`);
  assert.equal(h1.core.status().tunnels.up, 2000);
  assert.equal(h2.counter("refused-rate"), 0n);
});

Deno.test("whatever the arrival, a peer refuses nothing", async () => {
  await using w = world({ files: false });
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.weather.delayMs = [0.1, 0.1];
  // The fastest there is: single pairs, each when the one before is through, then many at once.
  const [single, bunched] = [scaled(1500, 5000), scaled(2500, 4000)];
  for (let i = 0; i < single; i++) await cold(h1, h2, i);
  for (let i = 0; i < bunched; i++) {
    h1.send(h2, { from: 1 + ((single + i) >> 8), dst: 1 + single + i });
  }
  await w.clock.advance(10_000);
  assert.equal(h1.core.status().tunnels.up, single + bunched);
  assert.deepEqual([h2.counter("refused-rate"), h1.counter("slowed-by-peer")], [0n, 0n]);
});

for (const rate of [50, 5]) {
  Deno.test(`a peer that refuses beyond ${rate} requests a second is asked more slowly, and no packet is lost`, async () => {
    await using w = world({ files: false });
    const [h1, h2] = [w.host(1), w.host(2)];
    const { refusedAt } = older(h2, { rate, burst: 4 * rate });
    const pairs = 3000;
    for (let i = 0; i < pairs; i++) {
      h1.send(h2, { from: 1 + (i >> 8), dst: 1 + i });
      await w.clock.advance(3);
    }
    await w.clock.advance(5000);
    assert.equal(h1.core.status().tunnels.up, pairs);
    assert.equal(h1.flows.held, 0);
    assert.deepEqual(h1.flows.drops, {});
    assert.equal(h1.counter("exchanges-failed"), 0n);
    assert.ok(refusedAt.length > 0, "it is one that refuses");
    assert.equal(h1.counter("slowed-by-peer"), BigInt(refusedAt.length));
    assert.ok(refusedAt.length < 8, `it slowed down: ${refusedAt}`);
    // The request that was refused came again as it was.
    const contents = new Map<string, Set<string>>();
    for (const { requestId, content } of w.network.requests) {
      contents.set(requestId, (contents.get(requestId) ?? new Set()).add(content));
    }
    assert.ok([...contents.values()].every((all) => all.size === 1));
  });
}

Deno.test("a peer that refuses whatever the pace is given up in the end, and the packets with it", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  older(h2, { rate: 1e-9, burst: 0 });
  h1.send(h2);
  await w.clock.advance(9000);
  assert.equal(h1.flows.held, 1);
  await w.clock.advance(10_000);
  assert.equal(h1.flows.held, 0);
  assert.equal(h1.flows.drops.peer_unreachable, 1);
  assert.equal(h1.counter("exchanges-failed"), 1n);
});
