// SPDX-License-Identifier: Apache-2.0

/** The way to a workload, tried leg by leg. */
import assert from "node:assert/strict";
import { type World, world } from "../support/core_world.ts";

async function ping(w: World, dst: string, src?: string) {
  const query = { dst, timeoutMs: 1000, ...src === undefined ? {} : { src } };
  const view = await w.clock.run(w.host(1).core.ping(query));
  return view.legs.map(({ name, verdict }) => `${name} ${verdict}`);
}

const WELL = ["control ok", "tunnel ok", "workload ok"];

Deno.test("a way that is there is well on every leg, before its first packet and after", async () => {
  await using w = world();
  const [src, dst] = [w.host(1).vip(), w.host(2).vip()];
  assert.deepEqual(await ping(w, dst, src), WELL);
  assert.equal(w.host(1).core.status().tunnels.up, 1);
  w.host(1).send(w.host(2));
  await w.clock.advance(1000);
  assert.deepEqual(await ping(w, dst), WELL, "the source is that of the tunnel");
});

Deno.test("a peer that does not answer is told apart from a tunnel that cannot be", async () => {
  await using w = world();
  w.network.weather.requestLoss = 1;
  const legs = await ping(w, w.host(2).vip(), w.host(1).vip());
  assert.deepEqual(legs.slice(0, 2), ["control failed", "tunnel failed"]);
});

Deno.test("nobody's address, this host's own, and an unknown source are said", async () => {
  await using w = world();
  assert.deepEqual(await ping(w, "10.99.0.1"), ["control failed"]);
  assert.deepEqual(await ping(w, w.host(1).vip(2)), ["control failed"]);
  assert.deepEqual(await ping(w, w.host(2).vip()), ["control ok", "tunnel unknown"]);
});
