// SPDX-License-Identifier: Apache-2.0

/** A workload that sends what no stack would: each frame has its end, nothing leaves in clear text, and others go on. */
import assert from "node:assert/strict";
import {
  buildFrame,
  buildUdp,
  type Bytes,
  checksum,
  concat,
  view,
} from "../../src/exceptions/frame.ts";
import { GATEWAY_MAC } from "../support/plan.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const BODY = new TextEncoder().encode("clear text of a workload");
const IP = 14;

/** A copy with other octets; its IPv4 header checksum is right. */
function changed(frame: Bytes, octets: Readonly<Record<number, number>>): Bytes {
  const copy = frame.slice();
  for (const [at, octet] of Object.entries(octets)) copy[Number(at)] = octet;
  const length = ((copy[IP] ?? 0) & 15) * 4;
  if ((copy[12] ?? 0) !== 8 || length < 20) return copy;
  view(copy).setUint16(IP + 10, 0);
  view(copy).setUint16(IP + 10, checksum(copy.subarray(IP, IP + length)));
  return copy;
}

/** Tags behind the addresses. */
function tagged(frame: Bytes, ...tags: readonly (readonly [type: number, id: number])[]): Bytes {
  const octets = new Uint8Array(4 * tags.length);
  tags.forEach(([type, id], i) => {
    view(octets).setUint16(4 * i, type);
    view(octets).setUint16(4 * i + 2, id);
  });
  return concat(frame.subarray(0, 12), octets, frame.subarray(12));
}

story("frames that no stack sends have one end each, and nothing of them leaves in clear text", {
  inner: ["ipv4", "ipv6"],
}, async ({ world, startBoth }) => {
  const { h1, h2 } = await startBoth();
  const { mac } = world.workload("h1");
  const at = { ethSrc: mac, ethDst: GATEWAY_MAC, ttl: 64 };
  const pair = { src: world.vip("h1"), dst: world.vip("h2") };
  const pair6 = { src: world.vip("h1", 0, "ipv6"), dst: world.vip("h2", 0, "ipv6") };
  const udp = buildUdp({ ...at, ...pair }, { src: 4000, dst: 5000 }, BODY);
  const udp6 = buildUdp({ ...at, ...pair6 }, { src: 4000, dst: 5000 }, BODY);
  /** A chain of `n` destination options. */
  const chain = (n: number) => {
    const headers = new Uint8Array(8 * n);
    for (let i = 0; i < n; i++) headers[8 * i] = i + 1 < n ? 60 : 17;
    return buildFrame({ ...at, ...pair6, protocol: 60 }, concat(headers, udp6.subarray(54)));
  };
  const malformed = [
    changed(udp, { [IP]: 0x44 }),
    changed(udp, { [IP + 2]: 0, [IP + 3]: 19 }),
    changed(udp, { [IP + 2]: 9 }),
    changed(udp, { [IP + 6]: 0x1f, [IP + 7]: 0xff }),
    changed(udp, { [IP + 24]: 0, [IP + 25]: 0 }),
    changed(udp, { [IP + 24]: 9 }),
    chain(30),
    changed(udp6, { [IP + 4]: 0, [IP + 5]: 0 }),
    changed(udp6, { [IP + 6]: 0, [IP + 41]: 200 }),
  ];
  const unmatched = [
    changed(udp, { 0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff }),
    changed(udp6, { 0: 0x33, 1: 0x33, 2: 0, 3: 0, 4: 0, 5: 1 }),
    changed(udp, { 12: 0x88, 13: 0xb5 }),
  ];
  const passedOver = [
    tagged(udp, [0x8100, 5]),
    tagged(udp, [0x88a8, 5], [0x8100, 5]),
    tagged(udp, [0x88a8, 0]),
  ];
  assert.equal((await ping(world, { in: "v1", to: world.vip("h2") })).received, 1);
  const capture = await world.capture();
  const before = (await h1.status()).counters;
  const grown = async (name: string) => await h1.counter(name) - (before[name] ?? 0);
  await (await world.worker("v1")).frames("eth0", [
    ...malformed,
    ...unmatched,
    ...passedOver,
    chain(8),
    udp,
  ]);
  await eventually(async () => await grown("host-malformed") >= malformed.length, {
    what: `${malformed.length} frames to be found malformed`,
    describe: async () => `${await grown("host-malformed")}`,
  });
  await eventually(async () => await grown("host-unmatched") >= unmatched.length, {
    what: `${unmatched.length} frames to be taken by no pipe`,
    describe: async () => `${await grown("host-unmatched")}`,
  });
  // What is sound goes on: behind all of them, and a first packet over IPv6 as well.
  assert.equal((await ping(world, { in: "v1", to: world.vip("h2") })).received, 1);
  assert.equal((await ping(world, { in: "v1", to: pair6.dst })).received, 1);
  assert.equal(await grown("host-malformed"), malformed.length);
  assert.equal(await grown("host-unmatched"), unmatched.length);
  assert.equal(await h2.counter("rx-bad-inner"), 0);
  assertOnlyPsp(await capture.stop());
});

story("a workload that talks to nobody is told so, and not more than fifty times a second", {
  inner: ["ipv4"],
}, async ({ world, start }) => {
  const h1 = await start("h1");
  const { mac } = world.workload("h1");
  const flood = Array.from({ length: 2000 }, (_, i) =>
    buildUdp(
      {
        ethSrc: mac,
        ethDst: GATEWAY_MAC,
        ttl: 64,
        src: world.vip("h1"),
        dst: `203.0.113.${1 + i % 250}`,
      },
      { src: 4000, dst: 5000 },
      BODY,
    ));
  const worker = await world.worker("v1");
  const begun = performance.now();
  await worker.frames("eth0", flood);
  await worker.frames("eth0", flood);
  await eventually(async () => await h1.counter("unreachable-sent") > 0, {
    what: "an ICMP error",
  });
  const told = await h1.counter("unreachable-sent");
  const seconds = Math.ceil((performance.now() - begun) / 1000) + 1;
  assert.ok(told <= 50 * seconds, `${told} errors in ${seconds} seconds`);
});
