// SPDX-License-Identifier: Apache-2.0

/**
 * The master keys of both hosts rotate again and again under traffic, on real planes, and no packet is lost.
 * Short: 5 rotations on each side, 15 s. Full: 100, one each 5 s, about 9 minutes.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { ivCensus } from "../support/iv_census.ts";
import { PingStream } from "../support/ping_stream.ts";
import { scaled } from "../support/scale.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually, PATIENCE_MS } from "../support/wait.ts";

const ROTATIONS = scaled(5, 100);
const INTERVAL_S = scaled(2, 5);
const PING_MS = 10;

function rotating(config: PeersJson): void {
  config.rotation = { interval: `${INTERVAL_S}s` };
  config.tunnel.grace = "1s";
  config.log.level = "info";
}

story(
  `${ROTATIONS} rotations under constant traffic lose nothing`,
  {},
  async ({ world, startBoth }) => {
    const agents = Object.values(await startBoth({ change: rotating }));
    const route = { in: "v1", to: world.vip("h2") };
    assert.equal((await ping(world, route)).received, 1);
    const capture = await world.capture({ snaplen: 96 });
    const endless = { count: 1_000_000, intervalMs: PING_MS };
    await using there = new PingStream(world, { ...route, ...endless });
    await using back = new PingStream(world, { in: "v2", to: world.vip("h1"), ...endless });
    for (const agent of agents) {
      // A rotation waits for the one before to be over, so it may take longer than its interval.
      await eventually(async () => await agent.counter("rotations") >= ROTATIONS, {
        what: `${ROTATIONS} rotations of ${agent.host}`,
        deadlineMs: 3 * ROTATIONS * INTERVAL_S * 1000 + PATIENCE_MS,
        everyMs: 200,
      });
    }
    for (const stream of [there, back]) {
      const { sent, lost } = await stream.stop();
      assert.ok(sent > 10 * ROTATIONS, `${sent} pings say nothing`);
      assert.deepEqual(lost, [], `${lost.length} of ${sent} pings lost`);
    }
    for (const agent of agents) {
      const { counters } = await agent.status();
      const { rotations, rekeys } = counters;
      console.log(`    ${agent.host}: ${rotations} rotations, ${rekeys} rekeys`);
      for (const name of ["rx-auth-fail", "rx-bad", "rx-error", "rx-no-sa", "tx-error"]) {
        assert.equal(counters[name], 0, `${agent.host} ${name}`);
      }
    }
    assertOnlyPsp(await capture.stop());
    assert.deepEqual(ivCensus(capture).repeated, []);
  },
);
