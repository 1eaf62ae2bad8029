// SPDX-License-Identifier: Apache-2.0

/** What somebody has recorded on the way and sends again is delivered once, or as often as the operator says. */
import assert from "node:assert/strict";
import { classify } from "../support/frames.ts";
import { PLANE } from "../support/standin.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const PINGS = 5;
const TIMES = 200;

/** Pings from v1 to v2, then each packet that went from h1 to h2 once more and once more. What h2 counts of it. */
async function sendAgain({ world }: Stage, { counters }: { counters: () => Promise<Counts> }) {
  // What waits for the tunnel leaves together, as one super-frame; what comes later, by itself.
  await ping(world, { in: "v1", to: world.vip("h2") });
  const capture = await world.capture();
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, {
    count: PINGS,
    interval: 0.05,
  });
  assert.equal(received, PINGS, text);
  const { spis } = await capture.stop();
  const arrived = [...capture.frames()].filter(({ to }) => to === "h2");
  const sealed = arrived.map(({ data }) => Uint8Array.from(data)).filter((data) => {
    const frame = classify(data, new Set([7443]));
    return frame.kind === "psp" && spis.h2.has(frame.spi);
  });
  const shortest = Math.min(...sealed.map((frame) => frame.length));
  const single = sealed.filter((frame) => frame.length === shortest);
  assert.ok(single.length > 0, "no packet was recorded");
  const before = await counters();
  const thrower = await world.worker("h1");
  for (let i = 0; i < TIMES; i++) await thrower.frames("uplink", single);
  const sent = TIMES * single.length;
  const since = async () => {
    const now = await counters();
    const grown = (name: string) => (now[name] ?? 0) - (before[name] ?? 0);
    return { delivered: grown("host-tx-packets"), replays: grown("rx-replay") };
  };
  await eventually(async () => {
    const { delivered, replays } = await since();
    return delivered + replays >= sent;
  }, { what: "all copies to arrive", describe: async () => JSON.stringify(await since()) });
  return { sent, ...await since() };
}

type Counts = Readonly<Record<string, number>>;

// Hardware has no window, and says so.
if (PLANE !== "doca") {
  story("a recorded packet is delivered once", {}, async (stage) => {
    const { h2 } = await stage.startBoth();
    const counters = async () => (await h2.status()).counters;
    const { sent, delivered, replays } = await sendAgain(stage, { counters });
    assert.deepEqual({ delivered, replays }, { delivered: 0, replays: sent });
    // And nothing else was lost by it.
    const { received, text } = await ping(stage.world, { in: "v1", to: stage.world.vip("h2") }, {
      count: 50,
      interval: 0.01,
    });
    assert.equal(received, 50, text);
  });

  story("without a window each copy is delivered, as PSP leaves it", {}, async (stage) => {
    const { start } = stage;
    const [, h2] = await Promise.all([
      start("h1"),
      start("h2", { change: (config) => config.psp = { replay_window: 0 } }),
    ]);
    const counters = async () => (await h2.status()).counters;
    const { sent, delivered, replays } = await sendAgain(stage, { counters });
    assert.deepEqual({ delivered, replays }, { delivered: sent, replays: 0 });
  });
}
