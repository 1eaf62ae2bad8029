// SPDX-License-Identifier: Apache-2.0

/**
 * The end of an agent whose table of tunnels is full: it ends as quickly as an empty one, and says what waited. Short:
 * 8,192 tunnels. Full: 131,072, all that there can be.
 */
import assert from "node:assert/strict";
import { issue } from "../support/agent_config.ts";
import { EvilPeer } from "../support/evil_peer.ts";
import { limitMs, scaled } from "../support/scale.ts";
import { story } from "../support/story.ts";

const TUNNELS = scaled(8192, 131_072);

story(`SIGTERM ends an agent with ${TUNNELS} tunnels within 2 s`, {}, async ({ world, start }) => {
  await issue(world, "h3");
  const h1 = await start("h1", {
    change: (config) => {
      config.vips = [{ vip: "10.1.0.0/16" }];
      config.peers = [{ id: "h3", svc_address: "192.168.77.2:7443", vips: ["10.3.0.0/16"] }];
      config.rpc.peer_rate = config.rpc.peer_burst = 1_000_000;
      config.tunnel.source_share = TUNNELS;
      config.log.level = "info";
    },
  });
  await using evil = new EvilPeer(world, {
    id: "h3",
    in: "h2",
    to: "h1",
    prefix: "10.3",
    vips: ["10.1.0.1", "10.1.0.2"],
    pip: "192.168.77.2",
    pairs: TUNNELS,
  });
  const { granted, refused, ms } = await evil.ended();
  console.log(`    ${granted} tunnels in ${ms} ms`);
  assert.deepEqual([granted, refused], [TUNNELS, {}]);
  const ending = await h1.end("SIGTERM");
  console.log(`    ended after ${Math.round(ending.ms)} ms`);
  assert.equal(ending.code, 0, h1.logText());
  assert.ok(ending.ms < limitMs(2000), `it took ${Math.round(ending.ms)} ms`);
});
