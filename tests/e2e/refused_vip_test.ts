// SPDX-License-Identifier: Apache-2.0

/** A peer may ask only for vips that the other side's configuration gives it. */
import assert from "node:assert/strict";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

story("a vip that is not the caller's is refused, its others work", { vips: 2 }, async (stage) => {
  const { world, start } = stage;
  const [mine, notMine] = [world.vip("h1", 1), world.vip("h1", 0)];
  const [h1, h2] = await Promise.all([
    start("h1"),
    start("h2", {
      change: ({ peers: [peer] }) => {
        if (peer !== undefined) peer.vips = [`${mine}/32`];
      },
    }),
  ]);
  const to = { in: "v1", to: world.vip("h2") };
  const refused = await ping(world, to, { count: 5, interval: 0.05, from: notMine, wait: 1 });
  assert.equal(refused.received, 0);
  assert.ok(await h2.counter("refused-vip") >= 1);
  assert.equal(await h2.counter("responder-exchanges"), 0);
  assert.ok(await h1.counter("tunnels-refused") >= 1);
  assert.ok(await h1.counter("drop-refused") >= 1);
  for (const agent of [h1, h2]) {
    const pipes = await agent.pipes();
    assert.equal(pipes.find((pipe) => pipe.name === "INGR_ACL")?.entries, 0);
  }
  assert.ok(h1.log.some(({ fields }) => fields["code"] === "permission_denied"), h1.logText());

  const allowed = await ping(world, to, { count: 5, interval: 0.05, from: mine });
  assert.equal(allowed.received, 5, allowed.text);
});
