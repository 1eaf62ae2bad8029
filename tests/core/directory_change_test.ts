// SPDX-License-Identifier: Apache-2.0

/** What a live change of the directory does to tunnels, on every host that learns of it in its own time. */
import assert from "node:assert/strict";
import type { PeerConfig } from "../../src/config/config.ts";
import { type Host, joined, type World, world } from "../support/core_world.ts";

/** A peer as another host's directory has it. */
function peer(host: Host, change: Partial<PeerConfig> = {}): PeerConfig {
  const { id } = host;
  return {
    id,
    svcAddress: `${host.config.pip}:7481`,
    vips: [`10.${host.n}.0.0/16`],
    ...change,
  };
}

const MOVED = "10.2.0.9/32";

/** h2's address moves to h3, as `host` sees it. */
function learn(w: World, host: Host): void {
  const h3 = w.host(3);
  if (host === h3) h3.core.change({ changed: [], removed: [], vips: ["10.3.0.0/16", MOVED] });
  else {
    const vips = ["10.3.0.0/16", MOVED];
    host.core.change({ changed: [peer(h3, { vips })], removed: [] });
  }
}

const pair = { localVip: "10.1.0.1", remoteVip: "10.2.0.9" };

/** Packets from h1 to the address that moves, every 10 ms; returns how many reached `to`. */
async function stream(w: World, to: Host, ms: number): Promise<number> {
  const way = `${pair.localVip} ${pair.remoteVip}`;
  const before = to.delivered.get(way) ?? 0;
  for (let t = 0; t < ms; t += 10) {
    w.host(1).flows.packet(pair);
    await w.clock.advance(10);
  }
  return (to.delivered.get(way) ?? 0) - before;
}

for (const order of [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]]) {
  Deno.test(`an address moves, learned by h${order.join(", h")}: its tunnel is with the new owner within a second`, async () => {
    await using w = world({ hosts: 3 });
    const [h1, h2, h3] = [w.host(1), w.host(2), w.host(3)];
    h1.send(h2);
    h1.send(h3);
    await stream(w, h2, 1000);
    const others = () => [h1, h2, h3].map((h) => h.flows.tx.get("10.1.0.1 10.2.0.1")?.sa.spi);
    const before = others();
    for (const n of order) {
      learn(w, w.host(n));
      await stream(w, h3, 200);
    }
    await stream(w, h3, 1000);
    assert.ok(
      joined(h1, h3, pair),
      Deno.inspect([h1.core.tunnels({ limit: 9 }), h3.core.tunnels({ limit: 9 })]),
    );
    assert.equal(await stream(w, h3, 1000), 100);
    assert.equal(h2.flows.tx.get("10.2.0.9 10.1.0.1"), undefined, "the old owner has let go");
    assert.deepEqual(others(), before, "a tunnel that it does not concern is as it was");
  });
}

Deno.test("packets that wait for the old owner go to the new one", async () => {
  await using w = world({ hosts: 3 });
  const [h1, , h3] = [w.host(1), w.host(2), w.host(3)];
  w.network.attach("h2", undefined);
  assert.equal(h1.flows.packet(pair), "held");
  await w.clock.advance(50);
  for (const host of w.hosts) learn(w, host);
  await w.clock.advance(500);
  assert.equal(h3.delivered.get(`${pair.localVip} ${pair.remoteVip}`), 1);
  w.network.attach("h2", w.host(2).core.handler);
  await w.clock.advance(10_000);
  assert.ok(joined(h1, h3, pair), "what the old owner answered late changes nothing");
});

Deno.test("a peer that is gone: its tunnels close, its entries go, and it is a stranger", async () => {
  await using w = world({ hosts: 3 });
  const [h1, h2, h3] = [w.host(1), w.host(2), w.host(3)];
  h1.send(h2);
  h1.send(h3);
  await w.clock.advance(100);
  h1.core.change({ changed: [], removed: ["h2"] });
  assert.deepEqual([...h1.flows.tx.values()].map(({ sa }) => sa.peer), ["h3"]);
  assert.deepEqual([...h1.flows.rx.values()].map(({ sa }) => sa.peer), ["h3"]);
  assert.deepEqual(h1.core.status().peers.map(({ id }) => id), ["h3"]);
  assert.equal(h1.send(h2), "held");
  h2.send(h1);
  await w.clock.advance(1000);
  assert.deepEqual([h2.got(h1), h1.got(h2), h1.flows.held], [1, 0, 0]);
  assert.equal(h1.counter("no-peer"), 1n);
  assert.ok(h1.counter("refused-identity") > 0n || h2.counter("exchanges-failed") >= 0n);

  h1.core.change({ changed: [peer(h2)], removed: [] });
  h1.send(h2);
  await w.clock.advance(2000);
  h1.send(h2);
  assert.ok(h2.got(h1) >= 2, "it is back, and no hold-off is in the way");
});

Deno.test("a peer is added: what went to nobody goes to it at once", async () => {
  await using w = world({ hosts: 3 });
  const [h1, h3] = [w.host(1), w.host(3)];
  h1.core.change({ changed: [], removed: ["h3"] });
  assert.equal(h1.send(h3), "held");
  await w.clock.advance(1500);
  assert.equal(h1.send(h3), "dropped", "held off");
  h1.core.change({ changed: [peer(h3)], removed: [] });
  assert.equal(h1.send(h3), "held");
  await w.clock.advance(100);
  assert.equal(h3.got(h1), 1);
});

Deno.test("a peer with another outer address: packets go there at once, with the same SA, then with a new one", async () => {
  await using w = world({ hosts: 3 });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.core.change({ changed: [peer(h2, { pip: "192.0.2.2" })], removed: [] });
  h1.send(h2);
  await w.clock.advance(100);
  const tx = () => h1.flows.tx.get("10.1.0.1 10.2.0.1")?.sa;
  const before = tx();
  h1.core.change({ changed: [peer(h2, { pip: "192.0.2.77" })], removed: [] });
  assert.deepEqual([tx()?.pip, tx()?.spi], ["192.0.2.77", before?.spi]);
  await w.clock.advance(100);
  assert.equal(tx()?.pip, "192.0.2.77");
  assert.notEqual(tx()?.spi, before?.spi);
  assert.equal(h1.flows.calls.filter(({ call }) => call === "removeTx").length, 0);
});

Deno.test("an address of this host that goes takes its tunnels with it", async () => {
  await using w = world({ hosts: 2 });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  h1.send(h2, { from: 2 });
  await w.clock.advance(100);
  h1.core.change({ changed: [], removed: [], vips: ["10.1.0.2/32"] });
  assert.deepEqual([...h1.flows.tx.keys()], ["10.1.0.2 10.2.0.1"]);
  await w.clock.advance(2000);
  assert.deepEqual([...h2.flows.tx.keys()], ["10.2.0.1 10.1.0.2"], "its peer was told");
});
