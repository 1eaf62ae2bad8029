// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { joined, type World, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

const HOUR = 3_600_000;

/** Sends both ways every `everyMs` for `ms`, and returns how many packets were sent. */
async function talk(w: World, { ms, everyMs }: { ms: number; everyMs: number }): Promise<number> {
  const [h1, h2] = [w.host(1), w.host(2)];
  let sent = 0;
  for (let t = 0; t < ms; t += everyMs) {
    h1.send(h2);
    h2.send(h1);
    sent++;
    await w.clock.advance(everyMs);
  }
  return sent;
}

function nothingLost(w: World, sent: number): void {
  const [h1, h2] = [w.host(1), w.host(2)];
  assert.deepEqual([h2.got(h1), h1.got(h2)], [sent, sent]);
  for (const host of [h1, h2]) {
    assert.equal(host.flows.drops["rx-auth-fail"], undefined);
    assert.equal(host.flows.drops["rx-no-sa"], undefined);
    assert.equal(host.flows.drops["tx-key-expired"], undefined);
  }
}

function pairOf(w: World) {
  return { localVip: w.host(1).vip(), remoteVip: w.host(2).vip() };
}

Deno.test("SAs are replaced before the end of their life, and no packet is lost", async () => {
  await using w = world({ changes: { tunnel: { lifeMs: 60_000 } } });
  const sent = await talk(w, { ms: 600_000, everyMs: 500 });
  nothingLost(w, sent);
  const rekeys = w.host(1).counter("rekeys");
  assert.ok(rekeys >= 10n && rekeys <= 14n, `${rekeys} rekeys in ten lives`);
  for (const host of w.hosts) assert.ok(host.flows.rx.size <= 2);
});

Deno.test("a rekey programs receive, asks, switches transmit, and only then retires the old", async () => {
  await using w = world({ changes: { tunnel: { lifeMs: 60_000, idleMs: 0 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(10_000);
  const before = h1.flows.calls.length;
  h1.core.rotate({ plan: false });
  await w.clock.advance(15_000);
  assert.deepEqual(h1.flows.calls.slice(before).map(({ call }) => call), [
    "rotateMasterKey",
    "generateSpis",
    "addRx",
    "setTx",
    "removeRx",
  ]);
});

Deno.test("a number of packets ends a key's life too", async () => {
  await using w = world({ changes: { tunnel: { lifePackets: 1000n } } });
  const sent = await talk(w, { ms: 100_000, everyMs: 20 });
  nothingLost(w, sent);
  assert.ok(w.host(1).counter("rekeys") >= 4n);
});

Deno.test("the control channel is cut: nothing is lost until the hard limit, then it fails closed, then heals", async () => {
  await using w = world({ changes: { tunnel: { lifeMs: HOUR / 2, idleMs: 2 * HOUR } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  let sent = await talk(w, { ms: 10 * 60_000, everyMs: 1000 });
  w.network.weather.requestLoss = 1;
  sent += await talk(w, { ms: 10 * 60_000, everyMs: 1000 });
  nothingLost(w, sent);
  sent += await talk(w, { ms: 9 * 60_000, everyMs: 1000 });
  nothingLost(w, sent);
  await talk(w, { ms: 5 * 60_000, everyMs: 1000 });
  assert.ok((h1.flows.drops["tx-key-expired"] ?? 0) > 0);
  assert.equal(h1.counter("tx-sas-expired"), 1n);
  const got = h2.got(h1);
  await talk(w, { ms: 10_000, everyMs: 1000 });
  assert.equal(h2.got(h1), got, "closed");
  w.network.weather.requestLoss = 0;
  await w.clock.advance(5000);
  assert.equal(h1.send(h2), "sent");
  assert.equal(h2.got(h1), got + 1, "healed within 5 s");
});

Deno.test("steps of the wall clock change nothing", async () => {
  await using w = world({ changes: { tunnel: { lifeMs: 60_000 } } });
  let sent = await talk(w, { ms: 30_000, everyMs: 500 });
  w.clock.wallOffsetMs += HOUR;
  sent += await talk(w, { ms: 10_000, everyMs: 500 });
  assert.equal(w.host(1).counter("rekeys"), 0n);
  w.clock.wallOffsetMs -= 2 * HOUR;
  sent += await talk(w, { ms: 5_000, everyMs: 500 });
  assert.equal(w.host(1).counter("rekeys"), 0n);
  sent += await talk(w, { ms: 15_000, everyMs: 500 });
  assert.equal(w.host(1).counter("rekeys"), 1n);
  nothingLost(w, sent);
});

Deno.test("rekeys under loss lose no packet", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    await using w = world({
      seed,
      files: false,
      changes: { tunnel: { lifeMs: 60_000 }, rpc: { timeoutMs: 300 } },
    });
    const [h1, h2] = [w.host(1), w.host(2)];
    h1.send(h2);
    h2.send(h1);
    await w.clock.advance(1000);
    Object.assign(w.network.weather, { requestLoss: 0.3, replyLoss: 0.3, delayMs: [1, 200] });
    const sent = await talk(w, { ms: 300_000, everyMs: 500 });
    nothingLost(w, sent + 1);
    for (const host of [h1, h2]) assert.ok(host.flows.rx.size <= 6);
  }
});

Deno.test("an idle tunnel is closed on both sides, and comes back with the next packet", async () => {
  await using w = world({ changes: { tunnel: { idleMs: 60_000 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(75_000);
  for (const host of [h1, h2]) {
    assert.deepEqual([host.flows.rx.size, host.flows.tx.size], [0, 0]);
    const { up, opening } = host.core.status().tunnels;
    assert.deepEqual([up, opening], [0, 0]);
    assert.deepEqual(host.store.load(), []);
  }
  assert.equal(h1.send(h2), "held");
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 2);
});

Deno.test("traffic in one direction keeps a tunnel open", async () => {
  await using w = world({ changes: { tunnel: { idleMs: 60_000 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  for (let i = 0; i < 20; i++) {
    h1.send(h2);
    await w.clock.advance(10_000);
  }
  assert.equal(h2.got(h1), 20);
  assert.equal(h1.counter("tunnels-closed") + h2.counter("tunnels-closed"), 0n);
});

Deno.test("many tunnels come and go, and nothing is left", async () => {
  await using w = world({ files: false, changes: { tunnel: { idleMs: 2000, graceMs: 500 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  const rounds = scaled(4, 2000);
  for (let round = 0; round < rounds; round++) {
    for (let i = 1; i <= 500; i++) h1.send(h2, { from: i, dst: i });
    await w.clock.advance(10_000);
  }
  assert.equal(h1.counter("tunnels-opened"), BigInt(500 * rounds));
  for (const host of [h1, h2]) {
    assert.deepEqual([host.flows.rx.size, host.flows.tx.size, host.store.pending], [0, 0, 0]);
    assert.equal(host.store.load().length, 0);
    assert.equal(host.core.tunnels({ limit: 10 }).length, 0);
  }
});

Deno.test("stopping announces it, keeps receiving for a moment, then removes everything", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  const start = w.clock.now();
  const { flows } = h2;
  const stopping = h2.stop();
  for (let i = 0; i < 10; i++) {
    h1.send(h2);
    await w.clock.advance(50);
  }
  await stopping;
  assert.ok(w.clock.now() - start < 2000);
  assert.deepEqual([flows.rx.size, flows.tx.size], [0, 0]);
  assert.equal(flows.drops["rx-no-sa"], undefined, "what was sent was received");
  assert.ok(h1.flows.held > 0, "what came later is held");
  assert.equal(h2.got(h1) + h1.flows.held, 11);

  await w.clock.advance(3000);
  h2.restart();
  await w.clock.advance(1000);
  assert.equal(h2.got(h1), 11, "and arrives when the host is back");
});

Deno.test("status pages tunnels in order", async () => {
  await using w = world({ hosts: 3 });
  const [h1, h2, h3] = [w.host(1), w.host(2), w.host(3)];
  for (let i = 1; i <= 5; i++) {
    h1.send(h2, { from: i });
    h1.send(h3, { from: i });
  }
  await w.clock.advance(300);
  const seen: string[] = [];
  let after: string | undefined;
  while (true) {
    const page = h1.core.tunnels({ limit: 3, ...(after === undefined ? {} : { after }) });
    const last = page.at(-1);
    if (last === undefined) break;
    seen.push(...page.map(({ peer, localVip, remoteVip }) => `${peer} ${localVip} ${remoteVip}`));
    after = `${last.peer} ${last.localVip} ${last.remoteVip}`;
  }
  assert.equal(seen.length, 10);
  assert.deepEqual(seen, [...seen].sort());
  assert.equal(h1.core.tunnels({ peer: "h3", limit: 100 }).length, 5);
  const [first] = h1.core.tunnels({ limit: 1 });
  assert.equal(first?.state, "up");
  assert.ok(first?.tx && first.rx && first.rx.expiresAtMs);
  assert.ok(joined(h1, h2, pairOf(w)));
});
