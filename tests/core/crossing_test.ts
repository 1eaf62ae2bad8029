// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { joined, type World, world } from "../support/core_world.ts";
import { scaled } from "../support/scale.ts";

function pairOf(w: World) {
  return { localVip: w.host(1).vip(), remoteVip: w.host(2).vip() };
}

async function bothStart(w: World): Promise<void> {
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  h2.send(h1);
  await w.clock.advance(8000);
  assert.ok(joined(h1, h2, pairOf(w)));
  assert.equal(h1.send(h2), "sent");
  assert.equal(h2.send(h1), "sent");
  assert.ok(h1.got(h2) >= 1 && h2.got(h1) >= 1);
  // Whoever answered learns from the packets that its answer arrived, and retires what it replaced.
  await w.clock.advance(6000);
  assert.ok(joined(h1, h2, pairOf(w)));
  for (const host of [h1, h2]) {
    assert.equal(host.flows.rx.size, 1, "one SA per direction");
    assert.equal(host.flows.drops["rx-no-sa"], undefined);
  }
}

Deno.test("requests that cross settle on one SA per direction", async () => {
  await using w = world();
  await bothStart(w);
});

Deno.test("requests that cross, the first one slow", async () => {
  await using w = world();
  w.network.fate = ({ kind, from }) => kind === "request" && from === "h1" ? 400 : undefined;
  await bothStart(w);
});

Deno.test("requests that cross, the second one slow", async () => {
  await using w = world();
  w.network.fate = ({ kind, from }) => kind === "request" && from === "h2" ? 400 : undefined;
  await bothStart(w);
});

for (const kind of ["request", "reply"] as const) {
  for (const from of ["h1", "h2"] as const) {
    Deno.test(`requests that cross, the first ${kind} of ${from} lost`, async () => {
      await using w = world();
      let lost = false;
      w.network.fate = (message) => {
        if (lost || message.kind !== kind || message.from !== from) return undefined;
        lost = true;
        return "lose";
      };
      await bothStart(w);
      assert.ok(lost);
    });
  }
}

Deno.test("crossing requests with different favourite versions settle", async () => {
  await using w = world({
    changes: [
      { psp: { versions: ["aes-gcm-256", "aes-gcm-128"] } },
      { psp: { versions: ["aes-gcm-128", "aes-gcm-256"] } },
    ],
  });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  h2.send(h1);
  await w.clock.advance(1000);
  assert.ok(joined(h1, h2, pairOf(w)));
  assert.equal(h1.send(h2), "sent");
  assert.equal(h2.send(h1), "sent");
  await w.clock.advance(8000);
  for (const host of [h1, h2]) assert.equal(host.flows.rx.size, 1);
});

const starts = scaled(100, 1000);

Deno.test(`${starts} simultaneous starts, each with one lost message, are up within a second`, async () => {
  for (let seed = 1; seed <= starts; seed++) {
    await using w = world({ seed, files: false, changes: { rpc: { timeoutMs: 250 } } });
    const [h1, h2] = [w.host(1), w.host(2)];
    w.network.weather.delayMs = [0.1, 30];
    const victim = seed % 5;
    let n = 0;
    w.network.fate = () => n++ === victim ? "lose" : undefined;
    h1.send(h2);
    h2.send(h1);
    const up = () => joined(h1, h2, pairOf(w));
    await w.clock.until(up, 1000);
    assert.equal(h1.send(h2), "sent", `seed ${seed}`);
    assert.equal(h2.send(h1), "sent", `seed ${seed}`);
    const [got1, got2] = [h1.got(h2), h2.got(h1)];
    await w.clock.advance(600);
    h1.send(h2);
    h2.send(h1);
    assert.deepEqual([h1.got(h2), h2.got(h1)], [got1 + 1, got2 + 1], `seed ${seed}: no black hole`);
  }
});
