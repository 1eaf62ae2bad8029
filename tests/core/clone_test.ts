// SPDX-License-Identifier: Apache-2.0

/** A second agent with the identity of h2, at another address; and h2 itself, when it has moved there. */
import assert from "node:assert/strict";
import type { ExchangeError } from "../../src/model/exchange.ts";
import { Host, joined, type World, world } from "../support/core_world.ts";

const ELSEWHERE = "192.0.2.9";

/** Another agent as h2, with its record and another outer address; nobody calls it yet. */
function cloneOf(w: World): Host {
  const { config } = w.host(2);
  return new Host(w, 2, { config: { ...config, pip: ELSEWHERE }, features: undefined }, 1);
}

/** What the clone says to h1, as it would arrive from its address. */
function says(w: World, clone: Host) {
  const { handler } = w.host(1).core;
  const outcome = (call: Promise<unknown>) =>
    w.clock.run(call.then(() => "ok", (error) => `${(error as ExchangeError).message}`));
  return {
    hello: () =>
      outcome(handler.notify("h2", {
        bootEpoch: clone.core.bootEpoch,
        unknownSpis: [],
        closed: [],
        draining: false,
      }, ELSEWHERE)),
  };
}

Deno.test("a clone is refused and named on both ends, and the first keeps working", async () => {
  await using w = world({ files: false });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  const before = [...h1.flows.rx.keys()];
  await w.clock.advance(5000);
  const clone = cloneOf(w);
  assert.ok(clone.core.bootEpoch > h2.core.bootEpoch);
  clone.core.start();
  assert.match(await says(w, clone).hello(), /one identity from two addresses/);
  // It asks for a tunnel, and learns why it does not get one.
  clone.send(h1, { from: 9 });
  await w.clock.advance(3000);
  const reasons = clone.lines.map(({ fields }) => String(fields.reason));
  assert.ok(reasons.some((r) => /one identity from two addresses/.test(r)), reasons.join("\n"));
  assert.equal(h1.lines.filter(({ message }) => message.includes("not believed")).length > 0, true);
  assert.ok(h1.counter("refused-clone") > 0n);
  assert.equal(h1.counter("peer-restarts"), 0n);
  assert.deepEqual([...h1.flows.rx.keys()], before, "nothing of the first one was touched");
  const got = h2.got(h1);
  for (let i = 0; i < 20; i++) {
    h1.send(h2);
    await w.clock.advance(50);
  }
  assert.equal(h2.got(h1) - got, 20);
  await w.clock.run(clone.core.stop());
});

Deno.test("an answer of a clone is not taken, and the next one of the first is", async () => {
  await using w = world({ files: false });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(6000);
  const clone = cloneOf(w);
  // The name of h2 leads to the clone for a while.
  w.network.attach("h2", clone.core.handler, ELSEWHERE);
  h1.send(h2, { from: 5, dst: 5 });
  await w.clock.advance(3000);
  assert.ok(h1.counter("refused-clone") > 0n);
  assert.equal(h1.counter("peer-restarts"), 0n);
  const toClone = [...h1.flows.tx.values()].filter(({ sa }) => sa.pip === ELSEWHERE);
  assert.deepEqual(toClone, []);
  assert.ok(joined(h1, h2, { localVip: h1.vip(), remoteVip: h2.vip() }));
  w.network.attach("h2", h2.core.handler, h2.config.pip);
  h1.send(h2, { from: 6, dst: 6 });
  await w.clock.advance(15_000);
  h1.send(h2, { from: 6, dst: 6 });
  await w.clock.advance(1000);
  assert.ok(h2.got(h1, { src: 6, dst: 6 }) >= 1);
  await w.clock.run(clone.core.stop());
});

Deno.test("a peer that was started anew elsewhere has moved: traffic is back within seconds", async () => {
  await using w = world({ files: false });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(6000);
  h2.kill();
  const moved = cloneOf(w);
  w.hosts.push(moved);
  moved.begin();
  moved.send(h1);
  await w.clock.advance(5000);
  moved.send(h1);
  await w.clock.advance(1000);
  assert.ok(h1.got(moved) >= 1, "it did not come up");
  assert.equal(h1.counter("refused-clone"), 0n);
  assert.equal(h1.counter("peer-restarts"), 1n);
  h1.send(moved);
  await w.clock.advance(1000);
  assert.ok(moved.got(h1) >= 1);
});
