// SPDX-License-Identifier: Apache-2.0

/** The end of an agent whose peer has stopped to answer: it does not wait for it. */
import assert from "node:assert/strict";
import { kill } from "../support/netns.ts";
import { limitMs } from "../support/scale.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

story("SIGTERM ends an agent whose peer does not answer", {}, async ({ world, startBoth }) => {
  const { h1, h2 } = await startBoth();
  const route = { in: "v1", to: world.vip("h2") };
  const { received, text } = await ping(world, route, { count: 2, interval: 0.05 });
  assert.equal(received, 2, text);
  kill(h2.pid, "SIGSTOP");
  const ending = await h1.end("SIGTERM").finally(() => kill(h2.pid, "SIGCONT"));
  console.log(`    ended after ${Math.round(ending.ms)} ms`);
  assert.equal(ending.code, 0, h1.logText());
  assert.ok(ending.ms < limitMs(2000), `it took ${Math.round(ending.ms)} ms`);
});

story("what waits for a tunnel when the agent ends is dropped, and said", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1, h2 } = await startBoth();
  // Its connection stands and its agent says nothing: the exchange is under way.
  kill(h2.pid, "SIGSTOP");
  const waiting = ping(world, { in: "v1", to: world.vip("h2") }, {
    count: 3,
    interval: 0.1,
    wait: 1,
  });
  await eventually(async () => (await h1.counter("held-packets")) > 0, {
    what: "a packet to be held",
  });
  const ending = await h1.end("SIGTERM").finally(() => kill(h2.pid, "SIGCONT"));
  await waiting;
  assert.equal(ending.code, 0, h1.logText());
  const [said] = h1.said("Packets that waited for a tunnel are dropped");
  assert.ok(Number(said?.fields["count"]) > 0, h1.logText());
});
