// SPDX-License-Identifier: Apache-2.0

/** Sampling through two agents, in both directions: the S bit, the stream, the files, the counters. */
import assert from "node:assert/strict";
import { readPcapng } from "../../src/pcap/pcapng.ts";
import { agentCommand } from "../support/agent_process.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { copy, ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const RATE_LOG2 = 3;
const OCTETS = 32 << 20;

story("one packet in 2^n is sampled at both ends, within super-frames too", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1, h2 } = await startBoth({
    change: (config) => config.psp = { sample_rate_log2: RATE_LOG2 },
  });
  const capture = await world.capture();
  const address = world.vip("h2");
  const result = await copy(world, { from: "v1", to: "v2", address, bytes: OCTETS });
  assert.equal(result.receivedSha256, result.sentSha256);
  assertOnlyPsp(await capture.stop());
  const ends = await Promise.all([h1, h2].map(async (agent, i) => {
    const { counters } = await agent.status();
    const far = [h2, h1][i];
    assert.ok(far);
    const sampled = (name: string) => counters[name] ?? 0;
    const sent = sampled("tx-packets");
    const expected = sent / 2 ** RATE_LOG2;
    // Six standard deviations of a binomial draw.
    const margin = 6 * Math.sqrt(expected * (1 - 2 ** -RATE_LOG2)) + 1;
    // The plane's own count: of both directions, lost ones included.
    return { sent, expected, margin, samples: sampled("samples"), lost: sampled("samples-lost") };
  }));
  const [a, b] = ends;
  assert.ok(a && b && a.sent > OCTETS / 1500, JSON.stringify(ends));
  // What one marks the other mirrors: both have seen the same packets.
  assert.equal(a.samples, b.samples);
  const drawn = a.expected + b.expected;
  const margin = a.margin + b.margin;
  assert.ok(Math.abs(a.samples - drawn) < margin, `${a.samples} samples, expected ${drawn}`);
  for (const [agent, end] of [[h1, a], [h2, b]] as const) {
    const reported = async () =>
      await agent.counter("samples-egress") + await agent.counter("samples-ingress");
    await eventually(async () => await reported() === end.samples - end.lost, {
      what: `every sample of ${agent.host} to be reported or counted as lost`,
      describe: async () => `${await reported()} of ${end.samples} - ${end.lost}`,
    });
  }
});

story("psp-agent samples shows and keeps samples", {}, async ({ world, startBoth }) => {
  await startBoth({ change: (config) => config.psp = { sample_rate_log2: 1 } });
  const file = world.path("samples.pcapng");
  // More than a run of ping has requests: answers are among them, however late they come.
  const [requests, count] = [50, 60];
  const text = agentCommand(world, "h1", ["samples", "--json", "--count", `${count}`]);
  const kept = agentCommand(world, "h2", ["samples", "--pcapng", file, "--count", `${count}`]);
  let finished = false;
  const both = Promise.all([text, kept]).finally(() => finished = true);
  // The commands listen when they listen: there is traffic until they have what they want.
  while (!finished) {
    const route = { in: "v1", to: world.vip("h2") };
    await ping(world, route, { count: requests, interval: 0.002, size: 300 });
  }
  const [shown, written] = await both;
  assert.equal(shown.code, 0, shown.stderr);
  assert.equal(written.code, 0, written.stderr);
  const samples = shown.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(samples.length, count);
  for (const sample of samples) {
    const vips = [world.vip("h1"), world.vip("h2")];
    if (sample.direction === "ingress") vips.reverse();
    assert.deepEqual([sample.srcVip, sample.dstVip], vips);
    assert.equal(sample.length, 328);
    const data = Uint8Array.fromBase64(sample.data);
    assert.deepEqual([data.length, data[0]], [128, 0x45]);
    assert.ok(Number(sample.spi) > 0);
  }
  assert.deepEqual(new Set(samples.map((s) => s.direction)), new Set(["egress", "ingress"]));

  const { packets, problem } = readPcapng(await Deno.readFile(file));
  assert.equal(problem, undefined);
  assert.equal(packets.length, count);
  const dump = await world.mustRun("h2", ["tcpdump", "-n", "-r", file]);
  assert.equal(dump.match(/ICMP echo re(quest|ply)/g)?.length, count, dump);
});
