// SPDX-License-Identifier: Apache-2.0

/** Packets to nobody. */
import assert from "node:assert/strict";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

story("an unknown destination is dropped, counted, and logged sparely", {}, async (stage) => {
  const { world, start } = stage;
  const h1 = await start("h1");
  const lines = h1.log.length;
  const capture = await world.capture();
  const startedMs = performance.now();
  const targets = Array.from({ length: 20 }, (_, i) => `10.99.0.${i + 1}`);
  await Promise.all(
    targets.map((to) =>
      ping(world, { in: "v1", to }, { count: 100, interval: 0.01, wait: 0.2 })
        .then(({ received }) => assert.equal(received, 0))
    ),
  );
  // Dropped from the hold, which a busy agent leaves full, or handed to it: it tells the sender, as far as it may ask for that.
  const ends = async () => {
    const { counters } = await h1.status();
    return Object.entries(counters)
      .filter(([name]) => /^(drop-|misses-limited$|exceptions$|exceptions-limited$)/.test(name))
      .reduce((sum, [, n]) => sum + n, 0);
  };
  await eventually(async () => await ends() >= 2000, {
    what: "2000 packets counted",
    describe: async () => `there are ${await ends()}`,
  });
  assert.ok(await h1.counter("no-peer") >= targets.length);
  const seconds = (performance.now() - startedMs) / 1000;
  const byMessage = new Map<string, number>();
  for (const { level, message } of h1.log.slice(lines)) {
    if (/debug/i.test(level)) continue;
    byMessage.set(message, (byMessage.get(message) ?? 0) + 1);
  }
  for (const [message, n] of byMessage) {
    assert.ok(n <= seconds + 1, `"${message}" was logged ${n} times in ${seconds} s`);
  }
  const wire = await capture.stop();
  assert.equal(wire.foreign + wire.psp.frames, 0, "something of it went out");
});
