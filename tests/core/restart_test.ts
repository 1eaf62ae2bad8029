// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { joined, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

Deno.test("killed and started again: traffic is back within 3 s, without a miss on the restarted side", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  const pair = { localVip: h1.vip(), remoteVip: h2.vip() };
  h1.send(h2);
  await w.clock.advance(1000);
  const epoch = h2.core.bootEpoch;
  h2.kill();
  await w.clock.advance(500);
  h1.send(h2);
  h2.restart();
  assert.ok(h2.core.bootEpoch > epoch);
  const ms = await w.clock.until(() => joined(h1, h2, pair), 3000);
  assert.ok(ms <= 3000);
  assert.equal(h2.counter("restored"), 1n);
  h1.send(h2);
  h2.send(h1);
  assert.deepEqual([h2.got(h1), h1.got(h2)], [2, 1]);
  assert.equal(h1.counter("peer-restarts"), 1n);
});

Deno.test("without restore, the unknown-SPI notice brings traffic back within 3 s", async () => {
  await using w = world({ changes: { tunnel: { restore: false } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  h2.kill();
  h2.restart();
  assert.equal(h2.store.load().length, 0);
  for (let i = 0; i < 6; i++) {
    h1.send(h2);
    await w.clock.advance(500);
  }
  assert.ok(h2.got(h1) >= 5);
  assert.equal(h1.counter("peer-restarts"), 1n);
});

Deno.test("an unknown SPI alone, without a new start, makes the sender rekey", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  // As if the entry had been lost in the device.
  const [spi] = h2.flows.rx.keys();
  h2.core.deny(["h1"]);
  h2.core.deny([]);
  assert.ok(spi !== undefined && !h2.flows.rx.has(spi));
  for (let i = 0; i < 5; i++) {
    h1.send(h2);
    await w.clock.advance(500);
  }
  assert.ok(h2.got(h1) >= 3);
  assert.ok(h1.counter("notices-received") >= 1n);
});

Deno.test("forged packets with a known SPI make nobody rekey", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  const [spi = 0] = h2.flows.rx.keys();
  for (let i = 0; i < 10; i++) {
    for (const forged of [spi, 4711 + i, 0, 0x8000_0000]) {
      h2.core.onEvent({
        type: "syndrome",
        spi: forged,
        syndrome: "icv_failed",
        srcPip: "192.0.2.1",
        dstPip: "192.0.2.2",
      });
    }
    await w.clock.advance(500);
  }
  const sent = w.network.notices.length;
  assert.ok(sent >= 4 && sent <= 6, `at most one notice a second: ${sent}`);
  for (const never of [spi, 0, 0x8000_0000]) {
    assert.ok(!w.network.notices.some(({ notice }) => notice.unknownSpis.includes(never)));
  }
  assert.equal(h1.counter("rekeys"), 0n);
  assert.equal(w.network.requests.length, 1);
});

const kills = scaled(30, 200);

Deno.test(`killed ${kills} times under load, either side: back within 3 s each time, no key twice`, async () => {
  await using w = world({ changes: { rpc: { timeoutMs: 500 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  const keys = new Set<string>();
  for (let i = 0; i < kills; i++) {
    const victim = i % 3 === 0 ? h1 : h2;
    for (let t = 0; t < 10; t++) {
      h1.send(h2);
      h2.send(h1);
      await w.clock.advance(50);
    }
    for (const host of [h1, h2]) {
      for (const { key } of host.flows.tx.values()) keys.add(`${host.id} ${key}`);
    }
    victim.kill();
    await w.clock.advance(37 * (i % 7));
    victim.restart();
    await w.clock.until(() => {
      h1.send(h2);
      h2.send(h1);
      return joined(h1, h2, { localVip: h1.vip(), remoteVip: h2.vip() });
    }, 3000);
  }
  assert.ok(keys.size >= 2 * kills);
});

Deno.test("a vip that moved to another peer is not restored", async () => {
  await using w = world({ hosts: 3 });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  h1.kill();
  const store = h1.openStore();
  const [record] = store.load();
  assert.ok(record);
  store.put({ ...record, peer: "h3" });
  store.close();
  const asked = w.network.requests.length;
  h1.restart();
  await w.clock.advance(2000);
  assert.equal(w.network.requests.length, asked);
  assert.equal(h1.store.load().length, 0);
});

Deno.test("a restore that takes longer than a second is told of, and so is its end", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  for (let n = 1; n <= 3; n++) h1.send(h2, { dst: n });
  await w.clock.advance(1000);
  const told = () =>
    h1.lines.filter(({ message }) => /of the last run (are|is)/.test(message))
      .map(({ message, fields }) => `${message}: ${fields.tunnels ?? 0} of ${fields.count}`);
  h1.kill();
  h1.restart();
  await w.clock.advance(3000);
  assert.deepEqual(told(), [], "what is over soon is nobody's concern");
  h1.kill();
  h2.kill();
  h1.restart();
  await w.clock.advance(5000);
  const waiting = "Tunnels of the last run are still to come: 3 of 3";
  assert.deepEqual(told(), [waiting, waiting, waiting], "after 1, 2 and 4 s");
  h2.restart();
  await w.clock.advance(30_000);
  assert.equal(told().at(-1), "The tunnels of the last run are back, or gone for good: 0 of 3");
});
