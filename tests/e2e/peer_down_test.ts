// SPDX-License-Identifier: Apache-2.0

/** A peer that is not there costs little, and is found again when it is. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const impatient = (config: PeersJson) => {
  config.rpc.timeout = "300ms";
  config.rpc.attempts = 2;
};

story("a peer that is down is backed off from, and found when it is up", {}, async (stage) => {
  const { world, start } = stage;
  const route = { in: "v1", to: world.vip("h2") };
  const h1 = await start("h1", { change: impatient });
  const startedMs = performance.now();
  const flood = await ping(world, route, { count: 300, interval: 0.002, wait: 0.2 });
  const seconds = (performance.now() - startedMs) / 1000;
  assert.equal(flood.received, 0);

  const status = await eventually(async () => {
    const status = await h1.status();
    return status.peers[0]?.circuit !== "closed" && status;
  }, { what: "the peer's circuit to open" });
  const count = (name: string) => status.counters[name] ?? 0;
  assert.ok((status.peers[0]?.failures ?? 0) > 0);
  assert.notEqual(status.peers[0]?.lastError, "");
  assert.equal(status.tunnels.up, 0);
  // Back-off starts at 200 ms and grows: a flood of misses must not become a flood of calls.
  const calls = count("initiator-exchanges");
  assert.ok(calls >= 1 && calls <= 3 + 5 * seconds, `${calls} exchanges in ${seconds} s`);
  const dropped = count("drop-peer-unreachable") + count("drop-back-off");
  // While a busy machine finds out, a flow may have more packets than are held of it.
  const all = dropped + count("drop-hold-flow-full");
  assert.ok(dropped > 0 && all >= 270, `${dropped} of ${all} packets dropped under a name of this`);

  await start("h2");
  const upMs = performance.now();
  await eventually(async () => (await ping(world, route, { wait: 0.5 })).received === 1, {
    what: "the first answer after the peer came up",
  });
  console.log(`    found ${Math.round(performance.now() - upMs)} ms after it was ready`);
  const after = await ping(world, route, { count: 20, interval: 0.02 });
  assert.equal(after.received, 20, after.text);
  assert.equal((await h1.status()).peers[0]?.circuit, "closed");
});
