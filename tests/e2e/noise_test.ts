// SPDX-License-Identifier: Apache-2.0

/** A workload that talks to its link starts no exchange and causes no warning. */
import assert from "node:assert/strict";
import { buildFrame, buildUdp } from "../../src/exceptions/frame.ts";
import { GATEWAY_MAC } from "../support/plan.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

story("multicast and link-local packets of workloads are dropped in silence", {
  inner: ["ipv4", "ipv6"],
}, async ({ world, startBoth }) => {
  const { h1, h2 } = await startBoth();
  const workload = world.workload("h1");
  const from = { ethSrc: workload.mac, ttl: 1 };
  const vip = { ipv4: world.vip("h1", 0, "ipv4"), ipv6: world.vip("h1", 0, "ipv6") };
  const mdns = { src: 5353, dst: 5353 };
  const body = new Uint8Array(20);
  const frames = [
    buildUdp(
      { ...from, ethDst: "01:00:5e:00:00:fb", src: vip.ipv4, dst: "224.0.0.251" },
      mdns,
      body,
    ),
    buildUdp({ ...from, ethDst: "33:33:00:00:00:fb", src: "fe80::7", dst: "ff02::fb" }, mdns, body),
    buildUdp({ ...from, ethDst: "33:33:00:00:00:fb", src: vip.ipv6, dst: "ff02::fb" }, mdns, body),
    buildUdp({ ...from, ethDst: GATEWAY_MAC, src: "fe80::7", dst: "fe80::9" }, mdns, body),
    buildUdp(
      { ...from, ethDst: "ff:ff:ff:ff:ff:ff", src: vip.ipv4, dst: "255.255.255.255" },
      mdns,
      body,
    ),
    // A multicast listener report, and IGMP.
    buildFrame(
      { ...from, ethDst: "33:33:00:00:00:16", src: "fe80::7", dst: "ff02::16", protocol: 58 },
      Uint8Array.of(143, 0, 0, 0, 0, 0, 0, 0),
    ),
    buildFrame(
      { ...from, ethDst: "01:00:5e:00:00:16", src: vip.ipv4, dst: "224.0.0.22", protocol: 2 },
      Uint8Array.of(0x22, 0, 0xf9, 2, 0, 0, 0, 0),
    ),
  ];
  const worker = await world.worker("v1");
  await worker.frames("eth0", frames);
  // Two of the flows have the same addresses as another: one miss for each pair.
  await eventually(async () => await h1.counter("link-scope") >= 6, {
    what: "6 flows to be found of link scope",
    describe: async () => `${await h1.counter("link-scope")}`,
  });
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(received, 1, text);
  const { counters } = await h1.status();
  assert.equal(counters["initiator-exchanges"], 1);
  assert.equal(counters["no-peer"], 0);
  assert.equal(counters["foreign-source"], 0);
  for (const agent of [h1, h2]) {
    const warnings = agent.log.filter(({ level }) => /warn|error/i.test(level));
    assert.deepEqual(warnings.map((line) => line.text), []);
  }
});
