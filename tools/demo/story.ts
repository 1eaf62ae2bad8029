// SPDX-License-Identifier: Apache-2.0

/** What happens on the demo's stage, and what it proves. */
import type { AgentProcess } from "../../tests/support/agent_process.ts";
import type { WireReport } from "../../tests/support/capture.ts";
import { payload, PayloadSearch } from "../../tests/support/payload.ts";
import type { HostName } from "../../tests/support/plan.ts";
import { copy, type CopyResult, ping, type PingResult } from "../../tests/support/traffic.ts";
import { readPcap } from "../../tests/support/pcap_read.ts";
import type { World } from "../../tests/support/world.ts";
import { count, type Narrator, spiText } from "./narrator.ts";
import { timeline } from "./timeline.ts";

/** What the demo has to play with. */
export interface Demo {
  readonly world: World;
  readonly agents: Readonly<Record<HostName, AgentProcess>>;
  readonly say: Narrator;
}

interface FirstPacket {
  readonly ping: PingResult;
  /** Of H1, right after it. */
  readonly held: number;
  readonly released: number;
}

const COPY_OCTETS = 100 << 20;
const SEED = "psp-agent demo";
const PINGS = 1000;
const SAMPLE_FRAMES = 200;

/**
 * Plays all of it and says so. Rejects only when it cannot be played; what fails to be proved is
 * counted.
 */
export async function perform(demo: Demo): Promise<void> {
  const { world, agents, say } = demo;
  drawStage(demo);
  const capture = await world.capture();
  const marks = { h1: agents.h1.log.length, h2: agents.h2.log.length };
  const first = await firstPacket(demo);
  const firstMs = Date.now();

  say.section("Traffic");
  const route = { in: "v1", to: world.vip("h2") };
  const pings = await say.during(
    `${count(PINGS)} pings, V1 to V2`,
    () => ping(world, route, { count: PINGS, flood: true }),
  );
  const back = await ping(world, { in: "v2", to: world.vip("h1") }, { count: 5, interval: 0.01 });
  const sample = tenantSample(world);
  const copied = await say.during(
    `copy of ${COPY_OCTETS >> 20} MiB, V1 to V2`,
    (report) =>
      copy(world, {
        from: "v1",
        to: "v2",
        address: world.vip("h2"),
        bytes: COPY_OCTETS,
        seed: SEED,
        progress: (bytes) => report(bytes / COPY_OCTETS),
      }),
  );
  say.fact("throughput", `${(copied.bitsPerSecond / 1e9).toFixed(2)} Gbit/s, both ends hashing`);

  say.section("The wire between the hosts, as tcpdump saw it");
  const { wire, search, tenantHits } = await say.during("reading the capture", async () => {
    const search = new PayloadSearch(payload(SEED, COPY_OCTETS));
    const wire = await capture.stop(search);
    return { wire, search, tenantHits: await sample.count(search) };
  });
  showWire(say, wire);
  say.section("The sequence of the first packet, from the logs and the wire");
  say.text("What a log says has been done by then: a packet may be seen before the line about it.");
  const events = { agents, marks, wire: capture.beginning(), untilMs: firstMs };
  for (const line of timeline(events)) say.text(line);

  say.section("What this proves");
  proveHeld(say, first);
  const lost = pings.sent - pings.received + back.sent - back.received;
  say.proof(
    lost === 0,
    "no ping was lost, the first one included",
    `${count(pings.received + back.received)} of ${count(pings.sent + back.sent)} were answered`,
  );
  proveCopy(say, copied);
  proveWire(say, wire);
  const hits = wire.payloadHits ?? 0;
  say.proof(
    hits === 0 && tenantHits > 0,
    "no piece of the copied data is on the wire",
    `${count(search.windows)} pieces of 16 octets looked for at every offset: ${hits} found; ` +
      `on V1's own link, as a check of the search: ${count(tenantHits)}`,
  );
  await proveTunnels(demo, wire);
}

function drawStage({ world, say }: Demo): void {
  const [h1, h2] = [world.host("h1"), world.host("h2")];
  const [v1, v2] = [world.vip("h1"), world.vip("h2")];
  say.text(`
  V1 --------- H1 =========== underlay =========== H2 --------- V2
  ${v1.padEnd(12)} ${h1.pip.padEnd(16)} PSP: UDP 1000    ${h2.pip.padStart(16)} ${v2.padStart(12)}
`);
}

async function firstPacket({ world, agents, say }: Demo): Promise<FirstPacket> {
  say.section("The first packet");
  const route = { in: "v1", to: world.vip("h2") };
  const cold = await ping(world, route, { count: 1 });
  const { counters } = await agents.h1.status();
  const warm = await ping(world, route, { count: 50, interval: 0.002 });
  const sorted = warm.rttMs.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? NaN;
  const first = cold.rttMs[0];
  say.fact("first ping", first === undefined ? "LOST" : `${first.toFixed(2)} ms, tunnel included`);
  say.fact("later pings", `${median.toFixed(3)} ms (median of ${warm.rttMs.length})`);
  const [held, released] = [counters["held-packets"] ?? 0, counters["held-released"] ?? 0];
  return { ping: cold, held, released };
}

function showWire(say: Narrator, wire: WireReport): void {
  say.fact("PSP", `${count(wire.psp.frames)} frames, ${count(wire.psp.bytes)} octets`);
  say.fact("ARP and ND", `${count(wire.neighbour)} frames`);
  say.fact("control channel (TLS)", `${count(wire.control)} frames`);
  say.fact("anything else", `${count(wire.foreign)} frames`);
  for (const example of wire.examples.slice(0, 3)) say.text(`  ${example}`);
}

function proveHeld(say: Narrator, { ping, held, released }: FirstPacket): void {
  const answer = ping.rttMs[0] === undefined ? "lost" : `answered after ${ping.rttMs[0]} ms`;
  say.proof(
    ping.received === 1 && held > 0 && held === released,
    "the first packet missed, was held, and was resubmitted",
    `H1 held ${count(held)} and resubmitted ${count(released)}; the ping was ${answer}`,
  );
}

function proveCopy(say: Narrator, copied: CopyResult): void {
  say.proof(
    copied.bytes === COPY_OCTETS && copied.sentSha256 === copied.receivedSha256,
    "the copy arrived as it was sent",
    `${count(copied.bytes)} octets, SHA-256 ${copied.sentSha256.slice(0, 16)}... sent, ` +
      `${copied.receivedSha256.slice(0, 16)}... received`,
  );
}

function proveWire(say: Narrator, wire: WireReport): void {
  say.proof(
    wire.foreign === 0 && wire.lost === 0 && wire.psp.frames > 0,
    "every frame between the hosts is PSP, ARP/ND or control channel",
    `${count(wire.frames)} frames seen at both ends, ${wire.lost} lost by the capture`,
  );
}

async function proveTunnels({ agents, say }: Demo, wire: WireReport): Promise<void> {
  const [[here], [there]] = await Promise.all([agents.h1.tunnels(), agents.h2.tunnels()]);
  const agree = here !== undefined && there !== undefined && here.state === "up" &&
    there.state === "up" && here.txSpi === there.rxSpi && here.rxSpi === there.txSpi;
  say.proof(
    agree && wire.spis.h2.has(here.txSpi) && wire.spis.h1.has(here.rxSpi),
    "both hosts agree on the tunnel, and the wire carries its SPIs",
    here === undefined
      ? "no tunnel"
      : `to H2 ${spiText(here.txSpi)}, to H1 ${spiText(here.rxSpi)}; on the wire ` +
        [...wire.spis.h2, ...wire.spis.h1].map(spiText).join(", "),
  );
}

/**
 * A short capture on V1's own link, where the data is in clear: shows that the search would find
 * it. It starts at once and ends by itself after some large frames; `count` says how many pieces
 * were in them.
 */
function tenantSample(
  world: World,
): { count(search: PayloadSearch): Promise<number> } {
  const path = world.path("tenant.pcap");
  const tcpdump = ["tcpdump", "-i", "eth0", "-n", "-Z", "root", "-c", String(SAMPLE_FRAMES)];
  const done = world.run("v1", [...tcpdump, "-w", path, "tcp", "and", "greater", "500"]);
  done.catch(() => {}); // reported by count()
  return {
    async count(search) {
      await done;
      let found = 0;
      for (const { data } of readPcap(path)) found += search.countIn(data);
      return found;
    },
  };
}
