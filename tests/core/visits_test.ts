// SPDX-License-Identifier: Apache-2.0

/** Nothing that happens again and again looks through all tunnels or peers: what is looked at is counted. */
import assert from "node:assert/strict";
import { PEERS_AT_ONCE, POLLED_MAX, RECHECKED_AT_ONCE } from "../../src/core/limits.ts";
import { type Tunnel, TunnelTable } from "../../src/core/tunnel_table.ts";
import { world } from "../support/core_world.ts";

const EACH = 800;

/** Counts the tunnels that the table hands out, by the way they were asked for. */
function counting() {
  const seen = { all: 0, ofPeer: 0, round: 0, keys: 0 };
  const own = TunnelTable.prototype;
  const { all, ofPeer, round, keysOfPeer } = own;
  const counted = (name: keyof typeof seen, tunnels: Iterator<Tunnel, undefined>) =>
    Iterator.from({
      next: () => {
        const at = tunnels.next();
        if (!at.done) seen[name]++;
        return at;
      },
    });
  own.all = function () {
    return counted("all", all.call(this)[Symbol.iterator]());
  };
  own.round = function () {
    return counted("round", round.call(this) as Iterator<Tunnel, undefined>);
  };
  own.keysOfPeer = function (peer) {
    const keys = keysOfPeer.call(this, peer);
    seen.keys += keys.length;
    return keys;
  };
  own.ofPeer = function (peer) {
    const tunnels = ofPeer.call(this, peer);
    seen.ofPeer += tunnels.length;
    return tunnels;
  };
  return {
    /** What was seen since the last time. */
    take() {
      const was = { ...seen };
      for (const name of Object.keys(seen) as (keyof typeof seen)[]) seen[name] = 0;
      return was;
    },
    [Symbol.dispose]: () => void Object.assign(own, { all, ofPeer, round, keysOfPeer }),
  };
}

Deno.test("ticks, status, a rotation that waits and its plan look at a bounded number of tunnels", async () => {
  using seen = counting();
  await using w = world({ hosts: 4, files: false, changes: { tunnel: { idleMs: 0 } } });
  const h1 = w.host(1);
  for (const n of [2, 3, 4]) {
    for (let i = 1; i <= EACH; i++) h1.send(w.host(n), { from: i % 200 + 1, dst: i });
  }
  await w.clock.advance(10_000);
  assert.equal(h1.core.status().tunnels.up, 3 * EACH);
  const ticks = 40;

  // All four cores tick: each polls a share of its own.
  seen.take();
  await w.clock.advance(ticks * 250);
  const rest = seen.take();
  assert.equal(rest.all + rest.ofPeer + rest.keys, 0, JSON.stringify(rest));
  assert.ok(rest.round <= 4 * ticks * POLLED_MAX, `${rest.round} looks`);

  for (let i = 0; i < 10; i++) {
    h1.core.status({ maxPeers: 1 });
    h1.core.tunnels({ limit: 10, after: "h3 " });
    h1.core.rotate({ plan: true });
    h1.core.inUse("h2");
  }
  assert.deepEqual(seen.take(), { all: 0, ofPeer: 0, round: 0, keys: 0 });

  // The rotation itself comes to each tunnel once; while the next one waits nobody does.
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  await w.clock.advance(2000);
  const rotated = seen.take();
  assert.equal(rotated.keys, 3 * EACH);
  for (let i = 0; i < 10; i++) assert.equal(h1.core.rotate({ plan: false }).started, false);
  await w.clock.advance(1000);
  const waiting = seen.take();
  assert.equal(waiting.all + waiting.keys, 0, JSON.stringify(waiting));
  assert.ok(waiting.ofPeer <= 5 * (RECHECKED_AT_ONCE + EACH), JSON.stringify(waiting));
});

Deno.test("all peers are told of a bounded number at a time, and one that goes meanwhile is left out", async () => {
  await using w = world({ hosts: 2, files: false });
  const { core } = w.host(1);
  const changed = Array.from({ length: 1000 }, (_, i) => ({
    id: `far-${i}`,
    svcAddress: "192.0.2.99:7443",
    vips: [`10.99.${i >> 8}.${i & 255}/32`],
  }));
  core.change({ changed, removed: [] });
  assert.deepEqual([...core.peerParts()].flat(), core.status().peers);
  const told: string[] = [];
  for (const part of core.peerParts()) {
    assert.ok(part.length <= PEERS_AT_ONCE, `${part.length} at a time`);
    if (told.length === 0) core.change({ changed: [], removed: ["far-900"] });
    told.push(...part.map(({ id }) => id));
  }
  assert.equal(told.length, 1000);
  assert.equal(told.includes("far-900"), false);
  assert.equal([...core.peerParts({ maxPeers: 7 })].flat().length, 7);
});
