// SPDX-License-Identifier: Apache-2.0

/** An agent that is told to stop does so at once, and nothing of it remains. */
import assert from "node:assert/strict";
import { kill, pidsIn, run } from "../support/netns.ts";
import { limitMs } from "../support/scale.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  story(`${signal} ends the agent with 0 within 2 s and leaves nothing`, {}, async (stage) => {
    const { world, start, startBoth } = stage;
    const worker = await world.worker("h1");
    const before = await traces(world);
    const { h1, h2 } = await startBoth();
    const route = { in: "v1", to: world.vip("h2") };
    const pings = await ping(world, route, { count: 3, interval: 0.05 });
    assert.equal(pings.received, 3, pings.text);

    const ending = await h1.end(signal);
    assert.equal(ending.code, 0);
    assert.ok(ending.ms < limitMs(2000), `it took ${Math.round(ending.ms)} ms`);
    assert.deepEqual(await pidsIn(world.ns("h1")), [worker.pid]);
    assert.equal(await traces(world), before);
    assert.ok(await h2.healthy(), "the peer did not survive it");

    await start("h1");
    await eventually(async () => (await ping(world, route, { wait: 0.5 })).received === 1, {
      what: "traffic after the agent was started again",
    });
  });
}

story("SIGHUP before the agent listens for it does not end it", {}, async ({ world, launch }) => {
  const h1 = await launch("h1");
  // From when on it is the agent, and nothing that is about to become it.
  const program = async () => (await run(["ps", "-o", "args=", "-p", `${h1.pid}`])).stdout;
  await eventually(async () => /^\S*(deno|psp-agent\S*) run /.test(await program()), {
    what: "the runtime",
  });
  kill(h1.pid, "SIGHUP");
  await h1.heard("Ready");
  // It listens by now, and does as it is told.
  kill(h1.pid, "SIGHUP");
  await h1.heard("Configuration reloaded");
  assert.ok((await pidsIn(world.ns("h1"))).includes(h1.pid));
});

/**
 * What a program may leave in a namespace: devices, addresses, rules, listeners, packet sockets.
 */
function traces(world: World): Promise<string> {
  const script = [
    "ip -d link show | grep -v -e 'qdisc' -e 'promiscuity'",
    "ip addr show | grep inet",
    "ip rule show",
    "ip route show table all",
    "ip link show | grep -c PROMISC",
    "wc -l < /proc/net/packet",
    "awk '$4 == \"0A\" {print $2}' /proc/net/tcp /proc/net/tcp6",
    "awk '{print $2}' /proc/net/udp /proc/net/udp6 /proc/net/raw /proc/net/raw6",
    "true",
  ];
  return world.mustRun("h1", ["sh", "-c", script.join("\n")]);
}
