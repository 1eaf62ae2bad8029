// SPDX-License-Identifier: Apache-2.0

/** What is left to the others when one takes all that it can get: an evil peer, many of them, a tenant that scans. */
import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import type { NewTunnelRequest, TunnelOutcome } from "../../src/model/exchange.ts";
import { type Host, joined, type World, world } from "../support/core_world.ts";

/** Room for 1,024 tunnels, ten hosts: a peer may have 128, an address 64. */
const SMALL = { hosts: 10, files: false, changes: { maxEntries: 4096 } } as const;
const PEER_SHARE = 128;
const SOURCE_SHARE = 64;

let requests = 0;

/** What an evil `from` asks `to` for: tunnels from its i-th addresses on, each with a fresh key. */
function asks(from: Host, to: Host, { first, n }: { first: number; n: number }): NewTunnelRequest {
  const id = ++requests;
  return {
    bootEpoch: from.core.bootEpoch,
    requestId: id.toString(16).padStart(32, "0"),
    versionsAccepted: ["aes-gcm-256"],
    tunnels: Array.from({ length: n }, (_, i) => {
      const key = new Uint8Array(32);
      new DataView(key.buffer).setUint32(0, id);
      new DataView(key.buffer).setUint32(4, i + 1);
      return {
        localVip: from.vip(first + i),
        remoteVip: to.vip(1 + (first + i) % 3),
        reverse: {
          spi: 256 + first + i,
          version: "aes-gcm-256",
          key: new Key(key),
          pip: from.config.pip,
          mac: "02:00:00:00:00:02",
          cryptOffset: 5,
          mode: "tunnel",
          serial: BigInt(id),
          lifeS: 3600,
        },
      };
    }),
  };
}

/** Asks for `n` tunnels, as fast as the responder's rate lets it; returns what came of each. */
async function attack(w: World, from: Host, to: Host, n: number): Promise<TunnelOutcome[]> {
  const outcomes: TunnelOutcome[] = [];
  for (let first = 1; first <= n; first += 256) {
    const request = asks(from, to, { first, n: Math.min(256, n - first + 1) });
    const reply = await to.core.handler.newTunnel(from.id, request);
    outcomes.push(...reply.outcomes);
    await w.clock.advance(20);
  }
  return outcomes;
}

function tunnelsWith(host: Host, peer: Host): number {
  return host.core.tunnels({ peer: peer.id, limit: 1e6 }).length;
}

/** A pair that talks both ways all the time, and loses nothing. */
function goodPair(w: World, a: Host, b: Host) {
  let sent = 0;
  const before = [b.got(a), a.got(b)];
  return {
    talk: async (ms: number) => {
      for (let t = 0; t < ms; t += 50) {
        a.send(b);
        b.send(a);
        sent++;
        await w.clock.advance(50);
      }
    },
    check: () => {
      assert.deepEqual([b.got(a) - (before[0] ?? 0), a.got(b) - (before[1] ?? 0)], [sent, sent]);
    },
  };
}

Deno.test("an evil peer that owns a /16 gets its share; others open tunnels and rekey as before", async () => {
  const life = { lifeMs: 20_000 };
  await using w = world({ ...SMALL, changes: { maxEntries: 4096, tunnel: life } });
  const [h1, evil, good, other] = [w.host(1), w.host(2), w.host(3), w.host(4)];
  const pair = goodPair(w, h1, good);
  await pair.talk(1000);
  for (let round = 0; round < 30; round++) {
    const outcomes = await attack(w, evil, h1, 1024);
    if (round === 0) {
      assert.equal(outcomes.filter(({ ok }) => ok).length, PEER_SHARE);
      const refused = outcomes.find(({ ok }) => !ok);
      assert.ok(refused?.ok === false && refused.code === "resource_exhausted");
      assert.match(refused.message, /tunnel\.peer_share/);
    }
    await pair.talk(1000);
    // One new tunnel of each side in each round.
    h1.send(other, { from: 2, dst: 100 + round });
    other.send(h1, { from: 200 + round, dst: 2 });
  }
  await w.clock.advance(2000);
  assert.ok(tunnelsWith(h1, evil) <= PEER_SHARE);
  assert.ok(h1.counter("peer-share") > 0n);
  assert.equal(other.got(h1, { src: 2, dst: 129 }), 1);
  assert.equal(h1.got(other, { src: 229, dst: 2 }), 1);
  assert.ok(h1.counter("rekeys") >= 1n, "the good pair was rekeyed meanwhile");
  assert.equal(h1.counter("tx-sas-expired"), 0n);
  assert.ok(joined(h1, good, { localVip: h1.vip(), remoteVip: good.vip() }));
  pair.check();
});

Deno.test("one request for tunnels that are there and for new ones gets no more than the share", async () => {
  await using w = world(SMALL);
  const [h1, evil] = [w.host(1), w.host(2)];
  await attack(w, evil, h1, PEER_SHARE);
  assert.equal(tunnelsWith(h1, evil), PEER_SHARE);
  // Nothing passes: each may go for a new one.
  await w.clock.advance(1000);
  for (const n of [PEER_SHARE + 1, 2 * PEER_SHARE]) {
    const outcomes = await attack(w, evil, h1, n);
    assert.equal(outcomes.filter(({ ok }) => ok).length, PEER_SHARE);
    assert.equal(tunnelsWith(h1, evil), PEER_SHARE);
  }
});

Deno.test("an evil peer that rekeys for ever takes no more SAs than its tunnels need", async () => {
  await using w = world(SMALL);
  const [h1, evil, good] = [w.host(1), w.host(2), w.host(3)];
  const pair = goodPair(w, h1, good);
  for (let round = 0; round < 40; round++) {
    await attack(w, evil, h1, PEER_SHARE);
    await pair.talk(100);
    const mine = [...h1.flows.rx.values()].filter(({ sa }) => sa.peer === evil.id).length;
    // What it was given, and one that this host offers it for each.
    assert.ok(mine <= 3 * PEER_SHARE + 256, `${mine} SAs`);
  }
  assert.ok(h1.counter("peer-sas") > 0n);
  pair.check();
});

Deno.test("nine of ten peers are evil: the tenth opens its tunnels all the same", async () => {
  await using w = world(SMALL);
  const h1 = w.host(1);
  for (let i = 2; i <= 9; i++) {
    await attack(w, w.host(i), h1, 512);
    // Packets on each of them: none is spare.
    for (const { localVip, remoteVip } of h1.core.tunnels({ limit: 1e6 })) {
      for (let p = 0; p < 8; p++) h1.flows.packet({ localVip, remoteVip });
    }
  }
  const good = w.host(10);
  good.send(h1, { from: 7, dst: 7 });
  h1.send(good, { from: 8, dst: 8 });
  await w.clock.advance(1000);
  assert.equal(h1.got(good, { src: 7, dst: 7 }), 1);
  assert.equal(good.got(h1, { src: 8, dst: 8 }), 1);
  const { tunnels } = h1.core.status();
  assert.ok(tunnels.up + tunnels.unconfirmed + tunnels.rekeying <= 1024, JSON.stringify(tunnels));
});

Deno.test("a tenant that scans gets its share; other workloads' tunnels open, and live on", async () => {
  await using w = world({ ...SMALL, changes: { maxEntries: 4096, tunnel: { lifeMs: 20_000 } } });
  const [h1, good] = [w.host(1), w.host(3)];
  const pair = goodPair(w, h1, good);
  await pair.talk(500);
  for (let i = 0; i < 3072; i++) {
    // Three addresses of one tenant, a thousand destinations each.
    h1.send(good, { from: 10 + i % 3, dst: 100 + Math.floor(i / 3) });
    if (i % 64 === 0) await pair.talk(100);
    if (i % 512 === 0) h1.send(good, { from: 20, dst: 2000 + i });
  }
  await pair.talk(25_000);
  const by = new Map<string, number>();
  for (const { localVip } of h1.core.tunnels({ limit: 1e6 })) {
    by.set(localVip, (by.get(localVip) ?? 0) + 1);
  }
  for (const n of [10, 11, 12]) assert.ok((by.get(h1.vip(n)) ?? 0) <= SOURCE_SHARE, `${[...by]}`);
  for (let i = 0; i < 3072; i += 512) {
    assert.equal(good.got(h1, { src: 20, dst: 2000 + i }), 1, `the other workload's ${i}`);
  }
  assert.ok(h1.counter("source-share") + h1.counter("tunnels-evicted") > 0n);
  assert.ok(h1.counter("rekeys") > 0n);
  pair.check();
});

Deno.test("a tenant with an address for each packet fills its peer's share: what nobody answers goes first", async () => {
  await using w = world(SMALL);
  const [h1, good] = [w.host(1), w.host(3)];
  const pair = goodPair(w, h1, good);
  await pair.talk(500);
  for (let i = 0; i < 2048; i++) {
    h1.send(good, { from: 256 + i, dst: 100 });
    if (i % 8 === 0) await pair.talk(50);
    if (i % 128 === 0) {
      h1.send(good, { from: 20, dst: 2000 + i });
      await pair.talk(100);
      assert.equal(good.got(h1, { src: 20, dst: 2000 + i }), 1, `the other workload's ${i}`);
    }
  }
  assert.ok(h1.counter("tunnels-evicted") > 1000n);
  assert.ok(tunnelsWith(h1, good) <= PEER_SHARE);
  pair.check();
});
