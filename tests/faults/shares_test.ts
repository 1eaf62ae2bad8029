// SPDX-License-Identifier: Apache-2.0

/**
 * One takes all the tunnels that it can get: a peer that owns a /16, or a tenant that scans. Beside it a good pair talks,
 * is rekeyed, and others' tunnels open. Short: a small table, 12 s. Full: the whole table, 196,608 pairs, 80 s.
 */
import assert from "node:assert/strict";
import { issue, type PeersJson } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { EvilPeer } from "../support/evil_peer.ts";
import { PingStream } from "../support/ping_stream.ts";
import { scaled } from "../support/scale.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { flood } from "../support/udp_flood.ts";

const SECONDS = scaled(12, 80);
const PAIRS = scaled(16_384, 196_608);
const INTERVAL_MS = 50;
/** New tunnels, one in so many milliseconds. */
const NEW_MS = 1000;
const VIPS = 2 + Math.ceil(SECONDS * 1000 / NEW_MS);

/** The good pair is rekeyed; in the full form not faster than hosts are, and as by default not what is idle. */
function shortLived(config: PeersJson): void {
  const life = scaled(6, 60);
  config.tunnel = { ...config.tunnel, life: `${life}s`, idle: `${scaled(600, 20)}s`, grace: "1s" };
  config.log.level = "info";
}

/** A stream of pings from `from` for the time of an attack, and a new pair each second. */
async function meanwhile(
  { world }: Stage,
  from: { readonly in: "v1" | "v1b"; readonly vips: readonly string[] },
  attack: () => Promise<void>,
) {
  const [source = ""] = from.vips;
  await using stream = new PingStream(world, {
    in: from.in,
    to: world.vip("h2"),
    from: source,
    count: SECONDS * 1000 / INTERVAL_MS,
    seconds: 4 * SECONDS,
    intervalMs: INTERVAL_MS,
  });
  const attacking = attack();
  // Awaited below, or of no interest any more.
  attacking.catch(() => {});
  const opened: number[] = [];
  const end = performance.now() + SECONDS * 1000;
  for (let i = 1; i < VIPS && performance.now() < end; i++) {
    const next = new Promise((resolve) => setTimeout(resolve, NEW_MS));
    const route = { in: from.in, to: world.vip("h2", i) };
    const { received, rttMs, text } = await ping(world, route, { from: from.vips[i] ?? "" });
    assert.equal(received, 1, `new tunnel ${i}: ${text}`);
    opened.push(rttMs[0] ?? 0);
    await next;
  }
  await attacking;
  const { sent, lost } = await stream.ended();
  opened.sort((a, b) => a - b);
  console.log(
    `    ${lost.length} of ${sent} pings lost; ${opened.length} new tunnels, ` +
      `${opened.at(-1)?.toFixed(0)} ms the slowest`,
  );
  assert.deepEqual(lost, []);
}

async function assertAlive(agent: AgentProcess): Promise<Readonly<Record<string, number>>> {
  const { counters } = await agent.status();
  assert.ok((counters["rekeys"] ?? 0) > 0, "the good pair was not rekeyed");
  return counters;
}

story(
  `a peer asks for ${PAIRS} tunnels: the others' open and live on`,
  { vips: VIPS },
  async (stage) => {
    const { world, startBoth } = stage;
    await issue(world, "h3");
    const { h1 } = await startBoth({
      change: (config) => {
        shortLived(config);
        if (config.id !== "h1") return;
        config.peers.push({ id: "h3", svc_address: "192.168.77.9:7443", vips: ["10.3.0.0/16"] });
        config.tunnel.peer_share = scaled(2048, 65_536);
      },
    });
    const vips = [0, 1, 2].map((i) => world.vip("h1", i));
    await meanwhile(stage, { in: "v1", vips: world.workload("h1").vips.ipv4 }, async () => {
      await using evil = new EvilPeer(world, {
        id: "h3",
        in: "h2",
        to: "h1",
        prefix: "10.3",
        vips,
        pip: "192.168.77.9",
        pairs: PAIRS,
        seconds: SECONDS,
      });
      const { asked, granted, refused } = await evil.ended();
      console.log(
        `    the evil peer asked for ${asked}, got ${granted}: ${JSON.stringify(refused)}`,
      );
      assert.ok(granted > 0);
    });
    const counters = await assertAlive(h1);
    const { peers } = await h1.status();
    const evil = peers.find(({ id }) => id === "h3");
    console.log(`    it has ${evil?.tunnels}; ${counters["peer-share"]} refused`);
    assert.ok((evil?.tunnels ?? 0) <= scaled(2048, 65_536));
  },
);

story(
  `a tenant scans ${PAIRS} pairs: other workloads' tunnels open and live on`,
  { workloads: 2, vips: VIPS },
  async (stage) => {
    const { world, startBoth } = stage;
    const prefixOf = (id: string) => id === "h1" ? "10.1.0.0/16" : "10.2.0.0/16";
    const { h1, h2 } = await startBoth({
      change: (config) => {
        shortLived(config);
        config.vips.push({ vip: prefixOf(config.id) });
        for (const peer of config.peers) peer.vips = [prefixOf(peer.id)];
        config.tunnel.source_share = scaled(1024, 8192);
      },
    });
    const other = world.workload("h1", 1);
    await meanwhile(stage, { in: "v1b", vips: other.vips.ipv4 }, async () => {
      const sent = await flood(world, {
        in: "h1",
        packets: PAIRS,
        seconds: SECONDS,
        first: "10.2.64.0",
        addresses: Math.min(PAIRS, 40_000),
      });
      console.log(`    the tenant sent ${sent} packets`);
    });
    const counters = await assertAlive(h1);
    const there = await h2.status();
    console.log(
      `    source-share ${counters["source-share"]}, evicted ${counters["tunnels-evicted"]}, ` +
        `limited ${counters["misses-limited"]}; at the other host ${there.tunnels.up} up`,
    );
    assert.ok((counters["source-share"] ?? 0) > 0 || (counters["tunnels-evicted"] ?? 0) > 0);
  },
);
