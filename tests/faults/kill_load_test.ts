// SPDX-License-Identifier: Apache-2.0

/**
 * SIGKILL under load, either side in turn: traffic is back within 3 s of the process being up, never in clear,
 * and no nonce is used twice. Short: 3 kills, 25 s. Full: 200, about 25 minutes.
 */
import assert from "node:assert/strict";
import { ivCensus } from "../support/iv_census.ts";
import { HOSTS } from "../support/plan.ts";
import { PingStream } from "../support/ping_stream.ts";
import { limitMs, scaled } from "../support/scale.ts";
import { story } from "../support/story.ts";
import { eventually } from "../support/wait.ts";

const KILLS = scaled(3, 200);
/** In one world, so that captures stay small. */
const KILLS_PER_WORLD = 20;
const LONG = 1_000_000;
const INTERVAL_MS = 10;

for (let first = 0; first < KILLS; first += KILLS_PER_WORLD) {
  const kills = Math.min(KILLS_PER_WORLD, KILLS - first);
  story(`${kills} times SIGKILL under load, from the ${first + 1}th on`, {}, async (stage) => {
    const { world, start, startBoth } = stage;
    const agents = await startBoth({ change: ({ log }) => log.level = "info" });
    const capture = await world.capture({ snaplen: 96 });
    const stream = (from: "v1" | "v2", to: string) =>
      new PingStream(world, { in: from, to, count: LONG, intervalMs: INTERVAL_MS });
    await using there = stream("v1", world.vip("h2"));
    await using back = stream("v2", world.vip("h1"));
    const answered = async (sinceMs: number) =>
      await eventually(
        () => [there, back].every(({ answers }) => [...answers.values()].some((t) => t > sinceMs)),
        { what: "answers both ways", everyMs: 20 },
      );
    await answered(0);
    const tookMs: number[] = [];
    for (let i = 0; i < kills; i++) {
      const victim = HOSTS[(first + i) % 2] ?? "h1";
      const { bootEpoch } = await agents[victim].status();
      await agents[victim].end("SIGKILL");
      const deadMs = performance.now();
      agents[victim] = await start(victim, { change: ({ log }) => log.level = "info" });
      const upMs = performance.now();
      // An answer after the death can only be the successor's doing: the keys died with the process.
      await answered(deadMs);
      const ms = Math.max(0, performance.now() - upMs);
      assert.ok(ms < limitMs(3000), `back after ${Math.round(ms)} ms`);
      tookMs.push(ms);
      assert.ok(BigInt((await agents[victim].status()).bootEpoch) > BigInt(bootEpoch));
    }
    console.log(`    back after ${tookMs.map((ms) => Math.round(ms)).join(", ")} ms`);
    await there[Symbol.asyncDispose]();
    await back[Symbol.asyncDispose]();
    const wire = await capture.stop();
    // While nobody sits on the uplink, the host's kernel itself answers PSP, quoting ciphertext.
    assert.equal(wire.foreign, wire.foreignKinds["ICMP type 3"] ?? 0, wire.examples.join("; "));
    assert.equal(wire.lost, 0, "tcpdump lost frames: no proof");
    const { packets, spis, repeated } = ivCensus(capture);
    console.log(`    ${packets} packets on ${spis} SPIs, no (SPI, IV) pair twice`);
    assert.ok(spis >= 2 * kills);
    assert.deepEqual(repeated, []);
  });
}
