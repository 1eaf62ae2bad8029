// SPDX-License-Identifier: Apache-2.0

/**
 * A workload sends to thousands of its peer's addresses at once: what is held is bounded, one exchange is in
 * flight, and every packet is accounted for. Short: 30,000 packets to 2,000 vips, 15 s. Full: 1,000,000 to 10,000
 * in 10 s (or as fast as the machine sends), about 2 minutes.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { scaled } from "../support/scale.ts";
import { type Stage, story } from "../support/story.ts";
import { flood } from "../support/udp_flood.ts";
import { eventually } from "../support/wait.ts";

const PACKETS = scaled(30_000, 1_000_000);
const VIPS = scaled(2000, 10_000);
const SECONDS = scaled(3, 10);
const HELD_BYTES = 1 << 20;
const FIRST = "10.2.0.1";

function wide(config: PeersJson): void {
  config.vips = [{ vip: config.id === "h1" ? "10.1.0.0/16" : "10.2.0.0/16" }];
  for (const peer of config.peers) peer.vips = [peer.id === "h1" ? "10.1.0.0/16" : "10.2.0.0/16"];
  config.hold = { packets_per_flow: 8, bytes: HELD_BYTES, flows: 4096 };
  config.log.level = "info";
}

type Counters = Readonly<Record<string, number>>;

/** Every reason has its counter; a source that begins too many flows is one of them. */
const dropped = (counters: Counters): number =>
  Object.entries(counters)
    .filter(([name]) => name.startsWith("drop-") || name === "misses-limited")
    .reduce((sum, [, n]) => sum + n, 0);

/** Waits until nothing is held and no counter moves any more. */
async function settled(agent: AgentProcess): Promise<Counters> {
  let last = "";
  await eventually(async () => {
    const { counters } = await agent.status();
    const now = JSON.stringify(counters);
    const still = now === last;
    last = now;
    return still && (counters["held-packets-now"] ?? 0) === 0;
  }, { what: "the counters to come to rest", deadlineMs: 60_000, everyMs: 400 });
  return JSON.parse(last);
}

async function begin({ world, start }: Stage, peer: boolean) {
  // Nothing but the flood may be counted.
  await world.mustRun("v1", ["ip", "link", "set", "eth0", "multicast", "off"]);
  const h1 = await start("h1", { change: wide });
  const h2 = peer ? await start("h2", { change: wide }) : undefined;
  const before = await settled(h1);
  const sent = await flood(world, {
    in: "h1",
    packets: PACKETS,
    seconds: SECONDS,
    first: FIRST,
    addresses: VIPS,
  });
  const after = await settled(h1);
  const grown = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
  // A machine that is busy may lose some on the wire to the plane.
  const arrived = grown("host-rx-packets");
  assert.ok(arrived > sent / 2 && arrived <= sent, `${arrived} of ${sent} came to the plane`);
  return { h1, h2, arrived, grown, dropped: dropped(after) - dropped(before), after };
}

story(
  `${PACKETS} packets to ${VIPS} unknown vips: what comes = delivered + dropped`,
  {},
  async (stage) => {
    const { h2, arrived, grown, dropped, after } = await begin(stage, true);
    assert.ok(h2);
    console.log(
      `    ${arrived} came, ${grown("tx-packets")} encrypted, ${dropped} dropped, ` +
        `${grown("initiator-exchanges")} exchanges for ${VIPS} tunnels`,
    );
    assert.equal(grown("tx-packets") + dropped, arrived, JSON.stringify(after));
    assert.ok(
      grown("initiator-exchanges") <= VIPS / 4,
      `${grown("initiator-exchanges")} exchanges`,
    );
    assert.ok(grown("tunnels-opened") >= VIPS * 0.99);
    const there = await settled(h2);
    const opened = there["rx-packets"] ?? 0;
    assert.ok(
      opened > grown("tx-packets") / 2 && opened <= grown("tx-packets"),
      `${opened} opened`,
    );
    // Nobody has these addresses: what is not delivered was handed to the agent, which asks for them, and is not broadcast.
    const ends = ["host-tx-packets", "exceptions", "exceptions-limited"]
      .reduce((sum, name) => sum + (there[name] ?? 0), 0);
    assert.ok(ends >= opened, JSON.stringify(there));
  },
);

story(
  `${PACKETS} packets to ${VIPS} vips of a peer that is away are all dropped, by reason`,
  {},
  async (stage) => {
    const { arrived, grown, dropped, after } = await begin(stage, false);
    console.log(
      `    ${arrived} came, ${dropped} dropped, ${grown("initiator-exchanges")} exchanges`,
    );
    assert.equal(dropped, arrived, JSON.stringify(after));
    assert.equal(grown("tx-packets"), 0);
    // Back-off, not one exchange for each vip.
    assert.ok(grown("initiator-exchanges") < 5 + 10 * SECONDS);
  },
);
